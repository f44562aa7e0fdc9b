"""The compiled library's rasterizer, bound to autograd."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.native import indices, run, suffix

__all__ = ["evaluate", "face_ids"]


def face_ids(
    clip: Tensor,
    faces: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None = None,
) -> Tensor:
    """Row of `faces` seen by each pixel, int32 [B, H, W]; -1 where none is. The façade defines it."""
    batch = clip.shape[0] if ranges is None else ranges.shape[0]
    ids = torch.empty((batch, *resolution), dtype=torch.int32)
    packed = clip.detach().contiguous()
    run(
        f"rasterize_{suffix(clip.dtype)}",
        packed,
        packed.numel() // 4,
        clip.shape[1] if ranges is None else 0,
        indices(faces),
        len(faces),
        None if ranges is None else ranges.to(torch.int64).contiguous(),
        batch,
        *resolution,
        None if behind is None else indices(behind),
        ids,
    )
    return ids


def evaluate(
    clip: Tensor, faces: Tensor, face_id: Tensor, derivatives: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Depth [B, H, W], barycentrics [B, H, W, 3] and, if asked for, their derivatives [B, H, W, 3, 2]."""
    return _Evaluate.apply(clip, indices(faces), indices(face_id), derivatives)  # pyright: ignore[reportReturnType]


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, faces: Tensor, face_id: Tensor, derivatives: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        clip = clip.contiguous()
        ctx.save_for_backward(clip, faces, face_id)
        ctx.set_materialize_grads(False)  # what nobody asked about is not worth an image of zeros
        depth = torch.empty(face_id.shape, dtype=clip.dtype)
        barycentric = torch.empty((*face_id.shape, 3), dtype=clip.dtype)
        derivative = torch.empty((*face_id.shape, 3, 2), dtype=clip.dtype) if derivatives else None
        own = clip.shape[1] if clip.ndim == 3 else 0
        run(
            f"evaluate_{suffix(clip.dtype)}",
            clip,
            own,
            faces,
            face_id,
            *face_id.shape,
            depth,
            barycentric,
            derivative,
        )
        return depth, barycentric, derivative

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None, None, None]:
        clip, faces, face_id = ctx.saved_tensors
        grad = torch.empty_like(clip)
        own = clip.shape[1] if clip.ndim == 3 else 0
        run(
            f"evaluate_backward_{suffix(clip.dtype)}",
            clip,
            clip.numel() // 4,
            own,
            faces,
            face_id,
            *face_id.shape,
            *(None if gradient is None else gradient.contiguous() for gradient in gradients),
            grad,
        )
        return grad, None, None, None
