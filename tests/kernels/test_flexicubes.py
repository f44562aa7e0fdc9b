"""FlexiCubes: the grid, the cases, the surfaces, the weights, the gradients."""

import math
from itertools import permutations, product

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import polyglyph.kernels.flexicubes as room
from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.kernels.flexicubes import (
    CUBE_EDGES,
    WEIGHT_COUNT,
    FlexiSurface,
    Grid,
    Weights,
    activate,
    flexicubes,
    regular_grid,
    vectorised,
)
from polyglyph.kernels.flexicubes.cases import CASES, PINCHED_FACE, TURNED
from polyglyph.kernels.marching_tets import kuhn_lattice

BACKENDS = ["reference", "vectorised"]
FAST = ["vectorised"]
SPLITS = ["diagonal", "centre"]

# ------------------------------------------------------------------------------------------- grid


@pytest.mark.parametrize("n", [1, 2, 3])
def test_corners_and_edges_are_where_their_numbers_say(n):
    grid = regular_grid(n)
    cubes = torch.arange(grid.cube_count)
    corners, edges = grid.corners_of(cubes), grid.edges_of(cubes)
    lowest = torch.cartesian_prod(*3 * [torch.arange(n)]) / n - 0.5
    for c in range(8):
        bits = torch.tensor([c & 1, c >> 1 & 1, c >> 2 & 1])
        torch.testing.assert_close(grid.positions[corners[:, c]], lowest + bits / n)
    for e, (a, b) in enumerate(CUBE_EDGES):
        assert torch.equal(grid.edges[edges[:, e]], corners[:, [a, b]])
    assert torch.equal(torch.unique(edges), torch.arange(grid.edge_count))
    assert grid.edge_count == len(torch.unique(grid.edges, dim=0)) == 3 * n * (n + 1) ** 2


