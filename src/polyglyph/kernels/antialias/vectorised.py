"""Antialiasing over the pairs of pixels at discontinuities only, on any device."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.antialias.topology import Topology
from polyglyph.kernels.rasterize.gradient import centres
from polyglyph.kernels.rasterize.vectorised import wide

STEPS = 32
"""Faces a walk visits before it gives up: part of the definition."""


class _Pairs(NamedTuple):
    near: Tensor
    """Pixel, numbered over the batch [K]."""
    far: Tensor
    upright: Tensor
    """Whether the two pixels stand side by side, so that rather upright edges count [K]."""


def antialias(
    color: Tensor, face_id: Tensor, depth: Tensor, clip: Tensor, faces: Tensor, topology: Topology | None
) -> Tensor:
    """Soften the silhouettes in `color` [B, H, W, C]."""
    pairs = _pairs(color.detach(), face_id, depth, every=color.requires_grad)
    if not len(pairs.near):
        return color.clone()
    topology = topology or Topology.of(faces)
    found, ends = _walk(pairs, face_id, clip.detach(), faces, topology)
    near, far = pairs.near.index_select(0, found), pairs.far.index_select(0, found)
    return _Blend.apply(color, clip, near, far, ends)  # pyright: ignore[reportReturnType]


def _pairs(color: Tensor, face_id: Tensor, depth: Tensor, *, every: bool) -> _Pairs:
    """Neighbouring pixels that see different faces; unless `every`, only those of different colours."""
    batch, height, width = face_id.shape
    near, far, upright = [], [], []
    for dim, step in ((2, 1), (1, width)):
        length = face_id.shape[dim] - 1
        first, second = face_id.narrow(dim, 0, length), face_id.narrow(dim, 1, length)
        differ = first != second
        if not every:
            differ &= (color.narrow(dim, 0, length) != color.narrow(dim, 1, length)).any(dim=3)
        image, row, column = differ.nonzero(as_tuple=True)
        pixel = (image * height + row) * width + column
        other = pixel + step
        ids = face_id.reshape(-1)
        in_front = depth.reshape(-1).index_select(0, pixel) <= depth.reshape(-1).index_select(0, other)
        hit, other_hit = ids.index_select(0, pixel) >= 0, ids.index_select(0, other) >= 0
        first_near = hit & (in_front | ~other_hit)
        near.append(torch.where(first_near, pixel, other))
        far.append(torch.where(first_near, other, pixel))
        upright.append(torch.full_like(pixel, dim == 2, dtype=torch.bool))
    return _Pairs(torch.cat(near), torch.cat(far), torch.cat(upright))


def _walk(
    pairs: _Pairs, face_id: Tensor, clip: Tensor, faces: Tensor, topology: Topology
) -> tuple[Tensor, Tensor]:
    """The silhouette between each pair: (which pair [S], rows of the flattened `clip` at the edge's ends [2, S]).

    Few and small operations: a step handles about a thousand pairs, so its cost is the number of calls.
    """
    _, height, width = face_id.shape
    points_V3 = clip.reshape(-1, 4)[:, [0, 1, 3]].to(wide(clip))
    corners_F3 = faces.to(torch.int64)
    near, far = (_points(pixel, height, width, points_V3.dtype) for pixel in (pairs.near, pairs.far))
    lines_K32 = torch.stack([near, far], dim=2)
    pair = torch.arange(len(pairs.near), device=clip.device)
    face = face_id.reshape(-1).index_select(0, pairs.near).to(torch.int64)
    shift = torch.zeros_like(face)
    if clip.ndim == 3:
        shift = torch.div(pairs.near, height * width, rounding_mode="floor") * clip.shape[1]
    half = torch.full_like(face, -1)
    found, ends = [], []
    for _ in range(STEPS):
        vertices = corners_F3.index_select(0, face) + shift[:, None]
        edge, t, normal, det = _leave(points_V3, vertices, lines_K32, half - 3 * face)
        go = (t <= 1).nonzero().squeeze(1)
        if not go.numel():
            break
        pair, shift, edge, vertices = (value.index_select(0, go) for value in (pair, shift, edge, vertices))
        half = 3 * face.index_select(0, go) + edge
        normal, det, lines_K32 = (value.index_select(0, go) for value in (normal, det, lines_K32))
        beyond = _beyond(half, normal, det, points_V3, corners_F3.reshape(-1), shift, topology.following)
        outline = beyond == half
        steep = (normal[:, 0] / width).abs() >= (normal[:, 1] / height).abs()
        out = (outline & (pairs.upright.index_select(0, pair) == steep)).nonzero().squeeze(1)
        found.append(pair.index_select(0, out))
        ring = vertices.index_select(0, out).gather(
            1, (edge.index_select(0, out)[:, None] + vertices.new_tensor([1, 2])) % 3
        )
        ends.append(ring.t())
        on = (~outline).nonzero().squeeze(1)
        pair, shift, half = (value.index_select(0, on) for value in (pair, shift, beyond))
        lines_K32 = lines_K32.index_select(0, on)
        face = torch.div(half, 3, rounding_mode="floor")
    if not found:
        return pairs.near[:0], pairs.near[:0].expand(2, 0)
    return torch.cat(found), torch.cat(ends, dim=1)


def _points(pixel: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Homogeneous centres (X, Y, 1) of pixels, [K, 3]."""
    X, Y = centres(pixel, height, width, dtype)
    return torch.stack([X, Y, torch.ones_like(X)], dim=1)


def _leave(
    points_V3: Tensor, vertices: Tensor, lines_K32: Tensor, entry: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where each line leaves its face: edge [K], t [K] (infinite: nowhere), the edge's function [K, 3], det [K]."""
    v = points_V3.index_select(0, vertices.reshape(-1)).reshape(-1, 3, 3)
    normals = torch.linalg.cross(v.roll(-1, dims=1), v.roll(-2, dims=1))
    det = (v[:, 0] * normals[:, 0]).sum(dim=1)
    at = torch.bmm(normals, lines_K32) * det.sign()[:, None, None]
    fall = at[:, :, 0] - at[:, :, 1]
    leaves = (fall > 0) & (entry[:, None] != torch.arange(3, device=entry.device))
    t_K3 = torch.where(leaves, at[:, :, 0] / fall, torch.inf)
    t, edge = t_K3[:, 0], torch.zeros_like(entry)
    for i in (1, 2):
        edge = torch.where(t_K3[:, i] < t, i, edge)
        t = torch.minimum(t, t_K3[:, i])
    normal = normals.gather(1, edge[:, None, None].expand(-1, 1, 3)).squeeze(1)
    return edge, t, normal, det


def _beyond(
    half: Tensor,
    normal: Tensor,
    det: Tensor,
    points_V3: Tensor,
    corner: Tensor,
    shift: Tensor,
    following: Tensor,
) -> Tensor:
    """The half-edge of the face beyond each half-edge on screen; the half-edge itself where nothing lies beyond."""
    beyond = following.index_select(0, half)
    while True:
        apex = points_V3.index_select(0, corner.index_select(0, beyond) + shift)
        folded = ((apex * normal).sum(dim=1) * det > 0) & (beyond != half)
        if not bool(folded.any()):
            return beyond
        beyond = torch.where(folded, following.index_select(0, beyond), beyond)


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, color: Tensor, clip: Tensor, near: Tensor, far: Tensor, ends: Tensor) -> Tensor:
        ctx.save_for_backward(color, clip, near, far, ends)
        t = _crossing(clip, near, far, ends, color.shape)[0].to(color.dtype)
        flat = color.reshape(-1, color.shape[-1])
        contrast = flat.index_select(0, far) - flat.index_select(0, near)
        target = torch.where(t < 0.5, near, far)
        return flat.clone().index_add_(0, target, contrast * (0.5 - t)[:, None]).reshape(color.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        color, clip, near, far, ends = ctx.saved_tensors
        t, at_near, at_far, a, b, p, q = _crossing(clip, near, far, ends, color.shape)
        grad_flat = grad.reshape(-1, grad.shape[-1])
        arrived = grad_flat.index_select(0, torch.where(t < 0.5, near, far))
        grad_color = grad_clip = None
        if ctx.needs_input_grad[0]:
            share = arrived * (0.5 - t)[:, None].to(color.dtype)
            grad_color = grad_flat.clone().index_add_(0, far, share).index_add_(0, near, share, alpha=-1)
            grad_color = grad_color.reshape(color.shape)
        if ctx.needs_input_grad[1]:
            flat = color.reshape(-1, color.shape[-1])
            contrast = flat.index_select(0, far) - flat.index_select(0, near)
            g_t = -(contrast * arrived).sum(dim=1).to(t.dtype)
            scale = g_t / (at_near - at_far) ** 2
            # t = e(near) / (e(near) − e(far)) and e(p) = p · (a × b): both gradients share one weighted point.
            point = tuple(scale * (at_near * q[n] - at_far * p[n]) for n in range(3))
            summed = torch.zeros((4, clip.reshape(-1, 4).shape[0]), dtype=t.dtype, device=clip.device)
            for row, u, v in ((ends[0], b, point), (ends[1], point, a)):
                gx, gy, gw = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
                summed.index_add_(1, row, torch.stack([gx, gy, torch.zeros_like(gx), gw]))
            grad_clip = summed.t().reshape(clip.shape).to(clip.dtype)
        return grad_color, grad_clip, None, None, None


def _crossing(clip: Tensor, near: Tensor, far: Tensor, ends: Tensor, shape: torch.Size) -> Any:
    """t where the edge crosses the line, the edge function at both centres, the edge's ends, both centres."""
    corners = clip.detach().reshape(-1, 4).t().to(wide(clip))
    a, b = (tuple(corners[n].index_select(0, row) for n in (0, 1, 3)) for row in ends)
    p, q = (
        (*centres(pixel, shape[1], shape[2], corners.dtype), torch.ones_like(a[0])) for pixel in (near, far)
    )
    normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    at_near, at_far = (normal[0] * c[0] + (normal[1] * c[1] + normal[2]) for c in (p, q))
    return at_near / (at_near - at_far), at_near, at_far, a, b, p, q
