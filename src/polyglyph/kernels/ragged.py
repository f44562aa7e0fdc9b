"""What csrc/drawn.h is told about a batch: how many faces are drawn, and whose they are."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["drawn"]


def drawn(
    batch: int, faces: int, ranges: Tensor | None, device: torch.device
) -> tuple[int, Tensor | None, Tensor | None]:
    """Faces drawn over all images; with `ranges` also their running count before each image, and the first
    face of each. Waits for the GPU if `ranges` is on it.
    """
    if ranges is None:
        return batch * faces, None, None
    count = int(ranges[:, 1].sum())
    firsts, counts = (column.contiguous() for column in ranges.to(device, torch.int64).unbind(dim=1))
    return count, counts.cumsum(0) - counts, firsts