def test_the_four_cubes_around_an_edge_are_counter_clockwise_and_know_their_places():
    grid = regular_grid(2)
    edges = grid.edges_of(torch.arange(8))
    middles = grid.positions[grid.corners_of(torch.arange(8))].mean(dim=1)
    for edge, ends in enumerate(grid.edges.tolist()):
        if grid.boundary[ends].all():
            continue
        cube, number = (edges == edge).nonzero(as_tuple=True)
        assert sorted((number % 4).tolist()) == [0, 1, 2, 3]
        assert len(set((number // 4).tolist())) == 1
        around = middles[cube[(number % 4).argsort()]]
        along = grid.positions[ends[1]] - grid.positions[ends[0]]
        area = torch.linalg.cross(around, around.roll(-1, 0)).sum(dim=0)
        assert torch.dot(area, along) > 0
        assert around[0].tolist() == around.amin(dim=0).tolist()  # the lowest first


@pytest.mark.parametrize("n", [3, 4])
def test_vertices_are_those_of_the_lattice(n):
    grid, lattice = regular_grid(n), kuhn_lattice(n)
    assert torch.equal(grid.positions, lattice.positions)
    assert torch.equal(grid.boundary, lattice.boundary)
    assert grid.centre == lattice.centre


def test_a_grid_is_built_once_and_moved_once():
    grid = regular_grid(4)
    assert regular_grid(4) is grid
    assert grid.to("cpu") is grid
    moved = grid.to("meta")
    assert {moved.positions.device.type, moved.edges.device.type, moved.boundary.device.type} == {"meta"}
    assert grid.to("meta") is moved
    assert grid.to("cpu", torch.float64).positions.dtype == torch.float64


@pytest.mark.parametrize("n", [0, -3])
def test_a_grid_without_cubes_is_refused(n):
    with pytest.raises(ConfigError, match=f"resolution is {n}"):
        regular_grid(n)


# ------------------------------------------------------------------------------------------ cases


def test_patches_share_out_the_cut_edges():
    for case, found in enumerate(CASES):
        cut = [e for e, (a, b) in enumerate(CUBE_EDGES) if (case >> a & 1) != (case >> b & 1)]
        assert sorted(e for patch in found for e in patch) == cut
        assert all(len(patch) >= 3 for patch in found)
        assert len(found) <= 4
        assert list(found) == sorted(found)


def test_inside_corners_are_separated_and_outside_corners_joined():
    across = 1 << 0 | 1 << 6  # opposite corners of the face x = 0
    assert sorted(len(patch) for patch in CASES[across]) == [3, 3]
    assert [len(patch) for patch in CASES[255 - across]] == [6]
    assert sorted(len(p) for p in CASES[1 << 0 | 1 << 7]) == [3, 3]
    assert sorted(len(p) for p in CASES[255 - (1 << 0 | 1 << 7)]) == [3, 3]
    assert sorted(len(p) for p in CASES[0b10010110]) == [3, 3, 3, 3]  # every second corner


def test_the_table_is_the_same_seen_from_every_side():
    for axes, flips in product(permutations(range(3)), product((0, 1), repeat=3)):
        corner = [
            sum((c >> axes[a] & 1 ^ flips[a]) << a for a in range(3)) for c in range(8)
        ]  # where each goes
        edge = [CUBE_EDGES.index(tuple(sorted((corner[a], corner[b])))) for a, b in CUBE_EDGES]
        face = [0] * 6
        for a, side in product(range(3), range(2)):
            face[2 * axes[a] + side] = 2 * a + (side ^ flips[a])
        for code in range(256):
            there = sum(1 << corner[c] for c in range(8) if code >> c & 1)
            assert PINCHED_FACE[there] == (face[PINCHED_FACE[code]] if PINCHED_FACE[code] >= 0 else -1)
            for turned in (0, TURNED):
                moved = {frozenset(edge[e] for e in patch) for patch in CASES[code + turned]}
                assert moved == {frozenset(patch) for patch in CASES[there + turned]}


def test_at_most_one_face_is_pinched_and_turning_it_leaves_none():
    """The argument in `cases.py` that a single turn mends a cube, by enumeration."""

    def both_segments_in_one_patch(face, case):
        axis, side = divmod(face, 2)
        own = {e for e, ends in enumerate(CUBE_EDGES) if all((c >> axis & 1) == side for c in ends)}
        cut = {e for patch in CASES[case] for e in patch} & own
        return len(cut) == 4 and any(cut <= set(patch) for patch in CASES[case])

    for code in range(256):
        pinched = [face for face in range(6) if both_segments_in_one_patch(face, code)]
        assert pinched == ([PINCHED_FACE[code]] if PINCHED_FACE[code] >= 0 else [])
        assert not any(both_segments_in_one_patch(face, code + TURNED) for face in range(6))
        assert len(CASES[code + TURNED]) == len(CASES[code]) + len(pinched)
    inside = [code.bit_count() for code in range(256) if PINCHED_FACE[code] >= 0]
    assert (inside.count(5), inside.count(6), len(inside)) == (24, 12, 36)  # C19 and C16


# --------------------------------------------------------------------------------------- surfaces


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_vertex_inside_gives_a_small_cube(backend):
    grid = regular_grid(2)
    sdf = torch.full((1, 27), -3.0)
    sdf[0, grid.centre] = 1.0  # crossings an eighth of the box away from the centre
    result = flexicubes(sdf, grid.positions, grid, backend=backend)
    expected = torch.cartesian_prod(*3 * [torch.tensor([-1 / 24, 1 / 24])])
    torch.testing.assert_close(result.surface.vertices, expected)
    mesh = assert_closed_oriented_manifold(result)
    assert len(mesh.faces) == 12
    assert mesh.volume == pytest.approx(1 / 12**3)
    assert result.deviation.item() == pytest.approx(0, abs=1e-7)
    centred = flexicubes(sdf, grid.positions, grid, split="centre", backend=backend)
    assert torch.equal(centred.surface.vertices[:8], result.surface.vertices)
    middles = sorted(centred.surface.vertices[8:].mul(24).round(decimals=4).tolist())
    assert middles == sorted([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]])
    assert assert_closed_oriented_manifold(centred).volume == pytest.approx(1 / 12**3)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("n", [16, 17])
def test_a_sphere_is_closed_and_has_euler_number_two_and_its_volume(n, split):
    grid = regular_grid(n)
    mesh = assert_closed_oriented_manifold(flexicubes(sphere(grid, 0.36), grid.positions, grid, split=split))
    assert mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.36**3, rel=0.04)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_torus_is_closed_and_has_euler_number_zero_and_its_volume(axis, split):
    grid = regular_grid(24)
    rest = [a for a in range(3) if a != axis]
    ring = grid.positions[:, rest].norm(dim=1) - 0.29
    sdf = 0.13 - torch.stack([ring, grid.positions[:, axis]]).norm(dim=0)
    mesh = assert_closed_oriented_manifold(flexicubes(sdf[None], grid.positions, grid, split=split))
    assert mesh.euler_number == 0
    assert mesh.volume == pytest.approx(2 * math.pi**2 * 0.29 * 0.13**2, rel=0.06)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("split", SPLITS)
def test_a_random_field_with_negative_boundary_is_closed_and_outward_whatever_the_weights(
    seed, smooth, split
):
    grid = regular_grid(8 + seed % 2)
    shift = torch.rand(grid.positions.shape, generator=generator(seed)) - 0.5
    positions = grid.positions + shift / (3 * grid.resolution)
    weights = activate(torch.randn(grid.cube_count, WEIGHT_COUNT, generator=generator(seed)))
    result = flexicubes(random_field(grid, seed, smooth), positions, grid, weights=weights, split=split)
    mesh = assert_closed_oriented_manifold(result)
    assert len(mesh.faces) > 100
    assert mesh.euler_number % 2 == 0
    assert mesh.volume > 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_face_pinched_from_both_sides_is_turned(backend, axis, monkeypatch):
    # A solid block but for two vertices, across from each other on the face that two of its cubes share.
    # Both cubes would join the two hollows by a tunnel, and the tunnels would touch along one edge.
    grid = regular_grid(5)
    inside = torch.zeros(6, 6, 6, dtype=torch.bool)
    inside[1:4, 1:5, 1:5] = True
    inside[2, 2, 3] = inside[2, 3, 2] = False
    sdf = inside.movedim(0, axis).flatten()[None] * 2.0 - 1
    mesh = assert_closed_oriented_manifold(flexicubes(sdf, grid.positions, grid, backend=backend))
    vertices = len(mesh.vertices)

    implementation = getattr(room, backend)
    unturned = {"reference": "PINCHED_FACE", "vectorised": "_PINCHED_FACE"}[backend]
    monkeypatch.setattr(implementation, unturned, torch.full((256,), -1))
    broken = flexicubes(sdf, grid.positions, grid, backend=backend)
    assert len(broken.surface.vertices) == vertices - 2
    assert torch.unique(half_edges(broken.surface.faces), dim=0, return_counts=True)[1].max() == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cube_on_the_other_side_of_the_box_is_no_neighbour(axis):
    # The two hollows of the test above on the box's low and high side at once, as if the box were periodic.
    grid = regular_grid(4)
    inside = torch.zeros(5, 5, 5, dtype=torch.bool)
    inside[[0, 1, 3, 4], 0:4, 0:4] = True
    inside[[0, 0, 4, 4], [1, 2, 1, 2], [2, 1, 2, 1]] = False
    sdf = inside.movedim(0, axis).flatten()[None] * 2.0 - 1
    assert vectorised._cut(sdf > 0, grid).of_dual.shape[0] == sum(
        len(CASES[sum(1 << c for c, v in enumerate(corners) if sdf[0, v] > 0)])
        for corners in grid.corners_of(torch.arange(64)).tolist()
    )
    ours, theirs = (flexicubes(sdf, grid.positions, grid, backend=b) for b in ("vectorised", "reference"))
    torch.testing.assert_close(ours.surface.vertices, theirs.surface.vertices)


def test_a_pinched_face_on_the_boundary_is_left_alone():
    grid = regular_grid(1)
    for code in range(256):
        sdf = torch.zeros(1, 8)
        sdf[0, grid.corners_of(torch.tensor([0]))[0]] = torch.tensor([float(code >> c & 1) for c in range(8)])
        result = flexicubes(sdf, grid.positions, grid)
        assert len(result.surface.vertices) == len(CASES[code])
        assert len(result.surface.faces) == 0


def test_a_shape_that_leaves_the_box_is_open_only_near_the_box():
    grid = regular_grid(8)
    result = flexicubes(sphere(grid, 0.6), grid.positions, grid)
    directed = {tuple(h) for h in half_edges(result.surface.faces).tolist()}
    assert len(directed) == 3 * len(result.surface.faces)
    rim = [h for h in directed if h[::-1] not in directed]
    assert rim
    assert result.surface.vertices[[a for a, _ in rim]].abs().amax(dim=1).min() > 0.5 - 1 / 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_zero_counts_as_outside(backend):
    grid = regular_grid(2)
    sdf = torch.zeros(1, 27)
    assert len(flexicubes(sdf, grid.positions, grid, backend=backend).surface.faces) == 0
    sdf[0, grid.centre] = 1.0
    result = flexicubes(sdf, grid.positions, grid, backend=backend)
    assert_closed_oriented_manifold(result)
    torch.testing.assert_close(result.surface.vertices.abs(), torch.full((8, 3), 0.5 / 3))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("split", SPLITS)
def test_empty_meshes_have_empty_ranges_between_full_ones(backend, split):
    grid = regular_grid(3)
    ball = sphere(grid, 0.3)
    sdf = torch.cat([-torch.ones_like(ball), ball, torch.ones_like(ball), ball])
    surface, _ = flexicubes(sdf, grid.positions, grid, split=split, backend=backend)
    v, f = len(surface.vertices) // 2, len(surface.faces) // 2
    assert v
    assert surface.vertex_ranges.tolist() == [[0, 0], [0, v], [v, 0], [v, v]]
    assert surface.face_ranges.tolist() == [[0, 0], [0, f], [f, 0], [f, f]]
    assert surface.faces.dtype == torch.int64
    for k in (1, 3):
        vertices, faces = surface.mesh(k)
        assert faces.min() == 0
        assert faces.max() == v - 1
        assert torch.equal(vertices, surface.mesh(1)[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("batch", [0, 2])
def test_nothing_gives_nothing(backend, split, batch):
    grid = regular_grid(2)
    sdf = -torch.ones(batch, 27, dtype=torch.float64)
    surface, deviation = flexicubes(sdf, grid.positions, grid, split=split, backend=backend)
    assert surface.vertices.shape == (0, 3)
    assert surface.vertices.dtype == torch.float64
    assert surface.faces.shape == (0, 3)
    assert surface.vertex_ranges.tolist() == surface.face_ranges.tolist() == batch * [[0, 0]]
    assert deviation.item() == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_result_has_the_promoted_dtype(backend, sign):
    grid = regular_grid(2).to("cpu", torch.float64)
    sdf = torch.full((1, 27), -1.0)
    sdf[0, grid.centre] = sign
    half = activate(torch.zeros(8, WEIGHT_COUNT, dtype=torch.float16))
    for split in SPLITS:
        wide = flexicubes(sdf, grid.positions, grid, weights=half, split=split, backend=backend)
        assert wide.surface.vertices.dtype == wide.deviation.dtype == torch.float64
        narrow = flexicubes(sdf, grid.positions.float(), grid, weights=half, split=split, backend=backend)
        assert narrow.surface.vertices.dtype == narrow.deviation.dtype == torch.float32


def test_the_gradient_of_an_empty_surface_is_zero():
    grid = regular_grid(2)
    sdf = (-torch.ones(1, 27)).requires_grad_()
    raw = torch.zeros(8, WEIGHT_COUNT, requires_grad=True)
    surface, deviation = flexicubes(sdf, grid.positions, grid, weights=activate(raw), split="centre")
    for grad in torch.autograd.grad(surface.vertices.sum() + deviation, (sdf, raw)):
        assert grad.eq(0).all()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("split", SPLITS)
def test_a_batch_is_its_members_one_at_a_time(shared, split):
    grid = regular_grid(6)
    sdf = torch.cat([random_field(grid, seed, smooth=True) for seed in range(3)])
    positions = grid.positions.repeat(3, 1, 1) * torch.tensor([1.0, 0.9, 0.8])[:, None, None]
    raw = torch.randn(3, grid.cube_count, WEIGHT_COUNT, generator=generator(1))
    if shared:
        positions, raw = grid.positions, raw[0]
    surface, deviation = flexicubes(sdf, positions, grid, weights=activate(raw), split=split)
    charges, counts = [], []
    for k in range(3):
        weights = activate(raw if shared else raw[k])
        alone = flexicubes(
            sdf[k : k + 1], positions if shared else positions[k], grid, weights=weights, split=split
        )
        vertices, faces = surface.mesh(k)
        torch.testing.assert_close(vertices, alone.surface.vertices, rtol=0, atol=1e-6)
        assert torch.equal(faces, alone.surface.faces)
        charges.append(alone.deviation.item())
        plain = flexicubes(sdf[k : k + 1], grid.positions, grid)
        counts.append(len(plain.surface.vertices))
    assert deviation.item() == pytest.approx(np.average(charges, weights=counts), rel=1e-5)


def test_repeats_are_bit_for_bit_the_same():
    grid = regular_grid(6)
    outcomes = []
    for _ in range(2):
        sdf = random_field(grid, 3, smooth=False).requires_grad_()
        raw = torch.randn(grid.cube_count, WEIGHT_COUNT, generator=generator(2)).requires_grad_()
        result = flexicubes(sdf, grid.positions, grid, weights=activate(raw), split="centre")
        loss = result.surface.vertices.square().sum() + result.deviation
        outcomes.append((*result.surface, *torch.autograd.grad(loss, (sdf, raw))))
    for first, second in zip(*outcomes, strict=True):
        assert torch.equal(first, second)


# ----------------------------------------------------------------------------------- convergence


def test_with_neutral_weights_the_distance_from_a_sphere_falls_with_the_square_of_the_cube_size():
    errors = []
    for n in (8, 16, 32):
        grid = regular_grid(n).to("cpu", torch.float64)
        vertices = flexicubes(sphere(grid, 0.37), grid.positions, grid).surface.vertices
        errors.append((vertices.norm(dim=1) - 0.37).square().mean().sqrt().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.25)
    assert errors[2] < 1e-3


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), reach=st.sampled_from([0.0, 1.0, 10.0]))
def test_every_dual_vertex_lies_within_its_cube(seed, reach):
    grid = regular_grid(3).to("cpu", torch.float64)
    random = generator(seed)
    sdf = torch.randn(2, grid.vertex_count, generator=random, dtype=torch.float64)
    weights = activate(
        reach * torch.randn(2, grid.cube_count, WEIGHT_COUNT, generator=random, dtype=torch.float64)
    )
    vertices = flexicubes(sdf, grid.positions, grid, weights=weights).surface.vertices
    cut = vectorised._cut(sdf > 0, grid)
    corners = grid.positions[grid.corners_of(cut.cube[cut.of_dual])]
    assert (vertices >= corners.amin(dim=1) - 1e-12).all()
    assert (vertices <= corners.amax(dim=1) + 1e-12).all()


# ----------------------------------------------------------------------------------------- weights


def one_corner(backend="vectorised", **changed):
    """One cube whose corner at (-.5, -.5, -.5) is inside, and its dual vertex, from that corner on."""
    grid = regular_grid(1).to("cpu", torch.float64)
    sdf = torch.full((1, 8), -1.0, dtype=torch.float64)
    sdf[0, 0] = 1.0
    weights = {
        "alpha": torch.ones(1, 8).double(),
        "beta": torch.ones(1, 12).double(),
        "gamma": torch.ones(1).double(),
    }
    for name, (index, value) in changed.items():
        weights[name][0, index] = value
    result = flexicubes(sdf, grid.positions, grid, weights=Weights(**weights), backend=backend)
    return (result.surface.vertices[0] + 0.5).tolist(), result.deviation.item()


@pytest.mark.parametrize("backend", BACKENDS)
def test_alpha_moves_the_crossings_along_their_edges(backend):
    assert one_corner(backend)[0] == pytest.approx([1 / 6] * 3)
    # A heavier inside corner pushes all its crossings away: t = 3 and -1, crossing at 3/4.
    assert one_corner(backend, alpha=(0, 3.0))[0] == pytest.approx([1 / 4] * 3)
    # A heavier outside corner (x = 1) pushes its own: t = 1 and -3, crossing at 1/4.
    assert one_corner(backend, alpha=(1, 3.0))[0] == pytest.approx([1 / 12, 1 / 6, 1 / 6])
    assert one_corner(backend, alpha=(4, 3.0))[0] == pytest.approx([1 / 6, 1 / 6, 1 / 12])
    assert one_corner(backend, alpha=(6, 3.0))[0] == pytest.approx([1 / 6] * 3)  # no cut edge there


@pytest.mark.parametrize("backend", BACKENDS)
def test_beta_draws_the_vertex_to_its_crossing(backend):
    edge = CUBE_EDGES.index((0, 2))  # crossing at (0, 1/2, 0)
    assert one_corner(backend, beta=(edge, 2.0))[0] == pytest.approx([1 / 8, 1 / 4, 1 / 8])
    assert one_corner(backend, beta=(edge, 1e9))[0] == pytest.approx([0, 1 / 2, 0], abs=1e-8)
    assert one_corner(backend, beta=(CUBE_EDGES.index((1, 3)), 9.0))[0] == pytest.approx([1 / 6] * 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_deviation_is_the_spread_of_distances_to_the_crossings(backend):
    assert one_corner(backend)[1] == pytest.approx(0)
    vertex, deviation = one_corner(backend, beta=(CUBE_EDGES.index((0, 1)), 4.0))
    distances = [np.linalg.norm(np.subtract(vertex, crossing)) for crossing in np.eye(3) / 2]
    assert deviation == pytest.approx(np.abs(distances - np.mean(distances)).mean())
    assert deviation > 0.1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gamma_chooses_the_diagonal(backend, sign):
    # A vertex in the middle of eight cubes, and so six quads, each with a choice.
    grid = regular_grid(2)
    sdf = -sign * torch.ones(1, 27)
    sdf[0, grid.centre] = sign
    for heavy in range(8):
        gamma = torch.ones(8)
        gamma[heavy] = 1.5
        faces = flexicubes(
            sdf,
            grid.positions,
            grid,
            weights=Weights(torch.ones(8, 8), torch.ones(8, 12), gamma),
            backend=backend,
        ).surface.faces
        # Vertex k belongs to cube k; a diagonal joins cubes that differ along two axes.
        ends = torch.unique(half_edges(faces).sort(dim=1).values, dim=0)
        diagonals = [{a, b} for a, b in ends.tolist() if (a ^ b).bit_count() == 2]
        assert sum(heavy in diagonal for diagonal in diagonals) == 3  # all three quads of that cube
        assert len(diagonals) == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_gamma_moves_the_centre_towards_the_heavier_diagonal(backend):
    grid = regular_grid(2)
    sdf = -torch.ones(1, 27)
    sdf[0, grid.centre] = 1.0
    beta = torch.ones(8, 12)
    beta[4, [0, 1, 2, 3]] = 9.0  # pull one vertex along x, so that the quads are not flat
    gamma = torch.linspace(0.2, 1.7, 8)
    surface, _ = flexicubes(
        sdf,
        grid.positions,
        grid,
        weights=Weights(torch.ones(8, 8), beta, gamma),
        split="centre",
        backend=backend,
    )
    corners = surface.faces.view(6, 4, 3)
    for centre, quad in zip(surface.vertices[8:], corners[:, :, 0].tolist(), strict=True):
        v, g = surface.vertices[quad], gamma[quad]
        heavy, light = g[0] * g[2], g[1] * g[3]
        expected = (heavy * (v[0] + v[2]) / 2 + light * (v[1] + v[3]) / 2) / (heavy + light)
        torch.testing.assert_close(centre, expected)


def test_scaling_the_weights_of_a_cube_changes_nothing():
    grid = regular_grid(5).to("cpu", torch.float64)
    sdf = random_field(grid, 1, smooth=True)
    weights = activate(torch.randn(grid.cube_count, WEIGHT_COUNT, generator=generator(1)).double())
    scaled = Weights(weights.alpha * 7, weights.beta * 0.3, weights.gamma * 5)
    ours, theirs = (
        flexicubes(sdf, grid.positions, grid, weights=w, split="centre") for w in (weights, scaled)
    )
    torch.testing.assert_close(ours.surface.vertices, theirs.surface.vertices)


def test_raw_zeros_are_neutral_and_every_raw_number_gives_a_positive_weight():
    weights = activate(torch.zeros(2, 3, WEIGHT_COUNT))
    assert [tuple(w.shape) for w in weights] == [(2, 3, 8), (2, 3, 12), (2, 3)]
    assert weights.alpha.eq(1).all()
    assert weights.beta.eq(1).all()
    assert weights.gamma.eq(0.5).all()
    for raw, (low, high) in ((-1e6, (0.01, 0.005)), (1e6, (1.99, 0.995))):
        alpha, beta, gamma = activate(torch.full((1, WEIGHT_COUNT), raw))
        torch.testing.assert_close(alpha, torch.full((1, 8), low))
        torch.testing.assert_close(beta, torch.full((1, 12), low))
        torch.testing.assert_close(gamma, torch.full((1,), high))
    raw = torch.zeros(1, WEIGHT_COUNT)
    raw[0, [0, 12, 20]] = torch.tensor([1.0, 2.0, 3.0])
    alpha, beta, gamma = activate(raw)
    assert beta[0].tolist() == pytest.approx([1 + 0.99 * math.tanh(1), *11 * [1]])
    assert alpha[0].tolist() == pytest.approx([1 + 0.99 * math.tanh(2), *7 * [1]])
    assert gamma.item() == pytest.approx(0.005 + 0.99 / (1 + math.exp(-3)))


# -------------------------------------------------------------------------------------- reference


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 3),
    batch=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    steps=st.sampled_from([2, 1000]),
    shared=st.booleans(),
    split=st.sampled_from(SPLITS),
    reach=st.sampled_from([0.0, 1.0]),  # 0: neutral weights, so that all diagonals tie
)
def test_value_and_gradient_match_the_reference_on_random_fields(
    backend, n, batch, seed, steps, shared, split, reach
):
    grid = regular_grid(n)
    random = generator(seed)
    count = grid.vertex_count
    sdf = torch.randn(batch, count, generator=random, dtype=torch.float64).mul(steps).round().div(steps)
    lead = () if shared else (batch,)
    positions = torch.randn((*lead, count, 3), generator=random, dtype=torch.float64)
    raw = reach * torch.randn((*lead, grid.cube_count, WEIGHT_COUNT), generator=random, dtype=torch.float64)
    leaves = (sdf.requires_grad_(), positions.requires_grad_(), raw.requires_grad_())
    weight = None
    results = {}
    for name in ("reference", backend):
        surface, deviation = flexicubes(
            sdf, positions, grid, weights=activate(raw), split=split, backend=name
        )
        if weight is None:
            weight = torch.randn(surface.vertices.shape, generator=random, dtype=torch.float64)
        loss = (surface.vertices * weight).sum() + 0.7 * deviation + 0 * sum(leaf.sum() for leaf in leaves)
        results[name] = (*surface, deviation, *torch.autograd.grad(loss, leaves))
    for ours, theirs in zip(results[backend], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


# -------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("shared", [True, False])
def test_gradients_pass_gradcheck(shared, split):
    grid = regular_grid(2)
    random = generator(3)
    sdf = torch.randn(2, 27, generator=random, dtype=torch.float64)
    sdf = sdf.sign() * (sdf.abs() + 0.1)  # away from a change of sign
    lead = () if shared else (2,)
    shift = torch.randn((*lead, 27, 3), generator=random, dtype=torch.float64)
    raw = torch.randn((*lead, 8, WEIGHT_COUNT), generator=random, dtype=torch.float64)
    positions = grid.positions.double() + 0.05 * shift
    arguments = tuple(x.requires_grad_() for x in (sdf, positions, raw))

    def vertices_and_deviation(s, p, r):
        surface, deviation = flexicubes(s, p, grid, weights=activate(r), split=split)
        return surface.vertices, deviation

    assert torch.autograd.gradcheck(vertices_and_deviation, arguments, fast_mode=True)


def test_directional_derivatives_agree_with_finite_differences_of_a_whole_surface():
    grid = regular_grid(8).to("cpu", torch.float64)
    random = generator(5)
    start = (
        sphere(grid, 0.3) + 0.01 * torch.randn(1, grid.vertex_count, generator=random).double(),
        grid.positions + 0.01 * torch.randn(grid.vertex_count, 3, generator=random).double(),
        torch.randn(grid.cube_count, WEIGHT_COUNT, generator=random).double(),
    )
    directions = [torch.randn(x.shape, generator=random).double() for x in start]

    def loss(sdf, positions, raw):
        result = flexicubes(sdf, positions, grid, weights=activate(raw), split="centre")
        return (result.surface.vertices**2).sum() + signed_volume(result) + result.deviation

    for which, direction in enumerate(directions):
        leaf = start[which].clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(*start[:which], leaf, *start[which + 1 :]), leaf)
        step = 1e-6
        ahead, behind = (
            loss(*start[:which], start[which] + s * direction, *start[which + 1 :]) for s in (step, -step)
        )
        assert (slope * direction).sum().item() == pytest.approx(
            ((ahead - behind) / (2 * step)).item(), rel=1e-5
        )


