"""FlexiCubes in torch, the whole batch at once, without sorting.

Only cubes with a surface (about n² of n³) are looked at: one byte per cube, made by three shifted views of
the sign grid, holds the signs of all its corners. Edges are numbers, so that the dual vertices around an
edge find each other through one integer per edge.

Legend: B meshes, N grid vertices, E grid edges, C cubes, K cubes with a surface, D dual vertices, P pairs of
such a cube and a cut edge of it, Q quads, F faces, V vertices.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from polyglyph.kernels.flexicubes.cases import CASES, PINCHED_FACE, TURNED
from polyglyph.kernels.flexicubes.grid import CUBE_EDGES, Grid
from polyglyph.kernels.flexicubes.surface import AT_CENTRE, DIAGONAL_02, DIAGONAL_13, FlexiSurface, Split
from polyglyph.kernels.flexicubes.weights import Weights
from polyglyph.kernels.marching_tets import Surface
from polyglyph.kernels.marching_tets.vectorised import _ranges

__all__ = ["flexicubes"]

_PATCH_OF_EDGE = torch.tensor(
    [[next((i for i, p in enumerate(case) if edge in p), -1) for edge in range(12)] for case in CASES]
)
"""Which patch of a case goes through each edge, -1 for edges that are not cut."""
_PATCH_COUNT = torch.tensor([len(case) for case in CASES])
_PINCHED_FACE = torch.tensor(PINCHED_FACE)
_CUBE_EDGES = torch.tensor(CUBE_EDGES)
_DIAGONALS = torch.tensor([DIAGONAL_02, DIAGONAL_13])
_AT_CENTRE = torch.tensor(AT_CENTRE)


class _Cut(NamedTuple):
    """The cubes with a surface, and what their cases say."""

    mesh: Tensor  # (K,)
    cube: Tensor  # (K,)
    of_dual: Tensor  # (D,), rows of this list
    of_pair: Tensor  # (P,), rows of this list
    edge_of_pair: Tensor  # (P,), numbers within the cube
    dual_of_pair: Tensor  # (P,)


def flexicubes(sdf: Tensor, positions: Tensor, grid: Grid, weights: Weights, split: Split) -> FlexiSurface:
    """See the façade."""
    batch = sdf.shape[0]
    inside_BN = sdf > 0
    cut = _cut(inside_BN, grid)
    dual_D3, deviation = _dual_vertices(sdf, positions, grid, weights, cut)
    mesh_D = cut.mesh.index_select(0, cut.of_dual)
    quad_Q4, mesh_Q = _quads(inside_BN, grid, cut)
    gamma_Q4 = _take(
        _of_cubes(weights.gamma, 1, grid, cut), cut.of_dual.index_select(0, quad_Q4.flatten()), 4
    )
    gamma_02, gamma_13 = gamma_Q4[:, 0] * gamma_Q4[:, 2], gamma_Q4[:, 1] * gamma_Q4[:, 3]
    if split == "diagonal":
        corner_Q23 = _DIAGONALS.to(sdf.device).index_select(0, (gamma_13 > gamma_02).long())
        faces = quad_Q4.gather(1, corner_Q23.flatten(start_dim=1)).view(-1, 3)
        ranges = _ranges(mesh_D, batch), _ranges(mesh_Q.repeat_interleave(2), batch)
        return FlexiSurface(Surface(dual_D3, faces, *ranges), deviation)

    v0, v1, v2, v3 = _take(dual_D3, quad_Q4.flatten(), 4).unbind(1)
    gamma_02, gamma_13 = gamma_02[:, None], gamma_13[:, None]
    centre_Q3 = (gamma_02 * (v0 + v2) / 2 + gamma_13 * (v1 + v3) / 2) / (gamma_02 + gamma_13)
    # Each mesh has its dual vertices first and its centres after them.
    duals, quads = _ranges(mesh_D, batch), _ranges(mesh_Q, batch)
    place_D = torch.arange(len(mesh_D), device=sdf.device) + quads[:, 0][mesh_D]
    place_Q = torch.arange(len(mesh_Q), device=sdf.device) + duals.sum(dim=1)[mesh_Q]
    rows_V3 = torch.cat([dual_D3, centre_Q3])
    vertices = torch.zeros_like(rows_V3).index_copy(0, torch.cat([place_D, place_Q]), rows_V3)
    corners_Q5 = torch.cat([place_D[quad_Q4], place_Q[:, None]], dim=1)
    faces = corners_Q5[:, _AT_CENTRE.to(sdf.device)].view(-1, 3)
    return FlexiSurface(Surface(vertices, faces, duals + quads, 4 * quads), deviation)


def _cut(inside_BN: Tensor, grid: Grid) -> _Cut:
    n = grid.resolution
    codes = inside_BN.view(-1, n + 1, n + 1, n + 1).to(torch.uint8)
    for axis in range(3):  # a cube's bits: corner c is bit c
        codes = codes.narrow(axis + 1, 0, n) | codes.narrow(axis + 1, 1, n) << (1 << axis)
    codes_BC = codes.reshape(-1, grid.cube_count)
    mesh_K, cube_K = ((codes_BC != 0) & (codes_BC != 255)).nonzero(as_tuple=True)
    case_K = codes_BC[mesh_K, cube_K].long()
    case_K = case_K + TURNED * _is_turned(codes_BC, case_K, mesh_K, cube_K, grid)

    counts_K = _PATCH_COUNT.to(case_K.device).index_select(0, case_K)
    first_K = counts_K.cumsum(0) - counts_K
    patch_K12 = _PATCH_OF_EDGE.to(case_K.device).index_select(0, case_K)
    k_P, edge_P = (patch_K12 >= 0).nonzero(as_tuple=True)
    dual_P = first_K.index_select(0, k_P) + patch_K12[k_P, edge_P]
    k_D = torch.arange(len(cube_K), device=cube_K.device).repeat_interleave(counts_K)
    return _Cut(mesh_K, cube_K, k_D, k_P, edge_P, dual_P)


def _is_turned(codes_BC: Tensor, code_K: Tensor, mesh_K: Tensor, cube_K: Tensor, grid: Grid) -> Tensor:
    """True for cubes whose pinched face is pinched in the cube beyond it, too."""
    n = grid.resolution
    table = _PINCHED_FACE.to(code_K.device)
    face_K = table.index_select(0, code_K)
    axis_K = torch.div(face_K, 2, rounding_mode="floor")
    step_K = torch.where(face_K >= 0, face_K % 2 * 2 - 1, 0)
    here_K = torch.stack(grid.coordinates(cube_K), dim=1).gather(1, axis_K.clamp(min=0)[:, None]).squeeze(1)
    exists_K = (face_K >= 0) & (here_K + step_K >= 0) & (here_K + step_K < n)
    stride_K = torch.tensor([n * n, n, 1], device=cube_K.device)[axis_K.clamp(min=0)]
    neighbour_K = torch.where(exists_K, cube_K + step_K * stride_K, cube_K)
    return exists_K & (table[codes_BC[mesh_K, neighbour_K].long()] == face_K ^ 1)


def _dual_vertices(
    sdf: Tensor, positions: Tensor, grid: Grid, weights: Weights, cut: _Cut
) -> tuple[Tensor, Tensor]:
    """Dual vertices, (D, 3), and L_dev."""
    corners_K8 = grid.corners_of(cut.cube)
    own_K8 = corners_K8 + (cut.mesh * grid.vertex_count)[:, None]
    alpha_K8, beta_K12 = (_of_cubes(w, 2, grid, cut) for w in weights[:2])
    t_K8 = _take(sdf.flatten(), own_K8.flatten(), 8) * alpha_K8
    ends_2P = _CUBE_EDGES.to(sdf.device).index_select(0, cut.edge_of_pair).T + 8 * cut.of_pair
    t_a, t_b = (t_K8.flatten().index_select(0, end)[:, None] for end in ends_2P)
    places_K8 = corners_K8 if positions.ndim == 2 else own_K8
    x_a, x_b = (
        positions.reshape(-1, 3).index_select(0, places_K8.flatten().index_select(0, end)) for end in ends_2P
    )
    crossing_P3 = (x_a * t_b - x_b * t_a) / (t_b - t_a)

    beta_P1 = beta_K12.flatten().index_select(0, 12 * cut.of_pair + cut.edge_of_pair)[:, None]
    dual_D3 = _sum(beta_P1 * crossing_P3, cut) / _sum(beta_P1, cut)
    distance_P1 = torch.linalg.vector_norm(
        crossing_P3 - dual_D3.index_select(0, cut.dual_of_pair), dim=1, keepdim=True
    )
    count_D1 = _sum(torch.ones_like(distance_P1), cut)
    mean_D1 = _sum(distance_P1, cut) / count_D1
    spread_D1 = _sum((distance_P1 - mean_D1.index_select(0, cut.dual_of_pair)).abs(), cut) / count_D1
    return dual_D3, spread_D1.sum() / max(len(cut.of_dual), 1)


def _of_cubes(weight: Tensor, shared_dimensions: int, grid: Grid, cut: _Cut) -> Tensor:
    """The rows of a weight, shared by the batch or not, that belong to the cubes with a surface."""
    if weight.ndim == shared_dimensions:
        return weight.index_select(0, cut.cube)
    return weight.flatten(end_dim=1).index_select(0, cut.mesh * grid.cube_count + cut.cube)


def _take(x: Tensor, rows: Tensor, width: int) -> Tensor:
    """`x[rows]`, `width` rows side by side; `index_select`, since its gradient needs no sorting."""
    return x.index_select(0, rows).view(-1, width, *x.shape[1:])


def _sum(x_PX: Tensor, cut: _Cut) -> Tensor:
    """Sums over the crossings of each dual vertex."""
    return x_PX.new_zeros(len(cut.of_dual), x_PX.shape[1]).index_add(0, cut.dual_of_pair, x_PX)


def _quads(inside_BN: Tensor, grid: Grid, cut: _Cut) -> tuple[Tensor, Tensor]:
    """The dual vertices around each cut edge, counter-clockwise from outside, (Q, 4), and its mesh, (Q,)."""
    batch, device = inside_BN.shape[0], inside_BN.device
    edges_K12 = grid.edges_of(cut.cube) + (cut.mesh * grid.edge_count)[:, None]
    edge_P = edges_K12[cut.of_pair, cut.edge_of_pair]
    is_cut = torch.zeros(batch * grid.edge_count, dtype=torch.bool, device=device)
    is_cut[edge_P] = True
    edge_Q = is_cut.nonzero().squeeze(1)
    quad_of_edge = torch.zeros(is_cut.shape, dtype=torch.int32, device=device)
    quad_of_edge[edge_Q] = torch.arange(len(edge_Q), dtype=torch.int32, device=device)
    quad_Q4 = torch.full((len(edge_Q), 4), -1, device=device)
    quad_Q4[quad_of_edge[edge_P].long(), cut.edge_of_pair % 4] = cut.dual_of_pair

    full = (quad_Q4 >= 0).all(dim=1)  # edges on the boundary have fewer than four cubes
    quad_Q4, edge_Q = quad_Q4[full], edge_Q[full]
    mesh_Q = torch.div(edge_Q, grid.edge_count, rounding_mode="floor")
    low_Q = grid.edges[:, 0].index_select(0, edge_Q - mesh_Q * grid.edge_count)
    outward_Q1 = inside_BN[mesh_Q, low_Q][:, None]  # the edge points from inside to outside
    return torch.where(outward_Q1, quad_Q4, quad_Q4[:, [0, 3, 2, 1]]), mesh_Q
