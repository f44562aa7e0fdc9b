"""Vertex attributes to pixels.

Legend: B images, V vertices, F faces, C channels, H W image, P covered pixels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, choose
from polyglyph.kernels.interpolate import reference, vectorised

__all__ = ["interpolate"]


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
    module = reference if choose(backend, "interpolate") == "reference" else vectorised
    return module.interpolate(attributes, faces, face_id, barycentric)


def _check(attributes: Tensor, faces: Tensor, face_id: Tensor, barycentric: Tensor) -> None:
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ConfigError(
            f"`faces` has shape {tuple(faces.shape)}, not [F, 3]", fix="pass one row per triangle"
        )
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
    if face_id.numel() and int(torch.max(face_id)) >= faces.shape[0]:
        raise ConfigError(
            f"`face_id` reaches {int(torch.max(face_id))}, but `faces` has {faces.shape[0]} rows",
            fix="pass the faces that were rasterized",
        )
