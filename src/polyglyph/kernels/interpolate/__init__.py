"""Vertex attributes to pixels, and their change from pixel to pixel.

Legend: B images, V vertices, F faces, C channels, c chosen channels, H W image, P covered pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import check_face_id, check_faces, check_floating
from polyglyph.kernels.interpolate import cpu, cuda, reference, vectorised

__all__ = ["interpolate", "interpolate_derivative"]

_MODULES: dict[Chosen, Any] = {"reference": reference, "vectorised": vectorised, "cpu": cpu, "cuda": cuda}


def interpolate(
    attributes: Float[Tensor, "B V C"] | Float[Tensor, "V C"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "B H W"],
    barycentric: Float[Tensor, "B H W 3"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"]:
    """Blend each face's three vertex attributes at every pixel.

    `attributes` is [V, C] when all images share it (and for ragged batches, whose vertices are packed), or
    [B, V, C].

    Convention: `face_id` is -1 where no face was hit, and the result is 0 there. Barycentric weights are in
    the order of `faces`' columns.

    Differentiable once, in `attributes` and `barycentric`; not in `face_id`. Missed pixels pass no gradient.

    Raises ConfigError for shapes or types that do not fit together.
    """
    _check(attributes, faces, face_id, barycentric)
    module = _MODULES[choose(backend, "interpolate", attributes, faces, face_id, barycentric)]
    return module.interpolate(attributes, faces, face_id, barycentric)


def interpolate_derivative(
    attributes: Float[Tensor, "B V C"] | Float[Tensor, "V C"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "B H W"],
    derivative: Float[Tensor, "B H W 3 2"],
    *,
    channels: Sequence[int] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W c 2"]:
    """How the blends change from a pixel to the next one to the right [..., 0] and below [..., 1].

    `derivative` is that of `rasterize(..., derivatives=True)`; `channels` are the columns of `attributes`
    that are wanted (c of them), all when left out. For texture coordinates this chooses the mip level.

    Convention: 0 where no face was hit. Differentiable once, in `attributes` and `derivative`.

    Raises ConfigError for shapes or types that do not fit together, and channels that are not there.
    """
    count = attributes.shape[-1]
    picked = list(range(count)) if channels is None else list(channels)
    if any(not 0 <= channel < count for channel in picked):
        raise ConfigError(
            f"`channels` is {picked}, and `attributes` has {count}", fix=f"use channels from 0 to {count - 1}"
        )
    if derivative.shape != (*face_id.shape, 3, 2):
        raise ConfigError(
            f"`derivative` has shape {tuple(derivative.shape)} and `face_id` {tuple(face_id.shape)}",
            fix="pass [B, H, W, 3, 2] as `rasterize` returns it with `derivatives=True`",
        )
    # The change of a weighted sum is the sum weighted by the weights' changes.
    some = attributes if channels is None else attributes[..., picked]
    across, down = derivative.unbind(dim=-1)
    parts = [interpolate(some, faces, face_id, weights, backend=backend) for weights in (across, down)]
    return torch.stack(parts, dim=-1)


def _check(attributes: Tensor, faces: Tensor, face_id: Tensor, barycentric: Tensor) -> None:
    check_floating(attributes=attributes, barycentric=barycentric)
    if face_id.ndim != 3 or barycentric.shape != (*face_id.shape, 3):
        raise ConfigError(
            f"`face_id` has shape {tuple(face_id.shape)} and `barycentric` {tuple(barycentric.shape)}",
            fix="pass [B, H, W] and [B, H, W, 3] as `rasterize` returns them",
        )
    if attributes.ndim not in (2, 3) or (attributes.ndim == 3 and attributes.shape[0] != face_id.shape[0]):
        raise ConfigError(
            f"`attributes` has shape {tuple(attributes.shape)} for {face_id.shape[0]} images",
            fix="pass [V, C], or [B, V, C] with one row per image",
        )
    if attributes.dtype != barycentric.dtype:
        raise ConfigError(
            f"`attributes` is {attributes.dtype} and `barycentric` {barycentric.dtype}",
            fix="use one type for both",
        )
    check_faces(faces, attributes.shape[-2], "attributes")
    check_face_id(face_id, faces)
