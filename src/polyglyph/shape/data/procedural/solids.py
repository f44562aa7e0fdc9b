"""Closed solids with texture coordinates in metres: what procedural furniture is put together from.

Every function returns a solid whose surface is closed once equal positions are welded, with faces
counter-clockwise seen from outside. Vertices are doubled along creases and texture seams.

Legend: V vertices, F faces, K points along a path, N points around or in a profile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyglyph.formats.triangulate import triangulate

__all__ = ["Solid", "box", "cushion", "extrude", "lathe", "merge", "rod", "sheet", "sphere", "tube"]

Point = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Solid:
    """A closed surface."""

    positions: np.ndarray
    """float64 [V, 3], metres."""
    faces: np.ndarray
    """int64 [F, 3]."""
    normals: np.ndarray
    """float64 [V, 3], unit length."""
    uvs: np.ndarray
    """float64 [V, 2], metres along the surface."""

    def moved(self, *, turn: np.ndarray | None = None, shift: Point = (0.0, 0.0, 0.0)) -> Solid:
        """The same solid turned by a rotation matrix [3, 3] and then shifted."""
        turn = np.eye(3) if turn is None else turn
        return Solid(self.positions @ turn.T + np.asarray(shift), self.faces, self.normals @ turn.T, self.uvs)

    def mirrored(self) -> Solid:
        """The same solid mirrored in the plane X = 0."""
        flip = np.array([-1.0, 1.0, 1.0])
        return Solid(self.positions * flip, self.faces[:, ::-1], self.normals * flip, self.uvs)


def merge(solids: Sequence[Solid]) -> Solid:
    """Several solids as one list of vertices and faces."""
    starts = np.cumsum([0, *(len(solid.positions) for solid in solids)])
    return Solid(
        np.concatenate([solid.positions for solid in solids]),
        np.concatenate([solid.faces + start for solid, start in zip(solids, starts[:-1], strict=True)]),
        np.concatenate([solid.normals for solid in solids]),
        np.concatenate([solid.uvs for solid in solids]),
    )


def rotation(axis: str, degrees: float) -> np.ndarray:
    """The matrix [3, 3] that turns by `degrees` around `x`, `y` or `z`, counter-clockwise from its tip."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis], dtype=np.float64)


def _patches(patches: Sequence[tuple[np.ndarray, np.ndarray]], *, smooth: bool = True) -> Solid:
    """Grids of points [n, m, 3] with coordinates [n, m, 2]; rows × columns turn counter-clockwise outside."""
    positions, faces, uvs, normals, start = [], [], [], [], 0
    for points, coordinates in patches:
        n, m, _ = points.shape
        index = np.arange(n * m).reshape(n, m) + start
        a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
        quads = np.stack([a, b, c, d], axis=-1).reshape(-1, 4)
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        flat = points.reshape(-1, 3)
        corner = flat[triangles - start]
        area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
        faces.append(triangles[area > 1e-12])
        positions.append(flat)
        uvs.append(coordinates.reshape(-1, 2))
        start += n * m
        normals.append(_grid_normals(points))
    solid = Solid(
        np.concatenate(positions), np.concatenate(faces), np.concatenate(normals), np.concatenate(uvs)
    )
    return _weld_normals(solid) if smooth else solid


def _grid_normals(points: np.ndarray) -> np.ndarray:
    down = np.gradient(points, axis=0) if points.shape[0] > 1 else np.zeros_like(points)
    along = np.gradient(points, axis=1) if points.shape[1] > 1 else np.zeros_like(points)
    return _unit(np.cross(down, along).reshape(-1, 3))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), np.array([0.0, 1.0, 0.0]))


def _weld_normals(solid: Solid, crease: float = 35.0) -> Solid:
    """Normals averaged over equal positions where faces meet at less than `crease` degrees."""
    _, same = np.unique(np.round(solid.positions, 6), axis=0, return_inverse=True)
    same = same.reshape(-1)
    corner = solid.positions[solid.faces]
    weighted = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    own = np.zeros_like(solid.positions)
    for k in range(3):
        np.add.at(own, solid.faces[:, k], weighted)
    own_unit = _unit(own)
    normals = own.copy()
    order = np.argsort(same, kind="stable")
    limits = np.flatnonzero(np.diff(same[order])) + 1
    for group in np.split(order, limits):
        if len(group) > 1:
            alike = own_unit[group] @ own_unit[group].T > math.cos(math.radians(crease))
            normals[group] = alike.astype(np.float64) @ own[group]
    return Solid(solid.positions, solid.faces, _unit(normals), solid.uvs)


