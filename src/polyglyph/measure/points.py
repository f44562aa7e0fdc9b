"""Points of a surface, and the frames they are compared in.

Legend: V vertices, F faces, N points.
"""

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.kernels.checks import check_faces

__all__ = ["Normalisation", "Normalised", "SurfacePoints", "normalise", "sample_surface"]

Normalisation = Literal["none", "box", "diagonal", "sphere"]


class SurfacePoints(NamedTuple):
    """Where they lie, and on which face."""

    positions: Float[Tensor, "N 3"]
    face: Int[Tensor, " N"]
    """Row of `faces`, int64."""


class Normalised(NamedTuple):
    """Points in another frame: `points` = (the points given − `centre`) / `scale`."""

    points: Float[Tensor, "N 3"]
    centre: Float[Tensor, "3"]
    scale: Float[Tensor, ""]
    """The length, in the units given, that is 1 now."""


def sample_surface(
    positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], count: int, *, generator: torch.Generator
) -> SurfacePoints:
    """`count` points drawn independently and uniformly by area from the triangles.

    A face is drawn by its area, then a point on it as (1 − √u) a + √u (1 − v) b + √u v c with u and v
    uniform in [0, 1) (Osada et al. 2002, equation 1). Areas and weights are float64; the points have the type
    and device of `positions`. The draws are made on the generator's device: one seed gives the same points
    wherever the mesh is, and each point takes three numbers.

    Differentiable in `positions` with the faces and weights held fixed.

    Raises DataError for a mesh without faces, without area, or with a used vertex that is not finite;
    ConfigError for a `count` below 1 and for faces that name vertices which are not there.
    """
    if count < 1:
        raise ConfigError(f"`count` is {count}, and a cloud needs at least 1 point", fix="ask for 2048")
    check_faces(faces, len(positions), "positions")
    if not len(faces):
        raise DataError("the mesh has no faces", fix="give a mesh with at least one triangle")
    corners = positions[faces]
    ends = _areas(corners.detach()).cumsum(0)
    if not float(ends[-1]) > 0:
        raise DataError(
            "the surface has no area, all its faces are lines or points", fix="leave this mesh out"
        )
    u, v, place = torch.rand(
        count, 3, generator=generator, device=generator.device, dtype=torch.float64
    ).T.to(positions.device)
    # `right` steps over faces without area; the clamp is for a product that rounds up to the whole area
    last = torch.searchsorted(ends, ends[-1])
    face = torch.searchsorted(ends, place * ends[-1], right=True).clamp(max=last)
    root = u.sqrt()
    weights = torch.stack([1 - root, root * (1 - v), root * v], dim=1).to(positions.dtype)
    return SurfacePoints((corners[face] * weights[:, :, None]).sum(dim=1), face)


def _areas(corners: Float[Tensor, "F 3 3"]) -> Float[Tensor, " F"]:
    """Areas of triangles in float64."""
    a, b, c = corners.double().unbind(dim=1)
    areas = torch.linalg.cross(b - a, c - a).norm(dim=1) / 2
    bad = (~areas.isfinite()).nonzero()
    if len(bad):
        raise DataError(
            f"face {int(bad[0])} has a vertex that is not finite, or an area that is not",
            fix="repair or leave out this mesh",
        )
    return areas


def normalise(points: Float[Tensor, "N 3"], how: Normalisation) -> Normalised:
    """Points, or the vertices of a mesh, in the frame of one of the named protocols.

    * `none`: as they are.
    * `box`: the centre of the axis-aligned box at 0, its longest side 1 (GET3D's evaluation).
    * `diagonal`: the same centre, the box's diagonal 1: all points are in the ball of radius ½ (ShapeNetCore
      v2, and what `jensen_shannon_divergence` asks for).
    * `sphere`: the same centre, the farthest point at distance 1.

    The box is that of the points given: of a mesh pass only vertices that a face uses. Differentiable in
    `points`, through the frame too.

    Raises DataError for no points, points that are not finite, or, except with `none`, points without
    extent; ConfigError for another name.
    """
    if how not in get_args(Normalisation):
        known = "`, `".join(get_args(Normalisation))
        raise ConfigError(f"there is no way to normalise called `{how}`", fix=f"use one of `{known}`")
    if not len(points):
        raise DataError("there are no points to normalise", fix="is the mesh they are from empty?")
    if not bool(points.isfinite().all()):
        bad = int((~points.isfinite().all(dim=1)).nonzero()[0])
        raise DataError(f"point {bad} is not finite", fix="look for NaN where the points were made")
    if how == "none":
        return Normalised(points, points.new_zeros(3), points.new_ones(()))
    low, high = points.amin(dim=0), points.amax(dim=0)
    centre = (low + high) / 2
    if how == "box":
        scale = (high - low).max()
    elif how == "diagonal":
        scale = (high - low).norm()
    else:
        scale = (points - centre).norm(dim=1).max()
    if not float(scale) > 0:
        raise DataError("the points have no extent, all of them are one", fix="leave this mesh out")
    return Normalised((points - centre) / scale, centre, scale)
