"""What the generator's loss holds besides the discriminators' verdict.

Each term is a mean over things of the batch that differ in number from sample to sample: cut edges, empty
samples, dual vertices, cut cubes. The mean over the batch of several processes weighs each process by its
number of them.

Legend: B batch (this process's share of it), N lattice vertices, E lattice edges.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.kernels.flexicubes import Grid, regular_grid
from polyglyph.kernels.marching_tets import Lattice, kuhn_lattice
from polyglyph.learn.distributed import World
from polyglyph.scene.isosurface import cut_cubes, sign_bce
from polyglyph.shape.get3d.config import Config
from polyglyph.shape.get3d.picture import Drawing

__all__ = ["Term", "regularisers"]


class Term(NamedTuple):
    """One addend of the loss. Its mean over the processes is that over the whole batch."""

    value: Float[Tensor, ""]
    weight: float


def regularisers(drawing: Drawing, config: Config, world: World) -> dict[str, Term]:
    """The terms for generated shapes, by the names that the log calls them by.

    `sdf_bce`: cross entropy between the signs of neighbours, GET3D's equation 7. `empty`: the charge of the
    empty-shape guard. With FlexiCubes, `deviation`: its equation 8, and `cube_weights`: the mean square of
    its weights.
    """
    surface, loss = drawing.isosurface, config.loss
    grid = _grid(config, surface.sdf.device)
    terms = {
        "sdf_bce": Term(sign_bce(surface.sdf, grid.edges), loss.sdf_weight),
        "empty": Term(surface.penalty, 1.0),
    }
    if surface.deviation is not None:
        terms["deviation"] = Term(surface.deviation, loss.flexicubes_deviation)
    if drawing.weight_penalty is not None:
        terms["cube_weights"] = Term(drawing.weight_penalty, loss.flexicubes_weights)
    if world.size == 1:
        return terms
    counts = _counts(drawing, grid)
    here = torch.stack([counts[name] for name in terms])
    factors = (world.size * here.clamp(min=1) / world.sum(here).clamp(min=1)).to(surface.sdf.dtype)
    return {
        name: Term(term.value * factor, term.weight)
        for (name, term), factor in zip(terms.items(), factors, strict=True)
    }


def _grid(config: Config, device: torch.device) -> Lattice | Grid:
    """The lattice that surfaces are cut from in training."""
    cells = config.isosurface.resolution
    if config.isosurface.method == "flexicubes":
        return regular_grid(cells).to(device)
    return kuhn_lattice(cells).to(device)


def _counts(drawing: Drawing, grid: Lattice | Grid) -> dict[str, Int[Tensor, ""]]:
    """How many things each term is a mean over, in this process's samples."""
    surface, sdf = drawing.isosurface.surface, drawing.isosurface.sdf
    empty_B = _empty_samples(sdf, grid.boundary)
    counts = {"sdf_bce": _cut_edges(sdf, grid.edges), "empty": empty_B.sum()}
    if isinstance(grid, Grid):
        # In training every quad has a vertex in its middle and four triangles; the others are dual vertices.
        duals = len(surface.vertices) - len(surface.faces) // 4
        counts["deviation"] = torch.tensor(duals, device=sdf.device)
        counts["cube_weights"] = (cut_cubes(sdf, grid).sum(dim=1) * ~empty_B).sum()
    return counts


def _cut_edges(sdf: Float[Tensor, "B N"], edges: Int[Tensor, "E 2"]) -> Int[Tensor, ""]:
    """How many edges of all samples have ends of different sign."""
    inside_NB = (sdf > 0).T.contiguous()
    return (inside_NB[edges[:, 0]] != inside_NB[edges[:, 1]]).sum()


def _empty_samples(sdf: Float[Tensor, "B N"], boundary: Bool[Tensor, " N"]) -> Bool[Tensor, " B"]:
    """The samples that the guard replaced: those that are exactly -1 all over the faces of the box."""
    return ((sdf == -1.0) | ~boundary).all(dim=1)
