"""Faces → pixels in their reach → the nearest few of each pixel, as tensor operations on any device.

Legend: N faces drawn (over all images), P (face, pixel) pairs, R rows of the flat `clip`.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from polyglyph.kernels.rasterize.vectorised import wide
from polyglyph.kernels.soft_mask.settings import FAR_AWAY, Settings

__all__ = ["soft_mask"]

PIXEL_MARGIN = 1e-4
CHUNK = 1 << 17
"""(face, pixel) pairs worked on at once."""
HELD = 1 << 21
"""Pairs kept before the farther ones are thrown out."""


def soft_mask(
    clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
) -> Tensor:
    """The mask [B, H, W]. The façade defines it."""
    point_R2 = _on_screen(clip, face_id.shape[2] / face_id.shape[1])
    with torch.no_grad():
        pairs = _nearest(point_R2.detach(), _drawn(clip, faces, ranges), face_id, settings)
    # Where a pixel is on a face the mask is 1, the distance has no slope, and nothing else counts.
    apart = pairs.squared > torch.finfo(point_R2.dtype).tiny
    touched = torch.zeros(face_id.numel(), dtype=torch.bool, device=clip.device)
    touched[pairs.pixel[~apart]] = True
    apart &= ~touched[pairs.pixel]
    pixel, start, end, along = (value[apart] for value in (pairs.pixel, *pairs[2:]))

    start_P2, end_P2 = point_R2.index_select(0, start), point_R2.index_select(0, end)
    with torch.no_grad():
        away_P2 = _away(start_P2, end_P2, along, _centres(pixel, face_id))
    # The nearest point makes the distance least: only the ends' own movement counts, and not that of `along`.
    foot_P2 = torch.lerp(start_P2, end_P2, along[:, None])
    squared = away_P2.square().sum(dim=1) - 2 * (away_P2 * (foot_P2 - foot_P2.detach())).sum(dim=1)
    missed = -torch.expm1(-squared * settings.sharpness)
    none = point_R2.new_zeros(face_id.numel()).index_add(0, pixel, missed.log())
    mask = torch.where(touched | (face_id.reshape(-1) >= 0), 1.0, -none.expm1())
    return mask.to(clip.dtype).reshape(face_id.shape)


def _on_screen(clip: Tensor, aspect: float) -> Tensor:
    """[R, 2] in half heights of the image; NaN where faces that have the vertex take no part."""
    x, y, z, w = clip.reshape(-1, 4).to(wide(clip)).unbind(dim=1)
    taking_part = (w > 0) & w.isfinite() & z.isfinite()
    taking_part &= ((x / w * aspect).abs() < FAR_AWAY) & ((y / w).abs() < FAR_AWAY)
    # Places that do not count are put away before the division, so that they pass 0 back and not NaN.
    x, y = (torch.where(taking_part, value, torch.nan) for value in (x, y))
    w = torch.where(taking_part, w, 1.0)
    return torch.stack([x / w * aspect, y / w], dim=1)


class _Drawn(NamedTuple):
    """Every (image, face), in the order of images and then of faces."""

    corners: Tensor
    """[3, N] rows of the flat `clip`."""
    image: Tensor
    """[N]"""


def _drawn(clip: Tensor, faces: Tensor, ranges: Tensor | None) -> _Drawn:
    corners_3F = faces.t().long()
    if ranges is None:
        image = torch.arange(len(clip), device=clip.device)
        shift = image[None, :, None] * clip.shape[1]
        return _Drawn((corners_3F[:, None, :] + shift).reshape(3, -1), image.repeat_interleave(len(faces)))
    first, count = ranges.long().unbind(dim=1)
    image = torch.repeat_interleave(torch.arange(len(count), device=clip.device), count)
    start = count.cumsum(0) - count
    face = torch.arange(len(image), device=clip.device) + (first - start)[image]
    return _Drawn(corners_3F.index_select(1, face), image)


class _Pairs(NamedTuple):
    pixel: Tensor
    """[P] counted over the batch."""
    squared: Tensor
    """[P] distance, 0 inside the face."""
    start: Tensor
    """[P] row of the flat `clip` where the nearest edge begins,"""
    end: Tensor
    """where it ends,"""
    along: Tensor
    """and how far along it its nearest point is, in [0, 1]."""


def _nearest(point_R2: Tensor, drawn: _Drawn, face_id: Tensor, settings: Settings) -> _Pairs:
    """The nearest faces within the cut-off of all uncovered pixels."""
    first_2N, size_2N = _reach(point_R2, drawn.corners, face_id, settings.cutoff)
    kept = (size_2N > 0).all(dim=0).nonzero().squeeze(1)
    corners_3N, image_N = drawn.corners[:, kept], drawn.image[kept]
    first_2N, size_2N = first_2N[:, kept], size_2N[:, kept]
    height, width = face_id.shape[1:]
    is_open = face_id.reshape(-1) < 0

    empty = torch.zeros(0, dtype=torch.int64, device=point_R2.device)
    held = _Pairs(empty, point_R2.new_zeros(0), empty, empty, point_R2.new_zeros(0))
    for faces_from, faces_to in _chunks(size_2N.prod(dim=0)):
        take = slice(faces_from, faces_to)
        rows, columns = size_2N[:, take]
        owner = torch.repeat_interleave(rows * columns)
        ends = (rows * columns).cumsum(0)
        number = torch.arange(len(owner), device=owner.device) - (ends - rows * columns)[owner]
        row = torch.div(number, columns[owner], rounding_mode="floor")
        column = number - row * columns[owner]
        owner = owner + faces_from
        row, column = first_2N[0, owner] + row, first_2N[1, owner] + column
        pixel = (image_N[owner] * height + row) * width + column
        found = is_open.index_select(0, pixel).nonzero().squeeze(1)
        pixel, corners_3P = pixel[found], corners_3N[:, owner[found]]
        new = _measured(point_R2, corners_3P, pixel, _centres(pixel, face_id))
        within = (new.squared < settings.cutoff).nonzero().squeeze(1)
        held = _Pairs(*(torch.cat([a, b[within]]) for a, b in zip(held, new, strict=True)))
        if len(held.pixel) > HELD:
            held = _pruned(held, settings.neighbours)
    return _pruned(held, settings.neighbours)


def _reach(point_R2: Tensor, corners_3N: Tensor, face_id: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """First (row, column) of the pixels that each face may reach, and how many rows and columns."""
    height, width = face_id.shape[1:]
    pixels = cutoff**0.5 * height / 2 + PIXEL_MARGIN
    row_R = (1 - point_R2[:, 1]) * (height / 2) - 0.5
    column_R = (point_R2[:, 0] * height + width) / 2 - 0.5
    firsts, sizes = [], []
    for value_R, size in ((row_R, height), (column_R, width)):
        value_3N = value_R[corners_3N]  # NaN makes the least and the most NaN
        first = (value_3N.amin(dim=0) - pixels).clamp(0, size).ceil()
        last = (value_3N.amax(dim=0) + pixels).clamp(-1, size - 1).floor()
        firsts.append(first.nan_to_num().long())
        sizes.append((last - first + 1).nan_to_num().clamp(min=0).long())
    return torch.stack(firsts), torch.stack(sizes)


def _chunks(count: Tensor) -> Iterator[tuple[int, int]]:
    """Cut a list into runs whose counts sum to about `CHUNK` (at most one entry over)."""
    if count.numel() == 0:
        return
    ends = count.cumsum(0)
    marks = torch.arange(0, int(ends[-1]), CHUNK, device=count.device)[1:]
    cuts = {0, *(torch.searchsorted(ends, marks) + 1).tolist(), len(count)}
    yield from pairwise(sorted(cuts))


def _centres(pixel: Tensor, face_id: Tensor) -> Tensor:
    """[P, 2] in half heights of the image."""
    height, width = face_id.shape[1:]
    dtype = wide(face_id)
    row = torch.div(pixel, width, rounding_mode="floor")
    x = (2 * (pixel - row * width) + 1).to(dtype) / width - 1
    return torch.stack([x * (width / height), 1 - (2 * (row % height) + 1).to(dtype) / height], dim=1)


def _measured(point_R2: Tensor, corners_3P: Tensor, pixel: Tensor, centre_P2: Tensor) -> _Pairs:
    """The distance of each pair, and the edge that it is to: the first of equally near ones."""
    x_R, y_R = point_R2.unbind(dim=1)
    corner_x, corner_y = x_R[corners_3P], y_R[corners_3P]
    edges, sides = [], []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        dx, dy = corner_x[b] - corner_x[a], corner_y[b] - corner_y[a]
        sides.append(dx * (centre_P2[:, 1] - corner_y[a]) - dy * (centre_P2[:, 0] - corner_x[a]))
        # The same ends in the same order, whichever face an edge comes from: equal distances are equal bits.
        swap = (dx < 0) | ((dx == 0) & (dy < 0))
        start = torch.where(swap, corners_3P[b], corners_3P[a])
        end = torch.where(swap, corners_3P[a], corners_3P[b])
        edges.append(_to_edge(point_R2, start, end, pixel, centre_P2))
    side_3P = torch.stack(sides)
    inside = (side_3P > 0).all(dim=0) | (side_3P < 0).all(dim=0)
    for corner, centre in zip((corner_x, corner_y), centre_P2.unbind(dim=1), strict=True):
        inside &= (corner.amin(dim=0) <= centre) & (centre <= corner.amax(dim=0))
    best = edges[0]
    for edge in edges[1:]:
        nearer = edge.squared < best.squared
        best = _Pairs(*(torch.where(nearer, b, a) for a, b in zip(best, edge, strict=True)))
    return best._replace(squared=torch.where(inside, 0.0, best.squared))


def _to_edge(point_R2: Tensor, start: Tensor, end: Tensor, pixel: Tensor, centre_P2: Tensor) -> _Pairs:
    a, b = point_R2.index_select(0, start), point_R2.index_select(0, end)
    step, u = b - a, centre_P2 - a
    along = ((u[:, 0] * step[:, 0] + u[:, 1] * step[:, 1]) * _per_squared_length(step)).clamp(0, 1)
    away = _away(a, b, along, centre_P2)
    return _Pairs(pixel, away[:, 0] * away[:, 0] + away[:, 1] * away[:, 1], start, end, along)


def _away(start_P2: Tensor, end_P2: Tensor, along: Tensor, centre_P2: Tensor) -> Tensor:
    """From the nearest point of a segment to the pixel."""
    step, u = end_P2 - start_P2, centre_P2 - start_P2
    across = ((step[:, 0] * u[:, 1] - step[:, 1] * u[:, 0]) * _per_squared_length(step))[:, None]
    beside = torch.stack([-step[:, 1], step[:, 0]], dim=1) * across
    t = along[:, None]
    return torch.where(t >= 1, centre_P2 - end_P2, torch.where(t > 0, beside, u))


def _per_squared_length(step_P2: Tensor) -> Tensor:
    """0 for what is as good as a point."""
    squared = step_P2[:, 0] * step_P2[:, 0] + step_P2[:, 1] * step_P2[:, 1]
    tiny = torch.finfo(squared.dtype).tiny
    return torch.where(squared >= tiny, 1 / squared.clamp(min=tiny), 0.0)


def _pruned(pairs: _Pairs, neighbours: int) -> _Pairs:
    """Only the nearest few of each pixel. Of equally near ones, those that come first in the list."""
    if pairs.pixel.numel() == 0 or int(pairs.pixel.bincount().max()) <= neighbours:
        return pairs
    by_distance = pairs.squared.sort(stable=True).indices
    pixel, by_pixel = pairs.pixel[by_distance].sort(stable=True)
    rank = torch.arange(len(pixel), device=pixel.device) - torch.searchsorted(pixel, pixel)
    kept = by_distance[by_pixel][rank < neighbours]
    return _Pairs(*(value[kept] for value in pairs))
