"""Visibility as tensor operations on any device: faces → rows of pixels → pixels, each step a ragged
expansion.

Legend: N faces drawn (over all images), R (face, row) pairs, P (face, pixel) pairs.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from polyglyph.kernels.rasterize.gradient import centres, evaluate

__all__ = ["evaluate", "face_ids"]

BOX_MARGIN = 1e-4
"""Pixels by which a face's bounding box is widened: part of the definition."""
SPAN_MARGIN = 1e-2
"""Pixels by which a row's span of candidates is widened: only has to exceed the rounding of its ends."""
DEPTH_STEPS = 2.0**31
"""Steps per unit of depth in which depths are compared; depth + 1 <= 2, so a step number fits 32 bits."""
CHUNK = 1 << 17
"""(face, row) or (face, pixel) pairs worked on at once: small enough to stay in a cache of a few MB."""


def face_ids(
    clip: Tensor,
    faces: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None = None,
) -> Tensor:
    """Row of `faces` seen by each pixel, int32 [B, H, W]; -1 where none is. The façade defines it."""
    height, width = resolution
    batch = clip.shape[0] if ranges is None else ranges.shape[0]
    corners_3N, image_N, face_N = _drawn(clip, faces, ranges)
    x, y, z, w = (row.contiguous() for row in clip.reshape(-1, 4).to(wide(clip)).unbind(dim=1))

    box_4N = _boxes(x, y, w, corners_3N, resolution)
    kept = ((box_4N[0] <= box_4N[1]) & (box_4N[2] <= box_4N[3])).nonzero().squeeze(1)
    box_4N = box_4N.index_select(1, kept).to(torch.int32)
    corners_3N, image_N, face_N = corners_3N.index_select(1, kept), image_N[kept], face_N[kept]
    edges, plane = _setup([[v.index_select(0, c) for c in corners_3N] for v in (x, y, z, w)])

    empty = (1 << 63) - 1
    above = None if behind is None else _keys(clip, faces, behind)
    buffer = torch.full((batch * height * width,), empty, dtype=torch.int64, device=clip.device)
    for faces_from, faces_to in _chunks(box_4N[1] - box_4N[0] + 1):
        take = slice(faces_from, faces_to)
        part = _Rows(edges[:, :, take], plane[:, take], box_4N[:, take], resolution)
        for pixel, owner, depth in part.pixels():
            owner = owner + faces_from
            at = (image_N.index_select(0, owner) * (height * width)) + pixel
            key = _key(depth, face_N.index_select(0, owner))
            if above is not None:
                after = (key > above.index_select(0, at)).nonzero().squeeze(1)
                at, key = at.index_select(0, after), key.index_select(0, after)
            buffer.scatter_reduce_(0, at, key, "amin")
    ids = torch.where(buffer == empty, -1, buffer & ((1 << 31) - 1))
    return ids.to(torch.int32).reshape(batch, height, width)


def _key(depth: Tensor, face: Tensor) -> Tensor:
    """What is compared when several faces cover a pixel: depth in steps, then the face's row."""
    return (((depth + 1) * DEPTH_STEPS).to(torch.int64).clamp_(max=(1 << 32) - 1) << 31) | face


def _keys(clip: Tensor, faces: Tensor, face_id: Tensor) -> Tensor:
    """The keys of known faces at all pixels [P]; above all others where there is none."""
    _, height, width = face_id.shape
    flat = face_id.reshape(-1).to(torch.int64)
    hit = (flat >= 0).nonzero().squeeze(1)
    corners_3P = faces.t().index_select(1, flat.index_select(0, hit)).to(torch.int64)
    if clip.ndim == 3:
        corners_3P = corners_3P + torch.div(hit, height * width, rounding_mode="floor") * clip.shape[1]
    columns = clip.reshape(-1, 4).to(wide(clip)).unbind(dim=1)
    _, plane = _setup([[v.index_select(0, c) for c in corners_3P] for v in columns])
    X, Y = centres(hit, height, width, wide(clip))
    depth = plane[0] * X + (plane[1] * Y + plane[2])
    keys = torch.full_like(flat, (1 << 63) - 1)
    return keys.index_copy_(0, hit, _key(depth, flat.index_select(0, hit)))


