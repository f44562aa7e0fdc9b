"""Light Field Distance: how different two shapes look from all around, whichever way they are turned.

As the program of Chen et al. (2003), "3DAlignment v1.8", defines it, with all four parts of both shapes
read (one public wrapper forgets a part of the second): ten light fields of ten silhouettes each, seen from
the vertices of a dodecahedron in ten positions; the distance is the least over the light fields of both
shapes and the 60 rotations that bring a dodecahedron onto itself.

Legend: V vertices, F faces, S light fields, N M shapes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.base.progress import track
from polyglyph.kernels.lightfield import describe, match, quantise
from polyglyph.kernels.rasterize import rasterize

__all__ = ["RESOLUTION", "alignments", "features", "light_field_distances", "light_fields", "silhouettes"]

RESOLUTION = 256
"""Side of a silhouette; the shape's longest side is half of it."""

_VERTICES = torch.tensor(
    [
        (0.52573, 0.38197, 0.85065),
        (-0.20081, 0.61803, 0.85065),
        (-0.64984, 0.0, 0.85065),
        (-0.20081, -0.61803, 0.85065),
        (0.52573, -0.38197, 0.85065),
        (0.85065, -0.61803, 0.20081),
        (1.0515, 0.0, -0.20081),
        (0.85065, 0.61803, 0.20081),
        (0.32492, 1.0, -0.20081),
        (-0.32492, 1.0, 0.20081),
    ],
    dtype=torch.float64,
)
"""Half of a dodecahedron's vertices; the other ten are opposite, and see the same silhouettes mirrored."""

_TURNS = torch.tensor(
    [
        (0.0, 0.0, 0.0, 1.0),
        (-0.071956, 0.268215, 0.162817, 0.94677),
        (0.047374, -0.288274, 0.269484, 0.917623),
        (-0.003472, -0.293814, -0.224676, 0.929076),
        (0.015738, -0.237037, 0.040397, 0.970533),
        (0.252786, -0.05448, -0.040011, 0.965158),
        (0.001771, -0.008729, -0.206833, 0.978336),
        (0.279023, -0.093623, 0.188725, 0.93689),
        (-0.234691, -0.070061, 0.129634, 0.960837),
        (0.006999, 0.002858, 0.214075, 0.976788),
    ],
    dtype=torch.float64,
)
"""How the program turns its ten dodecahedra, as quaternions (x, y, z, w)."""


@functools.cache
def light_fields() -> Float[Tensor, "10 10 3"]:
    """Unit vectors towards the cameras: of each light field, of each of its views."""
    x, y, z, w = torch.nn.functional.normalize(_TURNS, dim=1).unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], dim=1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], dim=1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    turns = torch.stack(rows, dim=1)
    towards = torch.nn.functional.normalize(_VERTICES, dim=1)
    return torch.einsum("sij,vj->svi", turns, towards)


@functools.cache
def alignments() -> Int[Tensor, "60 10"]:
    """For each rotation of a dodecahedron onto itself, which view (or its opposite) each view becomes."""
    towards = torch.nn.functional.normalize(_VERTICES, dim=1)
    corners = torch.cat([towards, -towards])
    cosine = corners @ corners.T
    adjacent = (cosine - 5**0.5 / 3).abs() < 1e-3

    def frame(first: int, second: int) -> Tensor:
        a, b = corners[first], corners[second]
        return torch.stack([a, b, torch.linalg.cross(a, b)], dim=1)

    start = torch.linalg.inv(frame(0, int(adjacent[0].nonzero()[0])))
    found = []
    for first in range(20):
        for second in adjacent[first].nonzero()[:, 0].tolist():
            turned = towards @ (frame(first, second) @ start).T
            found.append((turned @ towards.T).abs().argmax(dim=1))
    return torch.stack(found)


@torch.no_grad()
def silhouettes(
    positions: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    towards: Float[Tensor, "S 10 3"] | None = None,
    *,
    resolution: int = RESOLUTION,
) -> Bool[Tensor, "S 10 H H"]:
    """The shape as a black figure, seen from every camera without perspective, +Y upwards.

    The middle of the bounding box of the vertices that faces use is moved to the origin, and the box's
    longest side becomes half the picture. `towards` is `light_fields()` unless given.

    Raises DataError for a mesh without faces, with vertices that are not finite, or without extent.
    """
    towards = light_fields() if towards is None else towards
    places = _normalised(positions.double(), faces)
    directions = towards.to(places)
    ahead = -directions
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


def features(positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> UInt8[Tensor, "10 10 47"]:
    """What is kept of a shape: 4,700 bytes. Raises DataError as `silhouettes` does."""
    return quantise(describe(silhouettes(positions, faces)))


def light_field_distances(
    a: Sequence[Tensor] | Tensor, b: Sequence[Tensor] | Tensor, *, label: str = "light field distance"
) -> Int[Tensor, "N M"]:
    """The distances of every shape of `a` to every one of `b`, from their `features`; int32.

    0 for a shape and itself, symmetric, and the same for a shape moved and scaled. Turning a shape by a few
    degrees changes it by a thousand or two, as much as some pairs of different shapes: the ten light fields
    stand that far apart.
    """
    first, second = torch.stack(list(a)), torch.stack(list(b))
    rows = max(1, 4096 // max(1, len(second)))
    return torch.cat([match(part, second, alignments()) for part in track(first.split(rows), label)])


def _normalised(positions: Tensor, faces: Tensor) -> Tensor:
    if len(faces) == 0:
        raise DataError("the mesh has no faces", fix="look at it with `polyglyph inspect`")
    used = positions[faces.long().unique()]
    if not bool(used.isfinite().all()):
        raise DataError("a vertex is not finite", fix="repair or leave out the mesh")
    low, high = used.amin(dim=0), used.amax(dim=0)
    longest = (high - low).max()
    if not float(longest) > 0:
        raise DataError("all vertices of the mesh are one point", fix="leave out the mesh")
    return (positions - (low + high) / 2) / longest
