"""The edges of tetrahedra and triangles, found once by sorting.

Legend: R rows of corners, S sides of one element, E edges, N vertices.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = ["check_corners", "unique_edges", "with_midpoints"]


def unique_edges(
    corners: Int[Tensor, "R W"], sides: tuple[tuple[int, int], ...], vertex_count: int
) -> tuple[Int[Tensor, "E 2"], Int[Tensor, "R S"]]:
    """Every pair of vertices joined by one of `sides`, and which of them each side is.

    Edges have the lower index first and are in lexicographic order.
    """
    ends_RS2 = corners[:, torch.tensor(sides, device=corners.device)].sort(dim=2).values
    keys_E, edge_RS = torch.unique(ends_RS2[..., 0] * vertex_count + ends_RS2[..., 1], return_inverse=True)
    low_E = torch.div(keys_E, max(vertex_count, 1), rounding_mode="floor")
    return torch.stack([low_E, keys_E - low_E * vertex_count], dim=1), edge_RS


def with_midpoints(x: Tensor, edges: Int[Tensor, "E 2"], dim: int) -> Tensor:
    """`x` with the mean of both ends of every edge appended along `dim`."""
    a, b = (x.index_select(dim, end) for end in edges.unbind(1))
    return torch.cat([x, (a + b) / 2], dim=dim)


def check_corners(corners: Tensor, width: int, vertex_count: int, name: str) -> None:
    """Raise ConfigError unless rows are `width` different vertices each."""
    if corners.ndim != 2 or corners.shape[1] != width or corners.dtype != torch.int64:
        raise ConfigError(
            f"`{name}` is {tuple(corners.shape)} of {corners.dtype}",
            fix=f"pass int64 of shape [count, {width}]",
        )
    if not len(corners):
        return
    low, high = (int(x) for x in corners.aminmax())
    if low < 0 or high >= vertex_count:
        raise ConfigError(
            f"`{name}` name vertices {low} to {high}, and there are {vertex_count}",
            fix="count vertices from 0, and pass how many there are",
        )
    ordered = corners.sort(dim=1).values
    repeats = (ordered[:, 1:] == ordered[:, :-1]).any(dim=1)
    if repeats.any():
        raise ConfigError(
            f"row {int(repeats.long().argmax())} of `{name}` names a vertex twice", fix="drop degenerate rows"
        )
