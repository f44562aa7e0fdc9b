"""Fewer triangles, textures kept: done only when asked for.

Legend: V vertices, F faces.
"""

from __future__ import annotations

from typing import Any

import fast_simplification
import numpy as np

from polyglyph.formats.model import MeshFile, Part

__all__ = ["simplify"]


def simplify(mesh: MeshFile, max_faces: int) -> MeshFile:
    """A mesh of about `max_faces` triangles (each part keeps its share, and at least 4).

    Quadric edge collapses (Garland and Heckbert 1997). A new vertex takes the texture coordinate,
    normal and colour of the nearest of the vertices that were merged into it, so nothing bleeds over
    the seams of the texture.
    """
    total = mesh.face_count
    if total <= max_faces:
        return mesh
    share = max_faces / total
    parts = [_simplify_part(part, max(4, int(len(part.faces) * share))) for part in mesh.parts]
    result = MeshFile([part for part in parts if len(part.faces)], list(mesh.warnings))
    result.warnings.append(f"simplified from {total} to {result.face_count} triangles, as asked")
    return result


def _simplify_part(part: Part, target: int) -> Part:
    if len(part.faces) <= target:
        return part
    points: Any = np.ascontiguousarray(part.positions, dtype=np.float32)
    faces = np.ascontiguousarray(part.faces, dtype=np.int32)
    # the stubs know neither float32 nor the third result
    result: Any = fast_simplification.simplify(points, faces, target_count=target, return_collapses=True)
    collapses = result[2]
    new_points, new_faces, merged_into = fast_simplification.replay_simplification(points, faces, collapses)
    donor = _nearest_donor(points, new_points, merged_into)
    keep = np.unique(new_faces)
    index = np.full(len(new_points), -1, dtype=np.int32)
    index[keep] = np.arange(len(keep), dtype=np.int32)
    donor = donor[keep]

    def take(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[donor]

    return Part(
        positions=new_points[keep].astype(np.float32),
        faces=index[new_faces].astype(np.int32),
        name=part.name,
        normals=take(part.normals),
        uvs=take(part.uvs),
        colors=take(part.colors),
        tangents=take(part.tangents),
        material=part.material,
    )


def _nearest_donor(points: np.ndarray, new_points: np.ndarray, merged_into: np.ndarray) -> np.ndarray:
    """For each new vertex, the old vertex merged into it that lies nearest. [V'] int."""
    distance = np.linalg.norm(points - new_points[merged_into], axis=1)
    order = np.lexsort((distance, merged_into))
    groups, first = np.unique(merged_into[order], return_index=True)
    donor = np.zeros(len(new_points), dtype=np.int64)
    donor[groups] = order[first]
    return donor
