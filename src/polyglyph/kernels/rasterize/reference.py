"""The definition, one face and one pixel at a time. Slow on purpose; never optimise this file."""

import math

import torch
from torch import Tensor

BOX_MARGIN = 1e-4
DEPTH_STEPS = 2.0**31


def face_ids(
    clip: Tensor,
    faces: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None = None,
) -> Tensor:
    """Row of `faces` seen by each pixel, int32 [B, H, W]; -1 where none is."""
    batch = clip.shape[0] if ranges is None else ranges.shape[0]
    ids = torch.full((batch, *resolution), -1, dtype=torch.int32)
    for image in range(batch):
        vertices = (clip[image] if ranges is None else clip).tolist()
        first, count = (0, faces.shape[0]) if ranges is None else ranges[image].tolist()
        order = {}  # pixel -> (depth in steps, face) of all that cover it
        for face in range(first, first + count):
            corners = [vertices[vertex] for vertex in faces[face].tolist()]
            for row, column, depth in _covered(corners, resolution):
                step = min(int((depth + 1) * DEPTH_STEPS), 2**32 - 1)
                order.setdefault((row, column), []).append((step, face))
        for (row, column), found in order.items():
            found = [face for _, face in sorted(found)]
            if behind is None:
                ids[image, row, column] = found[0]
            elif int(behind[image, row, column]) >= 0:
                after = found[found.index(int(behind[image, row, column])) + 1 :]
                ids[image, row, column] = after[0] if after else -1
    return ids.to(clip.device)


def _covered(corners: list[list[float]], resolution: tuple[int, int]) -> list[tuple[int, int, float]]:
    """(row, column, depth) of every pixel that one face covers."""
    height, width = resolution
    v = [(x, y, w) for x, y, _, w in corners]
    z = [z for _, _, z, _ in corners]
    edges = [_cross(v[1], v[2]), _cross(v[2], v[0]), _cross(v[0], v[1])]
    det = (v[0][0] * edges[0][0] + v[0][1] * edges[0][1]) + v[0][2] * edges[0][2]
    if det == 0 or not math.isfinite(det):
        return []
    sign = math.copysign(1.0, det)
    edges = [(a * sign, b * sign, c * sign) for a, b, c in edges]
    plane = [((edges[0][n] * z[0] + edges[1][n] * z[1]) + edges[2][n] * z[2]) / abs(det) for n in range(3)]
    rows, columns = _box(corners, resolution)
    found = []
    for row in rows:
        Y = 1 - (2 * row + 1) / height
        for column in columns:
            X = (2 * column + 1) / width - 1
            depth = plane[0] * X + (plane[1] * Y + plane[2])
            if all(_inside(edge, X, Y) for edge in edges) and -1 <= depth <= 1:
                found.append((row, column, depth))
    return found


def _inside(edge: tuple[float, float, float], X: float, Y: float) -> bool:
    a, b, c = edge
    e = a * X + (b * Y + c)
    left = a > 0
    top = a == 0 and b < 0
    return e > 0 or (e == 0 and (left or top))


def _box(corners: list[list[float]], resolution: tuple[int, int]) -> tuple[range, range]:
    height, width = resolution
    if not any(w > 0 for _, _, _, w in corners):
        return range(0), range(0)
    if not all(w > 0 for _, _, _, w in corners):
        return range(height), range(width)
    rows = [(1 - y / w) * (height / 2) - 0.5 for _, y, _, w in corners]
    columns = [(x / w + 1) * (width / 2) - 0.5 for x, _, _, w in corners]
    return _between(rows, height), _between(columns, width)


def _between(values: list[float], size: int) -> range:
    first = max(0.0, min(values) - BOX_MARGIN)
    last = min(size - 1.0, max(values) + BOX_MARGIN)
    return range(math.ceil(first), math.floor(last) + 1) if first <= last else range(0)


def _cross(u: tuple[float, ...], v: tuple[float, ...]) -> tuple[float, float, float]:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


def evaluate(
    clip: Tensor, faces: Tensor, face_id: Tensor, derivatives: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Depth [B, H, W], barycentrics [B, H, W, 3] and their derivatives [B, H, W, 3, 2], by autograd."""
    batch, height, width = face_id.shape
    depths, weights, changes = [], [], []
    for image in range(batch):
        for row in range(height):
            for column in range(width):
                face = int(face_id[image, row, column])
                if face < 0:
                    depths.append(clip.new_ones(()))
                    weights.append(clip.new_zeros(3))
                    changes.append(clip.new_zeros(3, 2))
                    continue
                corners = (clip[image] if clip.ndim == 3 else clip)[faces[face].to(torch.int64)].double()
                v = corners[:, [0, 1, 3]]
                p = v.new_tensor([(2 * column + 1) / width - 1, 1 - (2 * row + 1) / height, 1.0])
                n = torch.stack([torch.linalg.cross(v[j], v[k]) for j, k in ((1, 2), (2, 0), (0, 1))])
                e = n @ p
                depths.append((e.dot(corners[:, 2]) / e.dot(corners[:, 3])).to(clip.dtype))
                weights.append((e / e.sum()).to(clip.dtype))
                # The quotient rule, for a step of one pixel to the right and one down.
                step = v.new_tensor([[2 / width, 0], [0, -2 / height], [0, 0]])
                de = n @ step
                change = (de * e.sum() - e[:, None] * de.sum(dim=0)) / e.sum() ** 2
                changes.append(change.to(clip.dtype))
    shape = (batch, height, width)
    derivative = torch.stack(changes).reshape(*shape, 3, 2) if derivatives else None
    return torch.stack(depths).reshape(shape), torch.stack(weights).reshape(*shape, 3), derivative
