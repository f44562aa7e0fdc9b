"""The definition, one pair at a time. Slow on purpose; never optimise this file."""

import torch
from torch import Tensor

__all__ = ["nearest_index"]


def nearest_index(query: Tensor, points: Tensor) -> Tensor:
    """The first of the nearest points, for each row of `query`."""
    found = []
    for place in query.tolist():
        best, best_distance = 0, float("inf")
        for index, point in enumerate(points.tolist()):
            distance = sum((p - q) ** 2 for p, q in zip(place, point, strict=True))
            if distance < best_distance:
                best, best_distance = index, distance
        found.append(best)
    return torch.tensor(found, device=query.device)
