"""A point network with one hidden layer at every vertex of a lattice, without ever holding all hidden values.

Legend: B batch, X Y Z lattice vertices along each axis, h hidden channels, o outputs.

The first layer is linear and its input a sum of three planes, so before its activation a hidden value is
a_xy + b_yz + c_xz. On a CPU the hidden values of a whole lattice are many times the cache; worked through
slab by slab, forward and again backward, they stay in it, which takes half the time.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["lattice_head"]

SLOPE = 0.2
"""Of the leaky ReLU."""


def lattice_head(
    xy: Float[Tensor, "B X Y h"],
    yz: Float[Tensor, "B Y Z h"],
    xz: Float[Tensor, "B X Z h"],
    weight: Float[Tensor, "B h o"],
    bias: Float[Tensor, " o"],
) -> Float[Tensor, "B X*Y*Z o"]:
    """weightᵀ · leaky(xy + yz + xz) + bias at every vertex (x, y, z). Differentiable once, in everything."""
    return _LatticeHead.apply(xy, yz, xz, weight, bias)  # pyright: ignore[reportReturnType]


def _hidden(xy: Tensor, yz: Tensor, xz: Tensor, out: Tensor) -> Tensor:
    """The hidden values [Y Z, h] of one slab, in `out` [Y, Z, h]."""
    torch.add(yz, xy[:, None], out=out).add_(xz)
    return F.leaky_relu_(out, SLOPE).flatten(0, 1)


class _LatticeHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, xy: Tensor, yz: Tensor, xz: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        xy, yz, xz = xy.contiguous(), yz.contiguous(), xz.contiguous()
        ctx.save_for_backward(xy, yz, xz, weight)
        batch, slabs = xy.shape[:2]
        out = xy.new_empty(batch, slabs, yz.shape[1] * yz.shape[2], weight.shape[2])
        buffer = torch.empty_like(yz[0])
        for b in range(batch):
            for x in range(slabs):
                torch.addmm(bias, _hidden(xy[b, x], yz[b], xz[b, x], buffer), weight[b], out=out[b, x])
        return out.flatten(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        xy, yz, xz, weight = ctx.saved_tensors
        batch, slabs = xy.shape[:2]
        grad = grad.reshape(batch, slabs, -1, weight.shape[2])
        to_xy, to_xz = torch.empty_like(xy), torch.empty_like(xz)
        to_yz, to_weight = torch.zeros_like(yz), torch.zeros_like(weight)
        buffer, behind = torch.empty_like(yz[0]), torch.empty_like(yz[0]).flatten(0, 1)
        for b in range(batch):
            back = weight[b].T
            for x in range(slabs):
                hidden = _hidden(xy[b, x], yz[b], xz[b, x], buffer)
                to_weight[b].addmm_(hidden.T, grad[b, x])
                torch.mm(grad[b, x], back, out=behind)
                # The activation keeps signs, so its result tells where its input was negative.
                before = torch.where(hidden > 0, behind, behind * SLOPE).view_as(buffer)
                to_yz[b].add_(before)
                torch.sum(before, dim=1, out=to_xy[b, x])
                torch.sum(before, dim=0, out=to_xz[b, x])
        return to_xy, to_yz, to_xz, to_weight, grad.sum(dim=(0, 1, 2))
