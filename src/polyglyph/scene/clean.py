"""Tidying geometry before it is unwrapped, and saying what is wrong with it.

Everything here works on bare positions and faces; attributes are made again afterwards.

Legend: V vertices, F faces, E edges.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Shaped
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.scene.collapses import sound_collapses
from polyglyph.scene.normals import weld

__all__ = [
    "Geometry",
    "Validity",
    "check_geometry",
    "components",
    "decimate",
    "largest_parts",
    "merge",
    "validity",
]

DECIMATION_ROUNDS = 8


@dataclass(frozen=True)
class Geometry:
    """Bare triangles."""

    positions: Float[np.ndarray, "V 3"]
    faces: Integer[np.ndarray, "F 3"]


@dataclass(frozen=True)
class Validity:
    """What can be said about a surface by its connections alone. Vertices at one position count as one."""

    vertices: int
    faces: int
    edges: int
    components: int
    """Sets of faces connected through vertices."""
    boundary_edges: int
    """Edges with one face."""
    nonmanifold_edges: int
    """Edges with more than two faces."""
    nonmanifold_vertices: int
    """Vertices whose faces, joined across edges, are more than one fan."""
    misoriented_edges: int
    """Edges whose two faces run along it in the same direction."""
    degenerate_faces: int
    """Faces with a repeated vertex, or with no area."""
    duplicate_faces: int
    """Faces with the same three vertices as an earlier one."""
    euler: int
    """V − E + F: 2 for each sphere, 0 for each torus when the surface is closed."""

    @property
    def closed(self) -> bool:
        """Whether no edge has just one face."""
        return self.faces > 0 and self.boundary_edges == 0

    @property
    def manifold(self) -> bool:
        """Whether the surface looks like a piece of a plane round every point (borders allowed)."""
        return self.nonmanifold_edges == 0 and self.nonmanifold_vertices == 0

    @property
    def oriented(self) -> bool:
        """Whether neighbouring faces agree which side is outside."""
        return self.misoriented_edges == 0

    @property
    def solid(self) -> bool:
        """Closed, manifold, consistently oriented and without degenerate faces."""
        return self.closed and self.manifold and self.oriented and self.degenerate_faces == 0


def check_geometry(positions: Shaped[np.ndarray, "V 3"], faces: Shaped[np.ndarray, "F 3"]) -> None:
    """Raise DataError for no faces, positions that are not finite, or faces that name missing vertices."""
    if not len(faces):
        raise DataError("the mesh has no faces", fix="give a mesh with at least one triangle")
    if not np.isfinite(positions).all():
        raise DataError("the mesh has positions that are not finite", fix="repair the mesh, or leave it out")
    if faces.min() < 0 or faces.max() >= len(positions):
        raise DataError("the mesh has faces that name vertices which are not there", fix="repair the mesh")


def merge(
    positions: Shaped[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"], *, tolerance: float = 0.0
) -> Geometry:
    """One vertex for each position, without unused vertices and without faces that repeat a vertex.

    With a `tolerance` (metres), positions are first rounded to a grid of that spacing; each merged vertex
    keeps the position of its lowest-numbered member. Faces keep their order.
    """
    if tolerance < 0:
        raise ConfigError(f"the tolerance is {tolerance}", fix="give 0 or more metres")
    key = np.round(positions.astype(np.float64) / tolerance).astype(np.int64) if tolerance else positions
    label = weld(key)
    joined = label[faces]
    sound = (joined[:, 0] != joined[:, 1]) & (joined[:, 1] != joined[:, 2]) & (joined[:, 2] != joined[:, 0])
    joined = joined[sound]
    _, first = np.unique(label, return_index=True)
    used = np.zeros(len(first), dtype=bool)
    used[joined.reshape(-1)] = True
    order = np.flatnonzero(used)[np.argsort(first[used], kind="stable")]
    number = np.zeros(len(first), dtype=np.int64)
    number[order] = np.arange(len(order))
    return Geometry(
        positions[first[order]].astype(np.float32), number[joined].reshape(-1, 3).astype(np.int32)
    )


def components(faces: Integer[np.ndarray, "F 3"], vertices: int) -> Integer[np.ndarray, " F"]:
    """For each face the number of its connected part (through shared vertices), from 0, by first face."""
    rows, columns = np.r_[faces[:, 0], faces[:, 1]], np.r_[faces[:, 1], faces[:, 2]]
    graph = sparse.coo_matrix((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(vertices, vertices))
    label = connected_components(graph, directed=False)[1][faces[:, 0]]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.zeros(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def largest_parts(
    positions: Shaped[np.ndarray, "V 3"],
    faces: Integer[np.ndarray, "F 3"],
    *,
    share: float = 0.02,
    limit: int | None = None,
) -> Geometry:
    """The connected parts whose surface is at least `share` of the largest part's, at most `limit` of them.

    The largest is always kept. Vertices are merged by position first, so that parts are what the eye sees.
    """
    check_geometry(positions, faces)
    joined = merge(positions, faces)
    if not len(joined.faces):
        raise DataError("every face of the mesh repeats a vertex", fix="repair the mesh, or leave it out")
    part = components(joined.faces, len(joined.positions))
    area = np.bincount(part, _areas(joined.positions, joined.faces))
    order = np.argsort(-area, kind="stable")
    kept = order[area[order] >= share * area[order[0]]][: None if limit is None else max(1, limit)]
    return merge(joined.positions, joined.faces[np.isin(part, kept)])


def decimate(positions: Shaped[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"], limit: int) -> Geometry:
    """At most about `limit` faces, by quadric edge collapse; a mesh that has no more is returned as it is.

    A manifold mesh stays manifold, and a closed one closed, with as many parts and handles: where the
    collapses would pinch it, those that do are left out (see `collapses`). The result can keep a few faces
    more where no further edge can be collapsed.
    """
    if limit < 4:
        raise ConfigError(f"the limit is {limit} faces", fix="allow at least 4")
    check_geometry(positions, faces)
    if len(faces) <= limit:
        return Geometry(positions.astype(np.float32), faces.astype(np.int32))
    less = _simplified(positions, faces, limit)
    if _sound(less.positions, less.faces):
        return less
    whole = merge(positions, faces)
    if not len(whole.faces) or not _sound(whole.positions, whole.faces):
        return less
    found, target = whole, limit
    for _ in range(DECIMATION_ROUNDS):  # collapses that are left out are made up for by later ones
        before = len(found.faces)
        found = _decimated_soundly(found, target, limit)
        if len(found.faces) <= limit or len(found.faces) == before:
            break
        target = max(4, target // 2)
    return found


def _simplified(positions: np.ndarray, faces: np.ndarray, limit: int) -> Geometry:
    """What the library makes of it, whatever becomes of the surface."""
    import fast_simplification

    simplified = fast_simplification.simplify(
        np.ascontiguousarray(positions, dtype=np.float64),
        np.ascontiguousarray(faces, dtype=np.int32),
        target_count=limit,
    )
    points, triangles = simplified[0], simplified[1]
    if not len(triangles):
        return Geometry(positions.astype(np.float32), faces.astype(np.int32))
    return merge(np.asarray(points, dtype=np.float32), np.asarray(triangles, dtype=np.int32))


def _decimated_soundly(mesh: Geometry, target: int, limit: int) -> Geometry:
    """The library's collapses towards `target` faces, without the unsound ones, until `limit` are left."""
    import fast_simplification

    points = np.ascontiguousarray(mesh.positions, dtype=np.float64)
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
    # the stubs know no third result
    result: Any = fast_simplification.simplify(points, faces, target_count=target, return_collapses=True)
    done, kept = sound_collapses(faces, result[2], limit)
    if not len(done):
        return mesh
    # replaying only the sound ones puts each vertex where the quadrics of its own collapses want it
    moved, _, index = fast_simplification.replay_simplification(points, faces, done)
    return merge(np.asarray(moved, dtype=np.float32)[index], kept)


