"""The 21 weights of a cube.

Legend: C cubes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["WEIGHT_COUNT", "Weights", "activate"]

WEIGHT_COUNT = 21
"""Numbers per cube: 12 for edges, 8 for corners, 1 for the split of quads."""

REACH = 0.99
"""How far `activate` lets a weight go from neutral: just short of 0, where a vertex is no longer defined."""


class Weights(NamedTuple):
    """What a cube may choose about its part of the surface; all positive, and only ratios matter."""

    alpha: Float[Tensor, "*B C 8"]
    """Scales the SDF at each corner of the cube, and so moves the crossings along its edges: a corner with a
    larger weight pushes them away. Neutral where all are equal."""
    beta: Float[Tensor, "*B C 12"]
    """How much the crossing on each of `CUBE_EDGES` draws the cube's vertex. Neutral where all are equal."""
    gamma: Float[Tensor, "*B C"]
    """A quad is split between the opposite cubes whose weights have the larger product."""


def activate(raw: Float[Tensor, "*B C 21"]) -> Weights:
    """Unbounded numbers, as a network or an optimiser has them, to weights.

    The first 12 are beta, then 8 alpha, then gamma. Alpha and beta are 1 + 0.99 tanh(raw), in (0.01, 1.99);
    gamma is a sigmoid squeezed into (0.005, 0.995). Zeros are neutral.

    Differentiable in `raw`.
    """
    beta, alpha, gamma = raw.split((12, 8, 1), dim=-1)
    return Weights(
        alpha=1 + REACH * torch.tanh(alpha),
        beta=1 + REACH * torch.tanh(beta),
        gamma=(0.5 + REACH * (torch.sigmoid(gamma) - 0.5)).squeeze(-1),
    )
