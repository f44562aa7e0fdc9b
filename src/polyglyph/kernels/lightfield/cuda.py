"""Light fields on the GPU. Nothing here waits for it."""

import torch
from torch import Tensor

from polyglyph.kernels.device import launch
from polyglyph.kernels.lightfield.numbers import OUTLINE, TABLE_SIDE

__all__ = ["describe", "match"]

_PAIRS_AT_ONCE = 1 << 18
"""Pairs of light fields matched at a time: 100 MiB for their views' costs."""


def describe(silhouettes: Tensor) -> tuple[Tensor, Tensor]:
    """How much each entry of the table counts in an image's means, and its other 12 numbers."""
    sets, views, height, width = silhouettes.shape
    count, size = sets * views, (height, width)

    def new(*shape: int, kind: torch.dtype = torch.float64) -> Tensor:
        return torch.empty(shape, dtype=kind, device=silhouettes.device)

    extents, rest = new(count, 4), new(sets, views, OUTLINE + 2)
    memory = new(count, 3, *size, kind=torch.uint8), new(count, *size, kind=torch.int32)
    launch("lightfield", "lightfield_measure", count, silhouettes, *size, OUTLINE, *memory, extents, rest)
    radius = extents[:, 2].view(sets, views).amax(dim=1, keepdim=True).sqrt().expand(sets, views).flatten()
    radii = torch.where(radius > 0, radius, 1.0).contiguous()
    tables = new(sets, views, TABLE_SIDE, TABLE_SIDE)
    launch("lightfield", "lightfield_splat", count, silhouettes, *size, extents, radii, TABLE_SIDE, tables)
    return tables, rest


def match(a: Tensor, b: Tensor, weights: Tensor, alignments: Tensor) -> Tensor:
    """Distances [N, M]."""
    sets, views = a.shape[1:3]
    rows = max(1, _PAIRS_AT_ONCE // max(1, len(b) * sets * sets))
    found = [_match(part, b, sets, views, weights, alignments) for part in a.split(rows)]
    return torch.cat(found) if found else a.new_empty((0, len(b)), dtype=torch.int32)


def _match(a: Tensor, b: Tensor, sets: int, views: int, weights: Tensor, alignments: Tensor) -> Tensor:
    pairs = len(a) * len(b) * sets * sets
    cost = torch.empty(pairs, views, views, dtype=torch.int32, device=a.device)
    distances = torch.empty(len(a), len(b), sets * sets, dtype=torch.int32, device=a.device)
    told = len(b), sets, views, weights, len(weights), alignments, len(alignments)
    launch("lightfield", "lightfield_match", pairs, a, b, *told, cost, distances)
    return distances.amin(dim=2)
