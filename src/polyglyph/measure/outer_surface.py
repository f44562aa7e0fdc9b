"""Points of the part of a surface that is seen from outside.

Meshes of collections have what no one sees from outside: a car its seats, a house its rooms. A generated mesh
is an outer surface only, and a Chamfer distance to points of the seats would punish it for that. Depth maps
from all round decide what counts as outside, as in the fusion by which Stutz and Geiger (2018) and after them
Occupancy Networks (Mescheder et al. 2019) make meshes watertight; but no new mesh is made of them here. They
only choose among points of the mesh as it is, so nothing is thickened and no corner rounded.

* Candidates are those of `sample_surface`, uniform by area over all faces. One is kept if it is *seen* in at
  least one view; so what is kept is uniform by area over all that is seen, in the order of the draws.
* Views: orthographic, `views` directions spread evenly over the sphere, the ball round the mesh filling the
  picture. A pixel is 2 / (`resolution` − 2) of the ball's radius.
* In a view the candidate moves along the plane of its face to the centre of the pixel it falls into. It is
  seen if that place is no more than `SLACK` pixels behind what the pixel shows, and the move changed its
  depth by no more than `REACH` pixels. Moving makes the comparison exact on a slope, where a tolerance on the
  depth alone would have to grow with the slope; `REACH` leaves grazing views to the candidates on which they
  are accurate; and `SLACK` is for rounding, and for hollows whose faces end within the pixel.

What follows from it:

* A side of a face does not matter, nor does winding: a sheet is seen from either side, and its points are the
  same. A thin plate has both its sides, and an open bowl its inside.
* Of faces that have the same three corners (walls doubled with the other winding) one counts: the surface is
  there once. Other faces that lie in each other count each, as in `sample_surface`.
* What is closed in gets no points, if the wall round it is 2.5 pixels away; with the default resolution that
  is 0.5 % of the ball's diameter. Of what is nearer, only places behind an edge of the wall may: of a box
  0.3 pixels inside another, 1.5 % of the surface.
* A gap is open to a view as far as centres of pixels fall into it: one of 1 % of the ball's diameter is five
  pixels wide, and what is behind a crack narrower than a pixel is seen in proportion to its width. How much
  that is hangs on the views, about 20° apart if they are 100. Under a lid with a slit of a hundredth, 39 % of
  the top of a box of half the size are seen; of a shaft four times as deep as it is wide, the upper half, and
  a quarter at the bottom. More views show more.
* Borders of what is seen are exact to about two pixels.

Legend: V vertices, F faces, N points, M candidates not yet seen, S pixels along one side.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.depth_maps import DepthMap, depth_maps
from polyglyph.measure.points import SurfacePoints, sample_surface

__all__ = ["sample_outer_surface"]

REACH = 2.0
"""By how many pixels a candidate's depth may change on its way to the pixel's centre."""
SLACK = 0.25
"""By how many pixels it may then be behind what is seen; a curve of 2 pixels' radius bends away by 0.12."""
FEWEST, MOST = 1 << 14, 1 << 20
"""Candidates of one round."""


