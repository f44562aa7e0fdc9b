"""What the compiled backends share: one autograd function over the two ways of calling the kernels."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.antialias.topology import Topology
from polyglyph.kernels.native import indices

__all__ = ["Calls", "Scene", "antialias"]


class Scene(NamedTuple):
    """Contiguous tensors, indices as int32."""

    clip: Tensor
    faces: Tensor
    corner: Tensor
    following: Tensor
    face_id: Tensor
    depth: Tensor

    @property
    def rows_per_image(self) -> int:
        """0 for packed clips."""
        return self.clip.shape[1] if self.clip.ndim == 3 else 0

    @property
    def rows(self) -> int:
        """Of the clip, over all images."""
        return len(self.clip) * (self.rows_per_image or 1)


class Calls(ABC):
    """A compiled backend. `codes` [2, B, H, W] hold the silhouette between a pixel and its neighbour."""

    @staticmethod
    @abstractmethod
    def find(scene: Scene, color: Tensor, every: bool) -> Tensor:
        """The codes of all pairs; unless `every`, only of pairs whose colours differ."""

    @staticmethod
    @abstractmethod
    def blend(scene: Scene, codes: Tensor, color: Tensor) -> Tensor:
        """The blended colours."""

    @staticmethod
    @abstractmethod
    def to_color(scene: Scene, codes: Tensor, color: Tensor, grad: Tensor) -> Tensor:
        """The gradient of the colours."""

    @staticmethod
    @abstractmethod
    def to_clip(scene: Scene, codes: Tensor, color: Tensor, grad: Tensor) -> Tensor:
        """The gradient of the clip."""


def antialias(
    calls: type[Calls],
    color: Tensor,
    face_id: Tensor,
    depth: Tensor,
    clip: Tensor,
    faces: Tensor,
    topology: Topology,
) -> Tensor:
    """Soften the silhouettes in `color` [B, H, W, C] by one of the compiled backends."""
    rest = (faces, topology.corner, topology.following, face_id)
    return _Antialias.apply(calls, color, clip, *map(indices, rest), depth)  # pyright: ignore[reportReturnType]


class _Antialias(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, calls: type[Calls], color: Tensor, clip: Tensor, *rest: Tensor) -> Tensor:
        scene, color = Scene(clip.contiguous(), *(part.contiguous() for part in rest)), color.contiguous()
        codes = calls.find(scene, color, every=ctx.needs_input_grad[1])
        ctx.calls = calls
        ctx.save_for_backward(*scene, color, codes)
        return calls.blend(scene, codes, color)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *parts, color, codes = ctx.saved_tensors
        scene, grad = Scene(*parts), grad.contiguous()
        to_color = ctx.calls.to_color(scene, codes, color, grad) if ctx.needs_input_grad[1] else None
        to_clip = ctx.calls.to_clip(scene, codes, color, grad) if ctx.needs_input_grad[2] else None
        return None, to_color, to_clip, None, None, None, None, None
