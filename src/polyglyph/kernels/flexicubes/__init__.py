"""Signed distances on a grid of cubes to triangle meshes with one free vertex per cube (FlexiCubes).

Shen et al., "Flexible Isosurface Extraction for Gradient-Based Mesh Optimization", SIGGRAPH 2023, on top of
dual marching cubes (Nielson 2004). Written from the papers; the case tables are derived in `cases.py`.

Legend: B meshes, N grid vertices, C cubes, V and F vertices and faces of all meshes together.
"""

from functools import reduce
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, choose
from polyglyph.kernels.flexicubes import reference, vectorised
from polyglyph.kernels.flexicubes.grid import CUBE_EDGES, Grid, regular_grid
from polyglyph.kernels.flexicubes.surface import FlexiSurface, Split
from polyglyph.kernels.flexicubes.weights import WEIGHT_COUNT, Weights, activate

__all__ = [
    "CUBE_EDGES",
    "WEIGHT_COUNT",
    "FlexiSurface",
    "Grid",
    "Split",
    "Weights",
    "activate",
    "flexicubes",
    "regular_grid",
]


def flexicubes(
    sdf: Float[Tensor, "B N"],
    positions: Float[Tensor, "N 3"] | Float[Tensor, "B N 3"],
    grid: Grid,
    *,
    weights: Weights | None = None,
    split: Split = "diagonal",
    backend: Backend = "auto",
) -> FlexiSurface:
    """The surface where `sdf` changes sign, one mesh per row of `sdf`.

    Convention: `sdf` is positive inside; exactly 0 counts as outside. A cube through which the surface
    passes has one to four patches of it (`cases.py`), and each patch one *dual* vertex, the mean of the
    patch's crossings weighted by beta; the crossing on an edge from a to b is the zero of the linear
    function with values t = alpha · sdf of this cube, u = (x_a t_b - x_b t_a) / (t_b - t_a). Around every
    grid edge whose ends differ, the dual vertices of its four cubes form a quad.

    `split` says how quads become triangles. `diagonal` (for use) cuts between the two opposite vertices
    whose gammas have the larger product, or between the lowest and the highest cube if they are equal.
    `centre` (for training) adds a vertex to every quad v0 v1 v2 v3,
    (γ0 γ2 (v0 + v2) / 2 + γ1 γ3 (v1 + v3) / 2) / (γ0 γ2 + γ1 γ3), so that gamma has a gradient.

    Faces are counter-clockwise seen from outside, as long as `positions` keep the grid unfolded. Vertices
    are ordered by mesh: dual vertices by cube, then by lowest edge of the patch, then centres in the order of
    quads; faces by mesh, then by grid edge.

    The mesh is closed and 2-manifold where the grid's boundary is outside. Where it is not, the mesh is
    open, and dual vertices without a full quad stay in `vertices` unused. Where all values agree it is empty.

    `weights` of None are neutral; they may be shared by the batch (without B), and so may `positions`.
    With positive weights, every dual vertex lies within its cube. Weights of 0, and NaN anywhere, may give
    NaN vertices; a NaN in `sdf` counts as outside. Everything lives on one device; the result has the
    promoted dtype.

    Differentiable in `sdf`, `positions`, alpha and beta; in gamma with `centre`. Not differentiable in
    which edges are cut and which diagonal is taken.

    Raises ConfigError where vertices, cubes, batches or devices do not fit together.
    """
    chosen = choose(backend, "flexicubes")
    if split not in get_args(Split):
        raise ConfigError(f"`split` is `{split}`", fix="use `diagonal` or `centre`")
    weights = _neutral(sdf, grid) if weights is None else weights
    _check(sdf, positions, grid, weights)
    tensors = (sdf, positions, *weights)
    dtype = reduce(torch.promote_types, [tensor.dtype for tensor in tensors])
    sdf, positions, *rest = (tensor.to(dtype) for tensor in tensors)
    implementation = reference if chosen == "reference" else vectorised
    return implementation.flexicubes(sdf, positions, grid, Weights(*rest), split)


def _neutral(sdf: Tensor, grid: Grid) -> Weights:
    one, cubes = sdf.new_ones(()), grid.cube_count
    return Weights(one.expand(cubes, 8), one.expand(cubes, 12), one.expand(cubes))


def _check(sdf: Tensor, positions: Tensor, grid: Grid, weights: Weights) -> None:
    count = grid.vertex_count
    if sdf.ndim != 2 or sdf.shape[1] != count or positions.shape[-2:] != (count, 3):
        raise ConfigError(
            f"a grid of resolution {grid.resolution} has {count} vertices, but `sdf` is "
            f"{tuple(sdf.shape)} and `positions` {tuple(positions.shape)}",
            fix="evaluate both at `grid.positions`",
        )
    if positions.ndim != 2 and positions.shape[:-2] != sdf.shape[:1]:
        raise ConfigError(
            f"`sdf` has {sdf.shape[0]} meshes and `positions` is {tuple(positions.shape)}",
            fix="pass [B, N] and [B, N, 3], or [N, 3] to share positions",
        )
    cubes = grid.cube_count
    for name, tensor, shape in (
        ("alpha", weights.alpha, (cubes, 8)),
        ("beta", weights.beta, (cubes, 12)),
        ("gamma", weights.gamma, (cubes,)),
    ):
        if tensor.shape not in (shape, (sdf.shape[0], *shape)):
            raise ConfigError(
                f"`{name}` is {tuple(tensor.shape)}, and {sdf.shape[0]} meshes on a grid of {cubes} cubes "
                f"need {shape} or {(sdf.shape[0], *shape)}",
                fix="make weights with `activate` from [C, 21] or [B, C, 21]",
            )
    devices = {str(t.device) for t in (sdf, positions, grid.edges, *weights)}
    if len(devices) > 1:
        raise ConfigError(
            f"`sdf` is on {sdf.device}, `positions` on {positions.device}, weights on {weights.beta.device}, "
            f"the grid on {grid.edges.device}",
            fix="use `grid.to(device)` and `tensor.to(device)`",
        )
