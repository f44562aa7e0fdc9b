"""Marching tetrahedra in torch, the whole batch at once, without sorting.

Three observations keep it short of work:

- a cell whose eight corners agree has no surface, and shifted views of the sign grid, one byte per
  vertex, say which cells those are; only the others (about n² of n³) are looked at again;
- the six tetrahedra of a cell have only 256 sign patterns together (512 with the mirroring), so
  their triangles come out of one table;
- an edge is already a number, so the vertices are the set flags of one byte per edge.

Legend: B meshes, N lattice vertices, E lattice edges, K cells with a surface, F faces, V vertices.
"""

import torch
from torch import Tensor

from polyglyph.kernels.marching_tets.cases import cell_cases
from polyglyph.kernels.marching_tets.lattice import CELL_EDGES, Lattice
from polyglyph.kernels.marching_tets.surface import Surface

__all__ = ["marching_tets"]

_CELL_CASES = cell_cases()
_TRIANGLES = torch.tensor([triangle for case in _CELL_CASES for triangle in case])
"""The triangles of all cases, one after the other, as numbers of `CELL_EDGES`."""
_COUNTS = torch.tensor([len(case) for case in _CELL_CASES])
_FIRSTS = _COUNTS.cumsum(0) - _COUNTS


def marching_tets(sdf: Tensor, positions: Tensor, lattice: Lattice) -> Surface:
    """See the façade."""
    batch, edge_count = sdf.shape[0], lattice.edge_count
    corners_F3, mesh_F = _triangles((sdf > 0).to(torch.uint8), lattice)

    cut = torch.zeros(batch * edge_count, dtype=torch.bool, device=sdf.device)
    cut[corners_F3.flatten()] = True
    cut_V = cut.nonzero().squeeze(1)
    vertex_of_edge = torch.zeros(cut.shape, dtype=torch.int32, device=sdf.device)
    vertex_of_edge[cut_V] = torch.arange(cut_V.shape[0], dtype=torch.int32, device=sdf.device)
    mesh_V = torch.div(cut_V, edge_count, rounding_mode="floor")
    return Surface(
        vertices=_crossings(
            sdf, positions, mesh_V, lattice.edges.index_select(0, cut_V - mesh_V * edge_count)
        ),
        faces=vertex_of_edge[corners_F3].long(),
        vertex_ranges=_ranges(mesh_V, batch),
        face_ranges=_ranges(mesh_F, batch),
    )


def _triangles(inside_BN: Tensor, lattice: Lattice) -> tuple[Tensor, Tensor]:
    """Each triangle's corners as edge numbers (mesh · E + edge), (F, 3), and its mesh, (F,)."""
    device = inside_BN.device
    mesh_K, cell_K = _mixed_cells(inside_BN, lattice.resolution).nonzero(as_tuple=True)
    corners_K8 = lattice.corners_of(cell_K) + (mesh_K * inside_BN.shape[1])[:, None]
    signs_K8 = inside_BN.flatten().index_select(0, corners_K8.flatten()).view(-1, 8)
    bits = torch.arange(8, dtype=torch.uint8, device=device)
    case_K = (signs_K8 << bits).sum(dim=1) + 256 * lattice.mirrored(cell_K)

    counts_K = _COUNTS.to(device).index_select(0, case_K)
    ends_K = counts_K.cumsum(0)
    # Triangle f is number f of the list, and number f - shift_K of the table.
    shift_K = ends_K - counts_K - _FIRSTS.to(device).index_select(0, case_K)
    k_F = torch.arange(len(cell_K), device=device).repeat_interleave(counts_K)
    row_F = torch.arange(len(k_F), device=device) - shift_K.index_select(0, k_F)
    slot_F3 = _TRIANGLES.to(device).index_select(0, row_F)

    edges_K19 = lattice.edges_of(cell_K) + (mesh_K * lattice.edge_count)[:, None]
    corners_F3 = (slot_F3 + (k_F * len(CELL_EDGES))[:, None]).flatten()
    return edges_K19.flatten().index_select(0, corners_F3).view(-1, 3), mesh_K.index_select(0, k_F)


def _mixed_cells(inside_BN: Tensor, n: int) -> Tensor:
    """True for cells whose eight corners do not agree, (B, n³)."""
    some = inside_BN.view(-1, n + 1, n + 1, n + 1)
    every = some
    for axis in (3, 2, 1):
        low, high = _neighbours(some, axis, n)
        some = low | high
        low, high = _neighbours(every, axis, n)
        every = low & high
    return (some != every).view(-1, n**3)


def _neighbours(grid: Tensor, axis: int, n: int) -> tuple[Tensor, Tensor]:
    """The grid without its last and without its first layer along `axis`."""
    return grid.narrow(axis, 0, n), grid.narrow(axis, 1, n)


def _crossings(sdf: Tensor, positions: Tensor, mesh_V: Tensor, ends_V2: Tensor) -> Tensor:
    """Zero of the linear function between the two ends of each cut edge, (V, 3)."""
    a, b = ends_V2.unbind(1)
    row = mesh_V * sdf.shape[1]
    values = sdf.flatten()
    s_a, s_b = values.index_select(0, row + a)[:, None], values.index_select(0, row + b)[:, None]
    if positions.ndim == 3:
        positions, a, b = positions.flatten(end_dim=1), row + a, row + b
    v_a, v_b = positions.index_select(0, a), positions.index_select(0, b)
    return (v_a * s_b - v_b * s_a) / (s_b - s_a)


def _ranges(mesh: Tensor, batch: int) -> Tensor:
    """(first, count) of each mesh in an ascending list of mesh numbers, (B, 2)."""
    bounds = torch.searchsorted(mesh, torch.arange(batch + 1, device=mesh.device))
    return torch.stack([bounds[:-1], bounds[1:] - bounds[:-1]], dim=1)
