"""nvdiffrast's texture look-ups. Legend: B images, h w texels, H W image, C channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.texture import Filter, Wrap, build_mips, texture_cube
from polyglyph.kernels.texture import texture as _texture

__all__ = ["texture", "texture_construct_mip"]

_FILTERS: dict[str, Filter] = {
    "nearest": "nearest",
    "linear": "bilinear",
    "linear-mipmap-nearest": "bilinear-mipmap",
    "linear-mipmap-linear": "trilinear",
}
_WRAPS: dict[str, Wrap] = {"wrap": "repeat", "clamp": "clamp", "zero": "zero"}


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip_level_bias: Tensor | None = None,
    mip: Sequence[Tensor] | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:
    """`tex` [B or 1, h, w, C] at `uv` [B, H, W, 2] → [B, H, W, C].

    With `boundary_mode="cube"`, `tex` is [B or 1, 6, h, h, C] and `uv` [B, H, W, 3]. `uv_da` holds d/dX and
    d/dY of each coordinate, in order; `mip` is a list of levels, or what `texture_construct_mip` returns.
    `auto` is `linear-mipmap-linear` with `uv_da` or `mip_level_bias`, else `linear`.
    """
    if filter_mode == "auto":
        detailed = uv_da is not None or mip_level_bias is not None
        filter_mode = "linear-mipmap-linear" if detailed else "linear"
    if filter_mode not in _FILTERS:
        raise ConfigError(f"`filter_mode` is `{filter_mode}`", fix=f"use `auto`, `{'`, `'.join(_FILTERS)}`")
    if boundary_mode != "cube" and boundary_mode not in _WRAPS:
        raise ConfigError(f"`boundary_mode` is `{boundary_mode}`", fix=f"use `cube`, `{'`, `'.join(_WRAPS)}`")
    cube, chosen = boundary_mode == "cube", _FILTERS[filter_mode]
    if "mipmap" not in filter_mode:
        uv_da = mip_level_bias = mip = None
    elif mip is None:
        mip = texture_construct_mip(tex, max_mip_level, cube_mode=cube)
    elif max_mip_level is not None:
        mip = list(mip)[:max_mip_level]
    derivative = None if uv_da is None else uv_da.unflatten(-1, (-1, 2))
    if len(tex) == 1 and tex.ndim == (5 if cube else 4):
        tex, mip = tex[0], None if mip is None else [level[0] for level in mip]
    if cube:
        return texture_cube(
            tex, uv, filter=chosen, direction_derivative=derivative, level=mip_level_bias, mips=mip
        )
    wrap = _WRAPS[boundary_mode]
    return _texture(
        tex, uv, filter=chosen, wrap=wrap, uv_derivative=derivative, level=mip_level_bias, mips=mip
    )


def texture_construct_mip(
    tex: Tensor, max_mip_level: int | None = None, cube_mode: bool = False
) -> list[Tensor]:
    """The levels after `tex`, by a 2 × 2 box; for cube maps and images alike."""
    if tex.ndim != (5 if cube_mode else 4):
        raise ConfigError(
            f"`tex` has shape {tuple(tex.shape)}",
            fix="pass [B, 6, h, h, C] with `cube_mode=True`, [B, h, w, C] without",
        )
    return build_mips(tex, max_mip_level)
