"""The definition, one sample at a time. Slow on purpose; never optimise this file."""

import math

import torch
from torch import Tensor

__all__ = ["texture"]


def texture(image: Tensor, uv: Tensor, filter: str, wrap: str) -> Tensor:  # noqa: A002
    """See the façade."""
    if uv.ndim == 2:
        return _samples(image, uv, filter, wrap)
    pictures = []
    for b in range(uv.shape[0]):
        own = image if image.ndim == 3 else image[b]
        rows = [_samples(own, row, filter, wrap) for row in uv[b]]
        pictures.append(torch.stack(rows))
    return torch.stack(pictures)


def _samples(image: Tensor, uv: Tensor, filter: str, wrap: str) -> Tensor:  # noqa: A002
    height, width, channels = image.shape
    dtype = torch.promote_types(image.dtype, uv.dtype)
    values = []
    for u, v in uv:
        if filter == "nearest":
            values.append(_texel(image, _floor(v * height), _floor(u * width), wrap).to(dtype))
            continue
        x, y = u * width - 0.5, v * height - 0.5
        left, top = _floor(x), _floor(y)
        value = torch.zeros(channels, dtype=dtype, device=image.device)
        for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
            for column, column_weight in ((left, left + 1 - x), (left + 1, x - left)):
                value = value + row_weight * column_weight * _texel(image, row, column, wrap)
        values.append(value)
    return torch.stack(values)


def _floor(value: Tensor) -> int:
    return math.floor(value.item())


def _texel(image: Tensor, row: int, column: int, wrap: str) -> Tensor:
    height, width, _ = image.shape
    if wrap == "repeat":
        return image[row % height, column % width]
    clamped_row, clamped_column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    if wrap == "zero" and (row, column) != (clamped_row, clamped_column):
        return torch.zeros_like(image[0, 0])
    return image[clamped_row, clamped_column]
