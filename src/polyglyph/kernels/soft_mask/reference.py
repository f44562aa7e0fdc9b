"""The definition, one pixel at a time over all faces. Slow on purpose; never optimise this file."""

import torch
from torch import Tensor

from polyglyph.kernels.soft_mask.settings import FAR_AWAY, Settings

__all__ = ["soft_mask"]


def soft_mask(
    clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None, settings: Settings
) -> Tensor:
    """The mask [B, H, W], by autograd."""
    batch, height, width = face_id.shape
    values = []
    for image in range(batch):
        first, count = (0, len(faces)) if ranges is None else ranges[image].tolist()
        rows = faces[first : first + count].long()
        corners_F32 = _on_screen((clip[image] if ranges is None else clip).double(), rows, width / height)
        for i in range(height):
            for j in range(width):
                if int(face_id[image, i, j]) >= 0 or len(corners_F32) == 0:
                    values.append(corners_F32[:0].sum() + (face_id[image, i, j] >= 0))
                    continue
                pixel = corners_F32.new_tensor(
                    [((2 * j + 1) / width - 1) * (width / height), 1 - (2 * i + 1) / height]
                )
                squared = _squared_distances(corners_F32, pixel)
                nearest = squared.detach().sort(stable=True).indices[: settings.neighbours]
                missed = -torch.expm1(-squared[nearest] * settings.sharpness)
                values.append(1 - missed.prod())
    return torch.stack(values).reshape(batch, height, width).to(clip.dtype)


def _on_screen(clip: Tensor, faces: Tensor, aspect: float) -> Tensor:
    """The corners, on screen, of the faces that take part, in order."""
    x, y, z, w = clip[faces].unbind(dim=2)
    taking_part = (w > 0) & w.isfinite() & z.isfinite()
    taking_part &= ((x / w * aspect).abs() < FAR_AWAY) & ((y / w).abs() < FAR_AWAY)
    x, y, _, w = clip[faces[taking_part.all(dim=1)]].unbind(dim=2)
    return torch.stack([x / w * aspect, y / w], dim=2)


def _squared_distances(corners_F32: Tensor, pixel: Tensor) -> Tensor:
    """From a pixel to each triangle."""
    edges, sides = [], []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        start, end = corners_F32[:, a], corners_F32[:, b]
        edges.append(_squared_distances_to_segments(*_in_order(start, end), pixel))
        u, v = end - start, pixel - start
        sides.append(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    side_F3 = torch.stack(sides, dim=1)
    inside = (side_F3 > 0).all(dim=1) | (side_F3 < 0).all(dim=1)
    # On the line of a sliver, but beyond its end, rounding may put a pixel to the same side of all edges.
    inside &= ((corners_F32.amin(dim=1) <= pixel) & (pixel <= corners_F32.amax(dim=1))).all(dim=1)
    edge_F3 = torch.stack(edges, dim=1)
    first_nearest = edge_F3.detach().sort(dim=1, stable=True).indices[:, :1]
    return torch.where(inside, 0.0, edge_F3.gather(1, first_nearest)[:, 0])


def _in_order(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The same ends in the same order, whichever of its two faces an edge comes from."""
    swap = (b[:, 0] < a[:, 0]) | ((b[:, 0] == a[:, 0]) & (b[:, 1] < a[:, 1]))
    return torch.where(swap[:, None], b, a), torch.where(swap[:, None], a, b)


def _squared_distances_to_segments(a: Tensor, b: Tensor, pixel: Tensor) -> Tensor:
    step = b - a
    length = step.square().sum(dim=1)
    a_point = length < torch.finfo(length.dtype).tiny
    per_length = torch.where(a_point, 0.0, 1 / torch.where(a_point, 1.0, length))
    u = pixel - a
    along = (u * step).sum(dim=1) * per_length
    across = (step[:, 0] * u[:, 1] - step[:, 1] * u[:, 0]) * per_length
    beside = torch.stack([-step[:, 1] * across, step[:, 0] * across], dim=1)
    away = torch.where((along > 0)[:, None], beside, u)
    return torch.where((along >= 1)[:, None], pixel - b, away).square().sum(dim=1)
