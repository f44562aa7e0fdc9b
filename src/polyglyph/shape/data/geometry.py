"""What identifies a shape: a hash for equal geometry, a coarse occupancy for similar geometry. Numpy only.

Legend: V vertices, F faces, S samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from polyglyph.formats.model import Part

__all__ = ["CELLS", "bounds", "geometry_hash", "signature", "signature_bits"]

CELLS = 15
"""Cells along one side of the occupancy grid. Odd, so that the plane of symmetry is not a border of cells."""
SAMPLES = 20_000
"""Points on the surface that decide which cells it passes."""
THINNEST = 0.02
"""A side of the box shorter than this share of the longest counts as this long: flat things stay flat."""


def bounds(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner over the vertices that faces use, float64 [3] each, in metres."""
    used = [part.positions[np.unique(part.faces)] for part in parts if len(part.faces)]
    points = np.concatenate(used).astype(np.float64)
    return points.min(axis=0), points.max(axis=0)


def _unit(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Points [V, 3] centred with the longest side 1, and faces [F, 3] over them."""
    low, high = bounds(parts)
    scale = max(float((high - low).max()), 1e-12)
    offsets = np.cumsum([0, *(len(part.positions) for part in parts)])
    points = np.concatenate([part.positions for part in parts]).astype(np.float64)
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
    return (points - (low + high) / 2) / scale, faces


def geometry_hash(parts: Sequence[Part]) -> str:
    """SHA-256 of the used positions, centred, scaled to 1, in steps of 1/4096, sorted, without repeats.

    Equal for the same shape however its vertices are ordered, duplicated or textured.
    """
    points, faces = _unit(parts)
    steps = np.unique(np.round(points[np.unique(faces)] * 4096).astype(np.int16), axis=0)
    return hashlib.sha256(np.ascontiguousarray(steps).tobytes()).hexdigest()


def signature(parts: Sequence[Part]) -> str:
    """The cells of a 15³ grid around the shape that its surface passes, as hexadecimal digits.

    Every side of the box is stretched to 1 (what that loses, the sides' ratio, is in the manifest's `size`).
    Deterministic: the sample points are a fixed low-discrepancy sequence, spread by area.
    """
    points, faces = _unit(parts)
    used = points[np.unique(faces)]
    points = points / np.maximum(used.max(axis=0) - used.min(axis=0), THINNEST)
    corners = points[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    grid = np.zeros(CELLS**3, dtype=bool)
    if areas.sum() > 0:
        edges = np.cumsum(areas) / areas.sum()
        index = np.arange(SAMPLES)
        face = np.minimum(np.searchsorted(edges, (index + 0.5) / SAMPLES), len(faces) - 1)
        u, v = (index * 0.7548776662466927) % 1.0, (index * 0.5698402909980532) % 1.0
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
        samples = a + u[:, None] * (b - a) + v[:, None] * (c - a)
        cell = np.clip(np.floor((samples + 0.5) * CELLS).astype(np.int64), 0, CELLS - 1)
        grid[(cell[:, 0] * CELLS + cell[:, 1]) * CELLS + cell[:, 2]] = True
    return np.packbits(grid).tobytes().hex()


def signature_bits(text: str) -> np.ndarray:
    """The bool [15, 15, 15] grid (X, Y, Z) that `signature` wrote."""
    packed = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    return np.unpackbits(packed, count=CELLS**3).astype(bool).reshape(CELLS, CELLS, CELLS)
