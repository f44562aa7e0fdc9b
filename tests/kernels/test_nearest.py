"""Nearest points: every search against the loops, gradients, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST, threads_of_torch

from polyglyph.base.errors import BackendError, DataError
from polyglyph.kernels.nearest import cpu, mean_distances, nearest, vectorised


def cloud(count: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
def test_known_points_find_their_neighbours(backend):
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 5, 0]])
    query = torch.tensor([[0.4, 0, 0], [0.6, 0, 0], [0, 3, 4.0], [1, 0, 0]])
    found = nearest(query, points, backend=backend)
    assert found.index.tolist() == [0, 1, 2, 1]
    assert found.index.dtype == torch.int64
    torch.testing.assert_close(found.squared_distance, torch.tensor([0.16, 0.16, 20.0, 0.0]))


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(n=st.integers(1, 30), m=st.integers(1, 30), seed=st.integers(0, 2**31))
def test_value_and_gradient_match_the_reference(backend, n, m, seed):
    query, points = cloud(n, seed).requires_grad_(), cloud(m, seed + 1).requires_grad_()
    results = {}
    for name in ("reference", backend):
        distance, index = nearest(query, points, backend=name)
        loss = (distance * torch.linspace(1, 2, n)).sum()
        results[name] = (distance, index, *torch.autograd.grad(loss, (query, points)))
    for ours, theirs in zip(results[backend], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


CLOUDS = {
    "uniform": lambda x: x,
    "flat": lambda x: x * torch.tensor([1.0, 0, 1], dtype=x.dtype),
    "lattice": lambda x: x.round(),
    "two clusters far apart": lambda x: x * 1e-3 + 50 * x[:, :1].sign(),
    "one point": lambda x: x * 0 + 3,
    "one far away": lambda x: torch.cat([x[:1] * 1e6, x[1:]]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", CLOUDS)
@pytest.mark.parametrize("fast", FAST)
def test_clouds_of_every_shape_and_size_are_searched_exactly(fast, shape, dtype):
    for count in (1, 2, 7, 8, 9, 16, 17, 63, 64, 65, 500):
        points = CLOUDS[shape](cloud(count, count, dtype))
        for query in (CLOUDS[shape](cloud(90, 5, dtype)), 10 * cloud(20, 6, dtype), points):
            squared, index = nearest(query, points, backend=fast)
            least = (query[:, None] - points[None]).square().sum(dim=2).amin(dim=1)
            torch.testing.assert_close(squared, least, rtol=1e-6, atol=0)
            assert ((index >= 0) & (index < count)).all()


@pytest.mark.parametrize("fast", FAST)
def test_the_tree_may_hold_more_queries_than_one_task_answers(fast):
    query, points = cloud(1300, 0), cloud(300, 1)
    with threads_of_torch(3):
        found = nearest(query, points, backend=fast)
    assert torch.equal(found.index, torch.cdist(query, points).argmin(dim=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_types_of_numbers_meet_in_the_wider_one(backend):
    query, points = cloud(20, 0, torch.float32), cloud(30, 1)
    found = nearest(query, points, backend=backend)
    assert found.squared_distance.dtype == torch.float64
    assert torch.equal(found.index, nearest(query.double(), points, backend=backend).index)


@pytest.mark.parametrize("pairs_at_once", [1, 70, 10**6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_search_in_chunks_finds_what_the_tree_finds(pairs_at_once, dtype):
    query, points = cloud(61, 0, dtype), cloud(23, 1, dtype)
    found = vectorised.by_chunks(query, points, pairs_at_once)
    assert torch.equal(found, vectorised.by_tree(query, points))


@pytest.mark.parametrize("search", [vectorised.by_chunks, vectorised.by_tree])
def test_points_far_from_the_origin_are_still_told_apart(search):
    # A matrix product's |a|² - 2ab + |b|² would lose these distances in float32.
    points = cloud(200, 2, torch.float32) + 1000
    assert torch.equal(search(points, points), torch.arange(200))


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_equal_points_any_is_right_and_the_distance_is_exact(backend):
    points = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [1, 0, 0]])
    found = nearest(torch.zeros(1, 3), points, backend=backend)
    assert found.squared_distance.tolist() == [1.0]
    assert int(found.index) in {0, 1, 2}


@pytest.mark.parametrize("backend", FAST)
def test_the_distance_passes_gradcheck_in_both_clouds(backend):
    query, points = cloud(6, 3).requires_grad_(), cloud(4, 4).requires_grad_()

    def distances(query, points):
        return nearest(query, points, backend=backend).squared_distance

    assert torch.autograd.gradcheck(distances, (query, points))


def test_a_point_that_nobody_chose_gets_no_gradient():
    points = torch.tensor([[0.0, 0, 0], [100, 0, 0]], requires_grad=True)
    (grad,) = torch.autograd.grad(nearest(torch.ones(3, 3), points).squared_distance.sum(), points)
    assert grad.tolist() == [[-6, -6, -6], [0, 0, 0]]


def test_a_point_on_its_neighbour_has_a_zero_gradient_not_nan():
    points = cloud(3, 5).requires_grad_()
    query = points.detach().clone().requires_grad_()
    for grad in torch.autograd.grad(nearest(query, points).squared_distance.sum(), (query, points)):
        assert grad.eq(0).all()


@pytest.mark.parametrize("empty", ["query", "points"])
def test_an_empty_cloud_is_refused_by_name(empty):
    clouds = {"query": cloud(2, 0), "points": cloud(2, 1)} | {empty: torch.zeros(0, 3)}
    with pytest.raises(DataError, match=f"`{empty}` has no points"):
        nearest(clouds["query"], clouds["points"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["query", "points"])
def test_a_cloud_with_nan_or_infinity_is_refused_by_row(where, bad):
    clouds = {"query": cloud(4, 0), "points": cloud(4, 1)}
    clouds[where][2, 1] = bad
    with pytest.raises(DataError, match=f"`{where}` row 2 is not finite"):
        nearest(clouds["query"], clouds["points"])


def test_points_of_the_wrong_width_and_unknown_backends_are_refused():
    with pytest.raises(TypeError):
        nearest(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises((BackendError, TypeError)):
        nearest(cloud(1, 0), cloud(1, 1), backend="faiss")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_mean_distances_there_and_back(backend, squared, dtype):
    for n, m in ((1, 1), (1, 5), (7, 3), (16, 33), (40, 64)):
        one, many = cloud(n, n, dtype), torch.stack([cloud(m, seed, dtype) for seed in range(6)])
        found = mean_distances(one, many, squared=squared, backend=backend)
        assert found.dtype == torch.float64
        apart = (one.double()[:, None] - many.double()[:, None]).square().sum(dim=3)
        apart = apart if squared else apart.sqrt()
        expected = torch.stack([apart.amin(dim=2).mean(dim=1), apart.amin(dim=1).mean(dim=1)], dim=1)
        torch.testing.assert_close(found, expected, rtol=1e-6 if dtype == torch.float32 else 1e-12, atol=0)


def test_large_clouds_are_searched_with_trees_and_agree(monkeypatch):
    one, many = cloud(300, 0), torch.stack([cloud(200, seed) for seed in (1, 2)])
    all_pairs = mean_distances(one, many)
    monkeypatch.setattr(cpu, "MOST_PAIRS", 300 * 200 - 1)
    monkeypatch.setattr(cpu, "mean_distances", None)
    torch.testing.assert_close(mean_distances(one, many), all_pairs, rtol=1e-12, atol=0)


def test_mean_distances_of_many_clouds_on_several_threads():
    one, many = (
        cloud(50, 0, torch.float32),
        torch.randn(37, 60, 3, generator=torch.Generator().manual_seed(9)),
    )
    with threads_of_torch(1):
        alone = mean_distances(one, many)
    with threads_of_torch(3):
        assert torch.equal(mean_distances(one, many), alone)
    assert mean_distances(one, many[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("one", "many", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(2, 4, 3), "`one` has no points"),
        (torch.zeros(4, 3), torch.zeros(2, 0, 3), "`many` has no points"),
        (torch.zeros(4, 3), torch.full((2, 4, 3), float("nan")), "`many` row 0 is not finite"),
    ],
)
def test_clouds_without_points_have_no_mean_distance(one, many, message):
    with pytest.raises(DataError, match=message) as caught:
        mean_distances(one, many)
    assert caught.value.fix