def test_volume_grows_with_the_radius_by_the_surface_area():
    grid = regular_grid(20).to("cpu", torch.float64)
    radius = torch.tensor(0.33, dtype=torch.float64, requires_grad=True)
    sdf = radius - grid.positions.norm(dim=1)[None]
    (slope,) = torch.autograd.grad(signed_volume(flexicubes(sdf, grid.positions, grid)), radius)
    assert slope.item() == pytest.approx(4 * math.pi * 0.33**2, rel=0.03)


def test_gradients_are_finite_where_crossings_coincide():
    # An outside value of exactly 0: all crossings of its edges, and the vertices nearby, fall on it.
    grid = regular_grid(2)
    sdf = torch.ones(1, 27)
    sdf[0, grid.centre] = 0.0
    sdf.requires_grad_()
    surface, deviation = flexicubes(sdf, grid.positions, grid)
    assert surface.vertices.eq(0).all()
    (grad,) = torch.autograd.grad(surface.vertices.square().sum() + deviation, sdf)
    assert grad.isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("backend", BACKENDS)
def test_values_that_are_not_finite_do_no_harm_beyond_their_cubes(backend, bad):
    grid = regular_grid(4)
    sdf = sphere(grid, 0.4)
    sdf[0, 0] = bad
    surface, _ = flexicubes(sdf, grid.positions, grid, backend=backend)
    assert surface.faces.min() >= 0
    assert surface.faces.max() < len(surface.vertices)
    far = surface.vertices[surface.vertices.isfinite().all(dim=1)]
    assert len(far) >= len(surface.vertices) - 1