def _sound(positions: np.ndarray, faces: np.ndarray) -> bool:
    """Whether a surface is manifold, consistently oriented and without faces on top of each other."""
    found = validity(positions, faces)
    return found.manifold and found.oriented and not found.duplicate_faces


def validity(positions: Shaped[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"]) -> Validity:
    """Count what is open, non-manifold, misoriented, degenerate or doubled.

    Edges and the Euler number are of the faces that do not repeat a vertex. Raises DataError as
    `check_geometry` does.
    """
    check_geometry(positions, faces)
    label = weld(positions)[faces]
    repeated = (label[:, 0] == label[:, 1]) | (label[:, 1] == label[:, 2]) | (label[:, 2] == label[:, 0])
    flat = _areas(positions, faces) <= 1e-14 * max(float(np.ptp(positions, axis=0).max()), 1e-12) ** 2
    sound = label[~repeated]
    _, vertex = np.unique(sound, return_inverse=True)
    sound = vertex.reshape(-1, 3)
    vertices = int(sound.max(initial=-1)) + 1
    start = sound.reshape(-1)
    end = sound[:, [1, 2, 0]].reshape(-1)
    low, high = np.minimum(start, end), np.maximum(start, end)
    _, edge, count = np.unique(low * max(vertices, 1) + high, return_inverse=True, return_counts=True)
    forward = np.bincount(edge, start < end, minlength=len(count))
    return Validity(
        vertices=vertices,
        faces=len(faces),
        edges=len(count),
        components=int(components(sound, vertices).max(initial=-1)) + 1 if len(sound) else 0,
        boundary_edges=int((count == 1).sum()),
        nonmanifold_edges=int((count > 2).sum()),
        nonmanifold_vertices=_nonmanifold_vertices(sound, edge, vertices),
        misoriented_edges=int(((count == 2) & (forward != 1)).sum()),
        degenerate_faces=int((repeated | flat).sum()),
        duplicate_faces=len(sound) - len(np.unique(np.sort(sound, axis=1), axis=0)),
        euler=vertices - len(count) + len(sound),
    )


def _nonmanifold_vertices(faces: np.ndarray, edge: np.ndarray, vertices: int) -> int:
    """Vertices with several fans: corners of one vertex, joined across its edges, in more than one piece."""
    if not len(faces):
        return 0
    corner = np.arange(faces.size)
    # half-edge k runs from corner k to the next of its face; across an edge, corners at one vertex join
    following = corner // 3 * 3 + (corner % 3 + 1) % 3
    ends = np.concatenate([corner, following])  # both corners of every half-edge
    edges = np.concatenate([edge, edge])
    point = faces.reshape(-1)[ends]
    order = np.lexsort((ends, point, edges))
    same = (edges[order][1:] == edges[order][:-1]) & (point[order][1:] == point[order][:-1])
    left, right = ends[order][:-1][same], ends[order][1:][same]
    graph = sparse.coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(faces.size, faces.size))
    fan = connected_components(graph, directed=False)[1]
    pairs = np.unique(np.stack([faces.reshape(-1), fan], 1), axis=0)
    return int((np.bincount(pairs[:, 0], minlength=vertices) > 1).sum())


def _areas(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corner = positions[faces].astype(np.float64)
    return np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
