"""Which triangles of the plane overlap.

Legend: F triangles, P pairs.
"""

import numpy as np
from jaxtyping import Float, Integer

__all__ = ["overlapping_pairs"]

PAIRS_AT_ONCE = 2_000_000
CELLS_PER_TRIANGLE = 64


def overlapping_pairs(
    triangles: Float[np.ndarray, "F 3 2"], group: Integer[np.ndarray, " F"], *, tolerance: float = 1e-7
) -> Integer[np.ndarray, "P 2"]:
    """Pairs (i < j) of one `group` whose insides overlap; touching at corners and edges is no overlap.

    Exact up to `tolerance`, a share of each group's extent: triangles that overlap by less in some direction
    count as touching. Triangles without area overlap with nothing. Sorted by i, then j.
    """
    if len(triangles) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    triangles = triangles.astype(np.float64)
    area = _area(triangles)
    low, high = triangles.min(1), triangles.max(1)
    extent = np.zeros(int(group.max()) + 1)
    base = np.full((len(extent), 2), np.inf)
    top = np.full((len(extent), 2), -np.inf)
    np.minimum.at(base, group, low)
    np.maximum.at(top, group, high)
    extent = np.maximum((top - base).max(1), 1e-30)
    slack = extent[group] * tolerance
    useful = np.flatnonzero(np.abs(area) > slack**2)
    found = []
    for first, second in _candidates(low, high, group, base, useful):
        apart = (low[first] > high[second] - slack[first, None]).any(1)
        apart |= (low[second] > high[first] - slack[first, None]).any(1)
        first, second = first[~apart], second[~apart]
        hit = _overlap(triangles[first], triangles[second], slack[first])
        found.append(np.stack([first[hit], second[hit]], 1))
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    return np.unique(np.concatenate(found), axis=0)


def _area(triangles: np.ndarray) -> np.ndarray:
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _candidates(low: np.ndarray, high: np.ndarray, group: np.ndarray, base: np.ndarray, useful: np.ndarray):
    """Pairs that share a cell of a grid as fine as the group's triangles, in runs that fit in memory."""
    size = (high - low)[useful].max(1)
    total = np.bincount(group[useful], size, minlength=len(base))
    number = np.bincount(group[useful], minlength=len(base))
    cell = np.maximum(total / np.maximum(number, 1) * 1.5, 1e-30)[group[useful]]
    # a triangle much larger than the rest would fill very many cells: grow the cells of such groups
    span = np.ceil((high - low)[useful] / cell[:, None]).prod(1)
    worst = np.ones(len(base))
    np.maximum.at(worst, group[useful], span / CELLS_PER_TRIANGLE)
    cell = cell * np.sqrt(np.maximum(worst, 1))[group[useful]]
    start = np.floor((low[useful] - base[group[useful]]) / cell[:, None]).astype(np.int64)
    stop = np.floor((high[useful] - base[group[useful]]) / cell[:, None]).astype(np.int64)
    across = stop - start + 1
    count = across.prod(1)
    item = np.repeat(np.arange(len(useful)), count)
    offset = np.arange(len(item)) - np.repeat(np.cumsum(count) - count, count)
    column = start[item, 0] + offset % across[item, 0]
    row = start[item, 1] + offset // across[item, 0]
    order = np.lexsort((item, column, row, group[useful][item]))
    item, column, row = item[order], column[order], row[order]
    owner = group[useful][item]
    fresh = np.r_[True, (np.diff(column) != 0) | (np.diff(row) != 0) | (np.diff(owner) != 0)]
    begin = np.flatnonzero(fresh)
    length = np.diff(np.r_[begin, len(item)])
    # the k-th entry of a cell pairs with the k entries before it
    rank = np.arange(len(item)) - np.repeat(begin, length)
    ends = np.cumsum(rank)
    first = 0
    while first < len(item):
        last = int(np.searchsorted(ends, (ends[first - 1] if first else 0) + PAIRS_AT_ONCE, "right"))
        last = max(last, first + 1)
        mine = np.repeat(np.arange(first, last), rank[first:last])
        step = np.arange(len(mine)) - np.repeat(
            np.cumsum(rank[first:last]) - rank[first:last], rank[first:last]
        )
        a, b = useful[item[mine]], useful[item[mine - 1 - step]]
        first = last
        if len(a):
            yield np.minimum(a, b), np.maximum(a, b)


def _overlap(left: np.ndarray, right: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """Separating axes: convex sets overlap when their shadows do on every edge's normal."""
    overlap = np.ones(len(left), dtype=bool)
    for triangle in (left, right):
        for i in range(3):
            edge = triangle[:, (i + 1) % 3] - triangle[:, i]
            normal = np.stack([-edge[:, 1], edge[:, 0]], 1)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
            a, b = (left * normal[:, None]).sum(2), (right * normal[:, None]).sum(2)
            overlap &= (a.max(1) > b.min(1) + slack) & (b.max(1) > a.min(1) + slack)
    return overlap
