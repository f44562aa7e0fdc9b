"""All pairs, on the GPU. Nothing here waits for it."""

import torch
from torch import Tensor

from polyglyph.kernels.device import launch
from polyglyph.kernels.native import suffix

__all__ = ["nearest_index"]


def nearest_index(query: Tensor, points: Tensor) -> Tensor:
    """The index of the first of the nearest points, for each row of `query`."""
    wider = torch.promote_types(query.dtype, points.dtype)
    query, points = query.to(wider).contiguous(), points.to(wider).contiguous()
    index = torch.empty(len(query), dtype=torch.int64, device=query.device)
    launch("nearest", f"nearest_{suffix(query.dtype)}", len(query), query, points, len(points), index)
    return index
