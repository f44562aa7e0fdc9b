"""Antialiasing on CUDA. Nothing here waits for the GPU, but in deterministic mode."""

from functools import partial

import torch
from torch import Tensor

from polyglyph.kernels.antialias import compiled
from polyglyph.kernels.antialias.compiled import Calls, Scene
from polyglyph.kernels.device import launch
from polyglyph.kernels.native import suffix

__all__ = ["antialias"]


def _start(kernel: str, count: int, scene: Scene, *more: Tensor | int | None) -> None:
    launch(
        "antialias",
        f"{kernel}_{suffix(scene.clip.dtype)}",
        count,
        scene.clip,
        scene.rows_per_image,
        scene.faces,
        scene.corner,
        scene.following,
        scene.face_id,
        scene.depth,
        *scene.face_id.shape,
        *more,
    )


class _Calls(Calls):
    @staticmethod
    def find(scene: Scene, color: Tensor, every: bool) -> Tensor:
        codes = scene.face_id.new_empty((2, *scene.face_id.shape))
        _start("find", codes.numel(), scene, color, color.shape[-1], int(every), codes)
        return codes

    @staticmethod
    def blend(scene: Scene, codes: Tensor, color: Tensor) -> Tensor:
        out = torch.empty_like(color)
        _start("blend", scene.face_id.numel(), scene, codes, color, color.shape[-1], out)
        return out

    @staticmethod
    def to_color(scene: Scene, codes: Tensor, color: Tensor, grad: Tensor) -> Tensor:
        out = torch.empty_like(color)
        _start("to_color", scene.face_id.numel(), scene, codes, grad, color.shape[-1], out)
        return out

    @staticmethod
    def to_clip(scene: Scene, codes: Tensor, color: Tensor, grad: Tensor) -> Tensor:
        out, apart = torch.zeros_like(scene.clip), None
        if torch.are_deterministic_algorithms_enabled():
            apart = torch.zeros((codes.numel(), 2, 3), dtype=torch.float64, device=out.device)
        _start("to_clip", codes.numel(), scene, codes, color, grad, color.shape[-1], out, apart)
        return out if apart is None else _gathered(scene, codes, apart)


def _gathered(scene: Scene, codes: Tensor, apart: Tensor) -> Tensor:
    """The sum of every pair's part, by torch's deterministic index_add."""
    found = (codes.reshape(-1) >= 0).nonzero().squeeze(1)
    half = torch.div(codes.reshape(-1).index_select(0, found), 2, rounding_mode="floor").long()
    ends = [half - half % 3 + (half + turn) % 3 for turn in (1, 2)]
    rows = scene.faces.reshape(-1).index_select(0, torch.stack(ends, dim=1).reshape(-1)).long().view(-1, 2)
    pixels = scene.face_id[0].numel()
    image = torch.div(found % scene.face_id.numel(), pixels, rounding_mode="floor")
    rows = rows + (image * scene.rows_per_image)[:, None]
    values = apart.index_select(0, found).flatten(0, 1)
    sums = apart.new_zeros((scene.rows, 3)).index_add_(0, rows.reshape(-1), values)
    x, y, w = sums.to(scene.clip.dtype).unbind(dim=1)
    return torch.stack((x, y, torch.zeros_like(x), w), dim=1).view_as(scene.clip)


antialias = partial(compiled.antialias, _Calls)