# -------------------------------------------------------------------------------------------- fit


@pytest.mark.parametrize("shape", ["sphere", "cube"])
def test_a_few_steps_of_adam_bring_the_surface_closer_to_a_shape(shape):
    grid = regular_grid(7)
    sdf = sphere(grid, 0.2).clone().requires_grad_()
    raw = torch.zeros(grid.cube_count, WEIGHT_COUNT, requires_grad=True)
    shift = torch.zeros_like(grid.positions, requires_grad=True)
    optimiser = torch.optim.Adam([sdf, raw, shift], lr=0.01)

    def distance(points):
        if shape == "sphere":
            return points.norm(dim=1) - 0.31
        q = points.abs() - 0.27
        return q.clamp(min=0).norm(dim=1) + q.amax(dim=1).clamp(max=0)

    history = []
    for _ in range(30):
        positions = grid.positions + torch.tanh(shift) / (2.5 * grid.resolution)
        result = flexicubes(sdf, positions, grid, weights=activate(raw), split="centre")
        error = distance(result.surface.vertices).abs().mean()
        history.append(error.item())
        optimiser.zero_grad()
        (error + 0.1 * result.deviation).backward()
        optimiser.step()
    assert history[-1] < 0.2 * history[0]
    assert assert_closed_oriented_manifold(result).volume > 0