def wide(tensor: Tensor) -> torch.dtype:
    """The type decisions are made in: float64 wherever the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _drawn(clip: Tensor, faces: Tensor, ranges: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Every (image, face) to draw: corners as rows of the flat `clip` [3, N], image [N], face row [N]."""
    columns = faces.t().to(torch.int32)
    rows = torch.arange(faces.shape[0], device=clip.device)
    if ranges is None:
        batch, vertices = clip.shape[:2]
        first = torch.arange(batch, device=clip.device, dtype=torch.int32) * vertices
        corners = (columns[:, None, :] + first[None, :, None]).reshape(3, -1)
        image = torch.arange(batch, device=clip.device).repeat_interleave(faces.shape[0])
        return corners, image, rows.repeat(batch)
    first, count = ranges.to(clip.device, torch.int64).unbind(dim=1)
    image = torch.repeat_interleave(torch.arange(len(count), device=clip.device), count)
    start = count.cumsum(0) - count
    face = torch.arange(len(image), device=clip.device) + (first - start)[image]
    return columns.index_select(1, face), image, face


def _boxes(x: Tensor, y: Tensor, w: Tensor, corners_3N: Tensor, resolution: tuple[int, int]) -> Tensor:
    """First row, last row, first column, last column of each face, [4, N], as floats; empty: first > last."""
    height, width = resolution
    column = (x / w + 1) * (width / 2) - 0.5
    row = (1 - y / w) * (height / 2) - 0.5
    bounds = []
    for value, size in ((row, height), (column, width)):
        v0, v1, v2 = (value.index_select(0, c) for c in corners_3N)
        low = torch.minimum(torch.minimum(v0, v1), v2).sub_(BOX_MARGIN).ceil_().clamp_(min=0)
        high = torch.maximum(torch.maximum(v0, v1), v2).add_(BOX_MARGIN).floor_().clamp_(max=size - 1)
        bounds += [low, high]
    ahead = w > 0
    if not bool(ahead.all()):
        a0, a1, a2 = (ahead.index_select(0, c) for c in corners_3N)
        crossing, hidden = ~(a0 & a1 & a2), ~(a0 | a1 | a2)
        for bound, whole in zip(bounds, (0, height - 1, 0, width - 1), strict=True):
            bound.masked_fill_(crossing, whole)
        bounds[1].masked_fill_(hidden, -1)
    return torch.stack(bounds)


