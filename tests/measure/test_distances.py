"""Distances between clouds against their definitions, written as loops over all pairs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.distances import chamfer, f_score, normal_consistency

CLOUDS = {"n": st.integers(1, 25), "m": st.integers(1, 25), "seed": st.integers(0, 2**31)}


def cloud(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_way(a: torch.Tensor, b: torch.Tensor) -> list[tuple[float, int]]:
    """For each point of a the distance to the nearest of b, and which."""
    found = []
    for p in a.tolist():
        distances = [math.dist(p, q) for q in b.tolist()]
        found.append((min(distances), distances.index(min(distances))))
    return found


def mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CLOUDS)
def test_all_four_chamfer_distances_are_their_definitions(n, m, seed):
    a, b = cloud(n, seed), cloud(m, seed + 1)
    there, back = [d for d, _ in one_way(a, b)], [d for d, _ in one_way(b, a)]
    squares = mean(d * d for d in there) + mean(d * d for d in back)
    lengths = mean(there) + mean(back)
    expected = (squares, squares / 2, lengths, lengths / 2)
    assert [float(value) for value in chamfer(a, b)] == pytest.approx(expected, rel=1e-12)
    assert [float(value) for value in chamfer(b, a)] == pytest.approx(expected, rel=1e-12)


def test_chamfer_of_known_clouds():
    a = torch.tensor([[0.0, 0, 0], [4, 0, 0]])
    b = torch.tensor([[1.0, 0, 0]])
    found = chamfer(a, b)
    assert float(found.squared_sum) == (1 + 9) / 2 + 1
    assert float(found.squared_mean) == 3
    assert float(found.unsquared_sum) == (1 + 3) / 2 + 1
    assert float(found.unsquared_mean) == 1.5


def test_chamfer_is_zero_for_one_set_in_any_order_and_number():
    a = cloud(12, 0)
    assert all(float(value) == 0 for value in chamfer(a, a.flip(0).repeat(2, 1)))


def test_chamfer_passes_gradcheck_in_both_clouds():
    a, b = cloud(6, 1).requires_grad_(), cloud(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: tuple(chamfer(a, b)), (a, b))


def test_a_point_on_its_neighbour_has_a_zero_gradient_not_nan():
    a = cloud(4, 3).requires_grad_()
    for value in chamfer(a, a.detach().clone()):
        (grad,) = torch.autograd.grad(value, a, retain_graph=True)
        assert grad.eq(0).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CLOUDS, threshold=st.floats(0.05, 3))
def test_f_score_is_its_definition(n, m, seed, threshold):
    a, b = cloud(n, seed), cloud(m, seed + 1)
    precision = sum(d < threshold for d, _ in one_way(a, b)) / n
    recall = sum(d < threshold for d, _ in one_way(b, a)) / m
    f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert f_score(a, b, threshold) == pytest.approx((f, precision, recall), abs=1e-6)


def test_precision_is_of_what_was_made_and_the_threshold_itself_is_far():
    a = torch.tensor([[0.0, 0, 0], [9, 0, 0], [7, 0, 0], [5, 0, 0]])
    b = torch.tensor([[0.0, 0, 0]])
    found = f_score(a, b, 0.1)
    assert (found.precision, found.recall) == (0.25, 1.0)
    assert found.f == pytest.approx(0.4)
    assert f_score(a, b, 5).precision == 0.25
    assert f_score(a, b + 100, 0.1) == (0, 0, 0)


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan])
def test_a_threshold_that_nothing_is_below_is_refused(threshold):
    with pytest.raises(ConfigError, match="`threshold` is") as caught:
        f_score(cloud(2, 0), cloud(2, 1), threshold)
    assert caught.value.fix


@settings(max_examples=40, deadline=None, derandomize=True)
@given(**CLOUDS)
def test_normal_consistency_is_its_definition(n, m, seed):
    a, b, na, nb = cloud(n, seed), cloud(m, seed + 1), cloud(n, seed + 2), cloud(m, seed + 3)

    def cosine(p, q) -> float:
        product = math.fsum(x * y for x, y in zip(p, q, strict=True))
        return abs(product) / math.hypot(*p) / math.hypot(*q)

    there = mean(cosine(na[i].tolist(), nb[j].tolist()) for i, (_, j) in enumerate(one_way(a, b)))
    back = mean(cosine(nb[i].tolist(), na[j].tolist()) for i, (_, j) in enumerate(one_way(b, a)))
    assert normal_consistency(a, na, b, nb) == pytest.approx((there + back) / 2, rel=1e-12)


def test_normals_of_any_sign_and_length_are_consistent_with_themselves():
    a, normals = cloud(9, 0), cloud(9, 1)
    assert normal_consistency(a, normals, a, normals * -1e-200) == pytest.approx(1, rel=1e-12)
    across = torch.linalg.cross(normals, cloud(9, 2))
    assert normal_consistency(a, normals, a, across) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("where", ["normals_a", "normals_b"])
def test_a_normal_without_direction_is_refused_by_row(where, bad):
    normals = {"normals_a": cloud(4, 0), "normals_b": cloud(4, 1)}
    normals[where][2] = bad
    with pytest.raises(DataError, match=f"`{where}` row 2 has no direction") as caught:
        normal_consistency(cloud(4, 2), normals["normals_a"], cloud(4, 3), normals["normals_b"])
    assert caught.value.fix


@pytest.mark.parametrize(
    ("bad", "message"), [(cloud(0, 0), "has no points"), (cloud(3, 0) * math.nan, "row 0 is not finite")]
)
def test_empty_and_broken_clouds_are_refused_by_every_distance(bad, message):
    good = cloud(3, 1)
    normals = torch.ones_like(bad)
    for measure in (
        lambda: chamfer(good, bad),
        lambda: f_score(bad, good, 0.1),
        lambda: normal_consistency(good, good, bad, normals),
    ):
        with pytest.raises(DataError, match=message) as caught:
            measure()
        assert caught.value.fix