# --------------------------------------------------------------------------------------- refusals


def test_a_field_for_another_grid_is_refused():
    with pytest.raises(ConfigError, match=r"64 vertices, but `sdf` is \(1, 27\)"):
        flexicubes(torch.zeros(1, 27), torch.zeros(27, 3), regular_grid(3))


@pytest.mark.parametrize(
    ("name", "shape"), [("alpha", (1, 8, 12)), ("beta", (7, 12)), ("gamma", (8, 1)), ("gamma", (3, 8))]
)
def test_weights_of_another_shape_are_refused(name, shape):
    weights = activate(torch.zeros(8, WEIGHT_COUNT))._replace(**{name: torch.ones(shape)})
    with pytest.raises(ConfigError, match=f"`{name}` is") as caught:
        flexicubes(torch.zeros(1, 27), torch.zeros(27, 3), regular_grid(2), weights=weights)
    assert caught.value.fix


@pytest.mark.parametrize("shape", [(3, 27, 3), (1, 2, 27, 3)])
def test_positions_of_another_batch_are_refused(shape):
    # Called below the façade, whose annotation (checked in tests only) refuses the same thing first.
    weights = activate(torch.zeros(8, WEIGHT_COUNT))
    with pytest.raises(ConfigError, match="`sdf` has 2 meshes and `positions` is"):
        room._check(torch.zeros(2, 27), torch.zeros(shape), regular_grid(2), weights)


