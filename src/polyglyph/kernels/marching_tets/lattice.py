"""A unit box cut into tetrahedra, with every table computed from indices.

Each cell of an n×n×n grid is cut into the six tetrahedra of Kuhn (1960): one for every order in
which a path can walk the three axes from one corner of the cell to the opposite one. Alternate
cells are mirrored along each axis, so that neighbours agree on the diagonals of their common
face, and so that an even lattice is its own mirror image.

The mirroring has one useful reading: in a cell, "corner bit along an axis" is the parity of the
lattice coordinate along that axis. Every lattice edge therefore runs from even to odd along the
axes in which its ends differ, and it is named by those axes (a mask of three bits) and by its
lowest corner. That numbers all edges without sorting anything.

Legend: n cells along an axis, N vertices ((n+1)³), T tetrahedra (6n³), E edges, K cells asked for.
Axis bits: 1 is x, 2 is y, 4 is z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = ["CELL_EDGES", "CELL_TETS", "TET_EDGES", "Lattice", "kuhn_lattice"]

TET_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The two corners of each of a tetrahedron's six edges, in the order of `Lattice.tet_edges`."""

CELL_EDGES = tuple((even, even | mask) for mask in range(1, 8) for even in range(8) if not even & mask)
"""The 19 edges of a cell as pairs of its corners; a corner is three parity bits."""


def _cell_tets(mirrored: bool) -> tuple[tuple[int, ...], ...]:
    """The six paths from corner 0 to corner 7 along the axes, positively oriented."""
    tets = []
    for order in permutations(range(3)):
        first, second = 1 << order[0], 1 << order[0] | 1 << order[1]
        cyclic = order in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        tets.append((0, first, second, 7) if cyclic != mirrored else (0, second, first, 7))
    return tuple(tets)


