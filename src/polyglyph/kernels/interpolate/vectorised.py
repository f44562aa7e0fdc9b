"""Interpolation as gathers over the covered pixels only, on any device."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def interpolate(attributes: Tensor, faces: Tensor, face_id: Tensor, barycentric: Tensor) -> Tensor:
    """Blend each face's three vertex attributes at every pixel."""
    batch, height, width = face_id.shape
    hit = (face_id.reshape(-1) >= 0).nonzero().squeeze(1)
    corners_3P = faces.t().index_select(1, face_id.reshape(-1).index_select(0, hit).to(torch.int64))
    if attributes.ndim == 3:
        corners_3P = corners_3P + torch.div(hit, height * width, rounding_mode="floor") * attributes.shape[1]
    channels = attributes.shape[-1]
    flat: Tensor = _Interpolate.apply(  # pyright: ignore[reportAssignmentType]
        attributes.flatten(0, -2), barycentric.reshape(-1, 3), corners_3P, hit
    )
    return flat.reshape(batch, height, width, channels)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, barycentric: Tensor, corners_3P: Tensor, hit: Tensor) -> Tensor:
        ctx.save_for_backward(attributes, barycentric, corners_3P, hit)
        weights = barycentric.index_select(0, hit)
        blend = attributes.new_zeros((len(hit), attributes.shape[1]))
        for i, corner in enumerate(corners_3P):
            blend.addcmul_(attributes.index_select(0, corner), weights[:, i : i + 1])
        return attributes.new_zeros((len(barycentric), attributes.shape[1])).index_copy_(0, hit, blend)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        attributes, barycentric, corners_3P, hit = ctx.saved_tensors
        grad = grad.index_select(0, hit)
        grad_attributes = grad_barycentric = None
        if ctx.needs_input_grad[0]:
            weights = barycentric.index_select(0, hit).t()
            # Laid out channel by channel: index_add along the last axis is the fast one on the CPU.
            summed, columns = attributes.new_zeros(attributes.shape[::-1]), grad.t()
            for corner, weight in zip(corners_3P, weights, strict=True):
                summed.index_add_(1, corner, columns * weight)
            grad_attributes = summed.t()
        if ctx.needs_input_grad[1]:
            dots = torch.stack([(attributes.index_select(0, c) * grad).sum(dim=1) for c in corners_3P], dim=1)
            grad_barycentric = torch.zeros_like(barycentric).index_copy_(0, hit, dots)
        return grad_attributes, grad_barycentric, None, None
