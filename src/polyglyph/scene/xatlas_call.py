"""One call of xatlas. It holds the interpreter while it works and takes hours on some surfaces: call it in a
process that can be stopped.

Legend: V vertices, F faces, K charted vertices.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

__all__ = ["Charts", "charts"]

SIDE = 1024.0
"""Longest side of what xatlas is given. It leaves faces of less than 1.2e-7 square units without a place, and
an isosurface of 10,000 faces in a box of side 1 has hundreds of those."""


class Charts(NamedTuple):
    """What xatlas made."""

    vertex_map: Integer[np.ndarray, " K"]
    faces: Integer[np.ndarray, "F 3"]
    uvs: Float[np.ndarray, "K 2"]
    pages: int
    """Pictures that the charts are spread over; 1 is asked for."""


def charts(
    positions: Float[np.ndarray, "V 3"], faces: Integer[np.ndarray, "F 3"], *, resolution: int, padding: int
) -> Charts:
    """Charts on one picture of `resolution` texels a side, `padding` texels apart. Raises ImportError where
    xatlas is not installed."""
    import xatlas

    options = xatlas.PackOptions()
    options.resolution, options.padding = resolution, padding
    options.bilinear = True
    options.create_image = False
    atlas = xatlas.Atlas()
    atlas.add_mesh(positions, faces.astype(np.uint32))
    atlas.generate(pack_options=options)
    vertex_map, indices, uvs = atlas[0]
    return Charts(
        vertex_map.astype(np.int64), indices.astype(np.int32), uvs.astype(np.float32), atlas.atlas_count
    )


def enlarged(positions: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
    """The same shape, its longest side `SIDE` units."""
    extent = float(np.ptp(positions, axis=0).max())
    return positions if extent <= 0 else (positions * np.float32(SIDE / extent)).astype(np.float32)