CELL_TETS = (_cell_tets(mirrored=False), _cell_tets(mirrored=True))
"""Corners of a cell's six tetrahedra; in the second entry for cells mirrored along an odd number of axes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lattice:
    """A tetrahedral lattice of the box [-0.5, 0.5]³.

    Convention: vertex (ix, iy, iz) has index (ix·(n+1) + iy)·(n+1) + iz and cell (ix, iy, iz) has
    index (ix·n + iy)·n + iz; the six tetrahedra of cell c are 6c … 6c+5. All tetrahedra are
    positively oriented: (v1-v0) · ((v2-v0) × (v3-v0)) > 0. Indices are int64.
    """

    resolution: int
    """Cells along each axis, n."""
    positions: Float[Tensor, "N 3"]
    """Vertices; exactly antisymmetric in the index, so that mirroring costs no rounding."""
    edges: Int[Tensor, "E 2"]
    """Ends of every edge, lower index first; ordered by axis mask, then by lowest corner."""
    boundary: Bool[Tensor, "N"]
    """True on the six faces of the box."""
    centre: int
    """The vertex nearest to the origin (at the origin when n is even)."""
    corner_offsets: Int[Tensor, "8 8"]
    """Vertex index of a cell's corner minus that of its lowest corner, by the cell's parity."""
    edge_offsets: Int[Tensor, "8 19"]
    """Edge index minus that of the edge with the same axes at the cell's lowest corner, by parity."""
    edge_strides: Int[Tensor, "19 4"]
    """For each of `CELL_EDGES`: index step along x, y, z, and the first index of its axis mask."""

    @property
    def vertex_count(self) -> int:
        """N = (n+1)³."""
        return (self.resolution + 1) ** 3

    @property
    def edge_count(self) -> int:
        """E = 3n(n+1)² + 3n²(n+1) + n³."""
        return self.edges.shape[0]

    @cached_property
    def tets(self) -> Int[Tensor, "T 4"]:
        """Corners of every tetrahedron."""
        return self._of_every_cell(self.corners_of, CELL_TETS).view(-1, 4)

    @cached_property
    def tet_edges(self) -> Int[Tensor, "T 6"]:
        """Edges of every tetrahedron, in the order 01, 02, 03, 12, 13, 23."""
        slots = [
            [[CELL_EDGES.index((min(t[a], t[b]), max(t[a], t[b]))) for a, b in TET_EDGES] for t in tets]
            for tets in CELL_TETS
        ]
        return self._of_every_cell(self.edges_of, slots).view(-1, 6)

    def corners_of(self, cells: Int[Tensor, "K"]) -> Int[Tensor, "K 8"]:
        """Vertices of each cell, by corner: three parity bits of the lattice coordinates."""
        x, y, z = self._coordinates(cells)
        side = self.resolution + 1
        return ((x * side + y) * side + z)[:, None] + self.corner_offsets.index_select(0, _parity(x, y, z))

    def edges_of(self, cells: Int[Tensor, "K"]) -> Int[Tensor, "K 19"]:
        """Edges of each cell, in the order of `CELL_EDGES`."""
        x, y, z = self._coordinates(cells)
        step_x, step_y, _, first = self.edge_strides.unbind(1)
        origin = torch.addcmul(torch.addcmul(first, x[:, None], step_x), y[:, None], step_y)
        return origin.add_(z[:, None]).add_(self.edge_offsets.index_select(0, _parity(x, y, z)))

    def mirrored(self, cells: Int[Tensor, "K"]) -> Int[Tensor, "K"]:
        """1 for cells mirrored along an odd number of axes, else 0: the index into `CELL_TETS`."""
        x, y, z = self._coordinates(cells)
        return (x ^ y ^ z) & 1

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Lattice":
        """The same lattice on `device`, with positions of `dtype`; copied once, then remembered."""
        device, dtype = torch.device(device), dtype or self.positions.dtype
        here = self.positions.device
        same_device = device.type == here.type and device.index in (None, here.index)
        return self if same_device and dtype == self.positions.dtype else _moved(self, device, dtype)

    def _coordinates(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = self.resolution
        rest = torch.div(cells, n, rounding_mode="floor")
        x = torch.div(rest, n, rounding_mode="floor")
        return x, rest - x * n, cells - rest * n

    def _of_every_cell(
        self, of: Callable[[Tensor], Tensor], places: Sequence[Sequence[Sequence[int]]]
    ) -> Tensor:
        cells = torch.arange(self.resolution**3, device=self.edges.device)
        table = torch.tensor(places, device=cells.device).flatten(start_dim=1)
        return of(cells).gather(1, table.index_select(0, self.mirrored(cells)))


@lru_cache(maxsize=8)
def kuhn_lattice(resolution: int) -> Lattice:
    """The lattice of `resolution` cells along each axis, float32 on the CPU; built once per process.

    Cost: about 14 int64 per cell for the edges; `tets` and `tet_edges` (60 int64 per cell) are only
    made when somebody asks for them.

    Raises ConfigError if `resolution` is below 1.
    """
    n = resolution
    if n < 1:
        raise ConfigError(f"the lattice resolution is {n}, and a lattice needs at least 1 cell", fix="use 32")
    axis = torch.arange(n + 1)
    coordinate = (2 * axis - n).to(torch.float32) / (2 * n)
    rim = (axis == 0) | (axis == n)
    strides = _strides_by_mask(n)
    middle = n // 2
    return Lattice(
        resolution=n,
        positions=torch.cartesian_prod(coordinate, coordinate, coordinate),
        edges=torch.cat([_edges_of_mask(n, mask) for mask in range(1, 8)]),
        boundary=(rim[:, None, None] | rim[:, None] | rim).flatten(),
        centre=(middle * (n + 1) + middle) * (n + 1) + middle,
        corner_offsets=torch.tensor(
            [[_dot(_bits(corner ^ parity), _vertex_steps(n)) for corner in range(8)] for parity in range(8)]
        ),
        edge_offsets=torch.tensor(
            [[_edge_offset(a, b, parity, strides) for a, b in CELL_EDGES] for parity in range(8)]
        ),
        edge_strides=torch.tensor([strides[a ^ b] for a, b in CELL_EDGES]),
    )


@lru_cache(maxsize=8)
def _moved(lattice: Lattice, device: torch.device, dtype: torch.dtype) -> Lattice:
    tables = ("edges", "boundary", "corner_offsets", "edge_offsets", "edge_strides")
    return replace(
        lattice,
        positions=lattice.positions.to(device=device, dtype=dtype),
        **{name: getattr(lattice, name).to(device) for name in tables},
    )


def _bits(mask: int) -> tuple[int, int, int]:
    return mask & 1, mask >> 1 & 1, mask >> 2 & 1


def _parity(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return x & 1 | (y & 1) << 1 | (z & 1) << 2


def _vertex_steps(n: int) -> tuple[int, int, int]:
    return (n + 1) ** 2, n + 1, 1


def _edges_of_mask(n: int, mask: int) -> Tensor:
    """All edges whose ends differ along exactly the axes of `mask`, by lowest corner, (E_mask, 2)."""
    even = torch.zeros((1, 1, 1), dtype=torch.int64)
    odd = even
    shapes = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    for bit, step, shape in zip(_bits(mask), _vertex_steps(n), shapes, strict=True):
        low = torch.arange(n + 1 - bit)
        parity = low & 1
        even = even + ((low + parity * bit) * step).view(shape)
        odd = odd + ((low + (1 - parity) * bit) * step).view(shape)
    even, odd = even.flatten(), odd.flatten()
    return torch.stack([torch.minimum(even, odd), torch.maximum(even, odd)], dim=1)


def _strides_by_mask(n: int) -> dict[int, tuple[int, int, int, int]]:
    """For each axis mask: edge index steps along x, y, z and the first index."""
    strides, first = {}, 0
    for mask in range(1, 8):
        x, y, z = (n + 1 - bit for bit in _bits(mask))
        strides[mask] = (y * z, z, 1, first)
        first += x * y * z
    return strides


def _edge_offset(a: int, b: int, parity: int, strides: dict[int, tuple[int, int, int, int]]) -> int:
    # A corner bit is a parity; its place in the cell is that bit against the cell's own.
    lowest = (a ^ parity) & (b ^ parity)
    return _dot(_bits(lowest), strides[a ^ b][:3])


def _dot(place: tuple[int, ...], steps: tuple[int, ...]) -> int:
    return sum(p * s for p, s in zip(place, steps, strict=True))
