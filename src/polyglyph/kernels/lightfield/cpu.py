"""The compiled library's light fields."""

import torch
from torch import Tensor

from polyglyph.kernels.lightfield.numbers import OUTLINE, TABLE_SIDE
from polyglyph.kernels.native import run

__all__ = ["describe", "match"]


def describe(silhouettes: Tensor) -> tuple[Tensor, Tensor]:
    """How often the pixels looked at each entry of the table [S, V, 101, 101], and the other 12 numbers."""
    sets, views, height, width = silhouettes.shape
    tables = torch.empty(sets, views, TABLE_SIDE, TABLE_SIDE, dtype=torch.float64)
    rest = torch.empty(sets, views, OUTLINE + 2, dtype=torch.float64)
    run("lightfield_describe", silhouettes, sets, views, height, width, TABLE_SIDE, OUTLINE, tables, rest)
    return tables, rest


def match(a: Tensor, b: Tensor, weights: Tensor, alignments: Tensor) -> Tensor:
    """Distances [N, M]."""
    distances = torch.empty(len(a), len(b), dtype=torch.int32)
    shape = a.shape[1:3]
    run(
        "lightfield_match",
        a,
        len(a),
        b,
        len(b),
        *shape,
        weights,
        len(weights),
        alignments,
        len(alignments),
        distances,
    )
    return distances
