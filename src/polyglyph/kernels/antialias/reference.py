"""The definition, one pair of pixels at a time. Slow on purpose; never optimise this file."""

from typing import Any

import torch
from torch import Tensor

STEPS = 32
Face = list[int]
Point = tuple[float, float, float]


def antialias(
    color: Tensor, face_id: Tensor, depth: Tensor, clip: Tensor, faces: Tensor, topology: Any
) -> Tensor:
    """Soften the silhouettes in `color` [B, H, W, C]; of `topology` only corners and meshes are used."""
    batch, height, width = face_id.shape
    own: list[Face] = faces.tolist()
    table: list[Face] = topology.corner.tolist()
    mesh: list[int] = [0] * len(table) if topology.mesh is None else topology.mesh.tolist()
    pixels = {(n, i, j): color[n, i, j] for n in range(batch) for i in range(height) for j in range(width)}
    for n in range(batch):
        packed = clip[n] if clip.ndim == 3 else clip
        vertices = [(x, y, w) for x, y, _, w in packed.tolist()]
        ids, z = face_id[n].tolist(), depth[n].tolist()
        for i in range(height):
            for j in range(width):
                for k, m in ((i, j + 1), (i + 1, j)):
                    if k == height or m == width or ids[i][j] == ids[k][m]:
                        continue
                    near, far = (i, j), (k, m)
                    if ids[i][j] < 0 or (ids[k][m] >= 0 and z[k][m] < z[i][j]):
                        near, far = far, near
                    start = ids[near[0]][near[1]]
                    half = _silhouette(
                        start, _centre(near, face_id), _centre(far, face_id), vertices, table, mesh
                    )
                    if half is None:
                        continue
                    edge = (own[half // 3][half % 3 - 2], own[half // 3][half % 3 - 1])
                    if _upright(edge, vertices, height, width) != (i == k):
                        continue
                    t = _crossing(
                        packed[edge[0]], packed[edge[1]], _centre(near, face_id), _centre(far, face_id)
                    )
                    contrast = color[(n, *far)] - color[(n, *near)]
                    target = (n, *(near if t < 0.5 else far))
                    pixels[target] = pixels[target] + contrast * (0.5 - t).to(color.dtype)
    return torch.stack(list(pixels.values())).reshape(color.shape)


def _centre(pixel: tuple[int, int], face_id: Tensor) -> Point:
    _, height, width = face_id.shape
    return (2 * pixel[1] + 1) / width - 1, 1 - (2 * pixel[0] + 1) / height, 1.0


def _cross(u: Point, v: Point) -> Point:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


def _at(edge: Point, p: Point) -> float:
    return edge[0] * p[0] + (edge[1] * p[1] + edge[2])


def _det(corner: Point, edge: Point) -> float:
    return (corner[0] * edge[0] + corner[1] * edge[1]) + corner[2] * edge[2]


def _silhouette(
    face: int, near: Point, far: Point, vertices: list[Point], table: list[Face], mesh: list[int]
) -> int | None:
    """The silhouette edge between two centres, as a half-edge, starting on `face`."""
    place = _first_edge(table[face], near, far, vertices)
    if place is None:
        return None
    half = 3 * face + place
    start, end = table[face][(place + 1) % 3], table[face][(place + 2) % 3]
    if _det(vertices[table[face][0]], _cross(vertices[table[face][1]], vertices[table[face][2]])) < 0:
        start, end = end, start  # so that the edge function is positive inside
    for _ in range(STEPS):
        edge = _cross(vertices[start], vertices[end])
        fall = _at(edge, near) - _at(edge, far)
        if not (fall > 0 and _at(edge, near) <= fall):
            return None
        beyond = _beyond(half, {start, end}, edge, vertices, table, mesh)
        if beyond is None:
            return half
        corners, apex = table[beyond // 3], table[beyond // 3][beyond % 3]
        replaces_start = (_side(vertices[apex], near, far) >= 0) == (_side(vertices[start], near, far) >= 0)
        dropped = start if replaces_start else end
        start, end = (apex, end) if replaces_start else (start, apex)
        place = (beyond % 3 + 1) % 3 if corners[(beyond % 3 + 1) % 3] == dropped else (beyond % 3 + 2) % 3
        half = beyond - beyond % 3 + place
    return None


def _first_edge(corners: Face, near: Point, far: Point, vertices: list[Point]) -> int | None:
    """The corner opposite the edge through which the line from `near` leaves its own face."""
    v = [vertices[vertex] for vertex in corners]
    side = [_side(vertex, near, far) for vertex in v]
    heading = near[0] - far[0] if near[1] == far[1] else far[1] - near[1]
    heading *= _det(v[0], _cross(v[1], v[2]))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        crosses = (side[j] >= 0) != (side[k] >= 0)
        if crosses and (side[j] * v[k][2] - side[k] * v[j][2]) * heading > 0:
            return i
    return None


def _side(vertex: Point, near: Point, far: Point) -> float:
    """Height over a line from left to right; distance to the right of one from top to bottom."""
    along = 1 if near[1] == far[1] else 0
    return vertex[along] - near[along] * vertex[2]


def _beyond(
    here: int, ends: set[int], edge: Point, vertices: list[Point], table: list[Face], mesh: list[int]
) -> int | None:
    """The half-edge next round the edge whose face goes on beyond it on screen."""
    own = [f for f in range(len(table)) if mesh[f] == mesh[here // 3]]
    halves = [3 * f + i for f in own for i in range(3) if {table[f][i - 2], table[f][i - 1]} == ends]
    for half in [h for h in halves if h > here] + [h for h in halves if h < here]:
        if _det(vertices[table[half // 3][half % 3]], edge) <= 0:
            return half
    return None


def _upright(edge: tuple[int, int], vertices: list[Point], height: int, width: int) -> bool:
    a, b, _ = _cross(vertices[edge[0]], vertices[edge[1]])
    return abs(a / width) >= abs(b / height)


def _crossing(a: Tensor, b: Tensor, near: Point, far: Point) -> Tensor:
    """t in [0, 1] where the line from `near` to `far` meets the edge, differentiable in its ends."""
    edge = torch.linalg.cross(a[[0, 1, 3]].double(), b[[0, 1, 3]].double())
    at_near, at_far = edge.dot(edge.new_tensor(near)), edge.dot(edge.new_tensor(far))
    return at_near / (at_near - at_far)
