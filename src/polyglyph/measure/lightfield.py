"""Light Field Distance: how different two shapes look from all around, whichever way they are turned.

As the program of Chen et al. (2003), "3DAlignment v1.8", defines it, with all four parts of both shapes
read (one public wrapper forgets a part of the second): ten light fields of ten silhouettes each, seen from
the vertices of a dodecahedron in ten positions; the distance is the least over the light fields of both
shapes and the 60 rotations that bring a dodecahedron onto itself.

Legend: V vertices, F faces, S light fields, N M shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.base.progress import track
from polyglyph.kernels.lightfield import describe, match, quantise
from polyglyph.kernels.rasterize import rasterize
from polyglyph.measure.light_field_cameras import REFERENCE, alignments, light_fields

__all__ = ["RESOLUTION", "features", "light_field_distances", "silhouettes"]

RESOLUTION = 256
"""Side of a silhouette; the shape's longest side is half of it."""


@torch.no_grad()
def silhouettes(
    positions: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    *,
    count: int = REFERENCE,
    resolution: int = RESOLUTION,
) -> Bool[Tensor, "S 10 H H"]:
    """The shape as a black figure, seen from the cameras of `count` light fields without perspective.

    With 10 light fields, as the program: the middle of the bounding box of the vertices that faces use is
    moved to the origin, and the box's longest side becomes half the picture. With any other number the frame
    turns with the shape: its surface's centre of gravity is at the origin and its farthest vertex 7/8 of the
    way to the rim. +Y is up.

    Raises DataError for a mesh without faces, with vertices that are not finite, or without extent.
    """
    places = _framed(positions.double(), faces, count == REFERENCE)
    ahead = -light_fields(count).to(places)
    across = torch.nn.functional.normalize(
        torch.linalg.cross(ahead, ahead.new_tensor([0.0, 1.0, 0.0]).expand_as(ahead)), dim=-1
    )
    up = torch.linalg.cross(across, ahead)
    axes = torch.stack([across, up, ahead], dim=-2)
    found = []
    for field in axes:  # one at a time keeps memory flat
        clip = torch.einsum("vij,pj->vpi", field, places).float()
        clip = torch.cat([clip, torch.ones_like(clip[..., :1])], dim=-1).contiguous()
        found.append(rasterize(clip, faces, (resolution, resolution)).face_id >= 0)
    return torch.stack(found)


def features(
    positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], *, count: int = REFERENCE
) -> UInt8[Tensor, "S 10 47"]:
    """What is kept of a shape: 470 bytes a light field. Raises DataError as `silhouettes` does."""
    return quantise(describe(silhouettes(positions, faces, count=count)))


def light_field_distances(
    a: Sequence[Tensor] | Tensor, b: Sequence[Tensor] | Tensor, *, label: str = "light field distance"
) -> Int[Tensor, "N M"]:
    """The distances of every shape of `a` to every one of `b`, from their `features`; int32.

    0 for a shape and itself, symmetric, and the same for a shape moved and scaled. Turning a shape by a few
    degrees changes it by a thousand or two, as much as some pairs of different shapes: ten light fields
    stand that far apart, and their frame does not turn with the shape. More of them, which is no longer the
    distance that papers report and is called LFD-40 or LFD-80, leave about a half and a third of that (two
    chairs, turned by 5 to 90 degrees).
    """
    first, second = torch.stack(list(a)), torch.stack(list(b))
    rows = max(1, 4096 // max(1, len(second)))
    return torch.cat([match(part, second, alignments()) for part in track(first.split(rows), label)])


def _framed(positions: Tensor, faces: Tensor, boxed: bool) -> Tensor:
    if len(faces) == 0:
        raise DataError("the mesh has no faces", fix="look at it with `polyglyph inspect`")
    faces = faces.long()
    used = positions[faces.unique()]
    if not bool(used.isfinite().all()):
        raise DataError("a vertex is not finite", fix="repair or leave out the mesh")
    low, high = used.amin(dim=0), used.amax(dim=0)
    longest = (high - low).max()
    if not float(longest) > 0:
        raise DataError("all vertices of the mesh are one point", fix="leave out the mesh")
    if boxed:
        return (positions - (low + high) / 2) / longest
    corners = positions[faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    weight = area if float(area.sum()) > 0 else torch.ones_like(area)
    centre = (weight[:, None] * corners.mean(dim=1)).sum(dim=0) / weight.sum()
    return (positions - centre) * (0.875 / (used - centre).norm(dim=1).max())
