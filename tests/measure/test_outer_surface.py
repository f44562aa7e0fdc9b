"""Points seen from outside: against areas that are known, exact rays, and what must stay hidden."""

import math

import numpy as np
import pytest
import torch
import trimesh

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure import depth_maps as maps
from polyglyph.measure import outer_surface as module
from polyglyph.measure.outer_surface import sample_outer_surface
from polyglyph.measure.points import sample_surface

Mesh = tuple[torch.Tensor, torch.Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensors(mesh: trimesh.Trimesh) -> Mesh:
    return torch.from_numpy(np.array(mesh.vertices)).float(), torch.from_numpy(np.array(mesh.faces)).long()


def box(*sides: float, at: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    positions, faces = tensors(trimesh.creation.box(sides))
    return positions + torch.tensor(at), faces


def ball(radius: float = 1.0, subdivisions: int = 4, x: float = 0.0) -> Mesh:
    positions, faces = tensors(trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius))
    return positions + torch.tensor([x, 0, 0]), faces


def without_lid(*sides: float) -> Mesh:
    mesh = trimesh.creation.box(sides)
    mesh.update_faces(mesh.face_normals[:, 1] < 0.9)
    return tensors(mesh)


def rectangle(x: tuple[float, float], z: tuple[float, float], y: float) -> Mesh:
    corners = [[x[0], y, z[0]], [x[1], y, z[0]], [x[1], y, z[1]], [x[0], y, z[1]]]
    return torch.tensor(corners).float(), torch.tensor([[0, 1, 2], [0, 2, 3]])


def joined(*meshes: Mesh) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, faces, and which mesh each face is of."""
    starts = np.cumsum([0] + [len(positions) for positions, _ in meshes])
    faces = [rows + int(start) for (_, rows), start in zip(meshes, starts, strict=False)]
    part = [torch.full((len(rows),), number) for number, (_, rows) in enumerate(meshes)]
    return torch.cat([positions for positions, _ in meshes]), torch.cat(faces), torch.cat(part)


def off_uniform(found: torch.Tensor, shares: torch.Tensor) -> float:
    """χ² of counts, in standard deviations above its mean."""
    expected = shares.double() / shares.sum() * found.sum()
    chi = float(((found - expected) ** 2 / expected).sum())
    return (chi - (len(found) - 1)) / math.sqrt(2 * (len(found) - 1))


@pytest.mark.parametrize("inner", [box(0.5, 0.4, 0.3), ball(0.45), box(0.97, 0.97, 0.97)])
def test_a_closed_box_hides_what_is_in_it_and_is_covered_evenly(inner):
    outer = tensors(trimesh.creation.box((1, 1, 1)).subdivide().subdivide())
    positions, faces, part = joined(inner, outer)
    points, face = sample_outer_surface(positions, faces, 20_000, generator=seeded())
    assert part[face].eq(1).all()
    assert points.abs().amax(dim=1).sub(0.5).abs().max() < 1e-6
    counts = torch.bincount(face, minlength=len(faces))[part == 1]
    assert abs(off_uniform(counts, torch.ones(len(counts)))) < 4


@pytest.mark.parametrize("apart", [0.5, 1.0, 1.5])
def test_of_two_overlapping_balls_what_sticks_out_gets_points_by_its_area(apart):
    radii = (1.0, 0.7)
    positions, faces, part = joined(ball(radii[0]), ball(radii[1], x=apart))
    points, face = sample_outer_surface(positions, faces, 20_000, generator=seeded(1))
    # the circle of intersection is at `cut`; each ball shows the cap beyond it
    cut = (apart**2 + radii[0] ** 2 - radii[1] ** 2) / (2 * apart)
    caps = [2 * math.pi * radii[0] * (cut + radii[0]), 2 * math.pi * radii[1] * (apart + radii[1] - cut)]
    share = float((part[face] == 0).double().mean())
    assert share == pytest.approx(caps[0] / sum(caps), abs=0.02)
    centres = torch.tensor([[0.0, 0, 0], [apart, 0, 0]])
    other = 1 - part[face]
    depth = torch.tensor(radii)[other] - (points - centres[other]).norm(dim=1)
    assert float((depth > 0.03).double().mean()) == 0
    assert float((depth > 0.01).double().mean()) < 0.002


def test_a_bowl_shows_its_inside_to_the_bottom():
    mesh = trimesh.creation.icosphere(subdivisions=4)
    mesh.update_faces(mesh.triangles_center[:, 1] > 0)
    inner = tensors(mesh)
    shell = inner[0] * 1.2, inner[1]  # hides the bowl from above, and has its opening below as well
    positions, faces, part = joined(inner, shell)
    points, face = sample_outer_surface(positions, faces, 30_000, generator=seeded(2))
    inside = part[face] == 0
    assert float(inside.double().mean()) == pytest.approx(1 / (1 + 1.44), abs=0.01)
    height = points[inside, 1]
    counts = torch.histc(height, 8, 0.1, 0.9)  # equal steps in height have equal areas
    assert abs(off_uniform(counts, torch.ones(8))) < 4


@pytest.mark.parametrize("subdivisions", [1, 3, 5])
def test_of_a_convex_mesh_the_points_are_those_of_the_whole_surface(subdivisions):
    positions, faces = ball(subdivisions=subdivisions)
    expected = sample_surface(positions, faces, 3000, generator=seeded(3))
    points, face = sample_outer_surface(positions, faces, 3000, generator=seeded(3))
    assert torch.equal(face, expected.face)
    torch.testing.assert_close(points, expected.positions, rtol=0, atol=1e-6)


def test_finely_cut_hollows_keep_all_their_points():
    mesh = trimesh.creation.icosphere(subdivisions=6)  # faces of about two pixels
    v = np.array(mesh.vertices)
    wave = np.sin(20 * v).prod(axis=1, keepdims=True)
    positions = torch.from_numpy(v * (1 + 0.03 * wave))
    faces = torch.from_numpy(np.array(mesh.faces)).long()
    for resolution in (128, 512):
        found = sample_outer_surface(positions, faces, 4000, generator=seeded(4), resolution=resolution)
        assert torch.equal(found.face, sample_surface(positions, faces, 4000, generator=seeded(4)).face)


def seen_by_rays(points: torch.Tensor, own: torch.Tensor, positions: torch.Tensor, faces: torch.Tensor):
    """Whether some ray from each point towards a camera meets no other face, one face at a time."""
    seen = torch.zeros(len(points), dtype=torch.bool)
    for back in maps.frames(24)[:, 2]:
        hit = torch.zeros(len(points), dtype=torch.bool)
        for row, (a, b, c) in enumerate(positions[faces]):
            weights = torch.linalg.solve(torch.stack([b - a, c - a, -back], dim=1), (points - a).T)
            hit |= (weights >= 0).all(dim=0) & (weights[0] + weights[1] <= 1) & (own != row)
        seen |= ~hit
    return seen


def test_points_among_loose_faces_are_seen_as_exact_rays_say():
    rng = seeded(5)
    soup = torch.randn(60, 3, 3, generator=rng) * 0.4 + torch.randn(60, 1, 3, generator=rng) * 0.1
    positions, faces = soup.reshape(-1, 3).double(), torch.arange(180).reshape(-1, 3)
    drawn = sample_surface(positions, faces, 3000, generator=rng)
    exact = seen_by_rays(drawn.positions, drawn.face, positions, faces)
    found = module._seen_once(drawn, positions, faces, 24, 1024)
    assert 0.2 < float(exact.double().mean()) < 0.8
    assert float((exact & ~found).double().mean()) < 0.01
    assert float((found & ~exact).double().mean()) < 0.01


def test_a_gap_of_a_hundredth_shows_what_is_behind_it_and_a_closed_lid_does_not():
    shares = []
    for gap in (0.0, 0.01, 0.05):
        lid = [rectangle((-0.5, -gap / 2), (-0.5, 0.5), 0.5), rectangle((gap / 2, 0.5), (-0.5, 0.5), 0.5)]
        positions, faces, part = joined(box(0.5, 0.5, 0.5), without_lid(1, 1, 1), *lid)
        face = sample_outer_surface(positions, faces, 10_000, generator=seeded(6)).face
        shares.append(float((part[face] == 0).double().mean()))
    assert shares[0] == 0
    assert 0.01 < shares[1] < shares[2] < 0.1


def test_a_deep_shaft_is_seen_as_deep_whether_its_faces_are_large_or_small():
    shares = []
    for times in (0, 5):
        mesh = trimesh.creation.box((1, 4, 1))
        mesh.update_faces(mesh.face_normals[:, 1] < 0.9)
        for _ in range(times):
            mesh = mesh.subdivide()
        block = without_lid(1.6, 4.4, 1.6)
        positions, faces, part = joined(tensors(mesh), (block[0] - torch.tensor([0, 0.2, 0]), block[1]))
        points, face = sample_outer_surface(positions, faces, 20_000, generator=seeded(7))
        inside = points[part[face] == 0, 1]
        shares.append(torch.histc(inside, 4, -2, 2) / len(inside))
    torch.testing.assert_close(shares[0], shares[1], rtol=0, atol=0.02)
    assert shares[0][3] == pytest.approx(float(shares[0][2]), rel=0.05)  # the upper half is seen whole
    assert float(shares[0][0]) < 0.5 * float(shares[0][3])


@pytest.mark.parametrize("thickness", [0.05, 0.002, 1e-5])
def test_both_sides_of_a_thin_plate_get_points(thickness):
    positions, faces = box(1, thickness, 1)
    points, _ = sample_outer_surface(positions, faces, 10_000, generator=seeded(8))
    area = 2 + 4 * thickness
    for side in (1, -1):
        share = float((points[:, 1] * side > thickness / 2 * 0.999).double().mean())
        assert share == pytest.approx(1 / area, abs=0.02)


def test_a_sheet_is_seen_from_either_side_whatever_its_winding():
    sheet = rectangle((-1, 1), (-1, 1), 0)
    for height in (-0.2, 0.2):  # a block over or under it leaves it one side to be seen from
        block = box(2, 0.2, 2, at=(0, height, 0))
        found = []
        for rows in (sheet[1], sheet[1].flip(1)):
            positions, faces, _ = joined((sheet[0], rows), block)
            found.append(sample_outer_surface(positions, faces, 500, generator=seeded(9)).face)
        assert torch.equal(found[0], found[1])
        assert float((found[0] < 2).double().mean()) > 0.2


def test_a_doubled_wall_counts_once():
    sheet, other = rectangle((-1, 0), (0, 1), 0), rectangle((0.5, 1.5), (0, 1), 0)
    again = sheet[0].clone(), sheet[1].flip(1)  # its own vertices, the other winding
    positions, faces, part = joined(sheet, again, other)
    face = sample_outer_surface(positions, faces, 10_000, generator=seeded(10)).face
    share = torch.bincount(part[face], minlength=3) / 10_000
    torch.testing.assert_close(share, torch.tensor([0.5, 0, 0.5]), rtol=0, atol=0.02)


def test_size_and_place_do_not_matter():
    positions, faces, _ = joined(box(1, 1, 1), ball(0.6), box(0.2, 0.2, 0.2))
    positions = positions.double()
    points, face = sample_outer_surface(positions, faces, 3000, generator=seeded(11))
    shift = torch.tensor([30.0, -70, 5], dtype=torch.float64)
    for scale in (1e-6, 1e6):
        moved = sample_outer_surface((positions + shift) * scale, faces, 3000, generator=seeded(11))
        same = moved.face == face
        assert float(same.double().mean()) > 0.999
        torch.testing.assert_close(moved.positions[same] / scale - shift, points[same], rtol=0, atol=1e-9)


def test_one_seed_gives_the_same_points_fewer_are_the_first_of_more_and_another_seed_differs():
    positions, faces, _ = joined(box(1, 1, 1), box(0.9, 0.9, 0.9))
    first = sample_outer_surface(positions, faces, 40, generator=seeded(12))
    again = sample_outer_surface(positions, faces, 40, generator=seeded(12))
    more = sample_outer_surface(positions, faces, 5000, generator=seeded(12))
    other = sample_outer_surface(positions, faces, 40, generator=seeded(13))
    assert first.positions.shape == (40, 3)
    assert more.positions.shape == (5000, 3)
    assert torch.equal(first.positions, again.positions)
    assert torch.equal(first.face, again.face)
    assert torch.equal(first.positions, more.positions[:40])
    assert torch.equal(first.face, more.face[:40])
    assert not torch.equal(first.positions, other.positions)


def test_points_are_as_the_vertices_and_in_the_order_of_the_draws():
    positions, faces, part = joined(box(1, 1, 1), box(0.9, 0.9, 0.9))
    drawn = sample_surface(positions, faces, 4000, generator=seeded(14))
    outer = part[drawn.face] == 0
    points, face = sample_outer_surface(
        positions.requires_grad_(), faces.int(), 1000, generator=seeded(14), device="cpu"
    )
    assert points.dtype == torch.float32
    assert not points.requires_grad
    assert face.dtype == torch.int64
    assert torch.equal(face, drawn.face[outer][:1000])
    torch.testing.assert_close(points, drawn.positions[outer][:1000], rtol=0, atol=1e-6)


def test_rounds_go_on_until_there_are_enough_points(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 64)
    monkeypatch.setattr(module, "MOST", 256)
    positions, faces, part = joined(box(1, 1, 1), box(0.9, 0.9, 0.9), ball(0.4))
    found = sample_outer_surface(positions, faces, 1500, generator=seeded(15), resolution=128)
    expected = sample_surface(positions, faces, 6000, generator=seeded(15)).face
    assert torch.equal(found.face, expected[part[expected] == 0][:1500])


def test_a_part_too_small_to_be_found_is_refused(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 64)
    monkeypatch.setattr(module, "MOST", 512)
    monkeypatch.setattr(module, "_seen_once", lambda points, *_: torch.arange(len(points.face)) < 2)
    with pytest.raises(DataError, match=r"of 4\d\d\d points on the surface \d\d are seen") as caught:
        sample_outer_surface(*ball(), 50, generator=seeded())
    assert caught.value.fix


@pytest.mark.parametrize("at_once", [1, 1 << 30])
def test_how_many_views_are_drawn_together_changes_nothing(at_once, monkeypatch):
    positions, faces, _ = joined(box(1, 1, 1), ball(0.6))
    expected = sample_outer_surface(positions, faces, 500, generator=seeded(16), resolution=64)
    monkeypatch.setattr(maps, "AT_ONCE", at_once)
    found = sample_outer_surface(positions, faces, 500, generator=seeded(16), resolution=64)
    assert torch.equal(found.face, expected.face)
    assert torch.equal(found.positions, expected.positions)


def test_a_vertex_that_no_face_uses_may_be_anything():
    positions, faces = ball(subdivisions=1)
    for stray in (math.nan, 1e6):
        more = torch.cat([positions, torch.full((1, 3), stray)])
        found = sample_outer_surface(more, faces, 100, generator=seeded(17))
        assert torch.equal(found.face, sample_surface(positions, faces, 100, generator=seeded(17)).face)


def test_faces_without_area_are_stepped_over():
    positions, faces = ball(subdivisions=1)
    flat = torch.cat([torch.tensor([[0, 0, 0], [0, 1, 1]]), faces])
    found = sample_outer_surface(positions, flat, 100, generator=seeded(18))
    assert torch.equal(found.face - 2, sample_surface(positions, faces, 100, generator=seeded(18)).face)


def with_nan() -> torch.Tensor:
    positions, _ = ball(subdivisions=1)
    positions[2, 1] = math.nan
    return positions


@pytest.mark.parametrize(
    ("positions", "faces", "message"),
    [
        (ball()[0], torch.zeros(0, 3, dtype=torch.int64), "has no faces"),
        (ball()[0] * 0, ball()[1], "has no area"),
        (with_nan(), ball(subdivisions=1)[1], "has a vertex that is not finite"),
        (ball()[0] * math.inf, ball()[1], "has a vertex that is not finite"),
        (ball()[0].double() * 1e200, ball()[1], "an area that is not"),
    ],
)
def test_a_mesh_without_a_surface_is_refused(positions, faces, message):
    with pytest.raises(DataError, match=message) as caught:
        sample_outer_surface(positions, faces, 5, generator=seeded())
    assert caught.value.fix


@pytest.mark.parametrize("faces", [torch.tensor([[0, 1, 500]]), torch.tensor([[0, 1, -1]])])
def test_faces_that_name_vertices_which_are_not_there_are_refused(faces):
    with pytest.raises(ConfigError, match="holds indices"):
        sample_outer_surface(ball(subdivisions=1)[0], faces, 5, generator=seeded())


@pytest.mark.parametrize(("count", "views", "resolution"), [(0, 100, 512), (5, 0, 512), (5, 100, 15)])
def test_numbers_that_are_too_small_are_refused(count, views, resolution):
    with pytest.raises(ConfigError, match="`count` is") as caught:
        sample_outer_surface(*ball(), count, generator=seeded(), views=views, resolution=resolution)
    assert caught.value.fix