def test_a_grid_on_another_device_is_refused():
    with pytest.raises(ConfigError, match="the grid on meta"):
        flexicubes(torch.zeros(1, 27), regular_grid(2).positions, regular_grid(2).to("meta"))


def test_an_unknown_split_is_refused():
    grid = regular_grid(2)
    with pytest.raises((ConfigError, TypeError)):
        flexicubes(torch.zeros(1, 27), grid.positions, grid, split="fan")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("backend", ["cpu", "cubes"])
def test_a_backend_that_does_not_exist_is_refused(backend):
    grid = regular_grid(2)
    with pytest.raises((BackendError, TypeError)):
        flexicubes(torch.zeros(1, 27), grid.positions, grid, backend=backend)


# ---------------------------------------------------------------------------------------- helpers


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sphere(grid: Grid, radius: float) -> torch.Tensor:
    return (radius - grid.positions.norm(dim=1))[None]


def random_field(grid: Grid, seed: int, smooth: bool) -> torch.Tensor:
    """A random field, negative on the boundary: a few low waves, or noise with ties of sign."""
    random = generator(seed)
    if smooth:
        waves = torch.randn(8, 3, generator=random).to(grid.positions.dtype) * 9
        phase = torch.rand(8, generator=random) * 6.3
        sdf = torch.sin(grid.positions @ waves.T + phase).sum(dim=1)
    else:
        sdf = torch.randn(grid.vertex_count, generator=random) + 0.3  # more pinched faces than without
    return torch.where(grid.boundary, -sdf.abs() - 0.01, sdf)[None]


