"""The compiled library's k-d tree."""

import torch
from torch import Tensor

from polyglyph.kernels.native import run, suffix

__all__ = ["nearest_index"]


def nearest_index(query: Tensor, points: Tensor) -> Tensor:
    """The index of a nearest point, for each row of `query`."""
    wider = torch.promote_types(query.dtype, points.dtype)
    query, points = query.to(wider).contiguous(), points.to(wider).contiguous()
    index = torch.empty(len(query), dtype=torch.int64)
    run(f"nearest_{suffix(query.dtype)}", query, len(query), points, len(points), index)
    return index
