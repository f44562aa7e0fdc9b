"""What can be said about a mesh as it is written: its connections, crossings and texture coordinates.

Legend: V vertices, F faces, P pairs of faces.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Shaped

from polyglyph.formats.model import Part
from polyglyph.scene.clean import validity
from polyglyph.scene.overlap import overlapping_pairs
from polyglyph.scene.self_intersection import self_intersections

__all__ = ["MeshReport", "overlap_area", "report"]


@dataclass(frozen=True)
class MeshReport:
    """Of one part. Vertices at one position count as one: texture seams double them in a file."""

    closed: bool
    manifold: bool
    oriented: bool
    components: int
    euler: int
    genus: int | None
    """Handles of all components together; None unless closed, manifold and oriented."""
    degenerate_faces: int
    duplicate_faces: int
    boundary_edges: int
    nonmanifold_edges: int
    self_intersections: int
    """Pairs of faces that pass through each other."""
    uv_overlap: float
    """Share of the texture that more than one face lays claim to; 0 without coordinates."""


def report(part: Part) -> MeshReport:
    """Look a part over. Raises DataError for no faces, or positions that are not finite."""
    found = validity(part.positions, part.faces)
    whole = found.closed and found.manifold and found.oriented
    return MeshReport(
        closed=found.closed,
        manifold=found.manifold,
        oriented=found.oriented,
        components=found.components,
        euler=found.euler,
        genus=found.components - found.euler // 2 if whole else None,
        degenerate_faces=found.degenerate_faces,
        duplicate_faces=found.duplicate_faces,
        boundary_edges=found.boundary_edges,
        nonmanifold_edges=found.nonmanifold_edges,
        self_intersections=len(self_intersections(part.positions, part.faces)),
        uv_overlap=0.0 if part.uvs is None else overlap_area(part.uvs, part.faces),
    )


def overlap_area(uvs: Shaped[np.ndarray, "V 2"], faces: Integer[np.ndarray, "F 3"]) -> float:
    """The area that pairs of faces share in the unit square of texture coordinates, each pair counted."""
    flat = uvs[faces].astype(np.float64)
    pairs = overlapping_pairs(flat, np.zeros(len(flat), dtype=np.int64), tolerance=1e-6)
    return float(sum(_shared_area(flat[a], flat[b]) for a, b in pairs))


def _shared_area(subject: Float[np.ndarray, "3 2"], window: Float[np.ndarray, "3 2"]) -> float:
    """Area that two triangles share: one clipped by the other's edges (Sutherland and Hodgman 1974)."""
    if _area(window) < 0:
        window = window[::-1]
    polygon = list(subject)
    for k in range(3):
        origin, along = window[k], window[(k + 1) % 3] - window[k]
        side = [float(along[0] * (p[1] - origin[1]) - along[1] * (p[0] - origin[0])) for p in polygon]
        kept = []
        for i, point in enumerate(polygon):
            j = i - 1
            if side[i] * side[j] < 0:
                kept.append(polygon[j] + (point - polygon[j]) * (side[j] / (side[j] - side[i])))
            if side[i] >= 0:
                kept.append(point)
        polygon = kept
    return abs(_area(np.array(polygon))) if len(polygon) > 2 else 0.0


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
