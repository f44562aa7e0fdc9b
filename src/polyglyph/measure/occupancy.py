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

Legend: V vertices, F faces, N cells not yet seen, R cells along one side, S pixels along one side, less one.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.depth_maps import DepthMap, depth_maps, used_vertices

__all__ = ["occupancy", "volumetric_iou"]


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
    used = used_vertices(positions, faces)
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
    reach = 1.01 * ((used - centre) / radius).norm(dim=1).max().clamp(min=1).item()

    hidden = torch.arange(len(cells_N3), device=positions.device)
    for view in depth_maps(vertices_V3, faces, views=views, picture=picture, reach=reach):
        highest_SS = F.max_pool2d(view.towards[None], 2, stride=1)[0]
        hidden = hidden[~_seen(cells_N3[hidden], view, highest_SS)]
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
    used = torch.cat([used_vertices(positions_a, faces_a), used_vertices(positions_b, faces_b)])
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


def _seen(cells_N3: Tensor, view: DepthMap, highest_SS: Tensor) -> Bool[Tensor, " N"]:
    """Which centres are before everything that the four pixels round them show."""
    column, row, towards = view.project(cells_N3)
    return towards > highest_SS[row.long(), column.long()]
