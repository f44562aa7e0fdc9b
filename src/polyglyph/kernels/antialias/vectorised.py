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
MOST_AROUND = 4096
"""Faces that are looked at around an edge. A `following` made by hand need not come round."""


class _Pairs(NamedTuple):
    near: Tensor
    """Pixel, numbered over the batch [K]."""
    far: Tensor
    upright: Tensor
    """Whether the two pixels stand side by side, so that rather upright edges count [K]."""


def antialias(
    color: Tensor, face_id: Tensor, depth: Tensor, clip: Tensor, faces: Tensor, topology: Topology
) -> Tensor:
    """Soften the silhouettes in `color` [B, H, W, C]."""
    pairs = _pairs(color.detach(), face_id, depth, every=color.requires_grad)
    found, ends = pairs.near, pairs.near.expand(2, -1)
    if len(found):
        found, ends = _walk(pairs, face_id, clip.detach(), faces, topology)
    near, far = pairs.near.index_select(0, found), pairs.far.index_select(0, found)
    return _Blend.apply(color, clip, near, far, ends)  # pyright: ignore[reportReturnType]


def _pairs(color: Tensor, face_id: Tensor, depth: Tensor, *, every: bool) -> _Pairs:
    """Neighbouring pixels that see different faces; unless `every`, only those of different colours."""
    _, height, width = face_id.shape
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


class _Lines:
    """The line of each pair: its ends, and on which side of it a vertex lies."""

    def __init__(self, pairs: _Pairs, height: int, width: int, dtype: torch.dtype) -> None:
        self.near = centres(pairs.near, height, width, dtype)
        self.far = centres(pairs.far, height, width, dtype)
        self.upright = pairs.upright
        self.level = torch.where(pairs.upright, self.near[1], self.near[0])
        across, down = self.near[0] - self.far[0], self.far[1] - self.near[1]
        self.heading = torch.where(pairs.upright, across, down)

    def side(self, pair: Tensor, v: list[Tensor]) -> Tensor:
        """Height of vertices over the line; for a pair one above the other, distance to its right."""
        height = torch.where(self.upright.index_select(0, pair), v[1], v[0])
        return height - self.level.index_select(0, pair) * v[2]


def _walk(
    pairs: _Pairs, face_id: Tensor, clip: Tensor, faces: Tensor, topology: Topology
) -> tuple[Tensor, Tensor]:
    """The silhouette between each pair: (which pair [S], rows of the flat `clip` at its ends [2, S])."""
    _, height, width = face_id.shape
    xyw = [clip.reshape(-1, 4)[:, n].to(wide(clip)).contiguous() for n in (0, 1, 3)]
    corner, following = (part.to(torch.int64).reshape(-1) for part in (topology.corner, topology.following))
    own = faces.to(torch.int64).reshape(-1)
    lines = _Lines(pairs, height, width, xyw[0].dtype)
    shift = torch.zeros_like(pairs.near)
    if clip.ndim == 3:
        shift = torch.div(pairs.near, height * width, rounding_mode="floor") * clip.shape[1]
    face = face_id.reshape(-1).index_select(0, pairs.near).to(torch.int64)
    pair, half, start, end, start_over = _first_edge(lines, xyw, corner, 3 * face, shift)
    found, ends = [], []
    for _ in range(STEPS):
        normal, reached = _reached(lines, xyw, pair, start, end)
        pair, half, start, end, start_over = (
            v.index_select(0, reached) for v in (pair, half, start, end, start_over)
        )
        if not pair.numel():
            break
        moved = shift.index_select(0, pair)
        beyond, apex, v = _beyond(half, normal, xyw, corner, following, moved)
        steep = (normal[0] / width).abs() >= (normal[1] / height).abs()
        counts = (beyond == half) & (lines.upright.index_select(0, pair) == steep)
        out = counts.nonzero().squeeze(1)
        found.append(pair.index_select(0, out))
        last = half.index_select(0, out)
        rows = [own.index_select(0, _turn(last, by)) + moved.index_select(0, out) for by in (1, 2)]
        ends.append(torch.stack(rows))
        # The next edge joins the apex to the end of this edge that lies on the other side of the line.
        replaces_start = (lines.side(pair, v) >= 0) == start_over
        dropped = torch.where(replaces_start, start, end) - moved
        start, end = torch.where(replaces_start, apex, start), torch.where(replaces_start, end, apex)
        first = _turn(beyond, 1)
        following_half = torch.where(corner.index_select(0, first) == dropped, first, _turn(beyond, 2))
        on = (beyond != half).nonzero().squeeze(1)
        pair, half, start, end, start_over = (
            value.index_select(0, on) for value in (pair, following_half, start, end, start_over)
        )
    if not found:
        return pairs.near[:0], pairs.near[:0].expand(2, 0)
    return torch.cat(found), torch.cat(ends, dim=1)


