"""Subdivision and marching over explicit tetrahedra, and Loop's averages, in torch.

Legend: B meshes, N vertices, T tetrahedra, E edges, C channels, F faces, V vertices of surfaces.
"""

import torch
from torch import Tensor

from polyglyph.kernels.marching_tets import Surface
from polyglyph.kernels.marching_tets.cases import CASES
from polyglyph.kernels.marching_tets.vectorised import _crossings, _ranges
from polyglyph.kernels.subdivide.loop import LoopTopology
from polyglyph.kernels.subdivide.tets import CORNER_PARTS, DIAGONALS, INNER_PARTS, TetMesh

__all__ = ["loop_subdivide", "march_tets", "near_surface", "subdivide_tets"]

_CORNER_PARTS = torch.tensor(CORNER_PARTS)
_INNER_PARTS = torch.tensor(INNER_PARTS)
_DIAGONALS = torch.tensor(DIAGONALS)
_CASE_COUNTS = torch.tensor([len(case) for case in CASES])
_CASES = torch.tensor([[*case, *((0, 0, 0),) * (2 - len(case))] for case in CASES])
"""Two triangles of every case, the first `_CASE_COUNTS` of which exist."""


def near_surface(sdf: Tensor, tets: Tensor, rings: int) -> Tensor:
    """See the façade."""
    inside_T4 = (sdf > 0)[tets]
    near_T = inside_T4.any(dim=1) & ~inside_T4.all(dim=1)
    for _ in range(rings):
        touched_N = torch.zeros(len(sdf), dtype=torch.bool, device=sdf.device)
        touched_N[tets[near_T].flatten()] = True
        near_T = touched_N[tets].any(dim=1)
    return near_T


def subdivide_tets(mesh: TetMesh, positions: Tensor) -> TetMesh:
    """See the façade."""
    device = positions.device
    points_T10 = torch.cat([mesh.tets, mesh.tet_edges + mesh.vertex_count], dim=1)
    middles = positions[mesh.edges].mean(dim=1)[mesh.tet_edges]
    ends_T32 = middles[:, _DIAGONALS.to(device)]
    # NaN positions choose some diagonal, like any others.
    shortest_T = (ends_T32[:, :, 0] - ends_T32[:, :, 1]).square().sum(dim=2).argmin(dim=1)
    inner_T44 = _INNER_PARTS.to(device)[shortest_T]
    parts_T84 = torch.cat([_CORNER_PARTS.to(device).expand(len(mesh.tets), 4, 4), inner_T44], dim=1)
    tets = points_T10.gather(1, parts_T84.flatten(start_dim=1)).view(-1, 4)
    return TetMesh(tets, mesh.vertex_count + len(mesh.edges))


def march_tets(sdf: Tensor, positions: Tensor, mesh: TetMesh) -> Surface:
    """See the façade."""
    batch, edge_count = sdf.shape[0], len(mesh.edges)
    bits = torch.tensor([1, 2, 4, 8], device=sdf.device)
    codes_BT = ((sdf > 0)[:, mesh.tets] * bits).sum(dim=2)
    counts_BT = _CASE_COUNTS.to(sdf.device)[codes_BT]
    mesh_F, tet_F = counts_BT.nonzero(as_tuple=True)
    counts_F = counts_BT[mesh_F, tet_F]
    slots_F23 = _CASES.to(sdf.device)[codes_BT[mesh_F, tet_F]]
    edges_F6 = mesh.tet_edges[tet_F] + (mesh_F * edge_count)[:, None]
    corners_F23 = edges_F6.gather(1, slots_F23.flatten(start_dim=1)).view(-1, 2, 3)
    exists_F2 = torch.arange(2, device=sdf.device) < counts_F[:, None]
    corners_F3 = corners_F23[exists_F2]

    cut_V, faces = torch.unique(corners_F3, return_inverse=True)
    mesh_V = torch.div(cut_V, max(edge_count, 1), rounding_mode="floor")
    return Surface(
        vertices=_crossings(sdf, positions, mesh_V, mesh.edges[cut_V - mesh_V * edge_count]),
        faces=faces,
        vertex_ranges=_ranges(mesh_V, batch),
        face_ranges=_ranges(mesh_F.repeat_interleave(counts_F), batch),
    )


def loop_subdivide(
    vertices: Tensor, topology: LoopTopology, vertex_weights: Tensor, edge_weights: Tensor
) -> Tensor:
    """See the façade."""
    vertex, neighbour = topology.pairs.unbind(1)
    sums_VC = torch.zeros_like(vertices).index_add(0, vertex, vertices.index_select(0, neighbour))
    counts_V = torch.bincount(vertex, minlength=topology.vertex_count)
    means_VC = sums_VC / counts_V.clamp(min=1)[:, None]
    w_V1 = torch.where(counts_V > 0, vertex_weights, 0)[:, None]
    w_E1 = edge_weights[:, None]  # of no effect on a boundary, where c and d are a and b
    a, b, c, d = (
        vertices.index_select(0, end) for end in (*topology.edges.unbind(1), *topology.opposite.unbind(1))
    )
    even_VC = (1 - w_V1) * vertices + w_V1 * means_VC
    odd_EC = (1 - w_E1) * (a + b) / 2 + w_E1 * (c + d) / 2
    return torch.cat([even_VC, odd_EC])
