"""Points of a surface: where they fall, which seeds give them, and the frames they are put in."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.points import normalise, sample_surface

TRIANGLE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
ONE_FACE = torch.tensor([[0, 1, 2]])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fan(areas: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Triangles of these areas, side by side along x."""
    rows = [[[x, 0.0, 0], [x + 1, 0, 0], [x, 2 * area, 0]] for x, area in enumerate(areas)]
    return torch.tensor(rows).reshape(-1, 3), torch.arange(3 * len(areas)).reshape(-1, 3)


def test_faces_are_drawn_by_their_area():
    areas = [0.5, 0.0, 2.0, 0.1, 0.0]
    _, face = sample_surface(*fan(areas), 40_000, generator=seeded())
    share = torch.bincount(face, minlength=5) / 40_000
    torch.testing.assert_close(share, torch.tensor(areas) / sum(areas), atol=0.01, rtol=0)
    assert share[[1, 4]].eq(0).all()


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 1), (1.0, 2)])
def test_the_least_and_the_largest_draw_fall_on_faces_that_have_an_area(draw, expected, monkeypatch):
    draws = torch.full((1, 3), draw, dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: draws)
    _, face = sample_surface(*fan([0.0, 1, 1, 0]), 1, generator=seeded())
    assert face.tolist() == [expected]