def _turn(half: Tensor, by: int) -> Tensor:
    """The half-edge `by` places further round its face."""
    place = half % 3
    return half - place + (place + by) % 3


def _first_edge(
    lines: _Lines, xyw: list[Tensor], corner: Tensor, base: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Where each line leaves the near pixel's face: pair, half-edge, its two vertices, and whether the first
    of them is over the line. The vertices are in the order that makes the edge function positive inside.
    """
    pair = torch.arange(len(base), device=base.device)
    vertex = [corner.index_select(0, base + i) + shift for i in range(3)]
    v = [[value.index_select(0, row) for value in xyw] for row in vertex]
    side = [lines.side(pair, point) for point in v]
    over = [value >= 0 for value in side]
    a, b, c = _cross(v[1], v[2])
    det = (v[0][0] * a + v[0][1] * b) + v[0][2] * c
    heading = lines.heading * det
    place = torch.full_like(base, -1)
    for i, j, k in ((2, 0, 1), (1, 2, 0), (0, 1, 2)):
        leaves = (over[j] != over[k]) & ((side[j] * v[k][2] - side[k] * v[j][2]) * heading > 0)
        place = torch.where(leaves, i, place)
    pair = (place >= 0).nonzero().squeeze(1)
    place, base, flip = (
        place.index_select(0, pair),
        base.index_select(0, pair),
        (det < 0).index_select(0, pair),
    )
    later = [(place + n) % 3 for n in (1, 2)]
    start, end = torch.where(flip, later[1], later[0]), torch.where(flip, later[0], later[1])
    rows, sides = torch.stack(vertex).index_select(1, pair), torch.stack(over).index_select(1, pair)
    start_row, end_row = (rows.gather(0, n[None]).squeeze(0) for n in (start, end))
    return pair, base + place, start_row, end_row, sides.gather(0, start[None]).squeeze(0)


def _reached(
    lines: _Lines, xyw: list[Tensor], pair: Tensor, start: Tensor, end: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Edges that lie before the far centre: their functions, and which of the given they are."""
    a, b = ([value.index_select(0, row) for value in xyw] for row in (start, end))
    normal = _cross(a, b)
    at_near, at_far = (
        normal[0] * X.index_select(0, pair) + (normal[1] * Y.index_select(0, pair) + normal[2])
        for X, Y in (lines.near, lines.far)
    )
    fall = at_near - at_far
    reached = ((fall > 0) & (at_near <= fall)).nonzero().squeeze(1)
    return [value.index_select(0, reached) for value in normal], reached


def _beyond(
    half: Tensor, normal: list[Tensor], xyw: list[Tensor], corner: Tensor, following: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The half-edge of the face that goes on beyond each edge on screen (the half-edge itself where none
    does), that face's third vertex and its coordinates.
    """
    beyond, folded = following.index_select(0, half), torch.zeros_like(half, dtype=torch.bool)
    for count in range(MOST_AROUND + 1):
        if count == MOST_AROUND:
            beyond = torch.where(folded, half, beyond)
        apex = corner.index_select(0, beyond) + shift
        v = [value.index_select(0, apex) for value in xyw]
        folded = ((v[0] * normal[0] + v[1] * normal[1]) + v[2] * normal[2] > 0) & (beyond != half)
        if not bool(folded.any()):
            break
        beyond = torch.where(folded, following.index_select(0, beyond), beyond)
    return beyond, apex, v


def _cross(u: Any, v: Any) -> list[Tensor]:
    return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]


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
            # t = e(near) / (e(near) − e(far)) and e(p) = p · (a × b): both gradients share one weighted
            # point.
            point = tuple(scale * (at_near * q[n] - at_far * p[n]) for n in range(3))
            summed = torch.zeros((4, clip.reshape(-1, 4).shape[0]), dtype=t.dtype, device=clip.device)
            for row, u, v in ((ends[0], b, point), (ends[1], point, a)):
                gx, gy, gw = _cross(u, v)
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
    normal = _cross(a, b)
    at_near, at_far = (normal[0] * c[0] + (normal[1] * c[1] + normal[2]) for c in (p, q))
    return at_near / (at_near - at_far), at_near, at_far, a, b, p, q
