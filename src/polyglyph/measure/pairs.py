"""The Chamfer distance of every shape of one set to every shape of another.

Legend: N M K shapes, P Q points of each.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.base.progress import track
from polyglyph.kernels.nearest import mean_distances

__all__ = ["chamfer_matrix", "chamfer_row"]


@torch.no_grad()
def chamfer_matrix(
    a: Float[Tensor, "N P 3"],
    b: Float[Tensor, "M Q 3"],
    *,
    squared: bool = True,
    reduction: Literal["sum", "mean"] = "sum",
) -> np.ndarray:
    """Distances [N, M], float64: row i, column j holds the Chamfer distance of a[i] and b[j].

    With x the mean over a[i] of the distance to the nearest point of b[j], and y the other way round, an
    entry is x + y (`sum`) or (x + y) / 2 (`mean`), of squared distances or of distances: the four of
    `measure.distances.Chamfer`. The defaults are GET3D's and PointFlow's, in metres² and without their factor
    of 1000. Distances are taken in the clouds' own type, means in float64.

    If `b is a`, each pair is compared once: the matrix is exactly symmetric and its diagonal 0. Memory beyond
    the clouds and the matrix does not grow with N or M.

    Raises DataError for a set without shapes or points, and for points that are not finite.
    """
    _check("a", a)
    if b is not a:
        _check("b", b)
    result = np.zeros((len(a), len(b)))
    for i in track(range(len(a)), "comparing shapes"):
        first = i + 1 if b is a else 0
        result[i, first:] = chamfer_row(a[i], b[first:], squared=squared, reduction=reduction)
    return result + result.T if b is a else result


def chamfer_row(
    one: Float[Tensor, "P 3"],
    many: Float[Tensor, "K Q 3"],
    *,
    squared: bool = True,
    reduction: Literal["sum", "mean"] = "sum",
) -> np.ndarray:
    """The distances [K] of one cloud to each of many: a row of `chamfer_matrix`."""
    ways = mean_distances(one, many, squared=squared)
    return (ways.sum(dim=1) if reduction == "sum" else ways.mean(dim=1)).cpu().numpy()


def _check(name: str, clouds: Tensor) -> None:
    """Refuse before hours of work what would fail in the middle of them."""
    if not clouds.numel():
        raise DataError(
            f"`{name}` has shape {tuple(clouds.shape)}", fix="give at least one shape with at least one point"
        )
    bad = [i for i, cloud in enumerate(clouds) if not bool(cloud.isfinite().all())]
    if bad:
        raise DataError(
            f"shape {bad[0]} of `{name}` has a point that is not finite",
            fix="look for NaN where the points were made, or leave the shape out",
        )
