"""Texture look-up as gathers from one list of texels.

Legend as in request.py; R rows of texels, over all levels, images, faces, lines and columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from polyglyph.kernels.texture import cube
from polyglyph.kernels.texture.request import NO_FOOTPRINT, Request

__all__ = ["look_up"]


class _Level(NamedTuple):
    """The level that each sample reads: numbers for one of them all, or (S,)."""

    start: Tensor | int
    height: Tensor | int
    width: Tensor | int


class _Where(NamedTuple):
    """Where the samples lie in their images."""

    u: Tensor
    v: Tensor
    picture: Tensor | int
    """The sample's face, counted over all images."""


class _Texels(NamedTuple):
    rows: Tensor
    """[R, C]."""
    wrap: str


def look_up(request: Request) -> Tensor:
    """The result (S, C); the façade defines it."""
    faces, height, width, channels = request.levels[0].shape[1:]
    coordinate, change = request.coordinate, request.derivative
    sound_S = coordinate.detach().isfinite().all(dim=1)
    face_S = 0
    if request.wrap == "cube":
        sound_S = sound_S & coordinate.detach().ne(0).any(dim=1)
        coordinate = torch.where(sound_S[:, None], coordinate, torch.ones_like(coordinate))
        face_S, coordinate, change = cube.project(coordinate, change)
    else:
        coordinate = torch.where(sound_S[:, None], coordinate, torch.zeros_like(coordinate))
        if request.wrap == "repeat":
            coordinate = coordinate - coordinate.detach().floor()
    where = _Where(coordinate[:, 0], coordinate[:, 1], face_S + faces * _images(request))

    flat = [level.reshape(level.shape[:-1].numel(), channels) for level in request.levels]
    texels = _Texels(flat[0] if len(flat) == 1 else torch.cat(flat), request.wrap)
    base = _Level(0, height, width)
    if request.filter == "nearest":
        value = _nearest(texels, where, base)
    elif request.filter == "bilinear":
        value = _bilinear(texels, where, base)
    else:
        level_S = _level(request, change)
        sound_S = sound_S & ~level_S.detach().isnan()
        value = _mipmapped(request, texels, where, torch.where(sound_S, level_S, torch.zeros_like(level_S)))
    return torch.where(sound_S[:, None], value, torch.zeros_like(value))


def _images(request: Request) -> Tensor | int:
    count = len(request.levels[0])
    if count == 1:
        return 0
    return torch.arange(count, device=request.coordinate.device).repeat_interleave(request.run)


# ------------------------------------------------------------------------------------ level of detail


def _level(request: Request, change_S22: Tensor | None) -> Tensor:
    """Before it is clamped, (S,); NaN where the footprint is not finite."""
    if change_S22 is None:
        assert request.level is not None  # noqa: S101  (the façade has seen to it)
        return request.level
    _, _, height, width, _ = request.levels[0].shape
    level_S = _footprint_level(change_S22 * change_S22.new_tensor([[width], [height]]))
    return level_S if request.level is None else level_S + request.level


def _footprint_level(jacobian_S22: Tensor) -> Tensor:
    """log2 of the longer half-axis of the ellipse; both branches of each `where` have finite gradients."""
    sound_S = jacobian_S22.detach().isfinite().all(dim=2).all(dim=1)
    scale_S = jacobian_S22.detach().abs().amax(dim=(1, 2))
    some_S = sound_S & (scale_S > 0)
    scale_S = torch.where(some_S, scale_S, torch.ones_like(scale_S))
    unit = torch.eye(2, dtype=jacobian_S22.dtype, device=jacobian_S22.device)
    a_S22 = torch.where(some_S[:, None, None], jacobian_S22, unit) / scale_S[:, None, None]
    p, r = a_S22.square().sum(dim=2).unbind(1)
    q = (a_S22[:, 0] * a_S22[:, 1]).sum(dim=1)
    difference = ((p - r) / 2).square() + q.square()
    stretched = difference.detach() > 0
    root = torch.where(stretched, difference, torch.ones_like(difference)).sqrt()
    longer = (p + r) / 2 + torch.where(stretched, root, torch.zeros_like(root))
    level_S = longer.log2() / 2 + scale_S.log2()
    level_S = torch.where(some_S, level_S, torch.full_like(level_S, NO_FOOTPRINT))
    return torch.where(sound_S, level_S, torch.full_like(level_S, torch.nan))


