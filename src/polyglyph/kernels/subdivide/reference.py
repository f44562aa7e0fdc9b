"""The definitions, one tetrahedron, vertex and edge at a time. Slow on purpose; never optimise this file."""

import torch
from torch import Tensor

from polyglyph.kernels.marching_tets import TET_EDGES, Surface
from polyglyph.kernels.marching_tets.cases import CASES
from polyglyph.kernels.subdivide.loop import LoopTopology
from polyglyph.kernels.subdivide.tets import CORNER_PARTS, DIAGONALS, INNER_PARTS, TetMesh

__all__ = ["loop_subdivide", "march_tets", "near_surface", "subdivide_tets"]


def near_surface(sdf: Tensor, tets: Tensor, rings: int) -> Tensor:
    """See the façade."""
    corners = [set(tet) for tet in tets.tolist()]
    near = [len({bool(sdf[vertex] > 0) for vertex in tet}) == 2 for tet in corners]
    for _ in range(rings):
        touched = set().union(*(tet for tet, is_near in zip(corners, near, strict=True) if is_near))
        near = [bool(tet & touched) for tet in corners]
    return torch.tensor(near, dtype=torch.bool, device=sdf.device)


def subdivide_tets(mesh: TetMesh, positions: Tensor) -> TetMesh:
    """See the façade."""
    pairs = {tuple(sorted((tet[a], tet[b]))) for tet in mesh.tets.tolist() for a, b in TET_EDGES}
    midpoint = {pair: mesh.vertex_count + n for n, pair in enumerate(sorted(pairs))}
    tets = []
    for tet in mesh.tets.tolist():
        pairs_of_tet = [tuple(sorted((tet[a], tet[b]))) for a, b in TET_EDGES]
        points = [*tet, *(midpoint[pair] for pair in pairs_of_tet)]
        middles = [(positions[a] + positions[b]) / 2 for a, b in pairs_of_tet]
        lengths = [float((middles[p] - middles[q]).square().sum()) for p, q in DIAGONALS]
        shortest = lengths.index(min(lengths))
        tets += [[points[corner] for corner in part] for part in (*CORNER_PARTS, *INNER_PARTS[shortest])]
    rows = torch.tensor(tets, dtype=torch.int64, device=positions.device).reshape(-1, 4)
    return TetMesh(rows, mesh.vertex_count + len(pairs))


def march_tets(sdf: Tensor, positions: Tensor, mesh: TetMesh) -> Surface:
    """See the façade."""
    vertices: list[Tensor] = []
    faces: list[list[int]] = []
    vertex_ranges, face_ranges = [], []
    pairs = sorted({(min(t[a], t[b]), max(t[a], t[b])) for t in mesh.tets.tolist() for a, b in TET_EDGES})
    for b, values in enumerate(sdf):
        place = positions if positions.ndim == 2 else positions[b]
        first_vertex, first_face = len(vertices), len(faces)
        vertex_of_pair = {}
        for i, j in pairs:
            if bool(values[i] > 0) != bool(values[j] > 0):
                vertex_of_pair[i, j] = len(vertices)
                vertices.append((place[i] * values[j] - place[j] * values[i]) / (values[j] - values[i]))
        for tet in mesh.tets.tolist():
            code = sum(2**corner for corner, vertex in enumerate(tet) if values[vertex] > 0)
            for triangle in CASES[code]:
                ends = [sorted(tet[corner] for corner in TET_EDGES[edge]) for edge in triangle]
                faces.append([vertex_of_pair[i, j] for i, j in ends])
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


def loop_subdivide(
    vertices: Tensor, topology: LoopTopology, vertex_weights: Tensor, edge_weights: Tensor
) -> Tensor:
    """See the façade."""
    across: dict[tuple[int, int], list[int]] = {}
    for face in topology.faces.tolist():
        for a, b, c in (face, face[1:] + face[:1], face[2:] + face[:2]):
            across.setdefault((min(a, b), max(a, b)), []).append(c)
    around: list[list[int]] = [[] for _ in range(topology.vertex_count)]
    rim: list[list[int]] = [[] for _ in range(topology.vertex_count)]
    for (a, b), corners in across.items():
        for vertex, other in ((a, b), (b, a)):
            around[vertex].append(other)
            if len(corners) == 1:
                rim[vertex].append(other)

    rows = []
    for vertex in range(topology.vertex_count):
        row = vertices[vertex]
        neighbours = rim[vertex] or around[vertex]
        if neighbours:
            mean = torch.stack([vertices[n] for n in neighbours]).sum(dim=0) / len(neighbours)
            row = (1 - vertex_weights[vertex]) * row + vertex_weights[vertex] * mean
        rows.append(row)
    for edge, (a, b) in enumerate(sorted(across)):
        row = (vertices[a] + vertices[b]) / 2
        if len(across[a, b]) == 2:
            c, d = across[a, b]
            row = (1 - edge_weights[edge]) * row + edge_weights[edge] * (vertices[c] + vertices[d]) / 2
        rows.append(row)
    return torch.stack(rows) if rows else torch.zeros_like(vertices)
