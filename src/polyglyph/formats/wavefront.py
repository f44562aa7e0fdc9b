"""Reads Wavefront OBJ: one part per material, polygons cut into triangles.

trimesh reads OBJ too, but falls back to grey without a word when a material or picture is missing,
and takes negative indices from the end of the file. Legend: V vertices, F faces.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from polyglyph.base.errors import FormatError
from polyglyph.formats.color import srgb_to_linear
from polyglyph.formats.model import Material, MeshFile, Part
from polyglyph.formats.mtl import decode_text, parse_mtl
from polyglyph.formats.repair import vertex_normals
from polyglyph.formats.siblings import Siblings
from polyglyph.formats.triangulate import triangulate

__all__ = ["read_obj"]

_NOTHING = -1


def read_obj(data: bytes, name: str, siblings: Siblings) -> MeshFile:
    """The parts of an OBJ file, in the order their materials are first used.

    Materials come from the `mtllib` files (see `docs/formats/obj.md`); coordinates get glTF's origin at
    the top left. Raises FormatError with the line for numbers or indices that make no sense; missing
    materials and pictures are warnings.
    """
    text = decode_text(data).replace("\\\n", " ")
    scan = _Scan(name)
    for number, line in enumerate(text.split("\n"), 1):
        scan.line(line, number)
    if not scan.groups:
        raise FormatError(
            f"`{name}` has no faces: {len(scan.vertices)} vertices, and it starts with {data[:12]!r}",
            fix="export the mesh again, as polygons",
        )
    warnings: list[str] = []
    materials = _materials(scan, siblings, warnings)
    positions, colors = _vertices(scan, name)
    coordinates = _table(scan.coordinates, 2, "vt", name)
    normals = _table(scan.normals, 3, "vn", name)
    parts = []
    for title, group in scan.groups.items():
        material = materials[title]
        part = _part(group, positions, colors, coordinates, normals, name)
        if part is None:
            continue
        part.name, part.material = title or "part", material
        if material.base_color_image is not None and part.uvs is not None:
            # the picture is the diffuse colour: `Kd` beside it is 0 or 0.8 by habit in most files
            part.material = replace(material, base_color=(1.0, 1.0, 1.0, material.base_color[3]))
        elif material.base_color_image is not None:
            warnings.append(
                f"material `{title}` has a picture, and its faces no coordinates: its plain colour is used"
            )
        parts.append(part)
    return MeshFile(parts, warnings)


class _Group:
    """The faces of one material: corners are numbered as they appear, polygons as lists of corners."""

    def __init__(self) -> None:
        self.corner_of: dict[str, int] = {}
        self.polygons: list[list[int]] = []
        self.first_line = 0


class _Scan:
    """One pass over the lines; numbers stay text until all lines are known."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.vertices: list[str] = []
        self.coordinates: list[str] = []
        self.normals: list[str] = []
        self.libraries: list[str] = []
        self.groups: dict[str, _Group] = {}
        self.material = ""

    def line(self, line: str, number: int) -> None:
        key, _, rest = line.lstrip().partition(" ")
        if key == "v":
            self.vertices.append(rest)
        elif key == "f":
            self.face(rest, number)
        elif key == "vt":
            self.coordinates.append(rest)
        elif key == "vn":
            self.normals.append(rest)
        elif key == "usemtl":
            self.material = rest.split("#", 1)[0].strip()
        elif key == "mtllib":
            self.libraries.append(rest.strip())
        elif "\t" in key:
            self.line(line.replace("\t", " "), number)

    def face(self, rest: str, number: int) -> None:
        corners = rest.split("#", 1)[0].split()
        if len(corners) < 3:
            return  # a point or an edge written as a face
        if "-" in rest:
            corners = [self.absolute(corner, number) for corner in corners]
        group = self.groups.get(self.material)
        if group is None:
            group = self.groups[self.material] = _Group()
            group.first_line = number
        table = group.corner_of
        group.polygons.append([table.setdefault(corner, len(table)) for corner in corners])

    def absolute(self, corner: str, number: int) -> str:
        """`-1/-1` counts back from the lines read so far."""
        counts = (len(self.vertices), len(self.coordinates), len(self.normals))
        try:
            return "/".join(
                str(count + 1 + int(word)) if word.startswith("-") else word
                for word, count in zip(corner.split("/"), counts, strict=False)
            )
        except ValueError:
            raise FormatError(
                f"`{self.name}` line {number}: `{corner}` is not a corner", fix="export the mesh again"
            ) from None


