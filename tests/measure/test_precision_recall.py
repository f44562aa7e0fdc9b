"""Precision, recall, density and coverage against their definitions, one pair at a time."""

import math

import numpy as np
import pytest

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure import precision_recall as module
from polyglyph.measure.precision_recall import density_coverage, precision_recall


def radius(points, index, k):
    return sorted(math.dist(points[index], other) for j, other in enumerate(points) if j != index)[k - 1]


def by_definition(generated, reference, k):
    """Precision, recall, density, coverage with closed balls."""

    def inside(point, centres, i):
        return math.dist(point, centres[i]) <= radius(centres, i, k) * (1 + 1e-12)

    balls = [[inside(g, reference, i) for i in range(len(reference))] for g in generated]
    others = [[inside(r, generated, i) for i in range(len(generated))] for r in reference]
    return (
        np.mean([any(row) for row in balls]),
        np.mean([any(row) for row in others]),
        np.sum(balls) / (k * len(generated)),
        np.mean([any(column) for column in zip(*balls, strict=True)]),
    )


def ours(generated, reference, k):
    return (*precision_recall(generated, reference, k=k), *density_coverage(generated, reference, k=k))


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block", [1, 100, 2**22])
def test_they_equal_the_definition_whatever_the_block(k, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(k)
    generated, reference = rng.normal(size=(23, 3)), rng.normal(size=(31, 3)) * 0.7 + 0.5
    assert ours(generated, reference, k) == pytest.approx(by_definition(generated, reference, k), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1 / 3, 1e4])
def test_ties_are_inside(offset):
    """Points of a grid have many equal distances; an offset from the origin must not decide any."""
    rng = np.random.default_rng(5)
    generated, reference = (rng.integers(0, 4, size=(20, 2)).astype(float) for _ in range(2))
    expected = by_definition(generated, reference, 3)
    assert ours(generated + offset, reference + offset, 3) == pytest.approx(expected, abs=1e-12)


def test_a_set_against_itself_is_perfect():
    points = np.random.default_rng(6).normal(size=(40, 6))
    assert precision_recall(points, points) == (1, 1)
    assert density_coverage(points, points).coverage == 1
    assert density_coverage(points, points).density >= 1


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    reference = np.random.default_rng(7).normal(size=(50, 4))
    collapsed = np.repeat(reference[:1], 20, axis=0)
    found = precision_recall(collapsed, reference)
    assert found.precision == 1
    assert found.recall == 1 / 50  # the one sample it repeats: balls of radius 0 hold that point
    assert density_coverage(collapsed, reference).coverage < 0.5


def test_far_sets_share_nothing():
    points = np.random.default_rng(8).normal(size=(20, 4))
    assert ours(points + 100, points, 3) == (0, 0, 0, 0)


def test_sets_of_one_repeated_point_touch_only_if_they_are_equal():
    """Radius 0 far from the origin, where a matrix product alone gives a distance that is not 0."""
    point = np.full((6, 3), 1234.5678)
    assert ours(point, point, 3) == (1, 1, 2, 1)
    near = point + 1e-7
    assert ours(near, point, 3) == (0, 0, 0, 0)


def test_near_pairs_of_high_features_keep_their_digits():
    """Two clusters far apart, each 1e-7 wide: distances inside a cluster decide everything."""
    rng = np.random.default_rng(9)
    sets = [np.repeat([[0.0], [1e3]], 10, axis=0) + 1e-7 * rng.normal(size=(20, 4)) for _ in range(2)]
    assert ours(*sets, 3) == pytest.approx(by_definition(*sets, 3), abs=1e-12)


@pytest.mark.parametrize("measure", [precision_recall, density_coverage])
def test_unusable_features_and_settings_are_refused(measure):
    good = np.random.default_rng(0).normal(size=(8, 3))
    for bad in (good[:, :2], good[0], np.full((8, 3), np.nan), np.zeros((8, 0))):
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(DataError):
                measure(*pair)
    with pytest.raises(DataError):
        measure(good[:, :0], good[:, :0])
    with pytest.raises(DataError, match="holds 4 samples, and 5 are needed"):
        measure(good[:4], good, k=4)
    with pytest.raises(ConfigError, match="`k` is 0"):
        measure(good, good, k=0)
