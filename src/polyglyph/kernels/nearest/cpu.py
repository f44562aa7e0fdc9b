"""The compiled library's k-d tree, and all distances of small clouds."""

import torch
from torch import Tensor

from polyglyph.kernels.native import run, suffix

__all__ = ["MOST_PAIRS", "mean_distances", "nearest_index"]

MOST_PAIRS = 1 << 25
"""Above that, two trees are faster than all distances: measured, 4.4 ms against 5.5 at 6,000 × 6,000, 8.2
against 7.8 at 8,192 × 8,192 with AVX-512; without vector units the line lies lower."""


def nearest_index(query: Tensor, points: Tensor) -> Tensor:
    """The index of a nearest point, for each row of `query`."""
    wider = torch.promote_types(query.dtype, points.dtype)
    query, points = query.to(wider).contiguous(), points.to(wider).contiguous()
    index = torch.empty(len(query), dtype=torch.int64)
    run(f"nearest_{suffix(query.dtype)}", query, len(query), points, len(points), index)
    return index


def mean_distances(one: Tensor, many: Tensor, squared: bool) -> Tensor:
    """From `one` to each of `many` and back: means [K, 2] over the points."""
    one, many = one.contiguous(), many.contiguous()
    means = torch.empty(len(many), 2, dtype=torch.float64)
    name = f"nearest_means_{suffix(one.dtype)}"
    run(name, one, len(one), many, len(many), many.shape[1], int(squared), means)
    return means
