"""Where a surface passes through itself.

Legend: V vertices, F faces, P pairs of faces.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Integer, Shaped

from polyglyph.scene.normals import weld

__all__ = ["self_intersections"]

PAIRS_AT_ONCE = 1_000_000
CELLS_PER_FACE = 64


def self_intersections(
    positions: Shaped[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"]
) -> Integer[np.ndarray, "P 2"]:
    """Pairs (i < j) of faces that pass through each other: an edge of one crosses the inside of the other.

    Vertices at one position count as one. Faces that share an edge, or touch, or lie in one plane do not
    count; of faces that share one vertex the edges opposite to it are looked at. Signs are of float64
    determinants: crossings by less than about 1e-12 of the mesh's size are missed. Sorted by i, then j.
    About 0.3 s for 10,000 faces.
    """
    label = weld(positions)[faces]
    corner = positions[faces].astype(np.float64)
    low, high = corner.min(1), corner.max(1)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for first, second in _candidates(low, high):
        for axis in range(3):
            near = low[first, axis] <= high[second, axis]
            near &= low[second, axis] <= high[first, axis]
            first, second = first[near], second[near]
        shared = (label[first][:, :, None] == label[second][:, None]).reshape(-1, 9).sum(1)
        first, second = first[shared < 2], second[shared < 2]
        # the planes decide most pairs: all corners of one on one side of the other
        for one, other in ((0, 1), (1, 0)):
            pair = (first, second)
            kept = _straddles(corner[pair[one]], corner[pair[other]])
            first, second = first[kept], second[kept]
        hit = np.zeros(len(first), dtype=bool)
        for a, b in ((first, second), (second, first)):
            for k in range(3):
                start, end = k, (k + 1) % 3
                apart = ~(label[a][:, [start, end]][:, :, None] == label[b][:, None]).any((1, 2))
                hit |= apart & _crosses(corner[a, start], corner[a, end], corner[b])
        found.append(np.stack([first[hit], second[hit]], 1))
    return np.unique(np.concatenate(found), axis=0)


def _candidates(low: np.ndarray, high: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of boxes that share a cell of a grid about as fine as the boxes, each at least once."""
    cell = max(float((high - low).max(1).mean()), 1e-30)
    span = np.ceil((high - low) / cell).prod(1)
    cell *= max(1.0, float(span.max() / CELLS_PER_FACE)) ** (1 / 2)
    base = low.min(0)
    start = np.floor((low - base) / cell).astype(np.int64)
    across = np.floor((high - base) / cell).astype(np.int64) - start + 1
    count = across.prod(1)
    item = np.repeat(np.arange(len(low)), count)
    offset = np.arange(len(item)) - np.repeat(np.cumsum(count) - count, count)
    size = (start + across).max(0)
    x = start[item, 0] + offset % across[item, 0]
    y = start[item, 1] + offset // across[item, 0] % across[item, 1]
    z = start[item, 2] + offset // (across[item, 0] * across[item, 1])
    key = (z * size[1] + y) * size[0] + x
    order = np.argsort(key, kind="stable")
    item, key = item[order], key[order]
    begin = np.flatnonzero(np.r_[True, np.diff(key) != 0])
    length = np.diff(np.r_[begin, len(item)])
    # the k-th entry of a cell pairs with the k entries before it
    rank = np.arange(len(item)) - np.repeat(begin, length)
    ends = np.cumsum(rank)
    first = 0
    while first < len(item):
        last = int(np.searchsorted(ends, (ends[first - 1] if first else 0) + PAIRS_AT_ONCE, "right"))
        last = max(last, first + 1)
        number = rank[first:last]
        mine = np.repeat(np.arange(first, last), number)
        step = np.arange(len(mine)) - np.repeat(np.cumsum(number) - number, number)
        first = last
        a, b = item[mine], item[mine - 1 - step]
        yield np.minimum(a, b), np.maximum(a, b)


def _volume(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> Float[np.ndarray, " P"]:
    """Six times the signed volume of a tetrahedron."""
    return ((b - a) * np.cross(c - a, d - a)).sum(1)


def _straddles(triangle: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether the corners of `other` do not all lie strictly on one side of the triangle's plane."""
    sides = np.stack([_volume(other[:, k], *triangle.transpose(1, 0, 2)) for k in range(3)], 1)
    return (sides.min(1) <= 0) & (sides.max(1) >= 0)


def _crosses(p: np.ndarray, q: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Whether the segment from p to q passes through the inside of the triangle."""
    a, b, c = triangle.transpose(1, 0, 2)
    found = _volume(p, a, b, c) * _volume(q, a, b, c) < 0
    p, q, a, b, c = p[found], q[found], a[found], b[found], c[found]
    turns = np.stack([_volume(p, q, a, b), _volume(p, q, b, c), _volume(p, q, c, a)], 1)
    found[found] = (turns > 0).all(1) | (turns < 0).all(1)
    return found
