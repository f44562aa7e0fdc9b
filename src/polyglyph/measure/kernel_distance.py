"""The kernel distance between two sets of features (Bińkowski et al. 2018).

With Inception-v3's features of 2015 this is KID. Unlike the Fréchet distance it has no bias in the
number of samples, so small sets can be compared; a value below zero means "not told apart".

Legend: N M samples, S samples of a subset, D features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polyglyph.base.errors import ConfigError
from polyglyph.measure.feature_sets import checked_features

__all__ = ["KernelDistance", "kernel_distance", "squared_discrepancy"]


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets, and the subsets that were used."""

    mean: float
    deviation: float
    subsets: int
    size: int


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(x·y / D + 1)³ for every pair: section 4 of the paper."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, equation 3).

    `a` [N, D] and `b` [M, D] are features, at least two of each; no pair of a sample with itself counts.
    """
    a, b = checked_features(a, b)
    n, m = len(a), len(b)
    within_a, within_b = _kernel(a, a), _kernel(b, b)
    return float(
        (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
        + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
        - 2 * _kernel(a, b).mean()
    )


def kernel_distance(
    a: np.ndarray, b: np.ndarray, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Mean and population standard deviation of `squared_discrepancy` over random subsets, in float64.

    `a` [N, D] and `b` [M, D] are features. Each subset draws `size` rows of either without replacement;
    where a set has fewer rows, `size` is the smaller set's count. If that is all rows of both sets, every
    subset is the same one, so only one is taken and the deviation is 0.

    Raises DataError for fewer than two samples, different lengths or values that are not finite,
    ConfigError for no subsets or subsets of fewer than two.
    """
    if subsets < 1 or size < 2:
        raise ConfigError(
            f"{subsets} subsets of {size} samples give no estimate",
            fix="use at least 1 subset of at least 2 samples",
        )
    a, b = checked_features(a, b)
    size = min(size, len(a), len(b))
    if size == len(a) == len(b):
        return KernelDistance(squared_discrepancy(a, b), 0.0, 1, size)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        rows_a, rows_b = (rng.choice(len(features), size, replace=False) for features in (a, b))
        values.append(squared_discrepancy(a[rows_a], b[rows_b]))
    return KernelDistance(float(np.mean(values)), float(np.std(values)), subsets, size)
