"""Writes binary glTF 2.0 (`.glb`) that the Khronos validator has nothing to say about.

The file is specified in `docs/formats/glb.md`. Everything is inside it: one buffer, PNG pictures
embedded, no extensions. Reading is in `gltf.py`. Legend: V vertices, F faces, H W picture size.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from polyglyph import __version__
from polyglyph.base.errors import FormatError
from polyglyph.base.files import write_bytes
from polyglyph.formats.model import Material, Part
from polyglyph.formats.png import encode_png
from polyglyph.formats.repair import checked_part

__all__ = ["encode_glb", "write_glb"]

_ARRAY, _INDICES = 34962, 34963  # bufferView targets
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP, _REPEAT = 9729, 9987, 33071, 10497
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125


def write_glb(
    path: Path | str, parts: Sequence[Part], *, name: str = "mesh", extras: dict[str, Any] | None = None
) -> None:
    """Write `parts` to `path` atomically. See `encode_glb` for what is written and refused."""
    path = Path(path)
    if path.suffix.lower() != ".glb":
        raise FormatError(f"`{path.name}` would hold binary glTF", fix="give the file the suffix `.glb`")
    write_bytes(path, encode_glb(parts, name=name, extras=extras))


def encode_glb(parts: Sequence[Part], *, name: str = "mesh", extras: dict[str, Any] | None = None) -> bytes:
    """`parts` as the bytes of a `.glb` file.

    Args:
        parts: positions in metres, Y up; colours linear; see `formats.model`.
        name: of the root node, which is what an artist sees in the outliner.
        extras: JSON values for `asset.extras` (licence, attribution, source). `copyright`, or else
            `attribution`, also becomes `asset.copyright`, which viewers show.

    What changes on the way: index-degenerate triangles are left out; normals and tangents are made unit
    length, and zero ones replaced (normals by their faces'); coordinates or tangents that no picture
    needs are left out (they would only be weight); pictures are resampled to powers of two, at least as
    large; vertex colours are stored in 16 bits. Each distinct picture is stored once.

    Raises FormatError for what would make a broken file: no parts or faces, NaN or infinite values,
    indices out of range, arrays that do not belong together, pictures without coordinates, a normal
    picture without tangents, factors outside [0, 1].
    """
    if not parts:
        raise FormatError("there is nothing to write: no parts", fix="give at least one part")
    file = _File()
    ready = [checked_part(part) for part in parts]
    clamped = _materials_inside_unit_square(ready)
    meshes, nodes = [], []
    for part in ready:
        material = file.material(part.material, clamp=clamped[id(part.material)])
        mesh = {"name": part.name or "part", "primitives": [file.primitive(part, material)]}
        nodes.append({"name": part.name or "part", "mesh": len(meshes)})
        meshes.append(mesh)
    if len(nodes) == 1:
        nodes[0]["name"] = name or "mesh"
        root = 0
    else:
        root = len(nodes)
        nodes.append({"name": name or "mesh", "children": list(range(root))})
    document: dict[str, Any] = {
        "asset": _asset(extras),
        "scene": 0,
        "scenes": [{"name": name or "mesh", "nodes": [root]}],
        "nodes": nodes,
        "meshes": meshes,
        **file.tables(),
    }
    return _pack(document, bytes(file.data))


def _asset(extras: dict[str, Any] | None) -> dict[str, Any]:
    asset: dict[str, Any] = {"version": "2.0", "generator": f"polyglyph {__version__}"}
    if extras:
        credit = extras.get("copyright") or extras.get("attribution")
        if isinstance(credit, str):
            asset["copyright"] = credit
        asset["extras"] = dict(extras)
    return asset


def _pack(document: dict[str, Any], data: bytes) -> bytes:
    try:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as problem:
        raise FormatError(
            f"`extras` cannot be stored in a glTF file: {problem}",
            fix="use strings, finite numbers, lists and dicts",
        ) from None
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    length = 12 + 8 + len(text) + 8 + len(data)
    if length >= 1 << 32:
        raise FormatError(f"the mesh needs {length} bytes, and a .glb file holds 4 GiB", fix="decimate it")
    head = struct.pack("<4sII", b"glTF", 2, length)
    return (
        head
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(data), b"BIN\0")
        + data
    )


def _materials_inside_unit_square(parts: Sequence[Part]) -> dict[int, bool]:
    """For each material, whether all coordinates that use it lie in [0, 1] (then its edges are clamped)."""
    inside: dict[int, bool] = {}
    for part in parts:
        ok = part.uvs is None or bool((part.uvs >= -1e-5).all() and (part.uvs <= 1 + 1e-5).all())
        inside[id(part.material)] = inside.get(id(part.material), True) and ok
    return inside


class _File:
    """The tables of one glTF document and its buffer, filled part by part."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.textures: list[dict[str, Any]] = []
        self.materials: list[dict[str, Any]] = []
        self._image_of: dict[bytes, int] = {}
        self._image_names: set[str] = set()

    def tables(self) -> dict[str, Any]:
        found = {
            "materials": self.materials,
            "textures": self.textures,
            "images": self.images,
            "samplers": self.samplers,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }
        return {key: rows for key, rows in found.items() if rows}

    def view(self, data: bytes, target: int | None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.data += data
        self.views.append(view)
        return len(self.views) - 1

    def accessor(self, array: np.ndarray, component: int, kind: str, target: int, **more: Any) -> int:
        view = self.view(np.ascontiguousarray(array).tobytes(), target)
        accessor = {"bufferView": view, "componentType": component, "count": len(array), "type": kind}
        self.accessors.append(accessor | more)
        return len(self.accessors) - 1

    def primitive(self, part: Part, material: int) -> dict[str, Any]:
        positions = part.positions
        box = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
        attributes = {"POSITION": self.accessor(positions, _FLOAT, "VEC3", _ARRAY, **box)}
        if part.normals is not None:
            attributes["NORMAL"] = self.accessor(part.normals, _FLOAT, "VEC3", _ARRAY)
        if part.tangents is not None:
            attributes["TANGENT"] = self.accessor(part.tangents, _FLOAT, "VEC4", _ARRAY)
        if part.uvs is not None:
            attributes["TEXCOORD_0"] = self.accessor(part.uvs, _FLOAT, "VEC2", _ARRAY)
        if part.colors is not None:
            colors = np.round(part.colors.astype(np.float64) * 65535).astype("<u2")
            attributes["COLOR_0"] = self.accessor(colors, _USHORT, "VEC4", _ARRAY, normalized=True)
        # index 65535 means "restart" in 16 bits, so 65 535 vertices (0 ... 65534) are the most they name
        small = len(positions) <= 65535
        flat = part.faces.reshape(-1).astype("<u2" if small else "<u4")
        indices = self.accessor(flat, _USHORT if small else _UINT, "SCALAR", _INDICES)
        return {"attributes": attributes, "indices": indices, "material": material, "mode": 4}

    def material(self, material: Material, *, clamp: bool) -> int:
        pbr: dict[str, Any] = {
            "baseColorFactor": [float(value) for value in material.base_color],
            "metallicFactor": float(material.metallic),
            "roughnessFactor": float(material.roughness),
        }
        row: dict[str, Any] = {"name": material.name or "material", "pbrMetallicRoughness": pbr}
        title = material.name or "material"
        if material.base_color_image is not None:
            pbr["baseColorTexture"] = self.texture(material.base_color_image, f"{title}_base_color", clamp)
        if material.orm_image is not None:
            orm = self.texture(material.orm_image, f"{title}_orm", clamp)
            pbr["metallicRoughnessTexture"] = orm
            row["occlusionTexture"] = orm
        if material.normal_image is not None:
            row["normalTexture"] = self.texture(material.normal_image, f"{title}_normal", clamp)
        row["emissiveFactor"] = [float(value) for value in material.emissive]
        row["alphaMode"] = material.alpha_mode
        if material.alpha_mode == "MASK":
            row["alphaCutoff"] = float(material.alpha_cutoff)
        row["doubleSided"] = bool(material.double_sided)
        if row not in self.materials:
            self.materials.append(row)
        return self.materials.index(row)

    def texture(self, image: np.ndarray, name: str, clamp: bool) -> dict[str, int]:
        wrap = _CLAMP if clamp else _REPEAT
        sampler = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": wrap, "wrapT": wrap}
        row = {"sampler": _index(self.samplers, sampler), "source": self.image(image, name)}
        return {"index": _index(self.textures, row), "texCoord": 0}

    def image(self, image: np.ndarray, name: str) -> int:
        key = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
        if key not in self._image_of:
            view = self.view(encode_png(_power_of_two(image)), None)
            self._image_of[key] = len(self.images)
            self.images.append({"name": self._free_name(name), "mimeType": "image/png", "bufferView": view})
        return self._image_of[key]

    def _free_name(self, name: str) -> str:
        free, count = name, 1
        while free in self._image_names:
            count += 1
            free = f"{name}_{count}"
        self._image_names.add(free)
        return free


def _index(rows: list[dict[str, Any]], row: dict[str, Any]) -> int:
    if row not in rows:
        rows.append(row)
    return rows.index(row)


def _power_of_two(image: np.ndarray) -> np.ndarray:
    """`image` itself if both sides are powers of two, else enlarged to the next ones (Lanczos)."""
    height, width = (1 << (side - 1).bit_length() for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    return np.array(
        Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.LANCZOS)
    )
