"""Interpolation on CUDA."""

from functools import partial

import torch
from torch import Tensor

from polyglyph.kernels.device import launch
from polyglyph.kernels.interpolate import compiled
from polyglyph.kernels.interpolate.compiled import Calls, Scene
from polyglyph.kernels.native import suffix
from polyglyph.kernels.rasterize.cuda import gathered

__all__ = ["interpolate"]


def _start(kernel: str, scene: Scene, *more: Tensor | None) -> None:
    launch(
        "interpolate",
        f"{kernel}_{suffix(scene.weights.dtype)}",
        scene.face_id.numel(),
        scene.attributes,
        scene.rows_per_image,
        scene.attributes.shape[-1],
        scene.faces,
        scene.face_id,
        scene.face_id.shape[1] * scene.face_id.shape[2],
        scene.weights,
        *more,
    )


class _Calls(Calls):
    @staticmethod
    def forward(scene: Scene, out: Tensor) -> None:
        _start("interpolate", scene, out)

    @staticmethod
    def to_attributes(scene: Scene, grad_out: Tensor) -> Tensor:
        grad = torch.zeros_like(scene.attributes)
        if not torch.are_deterministic_algorithms_enabled():
            _start("to_attributes", scene, grad_out, grad, None)
            return grad
        apart = grad.new_zeros((scene.face_id.numel(), 3, grad.shape[-1]))
        _start("to_attributes", scene, grad_out, grad, apart)
        return gathered(apart, scene.faces, scene.face_id, scene.rows_per_image, scene.rows).view_as(grad)

    @staticmethod
    def to_weights(scene: Scene, grad_out: Tensor) -> Tensor:
        grad = torch.empty_like(scene.weights)
        _start("to_weights", scene, grad_out, grad)
        return grad


interpolate = partial(compiled.interpolate, _Calls)
