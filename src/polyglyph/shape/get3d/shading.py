"""The generator's materials: from the texture field's numbers to what a camera sees under a light.

GET3D, section 4.3.2: the texture field gives base colour, roughness and metallic, and pictures are lit by
spherical Gaussians from a random environment, as the training pictures are.

Legend: B lights (one for each picture), K lobes, N samples, F = 5 surface channels.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.scene.material import linear_to_srgb, srgb_to_linear
from polyglyph.scene.random_environment import random_environment
from polyglyph.scene.spherical_gaussians import SphericalGaussians, shade_gaussians

__all__ = ["Lighting", "SurfaceMaterial", "even_lighting", "material_of", "shaded", "show_environment"]

SMOOTHEST = 0.05
"""Least roughness: what is smoother reflects lamps in less than a pixel, which no picture shows."""
DULL_START = 2.0
"""Taken from the metallic channel before its sigmoid: surfaces begin as plastic, not as half metal."""
SHOW_SEED = 9
"""Of `show_environment`."""


class Lighting(NamedTuple):
    """One environment of spherical Gaussians for each picture (`scene.spherical_gaussians.stacked`)."""

    axes: Float[Tensor, "B K 3"]
    sharpness: Float[Tensor, "B K"]
    amplitude: Float[Tensor, "B K 3"]


class SurfaceMaterial(NamedTuple):
    """Metallic-roughness values at samples."""

    base: Float[Tensor, "*N 3"]
    """sRGB code values in 0..1."""
    roughness: Float[Tensor, "*N 1"]
    metallic: Float[Tensor, "*N 1"]


def even_lighting(batch: int, like: Tensor) -> Lighting:
    """Radiance 1 from everywhere, for each of `batch` pictures."""
    axis = like.new_tensor([0.0, 1.0, 0.0]).expand(batch, 1, 3)
    return Lighting(axis, like.new_zeros(batch, 1), like.new_ones(batch, 1, 3))


def show_environment() -> SphericalGaussians:
    """The random environment under which people are shown samples: its lamps and windows stand in front of
    the previews' camera, so that gloss is seen.
    """
    return random_environment(np.random.default_rng(SHOW_SEED))


def material_of(values: Float[Tensor, "*N 5"]) -> SurfaceMaterial:
    """The texture field's unbounded numbers as a material: a sigmoid for each."""
    base, roughness, metallic = values.split((3, 1, 1), dim=-1)
    return SurfaceMaterial(
        torch.sigmoid(2 * base),  # the slope of (base + 1) / 2 around 0
        SMOOTHEST + (1 - SMOOTHEST) * torch.sigmoid(roughness),
        torch.sigmoid(metallic - DULL_START),
    )


def shaded(
    values: Float[Tensor, "N 5"],
    normal: Float[Tensor, "N 3"],
    view: Float[Tensor, "N 3"],
    lighting: Lighting,
    index: Int[Tensor, " N"],
) -> Float[Tensor, "N 3"]:
    """Display-referred colours in -1..1 of samples under light `index[n]`; brighter than white is white.

    `normal` and `view` (to the eye) are unit vectors; a normal that looks away from the eye, as interpolated
    ones do at silhouettes, is turned to face it. Differentiable in everything but `index`.
    """
    material = material_of(values)
    normal = torch.where((normal * view).sum(dim=1, keepdim=True) < 0, -normal, normal)
    light = shade_gaussians(
        *lighting,
        index,
        normal,
        view,
        srgb_to_linear(material.base),
        metallic=material.metallic,
        roughness=material.roughness,
    )
    return linear_to_srgb(light.clamp(0, 1)) * 2 - 1
