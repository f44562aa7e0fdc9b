"""Matrices of Chamfer distances against the distance of each pair, and against plain loops."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from polyglyph.base.errors import DataError
from polyglyph.kernels.nearest import mean_distances
from polyglyph.measure import pairs
from polyglyph.measure.distances import chamfer
from polyglyph.measure.pairs import chamfer_matrix

CHOICES: dict[str, Any] = {
    "squared_sum": {},
    "squared_mean": {"reduction": "mean"},
    "unsquared_sum": {"squared": False},
    "unsquared_mean": {"squared": False, "reduction": "mean"},
}


def clouds(count: int, points: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(
        count, points, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def by_loops(a: torch.Tensor, b: torch.Tensor) -> float:
    """Squared, summed: the definition."""
    means = []
    for start, end in ((a.tolist(), b.tolist()), (b.tolist(), a.tolist())):
        least = [min(math.dist(p, q) ** 2 for q in end) for p in start]
        means.append(math.fsum(least) / len(least))
    return sum(means)


def test_entries_are_the_distances_of_the_pairs_by_plain_loops():
    a, b = clouds(3, 20, 0), clouds(4, 15, 1)
    found = chamfer_matrix(a, b)
    assert found.shape == (3, 4)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[by_loops(x, y) for y in b] for x in a], rtol=1e-12)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_each_choice_is_the_chamfer_distance_of_its_name(name, dtype, rtol):
    a, b = clouds(3, 40, 2, dtype), clouds(2, 30, 3, dtype)
    expected = [[float(getattr(chamfer(x, y), name)) for y in b] for x in a]
    np.testing.assert_allclose(chamfer_matrix(a, b, **CHOICES[name]), expected, rtol=rtol)


@pytest.mark.parametrize("name", CHOICES)
def test_a_set_with_itself_is_the_same_matrix_at_half_the_work(name, monkeypatch):
    a = clouds(5, 16, 4)
    compared = []

    def counted(one, many, **options):
        compared.append(len(many))
        return mean_distances(one, many, **options)

    monkeypatch.setattr(pairs, "mean_distances", counted)
    shortcut = chamfer_matrix(a, a, **CHOICES[name])
    assert sum(compared) == 10
    whole = chamfer_matrix(a, a.clone(), **CHOICES[name])
    assert sum(compared) == 10 + 25
    np.testing.assert_allclose(shortcut, whole, rtol=1e-12)
    assert np.array_equal(shortcut, shortcut.T)
    assert np.array_equal(shortcut.diagonal(), np.zeros(5))


def test_one_shape_with_itself_is_a_zero():
    a = clouds(1, 4, 5)
    assert chamfer_matrix(a, a).tolist() == [[0.0]]


def test_no_gradient_is_kept():
    assert isinstance(chamfer_matrix(clouds(2, 4, 6).requires_grad_(), clouds(2, 4, 7)), np.ndarray)


@pytest.mark.parametrize("where", ["a", "b"])
def test_a_broken_cloud_is_named_before_the_work_begins(where, monkeypatch):
    sets: dict[str, Any] = {"a": clouds(3, 5, 8), "b": clouds(3, 5, 9)}
    sets[where][2, 1, 0] = math.nan
    monkeypatch.setattr(pairs, "mean_distances", lambda *_, **__: pytest.fail("work began"))
    with pytest.raises(DataError, match=f"shape 2 of `{where}` has a point that is not finite") as caught:
        chamfer_matrix(**sets)
    assert caught.value.fix


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3)])
def test_empty_sets_and_clouds_are_refused_by_name(shape):
    with pytest.raises(DataError, match="`b` has shape") as caught:
        chamfer_matrix(clouds(2, 5, 0), torch.zeros(shape))
    assert caught.value.fix
