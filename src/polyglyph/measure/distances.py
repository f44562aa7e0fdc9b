"""How far two surfaces are apart, by points drawn from both.

Legend: N M points.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.kernels.nearest import nearest

__all__ = ["Chamfer", "FScore", "chamfer", "f_score", "normal_consistency"]


class Chamfer(NamedTuple):
    """The four numbers that are called Chamfer distance.

    With x the mean over a of the distance d to the nearest point of b, and y that over b to a:
    """

    squared_sum: Float[Tensor, ""]
    """x + y of d², metres². Fan et al. 2017, with means for their sums: the code of Achlioptas et al. 2018,
    PointFlow, and GET3D, which prints it times 1000."""
    squared_mean: Float[Tensor, ""]
    """(x + y) / 2 of d², metres². Occupancy Networks' "Chamfer-L2"."""
    unsquared_sum: Float[Tensor, ""]
    """x + y of d, metres. The formula in the Point Completion Network's paper (Yuan et al. 2018)."""
    unsquared_mean: Float[Tensor, ""]
    """(x + y) / 2 of d, metres. Occupancy Networks' "Chamfer-L1" (its distances are Euclidean all the same)
    and what the Point Completion Network's code computes."""


class FScore(NamedTuple):
    """Shares in 0..1."""

    f: float
    precision: float
    recall: float


def chamfer(a: Float[Tensor, "N 3"], b: Float[Tensor, "M 3"]) -> Chamfer:
    """The symmetric Chamfer distances of two clouds in metres: see `Chamfer` for which is whose.

    All are 0 exactly when the two clouds are the same set of points. They hold in the units given, so both
    clouds want the same frame first (`normalise`).

    Differentiable in `a` and `b` for the pairs found. Where a point lies on its neighbour the gradient of the
    unsquared distance, which has none there, is 0.

    Raises DataError for a cloud that is empty or not finite.
    """
    there, back = nearest(a, b).squared_distance, nearest(b, a).squared_distance
    squared = there.mean() + back.mean()
    unsquared = _root(there).mean() + _root(back).mean()
    return Chamfer(squared, squared / 2, unsquared, unsquared / 2)


def _root(squared: Tensor) -> Tensor:
    """√ with gradient 0 at 0, where it would be infinite."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


def f_score(a: Float[Tensor, "N 3"], b: Float[Tensor, "M 3"], threshold: float) -> FScore:
    """Precision: the share of `a` (what was made) nearer than `threshold` to `b` (the reference); recall: the
    share of `b` nearer than `threshold` to `a`; f: their harmonic mean, 0 where both are 0.

    Knapitsch et al. 2017; a point exactly at `threshold` (metres) is not near. Tatarchenko
    et al. 2019 take 1 % of the side length.

    Raises DataError for a cloud that is empty or not finite, ConfigError for a threshold that is not above 0.
    """
    if not threshold > 0:
        raise ConfigError(
            f"`threshold` is {threshold}, and no distance is below it", fix="pass 1 % of the size, 0.01"
        )
    precision = float((nearest(a, b).squared_distance.sqrt() < threshold).float().mean())
    recall = float((nearest(b, a).squared_distance.sqrt() < threshold).float().mean())
    both = precision + recall
    return FScore(2 * precision * recall / both if both else 0.0, precision, recall)


def normal_consistency(
    a: Float[Tensor, "N 3"],
    normals_a: Float[Tensor, "N 3"],
    b: Float[Tensor, "M 3"],
    normals_b: Float[Tensor, "M 3"],
) -> float:
    """The mean over `a` of |cos| of the angle between a point's normal and the normal of the nearest point of
    `b`, and the same from `b` to `a`; then the mean of the two. 0..1, 1 for equal orientation.

    Occupancy Networks (Mescheder et al. 2019). The sign is dropped, so meshes of any winding compare. Normals
    may have any length. Of points equally near, any one's normal may be taken.

    Raises DataError for a cloud that is empty or not finite and for normals that are 0 or not finite.
    """
    normals_a, normals_b = _directions("normals_a", normals_a), _directions("normals_b", normals_b)
    there = (normals_a * normals_b[nearest(a, b).index]).sum(dim=1).abs().mean()
    back = (normals_b * normals_a[nearest(b, a).index]).sum(dim=1).abs().mean()
    return float((there + back) / 2)


def _directions(name: str, normals: Tensor) -> Tensor:
    """Normals of length 1."""
    # by the largest component first: the square of a short normal would vanish
    largest = normals.abs().amax(dim=1, keepdim=True)
    bad = (~((largest > 0) & normals.isfinite().all(dim=1, keepdim=True))).nonzero()
    if len(bad):
        raise DataError(
            f"`{name}` row {int(bad[0, 0])} has no direction", fix="leave out points of faces without area"
        )
    normals = normals / largest
    return normals / normals.norm(dim=1, keepdim=True)
