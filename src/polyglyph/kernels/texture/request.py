"""What every backend is given: a look-up with its shapes brought to one form.

Legend: I images (1 when all samples share one), F faces (1, or the 6 of a cube), h w texels, C channels,
S samples, in I runs of the same length, one for each image; D coordinates (2, or the 3 of a direction).
"""

from typing import NamedTuple

from torch import Tensor

__all__ = ["NO_FOOTPRINT", "Request"]

NO_FOOTPRINT = -1e30
"""The level of a sample whose derivatives are 0: finer than any, whatever the bias."""


class Request(NamedTuple):
    """One call of `texture` or `texture_cube`; all tensors have the result's type."""

    levels: list[Tensor]
    """The image [I, F, h, w, C], then the mip levels that the filter may use."""
    coordinate: Tensor
    """[S, D]."""
    derivative: Tensor | None
    """[S, D, 2]."""
    level: Tensor | None
    """[S]."""
    filter: str
    wrap: str
    """`cube` for cube maps."""

    @property
    def channels(self) -> int:
        return self.levels[0].shape[-1]

    @property
    def run(self) -> int:
        """Samples of one image."""
        return len(self.coordinate) // max(1, self.levels[0].shape[0])
