"""The cube of `vectorised.py`: directions to faces, and texels across edges.

Legend: S samples. Faces are numbered and oriented as the façade says.
"""

import torch
from torch import Tensor

__all__ = ["across_edge", "project"]

# OpenGL 4.6, table 8.19: for each face the axis it lies on, the axes of its columns and rows, and the signs.
_AXES = ((0, 2, 1), (0, 2, 1), (1, 0, 2), (1, 0, 2), (2, 0, 1), (2, 0, 1))
_SIGNS = ((1, -1, -1), (-1, 1, -1), (1, 1, 1), (-1, 1, -1), (1, 1, -1), (-1, -1, -1))


def _tables(face_S: Tensor) -> tuple[Tensor, Tensor]:
    """Axes and signs (major, columns, rows) of each sample's face, (S, 3)."""
    axes, signs = (torch.tensor(table, device=face_S.device) for table in (_AXES, _SIGNS))
    return axes.index_select(0, face_S), signs.index_select(0, face_S)


def project(direction_S3: Tensor, derivative_S32: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Face (S,), (u, v) on it (S, 2), and how they change per pixel (S, 2, 2). No direction is 0."""
    size_S3 = direction_S3.detach().abs()
    x, y, z = size_S3.unbind(1)
    major_S = torch.where((x >= y) & (x >= z), 0, torch.where(y >= z, 1, 2))
    negative = direction_S3.detach().gather(1, major_S[:, None])[:, 0] < 0
    face_S = 2 * major_S + negative
    axes_S3, signs_S3 = _tables(face_S)
    turned = direction_S3.gather(1, axes_S3) * signs_S3
    length, part = turned[:, :1], turned[:, 1:] / turned[:, :1]
    if derivative_S32 is None:
        return face_S, (part + 1) / 2, None
    moved = derivative_S32.gather(1, axes_S3[:, :, None].expand(-1, -1, 2)) * signs_S3[:, :, None]
    change = (moved[:, 1:] - part[:, :, None] * moved[:, :1]) / length[:, :, None] / 2
    return face_S, (part + 1) / 2, change


def across_edge(
    face_S: Tensor, line_S: Tensor, column_S: Tensor, size: Tensor | int
) -> tuple[Tensor, Tensor, Tensor]:
    """Face, line and column of texels that may lie one step across an edge; others stay as they are.

    The cube is seen with edges of length 2·size, so that centres of texels have whole coordinates.
    """
    axes_S3, signs_S3 = _tables(face_S.expand(len(line_S)))
    beside = (column_S < 0) | (column_S >= size)
    beyond = (line_S < 0) | (line_S >= size)
    last_S = torch.zeros_like(line_S) + size - 1
    place = torch.stack([last_S, 2 * column_S - last_S, 2 * line_S - last_S])
    at_S3 = torch.zeros_like(axes_S3).scatter(1, axes_S3, place.T * signs_S3)
    major_S = axes_S3.gather(1, torch.where(beside, 1, torch.where(beyond, 2, 0))[:, None])
    neighbour_S = (2 * major_S + (at_S3.gather(1, major_S) < 0))[:, 0]
    there = neighbour_S.clamp(0, 5)
    axes_S3, signs_S3 = _tables(there)
    turned = at_S3.gather(1, axes_S3) * signs_S3
    half = (turned[:, 1:] + last_S[:, None]) // 2
    outside = beside | beyond
    return (
        torch.where(outside, there, face_S),
        torch.where(outside, half[:, 1], line_S),
        torch.where(outside, half[:, 0], column_S),
    )
