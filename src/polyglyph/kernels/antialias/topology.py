"""Which faces share an edge."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.kernels.library import library
from polyglyph.kernels.native import index_range, run


@dataclass(frozen=True)
class Topology:
    """Edge adjacency of a list of faces.

    Half-edge 3f + i is the edge of face f opposite its corner i.
    """

    corner: Int[Tensor, "F 3"]
    """The faces over welded vertices: corners that coincide have the same row."""
    following: Int[Tensor, "H"]
    """The next half-edge, in ascending order and round again, that joins the same two welded vertices;
    H = 3F. A half-edge alone on its edge follows itself."""
    mesh: Int[Tensor, "F"] | None = None
    """Faces of different numbers share no edge; None where all are one mesh."""

    @classmethod
    def of(
        cls,
        faces: Int[Tensor, "F 3"],
        positions: Float[Tensor, "V *n"] | None = None,
        *,
        ranges: Int[Tensor, "B 2"] | None = None,
    ) -> "Topology":
        """Find shared edges.

        With `positions`, any values that tell vertices apart (places in the scene, or in clip space),
        vertices whose values are exactly equal count as one: UV seams and flat-shaded copies are no edges
        then. Without, vertices are the same when their rows are. Any number of faces may share an edge.

        With `ranges` (first face, count), faces of different ranges share no edge; ranges that overlap are
        taken as one mesh.
        """
        corners = faces.to(torch.int32)
        if positions is not None and corners.numel():
            corners = (
                _welded(positions.detach().flatten(1)).index_select(0, corners.reshape(-1)).view_as(corners)
            )
        spans = _spans(ranges)
        if not spans or not corners.numel():
            return cls(corners, _following(corners))
        mesh = torch.full((len(corners),), len(spans), dtype=torch.int32, device=corners.device)
        for number, (start, end) in enumerate(spans):
            mesh[start:end] = number
        return cls(corners, _following(_apart(corners, spans, mesh)), mesh)

    def to(self, device: torch.device | str) -> "Topology":
        """The same on another device."""
        mesh = None if self.mesh is None else self.mesh.to(device)
        return Topology(self.corner.to(device), self.following.to(device), mesh)


def _spans(ranges: Tensor | None) -> list[tuple[int, int]]:
    """(first face, one past the last) of every range that has any, in order; none where ranges overlap."""
    if ranges is None:
        return []
    spans = sorted((first, first + count) for first, count in ranges.tolist() if count)
    return [] if any(end > start for (_, end), (start, _) in pairwise(spans)) else spans


def _apart(corners: Tensor, spans: list[tuple[int, int]], mesh: Tensor) -> Tensor:
    """Numbers of vertices that are the same only within one mesh; the last mesh is what lies in no span."""
    apart, free = corners.to(torch.int64), 0
    for start, end in spans:
        low, high = index_range(corners[start:end])
        apart[start:end] += free - low
        free += high - low + 1
    apart[mesh == len(spans)] += free
    return apart


def _following(corners: Tensor) -> Tensor:
    if not corners.numel():
        return corners.reshape(-1)
    count = int(corners.max()) + 1
    if corners.device.type == "cpu" and library() is not None and count < 2**31:
        following = torch.empty(corners.numel(), dtype=torch.int32)
        run("topology", corners.to(torch.int32).contiguous(), len(corners), count, following)
        return following
    wide = corners.to(torch.int64)
    start, end = wide.roll(-1, dims=1).reshape(-1), wide.roll(-2, dims=1).reshape(-1)
    keys = torch.minimum(start, end) * count + torch.maximum(start, end)
    keys, order = torch.sort(keys, stable=True)
    leads = torch.ones_like(keys, dtype=torch.bool)
    leads[1:] = keys[1:] != keys[:-1]
    first = leads.nonzero().squeeze(1)
    size = torch.diff(first, append=first.new_tensor([len(keys)]))
    successor = torch.arange(1, len(keys) + 1, device=keys.device)
    successor[first + size - 1] = first
    return torch.zeros_like(order).index_copy_(0, order, order.index_select(0, successor)).to(torch.int32)


def _welded(values: Tensor) -> Tensor:
    """The first row that equals each row; rows with NaN equal themselves alone."""
    values = (values + 0.0).contiguous()  # -0 becomes 0
    if values.device.type == "cpu" and library() is not None:
        first = torch.empty(len(values), dtype=torch.int32)
        run("weld", values, len(values), values.shape[1] * values.element_size(), first)
        return first
    _, group = torch.unique(values, dim=0, return_inverse=True)
    rows = torch.arange(len(values), device=values.device)
    first = torch.full_like(rows, len(values)).scatter_reduce_(0, group, rows, "amin")
    return first.index_select(0, group).to(torch.int32)
