"""What every distance between sets of features asks of them."""

from __future__ import annotations

import numpy as np

from polyglyph.base.errors import DataError

__all__ = ["checked_features"]


def checked_features(*sets: np.ndarray, least: int = 2) -> list[np.ndarray]:
    """Sets of features [N, D] with one D, in float64.

    Raises DataError for other shapes, no features at all, fewer than `least` samples in a set, or values that
    are not finite.
    """
    found = [np.asarray(features, dtype=np.float64) for features in sets]
    for features in found:
        if features.ndim != 2 or features.shape[1:] != found[0].shape[1:] or not features.shape[1]:
            told = " and ".join(str(each.shape) for each in found)
            raise DataError(f"features have shapes {told}", fix="give sets [N, D] with one D")
        if len(features) < least:
            raise DataError(
                f"a set holds {len(features)} samples, and {least} are needed", fix=f"give at least {least}"
            )
        if not np.isfinite(features).all():
            raise DataError("a feature is not finite", fix="look for broken pictures")
    return found
