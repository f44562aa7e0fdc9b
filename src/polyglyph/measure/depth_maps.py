"""What of a mesh is seen from all round: orthographic depth maps from directions spread over the sphere.

Lengths are those of a frame in which a ball of radius 1 round 0 is looked at: it fills each picture but for
one pixel on every side, and a pixel is 2 / (S − 2) wide.

Legend: V vertices, F faces, N points, B views, S pixels along one side.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.kernels.checks import check_faces
from polyglyph.kernels.rasterize import rasterize

__all__ = ["DepthMap", "Projected", "depth_maps", "frames", "used_vertices"]

AT_ONCE = 1 << 20
"""Pixels, or vertices, over the views drawn together."""


class Projected(NamedTuple):
    """Where points are in a picture."""

    column: Float[Tensor, " N"]
    """In pixels, 0 at the centre of the first column."""
    row: Float[Tensor, " N"]
    """In pixels, 0 at the centre of the top row."""
    towards: Float[Tensor, " N"]
    """Height above the plane through 0, towards the camera."""


class DepthMap(NamedTuple):
    """One view of the mesh."""

    frame: Float[Tensor, "3 3"]
    """The picture's right, the picture's up, and the direction to the camera, as rows."""
    towards: Float[Tensor, "S S"]
    """Height of what each pixel's centre shows above the plane through 0, towards the camera; lower than
    everything in the mesh where nothing was hit."""

    def project(self, points_N3: Float[Tensor, "N 3"]) -> Projected:
        """Places of points in this picture."""
        x, y, towards = (points_N3 @ self.frame.T).unbind(dim=1)
        half = len(self.towards) / 2
        inner = 1 - 1 / half  # the ball's share of the picture
        return Projected((1 + x * inner) * half - 0.5, (1 - y * inner) * half - 0.5, towards)


def depth_maps(
    vertices_V3: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], *, views: int, picture: int, reach: float
) -> Iterator[DepthMap]:
    """The mesh from each of the directions `frames` gives, `picture` pixels along one side.

    `reach` is how far from 0 the mesh, and all that is compared with it, may be: beyond it faces are cut off.
    The maps have the type of `vertices_V3`. Views are drawn some at a time, so memory is that of about
    `AT_ONCE` pixels or of one picture, whatever the number of views.
    """
    scale = vertices_V3.new_tensor([1 - 2 / picture, 1 - 2 / picture, -1 / reach])
    for frames_B33 in (
        frames(views).to(vertices_V3).split(max(1, AT_ONCE // max(picture**2, len(vertices_V3))))
    ):
        clip = F.pad((vertices_V3 @ frames_B33.mT) * scale, (0, 1), value=1.0)  # orthographic: w = 1
        depth_BSS = rasterize(clip, faces, (picture, picture)).depth
        for frame_33, depth_SS in zip(frames_B33, depth_BSS, strict=True):
            yield DepthMap(frame_33, depth_SS * -reach)


def frames(views: int) -> Float[Tensor, "B 3 3"]:
    """For each view its picture's right, its picture's up, and the direction to the camera, as rows; float64.

    Directions are the Fibonacci lattice (González 2010): equal steps in height, the golden angle between
    neighbours, poles on Y.
    """
    step = torch.arange(views, dtype=torch.float64)
    y = 1 - (2 * step + 1) / views
    angle = math.pi * (3 - math.sqrt(5)) * step
    ring = (1 - y * y).sqrt()
    right = torch.stack([angle.cos(), torch.zeros_like(angle), -angle.sin()], dim=1)
    back = torch.stack([ring * angle.sin(), y, ring * angle.cos()], dim=1)
    return torch.stack([right, torch.linalg.cross(back, right), back], dim=1)


def used_vertices(positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "N 3"]:
    """The vertices that faces use.

    Raises DataError where there are none or one is not finite, ConfigError for faces that name vertices which
    are not there.
    """
    check_faces(faces, len(positions), "positions")
    if not len(faces):
        raise DataError("the mesh has no faces", fix="give a mesh with at least one triangle")
    used = positions[faces.reshape(-1).unique()]
    if not bool(used.isfinite().all()):
        raise DataError("the mesh has a vertex that is not finite", fix="repair or leave out this mesh")
    return used
