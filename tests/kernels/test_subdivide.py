"""Volume subdivision of tetrahedra, marching over the result, and Loop's subdivision of triangles."""

import math

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

import polyglyph.kernels.subdivide as room
from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.kernels.marching_tets import TET_EDGES, kuhn_lattice, marching_tets
from polyglyph.kernels.subdivide import (
    loop_subdivide,
    loop_topology,
    march_tets,
    near_surface,
    subdivide_tets,
    tet_mesh,
)

BACKENDS = ["reference", "vectorised"]
FAST = ["vectorised"]

# -------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize("backend", BACKENDS)
def test_near_the_surface_are_cut_tetrahedra_and_those_that_touch_them(backend):
    tets = torch.tensor([[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [9, 10, 11, 12]])
    sdf = -torch.ones(13)
    sdf[0] = 1.0
    found = [near_surface(sdf, tets, rings=rings, backend=backend).tolist() for rings in range(3)]
    assert found == [[k <= rings for k in range(4)] for rings in range(3)]
    assert not near_surface(torch.ones(13), tets, backend=backend).any()
    assert not near_surface(torch.tensor([0.0, -1, -1, -1]), tets[:1], backend=backend).any()  # 0 is outside
    assert near_surface(torch.tensor([math.nan, 1, 1, 1]), tets[:1], backend=backend).all()  # so is NaN
    assert near_surface(sdf, tets[:0], backend=backend).shape == (0,)


# -------------------------------------------------------------------------------------- the parts


@pytest.mark.parametrize("backend", BACKENDS)
def test_parts_fill_their_parent_and_keep_its_orientation(backend):
    random = generator(1)
    positions = torch.randn(4, 3, generator=random, dtype=torch.float64)
    tets = torch.tensor([[0, 1, 2, 3], [0, 1, 3, 2]])
    mesh = tet_mesh(tets, 4)
    finer = subdivide_tets(mesh, positions, backend=backend)
    parts = signed_volumes(mesh.with_midpoints(positions), finer.tets).view(2, 8)
    whole = signed_volumes(positions, tets)[:, None]
    torch.testing.assert_close(parts, (whole / 8).expand(2, 8))


def test_parts_of_a_tetrahedron_have_no_overlap():
    # Equal volumes that sum to the parent's could still overlap: draw points and count the parts around each.
    positions = torch.randn(4, 3, generator=generator(2), dtype=torch.float64)
    mesh = tet_mesh(torch.tensor([[0, 1, 2, 3]]), 4)
    corners = mesh.with_midpoints(positions)[subdivide_tets(mesh, positions).tets]
    weights = torch.rand(200, 4, generator=generator(3)).double() + 1e-3
    points = (weights / weights.sum(dim=1, keepdim=True)) @ positions
    edges = (corners[:, 1:] - corners[:, :1]).mT
    local = torch.linalg.solve(edges, points.T - corners[:, 0, :, None])
    within = (local >= 0).all(dim=1) & (local.sum(dim=1) <= 1)
    assert within.sum(dim=0).eq(1).all()


def test_parts_of_lattice_tetrahedra_are_lattice_tetrahedra_half_as_large():
    lattice = kuhn_lattice(2).to("cpu", torch.float64)
    mesh, positions = tet_mesh(lattice.tets, lattice.vertex_count), lattice.positions
    shape = edge_lengths(positions, mesh.tets)[0]
    for _ in range(2):
        finer = subdivide_tets(mesh, positions)
        positions, mesh, shape = mesh.with_midpoints(positions), finer, shape / 2
        lengths = edge_lengths(positions, mesh.tets)
        torch.testing.assert_close(lengths, shape.expand_as(lengths))


def test_neighbours_share_midpoints_and_agree_on_their_common_face():
    n = 2
    lattice = kuhn_lattice(n)
    mesh = tet_mesh(lattice.tets, lattice.vertex_count)
    finer = subdivide_tets(mesh, lattice.positions)
    assert finer.vertex_count == lattice.vertex_count + lattice.edge_count
    assert len(torch.unique(finer.tets)) == finer.vertex_count
    assert len(torch.unique(mesh.with_midpoints(lattice.positions), dim=0)) == finer.vertex_count
    faces = torch.cat([finer.tets[:, c] for c in ([0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3])])
    _, count = torch.unique(faces.sort(dim=1).values, dim=0, return_counts=True)
    assert int((count == 1).sum()) == 6 * (2 * n) ** 2 * 2
    assert int(count.max()) == 2


def test_edges_are_the_ones_of_the_lattice():
    lattice = kuhn_lattice(3)
    mesh = tet_mesh(lattice.tets, lattice.vertex_count)
    assert {tuple(e) for e in mesh.edges.tolist()} == {tuple(e) for e in lattice.edges.tolist()}
    assert torch.equal(mesh.edges[mesh.tet_edges], lattice.edges[lattice.tet_edges])
    assert mesh.edges is mesh.edges  # sorted once


def test_midpoints_carry_gradients_to_both_ends():
    mesh = tet_mesh(torch.tensor([[0, 1, 2, 3]]), 5)
    x = torch.randn(2, 5, 3, generator=generator(1), dtype=torch.float64, requires_grad=True)
    out = mesh.with_midpoints(x)
    assert out.shape == (2, 11, 3)
    for e, (a, b) in enumerate(TET_EDGES):
        torch.testing.assert_close(out[:, 5 + e], (x[:, a] + x[:, b]) / 2)
    torch.testing.assert_close(mesh.with_midpoints(x[..., 0], dim=-1), out[..., 0])
    (grad,) = torch.autograd.grad(out.sum(), x)
    expected = torch.tensor([2.5, 2.5, 2.5, 2.5, 1.0]).double()  # itself, and half of each of three edges
    torch.testing.assert_close(grad, expected[:, None].expand(2, 5, 3))


# --------------------------------------------------------------------------------------- marching


@pytest.mark.parametrize("backend", BACKENDS)
def test_marching_over_all_tetrahedra_of_a_lattice_is_marching_over_the_lattice(backend):
    lattice = kuhn_lattice(3).to("cpu", torch.float64)
    sdf = torch.randn(2, lattice.vertex_count, generator=generator(4), dtype=torch.float64)
    ours = march_tets(sdf, lattice.positions, tet_mesh(lattice.tets, lattice.vertex_count), backend=backend)
    theirs = marching_tets(sdf, lattice.positions, lattice)
    assert torch.equal(ours.vertex_ranges, theirs.vertex_ranges)
    assert torch.equal(ours.face_ranges, theirs.face_ranges)
    torch.testing.assert_close(ours.vertices[ours.faces], theirs.vertices[theirs.faces])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    tets=st.lists(st.permutations(range(6)).map(lambda p: p[:4]), max_size=6),
    batch=st.integers(0, 3),
    seed=st.integers(0, 2**31),
    shared=st.booleans(),
)
@pytest.mark.parametrize("backend", FAST)
def test_value_and_gradient_match_the_reference_on_any_tetrahedra(backend, tets, batch, seed, shared):
    random = generator(seed)
    mesh = tet_mesh(torch.tensor(tets, dtype=torch.int64).reshape(-1, 4), 6)
    sdf = torch.randn(batch, 6, generator=random, dtype=torch.float64).requires_grad_()
    lead = () if shared else (batch,)
    positions = torch.randn((*lead, 6, 3), generator=random, dtype=torch.float64).requires_grad_()
    weight = None
    results = {}
    for name in ("reference", backend):
        surface = march_tets(sdf, positions, mesh, backend=name)
        if weight is None:
            weight = torch.randn(surface.vertices.shape, generator=random, dtype=torch.float64)
        loss = (surface.vertices * weight).sum() + 0 * (sdf.sum() + positions.sum())
        results[name] = [*surface, *torch.autograd.grad(loss, (sdf, positions))]
        if shared:
            finer = subdivide_tets(mesh, positions, backend=name)
            results[name] += [finer.tets, torch.tensor(finer.vertex_count)]
        if batch:
            results[name].append(near_surface(sdf[0], mesh.tets, backend=name))
    for ours, theirs in zip(results[backend], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("seed", range(3))
def test_the_surface_does_not_change_as_long_as_the_field_stays_linear_along_edges(seed):
    lattice = kuhn_lattice(5 + seed % 2).to("cpu", torch.float64)
    random = generator(seed)
    sdf = torch.randn(lattice.vertex_count, generator=random).double()
    sdf = torch.where(lattice.boundary, -sdf.abs() - 0.01, sdf)
    shift = torch.rand(lattice.positions.shape, generator=random).double() - 0.5
    positions = lattice.positions + shift / (4 * lattice.resolution)
    before = closed(march_tets(sdf[None], positions, tet_mesh(lattice.tets, lattice.vertex_count)))
    after = closed(*finer_surface(sdf, positions, lattice.tets))
    assert after.volume == pytest.approx(before.volume, rel=1e-12)
    assert after.area == pytest.approx(before.area, rel=1e-12)
    assert after.euler_number == before.euler_number
    assert len(after.faces) > len(before.faces)


def test_subdividing_twice_converges_to_a_sphere_and_a_torus_with_the_square_of_the_edge():
    def ball(x):
        return 0.36 - x.norm(dim=1)

    def ring(x):
        return 0.14 - torch.stack([x[:, :2].norm(dim=1) - 0.27, x[:, 2]]).norm(dim=0)

    lattice = kuhn_lattice(10).to("cpu", torch.float64)
    for field, euler in ((ball, 2), (ring, 0)):
        mesh, positions = tet_mesh(lattice.tets, lattice.vertex_count), lattice.positions
        errors = []
        for _ in range(3):
            surface = march_tets(field(positions)[None], positions, mesh)
            assert closed(surface).euler_number == euler
            errors.append(field(surface.vertices).abs().mean().item())
            mesh = tet_mesh(mesh.tets[near_surface(field(positions), mesh.tets)], mesh.vertex_count)
            positions, mesh = mesh.with_midpoints(positions), subdivide_tets(mesh, positions)
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
        assert errors[1] / errors[2] == pytest.approx(4, rel=0.25)


def test_one_ring_lets_the_surface_move_a_little_and_stay_closed():
    lattice = kuhn_lattice(12).to("cpu", torch.float64)
    positions, h = lattice.positions, 1 / 12
    sdf = 0.3 - positions.norm(dim=1)
    mesh = tet_mesh(lattice.tets[near_surface(sdf, lattice.tets)], lattice.vertex_count)
    finer, places = subdivide_tets(mesh, positions), mesh.with_midpoints(positions)
    for moved in (-0.4 * h, 0.0, 0.4 * h):
        surface = closed(march_tets((0.3 + moved - places.norm(dim=1))[None], places, finer))
        assert surface.volume == pytest.approx(4 / 3 * math.pi * (0.3 + moved) ** 3, rel=0.05)
    assert len(mesh.tets) < len(lattice.tets) / 2


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_pass_gradcheck_through_subdivision_and_marching(shared):
    random = generator(5)
    lattice = kuhn_lattice(1)
    mesh = tet_mesh(lattice.tets, 8)
    finer = subdivide_tets(mesh, lattice.positions)
    sdf = torch.randn(2, 8, generator=random, dtype=torch.float64).mul(3)
    lead = () if shared else (2,)
    positions = lattice.positions.double() + 0.1 * torch.randn(*lead, 8, 3, generator=random).double()

    def vertices(s, p):
        return march_tets(mesh.with_midpoints(s, dim=-1), mesh.with_midpoints(p), finer).vertices

    assert len(vertices(sdf, positions)) > 10
    assert torch.autograd.gradcheck(vertices, (sdf.requires_grad_(), positions.requires_grad_()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_tetrahedra_give_no_parts_and_no_surface(backend):
    mesh = tet_mesh(torch.zeros(0, 4, dtype=torch.int64), 3)
    finer = subdivide_tets(mesh, torch.zeros(3, 3), backend=backend)
    assert finer.tets.shape == (0, 4)
    assert finer.vertex_count == 3
    surface = march_tets(torch.ones(2, 3), torch.zeros(3, 3), finer, backend=backend)
    assert (surface.vertices.shape, surface.faces.shape) == ((0, 3), (0, 3))
    assert surface.vertex_ranges.tolist() == [[0, 0], [0, 0]]


# ------------------------------------------------------------------------------------------- loop


def shapes() -> dict[str, trimesh.Trimesh]:
    box = trimesh.creation.box()
    ball = trimesh.creation.icosphere(subdivisions=1)
    ring = trimesh.creation.torus(1.0, 0.4, major_sections=8, minor_sections=6)
    bowl = ball.submesh([np.nonzero(ball.triangles_center[:, 2] < 0.3)[0]], append=True)
    angle = np.arctan2(ring.triangles_center[:, 1], ring.triangles_center[:, 0])
    pipe = ring.submesh([np.nonzero(angle // (math.pi / 4) < 2)[0]], append=True)
    both = trimesh.util.concatenate([box, bowl])
    return {"box": box, "ball": ball, "ring": ring, "bowl": bowl, "pipe": pipe, "both": both}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", shapes())
@pytest.mark.parametrize("times", [1, 2])
def test_loops_weights_give_what_trimesh_gives(name, times, backend):
    # (Not where an edge inside joins two vertices of the boundary: trimesh counts it as if it were boundary.)
    mesh = shapes()[name]
    rough = mesh.vertices + 0.1 * np.random.default_rng(0).standard_normal(mesh.vertices.shape)
    expected_vertices, expected_faces = trimesh.remesh.subdivide_loop(rough, mesh.faces, iterations=times)
    vertices, faces = torch.tensor(rough), torch.tensor(mesh.faces.astype(np.int64))
    for _ in range(times):
        topology = loop_topology(faces, len(vertices))
        vertices, faces = loop_subdivide(vertices, topology, backend=backend), topology.subdivided
    np.testing.assert_allclose(vertices[faces], expected_vertices[expected_faces], rtol=0, atol=1e-14)
    assert len(vertices) == len(expected_vertices)
    finer = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert finer.is_winding_consistent
    assert finer.is_watertight == mesh.is_watertight
    assert finer.euler_number == mesh.euler_number


def test_along_a_boundary_only_neighbours_along_it_count():
    # Two triangles. Their common edge joins two vertices of the boundary, but is not on it itself.
    vertices = torch.tensor([[0.0, 0, 0], [8, 0, 0], [8, 8, 0], [0, 8, 0]])
    topology = loop_topology(torch.tensor([[0, 1, 2], [0, 2, 3]]), 4)
    finer = loop_subdivide(vertices, topology)
    assert finer[:4].tolist() == [[1, 1, 0], [7, 1, 0], [7, 7, 0], [1, 7, 0]]
    middle = topology.edges.tolist().index([0, 2])
    assert finer[4 + middle].tolist() == [4, 4, 0]
    assert topology.boundary.tolist() == [e != middle for e in range(5)]
    assert topology.edge_weights.tolist() == [0.25 * (e == middle) for e in range(5)]
    assert topology.vertex_weights.tolist() == 4 * [0.25]


def test_a_vertex_and_an_edge_follow_their_learned_weights():
    mesh = trimesh.creation.icosahedron()
    vertices, faces = torch.tensor(mesh.vertices), torch.tensor(mesh.faces.astype(np.int64))
    topology = loop_topology(faces, 12)
    assert topology.vertex_weights.tolist() == pytest.approx(
        12 * [5 / 8 - (3 / 8 + math.cos(2 * math.pi / 5) / 4) ** 2]
    )
    assert topology.edge_weights.eq(0.25).all()
    w_V, w_E = torch.zeros(12).double(), torch.zeros(30).double()
    plain = loop_subdivide(vertices, topology, vertex_weights=w_V, edge_weights=w_E)
    torch.testing.assert_close(plain[:12], vertices)  # weights of 0 change no shape
    torch.testing.assert_close(plain[12:], vertices[topology.edges].mean(dim=1))
    w_V[3], w_E[7] = 1.0, 1.0
    moved = loop_subdivide(vertices, topology, vertex_weights=w_V, edge_weights=w_E)
    around = topology.pairs[topology.pairs[:, 0] == 3, 1]
    assert len(around) == 5
    torch.testing.assert_close(moved[3], vertices[around].mean(dim=0))
    torch.testing.assert_close(moved[12 + 7], vertices[topology.opposite[7]].mean(dim=0))
    assert (moved != plain).any(dim=1).nonzero().flatten().tolist() == [3, 12 + 7]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(shapes())), seed=st.integers(0, 2**31), channels=st.integers(1, 4))
@pytest.mark.parametrize("backend", FAST)
def test_learned_weights_match_the_reference_in_value_and_gradient(backend, name, seed, channels):
    random = generator(seed)
    mesh = shapes()[name]
    count = len(mesh.vertices) + 1  # the last has no face
    topology = loop_topology(torch.tensor(mesh.faces.astype(np.int64)), count)
    sizes = ((count, channels), (count,), (len(topology.edges),))
    leaves = [torch.randn(s, generator=random, dtype=torch.float64).requires_grad_() for s in sizes]
    results = {}
    weight = torch.randn(count + len(topology.edges), channels, generator=random, dtype=torch.float64)
    for which in ("reference", backend):
        out = loop_subdivide(
            leaves[0], topology, vertex_weights=leaves[1], edge_weights=leaves[2], backend=which
        )
        results[which] = (out, *torch.autograd.grad((out * weight).sum(), leaves))
    for ours, theirs in zip(results[backend], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_loop_gradients_pass_gradcheck():
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [3, 2, 4]])
    topology = loop_topology(faces, 5)
    random = generator(1)
    sizes = ((5, 3), (5,), (len(topology.edges),))
    leaves = tuple(torch.randn(s, generator=random, dtype=torch.float64).requires_grad_() for s in sizes)

    def finer(vertices, w_V, w_E):
        return loop_subdivide(vertices, topology, vertex_weights=w_V, edge_weights=w_E)

    assert torch.autograd.gradcheck(finer, leaves)
    assert torch.autograd.gradgradcheck(finer, leaves)


def test_learned_weights_can_sharpen_what_loop_would_round_off():
    # A subdivided box is a blob; with learned weights it finds its corners again.
    mesh = trimesh.creation.box()
    vertices, faces = torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces.astype(np.int64))
    topology = loop_topology(faces, len(vertices))
    w_V = topology.vertex_weights.float().requires_grad_()
    w_E = topology.edge_weights.float().requires_grad_()
    optimiser = torch.optim.Adam([w_V, w_E], lr=0.03)
    history = []
    for _ in range(40):
        finer = loop_subdivide(vertices, topology, vertex_weights=w_V, edge_weights=w_E)
        loss = (finer.abs().amax(dim=1) - 0.5).square().mean()
        history.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert history[-1] < 0.02 * history[0]


def test_learned_weights_carry_over_to_the_next_subdivision():
    topology = loop_topology(torch.tensor([[0, 1, 2]]), 3)
    w_V = torch.tensor([0.0, 0.2, 0.6], requires_grad=True)
    carried = topology.with_midpoints(w_V)
    assert carried.tolist() == pytest.approx([0, 0.2, 0.6, 0.1, 0.3, 0.4])  # edges 01, 02, 12
    vertices = torch.eye(3)
    second = loop_topology(topology.subdivided, 6)
    out = loop_subdivide(loop_subdivide(vertices, topology), second, vertex_weights=carried)
    assert out.shape == (6 + 9, 3)
    assert torch.autograd.grad(out.square().sum(), w_V)[0].ne(0).all()


def test_repeats_are_bit_for_bit_the_same():
    outcomes = []
    for _ in range(2):
        vertices = torch.tensor(shapes()["ring"].vertices).float().requires_grad_()
        topology = loop_topology(
            torch.tensor(shapes()["ring"].faces.astype(np.int64)), len(shapes()["ring"].vertices)
        )
        out = loop_subdivide(vertices, topology)
        outcomes.append((out, topology.subdivided, *torch.autograd.grad(out.square().sum(), vertices)))
    for first, second in zip(*outcomes, strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("backend", BACKENDS)
def test_vertices_without_faces_stay(backend):
    vertices = torch.tensor([[1.0, 2.0], [3.0, math.inf]])
    topology = loop_topology(torch.zeros(0, 3, dtype=torch.int64), 2)
    assert torch.equal(loop_subdivide(vertices[:1].repeat(2, 1), topology, backend=backend), vertices[[0, 0]])
    assert topology.vertex_weights.tolist() == [0, 0]
    nothing = loop_topology(torch.zeros(0, 3, dtype=torch.int64), 0)
    assert loop_subdivide(torch.zeros(0, 3), nothing, backend=backend).shape == (0, 3)
    assert nothing.subdivided.shape == (0, 3)


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 1, 2, 9]], "name vertices 0 to 9, and there are 4"),
        ([[-1, 1, 2, 3]], "name vertices -1 to 3"),
        ([[0, 1, 2, 3], [3, 1, 2, 1]], "row 1 of `tets` names a vertex twice"),
    ],
)
def test_tetrahedra_that_name_no_four_vertices_are_refused(rows, message):
    with pytest.raises(ConfigError, match=message):
        tet_mesh(torch.tensor(rows), 4)
    with pytest.raises(ConfigError, match=message):
        near_surface(torch.zeros(4), torch.tensor(rows))


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ([[0, 1, 2], [1, 0, 3], [0, 1, 4]], r"edge \(0, 1\) has 3 faces"),
        ([[0, 1, 5]], "name vertices 0 to 5, and there are 5"),
        ([[0, 1, 1]], "row 0 of `faces` names a vertex twice"),
    ],
)
def test_faces_that_loop_has_no_rule_for_are_refused(faces, message):
    with pytest.raises(ConfigError, match=message) as caught:
        loop_topology(torch.tensor(faces), 5)
    assert caught.value.fix


