"""The volume a mesh takes up, by what cannot be seen from outside.

Generated meshes and meshes of collections have holes, doubled walls and faces inside, so "inside" has no one
meaning for them. Here it means hidden: a cell of a grid is occupied when its centre is seen in none of
many depth maps taken from all round.

* Views: orthographic, from directions spread evenly over the whole sphere (a Fibonacci lattice, poles on Y).
  Each picture holds the ball round the grid, with one pixel to spare on every side.
* A centre is *seen* in a view if it is nearer to the camera than what the depth map holds at all four pixel
  centres round its projection; a pixel where nothing was hit is infinitely far. Four, not one, because a
  pixel's depth is exact only at its own centre: on a slope or beside an outline one pixel would show cells
  just below the surface in some view, and one view is enough (of a sphere, 1.5 % of the cells; with four,
  none).

What follows from it:

* Of a closed convex mesh exactly the cells with their centre inside are occupied, up to pixels; of any
  closed mesh those, and what its hollows hide. Winding, faces inside and doubled walls do not matter.
* A hole lets in the views that look through it. With 100 views, about 20° apart, a cube without its lid is
  hollow: its walls have no thickness and it has no volume. Through a hole much smaller than the space behind
  it few views pass, and what they do not reach stays occupied: 36 % of a cube through a square hole of a
  quarter of its side, 12 % of a shaft four times as deep as it is wide. So does a cavity that no view
  reaches: a closed shell is solid.
* A sheet has no volume. A closed plate has some only where it holds cell centres.

Legend: V vertices, F faces, N cells not yet seen, R cells along one side, B views, S pixels along one side.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.kernels.checks import check_faces
from polyglyph.kernels.rasterize import rasterize

__all__ = ["occupancy", "volumetric_iou"]

AT_ONCE = 1 << 20
"""Pixels, or vertices, over the views drawn together."""


@torch.no_grad()
def occupancy(
    positions: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    *,
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
    resolution: int = 64,
    views: int = 100,
    picture: int = 512,
) -> Bool[Tensor, "R R R"]:
    """Which cells of a grid the mesh hides from all views; the module says what that means.

    The grid fills the box from `lower` to `upper` (metres) with `resolution` cells along x (first axis), y
    and z; it may be smaller than the mesh. `views` depth maps are drawn with `picture` pixels along one side,
    a pixel being the box's diagonal / (`picture` − 2): of a cube, with the defaults, 0.22 of a cell.
    Cells within about a pixel of the surface may go either way.

    Raises DataError for a mesh without faces or with a used vertex that is not finite, and for a box that is
    not one; ConfigError for numbers that are too small and for faces that name vertices which are not there.
    """
    if resolution < 1 or views < 1 or picture < 4:
        raise ConfigError(
            f"`resolution` is {resolution}, `views` {views} and `picture` {picture}",
            fix="use at least 1, 1 and 4; the defaults are 64, 100 and 512",
        )
    used = _used(positions, faces)
    size = upper - lower
    if not bool(((size > 0) & size.isfinite()).all()):
        raise DataError(
            f"the box from {lower.tolist()} to {upper.tolist()} has no inside", fix="pass `lower` < `upper`"
        )
    centre, radius = (lower + upper) / 2, size.norm() / 2
    step = (torch.arange(resolution, device=positions.device, dtype=positions.dtype) + 0.5) / resolution
    cells = torch.stack(torch.meshgrid(step, step, step, indexing="ij"), dim=-1).reshape(-1, 3)
    cells_N3 = (cells - 0.5) * (size / radius)
    vertices_V3 = (positions - centre) / radius
    # near and far planes lie beyond both the grid and the mesh, or clipping would open the mesh
    reach = 1.01 * ((used - centre) / radius).norm(dim=1).max().clamp(min=1)

    hidden = torch.arange(len(cells_N3), device=positions.device)
    for frames_B33 in _frames(views).to(cells_N3).split(max(1, AT_ONCE // max(picture**2, len(positions)))):
        depth_BSS = _depth_maps(vertices_V3, faces, frames_B33, picture, reach)
        for frame_33, depth_SS in zip(frames_B33, depth_BSS, strict=True):
            hidden = hidden[~_seen(cells_N3[hidden], frame_33, depth_SS, reach)]
    result = torch.zeros(len(cells_N3), dtype=torch.bool, device=positions.device)
    result[hidden] = True
    return result.reshape(resolution, resolution, resolution)


def volumetric_iou(
    positions_a: Float[Tensor, "V 3"],
    faces_a: Int[Tensor, "F 3"],
    positions_b: Float[Tensor, "W 3"],
    faces_b: Int[Tensor, "G 3"],
    *,
    resolution: int = 64,
    views: int = 100,
    picture: int = 512,
) -> float:
    """Cells that both meshes occupy / cells that either does, 0..1, in the smallest cube round both.

    The two are compared where they lie: for a comparison of shape alone, `normalise` each with `box` first.
    `resolution`, `views` and `picture` as in `occupancy`.

    Raises what `occupancy` raises, and DataError where neither mesh occupies a cell: two sheets have no
    volume to compare.
    """
    used = torch.cat([_used(positions_a, faces_a), _used(positions_b, faces_b)])
    low, high = used.amin(dim=0), used.amax(dim=0)
    half = (high - low).max() / 2
    box = {"lower": (low + high) / 2 - half, "upper": (low + high) / 2 + half}
    a = occupancy(positions_a, faces_a, **box, resolution=resolution, views=views, picture=picture)
    b = occupancy(positions_b, faces_b, **box, resolution=resolution, views=views, picture=picture)
    either = int((a | b).sum())
    if not either:
        raise DataError(
            "neither mesh hides a cell from outside: both are open, or thinner than a cell",
            fix="close them, raise `resolution`, or compare surfaces by their Chamfer distance",
        )
    return int((a & b).sum()) / either


def _used(positions: Tensor, faces: Tensor) -> Float[Tensor, "N 3"]:
    """The vertices that faces use."""
    check_faces(faces, len(positions), "positions")
    if not len(faces):
        raise DataError("the mesh has no faces", fix="give a mesh with at least one triangle")
    used = positions[faces.reshape(-1).unique()]
    if not bool(used.isfinite().all()):
        raise DataError("the mesh has a vertex that is not finite", fix="repair or leave out this mesh")
    return used


def _frames(views: int) -> Float[Tensor, "B 3 3"]:
    """For each view its picture's right, its picture's up, and the direction to the camera, as rows.

    Directions are the Fibonacci lattice (González 2010): equal steps in height, the golden angle between
    neighbours.
    """
    step = torch.arange(views, dtype=torch.float64)
    y = 1 - (2 * step + 1) / views
    angle = math.pi * (3 - math.sqrt(5)) * step
    ring = (1 - y * y).sqrt()
    right = torch.stack([angle.cos(), torch.zeros_like(angle), -angle.sin()], dim=1)
    back = torch.stack([ring * angle.sin(), y, ring * angle.cos()], dim=1)
    return torch.stack([right, torch.linalg.cross(back, right), back], dim=1)


def _depth_maps(
    vertices_V3: Tensor, faces: Tensor, frames_B33: Tensor, picture: int, reach: Tensor
) -> Float[Tensor, "B S S"]:
    """Depth −1..1 of the nearest of the pixels (row, column), (row, column + 1) and the two below them.

    Orthographic clip coordinates have w = 1; the ball of radius 1 ends one pixel before the border.
    """
    local_BV3 = vertices_V3 @ frames_B33.mT
    scale = local_BV3.new_tensor([1 - 2 / picture, 1 - 2 / picture, -1.0])
    clip = F.pad(local_BV3 * scale / torch.stack([torch.ones_like(reach)] * 2 + [reach]), (0, 1), value=1.0)
    depth_BSS = rasterize(clip, faces, (picture, picture)).depth
    return -F.max_pool2d(-depth_BSS, 2, stride=1)


def _seen(cells_N3: Tensor, frame_33: Tensor, depth_SS: Tensor, reach: Tensor) -> Bool[Tensor, " N"]:
    """Which centres are before everything that the four pixels round them show."""
    x, y, towards = (cells_N3 @ frame_33.T).unbind(dim=1)
    half = (len(depth_SS) + 1) / 2  # of the picture's side: pooling took one pixel
    column = ((1 + x * (1 - 1 / half)) * half - 0.5).long()
    row = ((1 - y * (1 - 1 / half)) * half - 0.5).long()
    return -towards / reach < depth_SS[row, column]
