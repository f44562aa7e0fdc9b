"""Barycentrics and depth of known faces, with the analytic backward pass.

Legend: P hit pixels, i corner, v = (x, y, w), p = (X, Y, 1) a pixel centre.

    e_i = p · (v_j × v_k)        b_i = e_i / Σ e        depth = Σ e_i z_i / Σ e_i w_i

The two denominators are sums of terms of one sign inside a face, so slivers lose no digits. With
g_i = ∂L/∂e_i, ∂L/∂v_i = p × (g_j v_k − g_k v_j), (i, j, k) cyclic, plus the direct term of depth in z and w.

The derivatives of b along the screen are written with differentiable operations; only who asks pays for them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["centres", "evaluate"]

CYCLE = ((0, 1, 2), (1, 2, 0), (2, 0, 1))


def evaluate(
    clip: Tensor, faces: Tensor, face_id: Tensor, derivatives: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Depth [B, H, W], barycentrics [B, H, W, 3] and, if asked for, their derivatives [B, H, W, 3, 2]."""
    batch, height, width = face_id.shape
    hit = (face_id.reshape(-1) >= 0).nonzero().squeeze(1)
    corners_3P = faces.t().index_select(1, face_id.reshape(-1).index_select(0, hit).to(torch.int64))
    if clip.ndim == 3:
        corners_3P = corners_3P + torch.div(hit, height * width, rounding_mode="floor") * clip.shape[1]
    depth, barycentric = _Evaluate.apply(clip.reshape(-1, 4), corners_3P, hit, (batch, height, width))  # pyright: ignore[reportGeneralTypeIssues]
    if not derivatives:
        return depth, barycentric, None
    change = _changes(clip.reshape(-1, 4), corners_3P, hit, (batch, height, width))
    flat = clip.new_zeros((face_id.numel(), 6)).index_copy(0, hit, change.to(clip.dtype))
    return depth, barycentric, flat.view(batch, height, width, 3, 2)


def _changes(clip: Tensor, corners_3P: Tensor, hit: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """What a step of one pixel to the right and one down adds to the barycentrics, [P, 6], by autograd."""
    dtype = torch.float32 if clip.device.type == "mps" else torch.float64
    x, y, _, w = ([column.index_select(0, c) for c in corners_3P] for column in clip.to(dtype).unbind(dim=1))
    v = tuple(zip(x, y, w, strict=True))
    X, Y = centres(hit, shape[1], shape[2], dtype)
    n = [_cross(v[j], v[k]) for _, j, k in CYCLE]
    e = [a * X + (b * Y + c) for a, b, c in n]
    total, columns = e[0] + e[1] + e[2], []
    for i in range(3):
        for axis, size in ((0, 2 / shape[2]), (1, -2 / shape[1])):
            along = n[0][axis] + n[1][axis] + n[2][axis]
            columns.append((n[i][axis] - e[i] / total * along) / total * size)
    return torch.stack(columns, dim=1)


def centres(pixel: Tensor, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Normalised device coordinates (X, Y) of pixels numbered over a batch of images, row by row."""
    column = pixel % width
    row = torch.div(pixel, width, rounding_mode="floor") % height
    return (2 * column + 1).to(dtype) / width - 1, 1 - (2 * row + 1).to(dtype) / height


def _cross(u: tuple[Tensor, ...], v: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, clip: Tensor, corners_3P: Tensor, hit: Tensor, shape: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(clip, corners_3P, hit)
        ctx.shape = shape
        _, _, e, z, w = _edges(clip, corners_3P, hit, shape)
        total = e[0] + e[1] + e[2]
        near = (e[0] * z[0] + e[1] * z[1] + e[2] * z[2]) / (e[0] * w[0] + e[1] * w[1] + e[2] * w[2])
        depth = clip.new_ones(shape)
        depth.view(-1).index_copy_(0, hit, near.to(clip.dtype))
        barycentric = clip.new_zeros((*shape, 3))
        barycentric.view(-1, 3).index_copy_(
            0, hit, torch.stack([value / total for value in e], dim=1).to(clip.dtype)
        )
        return depth, barycentric

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_depth: Tensor, grad_barycentric: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        clip, corners_3P, hit = ctx.saved_tensors
        p, v, e, z, w = _edges(clip, corners_3P, hit, ctx.shape)
        total = e[0] + e[1] + e[2]
        across = e[0] * w[0] + e[1] * w[1] + e[2] * w[2]
        depth = (e[0] * z[0] + e[1] * z[1] + e[2] * z[2]) / across
        g_depth = grad_depth.reshape(-1).index_select(0, hit).to(depth.dtype) / across
        g_b = grad_barycentric.reshape(-1, 3).index_select(0, hit).t().to(depth.dtype)
        mean = (g_b[0] * e[0] + g_b[1] * e[1] + g_b[2] * e[2]) / total
        g = [(g_b[i] - mean) / total + g_depth * (z[i] - depth * w[i]) for i in range(3)]
        grad = torch.zeros((4, clip.shape[0]), dtype=depth.dtype, device=clip.device)
        for i, j, k in CYCLE:
            gx, gy, gw = _cross(p, tuple(g[j] * v[k][n] - g[k] * v[j][n] for n in range(3)))
            direct = g_depth * e[i]
            grad.index_add_(1, corners_3P[i], torch.stack([gx, gy, direct, gw - direct * depth]))
        return grad.t().to(clip.dtype), None, None, None


def _edges(
    clip: Tensor, corners_3P: Tensor, hit: Tensor, shape: tuple[int, int, int]
) -> tuple[Any, Any, Any, Any, Any]:
    """p, v, e, z and w of the hit pixels, one tensor [P] per corner and coordinate."""
    dtype = torch.float32 if clip.device.type == "mps" else torch.float64
    columns = [column.contiguous() for column in clip.detach().to(dtype).unbind(dim=1)]
    x, y, z, w = ([column.index_select(0, corner) for corner in corners_3P] for column in columns)
    v = tuple(zip(x, y, w, strict=True))
    X, Y = centres(hit, shape[1], shape[2], dtype)
    p = (X, Y, torch.ones_like(X))
    e = []
    for _, j, k in CYCLE:
        a, b, c = _cross(v[j], v[k])
        e.append(a * X + (b * Y + c))
    return p, v, e, z, w
