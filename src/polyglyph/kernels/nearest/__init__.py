"""The nearest point of a cloud, for every point of another.

Legend: N query points, M points to choose from, K clouds.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import check_floating
from polyglyph.kernels.nearest import cpu, cuda, reference, vectorised

__all__ = ["Nearest", "mean_distances", "nearest"]

_MODULES: dict[Chosen, Any] = {"reference": reference, "vectorised": vectorised, "cpu": cpu, "cuda": cuda}


class Nearest(NamedTuple):
    """How far, and which."""

    squared_distance: Float[Tensor, "N"]
    index: Int[Tensor, "N"]


def nearest(
    query: Float[Tensor, "N 3"], points: Float[Tensor, "M 3"], *, backend: Backend = "auto"
) -> Nearest:
    """For each row of `query`, the squared distance to and the int64 index of its nearest row of `points`.

    Convention: of points that are equally near, any one may be named.

    On the CPU a k-d tree searches in float64, on as many threads as torch uses: the compiled library's,
    or scipy's cKDTree where there is none. Elsewhere all distances are compared, in the tensors' own type.
    The distance that comes back is always recomputed from the pair of points.

    Differentiable in `query` and `points` through the distance, for the pairs found; not in `index`.

    Raises DataError if either cloud is not [N, 3], is empty, or holds NaN or infinity, and ConfigError if it
    does not hold real numbers.
    """
    _check_cloud("query", query)
    _check_cloud("points", points)
    check_floating(query=query, points=points)
    module = _MODULES[choose(backend, "nearest", query, points)]
    index = module.nearest_index(query.detach(), points.detach())
    return Nearest((query - points.index_select(0, index)).square().sum(dim=1), index)


@torch.no_grad()
def mean_distances(
    one: Float[Tensor, "N 3"],
    many: Float[Tensor, "K M 3"],
    *,
    squared: bool = True,
    backend: Backend = "auto",
) -> Float[Tensor, "K 2"]:
    """For each of many clouds: the mean over `one` of the squared distance to the nearest of its points [:,
    0], and the mean over its points of that to the nearest of `one` [:, 1]. Of distances unless `squared`.

    Means are float64, distances in the tensors' own type. The compiled library works out all distances of a
    pair of clouds, many side by side, where both are small, and builds trees where they are large.
    Not differentiable.

    Raises DataError and ConfigError as `nearest` does.
    """
    _check_cloud("one", one)
    if many.ndim != 3:
        raise DataError(f"`many` has shape {tuple(many.shape)}, not [K, M, 3]", fix="pass one cloud per row")
    check_floating(one=one, many=many)
    if len(many) == 0:
        return many.new_zeros((0, 2), dtype=torch.float64)
    _check_cloud("many", many.flatten(0, 1))
    wider = torch.promote_types(one.dtype, many.dtype)
    one, many = one.to(wider), many.to(wider)
    chosen = choose(backend, "nearest", one, many)
    if chosen == "cpu" and one.shape[0] * many.shape[1] <= cpu.MOST_PAIRS:
        return cpu.mean_distances(one, many, squared)
    found = torch.zeros(len(many), 2, dtype=torch.float64, device=one.device)
    for row, cloud in zip(found, many, strict=True):
        for way, (start, end) in enumerate(((one, cloud), (cloud, one))):
            distance = nearest(start, end, backend=chosen).squared_distance.double()
            row[way] = (distance if squared else distance.sqrt()).mean()
    return found


def _check_cloud(name: str, cloud: Tensor) -> None:
    if cloud.ndim != 2 or cloud.shape[1] != 3:
        raise DataError(f"`{name}` has shape {tuple(cloud.shape)}, not [N, 3]", fix="pass one row per point")
    if len(cloud) == 0:
        raise DataError(f"`{name}` has no points", fix="is the mesh it was sampled from empty?")
    if not bool(cloud.isfinite().all()):
        bad = int((~cloud.isfinite().all(dim=1)).nonzero()[0])
        raise DataError(f"`{name}` row {bad} is not finite", fix="look for NaN where the points were made")
