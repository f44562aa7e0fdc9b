"""Explicit tetrahedra, and the eight parts of each.

Legend: T tetrahedra, E edges, N vertices.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.kernels.marching_tets import TET_EDGES
from polyglyph.kernels.subdivide.edges import unique_edges, with_midpoints

__all__ = ["CORNER_PARTS", "DIAGONALS", "INNER_PARTS", "TetMesh"]


@dataclass(frozen=True, eq=False)
class TetMesh:
    """Tetrahedra by their corners, and their edges, found by one sort when first asked for.

    Convention: for `march_tets` to face outward, tetrahedra must be positively oriented,
    (v1-v0) · ((v2-v0) × (v3-v0)) > 0, as those of `Lattice` are. Vertices may be unused.
    """

    tets: Int[Tensor, "T 4"]
    vertex_count: int

    @property
    def edges(self) -> Int[Tensor, "E 2"]:
        """Ends of every edge, lower index first, in lexicographic order."""
        return self._edges[0]

    @property
    def tet_edges(self) -> Int[Tensor, "T 6"]:
        """Edges of every tetrahedron, in the order 01, 02, 03, 12, 13, 23."""
        return self._edges[1]

    @cached_property
    def _edges(self) -> tuple[Tensor, Tensor]:
        return unique_edges(self.tets, TET_EDGES, self.vertex_count)

    def with_midpoints(self, x: Float[Tensor, "..."], dim: int = -2) -> Float[Tensor, "..."]:
        """Numbers per vertex (along `dim`), with the means of both ends of every edge appended.

        What `subdivide_tets` needs carried over: positions and displacements (`dim` -2), SDFs (`dim` -1).
        Differentiable in `x`.
        """
        return with_midpoints(x, self.edges, dim)


# In these tables, a part's corners are the parent's corners 0 to 3 and, as 4 + e, the midpoints of TET_EDGES.


def _midpoint(a: int, b: int) -> int:
    return 4 + TET_EDGES.index((min(a, b), max(a, b)))


CORNER_PARTS = tuple(
    tuple(corner if corner == other else _midpoint(corner, other) for other in range(4))
    for corner in range(4)
)
"""The parts at the parent's corners: the parent halved, so with its orientation."""

DIAGONALS = ((0, 5), (1, 4), (2, 3))
"""The opposite corners of the octahedron that the corner parts leave, as numbers of `TET_EDGES`."""


def _inner_parts(diagonal: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """Four tetrahedra around a diagonal of the octahedron, positively oriented."""
    first, last = diagonal
    # The rim 01, 02, 13 ... of the other four corners: consecutive midpoints lie on a common face.
    (i, j), (k, l) = TET_EDGES[first], TET_EDGES[last]  # noqa: E741
    rim = [_midpoint(i, k), _midpoint(j, k), _midpoint(j, l), _midpoint(i, l)]
    parts = [(4 + first, 4 + last, rim[n], rim[(n + 1) % 4]) for n in range(4)]
    return tuple(part if _volume(part) > 0 else (*part[:2], part[3], part[2]) for part in parts)


def _volume(part: tuple[int, ...]) -> float:
    corners = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    places = torch.cat([corners, corners[torch.tensor(TET_EDGES)].mean(dim=1)])[list(part)]
    return float(torch.linalg.det(places[1:] - places[0]))


INNER_PARTS = tuple(_inner_parts(diagonal) for diagonal in DIAGONALS)
"""The parts inside, for each of `DIAGONALS`."""
