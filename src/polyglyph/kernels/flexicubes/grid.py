"""A unit box cut into cubes, with every table computed from indices.

Legend: n cubes along an axis, N vertices ((n+1)³), E edges (3n(n+1)²), C cubes (n³), K cubes asked for.

Numbers within one cube. Corner c lies at (c & 1, c >> 1 & 1, c >> 2 & 1). Face 2a + s is the one across
axis a on the low (s = 0) or high (s = 1) side, so that f ^ 1 is opposite f. Edge 4a + s runs along axis a;
s says where the *cube* stands among the four around that edge, counter-clockwise seen from axis a's
positive end and starting with the lowest. So the four cubes around an edge know it by the same a and by
s = 0, 1, 2, 3, and the cubes in this order are the corners of the surface's quad across that edge.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = ["CUBE_EDGES", "Grid", "regular_grid"]

_AROUND = ((1, 1), (0, 1), (0, 0), (1, 0))
"""Where the edge lies in each of the four cubes around it, along the two axes that follow its own."""

CUBE_EDGES = tuple(
    (low, low | 1 << axis)
    for axis in range(3)
    for low in (u << (axis + 1) % 3 | v << (axis + 2) % 3 for u, v in _AROUND)
)
"""The low and the high corner of each of a cube's twelve edges."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid:
    """A grid of cubes that fills the box [-0.5, 0.5]³.

    Convention: vertex (ix, iy, iz) has index (ix·(n+1) + iy)·(n+1) + iz, as in `Lattice`, and cube
    (ix, iy, iz) has index (ix·n + iy)·n + iz. Indices are int64.
    """

    resolution: int
    """Cubes along each axis, n."""
    positions: Float[Tensor, "N 3"]
    """Vertices; exactly antisymmetric in the index, so that mirroring costs no rounding."""
    edges: Int[Tensor, "E 2"]
    """Ends of every edge, lower index first; ordered by axis, then by lower end."""
    boundary: Bool[Tensor, "N"]
    """True on the six faces of the box."""
    centre: int
    """The vertex nearest to the origin (at the origin when n is even)."""
    corner_offsets: Int[Tensor, "8"]
    """Vertex index of a cube's corner minus that of its lowest corner."""
    edge_strides: Int[Tensor, "12 3"]
    """For each of `CUBE_EDGES`: index step along x and y (it is 1 along z), and its index in cube 0."""

    @property
    def vertex_count(self) -> int:
        """N = (n+1)³."""
        return (self.resolution + 1) ** 3

    @property
    def edge_count(self) -> int:
        """E = 3n(n+1)²."""
        return self.edges.shape[0]

    @property
    def cube_count(self) -> int:
        """C = n³."""
        return self.resolution**3

    def corners_of(self, cubes: Int[Tensor, "K"]) -> Int[Tensor, "K 8"]:
        """Vertices of each cube."""
        x, y, z = self.coordinates(cubes)
        side = self.resolution + 1
        return ((x * side + y) * side + z)[:, None] + self.corner_offsets

    def edges_of(self, cubes: Int[Tensor, "K"]) -> Int[Tensor, "K 12"]:
        """Edges of each cube, in the order of `CUBE_EDGES`."""
        x, y, z = self.coordinates(cubes)
        step_x, step_y, first = self.edge_strides.unbind(1)
        return first + x[:, None] * step_x + y[:, None] * step_y + z[:, None]

    def coordinates(self, cubes: Int[Tensor, "K"]) -> tuple[Tensor, Tensor, Tensor]:
        """(ix, iy, iz) of each cube."""
        n = self.resolution
        rest = torch.div(cubes, n, rounding_mode="floor")
        x = torch.div(rest, n, rounding_mode="floor")
        return x, rest - x * n, cubes - rest * n

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Grid":
        """The same grid on `device`, with positions of `dtype`; copied once, then remembered."""
        device, dtype = torch.device(device), dtype or self.positions.dtype
        here = self.positions.device
        same_device = device.type == here.type and device.index in (None, here.index)
        return self if same_device and dtype == self.positions.dtype else _moved(self, device, dtype)


@lru_cache(maxsize=8)
def regular_grid(resolution: int) -> Grid:
    """The grid of `resolution` cubes along each axis, float32 on the CPU; built once per process.

    Raises ConfigError if `resolution` is below 1.
    """
    n = resolution
    if n < 1:
        raise ConfigError(f"the grid resolution is {n}, and a grid needs at least 1 cube", fix="use 32")
    axis = torch.arange(n + 1)
    coordinate = (2 * axis - n).to(torch.float32) / (2 * n)
    rim = (axis == 0) | (axis == n)
    vertex_steps = ((n + 1) ** 2, n + 1, 1)
    vertices = torch.arange((n + 1) ** 3).view(n + 1, n + 1, n + 1)
    lows = [vertices.narrow(a, 0, n).flatten() for a in range(3)]
    strides = []
    for edge, (low, _) in enumerate(CUBE_EDGES):
        a = edge // 4
        _, y, z = (n if a == b else n + 1 for b in range(3))
        strides.append((y * z, z, a * n * (n + 1) ** 2 + _dot(_bits(low), (y * z, z, 1))))
    return Grid(
        resolution=n,
        positions=torch.cartesian_prod(coordinate, coordinate, coordinate),
        edges=torch.cat([torch.stack([low, low + vertex_steps[a]], dim=1) for a, low in enumerate(lows)]),
        boundary=(rim[:, None, None] | rim[:, None] | rim).flatten(),
        centre=_dot((n // 2,) * 3, vertex_steps),
        corner_offsets=torch.tensor([_dot(_bits(corner), vertex_steps) for corner in range(8)]),
        edge_strides=torch.tensor(strides),
    )


@lru_cache(maxsize=8)
def _moved(grid: Grid, device: torch.device, dtype: torch.dtype) -> Grid:
    tables = ("edges", "boundary", "corner_offsets", "edge_strides")
    return replace(
        grid,
        positions=grid.positions.to(device=device, dtype=dtype),
        **{name: getattr(grid, name).to(device) for name in tables},
    )


def _bits(corner: int) -> tuple[int, int, int]:
    return corner & 1, corner >> 1 & 1, corner >> 2 & 1


def _dot(place: tuple[int, ...], steps: tuple[int, ...]) -> int:
    return sum(p * s for p, s in zip(place, steps, strict=True))
