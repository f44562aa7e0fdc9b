"""A field in space written into a texture.

Legend: K charted vertices, F faces, R texels along a side, N texels queried, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.rasterize import rasterize
from polyglyph.scene.atlas import Atlas

__all__ = ["Baked", "Field", "Layout", "bake", "dilate", "layout"]

Field = Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N C"]]
"""Values at points of space."""


@dataclass(frozen=True)
class Layout:
    """Which face each texel centre lies on, and where. Row 0 of the texture is v = 0."""

    face_id: Shaped[Tensor, "1 R R"]
    barycentric: Float[Tensor, "1 R R 3"]

    @property
    def coverage(self) -> Bool[np.ndarray, "R R"]:
        """The texels whose centre lies on the surface."""
        return (self.face_id[0] >= 0).cpu().numpy()


@dataclass(frozen=True)
class Baked:
    """A texture, every texel filled."""

    image: Float[np.ndarray, "R R C"]
    coverage: Bool[np.ndarray, "R R"]
    """The texels that were asked of the field; the others are copies of their nearest covered texel."""


def layout(atlas: Atlas, resolution: int, *, device: torch.device | str = "cpu") -> Layout:
    """Rasterise the charts once; `bake` it with as many fields as there are textures."""
    if resolution < 4:
        raise ConfigError(f"the texture is {resolution} texels wide", fix="give at least 4")
    uv = torch.from_numpy(np.ascontiguousarray(atlas.uvs, dtype=np.float32)).to(device)
    zero = torch.zeros_like(uv[:, 0])
    clip = torch.stack([uv[:, 0] * 2 - 1, 1 - uv[:, 1] * 2, zero, zero + 1], 1)
    faces = torch.from_numpy(atlas.faces.astype(np.int64)).to(device)
    hit = rasterize(clip[None], faces, (resolution, resolution))
    return Layout(hit.face_id, hit.barycentric)


def bake(
    atlas: Atlas,
    positions: Shaped[np.ndarray, "V 3"],
    field: Field,
    resolution: int | Layout,
    *,
    reach: int | None = None,
    chunk: int = 131_072,
    device: torch.device | str = "cpu",
) -> Baked:
    """Ask `field` for a value at the surface point under every covered texel's centre.

    The field is called without gradients on at most `chunk` points at a time, on `device`. Texels whose
    centre misses the surface get the value of the nearest covered texel, so that bilinear filtering and
    coarser mip levels never reach anything else; `reach` limits that to a distance in texels (the rest is 0).
    Whether a texel is covered is decided by the charts, never by its colour: black stays black.

    Raises DataError when no texel is covered or when the field returns values that are not finite.
    """
    plan = resolution if isinstance(resolution, Layout) else layout(atlas, resolution, device=device)
    coverage = plan.coverage
    if not coverage.any():
        raise DataError("no texel of the texture lies on the surface", fix="use a higher texture resolution")
    vertices = torch.from_numpy(np.asarray(positions, dtype=np.float32)[atlas.vertex_map]).to(
        plan.face_id.device
    )
    faces = torch.from_numpy(atlas.faces.astype(np.int64)).to(plan.face_id.device)
    hit = plan.face_id[0] >= 0
    face_id, barycentric = plan.face_id[:, hit][:, None], plan.barycentric[:, hit][:, None]
    points = interpolate(vertices, faces, face_id, barycentric)[0, 0]
    values = []
    with torch.no_grad():
        for first in range(0, len(points), chunk):
            values.append(field(points[first : first + chunk]).float().cpu().numpy())
    value = np.concatenate(values)
    if not np.isfinite(value).all():
        raise DataError("the field returned values that are not finite", fix="check the model's weights")
    image = np.zeros((*coverage.shape, value.shape[1]), dtype=np.float32)
    image[coverage] = value
    return Baked(dilate(image, coverage, reach=reach), coverage)


def dilate(
    image: Shaped[np.ndarray, "H W C"], coverage: Bool[np.ndarray, "H W"], *, reach: int | None = None
) -> Shaped[np.ndarray, "H W C"]:
    """Every uncovered texel as its nearest covered one, or only those within `reach` texels."""
    if not coverage.any() or coverage.all():
        return image
    found = ndimage.distance_transform_edt(~coverage, return_indices=True)
    distance, index = cast(tuple[np.ndarray, np.ndarray], found)
    filled = image[index[0], index[1]]
    return filled if reach is None else np.where((distance <= reach)[..., None], filled, image)
