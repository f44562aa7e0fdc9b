"""The kernel distance against a plain double loop and against distributions whose distance is known."""

import numpy as np
import pytest

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.kernel_distance import kernel_distance, squared_discrepancy


def by_definition(a, b) -> float:
    """Every pair by itself, in the order of the formula."""

    def k(x, y):
        return (sum(float(p) * float(q) for p, q in zip(x, y, strict=True)) / len(x) + 1.0) ** 3

    n, m = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j)
    within_b = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j)
    across = sum(k(x, y) for x in a for y in b)
    return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * across / (n * m)


def test_it_equals_the_plain_double_loop():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(12, 5)), rng.normal(size=(9, 5)) * 2 + 0.5
    assert squared_discrepancy(a, b) == pytest.approx(by_definition(a, b), rel=1e-12)
    assert squared_discrepancy(b, a) == pytest.approx(by_definition(a, b), rel=1e-12)


def test_two_points_against_two_points_by_hand():
    """Kernels: (1·2 + 1)³ = 27 within the first, (0·0 + 1)³ = 1 within the second and across."""
    assert squared_discrepancy(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]])) == 27 + 1 - 2


def test_the_mean_over_subsets_is_over_the_subsets_the_seed_names():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 4)), rng.normal(size=(25, 4)) + 0.3
    draws = np.random.default_rng(7)
    expected = []
    for _ in range(6):
        rows_a = draws.choice(30, 10, replace=False)
        rows_b = draws.choice(25, 10, replace=False)
        expected.append(by_definition(a[rows_a], b[rows_b]))
    found = kernel_distance(a, b, subsets=6, size=10, seed=7)
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-10)
    assert found.deviation == pytest.approx(np.sqrt(np.mean((expected - np.mean(expected)) ** 2)), rel=1e-10)
    assert (found.subsets, found.size) == (6, 10)
    assert kernel_distance(a, b, subsets=6, size=10, seed=7) == found
    assert kernel_distance(a, b, subsets=6, size=10, seed=8) != found


def test_samples_of_one_distribution_average_to_zero_and_others_do_not():
    """The estimate is unbiased: over many draws of 20 samples its mean is 0 within its own error."""
    rng = np.random.default_rng(2)
    same = [squared_discrepancy(rng.normal(size=(20, 8)), rng.normal(size=(20, 8))) for _ in range(400)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 20
    far = kernel_distance(rng.normal(size=(300, 8)), rng.normal(size=(300, 8)) + 1, size=100, subsets=10)
    assert far.mean > 10 * np.std(same)


def test_fewer_samples_than_a_subset_use_the_smaller_sets_count():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(8, 3)), rng.normal(size=(6, 3))
    found = kernel_distance(a, b, subsets=5)
    assert (found.subsets, found.size) == (5, 6)
    assert found.deviation > 0
    whole = kernel_distance(a[:6], b)
    assert whole == (squared_discrepancy(a[:6], b), 0.0, 1, 6)


def test_float32_features_are_summed_in_float64():
    rng = np.random.default_rng(4)
    a, b = (rng.random((200, 64)).astype(np.float32) * 30 for _ in range(2))
    found = squared_discrepancy(a, b)
    assert found == pytest.approx(squared_discrepancy(a.astype(np.float64), b.astype(np.float64)), rel=1e-12)


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 3)), np.zeros((4, 2)), np.full((4, 3), np.inf), np.zeros(3), np.zeros((4, 0))]
)
def test_unusable_features_are_refused(bad):
    good = np.zeros((4, 3))
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(DataError):
            kernel_distance(*pair)


def test_features_of_no_length_are_refused():
    with pytest.raises(DataError):
        kernel_distance(np.zeros((4, 0)), np.zeros((4, 0)))


@pytest.mark.parametrize("options", [{"subsets": 0}, {"size": 1}])
def test_settings_that_give_no_estimate_are_refused(options):
    with pytest.raises(ConfigError, match="no estimate"):
        kernel_distance(np.zeros((4, 3)), np.zeros((4, 3)), **options)
