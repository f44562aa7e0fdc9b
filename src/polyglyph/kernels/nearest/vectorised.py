"""Nearest points by a k-d tree on the CPU, and by brute force in chunks elsewhere."""

import torch
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

__all__ = ["by_chunks", "by_tree", "nearest_index"]

PAIRS_AT_ONCE = 1 << 25
"""Distances held at a time by `by_chunks`: 128 MiB in float32."""


def nearest_index(query: Tensor, points: Tensor) -> Tensor:
    """The index of a nearest point, for each row of `query`."""
    return by_tree(query, points) if query.device.type == "cpu" else by_chunks(query, points)


def by_tree(query: Tensor, points: Tensor) -> Tensor:
    """O((N + M) log M) on the CPU."""
    tree = cKDTree(points.double().numpy())
    _, index = tree.query(query.double().numpy(), workers=torch.get_num_threads())
    return torch.from_numpy(index).long()


def by_chunks(query: Tensor, points: Tensor, pairs_at_once: int = PAIRS_AT_ONCE) -> Tensor:
    """O(N M) on any device, in little memory. Distances are differences, never a matrix product's rest."""
    rows = max(1, pairs_at_once // len(points))
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cat(
        [torch.cdist(part, points, compute_mode=mode).argmin(dim=1) for part in query.split(rows)]
    )
