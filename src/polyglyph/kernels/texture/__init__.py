"""Image values at texture coordinates, and cube maps in directions.

Legend: B images, h w texels, s texels along the edge of a cube's face, H W pixels, N free-standing samples,
C channels.

The definition, in the promoted type of all tensors and with no fused operation:

* Bilinear. In an image (or level) of h × w texels, x = u w − 1/2 and y = v h − 1/2; the result blends the
  texels in rows ⌊y⌋, ⌊y⌋ + 1 and columns ⌊x⌋, ⌊x⌋ + 1 with the weights 1 − f and f of the fractions f.
* Level of detail (after Heckbert 1989 and the OpenGL specification 4.6, section 8.14). The Jacobian of texel
  coordinates by pixels has the rows J_u = w (∂u/∂column, ∂u/∂row) and J_v = h (∂v/∂column, ∂v/∂row), with the
  w and h of level 0. It takes the unit circle to an ellipse, the footprint, whose longer half-axis is √λ:
      λ = (p + r)/2 + √(((p − r)/2)² + q²),  p = J_u·J_u,  r = J_v·J_v,  q = J_u·J_v.
  The level is log2 √λ, plus `level` where it is given, clamped to [0, levels − 1]. `level` alone is absolute.
* Of that level ℓ, `bilinear-mipmap` takes the nearest whole one, ⌊ℓ + 1/2⌋, and `trilinear` blends ⌊ℓ⌋ and
  ⌊ℓ⌋ + 1 with the weights 1 − f and f of its fraction f.
* Cube maps (OpenGL 4.6, table 8.19). The face is that of the component of largest magnitude; of equal ones x
  goes before y before z. With |ma| that magnitude, u = (sc/|ma| + 1)/2 and v = (tc/|ma| + 1)/2:
      face      0: +X   1: −X   2: +Y   3: −Y   4: +Z   5: −Z
      sc (u)     −z      +z      +x      +x      +x      −x
      tc (v)     −y      −y      +z      −z      −y      −y
  Row 0 of a face is v = 0. A texel across an edge is the neighbouring face's nearest one; the one beyond a
  corner, which no face has, is the mean of the other three (as that section recommends), so the result is
  continuous over the whole sphere.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import check_floating
from polyglyph.kernels.texture import cpu, cuda, reference, vectorised
from polyglyph.kernels.texture.mips import build_mips, check_mips
from polyglyph.kernels.texture.request import Request

__all__ = ["Filter", "MipStack", "Wrap", "build_mips", "texture", "texture_cube"]

Filter = Literal["nearest", "bilinear", "bilinear-mipmap", "trilinear"]
Wrap = Literal["repeat", "clamp", "zero"]
MipStack = Sequence[Tensor]
"""Levels 1, 2, … of an image, each half as high and wide as the one before (an extent of 1 stays 1)."""

_MODULES: dict[Chosen, Any] = {"reference": reference, "vectorised": vectorised, "cpu": cpu, "cuda": cuda}
_MIPMAPPED = ("bilinear-mipmap", "trilinear")


def texture(
    image: Float[Tensor, "h w C"] | Float[Tensor, "B h w C"],
    uv: Float[Tensor, "B H W 2"] | Float[Tensor, "N 2"],
    *,
    filter: Filter = "bilinear",  # noqa: A002 - the field's word
    wrap: Wrap = "repeat",
    uv_derivative: Float[Tensor, "B H W 2 2"] | Float[Tensor, "N 2 2"] | None = None,
    level: Float[Tensor, "B H W"] | Float[Tensor, " N"] | None = None,
    mips: MipStack | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"] | Float[Tensor, "N C"]:
    """Look `image` up at `uv`; the result has the shape of `uv` with C in place of 2.

    An image [h, w, C] is shared by all samples; [B, h, w, C] gives each image of `uv` its own.

    Convention (glTF): uv (0, 0) is the top-left corner of the image, (1, 1) the bottom-right one, u
    runs along a row. The centre of texel (row i, column j) is at u = (j + 0.5) / w, v = (i + 0.5) / h.

    - `filter`: `bilinear` blends the four texels whose centres surround the point; `nearest` takes the texel
      that the point lies in, [j / w, (j + 1) / w) by [i / h, (i + 1) / h). `bilinear-mipmap` is bilinear in
      the nearest mip level, `trilinear` blends the two nearest levels (OpenGL's linear-mipmap-nearest and
      linear-mipmap-linear). These two need `uv_derivative` or `level`, and only they take them.
    - `wrap` says what a texel outside the image is: `repeat` the image tiled, `clamp` the texel of
      the border, `zero` 0 (so `bilinear` fades out over the last half texel and beyond).
    - `uv_derivative` is how (u, v) changes per pixel: [..., 0, :] is (∂u/∂column, ∂u/∂row), [..., 1, :] the
      same of v. The level follows from it by the formula at the top of this module. `level` is added to that
      (a bias), or is the level itself where there is no `uv_derivative`.
    - `mips` are the levels after the image, with the image's leading dimensions: any values, not only those
      of `build_mips(image)`, which is what None stands for.

    A sample is 0 and passes no gradient where `uv` or the footprint is not finite, or the level is NaN.

    The result has the promoted type of all tensors. Differentiable once, in `image`, `mips` and, except with
    `nearest`, `uv` (from the right where the blend has a kink, on the lines through texel centres); with
    `trilinear` also in `uv_derivative` and `level` (0 where the level is clamped; from the right where it is
    whole; with a circular footprint, the mean over directions). Gradients of texels are summed in a fixed
    order on the CPU.

    Raises ConfigError for shapes that do not fit together, unknown filters and wraps, missing or superfluous
    levels of detail, and images that do not halve.
    """
    if wrap not in get_args(Wrap):
        raise ConfigError(f"`texture` has no wrap `{wrap}`", fix="use `repeat`, `clamp` or `zero`")
    _check_filter("texture", filter, uv_derivative, level, mips)
    check_floating(image=image, uv=uv)
    _check(image, uv)
    _check_level(uv, uv_derivative, level, "uv")
    own = image.ndim == 4
    stack = _stack(image, mips, filter)
    levels = [(texels if own else texels[None]).unsqueeze(1) for texels in stack]
    request = _request(levels, uv, uv_derivative, level, filter, wrap)
    return _run(request, backend, "texture").view(*uv.shape[:-1], image.shape[-1])


def texture_cube(
    image: Float[Tensor, "6 s s C"] | Float[Tensor, "B 6 s s C"],
    direction: Float[Tensor, "B H W 3"] | Float[Tensor, "N 3"],
    *,
    filter: Filter = "bilinear",  # noqa: A002 - the field's word
    direction_derivative: Float[Tensor, "B H W 3 2"] | Float[Tensor, "N 3 2"] | None = None,
    level: Float[Tensor, "B H W"] | Float[Tensor, " N"] | None = None,
    mips: MipStack | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"] | Float[Tensor, "N C"]:
    """Look a cube map up in `direction`; the result has the shape of `direction` with C in place of 3.

    The faces' order and orientation are OpenGL's, in the table at the top of this module; blending continues
    across edges and corners. Directions need no normalisation. `direction_derivative` is how the direction
    changes per pixel, (column, row) last. The rest is as in `texture`.

    A sample is 0 and passes no gradient where the direction is zero or not finite, its footprint is not
    finite, or the level is NaN.

    Differentiable once, in `image`, `mips` and, except with `nearest`, `direction`; with `trilinear` also in
    `direction_derivative` and `level`. The component of a direction along itself gets no gradient.

    Raises ConfigError for shapes that do not fit together, an unknown filter, missing or superfluous levels
    of detail, and images that do not halve.
    """
    _check_filter("texture_cube", filter, direction_derivative, level, mips)
    check_floating(image=image, direction=direction)
    _check_cube(image, direction)
    _check_level(direction, direction_derivative, level, "direction")
    stack = _stack(image, mips, filter)
    levels = [texels if image.ndim == 5 else texels[None] for texels in stack]
    request = _request(levels, direction, direction_derivative, level, filter, "cube")
    return _run(request, backend, "texture_cube").view(*direction.shape[:-1], image.shape[-1])


def _stack(image: Tensor, mips: MipStack | None, filter: str) -> list[Tensor]:  # noqa: A002 - the field's word
    if filter not in _MIPMAPPED:
        return [image]
    if mips is not None:
        check_mips(image, mips)
    return [image, *(build_mips(image) if mips is None else mips)]


def _request(
    levels: list[Tensor],
    coordinate: Tensor,
    derivative: Tensor | None,
    level: Tensor | None,
    filter: str,  # noqa: A002 - the field's word
    wrap: str,
) -> Request:
    axes = coordinate.shape[-1]
    given = [value for value in (coordinate, derivative, level, *levels) if value is not None]
    dtype = given[0].dtype
    for value in given:
        dtype = torch.promote_types(dtype, value.dtype)
    return Request(
        [texels.to(dtype) for texels in levels],
        coordinate.reshape(-1, axes).to(dtype),
        None if derivative is None else derivative.reshape(-1, axes, 2).to(dtype),
        None if level is None else level.reshape(-1).to(dtype),
        filter,
        wrap,
    )


def _run(request: Request, backend: Backend, name: str) -> Tensor:
    rest = [value for value in (request.derivative, request.level) if value is not None]
    chosen = choose(backend, name, *request.levels, request.coordinate, *rest)
    return _MODULES[chosen].look_up(request)


def _check_filter(
    name: str,
    filter: str,  # noqa: A002 - the field's word
    derivative: Tensor | None,
    level: Tensor | None,
    mips: MipStack | None,
) -> None:
    if filter not in get_args(Filter):
        known = "`, `".join(get_args(Filter))
        raise ConfigError(f"`{name}` has no filter `{filter}`", fix=f"use one of `{known}`")
    unplaced = derivative is None and level is None
    if filter in _MIPMAPPED and unplaced:
        raise ConfigError(
            f"the filter `{filter}` needs a level of detail", fix="pass derivatives per pixel, or `level`"
        )
    if filter not in _MIPMAPPED and not (unplaced and mips is None):
        raise ConfigError(
            f"the filter `{filter}` uses no derivatives, `level` or `mips`",
            fix="leave them out, or use `trilinear` or `bilinear-mipmap`",
        )


def _check(image: Tensor, uv: Tensor) -> None:
    if uv.ndim not in (2, 4) or uv.shape[-1] != 2:
        raise ConfigError(f"`uv` has shape {tuple(uv.shape)}", fix="pass [B, H, W, 2] or [N, 2]")
    if image.ndim not in (3, 4) or 0 in image.shape[-3:-1]:
        raise ConfigError(f"`image` has shape {tuple(image.shape)}", fix="pass [h, w, C] or [B, h, w, C]")
    if image.ndim == 4 and (uv.ndim != 4 or uv.shape[0] != image.shape[0]):
        raise ConfigError(
            f"{image.shape[0]} images do not go with `uv` of shape {tuple(uv.shape)}",
            fix="pass one image [h, w, C], or as many as `uv` has",
        )


def _check_cube(image: Tensor, direction: Tensor) -> None:
    if direction.ndim not in (2, 4) or direction.shape[-1] != 3:
        raise ConfigError(
            f"`direction` has shape {tuple(direction.shape)}", fix="pass [B, H, W, 3] or [N, 3]"
        )
    faces, height, width = (image.shape[-4:-1] if image.ndim in (4, 5) else None) or (0, 0, 0)
    if faces != 6 or height != width or height == 0:
        raise ConfigError(
            f"`image` has shape {tuple(image.shape)}", fix="pass [6, s, s, C] or [B, 6, s, s, C]"
        )
    if image.ndim == 5 and (direction.ndim != 4 or direction.shape[0] != image.shape[0]):
        raise ConfigError(
            f"{image.shape[0]} cube maps do not go with `direction` of shape {tuple(direction.shape)}",
            fix="pass one cube map [6, s, s, C], or as many as `direction` has",
        )


def _check_level(coordinate: Tensor, derivative: Tensor | None, level: Tensor | None, name: str) -> None:
    if derivative is not None and derivative.shape != (*coordinate.shape, 2):
        raise ConfigError(
            f"`{name}_derivative` has shape {tuple(derivative.shape)} for `{name}` {tuple(coordinate.shape)}",
            fix=f"pass one more dimension than `{name}` has, of 2",
        )
    if level is not None and level.shape != coordinate.shape[:-1]:
        raise ConfigError(
            f"`level` has shape {tuple(level.shape)} for `{name}` {tuple(coordinate.shape)}",
            fix=f"pass one number for each sample of `{name}`",
        )
