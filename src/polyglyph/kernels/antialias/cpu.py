"""The compiled library's antialiasing."""

from functools import partial

import torch
from torch import Tensor

from polyglyph.kernels.antialias import compiled
from polyglyph.kernels.antialias.compiled import Calls, Scene
from polyglyph.kernels.native import run, suffix

__all__ = ["antialias"]


def _run(name: str, scene: Scene, *more: Tensor | int | None) -> None:
    run(
        f"antialias_{name}_{suffix(scene.clip.dtype)}",
        scene.clip,
        scene.rows,
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
        codes = torch.empty((2, *scene.face_id.shape), dtype=torch.int32)
        _run("find", scene, color, color.shape[-1], int(every), codes)
        return codes

    @staticmethod
    def blend(scene: Scene, codes: Tensor, color: Tensor) -> Tensor:
        out = torch.empty_like(color)
        _run("blend", scene, codes, color, color.shape[-1], out)
        return out

    @staticmethod
    def to_color(scene: Scene, codes: Tensor, color: Tensor, grad: Tensor) -> Tensor:
        out = torch.empty_like(color)
        _run("backward", scene, codes, color, grad, color.shape[-1], out, None)
        return out

    @staticmethod
    def to_clip(scene: Scene, codes: Tensor, color: Tensor, grad: Tensor) -> Tensor:
        out = torch.empty_like(scene.clip)
        _run("backward", scene, codes, color, grad, color.shape[-1], None, out)
        return out


antialias = partial(compiled.antialias, _Calls)
