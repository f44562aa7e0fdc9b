"""Normals for parts that came without, smooth across flat edges and sharp across creases.

Legend: V vertices, F faces, K = 3F corners (corner 3f + i is vertex i of face f), P pairs of corners.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Integer, Shaped

from polyglyph.formats.model import Part

__all__ = ["crease_normals", "smooth_parts", "weld"]

PAIRS_AT_ONCE = 4_000_000
CROWDED = 128
"""Corners round one point above which they are compared with their mean rather than with one another."""


def weld(rows: Shaped[np.ndarray, "V C"]) -> Integer[np.ndarray, " V"]:
    """For each row the number of its class of equal rows; classes are numbered from 0 in sorted order.

    Rows are equal when all their values are; −0 equals 0.
    """
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    rows = rows + np.zeros(1, dtype=rows.dtype)
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(1)
    label = np.zeros(len(rows), dtype=np.int64)
    label[order] = np.cumsum(fresh) - 1
    return label


def crease_normals(
    positions: Float[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"], angle: float
) -> Float[np.ndarray, "F 3 3"]:
    """A unit normal for every corner: the area-weighted mean of the faces round its point that lie within
    `angle` degrees of the corner's own face.

    Vertices at one position count as one point. Corners of faces without area take the mean of all faces
    round their point, or +Y.
    """
    corners = positions[faces].astype(np.float64)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(area, axis=1, keepdims=True)
    unit = area / np.maximum(length, 1e-30)
    flat = length[:, 0] <= 1e-30
    limit = np.cos(np.radians(angle)) - 1e-9

    point = weld(positions)[faces.reshape(-1)]
    face = np.repeat(np.arange(len(faces)), 3)
    order = np.argsort(point, kind="stable")
    start = np.flatnonzero(np.r_[True, np.diff(point[order]) != 0])
    count = np.diff(np.r_[start, len(order)])
    round_point = np.add.reduceat(area[face[order]], start, axis=0)
    mean = np.repeat(round_point, count, axis=0)  # in the order of `order`

    result = np.zeros((len(order), 3))
    crowded = np.repeat(count > CROWDED, count)
    own = unit[face[order]]
    direction = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-30)
    agree = (own * direction).sum(1) >= limit
    result[crowded] = np.where(agree[crowded, None], mean[crowded], own[crowded])

    # the others: every corner against every corner of its point, in runs that fit in memory
    pairs = np.where(count > CROWDED, 0, count**2)
    group_end = np.cumsum(pairs)
    first = 0
    while first < len(count):
        last = int(
            np.searchsorted(group_end, (group_end[first - 1] if first else 0) + PAIRS_AT_ONCE, "right")
        )
        last = max(last, first + 1)
        groups = np.arange(first, last)[pairs[first:last] > 0]
        first = last
        if not len(groups):
            continue
        total = pairs[groups].sum()
        offset = np.arange(total) - np.repeat(np.cumsum(pairs[groups]) - pairs[groups], pairs[groups])
        size = np.repeat(count[groups], pairs[groups])
        base = np.repeat(start[groups], pairs[groups])
        mine, other = base + offset // size, base + offset % size
        near = (own[mine] * own[other]).sum(1) >= limit
        weight = area[face[order[other]]] * near[:, None]
        for axis in range(3):
            result[:, axis] += np.bincount(mine, weight[:, axis], minlength=len(order))

    orphan = flat[face[order]] | (np.linalg.norm(result, axis=1) <= 1e-30)
    result[orphan] = mean[orphan]
    size = np.linalg.norm(result, axis=1, keepdims=True)
    result = np.where(size > 1e-30, result / np.maximum(size, 1e-30), np.array([0.0, 1.0, 0.0]))
    back = np.zeros_like(result)
    back[order] = result
    return back.reshape(-1, 3, 3).astype(np.float32)


def smooth_parts(part: Part, angle: float) -> Part:
    """The part with normals: its own where they are sound, else crease-aware ones on doubled vertices."""
    if part.normals is not None:
        length = np.linalg.norm(part.normals, axis=1, keepdims=True)
        used = np.zeros(len(length), dtype=bool)
        used[part.faces.reshape(-1)] = True
        if np.isfinite(length[used]).all() and (length[used] > 1e-6).all():
            normals = np.nan_to_num(part.normals / np.maximum(length, 1e-6)).astype(np.float32)
            return dataclasses.replace(part, normals=normals)
    corner = crease_normals(part.positions, part.faces, angle).reshape(-1, 3)
    vertex = part.faces.reshape(-1)
    # a vertex stays one where its corners' normals agree to 1/500
    key = np.concatenate([vertex[:, None], np.round(corner * 500).astype(np.int64)], 1)
    label = weld(key)
    _, chosen = np.unique(label, return_index=True)
    source = vertex[chosen]

    def taken(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[source]

    return dataclasses.replace(
        part,
        positions=part.positions[source],
        faces=label.reshape(-1, 3).astype(np.int32),
        normals=corner[chosen],
        uvs=taken(part.uvs),
        colors=taken(part.colors),
        tangents=None,
    )
