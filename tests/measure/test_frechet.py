"""The Fréchet distance against closed forms and scipy's matrix root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from polyglyph.base.errors import DataError
from polyglyph.measure.frechet import frechet_distance, mean_pairwise_distance


def test_a_shift_costs_its_squared_length():
    a = np.random.default_rng(0).normal(size=(500, 4))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + np.array([3, 0, 4, 0])) == pytest.approx(25, rel=1e-9)


def test_scaling_one_axis_costs_the_squared_difference_of_deviations():
    a = np.random.default_rng(1).normal(size=(4000, 1))
    a = (a - a.mean()) / a.std(ddof=1)
    assert frechet_distance(a, 3 * a) == pytest.approx(4, rel=1e-9)


def test_it_equals_the_textbook_formula_with_scipys_matrix_root():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(60, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(80, 6)) + 1
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_fewer_samples_than_features_stay_finite():
    rng = np.random.default_rng(3)
    assert np.isfinite(frechet_distance(rng.normal(size=(5, 40)), rng.normal(size=(7, 40))))


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros((4, 2)), np.full((4, 3), np.nan), np.zeros(3)])
def test_unusable_features_are_refused(bad):
    with pytest.raises(DataError):
        frechet_distance(np.random.default_rng(0).normal(size=(4, 3)), bad)


def test_mean_pairwise_distance_is_zero_for_a_collapsed_set():
    assert mean_pairwise_distance(np.ones((5, 3))) == 0
    assert mean_pairwise_distance(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)


def test_a_set_is_never_less_than_nothing_away_from_itself():
    """Rounding alone would give a small number below 0 here."""
    features = 100 * np.random.default_rng(0).normal(size=(40, 200))
    assert 0 <= frechet_distance(features, features) < 1e-1