def _materials(scan: _Scan, siblings: Siblings, warnings: list[str]) -> dict[str, Material]:
    known: dict[str, Material] = {}
    for library in scan.libraries:
        data = siblings.read(library)
        if data is not None:
            known |= parse_mtl(data, library, siblings, warnings)
            continue
        for piece in library.split():  # several files on one line, or one name with blanks (tried first)
            data = siblings.read(piece)
            if data is None:
                own = PurePosixPath(scan.name.replace("\\", "/")).stem + ".mtl"
                data = siblings.read(own)
                instead = "plain grey" if data is None else f"`{own}`"
                warnings.append(f"material file `{piece}` is missing: {instead} is used")
            if data is not None:
                known |= parse_mtl(data, piece, siblings, warnings)
    chosen = {}
    folded = {title.lower(): material for title, material in known.items()}
    for title in scan.groups:
        material = known.get(title) or folded.get(title.lower())
        if material is None:
            if title and scan.libraries:
                warnings.append(
                    f"material `{title}` is not defined in `{scan.libraries[0]}`: plain grey is used"
                )
            elif title:
                warnings.append(f"material `{title}`: the file names no `mtllib`: plain grey is used")
            material = Material(name=title or "default", base_color=(_GREY, _GREY, _GREY, 1.0))
        chosen[title] = material
    return chosen


_GREY = float(srgb_to_linear(np.array(0.8)))


def _numbers(lines: list[str], what: str, name: str) -> tuple[np.ndarray, int]:
    """All numbers of equally long lines as a table; ragged lines are cut to the shortest."""
    if not lines:
        return np.zeros((0, 0)), 0
    words = [line.split("#", 1)[0].split() if "#" in line else line.split() for line in lines]
    columns = min(map(len, words))
    try:
        table = np.array([row[:columns] for row in words], dtype=np.float64)
    except ValueError:
        at = next(index for index, row in enumerate(words) if not all(map(_is_number, row[:columns])))
        raise FormatError(
            f"`{name}`: the {at + 1}. `{what}` line is `{lines[at].strip()[:60]}`, which is not numbers",
            fix="export the mesh again",
        ) from None
    return table, columns


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _vertices(scan: _Scan, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    table, columns = _numbers(scan.vertices, "v", name)
    if columns < 3:
        raise FormatError(
            f"`{name}`: a `v` line has {columns} numbers, and a position needs 3", fix="export the mesh again"
        )
    colors = None
    if columns >= 6:
        rgb = table[:, 3:6]
        top = np.nanmax(rgb, initial=0.0)
        rgb = np.clip(np.nan_to_num(rgb / 255.0 if top > 1.0 else rgb), 0.0, 1.0)
        colors = np.concatenate([srgb_to_linear(rgb), np.ones((len(rgb), 1))], axis=1).astype(np.float32)
    return table[:, :3], colors


def _table(lines: list[str], columns: int, what: str, name: str) -> np.ndarray:
    table, found = _numbers(lines, what, name)
    if lines and found < columns:  # `vt u` alone: the second number is 0
        table = np.concatenate([table, np.zeros((len(table), columns - found))], axis=1)
    return table[:, :columns] if lines else np.zeros((0, columns))


def _corners(group: _Group, name: str) -> np.ndarray:
    """[corners, 3]: vertex, coordinate and normal index from 0, -1 where there is none."""
    rows = np.full((len(group.corner_of), 3), _NOTHING, dtype=np.int64)
    try:
        for row, corner in enumerate(group.corner_of):
            for column, word in enumerate(corner.split("/")[:3]):
                if word:
                    rows[row, column] = int(word) - 1
    except (ValueError, OverflowError):
        raise FormatError(
            f"`{name}`, faces from line {group.first_line} on: `{corner}` is not a corner",
            fix="export the mesh again",
        ) from None
    return rows


def _part(
    group: _Group,
    positions: np.ndarray,
    colors: np.ndarray | None,
    coordinates: np.ndarray,
    normals: np.ndarray,
    name: str,
) -> Part | None:
    corners = _corners(group, name)
    vertex, coordinate, normal = corners.T
    for index, table, what in (
        (vertex, positions, "v"),
        (coordinate, coordinates, "vt"),
        (normal, normals, "vn"),
    ):
        low = 0 if what == "v" else _NOTHING
        if len(index) and (index.min() < low or index.max() >= len(table)):
            bad = int(index.max() if index.max() >= len(table) else index.min()) + 1
            raise FormatError(
                f"`{name}`, faces from line {group.first_line} on: a face names `{what}` {bad},"
                f" and there are {len(table)}",
                fix="the file is cut short or damaged: export the mesh again",
            )
    faces = triangulate(group.polygons, positions[vertex])
    if not len(faces):
        return None
    with np.errstate(over="ignore"):
        part = Part(positions=positions[vertex].astype(np.float32), faces=faces)
    has = coordinate != _NOTHING
    if has.any():
        uvs = np.zeros((len(corners), 2))
        uvs[has] = coordinates[coordinate[has]]
        uvs[:, 1] = 1.0 - uvs[:, 1]
        part.uvs = uvs.astype(np.float32)
    has = normal != _NOTHING
    if has.any():
        part.normals = vertex_normals(np.nan_to_num(part.positions), faces)
        given = np.nan_to_num(normals[normal[has]])
        length = np.linalg.norm(given, axis=1, keepdims=True)
        keep = has.nonzero()[0][length[:, 0] > 1e-12]
        part.normals[keep] = (given / np.maximum(length, 1e-12))[length[:, 0] > 1e-12]
    if colors is not None:
        part.colors = colors[vertex]
    return part