def half_edges(faces):
    return torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def signed_volume(result: FlexiSurface) -> torch.Tensor:
    a, b, c = result.surface.vertices[result.surface.faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def assert_closed_oriented_manifold(result: FlexiSurface) -> trimesh.Trimesh:
    """Every directed edge once and its opposite once; every vertex used, with a single fan of faces."""
    vertices, faces = result.surface.vertices.detach(), result.surface.faces
    directed = [tuple(h) for h in half_edges(faces).tolist()]
    node = {h: k for k, h in enumerate(directed)}
    assert len(node) == len(directed), "a directed edge belongs to two faces"
    assert all((b, a) in node for a, b in directed), "an edge has one face only"
    assert set(faces.flatten().tolist()) == set(range(len(vertices))), "a vertex has no face"
    # In the link of a vertex, each of its faces joins two of its neighbours; a single fan is connected.
    joins = [
        (node[a, b], node[a, c]) for f in faces.tolist() for a, b, c in (f, f[1:] + f[:1], f[2:] + f[:2])
    ]
    rows, columns = np.array(joins).T
    graph = coo_matrix((np.ones(len(joins)), (rows, columns)), shape=(len(node), len(node)))
    assert connected_components(graph, directed=False)[0] == len(vertices), "a vertex joins two fans"
    return trimesh.Trimesh(vertices.double().numpy(), faces.numpy(), process=False)
