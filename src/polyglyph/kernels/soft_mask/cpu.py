"""The compiled library's soft mask, bound to autograd."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.native import indices, run, suffix, zeros_like
from polyglyph.kernels.soft_mask.settings import Settings

__all__ = ["soft_mask"]


def soft_mask(
    clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
) -> Tensor:
    """The mask [B, H, W]. The façade defines it."""
    corners, ids = indices(faces), indices(face_id)
    spans = None if ranges is None else ranges.to(torch.int64).contiguous()
    return _SoftMask.apply(clip, corners, ids, spans, settings)  # pyright: ignore[reportReturnType]


class _SoftMask(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
    ) -> Tensor:
        clip = clip.contiguous()
        ctx.save_for_backward(clip, faces, face_id, ranges)
        ctx.settings = settings
        mask = torch.empty(face_id.shape, dtype=clip.dtype)
        run(f"soft_mask_{suffix(clip.dtype)}", *_scene(clip, faces, face_id, ranges, settings), mask)
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Tensor) -> tuple[Tensor, None, None, None, None]:
        clip, faces, face_id, ranges = ctx.saved_tensors
        grad = zeros_like(clip)
        scene = _scene(clip, faces, face_id, ranges, ctx.settings)
        run(f"soft_mask_backward_{suffix(clip.dtype)}", *scene, grad_mask.contiguous(), grad)
        return grad, None, None, None, None


def _scene(
    clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
) -> tuple[Tensor | int | float | None, ...]:
    """What both functions of the library take first."""
    return (
        clip,
        clip.numel() // 4,
        clip.shape[1] if ranges is None else 0,
        faces,
        len(faces),
        ranges,
        face_id,
        *face_id.shape,
        settings.sharpness,
        settings.cutoff,
        settings.neighbours,
    )
