"""How well one set of shapes stands for another, from the distances between them.

Any distance will do: Chamfer (`measure.pairs`), light field, earth mover's. All in float64.

Legend: N generated shapes, M reference shapes, P Q points of each shape, R grid resolution.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from scipy.spatial.distance import jensenshannon
from scipy.stats import bootstrap

from polyglyph.base.errors import ConfigError, DataError

__all__ = [
    "Interval",
    "bootstrap_interval",
    "coverage",
    "jensen_shannon_divergence",
    "minimum_matching_distance",
    "one_nearest_neighbour_accuracy",
]

BALL = 0.5 + 1e-3
"""Radius that point clouds must lie in, with the slack of Achlioptas et al."""


class Interval(NamedTuple):
    """Both ends belong to it."""

    low: float
    high: float


def coverage(distances: np.ndarray) -> float:
    """COV: the share, 0..1, of reference shapes that are the nearest one of at least one generated shape.

    `distances` [N, M], generated × reference. Achlioptas et al. 2018. Each generated shape covers
    one reference: of several that are equally near, the one in the lowest column, as in the published code.
    So at most N / M is reached, and of equal references at most one is ever covered.

    Raises DataError for what is not a matrix of finite distances from 0 up.
    """
    distances = _matrix("distances", distances)
    return len(np.unique(distances.argmin(axis=1))) / distances.shape[1]


def minimum_matching_distance(distances: np.ndarray) -> float:
    """MMD: the mean over reference shapes of the distance to the nearest generated shape, in its unit.

    `distances` [N, M], generated × reference. Achlioptas et al. 2018. GET3D prints it times 1000
    for squared Chamfer distances.

    Raises DataError for what is not a matrix of finite distances from 0 up.
    """
    return float(_matrix("distances", distances).min(axis=0).mean())


def one_nearest_neighbour_accuracy(generated: np.ndarray, reference: np.ndarray, cross: np.ndarray) -> float:
    """1-NNA: how often the set a shape comes from is told by its nearest neighbour among all others, 0..1.

    `generated` [N, N] and `reference` [M, M] are the distances within the sets, `cross` [N, M] those between
    them (generated × reference); diagonals are not looked at. Lopez-Paz and Oquab 2017; for shapes PointFlow
    (Yang et al. 2019). Each of the N + M shapes counts once, so take N = M. Two samples of one
    distribution give ½, sets that are told apart give 1.

    Ties: a shape whose nearest neighbours, at equal distance, come from both sets counts half. So if all
    distances are equal the result is ½. Below ½ the sets copy each other: if each shape of one set is also in
    the other, and is in neither twice, the result is 0. A shape alone in its set has no neighbour of its own
    and counts as mistaken: one shape against one gives 0.

    Raises DataError for what are not three fitting matrices of finite distances from 0 up, the first two
    symmetric.
    """
    generated, reference = _matrix("generated", generated), _matrix("reference", reference)
    cross = _matrix("cross", cross)
    n, m = cross.shape
    if generated.shape != (n, n) or reference.shape != (m, m):
        raise DataError(
            f"`generated` has shape {generated.shape}, `reference` {reference.shape}, `cross` {cross.shape}",
            fix="pass [N, N], [M, M] and, generated × reference, [N, M]",
        )
    right = 0.0
    for name, own, other in (("generated", generated, cross), ("reference", reference, cross.T)):
        if not np.allclose(own, own.T, rtol=1e-5, atol=1e-12):
            raise DataError(
                f"`{name}` is not symmetric", fix="pass the distances of the set to itself, both ways"
            )
        own = np.where(np.eye(len(own), dtype=bool), np.inf, own).min(axis=1)
        other = other.min(axis=1)
        right += (own < other).sum() + 0.5 * (own == other).sum()
    return float(right / (n + m))


def jensen_shannon_divergence(a: np.ndarray, b: np.ndarray, *, resolution: int = 28) -> float:
    """JSD: how differently two sets of point clouds fill space on the whole, in bits (base 2), 0..1.

    `a` [N, P, 3] and `b` [M, Q, 3] are clouds in the ball of radius ½ round the origin (`normalise` with
    `diagonal`). Achlioptas et al. 2018, by their code: a grid of `resolution`³ nodes from −½ to ½
    of which those in the ball are kept; every point of every cloud is counted at its nearest node; the
    divergence of the two histograms is taken. Points of equal distance to several nodes go to any of them.
    Their code only warns of points outside the ball; here more than 0.001 outside is refused.

    Raises DataError for sets that are empty, not finite or outside the ball, ConfigError for a `resolution`
    below 3.
    """
    if resolution < 3:
        raise ConfigError(f"`resolution` is {resolution}, too coarse for a node in the ball", fix="use 28")
    line = np.arange(resolution) / (resolution - 1) - 0.5
    nodes = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    nodes = nodes[np.linalg.norm(nodes, axis=1) <= 0.5]
    tree = cKDTree(nodes)
    histograms = []
    for name, clouds in (("a", a), ("b", b)):
        _, nearest = tree.query(_in_ball(name, clouds))
        histograms.append(np.bincount(nearest, minlength=len(nodes)))
    return float(jensenshannon(*histograms, base=2) ** 2)


def bootstrap_interval(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], float] = lambda values: float(values.mean()),
    *,
    level: float = 0.95,
    repeats: int = 2000,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap's interval of a statistic over shapes (Efron and Tibshirani 1993, ch. 13).

    `values` [N, ...], one row for each shape: its matching distance, or its row of a matrix of distances.
    `repeats` times N rows are drawn with replacement and `statistic` (rows to a number; the mean if left out)
    is taken; the interval holds the middle `level` of what came out. The same seed gives the same interval.

    It says how much the result would change with other shapes of the same kind. It is not meant for
    statistics that repeated shapes change by themselves: COV falls when generated shapes are drawn twice,
    and 1-NNA finds every copy.

    Raises DataError for fewer than two shapes or values that are not finite; ConfigError for a `level` that
    is not between 0 and 1 or `repeats` below 1.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim < 1 or len(values) < 2:
        raise DataError(f"values have shape {values.shape}", fix="give one row for each of at least 2 shapes")
    if not np.isfinite(values).all():
        raise DataError("a value is not finite", fix="leave out shapes that could not be measured")
    if not 0 < level < 1 or repeats < 1:
        raise ConfigError(
            f"`level` is {level} and `repeats` {repeats}", fix="use a level such as 0.95 and 2000 repeats"
        )
    found = bootstrap(
        (np.arange(len(values)),),
        lambda rows: statistic(values[rows]),
        vectorized=False,
        n_resamples=repeats,
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(seed),  # pyright: ignore[reportCallIssue]  # `rng` from 1.15 on
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def _matrix(name: str, distances: np.ndarray) -> np.ndarray:
    """A matrix of distances in float64."""
    distances = np.asarray(distances, dtype=np.float64)
    if distances.ndim != 2 or not distances.size:
        raise DataError(
            f"`{name}` has shape {distances.shape}, not [N, M]", fix="give at least one shape on either side"
        )
    for what, wrong in (("not finite", ~np.isfinite(distances)), ("negative", distances < 0)):
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"`{name}` [{row}, {column}] is {distances[row, column]}, which is {what}",
                fix="leave out the shapes that could not be compared",
            )
    return distances


def _in_ball(name: str, clouds: np.ndarray) -> np.ndarray:
    """All points of a set of clouds, in float64."""
    clouds = np.asarray(clouds, dtype=np.float64)
    if clouds.ndim != 3 or clouds.shape[2] != 3 or not clouds.size:
        raise DataError(f"`{name}` has shape {clouds.shape}, not [N, P, 3]", fix="give at least one cloud")
    radius = np.linalg.norm(clouds, axis=2).max(axis=1)
    if not np.isfinite(radius).all():
        raise DataError(
            f"shape {int((~np.isfinite(radius)).argmax())} of `{name}` has a point that is not finite",
            fix="look for NaN where the points were made, or leave the shape out",
        )
    if radius.max() > BALL:
        raise DataError(
            f"shape {int(radius.argmax())} of `{name}` reaches {radius.max():.4g} from the origin, "
            "outside the ball of radius 0.5",
            fix="bring each cloud there with `normalise(points, 'diagonal')`",
        )
    return clouds.reshape(-1, 3)
