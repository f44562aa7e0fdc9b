"""The definition, one cube and one edge at a time. Slow on purpose; never optimise this file."""

from typing import NamedTuple

import torch
from torch import Tensor

from polyglyph.kernels.flexicubes.cases import CASES, PINCHED_FACE, TURNED
from polyglyph.kernels.flexicubes.grid import CUBE_EDGES, Grid
from polyglyph.kernels.flexicubes.surface import AT_CENTRE, DIAGONAL_02, DIAGONAL_13, FlexiSurface, Split
from polyglyph.kernels.flexicubes.weights import Weights
from polyglyph.kernels.marching_tets import Surface

__all__ = ["flexicubes"]


class _Mesh(NamedTuple):
    vertices: list[Tensor]
    faces: list[list[int]]
    deviations: list[Tensor]


def flexicubes(sdf: Tensor, positions: Tensor, grid: Grid, weights: Weights, split: Split) -> FlexiSurface:
    """See the façade."""
    vertices: list[Tensor] = []
    faces: list[list[int]] = []
    deviations: list[Tensor] = []
    vertex_ranges, face_ranges = [], []
    for b in range(sdf.shape[0]):
        mesh = _mesh(
            sdf[b],
            positions if positions.ndim == 2 else positions[b],
            grid,
            Weights(*(w if w.ndim == shared else w[b] for w, shared in zip(weights, (2, 2, 1), strict=True))),
            split,
        )
        vertex_ranges.append([len(vertices), len(mesh.vertices)])
        face_ranges.append([len(faces), len(mesh.faces)])
        faces += [[corner + len(vertices) for corner in face] for face in mesh.faces]
        vertices += mesh.vertices
        deviations += mesh.deviations

    indices = {"dtype": torch.int64, "device": sdf.device}
    nothing = torch.zeros((0, 3), dtype=sdf.dtype, device=sdf.device)
    surface = Surface(
        vertices=torch.stack(vertices) if vertices else nothing,
        faces=torch.tensor(faces, **indices).reshape(-1, 3),
        vertex_ranges=torch.tensor(vertex_ranges, **indices).reshape(-1, 2),
        face_ranges=torch.tensor(face_ranges, **indices).reshape(-1, 2),
    )
    return FlexiSurface(surface, torch.stack(deviations).mean() if deviations else nothing.sum())


def _mesh(sdf: Tensor, place: Tensor, grid: Grid, weights: Weights, split: Split) -> _Mesh:
    mesh = _Mesh([], [], [])
    every = torch.arange(grid.cube_count)
    corners, edges = grid.corners_of(every).tolist(), grid.edges_of(every).tolist()
    cases = _cases(sdf, grid, corners)
    dual: dict[tuple[int, int], int] = {}  # by grid edge and the cube's place around it
    cube_of_vertex = []
    for cube, case in enumerate(cases):
        for patch in CASES[case]:
            vertex, deviation = _vertex(sdf, place, corners[cube], patch, weights, cube)
            for edge in patch:
                dual[edges[cube][edge], edge % 4] = len(mesh.vertices)
            mesh.vertices.append(vertex)
            mesh.deviations.append(deviation)
            cube_of_vertex.append(cube)
    for edge, (low, _) in enumerate(grid.edges.tolist()):
        if any((edge, slot) not in dual for slot in range(4)):
            continue  # not cut, or on the boundary
        quad = [dual[edge, slot] for slot in range(4)]
        if not sdf[low] > 0:
            quad = [quad[0], quad[3], quad[2], quad[1]]
        _split(mesh, quad, [weights.gamma[cube_of_vertex[vertex]] for vertex in quad], split)
    return mesh


def _cases(sdf: Tensor, grid: Grid, corners: list[list[int]]) -> list[int]:
    codes = [sum(2**c for c, vertex in enumerate(of_cube) if sdf[vertex] > 0) for of_cube in corners]
    cases = list(codes)
    n = grid.resolution
    for cube, code in enumerate(codes):
        if PINCHED_FACE[code] < 0:
            continue
        axis, side = divmod(PINCHED_FACE[code], 2)
        there = [cube // n**2, cube // n % n, cube % n]
        there[axis] += 1 if side else -1
        if not 0 <= there[axis] < n:
            continue
        neighbour = (there[0] * n + there[1]) * n + there[2]
        if PINCHED_FACE[codes[neighbour]] == 2 * axis + 1 - side:
            cases[cube] = code + TURNED
    return cases


def _vertex(
    sdf: Tensor, place: Tensor, corners: list[int], patch: tuple[int, ...], weights: Weights, cube: int
) -> tuple[Tensor, Tensor]:
    """The dual vertex of a patch, and the mean absolute deviation of its distances to its crossings."""
    crossings, betas = [], []
    for edge in patch:
        a, b = CUBE_EDGES[edge]
        t_a = sdf[corners[a]] * weights.alpha[cube, a]
        t_b = sdf[corners[b]] * weights.alpha[cube, b]
        crossings.append((place[corners[a]] * t_b - place[corners[b]] * t_a) / (t_b - t_a))
        betas.append(weights.beta[cube, edge])
    weighted = [beta * crossing for beta, crossing in zip(betas, crossings, strict=True)]
    vertex = torch.stack(weighted).sum(dim=0) / torch.stack(betas).sum()
    distances = torch.stack([torch.linalg.vector_norm(crossing - vertex) for crossing in crossings])
    return vertex, (distances - distances.mean()).abs().mean()


def _split(mesh: _Mesh, quad: list[int], gamma: list[Tensor], split: Split) -> None:
    gamma_02, gamma_13 = gamma[0] * gamma[2], gamma[1] * gamma[3]
    if split == "diagonal":
        triangles = DIAGONAL_13 if gamma_13 > gamma_02 else DIAGONAL_02
    else:
        v0, v1, v2, v3 = (mesh.vertices[vertex] for vertex in quad)
        middle = gamma_02 * (v0 + v2) / 2 + gamma_13 * (v1 + v3) / 2
        quad = [*quad, len(mesh.vertices)]
        mesh.vertices.append(middle / (gamma_02 + gamma_13))
        triangles = AT_CENTRE
    mesh.faces.extend([quad[corner] for corner in triangle] for triangle in triangles)
