"""Reads glTF 2.0, binary (`.glb`) and text (`.gltf`): geometry, node transforms, PBR materials.

Written from the specification, because trimesh rounds colours to 8 bits, drops tangents and second
coordinates, and leaves normalised integers unscaled. Every offset and count in the file is checked
against the bytes that are there. Legend: V vertices, F faces.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np

from polyglyph.base.errors import FormatError
from polyglyph.formats.gltf_material import MaterialReader
from polyglyph.formats.model import MeshFile, Part
from polyglyph.formats.repair import transformed
from polyglyph.formats.siblings import Siblings

__all__ = ["read_gltf"]

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_KNOWN_REQUIRED = {
    "KHR_mesh_quantization", "KHR_texture_transform", "KHR_materials_unlit", "EXT_texture_webp",
    "KHR_materials_pbrSpecularGlossiness", "KHR_materials_emissive_strength", "KHR_lights_punctual",
}  # fmt: skip
_UNPACK = "unpack it first, for example: npx @gltf-transform/cli copy IN.glb OUT.glb"
_TRIANGLES, _STRIP, _FAN = 4, 5, 6


def read_gltf(data: bytes, name: str, siblings: Siblings) -> MeshFile:
    """The triangles of a glTF file's scene, one part per primitive and node, in world space.

    Raises FormatError for a file that is cut short, points outside itself, or needs an extension we do
    not read (it is named). Skins, morph targets and lines are left out with a warning.
    """
    document, binary = _document(data, name)
    return _Reader(document, binary, name, siblings).read()


def _document(data: bytes, name: str) -> tuple[dict[str, Any], bytes | None]:
    if data[:4] != b"glTF":
        if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
            raise FormatError(
                f"`{name}` starts with {data[:4]!r}, not b'glTF'", fix="is it another format with this name?"
            )
        return _json(data, name), None
    if len(data) < 20:
        raise FormatError(f"`{name}` has {len(data)} bytes, fewer than a .glb header", fix="restore the file")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise FormatError(f"`{name}` is glTF version {version}", fix="convert it to glTF 2.0")
    if length > len(data):
        raise FormatError(
            f"`{name}` is cut short: its header says {length} bytes, and {len(data)} are there",
            fix="copy or download the file again",
        )
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > length:
            raise FormatError(f"`{name}`: a chunk runs past the end of the file", fix="restore the file")
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not chunks or chunks[0][0] != b"JSON":
        raise FormatError(f"`{name}`: the first chunk is not JSON", fix="restore the file")
    binary = next((chunk for kind, chunk in chunks[1:] if kind == b"BIN\0"), None)
    return _json(chunks[0][1], name), binary


def _json(data: bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as problem:
        raise FormatError(f"`{name}`: its JSON is damaged: {problem}", fix="restore the file") from None
    if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
        raise FormatError(f"`{name}` is JSON, but not glTF: it has no `asset`", fix="give a glTF 2.0 file")
    if not str(document["asset"].get("version", "")).startswith("2"):
        version = document["asset"].get("version")
        raise FormatError(f"`{name}` is glTF version {version}", fix="convert it to glTF 2.0")
    return document


class _Reader:
    def __init__(self, document: dict[str, Any], binary: bytes | None, name: str, siblings: Siblings) -> None:
        self.document = document
        self.binary = binary
        self.name = name
        self.siblings = siblings
        self.warnings: list[str] = []
        self._buffers: dict[int, bytes] = {}
        self._accessors: dict[int, np.ndarray] = {}

    def read(self) -> MeshFile:
        required = self.document.get("extensionsRequired") or []
        unknown = sorted(set(map(str, required)) - _KNOWN_REQUIRED)
        if unknown:
            raise FormatError(f"`{self.name}` needs {', '.join(f'`{x}`' for x in unknown)}", fix=_UNPACK)
        parts: list[Part] = []
        try:
            self.materials = MaterialReader(self.document, self.image_bytes, self.warnings)
            for node, world in self.nodes():
                if "mesh" in node:
                    self.mesh(node, world, parts)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as problem:
            # a table has the wrong shape: everything we look up is described in the specification
            raise FormatError(
                f"`{self.name}` breaks the glTF rules: {type(problem).__name__}: {problem}",
                fix="run the Khronos glTF validator on it",
            ) from None
        return MeshFile(parts, self.warnings)

    # --- the scene ---

    def nodes(self):
        """(node, world matrix) of every node of the default scene, each once."""
        nodes = self.document.get("nodes") or []
        scenes = self.document.get("scenes") or []
        if scenes:
            roots = list(scenes[self.document.get("scene", 0)].get("nodes") or [])
        else:
            children = {child for node in nodes for child in node.get("children") or []}
            roots = [index for index in range(len(nodes)) if index not in children]
        seen: set[int] = set()
        stack = [(index, np.eye(4)) for index in reversed(roots)]
        while stack:
            index, parent = stack.pop()
            if index in seen or not 0 <= index < len(nodes):
                raise FormatError(
                    f"`{self.name}`: node {index} is {'its own ancestor' if index in seen else 'missing'}",
                    fix="run the Khronos glTF validator on it",
                )
            seen.add(index)
            world = parent @ _local(nodes[index])
            yield nodes[index], world
            stack += [(child, world) for child in reversed(nodes[index].get("children") or [])]

    def mesh(self, node: dict[str, Any], world: np.ndarray, parts: list[Part]) -> None:
        mesh = _row(self.document.get("meshes"), node["mesh"])
        title = mesh.get("name") or node.get("name") or f"mesh_{node['mesh']}"
        if "skin" in node:
            self.warn(f"mesh `{title}` is skinned: it is read in its rest pose")
            world = np.eye(4)  # a skinned mesh ignores its node's transform
        primitives = mesh["primitives"]
        for number, primitive in enumerate(primitives):
            if primitive.get("targets"):
                self.warn(f"mesh `{title}` has morph targets: they are left out")
            mode = primitive.get("mode", _TRIANGLES)
            if mode not in (_TRIANGLES, _STRIP, _FAN):
                self.warn(f"mesh `{title}` has points or lines: they are left out")
                continue
            part = self.primitive(primitive, mode)
            if part is None:
                continue
            part.name = title if len(primitives) == 1 else f"{title}_{number}"
            parts.append(_moved(part, world))

    def primitive(self, primitive: dict[str, Any], mode: int) -> Part | None:
        attributes = primitive["attributes"]
        if "KHR_draco_mesh_compression" in (primitive.get("extensions") or {}):
            raise FormatError(f"`{self.name}` is packed with `KHR_draco_mesh_compression`", fix=_UNPACK)
        positions = self.attribute(attributes["POSITION"], 3)
        count = len(positions)
        if "indices" in primitive:
            flat = self.accessor(primitive["indices"]).reshape(-1).astype(np.int64)
        else:
            flat = np.arange(count)
        faces = _assemble(flat, mode)
        if not len(faces):
            return None
        if faces.min() < 0 or faces.max() >= count:
            raise FormatError(
                f"`{self.name}`: an index names vertex {faces.max()}, and there are {count}",
                fix="restore the file",
            )
        material, texcoord, transform = self.materials.get(primitive.get("material"))
        part = Part(positions=positions, faces=faces.astype(np.int32), material=material)
        part.normals = self.optional(attributes, "NORMAL", (3,), count)
        part.tangents = self.optional(attributes, "TANGENT", (4,), count)
        uvs = self.optional(attributes, f"TEXCOORD_{texcoord}", (2,), count)
        if uvs is not None:
            part.uvs = (
                uvs if transform is None else (uvs @ transform[:2, :2].T + transform[:2, 2]).astype("<f4")
            )
        colors = self.optional(attributes, "COLOR_0", (3, 4), count)
        if colors is not None:
            if colors.shape[1] == 3:
                colors = np.concatenate([colors, np.ones((count, 1), dtype=np.float32)], axis=1)
            part.colors = np.clip(np.nan_to_num(colors), 0.0, 1.0)
        return part

    def optional(self, attributes: dict[str, int], key: str, widths: tuple[int, ...], count: int):
        """An attribute, or None with a warning if it does not fit the positions."""
        if key not in attributes:
            return None
        values = self.accessor(attributes[key])
        if values.ndim != 2 or values.shape[1] not in widths or len(values) != count:
            self.warn(f"`{key}` has shape {list(values.shape)} for {count} vertices: left out")
            return None
        return values.astype(np.float32)

    def attribute(self, index: int, width: int) -> np.ndarray:
        values = self.accessor(index)
        if values.ndim != 2 or values.shape[1] != width:
            raise FormatError(
                f"`{self.name}`: accessor {index} has shape {list(values.shape)}, not [n, {width}]",
                fix="run the Khronos glTF validator on it",
            )
        return values.astype(np.float32)

    # --- bytes ---

    def accessor(self, index: int) -> np.ndarray:
        """One accessor as an array [count, width], normalised integers scaled to floats."""
        if index not in self._accessors:
            row = _row(self.document.get("accessors"), index)
            kind, width, count = (
                np.dtype(_COMPONENTS[row["componentType"]]),
                _WIDTHS[row["type"]],
                row["count"],
            )
            if not isinstance(count, int) or count < 0 or count * width > 1 << 31:
                raise FormatError(f"`{self.name}`: accessor {index} counts {count}", fix="restore the file")
            if "bufferView" in row:
                values = self.table(row["bufferView"], row.get("byteOffset", 0), kind, count, width, index)
            elif count * width > 1 << 26:
                raise FormatError(f"`{self.name}`: accessor {index} is {count} zeros", fix="restore the file")
            else:
                values = np.zeros((count, width), dtype=kind)
            if "sparse" in row:
                values = self.sparse(values, row["sparse"], kind, width, index)
            if row.get("normalized") and kind.kind in "iu":
                values = np.maximum(values.astype(np.float32) / np.iinfo(kind).max, -1.0)
            self._accessors[index] = values
        return self._accessors[index]

    def sparse(self, values: np.ndarray, sparse: dict[str, Any], kind: np.dtype, width: int, index: int):
        count, where, what = sparse["count"], sparse["indices"], sparse["values"]
        index_kind = np.dtype(_COMPONENTS[where["componentType"]])
        rows = self.table(where["bufferView"], where.get("byteOffset", 0), index_kind, count, 1, index)[:, 0]
        if len(rows) and (rows.min() < 0 or rows.max() >= len(values)):
            raise FormatError(
                f"`{self.name}`: sparse accessor {index} is out of range", fix="restore the file"
            )
        values = values.copy()
        values[rows] = self.table(what["bufferView"], what.get("byteOffset", 0), kind, count, width, index)
        return values

    def table(self, view: int, offset: int, kind: np.dtype, count: int, width: int, index: int) -> np.ndarray:
        data, stride = self.view(view)
        row_bytes = kind.itemsize * width
        stride = stride or row_bytes
        needed = offset + (count - 1) * stride + row_bytes if count else 0
        if offset < 0 or stride < row_bytes or needed > len(data):
            raise FormatError(
                f"`{self.name}`: accessor {index} needs {needed} bytes, and its view has {len(data)}",
                fix="the file is cut short or damaged: restore it",
            )
        if not count:
            return np.zeros((0, width), dtype=kind)
        block = np.frombuffer(data, dtype=np.uint8, count=needed - offset, offset=offset)
        rows = np.lib.stride_tricks.as_strided(block, (count, row_bytes), (stride, 1), writeable=False)
        return np.ascontiguousarray(rows).view(kind).reshape(count, width)

    def view(self, index: int) -> tuple[bytes, int]:
        """The bytes of a buffer view, and its stride (0: packed)."""
        row = _row(self.document.get("bufferViews"), index)
        if "EXT_meshopt_compression" in (row.get("extensions") or {}):
            raise FormatError(f"`{self.name}` is packed with `EXT_meshopt_compression`", fix=_UNPACK)
        data = self.buffer(row["buffer"])
        start, length = row.get("byteOffset", 0), row["byteLength"]
        if start < 0 or length < 0 or start + length > len(data):
            raise FormatError(
                f"`{self.name}`: buffer view {index} ends at byte {start + length} of {len(data)}",
                fix="the file is cut short or damaged: restore it",
            )
        return data[start : start + length], row.get("byteStride", 0)

    def buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            row = _row(self.document.get("buffers"), index)
            if "uri" in row:
                data = self.uri(row["uri"])
                if data is None:
                    raise FormatError(
                        f"`{self.name}` names `{row['uri']}`, which is missing", fix="put it beside"
                    )
            elif self.binary is not None and index == 0:
                data = self.binary
            else:
                raise FormatError(f"`{self.name}`: buffer {index} has no bytes", fix="restore the file")
            if len(data) < row["byteLength"]:
                raise FormatError(
                    f"`{self.name}`: buffer {index} has {len(data)} bytes of {row['byteLength']}",
                    fix="the file is cut short or damaged: restore it",
                )
            self._buffers[index] = data
        return self._buffers[index]

    def uri(self, uri: str) -> bytes | None:
        if not uri.startswith("data:"):
            return self.siblings.read(unquote(uri))
        head, _, body = uri.partition(",")
        try:
            if not head.endswith(";base64"):
                return unquote_to_bytes(body)
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise FormatError(
                f"`{self.name}`: a `data:` address is damaged", fix="restore the file"
            ) from None

    def image_bytes(self, image: dict[str, Any]) -> bytes | None:
        """The bytes of one of the file's pictures, or None if its file is missing."""
        return self.uri(image["uri"]) if "uri" in image else self.view(image["bufferView"])[0]

    def warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)


