"""How a surface cuts a cube, derived from the signs of its corners.

On each face of a cube the surface draws segments that join cut edges. A face with two cut edges has one
segment. An *ambiguous* face has four: its inside corners lie across from each other, and its two segments
go either around the inside corners (which separates them) or around the outside corners (which joins
them). Around the cube, segments close into loops; each loop bounds one *patch* of the surface, and dual
marching cubes puts one vertex in each patch (Nielson 2004).

Both cubes of a face must draw the same segments. Separating inside corners everywhere does that, but it
leaves one defect: where the two segments of an ambiguous face belong to one patch on either side, two
vertices are joined by two edges, and four quads meet in one edge of the mesh. `pinched_face` says where
that can happen, at most one face of a cube (in the cases that the literature calls C16 and C19). If *both*
cubes of a face are pinched there, the face's segments are turned the other way, in both cubes. That splits
both patches in two (as Shen et al. 2023, supplement, section 1.3), so the defect is gone; and
since no cube turns more than one face, turning one face cannot undo another.

A case is the code Σ 2^corner over corners inside, plus 256 if the segments of its pinched face are turned.
"""

from functools import cache

from polyglyph.kernels.flexicubes.grid import CUBE_EDGES

__all__ = ["CASES", "PINCHED_FACE", "TURNED", "patches", "pinched_face"]

TURNED = 256
"""Added to the code of a cube whose pinched face is turned."""

Segment = tuple[int, int]


def patches(code: int, turned_face: int = -1) -> tuple[tuple[int, ...], ...]:
    """The cut edges of each patch, as numbers of `CUBE_EDGES`; patches by their lowest edge.

    On ambiguous faces the segments separate the inside corners, on `turned_face` the outside corners.
    """
    remaining = [s for face in range(6) for s in _segments(code, face, turned=face == turned_face)]
    found = []
    while remaining:
        patch = set(remaining.pop())
        while joined := [segment for segment in remaining if patch & set(segment)]:
            patch.update(*joined)
            remaining = [segment for segment in remaining if segment not in joined]
        found.append(tuple(sorted(patch)))
    return tuple(sorted(found))


def pinched_face(code: int) -> int:
    """The ambiguous face whose two segments belong to one patch, or -1."""
    for face in range(6):
        segments = _segments(code, face, turned=False)
        if len(segments) == 2 and any({*segments[0], *segments[1]} <= set(p) for p in patches(code)):
            return face
    return -1


@cache
def _ring(face: int) -> tuple[int, int, int, int]:
    """A face's four corners, in the order of a walk around it."""
    axis, side = divmod(face, 2)
    u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
    base = side << axis
    return base, base | u, base | u | v, base | v


def _segments(code: int, face: int, *, turned: bool) -> list[Segment]:
    """The pairs of cut edges that the surface joins on a face."""
    ring = _ring(face)
    inside = [bool(code >> corner & 1) for corner in ring]
    # Edge i of the ring joins corners i and i + 1, so the edges at corner i are i - 1 and i.
    edges = [_edge(ring[i], ring[(i + 1) % 4]) for i in range(4)]
    cut = [edges[i] for i in range(4) if inside[i] != inside[(i + 1) % 4]]
    if len(cut) < 4:
        return [(cut[0], cut[1])] if cut else []
    around = [i for i in range(4) if inside[i] != turned]
    return [(edges[i - 1], edges[i]) for i in around]


def _edge(a: int, b: int) -> int:
    return CUBE_EDGES.index((min(a, b), max(a, b)))


PINCHED_FACE: tuple[int, ...] = tuple(pinched_face(code) for code in range(256))
"""`pinched_face` by code."""

CASES: tuple[tuple[tuple[int, ...], ...], ...] = (
    *(patches(code) for code in range(256)),
    *(patches(code, PINCHED_FACE[code]) for code in range(256)),
)
"""The patches of every case."""
