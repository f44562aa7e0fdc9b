"""An atlas by projection along the six axis directions: quick, bounded in time, and the same every time.

1. Each face takes the axis direction nearest to its normal; single faces then follow their neighbours where
   they still face that way, which makes fewer and larger charts.
2. Charts are the edge-connected faces of one direction, projected along it.
3. Where a chart overlaps itself (a spiral, a fold seen through), its overlapping faces are dealt into sheets
   without overlap.
4. Charts, as rectangles, are packed on shelves at the largest scale that fits, with padding in texels.

Legend: V vertices, F faces, C charts, K charted vertices.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from polyglyph.scene.normals import weld
from polyglyph.scene.overlap import overlapping_pairs

__all__ = ["box_atlas", "laid_out_again"]

AXES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64)
ACROSS = np.array([[0, 0, -1], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [-1, 0, 0]], dtype=np.float64)
"""For each direction what runs to the right in its charts; up is direction × right."""
LEAST_FACING = 0.35
"""Cosine below which a face is never projected along a direction for its neighbours' sake."""
SMOOTHING = 4


@dataclass
class _Edges:
    """Pairs of faces that share an edge; both orders are listed."""

    left: np.ndarray
    right: np.ndarray


def box_atlas(
    positions: Float[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"], *, resolution: int, padding: int
) -> tuple[Integer[np.ndarray, " K"], Integer[np.ndarray, "F 3"], Float[np.ndarray, "K 2"]]:
    """Source vertex of each charted vertex, faces over them (in their order), and coordinates in [0, 1]."""
    positions = positions.astype(np.float64)
    edges = _neighbours(weld(positions)[faces])
    direction = _directions(positions, faces, edges)
    flat = _project(positions, faces, direction)
    return _laid_out(flat, faces, edges, direction, resolution, padding)


def laid_out_again(
    uvs: Float[np.ndarray, "V 2"], faces: Integer[np.ndarray, "F 3"], *, resolution: int, padding: int
) -> tuple[Integer[np.ndarray, " K"], Integer[np.ndarray, "F 3"], Float[np.ndarray, "K 2"]]:
    """Another program's charts with every overlap taken apart (steps 3 and 4); results as `box_atlas`."""
    region = np.zeros(len(faces), dtype=np.int64)
    return _laid_out(uvs[faces].astype(np.float64), faces, _neighbours(faces), region, resolution, padding)


def _laid_out(
    flat: np.ndarray, faces: np.ndarray, edges: _Edges, region: np.ndarray, resolution: int, padding: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Charts of connected faces of one region, without overlap inside or between them."""
    chart = _charts(edges, region, np.zeros(len(faces), dtype=np.int64))
    clash = overlapping_pairs(flat, chart)
    if len(clash):
        chart = _charts(edges, region, _sheets(len(faces), edges, region, clash))
    uvs = _packed(flat, chart, resolution, padding)
    # one charted vertex for each vertex and chart
    key = faces.reshape(-1).astype(np.int64) * (int(chart.max()) + 1) + np.repeat(chart, 3)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return faces.reshape(-1)[first].astype(np.int64), inverse.reshape(-1, 3).astype(np.int32), uvs[first]


def _neighbours(point: np.ndarray) -> _Edges:
    """Faces across each edge that exactly two faces share; other edges are seams."""
    start, end = point.reshape(-1), point[:, [1, 2, 0]].reshape(-1)
    key = np.minimum(start, end).astype(np.int64) * (int(point.max()) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    alone = same & ~np.r_[False, same[:-1]] & ~np.r_[same[1:], False]
    a, b = order[:-1][alone] // 3, order[1:][alone] // 3
    return _Edges(np.r_[a, b], np.r_[b, a])


def _directions(positions: np.ndarray, faces: np.ndarray, edges: _Edges) -> np.ndarray:
    """The axis of each face, smoothed by its neighbours' votes."""
    corner = positions[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    cosine = (normal / np.maximum(length, 1e-300)) @ AXES.T
    cosine[length[:, 0] <= 1e-300] = 0.5  # faces without area go where their neighbours go
    direction = cosine.argmax(1)
    allowed = cosine >= LEAST_FACING
    for _ in range(SMOOTHING):
        votes = np.zeros((len(faces), 6))
        np.add.at(votes, (edges.left, direction[edges.right]), 1.0)
        votes[np.arange(len(faces)), direction] += 0.5
        wanted = np.where(allowed, votes + 0.25 * cosine, -1.0).argmax(1)
        if (wanted == direction).all():
            break
        direction = wanted
    return direction


def _project(positions: np.ndarray, faces: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Corners [F, 3, 2] in the plane of each face's direction; v runs down the picture."""
    corner = positions[faces]
    right = ACROSS[direction]
    up = np.cross(AXES[direction], right)
    return np.stack([(corner * right[:, None]).sum(2), -(corner * up[:, None]).sum(2)], 2)


def _charts(edges: _Edges, region: np.ndarray, sheet: np.ndarray) -> np.ndarray:
    """Edge-connected faces with one region and one sheet, numbered by first face."""
    kept = (region[edges.left] == region[edges.right]) & (sheet[edges.left] == sheet[edges.right])
    size = len(region)
    graph = sparse.coo_matrix(
        (np.ones(int(kept.sum()), dtype=bool), (edges.left[kept], edges.right[kept])), shape=(size, size)
    )
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _sheets(count: int, edges: _Edges, region: np.ndarray, clash: np.ndarray) -> np.ndarray:
    """A sheet for every face so that no two clashing faces share one; neighbours stay together if they can.

    Faces that clash with nothing go to sheet 0. The others are taken as a flood fill reaches them, each on
    the sheet it is reached from if that is free of clashes, else on the lowest free one.
    """
    clashes: dict[int, list[int]] = {}
    for a, b in clash.tolist():
        clashes.setdefault(a, []).append(b)
        clashes.setdefault(b, []).append(a)
    near: dict[int, list[int]] = {face: [] for face in clashes}
    kept = region[edges.left] == region[edges.right]
    for a, b in zip(edges.left[kept].tolist(), edges.right[kept].tolist(), strict=True):
        if a in near and b in near:
            near[a].append(b)
    sheet = np.zeros(count, dtype=np.int64)
    dealt: dict[int, int] = {}
    for seed in sorted(clashes):
        if seed in dealt:
            continue
        waiting = [(seed, 0)]
        for face, wish in waiting:
            if face in dealt:
                continue
            taken = {dealt[other] for other in clashes[face] if other in dealt}
            choice = wish
            if choice in taken:
                choice = next(number for number in range(len(taken) + 1) if number not in taken)
            dealt[face] = choice
            waiting.extend((other, choice) for other in near[face] if other not in dealt)
    for face, number in dealt.items():
        sheet[face] = number
    return sheet


def _packed(flat: np.ndarray, chart: np.ndarray, resolution: int, padding: int) -> np.ndarray:
    """Charts on shelves: coordinates [3F, 2] in [0, 1] of every corner."""
    count = int(chart.max()) + 1
    corners, owner = flat.reshape(-1, 2), np.repeat(chart, 3)
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, owner, corners)
    np.maximum.at(high, owner, corners)
    size = high - low
    turned = size[:, 1] > size[:, 0]  # charts lie on their long side
    size[turned] = size[turned, ::-1]
    order = np.lexsort((np.arange(count), -size[:, 0], -size[:, 1]))
    while count * (2 * padding + 2) ** 2 > resolution**2 * 0.7:
        if padding == 0:
            resolution *= 2  # more charts than texels: pack on a finer grid
        padding //= 2
    fits, place = 0.0, np.zeros((count, 2))
    too_big = resolution / max(float(size.max()), 1e-30)
    trial = too_big
    for _ in range(24):
        found = _shelves(size, order, trial, resolution, padding)
        if found is None:
            too_big = trial
        else:
            fits, place = trial, found
        trial = (fits + too_big) / 2
        if too_big - fits < 1e-3 * too_big:
            break
    inside = corners - low[owner]
    swap = turned[owner]
    inside[swap] = np.stack([high[owner[swap], 1] - corners[swap, 1], inside[swap, 0]], 1)  # a quarter turn
    return ((place[owner] + padding + 0.5 + inside * fits) / resolution).astype(np.float32)


def _shelves(
    size: np.ndarray, order: np.ndarray, scale: float, resolution: int, padding: int
) -> np.ndarray | None:
    """Lower corners in texels of all rectangles, tallest first, row by row; None if they do not fit."""
    width, height = (np.ceil(size * scale).astype(np.int64) + 1 + 2 * padding).T
    if int(width.max(initial=0)) > resolution or int((width * height).sum()) > resolution**2:
        return None
    place = np.zeros((len(size), 2))
    x = y = tall = 0
    for index, wide, high in zip(order.tolist(), width[order].tolist(), height[order].tolist(), strict=True):
        if x + wide > resolution:
            x, y, tall = 0, y + tall, 0
        tall = max(tall, high)
        if y + tall > resolution:
            return None
        place[index] = x, y
        x += wide
    return place
