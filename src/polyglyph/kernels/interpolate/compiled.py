"""What the compiled backends share: one autograd function over the two ways of calling a kernel."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.native import indices

__all__ = ["Calls", "Scene", "interpolate"]


class Scene(NamedTuple):
    """Contiguous tensors, indices as int32."""

    attributes: Tensor
    faces: Tensor
    face_id: Tensor
    weights: Tensor

    @property
    def rows_per_image(self) -> int:
        """0 when images share their attributes."""
        return self.attributes.shape[1] if self.attributes.ndim == 3 else 0

    @property
    def rows(self) -> int:
        """Of attributes, over all images."""
        return len(self.attributes) * (self.rows_per_image or 1)


class Calls(ABC):
    """A compiled backend."""

    @staticmethod
    @abstractmethod
    def forward(scene: Scene, out: Tensor) -> None:
        """Write the blends [B, H, W, C]."""

    @staticmethod
    @abstractmethod
    def to_attributes(scene: Scene, grad_out: Tensor) -> Tensor:
        """The gradient of the attributes."""

    @staticmethod
    @abstractmethod
    def to_weights(scene: Scene, grad_out: Tensor) -> Tensor:
        """The gradient of the weights."""


def interpolate(
    calls: type[Calls], attributes: Tensor, faces: Tensor, face_id: Tensor, barycentric: Tensor
) -> Tensor:
    """Blends [B, H, W, C] by one of the compiled backends."""
    rows = (indices(faces), indices(face_id))
    return _Interpolate.apply(calls, attributes, *rows, barycentric)  # pyright: ignore[reportReturnType]


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, calls: type[Calls], attributes: Tensor, faces: Tensor, face_id: Tensor, weights: Tensor
    ) -> Tensor:
        scene = Scene(attributes.contiguous(), faces, face_id, weights.contiguous())
        ctx.calls = calls
        ctx.save_for_backward(*scene)
        out = scene.weights.new_empty((*face_id.shape, attributes.shape[-1]))
        calls.forward(scene, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        scene, calls, grad = Scene(*ctx.saved_tensors), ctx.calls, grad.contiguous()
        to_attributes = calls.to_attributes(scene, grad) if ctx.needs_input_grad[1] else None
        to_weights = calls.to_weights(scene, grad) if ctx.needs_input_grad[4] else None
        return None, to_attributes, None, None, to_weights
