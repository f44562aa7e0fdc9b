"""The definition, one tetrahedron at a time. Slow on purpose; never optimise this file."""

import torch
from torch import Tensor

from polyglyph.kernels.marching_tets.cases import CASES
from polyglyph.kernels.marching_tets.lattice import Lattice
from polyglyph.kernels.marching_tets.surface import Surface

__all__ = ["marching_tets"]


def marching_tets(sdf: Tensor, positions: Tensor, lattice: Lattice) -> Surface:
    """See the façade."""
    vertices: list[Tensor] = []
    faces: list[list[int]] = []
    vertex_ranges, face_ranges = [], []
    for b in range(sdf.shape[0]):
        place = positions if positions.ndim == 2 else positions[b]
        first_vertex, first_face = len(vertices), len(faces)
        vertex_of_edge = {}
        for e, (i, j) in enumerate(lattice.edges.tolist()):
            if bool(sdf[b, i] > 0) == bool(sdf[b, j] > 0):
                continue
            vertex_of_edge[e] = len(vertices)
            vertices.append((place[i] * sdf[b, j] - place[j] * sdf[b, i]) / (sdf[b, j] - sdf[b, i]))
        for tet, tet_edges in zip(lattice.tets.tolist(), lattice.tet_edges.tolist(), strict=True):
            code = 0
            for corner, vertex in enumerate(tet):
                if sdf[b, vertex] > 0:
                    code += 2**corner
            for triangle in CASES[code]:
                faces.append([vertex_of_edge[tet_edges[edge]] for edge in triangle])
        vertex_ranges.append([first_vertex, len(vertices) - first_vertex])
        face_ranges.append([first_face, len(faces) - first_face])

    indices = {"dtype": torch.int64, "device": sdf.device}
    dtype = torch.promote_types(sdf.dtype, positions.dtype)
    return Surface(
        vertices=torch.stack(vertices) if vertices else torch.zeros((0, 3), dtype=dtype, device=sdf.device),
        faces=torch.tensor(faces, **indices).reshape(-1, 3),
        vertex_ranges=torch.tensor(vertex_ranges, **indices).reshape(-1, 2),
        face_ranges=torch.tensor(face_ranges, **indices).reshape(-1, 2),
    )