def test_points_are_uniform_on_their_triangle():
    points, _ = sample_surface(TRIANGLE.double(), ONE_FACE, 200_000, generator=seeded(1))
    x, y = points[:, 0], points[:, 1]
    assert points[:, 2].eq(0).all()
    assert min(x.min(), y.min()) >= 0
    assert (x + y).max() <= 1 + 1e-12
    # moments of the uniform distribution on the unit right triangle
    for found, expected in ((x, 1 / 3), (y, 1 / 3), (x * x, 1 / 6), (y * y, 1 / 6), (x * y, 1 / 12)):
        assert float(found.mean()) == pytest.approx(expected, abs=0.003)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(count=st.integers(1, 50), faces=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_every_point_lies_on_the_face_it_names(count, faces, seed):
    rng = seeded(seed)
    positions = torch.randn(3 * faces, 3, generator=rng, dtype=torch.float64)
    triangles = torch.randint(3 * faces, (faces, 3), generator=rng)
    triangles[0] = torch.arange(3)
    points, face = sample_surface(positions, triangles, count, generator=rng)
    assert points.shape == (count, 3)
    assert face.dtype == torch.int64
    for point, row in zip(points, face, strict=True):
        a, b, c = positions[triangles[row]]
        weights = torch.linalg.lstsq(torch.stack([b - a, c - a], dim=1), point - a).solution
        torch.testing.assert_close(a + weights[0] * (b - a) + weights[1] * (c - a), point)
        assert weights.min() > -1e-9
        assert weights.sum() < 1 + 1e-9


def test_one_seed_gives_the_same_points_and_another_does_not():
    first = sample_surface(TRIANGLE, ONE_FACE, 9, generator=seeded(3))
    again = sample_surface(TRIANGLE, ONE_FACE, 9, generator=seeded(3))
    other = sample_surface(TRIANGLE, ONE_FACE, 9, generator=seeded(4))
    assert torch.equal(first.positions, again.positions)
    assert torch.equal(first.face, again.face)
    assert not torch.equal(first.positions, other.positions)


def test_the_type_of_the_vertices_changes_the_points_by_rounding_only():
    single = sample_surface(TRIANGLE, ONE_FACE, 50, generator=seeded(5)).positions
    double = sample_surface(TRIANGLE.double(), ONE_FACE, 50, generator=seeded(5)).positions
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


def test_areas_too_small_and_too_many_for_float32_still_count():
    # in float32 the small areas vanish (1e-44 is no normal number) or do not move the sum
    positions, faces = fan([1.0] * 1000)
    _, face = sample_surface(positions * 1e-22, faces, 20_000, generator=seeded(6))
    assert float(face.double().mean()) == pytest.approx(499.5, abs=10)


def test_points_move_with_the_vertices():
    positions = TRIANGLE.double().requires_grad_()
    points, _ = sample_surface(positions, ONE_FACE, 7, generator=seeded(7))
    (grad,) = torch.autograd.grad(points.sum(), positions)
    torch.testing.assert_close(grad.sum(dim=0), torch.full((3,), 7.0, dtype=torch.float64))


def with_nan() -> torch.Tensor:
    positions = TRIANGLE.clone()
    positions[2, 1] = math.nan
    return positions


@pytest.mark.parametrize(
    ("positions", "faces", "message"),
    [
        (TRIANGLE, torch.zeros(0, 3, dtype=torch.int64), "has no faces"),
        (TRIANGLE * 0, ONE_FACE, "has no area"),
        (TRIANGLE, torch.tensor([[0, 1, 1], [2, 2, 2]]), "has no area"),
        (with_nan(), ONE_FACE, "face 0 has a vertex that is not finite"),
        (TRIANGLE * math.inf, ONE_FACE, "face 0 has a vertex that is not finite"),
        (TRIANGLE.double() * 1e200, ONE_FACE, "an area that is not"),
    ],
)
def test_a_mesh_without_a_surface_is_refused(positions, faces, message):
    with pytest.raises(DataError, match=message) as caught:
        sample_surface(positions, faces, 5, generator=seeded())
    assert caught.value.fix


def test_a_vertex_that_no_face_uses_may_be_anything():
    positions = torch.cat([TRIANGLE, torch.full((1, 3), math.nan)])
    points, _ = sample_surface(positions, ONE_FACE, 5, generator=seeded())
    assert points.isfinite().all()


@pytest.mark.parametrize(("faces", "count"), [(ONE_FACE, 0), (ONE_FACE + 1, 5), (ONE_FACE - 1, 5)])
def test_no_points_and_faces_of_missing_vertices_are_refused(faces, count):
    with pytest.raises(ConfigError, match=r"`count` is 0|holds indices") as caught:
        sample_surface(TRIANGLE, faces, count, generator=seeded())
    assert caught.value.fix


BRICK = torch.tensor([[1.0, 2, 3], [3, 5, 9], [1, 5, 3]], dtype=torch.float64)  # sides 2, 3, 6; diagonal 7


@pytest.mark.parametrize(
    ("how", "centre", "scale"),
    [
        ("none", [0, 0, 0], 1.0),
        ("box", [2, 3.5, 6], 6.0),
        ("diagonal", [2, 3.5, 6], 7.0),
        ("sphere", [2, 3.5, 6], 3.5),
    ],
)
def test_each_normalisation_has_its_frame(how, centre, scale):
    found = normalise(BRICK, how)
    assert found.centre.tolist() == centre
    assert float(found.scale) == pytest.approx(scale, rel=1e-12)
    torch.testing.assert_close(found.points * found.scale + found.centre, BRICK)


def test_normalised_points_have_the_size_their_name_says():
    points = torch.randn(200, 3, generator=seeded(2)) * torch.tensor([3.0, 0.2, 9]) + 40
    box, diagonal, sphere = (normalise(points, how).points for how in ("box", "diagonal", "sphere"))
    sides = box.amax(dim=0) - box.amin(dim=0)
    assert float(sides.max()) == pytest.approx(1, rel=1e-6)
    assert float((diagonal.amax(dim=0) - diagonal.amin(dim=0)).norm()) == pytest.approx(1, rel=1e-6)
    assert float(sphere.norm(dim=1).max()) == pytest.approx(1, rel=1e-6)
    assert float(diagonal.norm(dim=1).max()) <= 0.5 + 1e-6
    for points in (box, diagonal, sphere):
        torch.testing.assert_close(points.amax(dim=0), -points.amin(dim=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", ["box", "diagonal", "sphere"])
def test_the_frame_of_a_moved_and_scaled_cloud_is_the_same(how):
    points = torch.randn(30, 3, generator=seeded(8), dtype=torch.float64)
    moved = points * 12 + torch.tensor([5.0, -3, 2])
    torch.testing.assert_close(normalise(points, how).points, normalise(moved, how).points)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(0, 3), "no points"),
        (torch.ones(4, 3), "no extent"),
        (with_nan(), "point 2 is not finite"),
    ],
)
def test_clouds_without_a_frame_are_refused(points, message):
    with pytest.raises(DataError, match=message) as caught:
        normalise(points, "box")
    assert caught.value.fix


def test_an_unknown_normalisation_is_refused():
    with pytest.raises((ConfigError, TypeError)):
        normalise(BRICK, "cube")  # pyright: ignore[reportArgumentType]
