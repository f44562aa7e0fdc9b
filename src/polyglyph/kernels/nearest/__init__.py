"""The nearest point of a cloud, for every point of another.

Legend: N query points, M points to choose from.
"""

from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import check_floating
from polyglyph.kernels.nearest import cpu, cuda, reference, vectorised

__all__ = ["Nearest", "nearest"]

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
    for name, cloud in (("query", query), ("points", points)):
        if cloud.ndim != 2 or cloud.shape[1] != 3:
            raise DataError(
                f"`{name}` has shape {tuple(cloud.shape)}, not [N, 3]", fix="pass one row per point"
            )
        if len(cloud) == 0:
            raise DataError(f"`{name}` has no points", fix="is the mesh it was sampled from empty?")
        if not bool(cloud.isfinite().all()):
            bad = int((~cloud.isfinite().all(dim=1)).nonzero()[0])
            raise DataError(
                f"`{name}` row {bad} is not finite", fix="look for NaN where the points were made"
            )
    check_floating(query=query, points=points)
    module = _MODULES[choose(backend, "nearest", query, points)]
    index = module.nearest_index(query.detach(), points.detach())
    return Nearest((query - points.index_select(0, index)).square().sum(dim=1), index)
