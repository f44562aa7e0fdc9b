"""The compiled library's interpolation."""

from functools import partial

import torch
from torch import Tensor

from polyglyph.kernels.interpolate import compiled
from polyglyph.kernels.interpolate.compiled import Calls, Scene
from polyglyph.kernels.native import run, suffix

__all__ = ["interpolate"]


def _run(name: str, scene: Scene, *more: Tensor | None) -> None:
    run(
        f"{name}_{suffix(scene.weights.dtype)}",
        scene.attributes,
        scene.rows,
        scene.rows_per_image,
        scene.attributes.shape[-1],
        scene.faces,
        scene.face_id,
        *scene.face_id.shape,
        scene.weights,
        *more,
    )


class _Calls(Calls):
    @staticmethod
    def forward(scene: Scene, out: Tensor) -> None:
        _run("interpolate", scene, out)

    @staticmethod
    def to_attributes(scene: Scene, grad_out: Tensor) -> Tensor:
        grad = torch.empty_like(scene.attributes)
        _run("interpolate_backward", scene, grad_out, grad, None)
        return grad

    @staticmethod
    def to_weights(scene: Scene, grad_out: Tensor) -> Tensor:
        grad = torch.empty_like(scene.weights)
        _run("interpolate_backward", scene, grad_out, None, grad)
        return grad


interpolate = partial(compiled.interpolate, _Calls)
