"""Marching tetrahedra: the lattice, the sixteen cases, the surfaces, the gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import polyglyph.kernels.marching_tets as room
from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.kernels.marching_tets import TET_EDGES, Lattice, kuhn_lattice, marching_tets
from polyglyph.kernels.marching_tets.cases import CASES

BACKENDS = ["reference", "vectorised"]
FAST = ["vectorised"]


# ---------------------------------------------------------------------------------------- lattice


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_tetrahedra_fill_the_box_and_none_is_turned_over(n):
    lattice = kuhn_lattice(n).to("cpu", torch.float64)
    volumes = signed_volumes(lattice.positions, lattice.tets)
    torch.testing.assert_close(volumes, torch.full((6 * n**3,), 1 / (6 * n**3), dtype=torch.float64))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_edges_are_the_ones_that_unique_finds(n):
    lattice = kuhn_lattice(n)
    pairs = lattice.tets[:, TET_EDGES].reshape(-1, 2).sort(dim=1).values
    expected = torch.unique(pairs, dim=0)
    assert lattice.edge_count == len(expected) == 3 * n * (n + 1) ** 2 + 3 * n**2 * (n + 1) + n**3
    assert {tuple(e) for e in lattice.edges.tolist()} == {tuple(e) for e in expected.tolist()}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_tet_edges_name_the_edges_between_corners(n):
    lattice = kuhn_lattice(n)
    between = lattice.tets[:, TET_EDGES].sort(dim=2).values
    assert torch.equal(lattice.edges[lattice.tet_edges], between)


def test_every_inner_face_is_shared_by_two_tetrahedra_so_neighbours_agree_on_diagonals():
    n = 3
    tets = kuhn_lattice(n).tets
    faces = torch.cat([tets[:, c] for c in ([0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3])]).sort(dim=1).values
    _, count = torch.unique(faces, dim=0, return_counts=True)
    assert int((count == 1).sum()) == 6 * n * n * 2  # two triangles on each cell side of the box
    assert int(count.max()) == 2


@pytest.mark.parametrize(("n", "symmetric"), [(2, True), (4, True), (3, False)])
def test_an_even_lattice_is_its_own_mirror_image(n, symmetric):
    lattice = kuhn_lattice(n)
    original = {tuple(sorted(tet)) for tet in lattice.tets.tolist()}
    for axis in range(3):
        index = torch.arange((n + 1) ** 3).view(n + 1, n + 1, n + 1).flip(axis).flatten()
        mirrored = {tuple(sorted(tet)) for tet in index[lattice.tets].tolist()}
        assert (mirrored == original) == symmetric
        flip = torch.ones(3).index_fill(0, torch.tensor([axis]), -1.0)
        assert torch.equal(lattice.positions[index], lattice.positions * flip)


def test_boundary_and_centre_are_where_they_say():
    lattice = kuhn_lattice(4)
    assert torch.equal(lattice.boundary, lattice.positions.abs().amax(dim=1) == 0.5)
    assert lattice.positions[lattice.centre].tolist() == [0, 0, 0]
    assert lattice.positions[(1 * 5 + 2) * 5 + 3].tolist() == [-0.25, 0.0, 0.25]


def test_a_lattice_is_built_once_and_moved_once():
    lattice = kuhn_lattice(4)
    assert kuhn_lattice(4) is lattice
    assert lattice.to("cpu") is lattice
    moved = lattice.to("meta")
    assert {moved.positions.device.type, moved.edges.device.type, moved.boundary.device.type} == {"meta"}
    assert lattice.to("meta") is moved
    assert lattice.to("cpu", torch.float64).positions.dtype == torch.float64
    assert lattice.to("cpu", torch.float64) is lattice.to(torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("n", [0, -3])
def test_a_lattice_without_cells_is_refused(n):
    with pytest.raises(ConfigError, match=f"resolution is {n}"):
        kuhn_lattice(n)


# ------------------------------------------------------------------------------------------ cases


def test_the_case_table_has_the_documented_number_of_triangles():
    assert [len(case) for case in CASES] == [0, 1, 1, 2, 1, 2, 2, 1, 1, 2, 2, 1, 2, 1, 1, 0]


@pytest.mark.parametrize("code", range(1, 15))
def test_each_case_cuts_its_edges_with_normals_pointing_outward(code):
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)  # positively oriented
    inside = np.array([bool(code >> c & 1) for c in range(4)])
    cut = {e for e, (a, b) in enumerate(TET_EDGES) if inside[a] != inside[b]}
    assert {e for triangle in CASES[code] for e in triangle} == cut
    outward = corners[~inside].mean(axis=0) - corners[inside].mean(axis=0)
    for triangle in CASES[code]:
        p, q, r = (corners[list(TET_EDGES[e])].mean(axis=0) for e in triangle)
        assert np.dot(np.cross(q - p, r - p), outward) > 0.1
    # The rim of the triangles passes each cut edge once: two triangles form a simple quadrilateral.
    half_edges = [(t[k], t[(k + 1) % 3]) for t in CASES[code] for k in range(3)]
    rim = [h for h in half_edges if h[::-1] not in half_edges]
    assert sorted(a for a, _ in rim) == sorted(b for _, b in rim) == sorted(cut)


# --------------------------------------------------------------------------------------- surfaces


def test_one_tetrahedron_corner_gives_known_vertices():
    lattice = kuhn_lattice(1)
    sdf = torch.full((1, 8), -1.0)
    sdf[0, 0] = 3.0  # the corner at (-.5, -.5, -.5), crossing three quarters along each of 7 edges
    surface = marching_tets(sdf, lattice.positions, lattice)
    ends = torch.cartesian_prod(*3 * [torch.tensor([0.0, 1.0])])[1:]
    expected = lattice.positions[0] + 0.75 * ends
    assert sorted(surface.vertices.tolist()) == sorted(expected.tolist())
    assert surface.faces.shape == (6, 3)


@pytest.mark.parametrize("n", [16, 17])
def test_a_sphere_is_closed_and_has_euler_number_two_and_its_volume(n):
    lattice = kuhn_lattice(n)
    vertices, faces = single(sphere(lattice, 0.36), lattice)
    assert_closed_oriented_manifold(vertices, faces)
    assert euler(vertices, faces) == 2
    assert volume(vertices, faces).item() == pytest.approx(4 / 3 * math.pi * 0.36**3, rel=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_torus_is_closed_and_has_euler_number_zero_and_its_volume(axis):
    lattice = kuhn_lattice(24)
    rest = [a for a in range(3) if a != axis]
    ring = lattice.positions[:, rest].norm(dim=1) - 0.29
    sdf = 0.13 - torch.stack([ring, lattice.positions[:, axis]]).norm(dim=0)
    vertices, faces = single(sdf[None], lattice)
    assert_closed_oriented_manifold(vertices, faces)
    assert euler(vertices, faces) == 0
    assert volume(vertices, faces).item() == pytest.approx(2 * math.pi**2 * 0.29 * 0.13**2, rel=0.03)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("smooth", [True, False])
def test_a_random_field_with_negative_boundary_is_closed_and_outward_on_a_deformed_lattice(seed, smooth):
    lattice = kuhn_lattice(9 + seed % 2)
    sdf = random_field(lattice, seed, smooth)
    shift = torch.rand(lattice.positions.shape, generator=generator(seed)) - 0.5
    positions = lattice.positions + shift / (3 * lattice.resolution)
    vertices, faces = single(sdf, lattice, positions)
    assert len(faces) > 100
    assert_closed_oriented_manifold(vertices, faces)
    assert euler(vertices, faces) % 2 == 0
    assert volume(vertices, faces) > 0


def test_a_shape_that_leaves_the_box_is_open_only_on_the_box():
    lattice = kuhn_lattice(8)
    vertices, faces = single(sphere(lattice, 0.6), lattice)
    directed = {tuple(h) for h in half_edges(faces)}
    assert len(directed) == 3 * len(faces)
    rim = [h for h in directed if h[::-1] not in directed]
    assert rim
    assert torch.allclose(vertices[[a for a, _ in rim]].abs().amax(dim=1), torch.tensor(0.5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_zero_counts_as_outside(backend):
    lattice = kuhn_lattice(2)
    sdf = torch.zeros(1, 27)
    assert len(marching_tets(sdf, lattice.positions, lattice, backend=backend).faces) == 0
    sdf[0, lattice.centre] = 1.0
    surface = marching_tets(sdf, lattice.positions, lattice, backend=backend)
    assert_closed_oriented_manifold(surface.vertices, surface.faces)
    assert surface.vertices.abs().amax(dim=1).eq(0.5).all()  # exactly at the vertices whose value is 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_meshes_have_empty_ranges_between_full_ones(backend):
    lattice = kuhn_lattice(3)
    ball = sphere(lattice, 0.3)
    sdf = torch.cat([-torch.ones_like(ball), ball, torch.ones_like(ball), ball])
    surface = marching_tets(sdf, lattice.positions, lattice, backend=backend)
    v, f = len(surface.vertices) // 2, len(surface.faces) // 2
    assert surface.vertex_ranges.tolist() == [[0, 0], [0, v], [v, 0], [v, v]]
    assert surface.face_ranges.tolist() == [[0, 0], [0, f], [f, 0], [f, f]]
    assert surface.faces.dtype == torch.int64
    for k in (1, 3):
        vertices, faces = surface.mesh(k)
        assert faces.min() == 0
        assert faces.max() == v - 1
        assert torch.equal(vertices, surface.mesh(1)[0])


@pytest.mark.parametrize("shared", [True, False])
def test_a_batch_is_its_members_one_at_a_time(shared):
    lattice = kuhn_lattice(7)
    sdf = torch.cat([random_field(lattice, seed, smooth=True) for seed in range(3)])
    positions = lattice.positions.repeat(3, 1, 1) * torch.tensor([1.0, 0.9, 0.8])[:, None, None]
    if shared:
        positions = lattice.positions
    surface = marching_tets(sdf, positions, lattice)
    for k in range(3):
        alone = marching_tets(sdf[k : k + 1], positions if shared else positions[k], lattice)
        vertices, faces = surface.mesh(k)
        assert torch.equal(vertices, alone.vertices)
        assert torch.equal(faces, alone.faces)


# -------------------------------------------------------------------------------------- reference


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 3),
    batch=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    steps=st.sampled_from([2, 1000]),
    shared=st.booleans(),
)
def test_value_and_gradient_match_the_reference_on_random_fields(backend, n, batch, seed, steps, shared):
    lattice = kuhn_lattice(n)
    random = generator(seed)
    count = lattice.vertex_count
    sdf = torch.randn(batch, count, generator=random, dtype=torch.float64).mul(steps).round().div(steps)
    shape = (count, 3) if shared else (batch, count, 3)
    positions = torch.randn(shape, generator=random, dtype=torch.float64)
    sdf.requires_grad_()
    positions.requires_grad_()
    weight = None
    results = {}
    for name in ("reference", backend):
        surface = marching_tets(sdf, positions, lattice, backend=name)
        if weight is None:
            weight = torch.randn(surface.vertices.shape, generator=random, dtype=torch.float64)
        loss = (surface.vertices * weight).sum() + 0 * (sdf.sum() + positions.sum())
        results[name] = (*surface, *torch.autograd.grad(loss, (sdf, positions)))
    for ours, theirs in zip(results[backend], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


# -------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_pass_gradcheck(shared):
    lattice = kuhn_lattice(2)
    random = generator(3)
    sdf = torch.randn(2, 27, generator=random, dtype=torch.float64)
    sdf = sdf.sign() * (sdf.abs() + 0.1)  # away from a change of sign
    shift = torch.randn((27, 3) if shared else (2, 27, 3), generator=random, dtype=torch.float64)
    positions = lattice.positions.double() + 0.05 * shift
    arguments = (sdf.requires_grad_(), positions.requires_grad_())
    assert torch.autograd.gradcheck(lambda s, p: marching_tets(s, p, lattice).vertices, arguments)


def test_gradient_is_the_one_the_docstring_gives():
    lattice = kuhn_lattice(1)
    sdf = torch.full((1, 8), -2.0, dtype=torch.float64)
    sdf[0, 0] = 0.5
    sdf.requires_grad_()
    surface = marching_tets(sdf, lattice.positions.double(), lattice)
    edge = lattice.edges[lattice.edges[:, 0] == 0]
    v_a, v_b = lattice.positions.double()[edge].unbind(1)
    (grad,) = torch.autograd.grad(surface.vertices.sum(), sdf)
    assert grad[0, 0].item() == pytest.approx((-2.0 * (v_a - v_b) / 2.5**2).sum().item())
    for (_, b), a_place, b_place in zip(edge.tolist(), v_a, v_b, strict=True):
        assert grad[0, b].item() == pytest.approx((-0.5 * (a_place - b_place) / 2.5**2).sum().item())


def test_volume_grows_with_the_radius_by_the_surface_area():
    lattice = kuhn_lattice(20).to("cpu", torch.float64)

    def ball(radius):
        return volume(*single(radius - lattice.positions.norm(dim=1)[None], lattice))

    radius = torch.tensor(0.33, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ball(radius), radius)
    step = 1e-6
    difference = (ball(radius + step) - ball(radius - step)) / (2 * step)
    assert slope.item() == pytest.approx(difference.item(), rel=1e-6)
    assert slope.item() == pytest.approx(4 * math.pi * 0.33**2, rel=0.02)


def test_vertices_that_are_not_ends_of_a_cut_edge_get_no_gradient():
    lattice = kuhn_lattice(6)
    sdf = sphere(lattice, 0.3).requires_grad_()
    (grad,) = torch.autograd.grad(marching_tets(sdf, lattice.positions, lattice).vertices.square().sum(), sdf)
    signs = (sdf[0] > 0)[lattice.edges]
    ends = torch.zeros(lattice.vertex_count, dtype=torch.bool)
    ends[lattice.edges[signs[:, 0] != signs[:, 1]].flatten()] = True
    assert grad[0][~ends].eq(0).all()
    assert grad[0].isfinite().all()


# --------------------------------------------------------------------------------------- refusals


def test_a_field_for_another_lattice_is_refused():
    lattice = kuhn_lattice(3)
    with pytest.raises(ConfigError, match=r"64 vertices, but `sdf` is \(1, 27\)"):
        marching_tets(torch.zeros(1, 27), torch.zeros(27, 3), lattice)


def test_positions_of_another_batch_are_refused():
    # Called below the façade, whose annotation (checked in tests only) refuses the same thing first.
    with pytest.raises(ConfigError, match="`sdf` has 2 meshes and `positions` 3"):
        room._check(torch.zeros(2, 27), torch.zeros(3, 27, 3), kuhn_lattice(2))


def test_a_lattice_on_another_device_is_refused():
    with pytest.raises(ConfigError, match="the lattice on meta"):
        marching_tets(torch.zeros(1, 27), kuhn_lattice(2).positions, kuhn_lattice(2).to("meta"))


def test_an_unknown_backend_is_refused():
    lattice = kuhn_lattice(2)
    with pytest.raises((BackendError, TypeError)):
        marching_tets(torch.zeros(1, 27), lattice.positions, lattice, backend="cubes")  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------------------------------- helpers


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sphere(lattice: Lattice, radius: float) -> torch.Tensor:
    return (radius - lattice.positions.norm(dim=1))[None]


def random_field(lattice: Lattice, seed: int, smooth: bool) -> torch.Tensor:
    """A random field, negative on the boundary: a few low waves, or noise."""
    random = generator(seed)
    if smooth:
        waves = torch.randn(8, 3, generator=random) * 9
        phase = torch.rand(8, generator=random) * 6.3
        sdf = torch.sin(lattice.positions @ waves.T + phase).sum(dim=1)
    else:
        sdf = torch.randn(lattice.vertex_count, generator=random)
    return torch.where(lattice.boundary, -sdf.abs() - 0.01, sdf)[None]


def single(sdf, lattice, positions=None):
    surface = marching_tets(sdf, lattice.positions if positions is None else positions, lattice)
    return surface.vertices, surface.faces


def signed_volumes(positions, tets):
    v0, v1, v2, v3 = positions[tets].unbind(1)
    return ((v1 - v0) * torch.linalg.cross(v2 - v0, v3 - v0)).sum(dim=1) / 6


def volume(vertices, faces):
    a, b, c = vertices[faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def half_edges(faces):
    return torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()


def euler(vertices, faces):
    edges = {tuple(sorted(h)) for h in half_edges(faces)}
    return len(vertices) - len(edges) + len(faces)


def assert_closed_oriented_manifold(vertices, faces):
    """Every directed edge once and its opposite once; every vertex used, with a single fan of faces."""
    directed = [tuple(h) for h in half_edges(faces)]
    known = set(directed)
    assert len(known) == len(directed), "a directed edge belongs to two faces"
    assert all((b, a) in known for a, b in directed), "an edge has one face only"
    assert set(faces.flatten().tolist()) == set(range(len(vertices))), "a vertex has no face"
    # In the link of a vertex, each of its faces joins two of its neighbours; a single fan is connected.
    node = {h: k for k, h in enumerate(directed)}
    joins = [
        (node[a, b], node[a, c]) for f in faces.tolist() for a, b, c in (f, f[1:] + f[:1], f[2:] + f[:2])
    ]
    rows, columns = np.array(joins).T
    graph = coo_matrix((np.ones(len(joins)), (rows, columns)), shape=(len(node), len(node)))
    assert connected_components(graph, directed=False)[0] == len(vertices), "a vertex joins two fans"
