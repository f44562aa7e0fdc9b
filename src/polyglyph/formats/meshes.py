"""Reads any mesh file into one type: `MeshFile`, a list of parts with materials, and warnings.

OBJ and glTF are read by our own readers, the rest by trimesh, whose result is checked again here.
Legend: V vertices, F faces.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

import numpy as np

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.foreign import FOREIGN_SUFFIXES, read_foreign
from polyglyph.formats.gltf import read_gltf
from polyglyph.formats.model import MeshFile, Part
from polyglyph.formats.repair import with_tangents
from polyglyph.formats.siblings import FolderSiblings, NoSiblings, Siblings
from polyglyph.formats.wavefront import read_obj

__all__ = ["MESH_SUFFIXES", "read_mesh", "read_mesh_bytes"]

MESH_SUFFIXES = (".glb", ".gltf", ".obj", *FOREIGN_SUFFIXES)
"""What `read_mesh` reads."""

_MAX_BYTES = 4 << 30
_SIGNATURES = (  # first bytes, what they are, suffixes that may start so
    (b"glTF", "binary glTF", (".glb",)),
    (b"ply\n", "PLY", (".ply",)),
    (b"ply\r", "PLY", (".ply",)),
    (b"Kaydara", "FBX", ()),
    (b"BLENDER", "a Blender file", ()),
    (b"PXR-USDC", "USD", ()),
    (b"PK\x03\x04", "a zip archive", (".3mf", ".3dxml")),
    (b"\x1f\x8b", "gzip data", ()),
    (b"\x89PNG", "a PNG picture", ()),
    (b"\xff\xd8\xff", "a JPEG picture", ()),
    (b"<!DOCTYPE", "a web page", ()),
    (b"<html", "a web page", ()),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", ()),
)


def read_mesh(path: Path | str) -> MeshFile:
    """The parts of the mesh file at `path`, in world space, triangles only, every value finite.

    Materials and pictures the file names are read from beside it. What could not be used is a sentence
    in `warnings`: a missing picture never makes a silent grey mesh. Y is up and units are metres where
    the format says so (glTF, 3MF); OBJ, PLY, OFF and STL are taken as they are.

    Raises DataError for a missing or empty file, FormatError for one that is damaged, is not what its
    name says, or holds no faces.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise DataError(f"`{path}` is a folder, not a mesh file", fix="name a file in it")
        if size > _MAX_BYTES:
            raise DataError(f"`{path}` has {size} bytes, more than 4 GiB", fix="decimate the mesh first")
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no mesh `{path}`", fix="check the path") from None
    except OSError as problem:
        raise DataError(f"`{path}` cannot be read: {problem.strerror}", fix="check its permissions") from None
    return read_mesh_bytes(data, path.suffix, FolderSiblings(path.parent), name=str(path))


def read_mesh_bytes(
    data: bytes, suffix: str, siblings: Siblings | None = None, *, name: str | None = None
) -> MeshFile:
    """As `read_mesh`, from bytes: `suffix` says the format, `siblings` finds the files it names."""
    suffix = suffix.lower()
    name = name or f"mesh{suffix}"
    siblings = siblings or NoSiblings()
    if not data:
        raise DataError(f"`{name}` is empty (0 bytes)", fix="copy or download the file again")
    _check_signature(data, suffix, name)
    if suffix in (".glb", ".gltf"):
        found = read_gltf(data, name, siblings)
    elif suffix == ".obj":
        found = read_obj(data, name, siblings)
    else:
        found = read_foreign(data, suffix, name, siblings)
    return _settled(found, name)


def _check_signature(data: bytes, suffix: str, name: str) -> None:
    if suffix not in MESH_SUFFIXES:
        raise FormatError(
            f"`{name}`: meshes are not read from `{suffix or 'files without a suffix'}`",
            fix=f"export it as .glb; read are {', '.join(MESH_SUFFIXES)}",
        )
    for start, what, suffixes in _SIGNATURES:
        if data.startswith(start) and suffix not in suffixes:
            fix = f"rename it to end in `{suffixes[0]}`" if suffixes else "export the mesh as .glb"
            if suffix == ".gltf" and what == "binary glTF":
                continue
            raise FormatError(f"`{name}` starts with {data[: len(start)]!r}: it is {what}", fix=fix)


def _settled(found: MeshFile, name: str) -> MeshFile:
    """Only finite, in-range triangles; tangents where a normal picture needs them; nothing empty."""
    parts: list[Part] = []
    for part in found.parts:
        part = _finite(part, found.warnings)
        if part is not None:
            parts.append(_ready_to_shade(part))
    if not parts:
        reason = f": {found.warnings[0]}" if found.warnings else ""
        raise FormatError(f"`{name}` has no usable faces{reason}", fix="export the mesh again, as polygons")
    low = np.min([part.positions.min(axis=0) for part in parts], axis=0)
    high = np.max([part.positions.max(axis=0) for part in parts], axis=0)
    if np.array_equal(low, high):
        raise FormatError(f"`{name}`: all vertices lie on one point", fix="export the mesh again")
    return MeshFile(parts, list(dict.fromkeys(found.warnings)))


def _finite(part: Part, warnings: list[str]) -> Part | None:
    """`part` without the faces that touch a NaN or infinite vertex, or None if none is left."""
    if not len(part.faces):
        return None
    if part.faces.min() < 0 or part.faces.max() >= len(part.positions):
        raise FormatError(
            f"part `{part.name}`: a face names vertex {part.faces.max()} of {len(part.positions)}",
            fix="export the mesh again",
        )
    good = np.asarray(np.isfinite(part.positions).all(axis=1))
    if not good.all():
        keep = good[part.faces].all(axis=1)
        warnings.append(
            f"part `{part.name}`: {int((~good).sum())} vertices are NaN or infinite:"
            f" {int((~keep).sum())} faces left out"
        )
        part = _reduced(part, part.faces[keep])
    for field in ("normals", "uvs", "tangents"):
        values = getattr(part, field)
        if values is not None and not np.isfinite(values).all():
            warnings.append(f"part `{part.name}`: some {field} are NaN or infinite: set to 0")
            part = dataclasses.replace(part, **{field: np.nan_to_num(values, posinf=0.0, neginf=0.0)})
    return part if len(part.faces) else None


def _reduced(part: Part, faces: np.ndarray) -> Part:
    """`part` with only `faces` and the vertices they use."""
    used, renumbered = np.unique(faces, return_inverse=True)
    rows = {
        field: None if getattr(part, field) is None else getattr(part, field)[used]
        for field in ("positions", "normals", "uvs", "colors", "tangents")
    }
    return dataclasses.replace(part, faces=renumbered.reshape(-1, 3).astype(np.int32), **rows)


def _ready_to_shade(part: Part) -> Part:
    """Pictures only with coordinates, and tangents with a normal picture: what every writer needs."""
    material = part.material
    pictures = ("base_color_image", "orm_image", "normal_image")
    if part.uvs is None and any(getattr(material, field) is not None for field in pictures):
        material = dataclasses.replace(material, base_color_image=None, orm_image=None, normal_image=None)
        part = dataclasses.replace(part, material=material)
    if material.normal_image is not None and (part.tangents is None or part.normals is None):
        part = with_tangents(part)
    return part


def suffix_of(name: str) -> str:
    """The lower-case suffix of a path or archive member."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower()
