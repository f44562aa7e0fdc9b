"""Marching over tetrahedra that are cut into eight around the surface, a whole batch at once.

DMTet (Shen et al. 2021, section 3.1): the tetrahedra that the surface passes through, and their neighbours,
are cut into eight; the field is asked at the new vertices, and the rest of the box is left out.

New vertices that lie apart from the surface keep the sign of the edge they halve: what they might add would
stick out of the tetrahedra that are kept, and be open there.

Legend: B meshes, N lattice vertices, P vertices of all meshes (first the lattices', mesh by mesh, then the
midpoints'), T tetrahedra and E edges of all meshes, V and F vertices and faces of the surfaces.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.kernels.marching_tets import Lattice, Surface
from polyglyph.kernels.subdivide import TetMesh, march_tets, near_surface, subdivide_tets, tet_mesh

__all__ = ["FieldAt", "march_subdivided"]

FieldAt = Callable[[Float[Tensor, "B K 3"]], tuple[Float[Tensor, "B K"], Float[Tensor, "B K 3"] | None]]
"""SDF and displacement (before its tanh) at points in -1..1 along the box."""


@dataclass
class _Volume:
    """Tetrahedra of all meshes, and what is known at their vertices."""

    tets: Int[Tensor, "T 4"]
    rest: Float[Tensor, "P 3"]
    """Undeformed positions in [-0.5, 0.5]³."""
    owner: Int[Tensor, "P"]
    """The mesh that a vertex belongs to."""
    apart: Bool[Tensor, "P"]
    """Whether a midpoint between two such vertices keeps their sign."""
    sdf: Float[Tensor, "P"]
    raw: Float[Tensor, "P 3"] | None


def march_subdivided(
    sdf: Float[Tensor, "B N"],
    raw: Float[Tensor, "B N 3"] | None,
    lattice: Lattice,
    moved: Callable[[Tensor, Tensor | None], Tensor],
    *,
    levels: int,
    at: FieldAt | None,
    margin: float | None,
) -> Surface:
    """The surface after `levels` subdivisions; meshes in the order of `sdf`, as `marching_tets` packs them.

    `moved` takes undeformed positions and displacements to scene units. `at` None gives new vertices the
    mean of both ends. With a `margin` the faces of the box are held at most at its negative.

    Differentiable in `sdf`, `raw` and what `at` returns.
    """
    batch, count = sdf.shape
    offset = torch.arange(batch, device=sdf.device)[:, None, None] * count
    volume = _Volume(
        tets=(lattice.tets + offset).flatten(0, 1),
        rest=lattice.positions.repeat(batch, 1),
        owner=torch.arange(batch, device=sdf.device).repeat_interleave(count),
        apart=torch.zeros(batch * count, dtype=torch.bool, device=sdf.device),
        sdf=sdf.flatten(),
        raw=None if raw is None else raw.flatten(0, 1),
    )
    for _ in range(levels):
        volume = _subdivided(volume, batch, at, margin)
    mesh = TetMesh(volume.tets, len(volume.sdf))
    surface = march_tets(volume.sdf[None], moved(volume.rest, volume.raw), mesh)
    return _by_mesh(surface, volume, mesh, batch)


def _subdivided(volume: _Volume, batch: int, at: FieldAt | None, margin: float | None) -> _Volume:
    near = near_surface(volume.sdf.detach(), volume.tets)
    touched = near_surface(volume.sdf.detach(), volume.tets, rings=0)
    at_surface = torch.zeros_like(volume.apart)
    at_surface[volume.tets[touched].flatten()] = True
    apart = volume.apart | ~at_surface
    mesh = tet_mesh(volume.tets[near], len(volume.sdf))
    low, high = mesh.edges.unbind(1)
    rest, owner = (volume.rest[low] + volume.rest[high]) / 2, volume.owner[low]
    sdf = (volume.sdf[low] + volume.sdf[high]) / 2
    raw = None if volume.raw is None else (volume.raw[low] + volume.raw[high]) / 2
    held = apart[low] & apart[high]
    if at is not None:
        asked, found = _ask(at, rest, owner, batch)
        # The mean of two values of one sign has that sign.
        sdf = torch.where(held & ((asked > 0) != (sdf > 0)), sdf, asked)
        raw = found if raw is None or found is not None else raw
    if margin is not None:
        on_box = (rest.abs() >= 0.5).any(dim=1)
        sdf = torch.where(on_box, sdf.clamp(max=-margin), sdf)
    return _Volume(
        tets=subdivide_tets(mesh, volume.rest).tets,
        rest=torch.cat([volume.rest, rest]),
        owner=torch.cat([volume.owner, owner]),
        apart=torch.cat([apart, held]),
        sdf=torch.cat([volume.sdf, sdf]),
        raw=None if raw is None or volume.raw is None else torch.cat([volume.raw, raw]),
    )


def _ask(at: FieldAt, rest: Tensor, owner: Tensor, batch: int) -> tuple[Tensor, Tensor | None]:
    """The field at the points [E, 3] of several meshes, each mesh padded to the longest."""
    order = owner.argsort(stable=True)
    counts = torch.bincount(owner, minlength=batch)
    row = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner[order]]
    where = owner[order] * int(counts.max()) + row
    points = rest.new_zeros(batch * int(counts.max()), 3).index_copy(0, where, rest[order] * 2)
    sdf, raw = at(points.view(batch, -1, 3))
    place = torch.empty_like(where).index_copy(0, order, where)
    return sdf.flatten()[place], None if raw is None else raw.flatten(0, 1)[place]


def _by_mesh(surface: Surface, volume: _Volume, mesh: TetMesh, batch: int) -> Surface:
    """One mesh's vertices after the other, and where each begins. Faces are in that order already."""
    inside = volume.sdf > 0
    low, high = mesh.edges.unbind(1)
    owner = volume.owner[low[inside[low] != inside[high]]]  # of each vertex: one on every cut edge
    order = owner.argsort(stable=True)
    place = torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))
    faces = place[surface.faces]
    face_owner = owner[surface.faces[:, 0]]
    face_order = face_owner.argsort(stable=True)
    vertex_counts, face_counts = (torch.bincount(x, minlength=batch) for x in (owner, face_owner))
    return Surface(
        surface.vertices[order],
        faces[face_order],
        torch.stack([vertex_counts.cumsum(0) - vertex_counts, vertex_counts], dim=1),
        torch.stack([face_counts.cumsum(0) - face_counts, face_counts], dim=1),
    )