def _row(rows: Any, index: Any) -> dict[str, Any]:
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise IndexError(f"index {index!r}")
    return rows[index]


def _local(node: dict[str, Any]) -> np.ndarray:
    """A node's own 4x4 matrix."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = node.get("rotation") or (0.0, 0.0, 0.0, 1.0)
    length = (x * x + y * y + z * z + w * w) ** 0.5 or 1.0
    x, y, z, w = x / length, y / length, z / length, w / length
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix[:3, :3] = rotation * np.array(node.get("scale") or (1.0, 1.0, 1.0), dtype=np.float64)
    matrix[:3, 3] = node.get("translation") or (0.0, 0.0, 0.0)
    return matrix


def _assemble(flat: np.ndarray, mode: int) -> np.ndarray:
    """Index list to triangles [F, 3]; an incomplete last triangle is ignored, as glTF says."""
    if mode == _TRIANGLES:
        return flat[: len(flat) // 3 * 3].reshape(-1, 3)
    if len(flat) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    if mode == _FAN:
        return np.stack([flat[1:-1], flat[2:], np.full(len(flat) - 2, flat[0])], axis=1)
    strip = np.stack([flat[:-2], flat[1:-1], flat[2:]], axis=1)
    strip[1::2] = strip[1::2][:, [0, 2, 1]]
    return strip


def _moved(part: Part, world: np.ndarray) -> Part:
    return part if np.array_equal(world, np.eye(4)) else transformed(part, world)