def test_corners_of_another_shape_or_type_are_refused():
    # Below the façade, whose annotation (checked in tests only) refuses the same thing first.
    for wrong in (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.int32), torch.zeros(8)):
        with pytest.raises(ConfigError, match="`tets` is"):
            room.check_corners(wrong, 4, 9, "tets")


def test_fields_and_places_for_another_mesh_are_refused():
    mesh = tet_mesh(torch.tensor([[0, 1, 2, 3]]), 4)
    with pytest.raises(ConfigError, match=r"4 vertices, but `sdf` is \(1, 5\)"):
        march_tets(torch.zeros(1, 5), torch.zeros(5, 3), mesh)
    with pytest.raises(ConfigError, match="4 vertices"):
        subdivide_tets(mesh, torch.zeros(5, 3))
    with pytest.raises(ConfigError, match="`sdf` has 2 meshes"):
        room._check_volume(torch.zeros(2, 4), torch.zeros(3, 4, 3), mesh)
    with pytest.raises(ConfigError, match="`positions` on meta"):
        march_tets(torch.zeros(1, 4), torch.zeros(4, 3, device="meta"), mesh)
    with pytest.raises(ConfigError, match="`rings` is -1"):
        near_surface(torch.zeros(4), mesh.tets, rings=-1)


def test_weights_and_vertices_of_another_mesh_are_refused():
    topology = loop_topology(torch.tensor([[0, 1, 2]]), 3)
    for vertices, weights in (
        (torch.zeros(4, 3), {}),
        (torch.zeros(3, 3), {"vertex_weights": torch.zeros(4)}),
        (torch.zeros(3, 3), {"edge_weights": torch.zeros(2)}),
    ):
        with pytest.raises((ConfigError, TypeError)):
            loop_subdivide(vertices, topology, **weights)