def _setup(corners: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
    """Edge functions [3 coefficients, 3 edges, N] and depth plane [3, N]; NaN where a face is degenerate."""
    x, y, z, w = corners
    a, b, c = [], [], []
    for j, k in ((1, 2), (2, 0), (0, 1)):
        a.append(y[j] * w[k] - w[j] * y[k])
        b.append(w[j] * x[k] - x[j] * w[k])
        c.append(x[j] * y[k] - y[j] * x[k])
    det = (x[0] * a[0] + y[0] * b[0]) + w[0] * c[0]
    nan = torch.full_like(det, torch.nan)
    size = torch.where((det != 0) & det.isfinite(), det.abs(), nan)
    sign = torch.where(size.isnan(), nan, det.sign())
    edges = torch.stack([torch.stack([value * sign for value in row]) for row in (a, b, c)])
    plane = torch.stack([((e[0] * z[0] + e[1] * z[1]) + e[2] * z[2]) / size for e in edges])
    return edges, plane


def _chunks(count: Tensor) -> Iterator[tuple[int, int]]:
    """Cut a list into runs whose counts sum to about `CHUNK` (at most one entry over)."""
    if count.numel() == 0:
        return
    ends = count.cumsum(0)
    total = int(ends[-1])
    if total <= CHUNK:
        yield 0, len(count)
        return
    marks = torch.arange(CHUNK, total, CHUNK, device=count.device)
    cuts = [0, *(torch.searchsorted(ends, marks) + 1).unique().tolist()]
    if cuts[-1] < len(count):
        cuts.append(len(count))
    yield from pairwise(cuts)


def _expand(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """`count[n]` entries for every n, numbered from `first[n]`: (n, number) of each entry, both int32."""
    ends = count.cumsum(0)
    owner = torch.repeat_interleave(count)
    shift = (first - (ends - count)).to(torch.int32)
    number = torch.arange(owner.numel(), device=count.device, dtype=torch.int32) + shift.index_select(
        0, owner
    )
    return owner, number


class _Rows:
    """The rows of pixels of a run of faces."""

    def __init__(self, edges: Tensor, plane: Tensor, box: Tensor, resolution: tuple[int, int]) -> None:
        self.height, self.width = resolution
        self.edges, self.plane = edges, plane
        self.owner, self.row = _expand(box[0], box[1] - box[0] + 1)
        Y = 1 - (2 * self.row + 1).to(edges.dtype) / self.height
        self.partial = [
            b.index_select(0, self.owner) * Y + c.index_select(0, self.owner)
            for b, c in zip(*edges[1:], strict=True)
        ]
        self.depth = plane[1].index_select(0, self.owner) * Y + plane[2].index_select(0, self.owner)
        self.first, self.count = self._spans(box)

    def _spans(self, box: Tensor) -> tuple[Tensor, Tensor]:
        """First column and number of columns that may be covered, conservatively, in each row."""
        a, b, c = self.edges
        steep = a.abs() > 1e9 * torch.finfo(a.dtype).eps * (b.abs() + c.abs())
        slope = torch.where(steep, (-self.width / 2) / a, 0.0)
        low = box[2].index_select(0, self.owner).to(a.dtype)
        high = box[3].index_select(0, self.owner).to(a.dtype)
        for slope_n, partial in zip(slope, self.partial, strict=True):
            slope_r = slope_n.index_select(0, self.owner)
            end = partial * slope_r + (self.width - 1) / 2
            low = torch.where(slope_r < 0, torch.maximum(low, end - SPAN_MARGIN), low)
            high = torch.where(slope_r > 0, torch.minimum(high, end + SPAN_MARGIN), high)
        count = (high.floor_() - low.ceil_() + 1).clamp_(min=0).nan_to_num_(0.0)
        return low.nan_to_num_(0.0).to(torch.int32), count.to(torch.int32)

    def pixels(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Covered pixels in runs: index in the image, face (within this run of faces) and depth."""
        a = self.edges[0]
        for start, stop in _chunks(self.count):
            entry, column = _expand(self.first[start:stop], self.count[start:stop])
            entry = entry + start if start else entry
            face = self.owner.index_select(0, entry)
            X = (2 * column + 1).to(a.dtype) / self.width - 1
            e = [a[i].index_select(0, face) * X + self.partial[i].index_select(0, entry) for i in range(3)]
            depth = self.plane[0].index_select(0, face) * X + self.depth.index_select(0, entry)
            least = torch.minimum(torch.minimum(e[0], e[1]), e[2])
            covered = (least >= 0) & (depth >= -1) & (depth <= 1)
            tied = (covered & (least == 0)).nonzero().squeeze(1)
            if tied.numel():
                covered[tied] = self._owns(face[tied], [value[tied] for value in e])
            hit = covered.nonzero().squeeze(1)
            entry, face, column = entry[hit], face[hit], column[hit]
            yield self.row.index_select(0, entry) * self.width + column, face, depth[hit]

    def _owns(self, face: Tensor, e: list[Tensor]) -> Tensor:
        """Whether a face owns a pixel that lies exactly on some of its edges (top-left rule)."""
        owns = torch.ones_like(face, dtype=torch.bool)
        for i, value in enumerate(e):
            a, b = self.edges[0, i][face], self.edges[1, i][face]
            owns &= (value > 0) | (a > 0) | ((a == 0) & (b < 0))
        return owns
