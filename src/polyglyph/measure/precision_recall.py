"""Do samples look like the reference (precision, density), and do they show all of it (recall, coverage)?

Each set's manifold is a union of balls, one around each sample, that reach to its k-th nearest other
sample (Kynkäänniemi et al. 2019; Naeem et al. 2020).

Convention: balls are closed, so a point on the border is inside, and squared distances that agree to one
part in 10⁹ are equal. A copy of a sample is a neighbour at distance 0: in a set with more than k copies of
one point their balls have radius 0 and hold only that point.

Legend: N reference samples, M generated samples, D features, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from polyglyph.base.errors import ConfigError
from polyglyph.measure.feature_sets import checked_features

__all__ = ["DensityCoverage", "PrecisionRecall", "density_coverage", "precision_recall"]

BLOCK = 2**22
"""Distances held at once: a few arrays of 32 MiB, whatever the number of samples."""

NEAR = 1e-4
"""Squared distances below this share of the squared lengths lose digits to cancellation."""

TIE = 1 + 1e-9
"""What a squared radius is multiplied by, so that rounding never decides a tie."""


class PrecisionRecall(NamedTuple):
    """Shares in 0..1."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is 0 or more (near 1 for samples of the reference's own distribution), coverage in 0..1."""

    density: float
    coverage: float


def precision_recall(generated: np.ndarray, reference: np.ndarray, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019, equations 1 and 2).

    `generated` [M, D] and `reference` [N, D] are features. Precision is the share of generated samples in
    some ball of the reference; recall the share of reference samples in some ball of the generated.

    Raises DataError for fewer than k + 1 samples, different lengths or values that are not finite,
    ConfigError for a `k` below 1.
    """
    generated, reference = _checked(generated, reference, k)

    def share_inside(points: np.ndarray, centres: np.ndarray) -> float:
        squared_radii = _squared_radii(centres, k) * TIE
        inside = [(block <= squared_radii).any(axis=1) for block in _squared_blocks(points, centres)]
        return float(np.concatenate(inside).mean())

    return PrecisionRecall(share_inside(generated, reference), share_inside(reference, generated))


def density_coverage(generated: np.ndarray, reference: np.ndarray, *, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, equations 3 and 5), with closed balls.

    `generated` [M, D] and `reference` [N, D] are features. Density is the mean number of the reference's
    balls that hold a generated sample, divided by k; coverage the share of the reference's balls that
    hold at least one.

    Raises as `precision_recall`.
    """
    generated, reference = _checked(generated, reference, k)
    squared_radii = _squared_radii(reference, k) * TIE
    covered = np.zeros(len(reference), dtype=bool)
    held = 0
    for squared in _squared_blocks(generated, reference):
        inside = squared <= squared_radii
        held += int(inside.sum())
        covered |= inside.any(axis=0)
    return DensityCoverage(held / (k * len(generated)), float(covered.mean()))


def _squared_radii(points: np.ndarray, k: int) -> np.ndarray:
    """[N] squared distances to the k-th nearest other row."""
    blocks = _squared_blocks(points, points, same=True)
    return np.concatenate([np.partition(squared, k - 1, axis=1)[:, k - 1] for squared in blocks])


def _squared_blocks(a: np.ndarray, b: np.ndarray, *, same: bool = False) -> Iterator[np.ndarray]:
    """Squared distances [B, N], block by block of `a`; with `same`, a row is infinitely far from itself.

    One matrix product gives most distances. Rows with a very near pair are done again from differences,
    which gives exactly 0 for equal points.
    """
    lengths_a, lengths_b = (a * a).sum(axis=1), (b * b).sum(axis=1)
    rows = max(1, BLOCK // len(b))
    for first in range(0, len(a), rows):
        part = a[first : first + rows]
        itself = (np.arange(len(part)), np.arange(first, first + len(part)))
        lengths = lengths_a[first : first + rows, None] + lengths_b
        squared = lengths - 2 * part @ b.T
        near = squared <= NEAR * lengths
        if same:
            near[itself] = False
        again = near.any(axis=1)
        if again.any():
            squared[again] = cdist(part[again], b, "sqeuclidean")
        if same:
            squared[itself] = np.inf
        yield squared


def _checked(generated: np.ndarray, reference: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in float64, about the reference's mean: small lengths keep more digits of distances."""
    if k < 1:
        raise ConfigError(f"`k` is {k}, and a ball reaches to a neighbour", fix="use 3")
    a, b = checked_features(generated, reference, least=k + 1)
    mean = b.mean(axis=0)
    return a - mean, b - mean