@pytest.mark.parametrize("backend", ["cpu", "octree"])
def test_a_backend_that_does_not_exist_is_refused(backend):
    mesh = tet_mesh(torch.tensor([[0, 1, 2, 3]]), 4)
    with pytest.raises((BackendError, TypeError)):
        march_tets(torch.zeros(1, 4), torch.zeros(4, 3), mesh, backend=backend)
    with pytest.raises((BackendError, TypeError)):
        loop_subdivide(torch.zeros(3, 3), loop_topology(torch.tensor([[0, 1, 2]]), 3), backend=backend)


# ---------------------------------------------------------------------------------------- helpers


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def signed_volumes(positions, tets):
    v0, v1, v2, v3 = positions[tets].unbind(1)
    return ((v1 - v0) * torch.linalg.cross(v2 - v0, v3 - v0)).sum(dim=1) / 6


def edge_lengths(positions, tets):
    ends = positions[tets[:, TET_EDGES]]
    return (ends[:, :, 0] - ends[:, :, 1]).norm(dim=2).sort(dim=1).values


def finer_surface(sdf, positions, tets):
    """Select, subdivide, carry the field over linearly, and march."""
    mesh = tet_mesh(tets[near_surface(sdf, tets)], len(sdf))
    finer = subdivide_tets(mesh, positions)
    return (march_tets(mesh.with_midpoints(sdf[None], dim=-1), mesh.with_midpoints(positions), finer),)


def closed(surface) -> trimesh.Trimesh:
    mesh = trimesh.Trimesh(surface.vertices.numpy(), surface.faces.numpy(), process=False)
    assert mesh.is_watertight  # every edge has two faces
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert len(mesh.referenced_vertices.nonzero()[0]) == len(mesh.vertices)
    return mesh
