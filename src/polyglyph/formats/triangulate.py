"""Polygons to triangles: a fan where that is right, ears cut off where the polygon is not convex.

Legend: P polygons, N corners of each, F triangles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["triangulate"]


def triangulate(polygons: Sequence[Sequence[int]], positions: np.ndarray) -> np.ndarray:
    """int32 [F, 3] triangles covering `polygons` (lists of indices into `positions` [V, 3]), same winding."""
    by_size: dict[int, list[int]] = {}
    for index, polygon in enumerate(polygons):
        by_size.setdefault(len(polygon), []).append(index)
    triangles: list[np.ndarray] = []
    owner: list[np.ndarray] = []
    for size, which in by_size.items():
        if size < 3:
            continue
        loops = np.array([polygons[index] for index in which], dtype=np.int64)  # (P, N)
        fan = np.stack(
            [np.repeat(loops[:, :1], size - 2, axis=1), loops[:, 1:-1], loops[:, 2:]], axis=2
        )  # (P, N-2, 3)
        for row in _folded(loops, fan, positions).nonzero()[0]:
            ears = _ears(positions[loops[row]])
            if ears is not None:
                fan[row] = loops[row][ears]
        triangles.append(fan.reshape(-1, 3))
        owner.append(np.repeat(np.array(which), size - 2))
    if not triangles:
        return np.zeros((0, 3), dtype=np.int32)
    order = np.argsort(np.concatenate(owner), kind="stable")
    return np.concatenate(triangles)[order].astype(np.int32)


def _folded(loops: np.ndarray, fan: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Whether a polygon's fan has a triangle that faces the other way (the polygon is not convex)."""
    if loops.shape[1] == 3:
        return np.zeros(len(loops), dtype=bool)
    with np.errstate(invalid="ignore", over="ignore"):
        corners = positions[fan]  # (P, N-2, 3, 3)
        normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        whole = normals.sum(axis=1, keepdims=True)
        against = (normals * whole).sum(axis=2)
        return (against < -1e-9 * (whole**2).sum(axis=2)).any(axis=1)


def _ears(corners: np.ndarray) -> list[list[int]] | None:
    """Triangles of one planar-ish polygon [N, 3], or None if none can be found (it crosses itself)."""
    following = np.roll(corners, -1, axis=0)
    normal = np.cross(corners, following).sum(axis=0)
    if not np.isfinite(normal).all() or not normal.any():
        return None
    drop = int(np.abs(normal).argmax())
    flat = np.delete(corners, drop, axis=1)
    if (normal[drop] < 0) != (drop == 1):
        flat = flat[:, ::-1]
    left, triangles, at = list(range(len(corners))), [], 0
    tried = 0
    while len(left) > 3:
        a, b, c = left[at - 1], left[at], left[(at + 1) % len(left)]
        if _is_ear(flat, left, a, b, c):
            triangles.append([a, b, c])
            left.pop(at)
            at, tried = max(at - 1, 0) % len(left), 0
            continue
        at, tried = (at + 1) % len(left), tried + 1
        if tried > len(left):
            return None
    triangles.append(left)
    return triangles


def _is_ear(flat: np.ndarray, left: list[int], a: int, b: int, c: int) -> bool:
    """Whether the triangle a b c turns left and no other corner lies in or on it."""
    first, second, third = flat[a], flat[b], flat[c]
    if _area(first, second, third) <= 0:
        return False
    points = flat[left]
    inside = (
        (_area(first, second, points) >= 0)
        & (_area(second, third, points) >= 0)
        & (_area(third, first, points) >= 0)
    )
    inside &= (points != first).any(axis=1) & (points != second).any(axis=1) & (points != third).any(axis=1)
    return not inside.any()


def _area(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> Any:
    """Twice the signed area of a b p for each point p [..., 2]."""
    return (b[0] - a[0]) * (points[..., 1] - a[1]) - (b[1] - a[1]) * (points[..., 0] - a[0])
