"""From a field on a tetrahedral lattice to meshes: what a generator needs around marching tetrahedra.

A generator emits, for every lattice vertex, a signed distance and a raw displacement. This module
moves the lattice (`deform`), makes sure there is a surface to draw (`close_boundary`,
`guard_empty`), cuts it out (`extract`, `extract_cubes`), and keeps loose pieces from growing (`sign_bce`).

Legend: B meshes, N lattice vertices, E lattice edges, Q cubes.
Convention: the SDF is positive inside, and exactly 0 is outside.

Sources: DMTet (Shen et al. 2021) for the deformable lattice; GET3D (Gao et al. 2022) for the guard
and the regulariser, the latter first in nvdiffrec (Munkberg et al. 2022).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.kernels.flexicubes import Grid, Weights, flexicubes
from polyglyph.kernels.marching_tets import Lattice, Surface, marching_tets
from polyglyph.scene.subdivided import FieldAt, march_subdivided

__all__ = [
    "FOLD_FREE",
    "Isosurface",
    "close_boundary",
    "cut_cubes",
    "deform",
    "extract",
    "extract_cubes",
    "guard_empty",
    "sign_bce",
]

FOLD_FREE = 6.0
"""The smallest `multiplier` of `deform` that cannot fold any tetrahedron of the lattice.

With displacements of at most d cells along each axis, the edge matrix of a path tetrahedron is the
identity plus entries of at most 2d, so it keeps its orientation while d < 1/6; at d = 1/6 there are
displacements that flatten it.
"""

BOUNDARY_MARGIN = 1e-3
"""How far outside `close_boundary` holds the faces of the box, in units of the SDF."""

_SIGNS_PER_BYTE = 8


class Isosurface(NamedTuple):
    """Meshes, and the field they were cut from."""

    surface: Surface
    sdf: Float[Tensor, "B N"]
    """The SDF after closing and guarding; what `sign_bce` should be given."""
    penalty: Float[Tensor, ""]
    """What the empty-shape guard adds to the loss."""
    deviation: Float[Tensor, ""] | None = None
    """FlexiCubes' L_dev (its equation 8), in units of the box; None for marching tetrahedra."""


def extract(
    sdf: Float[Tensor, "B N"],
    raw: Float[Tensor, "B N 3"] | None,
    lattice: Lattice,
    *,
    scale: float = 1.0,
    multiplier: float = FOLD_FREE,
    closed: bool = True,
    subdivisions: int = 0,
    at: FieldAt | None = None,
) -> Isosurface:
    """Close, guard, deform, subdivide and march, in that order.

    `raw` displaces the lattice (see `deform`); None leaves it alone. `scale` is the side of the
    box in scene units. With `closed` every mesh is closed; without, it is open where it meets the
    box. No mesh is empty.

    The tetrahedra around the surface are cut into eight `subdivisions` times, and the field is asked at the
    new vertices by `at`, which gives `sdf` and `raw` at points [B, K, 3] in -1..1 along the box; without it
    they get the mean of their edge's ends.

    Differentiable in `sdf` and `raw`, and in what `at` returns.
    """
    if closed:
        sdf = close_boundary(sdf, lattice)
    sdf, penalty = guard_empty(sdf, lattice)

    def moved(positions: Tensor, raw: Tensor | None) -> Tensor:
        if raw is None:
            return positions * scale
        return deform(positions, raw, lattice.resolution, scale, multiplier=multiplier)

    if subdivisions:
        surface = march_subdivided(
            sdf, raw, lattice, moved, levels=subdivisions, at=at, margin=BOUNDARY_MARGIN if closed else None
        )
    else:
        surface = marching_tets(sdf, moved(lattice.positions, raw), lattice)
    return Isosurface(surface, sdf, penalty)


def extract_cubes(
    sdf: Float[Tensor, "B N"],
    raw: Float[Tensor, "B N 3"] | None,
    weights: Weights | None,
    grid: Grid,
    *,
    scale: float = 1.0,
    multiplier: float = FOLD_FREE,
    closed: bool = True,
    training: bool = False,
) -> Isosurface:
    """`extract` by FlexiCubes: one free vertex in every cube that the surface passes through.

    With `training`, quads are split around a vertex in their middle, so that every weight has a gradient.
    Raises ConfigError where vertices, cubes or batches do not fit together.

    Differentiable in `sdf`, `raw` and `weights`.
    """
    if closed:
        sdf = close_boundary(sdf, grid)
    sdf, penalty = guard_empty(sdf, grid)
    positions = grid.positions * scale
    if raw is not None:
        positions = deform(grid.positions, raw, grid.resolution, scale, multiplier=multiplier)
    cut = flexicubes(sdf, positions, grid, weights=weights, split="centre" if training else "diagonal")
    return Isosurface(cut.surface, sdf, penalty, cut.deviation / scale)


