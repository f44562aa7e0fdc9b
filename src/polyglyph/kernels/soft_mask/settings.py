"""What decides how far a face is seen, and the edge of that."""

import math
from typing import NamedTuple

__all__ = ["FAR_AWAY", "Settings"]

FAR_AWAY = 1e15
"""Half heights of the image beyond which a corner counts as not finite."""


class Settings(NamedTuple):
    """As `soft_mask` is called, but for `neighbours`, which is at most the number of faces."""

    sharpness: float
    neighbours: int

    @property
    def cutoff(self) -> float:
        """The squared distance at which A is 2**-40."""
        return 40 * math.log(2) / self.sharpness