@torch.no_grad()
def sample_outer_surface(
    positions: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    count: int,
    *,
    generator: torch.Generator,
    views: int = 100,
    resolution: int = 512,
    device: torch.device | str | None = None,
) -> SurfacePoints:
    """`count` points drawn uniformly by area from what is seen of the mesh from outside; the module says what
    that means.

    They are those of `sample_surface` with the same generator that are seen, in its order: of a convex mesh,
    the same. Fewer points are the first of more (not with a generator on a GPU). Size and place of the mesh
    matter by rounding only, how it is turned within the limits of the views. The points have the units, type
    and device of `positions`; `face` is a row of `faces`. Not differentiable.

    `views` depth maps are drawn with `resolution` pixels along one side, in float64, on `device` (that of
    `positions` if None); one core draws those of 20 000 faces in 0.6 seconds. They are drawn once unless less
    than an eighth of the surface is seen. Memory does not grow with `views`: about 60 MiB for 512 pixels, 100
    for 1024, and 300 bytes for each of the 8 × `count` candidates, of which a round has at most a million.

    Raises what `sample_surface` raises; ConfigError also for `views` below 1 and fewer than 16 pixels;
    DataError also where 8 million candidates, or 64 × `count` if that is more, are not enough: for 2048
    points, if less than 0.03 % of the surface is seen.
    """
    if min(count, views) < 1 or resolution < 16:
        raise ConfigError(
            f"`count` is {count}, `views` {views} and `resolution` {resolution}",
            fix="use at least 1, 1 and 16; 2048, 100 and 512 are usual",
        )
    device = positions.device if device is None else torch.device(device)
    exact, rows = positions.to(device, torch.float64), faces.to(device)
    kept: list[SurfacePoints] = []
    found, drawn, wanted = 0, 0, 8 * count
    while found < count:
        if drawn >= max(8 * MOST, 64 * count):
            raise DataError(
                f"of {drawn} points on the surface {found} are seen from outside, and {count} are wanted",
                fix="ask for fewer, use `sample_surface`, or look for a shell that hides this mesh",
            )
        draw = min(max(wanted, FEWEST), MOST)
        points = sample_surface(exact, rows, draw, generator=generator)
        seen = _seen_once(points, exact, rows, views, resolution)
        kept.append(SurfacePoints(points.positions[seen], points.face[seen]))
        found, drawn = found + int(seen.sum()), drawn + draw
        wanted = int(1.2 * (count - found) * drawn / max(found, 1))
    where, face = (torch.cat(part)[:count] for part in zip(*kept, strict=True))
    return SurfacePoints(where.to(positions), face.to(faces.device))


def _seen_once(
    points: SurfacePoints, positions: Tensor, faces: Tensor, views: int, resolution: int
) -> Bool[Tensor, " N"]:
    """Which points at least one view sees."""
    used, corners = faces.unique(return_inverse=True)
    vertices = positions[used]
    low, high = vertices.amin(dim=0), vertices.amax(dim=0)
    centre = (low + high) / 2
    radius = (vertices - centre).norm(dim=1).max()
    vertices = (vertices - centre) / radius
    where = (points.positions - centre) / radius
    a, b, c = vertices[corners].unbind(dim=1)
    normals = torch.linalg.cross(b - a, c - a)[points.face]  # of any length

    seen = torch.zeros(len(where), dtype=torch.bool, device=where.device)
    left = _first_of_equals(vertices, corners)[points.face].nonzero()[:, 0]
    for view in depth_maps(vertices, corners, views=views, picture=resolution, reach=1.01):
        now = _seen(where[left], normals[left], view)
        seen[left[now]] = True
        left = left[~now]
    return seen


def _seen(points_M3: Tensor, normals_M3: Tensor, view: DepthMap) -> Bool[Tensor, " M"]:
    """Which points this view sees."""
    pixel = 2 / (len(view.towards) - 2)
    column, row, towards = view.project(points_M3)
    j, i = column.round().long(), row.round().long()
    right, up, slope = (normals_M3 @ view.frame.T).unbind(dim=1)
    rise = -(right * (j - column) - up * (i - row)) * pixel / slope  # rows go down; not finite where edge-on
    behind = view.towards[i, j] - (towards + rise)
    return (behind <= SLACK * pixel) & (rise.abs() <= REACH * pixel)


def _first_of_equals(positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Bool[Tensor, " F"]:
    """False for faces whose three corners an earlier face has, in whatever order."""
    _, place = positions.unique(dim=0, return_inverse=True)
    _, kind = place[faces].sort(dim=1).values.unique(dim=0, return_inverse=True)
    row = torch.arange(len(faces), device=faces.device)
    first = row.new_full((len(faces),), len(faces)).scatter_reduce(0, kind, row, "amin")
    return first[kind] == row
