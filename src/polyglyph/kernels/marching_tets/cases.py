"""The sixteen ways a surface can cut a tetrahedron, derived once from orientation alone.

Take a positively oriented tetrahedron and an even permutation (i, j, k, l) of its corners.

- Only i inside: the surface is the triangle ij, ik, il, and its normal points away from i.
- Only i outside: the same triangle, turned over.
- i and j inside: the surface is the quadrilateral ik, il, jl, jk, normal from ij towards kl.
"""

from polyglyph.kernels.marching_tets.lattice import CELL_EDGES, CELL_TETS, TET_EDGES

__all__ = ["CASES", "cell_cases"]

Triangle = tuple[int, int, int]


def _triangles(code: int) -> tuple[Triangle, ...]:
    inside = [corner for corner in range(4) if code >> corner & 1]
    outside = [corner for corner in range(4) if not code >> corner & 1]
    if not inside or not outside:
        return ()
    i, j, k, l = _even([*inside, *outside] if len(inside) <= 2 else [*outside, *inside])  # noqa: E741
    if len(inside) == 2:
        a, b, c, d = _edge(i, k), _edge(i, l), _edge(j, l), _edge(j, k)
        return (a, b, c), (a, c, d)
    a, b, c = _edge(i, j), _edge(i, k), _edge(i, l)
    return ((a, b, c),) if len(inside) == 1 else ((a, c, b),)


def _even(corners: list[int]) -> list[int]:
    """The same corners, the last two swapped if that makes the permutation even."""
    swaps = sum(p > q for n, p in enumerate(corners) for q in corners[n + 1 :])
    return corners if swaps % 2 == 0 else [*corners[:2], corners[3], corners[2]]


def _edge(a: int, b: int) -> int:
    return TET_EDGES.index((min(a, b), max(a, b)))


CASES: tuple[tuple[Triangle, ...], ...] = tuple(_triangles(code) for code in range(16))
"""Triangles as edge numbers (order of `TET_EDGES`), by the code Σ 2^corner over corners inside."""


def cell_cases() -> list[tuple[Triangle, ...]]:
    """Triangles of a whole cell as numbers of `CELL_EDGES`, tetrahedron after tetrahedron.

    The entry of a cell is its code Σ 2^corner over corners inside, plus 256 if the cell is mirrored.
    """
    cases = []
    for tets in CELL_TETS:
        for code in range(256):
            triangles = []
            for tet in tets:
                signs = sum((code >> corner & 1) << place for place, corner in enumerate(tet))
                for triangle in CASES[signs]:
                    a, b, c = (_cell_edge(tet, edge) for edge in triangle)
                    triangles.append((a, b, c))
            cases.append(tuple(triangles))
    return cases


def _cell_edge(tet: tuple[int, ...], edge: int) -> int:
    a, b = TET_EDGES[edge]
    return CELL_EDGES.index((min(tet[a], tet[b]), max(tet[a], tet[b])))
