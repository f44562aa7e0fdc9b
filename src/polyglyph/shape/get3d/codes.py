"""What passes between the parts of a generator: codes in, features between, a field out.

Legend: B batch, L latent, S and T slots of the geometry and the texture code, C channels, R plane resolution,
D voxels along a side of a volume, N lattice vertices, Q lattice cubes, K points.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Codes", "Field", "Planes", "both_latents"]


class Codes(NamedTuple):
    """One latent per layer, for geometry and for texture."""

    geometry: Float[Tensor, "B S L"]
    texture: Float[Tensor, "B T L"]


class Planes(NamedTuple):
    """The features that a shape is read from; planes are (row, column) = (y, x), (z, y), (z, x)."""

    geometry: Float[Tensor, "B 3 C R R"] | Float[Tensor, "B 2 C D D D"]
    """Planes of the unified generator; of the separate one the volumes of SDF and deformation."""
    texture: Float[Tensor, "B 3 c r r"]


class Field(NamedTuple):
    """What geometry is made of, at every lattice vertex."""

    sdf: Float[Tensor, "B N"]
    deformation: Float[Tensor, "B N 3"]
    """Before its tanh."""
    weights: Float[Tensor, "B Q 21"] | None = None
    """FlexiCubes' weights before their activation, 0 (neutral) in cubes that the surface does not cut."""
    at: Callable[[Float[Tensor, "B K 3"]], tuple[Tensor, Tensor]] | None = None
    """SDF [B, K] and deformation [B, K, 3] at other points, in -1..1 along the box."""


def both_latents(codes: Codes) -> Float[Tensor, "B T l"]:
    """For each texture slot its own latent beside a geometry latent; coarse slots see coarse ones.

    Texture slot k of T sees geometry slot ⌊k S / T⌋ of S.
    """
    slots, texture_slots = codes.geometry.shape[1], codes.texture.shape[1]
    partner = torch.arange(texture_slots, device=codes.geometry.device) * slots // texture_slots
    return torch.cat((codes.texture, codes.geometry.index_select(1, partner)), dim=2)
