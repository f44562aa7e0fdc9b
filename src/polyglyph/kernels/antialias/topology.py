"""Which faces share an edge."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Topology:
    """Edge adjacency of a list of faces.

    Half-edge 3f + i is the edge of face f opposite its corner i.
    """

    following: Int[Tensor, "H"]
    """The next half-edge, in ascending order and round again, that joins the same two vertices; H = 3F.
    A half-edge alone on its edge follows itself."""

    @classmethod
    def of(cls, faces: Int[Tensor, "F 3"]) -> "Topology":
        """Find shared edges by one stable sort of 3F integers. Works for any number of faces on an edge."""
        corners = faces.to(torch.int64)
        if not corners.numel():
            return cls(corners.reshape(-1))
        start, end = corners.roll(-1, dims=1).reshape(-1), corners.roll(-2, dims=1).reshape(-1)
        keys = torch.minimum(start, end) * (corners.max() + 1) + torch.maximum(start, end)
        keys, order = torch.sort(keys, stable=True)
        leads = torch.ones_like(keys, dtype=torch.bool)
        leads[1:] = keys[1:] != keys[:-1]
        first = leads.nonzero().squeeze(1)
        size = torch.diff(first, append=first.new_tensor([len(keys)]))
        successor = torch.arange(1, len(keys) + 1, device=keys.device)
        successor[first + size - 1] = first
        return cls(torch.zeros_like(order).index_copy_(0, order, order.index_select(0, successor)))
