"""The Fréchet distance between two sets of features (Heusel et al. 2017).

With Inception-v3's features of 2015 this is FID; with any other extractor it is called
`FD-<extractor>`, and its values are not comparable with published ones.

Legend: N M samples, D features.
"""

from __future__ import annotations

import numpy as np

from polyglyph.measure.feature_sets import checked_features

__all__ = ["frechet_distance", "mean_pairwise_distance"]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|μa - μb|² + tr(Σa + Σb - 2 (Σa Σb)^½), in float64.

    `a` [N, D] and `b` [M, D] are features. The trace of the root is the sum of the square roots of
    the eigenvalues of Σa^½ Σb Σa^½, which is symmetric, so no complex root is ever taken.

    Raises DataError for fewer than two samples, different lengths or values that are not finite.
    """
    a, b = checked_features(a, b)
    covariance_a, covariance_b = np.cov(a, rowvar=False, ddof=1), np.cov(b, rowvar=False, ddof=1)
    covariance_a, covariance_b = np.atleast_2d(covariance_a), np.atleast_2d(covariance_b)
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_b @ root).clip(min=0)
    shift = a.mean(axis=0) - b.mean(axis=0)
    distance = shift @ shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(cross).sum()
    return max(0.0, float(distance))  # equal sets give less than 0 by rounding


def mean_pairwise_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance over all pairs of different rows of [N, D]: 0 when all samples are one."""
    (features,) = checked_features(features)
    from scipy.spatial.distance import pdist

    return float(pdist(features).mean())
