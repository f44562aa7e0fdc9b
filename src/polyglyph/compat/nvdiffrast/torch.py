"""nvdiffrast's operations and layouts, on CPU and CUDA tensors.

Legend: B images, V vertices, T triangles, H W image, A attributes.

Differences from our own operations, all as nvdiffrast documents them: image row 0 is the bottom; `rast` is
[B, H, W, 4] with u and v (weights of a triangle's first and second corner), z/w and the triangle's number
plus one, 0 where nothing was hit; `rast_db` is [B, H, W, 4] with du/dX, du/dY, dv/dX, dv/dY in pixels.
Contexts are accepted and not needed. Unlike there, z/w passes gradients too, and vertices that coincide
without being shared make no silhouettes.

An image with row 0 at the bottom is our image of the scene upside down: y is negated, nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.compat.nvdiffrast.textures import texture, texture_construct_mip
from polyglyph.kernels.antialias import Topology
from polyglyph.kernels.antialias import antialias as _antialias
from polyglyph.kernels.interpolate import interpolate as _interpolate
from polyglyph.kernels.interpolate import interpolate_derivative
from polyglyph.kernels.rasterize import Fragments
from polyglyph.kernels.rasterize import rasterize as _rasterize

__all__ = [
    "DepthPeeler",
    "RasterizeCudaContext",
    "RasterizeGLContext",
    "antialias",
    "antialias_construct_topology_hash",
    "get_log_level",
    "interpolate",
    "rasterize",
    "set_log_level",
    "texture",
    "texture_construct_mip",
]

_LARGE = 1 << 24
"""Numbers up to here are exact in float32; larger ones are written as the bits of a float above it."""
_LARGE_BITS = 0x4A800000


class RasterizeCudaContext:
    """Accepted where a program makes one; the device of the tensors decides what runs."""

    def __init__(self, device: Any = None) -> None:
        self.device = device


class RasterizeGLContext(RasterizeCudaContext):
    """The same. `output_db=False` leaves `rast_db` out, as there."""

    def __init__(self, output_db: bool = True, mode: str = "automatic", device: Any = None) -> None:
        super().__init__(device)
        if mode not in ("automatic", "manual"):
            raise ConfigError(f"`mode` is `{mode}`", fix="use `automatic` or `manual`")
        self.output_db = output_db

    def set_context(self) -> None:
        """Nothing to do."""

    def release_context(self) -> None:
        """Nothing to do."""


_log_level = 1


def get_log_level() -> int:
    """The level last set; nothing is logged."""
    return _log_level


def set_log_level(level: int) -> None:
    """Remember `level`."""
    global _log_level
    _log_level = level


def rasterize(
    glctx: Any,
    pos: Tensor,
    tri: Tensor,
    resolution: Sequence[int],
    ranges: Tensor | None = None,
    grad_db: bool = True,
) -> tuple[Tensor, Tensor]:
    """`pos` [B, V, 4], or [V, 4] with `ranges` [B, 2]; `tri` [T, 3] → `rast`, `rast_db`, both [B, H, W, 4].

    `rast_db` has no channels where the context was made with `output_db=False`.
    """
    return _layer(glctx, pos, tri, resolution, ranges, grad_db, None)[0]


class DepthPeeler:
    """`with DepthPeeler(glctx, pos, tri, resolution) as peeler:`, then `peeler.rasterize_next_layer()`."""

    def __init__(
        self,
        glctx: Any,
        pos: Tensor,
        tri: Tensor,
        resolution: Sequence[int],
        ranges: Tensor | None = None,
        grad_db: bool = True,
    ) -> None:
        self._arguments = (glctx, pos, tri, resolution, ranges, grad_db)
        self._layer: Fragments | None = None
        self._entered = False

    def __enter__(self) -> DepthPeeler:
        self._entered, self._layer = True, None
        return self

    def __exit__(self, *_: object) -> None:
        self._entered, self._layer = False, None

    def rasterize_next_layer(self) -> tuple[Tensor, Tensor]:
        """The next layer, as `rasterize` returns the first; all zero after the last."""
        if not self._entered:
            raise ConfigError(
                "a depth peeler works inside its `with` block only",
                fix="write `with DepthPeeler(...) as peeler:`",
            )
        out, self._layer = _layer(*self._arguments, self._layer)
        return out


def interpolate(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None = None,
    diff_attrs: Sequence[int] | Literal["all"] | None = None,
) -> tuple[Tensor, Tensor]:
    """`attr` [B, V, A], [1, V, A] or [V, A] → [B, H, W, A] and [B, H, W, 2 · chosen], (d/dX, d/dY)."""
    wanted = diff_attrs is not None and len(diff_attrs) > 0
    if wanted and rast_db is None:
        raise ConfigError(
            "`diff_attrs` asks for derivatives without `rast_db`", fix="pass what `rasterize` returned second"
        )
    face_id, barycentric = _weights(rast)
    if attr.ndim == 3 and len(attr) == 1:
        attr = attr[0]
    out = _interpolate(attr, tri, face_id, barycentric)
    if rast_db is None or diff_attrs is None or not wanted:
        return out, out.new_zeros((*out.shape[:3], 0))
    channels = None if isinstance(diff_attrs, str) else list(diff_attrs)
    derivative = rast_db.unflatten(-1, (2, 2))
    derivative = torch.cat((derivative, -derivative.sum(dim=-2, keepdim=True)), dim=-2)
    change = interpolate_derivative(attr, tri, face_id, derivative, channels=channels)
    return out, change.flatten(-2)


def antialias(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology_hash: Topology | None = None,
    pos_gradient_boost: float = 1.0,
) -> Tensor:
    """`color` [B, H, W, C] with its silhouettes softened; `topology_hash` as constructed below."""
    face_id, barycentric = _weights(rast)
    fragments = Fragments(face_id, rast[..., 2].detach(), barycentric.detach())
    if pos_gradient_boost != 1.0:
        pos = pos.detach() + (pos - pos.detach()) * pos_gradient_boost
    ranges = None
    if pos.ndim == 2:  # no ranges are given: meshes are apart when their vertices have different rows
        ranges = torch.zeros((len(color), 2), dtype=torch.int32)
        topology_hash = Topology.of(tri) if topology_hash is None else topology_hash
    return _antialias(color, fragments, _upside_down(pos), tri, ranges=ranges, topology=topology_hash)


def antialias_construct_topology_hash(tri: Tensor) -> Topology:
    """What `antialias` would find out about `tri` each time; vertices are the same when their rows are."""
    return Topology.of(tri)


def _layer(
    glctx: Any,
    pos: Tensor,
    tri: Tensor,
    resolution: Sequence[int],
    ranges: Tensor | None,
    grad_db: bool,
    behind: Fragments | None,
) -> tuple[tuple[Tensor, Tensor], Fragments]:
    wanted = getattr(glctx, "output_db", True)
    ranges = ranges if pos.ndim == 2 else None  # as nvdiffrast does
    found = _rasterize(_upside_down(pos), tri, resolution, ranges=ranges, derivatives=wanted, behind=behind)
    number = _as_float(found.face_id + 1, found.depth.dtype)
    parts = (
        found.barycentric[..., :2],
        torch.where(number == 0, 0.0, found.depth)[..., None],
        number[..., None],
    )
    if found.derivative is None:
        rast_db = number.new_zeros((*number.shape, 0))
    else:
        rast_db = found.derivative[..., :2, :].flatten(-2)
        rast_db = rast_db if grad_db else rast_db.detach()
    return (torch.cat(parts, dim=-1), rast_db), found


def _upside_down(pos: Tensor) -> Tensor:
    x, y, z, w = pos.unbind(dim=-1)
    return torch.stack((x, -y, z, w), dim=-1)  # a constant made here could not be captured in a CUDA graph


def _weights(rast: Tensor) -> tuple[Tensor, Tensor]:
    """Face numbers from 0 (-1: none) and all three weights."""
    face_id = _as_int(rast[..., 3].detach()) - 1
    u, v = rast[..., 0], rast[..., 1]
    third = torch.where(face_id >= 0, 1 - u - v, 0.0)
    return face_id, torch.stack((u, v, third), dim=-1)


def _as_float(number: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float64:
        return number.to(dtype)
    large = (number + _LARGE_BITS).to(torch.int32).view(torch.float32)
    return torch.where(number <= _LARGE, number.to(torch.float32), large)


def _as_int(number: Tensor) -> Tensor:
    if number.dtype == torch.float64:
        return number.to(torch.int32)
    bits = number.contiguous().view(torch.int32)
    return torch.where(number <= _LARGE, number.to(torch.int32), bits - _LARGE_BITS)