def cut_cubes(sdf: Float[Tensor, "B N"], grid: Grid) -> Bool[Tensor, "B Q"]:
    """The cubes whose corners do not all have the same sign."""
    n = grid.resolution
    some = every = (sdf > 0).view(-1, n + 1, n + 1, n + 1)
    for axis in (3, 2, 1):
        some = some.narrow(axis, 0, n) | some.narrow(axis, 1, n)
        every = every.narrow(axis, 0, n) & every.narrow(axis, 1, n)
    return (some != every).flatten(1)


def deform(
    positions: Float[Tensor, "N 3"],
    raw: Float[Tensor, "*B N 3"],
    resolution: int,
    scale: float = 1.0,
    *,
    multiplier: float = FOLD_FREE,
) -> Float[Tensor, "*B N 3"]:
    """The lattice deformed and scaled: v' = scale · (v + tanh(raw) / (resolution · multiplier)).

    `positions` are the lattice's own, in [-0.5, 0.5]³; `scale` is the side of the box that comes out.
    With `multiplier` at least `FOLD_FREE` no tetrahedron folds, whatever `raw` is. GET3D's bound is
    `multiplier` 1 for a box of side 1 (`multiplier=scale` for others), which may fold and then lets the
    surface cross itself.

    Differentiable in both tensors.
    """
    return torch.add(positions * scale, torch.tanh(raw), alpha=scale / (resolution * multiplier))


def close_boundary(
    sdf: Float[Tensor, "B N"], lattice: Lattice | Grid, margin: float = BOUNDARY_MARGIN
) -> Float[Tensor, "B N"]:
    """The SDF with the faces of the box held at most at -`margin`, so that every surface is closed.

    A boundary value that was lowered gets no gradient.
    """
    return torch.where(lattice.boundary, sdf.clamp(max=-margin), sdf)


def guard_empty(
    sdf: Float[Tensor, "B N"], lattice: Lattice | Grid
) -> tuple[Float[Tensor, "B N"], Float[Tensor, ""]]:
    """Give every sample a surface, and charge for those that had none.

    A sample with no value above 0, or none below 0, is replaced by a constant: its own values with
    the box's faces at -1 and the centre vertex at +1. Nothing flows back through it; other samples
    come out bit for bit as they went in.

    The penalty is mean |sdf| over the vertices of the replaced samples, before replacement, and
    differentiable: it draws them towards a change of sign. It is 0 when no sample was replaced.
    """
    empty_B = ~((sdf > 0).any(dim=1) & (sdf < 0).any(dim=1))
    substitute = torch.where(lattice.boundary, -1.0, sdf.detach())
    substitute[:, lattice.centre] = 1.0
    charge = (sdf.abs().mean(dim=1) * empty_B).sum() / empty_B.sum().clamp(min=1)
    return torch.where(empty_B[:, None], substitute, sdf), charge


def sign_bce(sdf: Float[Tensor, "B N"], edges: Int[Tensor, "E 2"]) -> Float[Tensor, ""]:
    """How firmly neighbours of different sign disagree, averaged over all cut edges of the batch.

    For every edge (i, j) whose ends differ in sign: H(σ(s_i), [s_j > 0]) + H(σ(s_j), [s_i > 0]),
    with H the binary cross-entropy. Each end is asked to take the other's sign, which shrinks
    surfaces that the pictures do not hold up. GET3D's equation sums; this is the mean over the cut
    edges of the whole batch (a batch with more surface does not weigh more), and 0 if there is none.

    Cost: one byte per edge end for every eight samples; everything else touches cut edges only.

    Differentiable in `sdf`; not in which edges are cut.
    """
    row_C, a_C, b_C = _cut_edges(sdf > 0, edges)
    values = sdf.flatten()
    s_a, s_b = values.index_select(0, row_C + a_C), values.index_select(0, row_C + b_C)
    # With x the end inside and y the end outside, softplus(x) + softplus(-y) is the sum of both terms.
    inside, outside = torch.maximum(s_a, s_b), torch.minimum(s_a, s_b)
    return (F.softplus(inside) + F.softplus(-outside)).sum() / max(row_C.shape[0], 1)


def _cut_edges(inside_BN: Tensor, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First vertex of the sample in the flattened batch, and both ends, of every edge that is cut."""
    batch, count = inside_BN.shape
    a_E, b_E = edges.unbind(1)
    rows, firsts, seconds = [], [], []
    for start in range(0, batch, _SIGNS_PER_BYTE):
        signs = inside_BN[start : start + _SIGNS_PER_BYTE].to(torch.uint8)
        bit = torch.arange(signs.shape[0], dtype=torch.uint8, device=signs.device)
        packed_N = (signs << bit[:, None]).sum(dim=0, dtype=torch.uint8)
        differ_E = packed_N.index_select(0, a_E) ^ packed_N.index_select(0, b_E)
        edge = differ_E.nonzero().squeeze(1)
        place, sample = (differ_E.index_select(0, edge)[:, None] >> bit & 1).nonzero(as_tuple=True)
        edge = edge.index_select(0, place)
        rows.append((sample + start) * count)
        firsts.append(a_E.index_select(0, edge))
        seconds.append(b_E.index_select(0, edge))
    return torch.cat(rows), torch.cat(firsts), torch.cat(seconds)