def box(center: Point, size: Point, *, turn: np.ndarray | None = None) -> Solid:
    """A box with sharp edges. The longest side of each face runs along u, as the grain of a board does."""
    half = np.asarray(size, dtype=np.float64) / 2
    patches = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            low, high = (u, v) if sign > 0 else (v, u)
            grid = np.zeros((2, 2, 3))
            grid[..., axis] = sign * half[axis]
            grid[..., low] = np.array([[-1, -1], [1, 1]]) * half[low]
            grid[..., high] = np.array([[-1, 1], [-1, 1]]) * half[high]
            along, across = (low, high) if half[low] >= half[high] else (high, low)
            patches.append(
                (grid, np.stack([grid[..., along], grid[..., across] + 2 * axis * half.max()], axis=-1))
            )
    return _patches(patches).moved(turn=turn, shift=center)


def sphere(center: Point, radii: Point, *, around: int = 20, power: float = 1.0) -> Solid:
    """An ellipsoid, or with `power` below 1 a box with rounded edges (a superquadric)."""
    latitude = np.linspace(-math.pi / 2, math.pi / 2, max(around // 2, 4) + 1)
    longitude = np.linspace(0, 2 * math.pi, around + 1)

    def bend(values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.abs(np.where(np.abs(values) < 1e-9, 0, values)) ** power

    lat, lon = np.meshgrid(latitude, longitude, indexing="ij")
    points = np.stack(
        [bend(np.cos(lat)) * bend(np.sin(lon)), bend(np.sin(lat)), bend(np.cos(lat)) * bend(np.cos(lon))], -1
    )
    points[:, -1] = points[:, 0]
    points[[0, -1], :, 0::2] = 0.0
    points = points * np.asarray(radii)
    reach = float(max(radii))
    uvs = np.stack([lon / (2 * math.pi) * 4 * reach, -lat / math.pi * 2 * reach], axis=-1)
    return _patches([(points[::-1], uvs[::-1])]).moved(shift=center)


def cushion(center: Point, size: Point, *, softness: float = 0.3, turn: np.ndarray | None = None) -> Solid:
    """A padded box with rounded edges; `softness` 0.05 is nearly a box, 0.6 nearly an ellipsoid.

    Texture coordinates are projected from the side that each face looks to.
    """
    half = np.asarray(size, dtype=np.float64) / 2
    steps = np.linspace(-1, 1, 9)
    a, b = np.meshgrid(steps, steps, indexing="ij")
    patches = []
    exponent = 2 / max(softness, 0.05)
    for axis in range(3):
        for sign in (1.0, -1.0):
            low, high = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0 else ((axis + 2) % 3, (axis + 1) % 3)
            cube = np.zeros((9, 9, 3))
            cube[..., axis], cube[..., low], cube[..., high] = sign, a, b
            norm = (np.abs(cube) ** exponent).sum(axis=-1, keepdims=True) ** (1 / exponent)
            points = np.round(cube / norm, 9) * half
            patches.append((points, np.stack([points[..., low], points[..., high]], axis=-1)))
    return _patches(patches).moved(turn=turn, shift=center)


def rod(
    start: Point, end: Point, radius: float, radius_end: float | None = None, *, sides: int = 12
) -> Solid:
    """A straight round bar between two points; with 4 `sides` a square one. `radius_end` tapers it."""
    return tube([start, end], [radius, radius if radius_end is None else radius_end], sides=sides)


def tube(
    path: Sequence[Point] | np.ndarray,
    radius: float | Sequence[float] | np.ndarray,
    *,
    sides: int = 10,
    flat: float = 1.0,
) -> Solid:
    """A bar swept along a path of points with flat ends.

    Square bars (4 sides) stand with a flat side to the front. `flat` below 1 squeezes the section along
    the second axis of the frame.
    """
    line = np.asarray(path, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), (len(line),))
    tangent = _unit(np.gradient(line, axis=0))
    first = np.array([1.0, 0.0, 0.0]) if abs(tangent[0, 0]) < 0.9 else np.array([0.0, 0.0, 1.0])
    turn = math.pi / sides if sides == 4 else 0.0
    angle = np.linspace(0, 2 * math.pi, sides + 1) + turn
    if sides == 4:
        radii = radii * math.sqrt(2)
    rings, length, side = [], 0.0, first
    uvs = []
    for k in range(len(line)):
        side = _unit((side - tangent[k] * (side @ tangent[k]))[None])[0]
        other = np.cross(tangent[k], side)
        ring = line[k] + radii[k] * (np.cos(angle)[:, None] * side + flat * np.sin(angle)[:, None] * other)
        ring[-1] = ring[0]
        length += float(np.linalg.norm(line[k] - line[k - 1])) if k else 0.0
        rings.append(ring)
        uvs.append(
            np.stack([np.full(sides + 1, length), angle / (2 * math.pi) * 6 * float(radii.mean())], axis=-1)
        )
    points, coordinates = np.stack(rings), np.stack(uvs)
    start = np.stack([np.broadcast_to(line[0], rings[0].shape), rings[0]])
    end = np.stack([rings[-1], np.broadcast_to(line[-1], rings[-1].shape)])
    caps = [
        (cap, np.stack([cap @ first, cap @ np.cross(tangent[0], first)], axis=-1)) for cap in (start, end)
    ]
    # rows run along the path, columns around it: turned so that they count counter-clockwise from outside
    return _patches([(grid[:, ::-1], uv[:, ::-1]) for grid, uv in [(points, coordinates), *caps]])


def lathe(
    profile: Sequence[tuple[float, float]], *, sides: int = 24, center: Point = (0.0, 0.0, 0.0)
) -> Solid:
    """A solid of revolution around Y. `profile` lists (radius, height) from the bottom up on the outside.

    It is closed at both ends: where the first or last radius is not 0, a flat disc is added; a profile that
    ends where it began (a shade, a ring) is closed already.
    """
    line = [(float(r), float(y)) for r, y in profile]
    if line[0] != line[-1]:
        line = (
            ([(0.0, line[0][1])] if line[0][0] > 0 else [])
            + line
            + ([(0.0, line[-1][1])] if line[-1][0] > 0 else [])
        )
    outline = np.asarray(line)
    angle = np.linspace(0, 2 * math.pi, sides + 1)
    r, y = outline[:, :1], outline[:, 1:]
    points = np.stack(
        [r * np.sin(angle), np.broadcast_to(y, (len(outline), sides + 1)), r * np.cos(angle)], axis=-1
    )
    points[:, -1] = points[:, 0]
    step = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(step)])
    reach = float(outline[:, 0].max())
    around = np.broadcast_to(angle * reach, (len(outline), sides + 1))
    uvs = np.stack([around, np.broadcast_to(-along[:, None], around.shape)], axis=-1)
    return _patches([(points[::-1], uvs[::-1])]).moved(shift=center)