def _mipmapped(request: Request, texels: _Texels, where: _Where, level_S: Tensor) -> Tensor:
    top, device = len(request.levels) - 1, level_S.device
    sizes = torch.tensor([level.shape[2:4] for level in request.levels], device=device)
    counts = [level.shape[:-1].numel() for level in request.levels]
    starts = torch.tensor([0, *counts[:-1]], device=device).cumsum(0)
    # Not `clamp`, whose gradient at its bounds differs between versions of torch.
    level_S = torch.where(level_S >= 0, level_S, torch.zeros_like(level_S))
    level_S = torch.where(level_S < top, level_S, torch.full_like(level_S, top))

    def at(whole_S: Tensor) -> Tensor:
        size_S2 = sizes.index_select(0, whole_S)
        return _bilinear(texels, where, _Level(starts.index_select(0, whole_S), *size_S2.unbind(1)))

    if request.filter == "bilinear-mipmap":
        return at((level_S.detach() + 0.5).floor().long())
    fine_S = level_S.detach().floor()
    fine, coarse = at(fine_S.long()), at((fine_S.long() + 1).clamp(max=top))
    return torch.lerp(fine, coarse, (level_S - fine_S)[:, None])


# ------------------------------------------------------------------------------------------ one level


def _nearest(texels: _Texels, where: _Where, level: _Level) -> Tensor:
    column = _near(where.u.detach() * level.width, level.width).floor().long()
    line = _near(where.v.detach() * level.height, level.height).floor().long()
    if texels.wrap == "cube":
        line, column = (_clamped(index, level.width) for index in (line, column))
    return _read(texels, where.picture, level, line, column)


def _bilinear(texels: _Texels, where: _Where, level: _Level) -> Tensor:
    x_S = _near(where.u * level.width - 0.5, level.width)
    y_S = _near(where.v * level.height - 0.5, level.height)
    x0, y0 = x_S.detach().floor(), y_S.detach().floor()
    left, top, across, down = x0.long(), y0.long(), (x_S - x0)[:, None], (y_S - y0)[:, None]
    read = _read_cube if texels.wrap == "cube" else _read
    corners = [(line, column) for line in (top, top + 1) for column in (left, left + 1)]
    values = [read(texels, where.picture, level, line, column) for line, column in corners]
    if texels.wrap == "cube":
        values = _with_corners(values, [_outside(c[0], level) & _outside(c[1], level) for c in corners])
    upper, lower = torch.lerp(values[0], values[1], across), torch.lerp(values[2], values[3], across)
    return torch.lerp(upper, lower, down)


def _near(place_S: Tensor, size: Tensor | int) -> Tensor:
    """What is far outside is brought to where still no texel of the image is near: it may exceed integers."""
    return place_S.clamp(min=-2).minimum(torch.as_tensor(size + 1, dtype=place_S.dtype))


def _clamped(index_S: Tensor, size: Tensor | int) -> Tensor:
    return index_S.clamp(min=0).minimum(torch.as_tensor(size - 1))


def _read(
    texels: _Texels, picture_S: Tensor | int, level: _Level, line_S: Tensor, column_S: Tensor
) -> Tensor:
    """Values at whole texels of one level, (S, C)."""
    if texels.wrap == "repeat":
        line, column = line_S.remainder(level.height), column_S.remainder(level.width)
    else:
        line, column = _clamped(line_S, level.height), _clamped(column_S, level.width)
    row_S = level.start + (picture_S * level.height + line) * level.width + column
    value = texels.rows.index_select(0, row_S)
    if texels.wrap != "zero":
        return value
    return value * ((line == line_S) & (column == column_S))[:, None]


def _outside(index_S: Tensor, level: _Level) -> Tensor:
    return (index_S < 0) | (index_S >= level.width)


def _read_cube(
    texels: _Texels, picture_S: Tensor | int, level: _Level, line_S: Tensor, column_S: Tensor
) -> Tensor:
    """The same across the edges of cubes. What is beyond a corner is some texel, to be replaced."""
    picture = torch.as_tensor(picture_S, device=line_S.device)
    face = picture.remainder(6)
    neighbour, line, column = cube.across_edge(face, line_S, column_S, level.width)
    return _read(texels, picture - face + neighbour, level, line, column)


def _with_corners(values: Sequence[Tensor], missing: Sequence[Tensor]) -> list[Tensor]:
    """The mean of the other three in place of the missing one of four texels, where one is missing."""
    there = [torch.where(gone[:, None], 0, value) for value, gone in zip(values, missing, strict=True)]
    mean = sum(there[1:], there[0]) / 3
    return [torch.where(gone[:, None], mean, value) for value, gone in zip(there, missing, strict=True)]
