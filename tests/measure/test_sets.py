"""Set metrics against loops over their definitions, and what they say of degenerate sets."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.sets import (
    bootstrap_interval,
    coverage,
    jensen_shannon_divergence,
    minimum_matching_distance,
    one_nearest_neighbour_accuracy,
)

SIZES = {"n": st.integers(1, 12), "m": st.integers(1, 12), "seed": st.integers(0, 2**31)}
SWEEP = settings(max_examples=60, deadline=None, derandomize=True)


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances of all rows of a to all rows of b."""
    return np.abs(a[:, None] - b[None]).sum(axis=2)


def matrices(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return apart(a, a), apart(b, b), apart(a, b)


def shapes(count: int, seed: int, levels: int | None = None) -> np.ndarray:
    """Points that stand for shapes; with few `levels` many distances are equal."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 2)) if levels is None else rng.integers(levels, size=(count, 2)) * 1.0


@SWEEP
@given(**SIZES, levels=st.sampled_from([None, 2, 4]))
def test_coverage_and_matching_distance_are_their_definitions(n, m, seed, levels):
    distances = apart(shapes(n, seed, levels), shapes(m, seed + 1, levels))
    rows = distances.tolist()
    covered = {row.index(min(row)) for row in rows}
    matched = [min(row[j] for row in rows) for j in range(m)]
    assert coverage(distances) == pytest.approx(len(covered) / m, rel=1e-12)
    assert minimum_matching_distance(distances) == pytest.approx(math.fsum(matched) / m, rel=1e-12)


def test_coverage_and_matching_distance_of_a_known_matrix():
    distances = np.array([[1.0, 5, 9], [2, 7, 3], [4, 6, 8], [0, 3, 3]])
    assert coverage(distances) == 1 / 3
    assert minimum_matching_distance(distances) == (0 + 3 + 3) / 3
    assert coverage(distances.T) == 2 / 4
    assert minimum_matching_distance(distances.T) == (1 + 2 + 4 + 0) / 4


def test_a_set_covers_itself_and_a_collapsed_one_covers_one_shape():
    a = shapes(9, 0)
    assert coverage(apart(a, a)) == 1
    assert minimum_matching_distance(apart(a, a)) == 0
    assert coverage(apart(np.repeat(a[:1], 9, axis=0), a)) == 1 / 9
    assert coverage(np.ones((5, 4))) == 1 / 4


def test_of_equal_references_one_is_covered():
    a = np.array([[0.0, 0], [0, 0], [1, 1]])
    assert coverage(apart(a, a)) == 2 / 3


def by_loops(a: np.ndarray, b: np.ndarray) -> float:
    """Leave one out, over the union, with fractions of one half for ties."""
    union, labels = [*a.tolist(), *b.tolist()], [0] * len(a) + [1] * len(b)
    right = 0.0
    for i, shape in enumerate(union):
        others = [j for j in range(len(union)) if j != i]
        distance = {j: sum(abs(x - y) for x, y in zip(shape, union[j], strict=True)) for j in others}
        nearest = {labels[j] for j in others if distance[j] == min(distance.values())}
        right += 0.5 if len(nearest) == 2 else float(nearest == {labels[i]})
    return right / len(union)


@SWEEP
@given(**SIZES, levels=st.sampled_from([None, 2, 4]))
def test_nearest_neighbour_accuracy_is_its_definition(n, m, seed, levels):
    a, b = shapes(n, seed, levels), shapes(m, seed + 1, levels)
    assert one_nearest_neighbour_accuracy(*matrices(a, b)) == pytest.approx(by_loops(a, b), rel=1e-12)


def test_one_distribution_gives_one_half_and_two_give_one():
    a, b = shapes(600, 1), shapes(600, 2)
    assert one_nearest_neighbour_accuracy(*matrices(a, b)) == pytest.approx(0.5, abs=0.06)
    assert one_nearest_neighbour_accuracy(*matrices(a, b + 100)) == 1


def test_copies_give_zero_and_equal_distances_one_half():
    a = shapes(20, 3)
    assert one_nearest_neighbour_accuracy(*matrices(a, a)) == 0
    assert one_nearest_neighbour_accuracy(*matrices(a * 0, a * 0)) == 0.5
    assert one_nearest_neighbour_accuracy(*matrices(a * 0, a[:3] * 0)) == 0.5
    twice = np.concatenate([a, a])
    assert one_nearest_neighbour_accuracy(*matrices(twice, twice)) == 0.5


def test_a_shape_alone_in_its_set_counts_as_mistaken():
    a = shapes(1, 4)
    assert one_nearest_neighbour_accuracy(*matrices(a, a + 1)) == 0
    far = shapes(3, 5) + 100
    assert one_nearest_neighbour_accuracy(*matrices(a, far)) == 3 / 4


def test_the_diagonal_is_not_looked_at():
    own, other, cross = matrices(shapes(6, 6), shapes(7, 7))
    expected = one_nearest_neighbour_accuracy(own, other, cross)
    assert one_nearest_neighbour_accuracy(own + 9 * np.eye(6), other, cross) == expected
    assert own.diagonal().max() == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([[1.0, np.nan], [0, 1]]), r"\[0, 1\] is nan, which is not finite"),
        (np.array([[1.0, 1], [np.inf, 1]]), r"\[1, 0\] is inf, which is not finite"),
        (np.array([[1.0, 1], [1, -2]]), r"\[1, 1\] is -2.0, which is negative"),
        (np.ones(4), r"has shape \(4,\), not \[N, M\]"),
        (np.ones((0, 4)), r"has shape \(0, 4\), not \[N, M\]"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(bad, message):
    good = np.ones((2, 2))
    for metric in (
        lambda: coverage(bad),
        lambda: minimum_matching_distance(bad),
        lambda: one_nearest_neighbour_accuracy(bad, good, good),
        lambda: one_nearest_neighbour_accuracy(good, bad, good),
        lambda: one_nearest_neighbour_accuracy(good, good, bad),
    ):
        with pytest.raises(DataError, match=message) as caught:
            metric()
        assert caught.value.fix


def test_matrices_that_do_not_fit_together_are_refused():
    own, other, cross = matrices(shapes(3, 0), shapes(4, 1))
    for swapped in ((other, own, cross), (own, other, cross.T), (cross, other, cross)):
        with pytest.raises(DataError, match="`generated` has shape") as caught:
            one_nearest_neighbour_accuracy(*swapped)
        assert caught.value.fix
    with pytest.raises(DataError, match="`reference` is not symmetric") as caught:
        one_nearest_neighbour_accuracy(own, np.triu(other), cross)
    assert caught.value.fix


def clouds(count: int, points: int, seed: int) -> np.ndarray:
    """Clouds in the ball of radius ½."""
    directions = np.random.default_rng(seed).normal(size=(count, points, 3))
    return directions / np.linalg.norm(directions, axis=2).max() / 2


def histogram_by_loops(sets: np.ndarray, resolution: int) -> list[float]:
    line = [i / (resolution - 1) - 0.5 for i in range(resolution)]
    nodes = [(x, y, z) for x in line for y in line for z in line if math.hypot(x, y, z) <= 0.5]
    counts = [0] * len(nodes)
    for point in sets.reshape(-1, 3).tolist():
        distances = [math.dist(point, node) for node in nodes]
        counts[distances.index(min(distances))] += 1
    return [count / sum(counts) for count in counts]


@pytest.mark.parametrize("resolution", [4, 7])
def test_divergence_is_its_definition(resolution):
    a, b = clouds(3, 40, 0), 0.6 * clouds(4, 30, 1)
    p, q = histogram_by_loops(a, resolution), histogram_by_loops(b, resolution)
    expected = 0.0
    for x, y in zip(p, q, strict=True):
        middle = (x + y) / 2
        expected += (x * math.log2(x / middle) if x else 0) / 2 + (y * math.log2(y / middle) if y else 0) / 2
    found = jensen_shannon_divergence(a, b, resolution=resolution)
    assert found == pytest.approx(expected, rel=1e-9)
    assert jensen_shannon_divergence(b, a, resolution=resolution) == pytest.approx(found, rel=1e-12)


def test_divergence_is_zero_for_one_set_and_one_bit_for_sets_apart():
    a = clouds(5, 100, 2)
    assert jensen_shannon_divergence(a, a) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon_divergence(a, np.concatenate([a[::-1], a])) == pytest.approx(0, abs=1e-12)
    left, right = np.full((1, 5, 3), -0.2), np.full((2, 9, 3), 0.2)
    assert jensen_shannon_divergence(left, right) == pytest.approx(1, rel=1e-12)


def test_the_grid_has_nodes_not_cells():
    # 28 nodes from -½ to ½ are 1/27 apart: these two lie on one side of a border between nodes, those do not
    here, there = np.array([[[0.001, 0, 0]]]), np.array([[[1 / 27 - 0.001, 0, 0]]])
    assert jensen_shannon_divergence(here, there) == 0
    assert jensen_shannon_divergence(here, there + [0.002, 0, 0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((0, 5, 3)), r"`b` has shape \(0, 5, 3\)"),
        (np.zeros((2, 0, 3)), r"`b` has shape \(2, 0, 3\)"),
        (np.zeros((5, 3)), r"`b` has shape \(5, 3\)"),
        (np.full((2, 5, 3), np.nan), "shape 0 of `b` has a point that is not finite"),
        (np.array([[[0.0, 0, 0]], [[0.4, 0.4, 0.4]]]), "shape 1 of `b` reaches 0.6928 from the origin"),
    ],
)
def test_clouds_that_are_not_in_the_ball_are_refused(bad, message):
    with pytest.raises(DataError, match=message) as caught:
        jensen_shannon_divergence(clouds(2, 5, 0), bad)
    assert caught.value.fix


def test_a_grid_without_nodes_is_refused():
    with pytest.raises(ConfigError, match="`resolution` is 2") as caught:
        jensen_shannon_divergence(clouds(1, 5, 0), clouds(1, 5, 0), resolution=2)
    assert caught.value.fix


def test_the_interval_is_the_quantiles_of_resampled_statistics():
    values = np.random.default_rng(0).normal(size=30)
    rng = np.random.default_rng(7)
    found = [np.median(values[rng.integers(30, size=30)]) for _ in range(4000)]
    interval = bootstrap_interval(values, np.median, level=0.9, repeats=4000, seed=1)
    assert interval == pytest.approx(np.quantile(found, [0.05, 0.95]), abs=0.05)


def test_the_interval_of_a_mean_is_the_normal_one_and_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    values = rng.normal(size=400)
    error = values.std() / 20
    low, high = bootstrap_interval(values)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    held = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.normal(size=60), level=0.8, repeats=200, seed=seed)
        held += low <= 0 <= high
    assert 0.7 < held / 200 < 0.9


def test_the_interval_follows_its_seed_its_level_and_whole_rows():
    values = np.random.default_rng(2).random((25, 6))
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    narrow, wide = (bootstrap_interval(values, minimum_matching_distance, level=x) for x in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    rows = np.repeat(np.arange(25.0)[:, None], 6, axis=1)
    whole = bootstrap_interval(rows, lambda taken: float((taken == taken[:, :1]).all() * len(taken)))
    assert whole == (25, 25)


def test_equal_values_have_an_interval_without_width():
    assert bootstrap_interval(np.full(5, 2.5)) == (2.5, 2.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(1), r"shape \(1,\)"),
        (np.array(3.0), r"shape \(\)"),
        (np.array([1.0, np.nan]), "not finite"),
    ],
)
def test_values_that_cannot_be_resampled_are_refused(values, message):
    with pytest.raises(DataError, match=message) as caught:
        bootstrap_interval(values)
    assert caught.value.fix


@pytest.mark.parametrize("setting", [{"level": 0.0}, {"level": 1.0}, {"level": math.nan}, {"repeats": 0}])
def test_levels_and_repeats_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match="`level` is") as caught:
        bootstrap_interval(np.arange(5.0), **setting)
    assert caught.value.fix
