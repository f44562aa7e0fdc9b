"""The definition, one sample at a time. Slow on purpose; never optimise this file."""

import math

import torch
from torch import Tensor

from polyglyph.kernels.texture.request import NO_FOOTPRINT, Request

__all__ = ["look_up"]

# OpenGL 4.6, table 8.19: for each face the axis it lies on and the axes of its columns and rows, with signs.
_FACES = [
    ((0, 1), (2, -1), (1, -1)),
    ((0, -1), (2, 1), (1, -1)),
    ((1, 1), (0, 1), (2, 1)),
    ((1, -1), (0, 1), (2, -1)),
    ((2, 1), (0, 1), (1, -1)),
    ((2, -1), (0, -1), (1, -1)),
]


def look_up(request: Request) -> Tensor:
    """The result (S, C); the façade defines it."""
    values = []
    for sample, coordinate in enumerate(request.coordinate):
        image = sample // request.run if len(request.levels[0]) > 1 else 0
        levels = [level[image] for level in request.levels]
        derivative = None if request.derivative is None else request.derivative[sample]
        bias = None if request.level is None else request.level[sample]
        values.append(_sample(request, levels, coordinate, derivative, bias))
    none = request.coordinate.new_zeros((0, request.channels))
    return torch.stack(values) if values else none


def _sample(
    request: Request, levels: list[Tensor], coordinate: Tensor, derivative: Tensor | None, bias: Tensor | None
) -> Tensor:
    nothing = coordinate.new_zeros(request.channels)
    if not coordinate.isfinite().all():
        return nothing
    face = 0
    if request.wrap == "cube":
        if not coordinate.any():
            return nothing
        face, coordinate, derivative = _face_of(coordinate, derivative)
    elif request.wrap == "repeat":
        coordinate = coordinate - coordinate.detach().floor()
    wrap = request.wrap
    if request.filter == "nearest":
        return _nearest(levels[0], face, coordinate, wrap)
    if request.filter == "bilinear":
        return _bilinear(levels[0], face, coordinate, wrap)

    level = coordinate.new_zeros(())
    if derivative is not None:
        level = _footprint_level(derivative, levels[0])
    if bias is not None:
        level = level + bias
    if level.isnan():
        return nothing
    top = len(levels) - 1
    if request.filter == "bilinear-mipmap":
        whole = math.floor(level.clamp(0, top).item() + 0.5)
        return _bilinear(levels[whole], face, coordinate, wrap)
    if level < 0 or level >= top:
        return _bilinear(levels[0 if level < 0 else top], face, coordinate, wrap)
    fine = math.floor(level.item())
    value = _bilinear(levels[fine], face, coordinate, wrap)
    blend = level - fine
    return (1 - blend) * value + blend * _bilinear(levels[fine + 1], face, coordinate, wrap)


def _footprint_level(derivative: Tensor, image: Tensor) -> Tensor:
    """log2 of the longer half-axis of the footprint; NaN where it is not finite."""
    _, height, width, _ = image.shape
    jacobian = derivative * derivative.new_tensor([[width], [height]])
    if not jacobian.isfinite().all():
        return jacobian.new_tensor(math.nan)
    scale = jacobian.detach().abs().max()
    if scale == 0:
        return jacobian.new_tensor(NO_FOOTPRINT)
    (p, q), (_, r) = (jacobian / scale) @ (jacobian / scale).T
    difference = ((p - r) / 2) ** 2 + q**2
    longer = (p + r) / 2 + (difference.sqrt() if difference > 0 else 0)
    return longer.log2() / 2 + scale.log2()


def _face_of(direction: Tensor, derivative: Tensor | None) -> tuple[int, Tensor, Tensor | None]:
    """Face, (u, v) on it, and how they change per pixel."""
    size = [abs(value) for value in direction.tolist()]
    axis = size.index(max(size))
    face = 2 * axis + (direction[axis].item() < 0)
    (major, sign), *columns_rows = _FACES[face]
    length = sign * direction[major]
    uv, change = [], []
    for along, along_sign in columns_rows:
        part = along_sign * direction[along] / length
        uv.append((part + 1) / 2)
        if derivative is not None:
            change.append((along_sign * derivative[along] - part * sign * derivative[major]) / length / 2)
    return face, torch.stack(uv), torch.stack(change) if change else None


def _nearest(image: Tensor, face: int, uv: Tensor, wrap: str) -> Tensor:
    _, height, width, _ = image.shape
    x, y = (uv[0] * width).clamp(-2, width + 1), (uv[1] * height).clamp(-2, height + 1)
    column, row = math.floor(x.item()), math.floor(y.item())
    if wrap == "cube":  # the far edge belongs to the face too
        row, column = min(row, height - 1), min(column, width - 1)
    return _texel(image, face, row, column, wrap)


def _bilinear(image: Tensor, face: int, uv: Tensor, wrap: str) -> Tensor:
    _, height, width, _ = image.shape
    # Where all texels are outside it does not matter which they are; larger coordinates may exceed integers.
    x, y = (uv[0] * width - 0.5).clamp(-2, width + 1), (uv[1] * height - 0.5).clamp(-2, height + 1)
    left, top = math.floor(x.item()), math.floor(y.item())
    value = torch.zeros_like(image[0, 0, 0])
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_weight in ((left, left + 1 - x), (left + 1, x - left)):
            value = value + row_weight * column_weight * _texel(image, face, row, column, wrap)
    return value


def _texel(image: Tensor, face: int, row: int, column: int, wrap: str) -> Tensor:
    _, height, width, _ = image.shape
    if wrap == "repeat":
        return image[face, row % height, column % width]
    inside_row, inside_column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    if wrap == "clamp" or (row, column) == (inside_row, inside_column):
        return image[face, inside_row, inside_column]
    if wrap == "zero":
        return torch.zeros_like(image[0, 0, 0])
    if row == inside_row or column == inside_column:
        return _across(image, face, row, column)
    beside = _texel(image, face, inside_row, column, wrap) + _texel(image, face, row, inside_column, wrap)
    return (image[face, inside_row, inside_column] + beside) / 3


def _across(image: Tensor, face: int, row: int, column: int) -> Tensor:
    """The neighbouring face's texel nearest to one beyond an edge: where a point just past the edge lies."""
    size = image.shape[1]
    reach = 1 + 1e-3 / size
    s, t = (min(max((2 * n + 1) / size - 1, -reach), reach) for n in (column, row))
    (major, sign), (along_s, s_sign), (along_t, t_sign) = _FACES[face]
    direction = torch.zeros(3, dtype=torch.float64)
    direction[major], direction[along_s], direction[along_t] = sign, s_sign * s, t_sign * t
    neighbour, uv, _ = _face_of(direction, None)
    return _nearest(image, neighbour, uv, "cube")
