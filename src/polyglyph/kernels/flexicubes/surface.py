"""What FlexiCubes returns, and how quads become triangles.

Legend: V and F vertices and faces of all meshes together.
"""

from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from polyglyph.kernels.marching_tets import Surface

__all__ = ["AT_CENTRE", "DIAGONAL_02", "DIAGONAL_13", "FlexiSurface", "Split"]

Split = Literal["diagonal", "centre"]
"""`diagonal`: two triangles for each quad; `centre`: four, around a vertex in its middle."""

DIAGONAL_02 = ((0, 1, 2), (0, 2, 3))
DIAGONAL_13 = ((0, 1, 3), (1, 2, 3))
AT_CENTRE = ((0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4))
"""Triangles by corner of the quad; 4 is the vertex in its middle."""


class FlexiSurface(NamedTuple):
    """Triangle meshes, and how unevenly their vertices sit among the crossings that made them."""

    surface: Surface
    deviation: Float[Tensor, ""]
    """L_dev of the paper's equation 8: for each vertex, the mean absolute deviation of its distances to its
    crossings; averaged over the dual vertices of all meshes (the paper sums), 0 if there are none."""
