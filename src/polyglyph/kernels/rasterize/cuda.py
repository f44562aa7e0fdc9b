"""The CUDA rasterizer, bound to autograd. Nothing here waits for the GPU but `ranges` on it and, under
deterministic algorithms, the gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.device import launch
from polyglyph.kernels.native import suffix
from polyglyph.kernels.ragged import drawn

__all__ = ["evaluate", "face_ids"]

EMPTY = (1 << 63) - 1
MOST_DRAWN = 2**31 - 1
"""Faces over all images."""
BLOCKS = 2048
"""Of threads that share out the large faces."""


def face_ids(
    clip: Tensor,
    faces: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None = None,
) -> Tensor:
    """Row of `faces` seen by each pixel, int32 [B, H, W]; -1 where none is. The façade defines it."""
    batch = clip.shape[0] if ranges is None else ranges.shape[0]
    kind, corners, packed = suffix(clip.dtype), faces.to(torch.int32).contiguous(), clip.detach().contiguous()
    own = clip.shape[1] if ranges is None else 0
    ids = torch.empty((batch, *resolution), dtype=torch.int32, device=clip.device)
    keys = torch.full((batch, *resolution), EMPTY, dtype=torch.int64, device=clip.device)
    above = None
    if behind is not None:
        above = torch.empty_like(keys)
        layer = behind.to(torch.int32).contiguous()
        launch("rasterize", f"floors_{kind}", keys.numel(), packed, corners, own, layer, *resolution, above)
    count, starts, firsts = drawn(batch, len(faces), ranges, clip.device)
    if count > MOST_DRAWN:
        raise ConfigError(
            f"{count} faces in one call are too many for 32-bit numbers", fix="draw fewer images at a time"
        )
    queue = torch.empty(max(count, 1), dtype=torch.int32, device=clip.device)
    queued = torch.zeros(1, dtype=torch.int32, device=clip.device)
    scene = (packed, corners, len(faces), starts, firsts, batch, own, *resolution, above, keys, queue, queued)
    if count:
        launch("rasterize", f"draw_small_{kind}", count, *scene)
        launch("rasterize", f"draw_large_{kind}", count, *scene, blocks=BLOCKS)
    launch("rasterize", "ids_of_keys", keys.numel(), keys, ids)
    return ids


def evaluate(
    clip: Tensor, faces: Tensor, face_id: Tensor, derivatives: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Depth [B, H, W], barycentrics [B, H, W, 3] and, if asked for, their derivatives [B, H, W, 3, 2]."""
    ids, corners = face_id.to(torch.int32).contiguous(), faces.to(torch.int32).contiguous()
    return _Evaluate.apply(clip, corners, ids, derivatives)  # pyright: ignore[reportReturnType]


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, faces: Tensor, face_id: Tensor, derivatives: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        clip = clip.contiguous()
        ctx.save_for_backward(clip, faces, face_id)
        ctx.set_materialize_grads(False)  # what nobody asked about is not worth an image of zeros
        depth = clip.new_empty(face_id.shape)
        barycentric = clip.new_empty((*face_id.shape, 3))
        derivative = clip.new_empty((*face_id.shape, 3, 2)) if derivatives else None
        launch(
            "rasterize",
            f"evaluate_{suffix(clip.dtype)}",
            face_id.numel(),
            clip,
            faces,
            clip.shape[1] if clip.ndim == 3 else 0,
            face_id,
            *face_id.shape[1:],
            depth,
            barycentric,
            derivative,
        )
        return depth, barycentric, derivative

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None, None, None]:
        clip, faces, face_id = ctx.saved_tensors
        own = clip.shape[1] if clip.ndim == 3 else 0
        grad, apart = torch.zeros_like(clip), None
        if torch.are_deterministic_algorithms_enabled():
            apart = torch.zeros((face_id.numel(), 3, 4), dtype=torch.float64, device=clip.device)
        launch(
            "rasterize",
            f"evaluate_backward_{suffix(clip.dtype)}",
            face_id.numel(),
            clip,
            faces,
            own,
            face_id,
            *face_id.shape[1:],
            *(None if gradient is None else gradient.contiguous() for gradient in gradients),
            grad,
            apart,
        )
        if apart is not None:
            grad = gathered(apart, faces, face_id, own, len(clip.reshape(-1, 4))).to(clip.dtype).view_as(clip)
        return grad, None, None, None


def gathered(apart: Tensor, faces: Tensor, face_id: Tensor, own: int, rows: int) -> Tensor:
    """Sum [P, 3, C] values of pixels' corners to the corners' rows, by torch's deterministic index_add."""
    hit = (face_id.reshape(-1) >= 0).nonzero().squeeze(1)
    corners = faces.index_select(0, face_id.reshape(-1).index_select(0, hit).long()).long()
    if own:
        corners = corners + (hit // face_id[0].numel() * own)[:, None]
    values = apart.index_select(0, hit).flatten(0, 1)
    return apart.new_zeros((rows, apart.shape[2])).index_add_(0, corners.reshape(-1), values)
