"""Texture look-up as gathers from the image's rows of texels.

Legend: P samples of all images, C channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["texture"]


class _Place(NamedTuple):
    """Rows or columns of texels, brought into the image, (P,)."""

    inside: Tensor
    kept: Tensor | None
    """False where the texel was outside and counts as 0; None where every texel counts."""


def texture(image: Tensor, uv: Tensor, filter: str, wrap: str) -> Tensor:  # noqa: A002
    """See the façade."""
    height, width, channels = image.shape[-3:]
    u_P, v_P = uv.reshape(-1, 2).unbind(1)
    first_P = _first_texel(image, uv)
    texels = image.reshape(-1, channels)
    dtype = torch.promote_types(image.dtype, uv.dtype)

    def texel(row: _Place, column: _Place) -> Tensor:
        """Values at whole texels, (P, C)."""
        value = texels.index_select(0, first_P + row.inside * width + column.inside).to(dtype)
        if row.kept is None or column.kept is None:
            return value
        return value * (row.kept & column.kept)[:, None]

    if filter == "nearest":
        rows, columns = (v_P.detach() * height).floor(), (u_P.detach() * width).floor()
        value = texel(_placed(rows.long(), height, wrap), _placed(columns.long(), width, wrap))
        return value.view(*uv.shape[:-1], channels)

    x_P, y_P = u_P * width - 0.5, v_P * height - 0.5
    x0, y0 = x_P.detach().floor(), y_P.detach().floor()
    across, down = (x_P - x0)[:, None].to(dtype), (y_P - y0)[:, None].to(dtype)
    left, right = _placed(x0.long(), width, wrap), _placed(x0.long() + 1, width, wrap)
    top, bottom = _placed(y0.long(), height, wrap), _placed(y0.long() + 1, height, wrap)
    upper = torch.lerp(texel(top, left), texel(top, right), across)
    lower = torch.lerp(texel(bottom, left), texel(bottom, right), across)
    return torch.lerp(upper, lower, down).view(*uv.shape[:-1], channels)


def _first_texel(image: Tensor, uv: Tensor) -> Tensor:
    """Index of the first texel of each sample's image: (P,), or a single 0 for a shared image."""
    if image.ndim == 3:
        return torch.zeros(1, dtype=torch.int64, device=uv.device)
    size = image.shape[1] * image.shape[2]
    return (torch.arange(uv.shape[0], device=uv.device) * size).repeat_interleave(uv.shape[1] * uv.shape[2])


def _placed(index: Tensor, size: int, wrap: str) -> _Place:
    if wrap == "repeat":
        return _Place(index.remainder(size), None)
    inside = index.clamp(0, size - 1)
    return _Place(inside, inside == index if wrap == "zero" else None)