def sheet(middle: np.ndarray, thickness: float) -> Solid:
    """A bent board: a grid of points [n, m, 3] thickened to both sides. Rows × columns face out."""
    middle = np.asarray(middle, dtype=np.float64)
    normal = _grid_normals(middle).reshape(middle.shape) * thickness / 2
    top, bottom = middle + normal, middle - normal
    down = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=2).mean(axis=1))])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middle, axis=1), axis=2).mean(axis=0))])
    uvs = np.stack(np.meshgrid(down, along, indexing="ij"), axis=-1)

    def strip(first: np.ndarray, second: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([first, second]), np.stack(
            [np.stack([u, np.full_like(u, v)], -1) for v in (0.0, thickness)]
        )

    return _patches(
        [
            (top, uvs),
            (bottom[:, ::-1], uvs[:, ::-1]),
            strip(bottom[0], top[0], along),
            strip(top[-1], bottom[-1], along),
            strip(top[:, 0], bottom[:, 0], down),
            strip(bottom[:, -1], top[:, -1], down),
        ]
    )


def extrude(outline: Sequence[tuple[float, float]], depth: float, *, inset: float = 0.0) -> Solid:
    """A plate of a simple polygon in the XY plane (counter-clockwise), `depth` along Z, centred.

    `inset` shrinks the front and back face towards their middle by that share, so that the sides lean in.
    """
    flat = np.asarray(outline, dtype=np.float64)
    count = len(flat)
    middle = (flat.min(axis=0) + flat.max(axis=0)) / 2
    cap = middle + (flat - middle) * (1 - inset)
    front = np.concatenate([cap, np.full((count, 1), depth / 2)], axis=1)
    back = np.concatenate([cap, np.full((count, 1), -depth / 2)], axis=1)
    rim = np.concatenate([flat, np.zeros((count, 1))], axis=1)
    rows = [front, rim, back] if inset else [front, back]
    loop = np.stack([np.concatenate([row, row[:1]]) for row in rows])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(loop[0], axis=0), axis=1))])
    across = np.linspace(depth / 2, -depth / 2, len(rows))
    sides = _patches(
        [(loop, np.stack(np.broadcast_arrays(length[None], across[:, None]), axis=-1))], smooth=False
    )
    # every side is its own flat strip, so that the corners of the outline stay sharp
    strips = []
    for k in range(count):
        grid = loop[:, k : k + 2]
        strips.append(
            (grid, np.stack(np.broadcast_arrays(length[None, k : k + 2], across[:, None]), axis=-1))
        )
    sides = _patches(strips)
    triangles = triangulate([list(range(count))], front).astype(np.int64)
    caps = []
    for points, faces, z in ((front, triangles, 1.0), (back, triangles[:, ::-1], -1.0)):
        caps.append(Solid(points, faces, np.tile([0.0, 0.0, z], (count, 1)), points[:, :2]))
    return merge([sides, *caps])
