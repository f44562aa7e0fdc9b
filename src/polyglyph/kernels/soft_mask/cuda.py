"""The CUDA soft mask, bound to autograd. Without `ranges`, nothing here waits for the GPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.device import Argument, launch
from polyglyph.kernels.native import suffix
from polyglyph.kernels.ragged import drawn
from polyglyph.kernels.soft_mask.settings import Settings

__all__ = ["soft_mask"]

ENTRIES = 1 << 22
"""Neighbours held at a time: 64 MiB."""
LEAST_RUN = 1024
"""Pixels worked on at a time, however many neighbours they want."""
LEAST_CELL = 4.0
"""Pixels along the smallest cells of the pyramid that faces are sorted into."""


def soft_mask(
    clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
) -> Tensor:
    """The mask [B, H, W]. The façade defines it."""
    corners, ids = faces.to(torch.int32).contiguous(), face_id.to(torch.int32).contiguous()
    return _SoftMask.apply(clip, corners, ids, ranges, settings)  # pyright: ignore[reportReturnType]


class _SoftMask(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
    ) -> Tensor:
        clip = clip.contiguous()
        search = _Search(clip, faces, face_id, ranges, settings)
        ctx.save_for_backward(clip)
        ctx.search = search
        mask = clip.new_empty(face_id.shape)
        for arguments in search.runs():
            launch("soft_mask", f"soft_mask_{suffix(clip.dtype)}", *arguments, mask)
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mask: Tensor) -> tuple[Tensor, None, None, None, None]:
        (clip,), search = ctx.saved_tensors, ctx.search
        kind, incoming = suffix(clip.dtype), grad_mask.contiguous()
        on_screen = torch.zeros_like(search.points)
        apart = rows = None
        for arguments in search.runs():
            if torch.are_deterministic_algorithms_enabled():
                entries = arguments[0] * search.room * 2
                apart = on_screen.new_zeros((entries, 2))
                rows = torch.zeros(entries, dtype=torch.int64, device=clip.device)
            launch("soft_mask", f"soft_mask_backward_{kind}", *arguments, incoming, on_screen, apart, rows)
            if apart is not None and rows is not None:
                on_screen.index_add_(0, rows, apart)
        grad = torch.zeros_like(clip)
        size = search.size
        launch("soft_mask", f"project_backward_{kind}", len(on_screen), clip, *size, on_screen, grad)
        return grad, None, None, None, None


class _Search:
    """Faces sorted into the cells of a pyramid, which is described in csrc/soft_mask.cu."""

    def __init__(
        self, clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
    ) -> None:
        self.face_id, self.settings, self.room = face_id, settings, settings.neighbours
        self.size = height, width = face_id.shape[1], face_id.shape[2]
        self.points = torch.empty((clip.numel() // 4, 2), dtype=torch.float64, device=clip.device)
        launch("soft_mask", f"project_{suffix(clip.dtype)}", len(self.points), clip, *self.size, self.points)
        reach = settings.cutoff**0.5 * height / 2
        smallest, levels = max(LEAST_CELL, reach / 2), 0
        per_image = 1
        while smallest * 2**levels < max(height, width) / 2:
            cell = smallest * 2**levels
            per_image += (int((width + 2 * reach) / cell) + 2) * (int((height + 2 * reach) / cell) + 2)
            levels += 1
        batch = len(face_id)
        count, starts, firsts = drawn(batch, len(faces), ranges, clip.device)
        own = clip.shape[1] if ranges is None else 0
        self.scene: tuple[Argument, ...] = (self.points, faces, starts, firsts, batch, len(faces), own)
        self.scene += (reach, smallest, levels, height, width, per_image)
        cells = torch.empty(count, dtype=torch.int64, device=clip.device)
        launch("soft_mask", "cells", count, *self.scene, cells)
        by_cell, self.order = cells.sort(stable=True)
        every = torch.arange(batch * per_image + 1, device=clip.device)
        self.cell_starts = torch.searchsorted(by_cell, every)

    def runs(self) -> list[tuple[Any, ...]]:
        """The first arguments of a searching kernel, for one run of pixels after another."""
        pixels, run = self.face_id.numel(), max(ENTRIES // self.room, LEAST_RUN)
        run = min(run, pixels)
        squared = self.points.new_empty(run * self.room)
        face = torch.empty(run * self.room, dtype=torch.int64, device=squared.device)
        chosen = (self.settings.sharpness, self.settings.cutoff, self.face_id, self.order, self.cell_starts)
        return [
            (min(run, pixels - first), first, *self.scene, *chosen, squared, face, self.room)
            for first in range(0, pixels, run)
        ]
