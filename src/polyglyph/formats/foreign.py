"""Mesh formats that trimesh reads for us: PLY, OFF, STL, 3MF, COLLADA.

trimesh is imported here, when it is needed (half a second). It catches exceptions broadly and may return
less than the file holds, so `meshes.py` checks its result again. Legend: V vertices, F faces.
"""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings as python_warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from polyglyph.base.errors import FormatError
from polyglyph.formats.color import srgb_to_linear
from polyglyph.formats.model import Material, MeshFile, Part
from polyglyph.formats.mtl import alpha_mode_of
from polyglyph.formats.repair import transformed
from polyglyph.formats.siblings import Siblings

__all__ = ["FOREIGN_SUFFIXES", "read_foreign"]

FOREIGN_SUFFIXES = (".ply", ".off", ".stl", ".3mf", ".dae")

_NEEDS = {".3mf": "lxml", ".dae": "pycollada"}
# What trimesh's readers raise for damaged files: each parser its own kind (ImportError: a package that
# guesses the encoding of undecodable text).
_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError, LookupError,
    MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_foreign(data: bytes, suffix: str, name: str, siblings: Siblings) -> MeshFile:
    """The parts of a mesh file, through trimesh. Raises FormatError with what trimesh said."""
    found: list[str] = []
    with _quiet():
        import trimesh

        if suffix[1:] not in trimesh.available_formats():
            package = _NEEDS.get(suffix, "trimesh[easy]")
            raise FormatError(
                f"reading `{suffix}` needs the package `{package}`",
                fix=f"pip install {package}, or export the mesh as .glb",
            )
        resolver: Any = _Resolver(siblings)
        try:
            scene = trimesh.load_scene(
                io.BytesIO(data), file_type=suffix[1:], resolver=resolver, process=False
            )
            parts = _parts(scene, found)
        except _DAMAGE as problem:
            sentence = " ".join(str(problem).split())[:120]
            raise FormatError(
                f"`{name}` cannot be read as {suffix[1:].upper()} ({type(problem).__name__}: {sentence});"
                f" it starts with {data[:12]!r}",
                fix="the file is damaged or another format: export it again, as .glb",
            ) from None
    if suffix == ".stl":
        parts = [_welded(part) for part in parts]
    if suffix == ".3mf":  # millimetres, Z up
        parts = [transformed(part, _MILLIMETRES_Z_UP) for part in parts]
    if not parts and not found:
        found.append(f"it starts with {data[:12]!r}")
    return MeshFile(parts, found)


_MILLIMETRES_Z_UP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1000]]) / 1000.0


class _Resolver:
    """trimesh's way of asking for files, answered by `Siblings`."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings

    def get(self, name: str) -> bytes:
        data = self._siblings.read(str(name))
        if data is None:
            raise FileNotFoundError(name)
        return data

    __getitem__ = get

    def namespaced(self, namespace: str) -> _Resolver:
        return self

    def keys(self) -> list[str]:
        return []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines and no Python warnings from trimesh: what matters we say ourselves."""
    log = logging.getLogger("trimesh")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _parts(scene: Any, found: list[str]) -> list[Part]:
    import trimesh

    parts = []
    for node in scene.graph.nodes_geometry:
        matrix, key = scene.graph[node]
        mesh = scene.geometry[key]
        if not isinstance(mesh, trimesh.Trimesh):
            found.append(f"`{key}` is {type(mesh).__name__}, not triangles: it is left out")
            continue
        part = _part(mesh, str(key), found)
        parts.append(part if np.array_equal(matrix, np.eye(4)) else transformed(part, np.asarray(matrix)))
    return parts


def _part(mesh: Any, name: str, found: list[str]) -> Part:
    part = Part(
        positions=np.asarray(mesh.vertices, dtype=np.float32),
        faces=np.asarray(mesh.faces, dtype=np.int32).reshape(-1, 3),
        name=name,
    )
    if "vertex_normals" in mesh._cache.cache and len(mesh.vertex_normals) == len(part.positions):
        part.normals = np.asarray(mesh._cache.cache["vertex_normals"], dtype=np.float32)
    visual = mesh.visual
    if visual.kind == "vertex":
        part.colors = _linear(np.asarray(visual.vertex_colors))
    elif visual.kind == "face":
        part = _per_corner(part)
        part.colors = np.repeat(_linear(np.asarray(visual.face_colors)), 3, axis=0)
    elif visual.kind == "texture":
        uvs = getattr(visual, "uv", None)
        if uvs is not None and len(uvs) == len(part.positions):
            part.uvs = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1).astype(np.float32)
        part.material = _material(visual.material)
        if part.material.base_color_image is not None and part.uvs is None:
            found.append(f"`{name}` has a picture and no coordinates for it: the picture is left out")
    return part


def _linear(rgba: np.ndarray) -> np.ndarray:
    values = rgba.astype(np.float64) / 255.0
    return np.concatenate([srgb_to_linear(values[:, :3]), values[:, 3:4]], axis=1).astype(np.float32)


def _per_corner(part: Part) -> Part:
    normals = None if part.normals is None else part.normals[part.faces.reshape(-1)]
    corners = part.positions[part.faces.reshape(-1)]
    return Part(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3), part.name, normals)


def _material(material: Any) -> Material:
    """trimesh's simple or PBR material. Its 8-bit diffuse is a display colour, its PBR factor is linear."""
    simple = material if hasattr(material, "diffuse") else None
    picture = material.image if simple is not None else material.baseColorTexture
    image = None
    if picture is not None:
        image = np.array(picture.convert("RGBA" if "A" in picture.getbands() else "RGB"))
    if simple is not None:
        rgba = np.asarray(simple.diffuse, dtype=np.float64).reshape(-1)[:4] / 255.0
        rgba = np.concatenate([srgb_to_linear(rgba[:3]), rgba[3:] if len(rgba) > 3 else [1.0]])
        metallic, roughness = 0.0, 1.0
    else:
        factor = material.baseColorFactor
        rgba = np.ones(4) if factor is None else np.asarray(factor, dtype=np.float64) / 255.0
        metallic = 1.0 if material.metallicFactor is None else float(material.metallicFactor)
        roughness = 1.0 if material.roughnessFactor is None else float(material.roughnessFactor)
    if image is not None:
        rgba[:3] = 1.0
    mode, cutoff = alpha_mode_of(image, float(rgba[3]))
    red, green, blue, alpha = (float(value) for value in np.clip(rgba, 0.0, 1.0))
    return Material(
        name=str(getattr(material, "name", None) or "material"),
        base_color=(red, green, blue, alpha),
        base_color_image=image,
        metallic=metallic,
        roughness=roughness,
        alpha_mode=mode,
        alpha_cutoff=cutoff,
    )


def _welded(part: Part) -> Part:
    """STL repeats every corner: equal positions become one vertex; its face normals are recomputable."""
    positions, index = np.unique(part.positions, axis=0, return_inverse=True)
    return Part(positions, index.reshape(-1)[part.faces].astype(np.int32), part.name, material=part.material)
