"""Light fields in torch, on any device; outlines, which are walked, on the CPU."""

import numpy as np
import torch
from torch import Tensor

from polyglyph.kernels.lightfield.numbers import OUTLINE, TABLE_SIDE
from polyglyph.kernels.lightfield.outline import outline_numbers

__all__ = ["describe", "match"]


def describe(silhouettes: Tensor) -> tuple[Tensor, Tensor]:
    """How much each entry of the table counts in an image's means, and its other 12 numbers."""
    sets, views = silhouettes.shape[:2]
    images = silhouettes.flatten(0, 1)
    image, row, column = images.nonzero().unbind(1)
    area = images.sum(dim=(1, 2)).double()
    centre = torch.stack([_middle(images.any(dim=1)), _middle(images.any(dim=2))], dim=1)
    x, y = column - centre[image, 0], row - centre[image, 1]
    moments = torch.zeros(len(images), 3, dtype=torch.float64, device=images.device)
    moments.index_add_(0, image, torch.stack([x * x, y * y, x * y], dim=1))
    farthest = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    farthest.scatter_reduce_(0, image, x * x + y * y, "amax")
    radius = farthest.view(sets, views).amax(dim=1, keepdim=True).expand(sets, views).flatten().sqrt()
    tables = _tables(image, x, y, torch.where(radius > 0, radius, 1.0), area)
    outlines = np.zeros((len(images), OUTLINE))
    for n, (one, middle) in enumerate(zip(images.cpu().numpy(), centre.cpu().numpy(), strict=True)):
        outlines[n] = outline_numbers(one, middle)
    outline = torch.from_numpy(outlines).to(images.device)
    form = torch.stack([_circularity(images, area), _eccentricity(moments, area)], dim=1)
    return tables.view(sets, views, TABLE_SIDE, TABLE_SIDE), torch.cat([outline, form], dim=1).view(
        sets, views, -1
    )


def _middle(used: Tensor) -> Tensor:
    """The middle [B] of the first and the last that is used [B, L]; 0 where none is."""
    length = used.shape[1]
    first, last = used.int().argmax(dim=1), length - 1 - used.flip(1).int().argmax(dim=1)
    return torch.where(used.any(dim=1), (first + last).double() / 2, 0.0)


def _tables(image: Tensor, x: Tensor, y: Tensor, radius: Tensor, area: Tensor) -> Tensor:
    half = (TABLE_SIDE - 1) / 2
    column, row = x / radius[image] * half + half, y / radius[image] * half + half
    j, i = column.floor(), row.floor()
    along, down = column - j, row - i
    side = TABLE_SIDE + 1  # beyond the rim lies nothing, and is cut off
    tables = torch.zeros(len(area), side * side, dtype=torch.float64, device=x.device)
    start = image * side * side + (i * side + j).long()
    for step, weight in (
        (0, (1 - down) * (1 - along)),
        (1, (1 - down) * along),
        (side, down * (1 - along)),
        (side + 1, down * along),
    ):
        tables.view(-1).index_add_(0, start + step, weight / area[image])
    return tables.view(-1, side, side)[:, :TABLE_SIDE, :TABLE_SIDE]


def _circularity(images: Tensor, area: Tensor) -> Tensor:
    outside = torch.nn.functional.pad(~images, (1, 1, 1, 1), value=True).float()[:, None]
    border = (torch.nn.functional.max_pool2d(outside, 3, stride=1)[:, 0] > 0) & images
    length = border.sum(dim=(1, 2)).double()
    return torch.where(length > 0, 4 * torch.pi * area / length.square().clamp(min=1), 0.0).clamp(max=1)


def _eccentricity(moments: Tensor, area: Tensor) -> Tensor:
    m20, m02, m11 = moments.unbind(1)
    spread = (m20 + m02).square()
    known = (area > 1) & (spread > 0)
    return torch.where(
        known, ((m20 - m02).square() + 4 * m11.square()) / torch.where(known, spread, 1.0), 0.0
    ).clamp(max=1)


def match(a: Tensor, b: Tensor, weights: Tensor, alignments: Tensor) -> Tensor:
    """Distances [N, M]. Sums of bytes are whole numbers that float32 holds."""
    sets, views = a.shape[1:3]
    first, second = ((shapes.float() * weights).flatten(1, 2) for shapes in (a, b))
    found = torch.empty(len(a), len(b), dtype=torch.int32, device=a.device)
    view = torch.arange(views, device=a.device).expand_as(alignments)
    for i in range(len(a)):
        for j in range(len(b)):
            cost = torch.cdist(first[i], second[j], p=1.0).view(sets, views, sets, views)
            found[i, j] = cost[:, view, :, alignments.long()].sum(dim=1).min().int()
    return found
