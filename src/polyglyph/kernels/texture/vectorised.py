"""Texture look-up as gathers from the image's rows of texels.

Legend: P samples of all images, C channels.
"""

import torch
from torch import Tensor

__all__ = ["texture"]


def texture(image: Tensor, uv: Tensor, filter: str, wrap: str) -> Tensor:  # noqa: A002
    """See the façade."""
    height, width, channels = image.shape[-3:]
    u_P, v_P = uv.reshape(-1, 2).unbind(1)
    first_P = _first_texel(image, uv)
    texels = image.reshape(-1, channels)
    dtype = torch.promote_types(image.dtype, uv.dtype)

    def texel(row_P: Tensor, column_P: Tensor) -> Tensor:
        """Values at whole texels, (P, C)."""
        inner_row, row_in = _wrapped(row_P, height, wrap)
        inner_column, column_in = _wrapped(column_P, width, wrap)
        value = texels.index_select(0, first_P + inner_row * width + inner_column).to(dtype)
        if wrap != "zero":
            return value
        return value * (row_in & column_in)[:, None]

    if filter == "nearest":
        value = texel((v_P.detach() * height).floor().long(), (u_P.detach() * width).floor().long())
        return value.view(*uv.shape[:-1], channels)

    x_P, y_P = u_P * width - 0.5, v_P * height - 0.5
    left, top = x_P.detach().floor(), y_P.detach().floor()
    across, down = (x_P - left)[:, None].to(dtype), (y_P - top)[:, None].to(dtype)
    column, row = left.long(), top.long()
    upper = torch.lerp(texel(row, column), texel(row, column + 1), across)
    lower = torch.lerp(texel(row + 1, column), texel(row + 1, column + 1), across)
    return torch.lerp(upper, lower, down).view(*uv.shape[:-1], channels)


def _first_texel(image: Tensor, uv: Tensor) -> Tensor:
    """Index of the first texel of each sample's image: (P,), or a single 0 for a shared image."""
    if image.ndim == 3:
        return torch.zeros(1, dtype=torch.int64, device=uv.device)
    size = image.shape[1] * image.shape[2]
    return (torch.arange(uv.shape[0], device=uv.device) * size).repeat_interleave(uv.shape[1] * uv.shape[2])


def _wrapped(index: Tensor, size: int, wrap: str) -> tuple[Tensor, Tensor]:
    """The index inside the image, and whether it was inside to begin with."""
    inner = index.remainder(size) if wrap == "repeat" else index.clamp(0, size - 1)
    return inner, inner == index
