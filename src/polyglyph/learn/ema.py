"""An exponential moving average of a network's weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

__all__ = ["MovingAverage"]

Network = TypeVar("Network", bound=nn.Module)


class MovingAverage(Generic[Network]):
    """Keeps `module`, a frozen copy whose parameters follow the trained one; buffers are copied.

    The half-life is in thousands of pictures, and at most `rampup` times the pictures seen, so that
    early averages are not ruled by the random start (Karras et al., StyleGAN2-ADA).
    """

    def __init__(self, source: Network, *, half_life_kimg: float, rampup: float | None) -> None:
        self.module = copy.deepcopy(source).eval().requires_grad_(False)
        self.half_life_kimg, self.rampup = half_life_kimg, rampup

    @torch.no_grad()
    def update(self, source: Network, *, batch: int, seen: int) -> None:
        """Move towards `source` after a step on `batch` pictures, `seen` pictures in all."""
        half_life = self.half_life_kimg * 1000
        if self.rampup is not None:
            half_life = min(half_life, seen * self.rampup)
        keep = 0.5 ** (batch / max(half_life, 1e-8))
        for average, current in zip(self.module.parameters(), source.parameters(), strict=True):
            average.lerp_(current, 1 - keep)
        for average, current in zip(self.module.buffers(), source.buffers(), strict=True):
            average.copy_(current)
