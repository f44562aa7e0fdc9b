"""Lights, and what a metallic-roughness surface makes of them.

Convention: colours are linear. A light's colour is what a white matt surface facing it shows, so the π of the
Lambert law is inside it: matt colour = albedo · colour · max(0, n·l). Directions point from the surface to
the light, in the world. Normals and views are unit vectors; the normal must already face the viewer.

Legend: N samples, K = 9 spherical-harmonic coefficients, C = 3 colours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.scene.environment import Environment
from polyglyph.scene.microfacet import Lobes, Reflector, directional, lobes, reflectance
from polyglyph.scene.spherical_gaussians import SphericalGaussians

__all__ = [
    "FLAT",
    "STUDIO",
    "Ambient",
    "Directional",
    "Environment",
    "Light",
    "SphericalGaussians",
    "SphericalHarmonics",
    "diffuse",
    "harmonics",
    "shade",
]

Triple = tuple[float, float, float] | Float[Tensor, "3"]

COSINE_BANDS = (1.0, 2 / 3, 1 / 4)
"""The clamped cosine's Legendre coefficients over π, bands 0, 1, 2 (Ramamoorthi & Hanrahan 2001, eq. 8)."""


@dataclass(frozen=True)
class Ambient:
    """The same light from every direction."""

    color: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Directional:
    """A distant lamp. `direction` points to it and need not be of unit length."""

    direction: Triple
    color: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class SphericalHarmonics:
    """Distant light from all round as nine coefficients of its *radiance* for each colour.

    Convention: real orthonormal harmonics in the order (l, m) = 00, 1−1, 10, 11, 2−2, 2−1, 20, 21, 22 over
    the world's x, y, z: so 1−1 is along y, 10 along z and 11 along x. Radiance 1 from everywhere is
    (√4π, 0, …) and lights a white matt surface to 1. Gradients reach the coefficients.
    """

    coefficients: Float[Tensor, "9 3"]

    @classmethod
    def sky(cls, above: Triple, below: Triple) -> "SphericalHarmonics":
        """Radiance that goes linearly from `above` (straight up) to `below` (straight down)."""
        top, bottom = torch.as_tensor(above), torch.as_tensor(below)
        rows = torch.zeros(9, 3)
        rows[0] = (top + bottom) / 2 * math.sqrt(4 * math.pi)
        rows[1] = (top - bottom) / 2 * math.sqrt(4 * math.pi / 3)
        return cls(rows)

    @classmethod
    def project(
        cls, radiance: Callable[[Float[Tensor, "N 3"]], Float[Tensor, "N 3"]], *, samples: int = 64
    ) -> "SphericalHarmonics":
        """The nine coefficients nearest to `radiance`, a function of unit directions, by quadrature.

        `samples` Gauss-Legendre heights × 2·`samples` longitudes: exact for smooth light, and converging
        for lamps with edges.
        """
        import numpy as np

        height, weight = np.polynomial.legendre.leggauss(samples)
        around = (np.arange(2 * samples) + 0.5) * math.pi / samples
        y, angle = (
            torch.as_tensor(grid, dtype=torch.float32) for grid in np.meshgrid(height, around, indexing="ij")
        )
        ring = (1 - y * y).sqrt()
        directions = torch.stack([ring * angle.sin(), y, ring * angle.cos()], -1).reshape(-1, 3)
        weights = torch.as_tensor(np.repeat(weight, 2 * samples) * math.pi / samples, dtype=torch.float32)
        return cls(harmonics(directions).T @ (weights[:, None] * radiance(directions)))

    def radiance(self, directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """What comes from the given unit directions; it may be below 0 where nine coefficients ring."""
        return harmonics(directions) @ self.coefficients.to(directions)


Light = Ambient | Directional | SphericalHarmonics | SphericalGaussians | Environment


def harmonics(directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 9"]:
    """The nine real spherical harmonics of bands 0 to 2 at unit directions (see SphericalHarmonics)."""
    x, y, z = directions.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, 0.5 * math.sqrt(1 / math.pi)),
            math.sqrt(3 / (4 * math.pi)) * y,
            math.sqrt(3 / (4 * math.pi)) * z,
            math.sqrt(3 / (4 * math.pi)) * x,
            0.5 * math.sqrt(15 / math.pi) * x * y,
            0.5 * math.sqrt(15 / math.pi) * y * z,
            0.25 * math.sqrt(5 / math.pi) * (3 * z * z - 1),
            0.5 * math.sqrt(15 / math.pi) * x * z,
            0.25 * math.sqrt(15 / math.pi) * (x * x - y * y),
        ],
        -1,
    )


def diffuse(lights: Sequence[Light], normal: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """What a white matt surface shows: irradiance / π, never below 0.

    Differentiable in the normals and in the lights' tensors.
    """
    total = torch.zeros_like(normal)
    for light in lights:
        total = total + _diffuse(light, normal)
    return total.clamp(min=0)


def shade(
    lights: Sequence[Light],
    normal: Float[Tensor, "N 3"],
    view: Float[Tensor, "N 3"],
    albedo: Float[Tensor, "N 3"],
    *,
    metallic: Float[Tensor, "N 1"],
    roughness: Float[Tensor, "N 1"],
    occlusion: Float[Tensor, "N 1"] | None = None,
) -> Float[Tensor, "N 3"]:
    """The light a metallic-roughness surface sends to the viewer; `view` points from the surface to the eye.

    Matt part: albedo · (1 − metallic) · `diffuse`. Mirror part: GGX with height-correlated Smith shadowing
    and Schlick's Fresnel for directional lights (alpha = roughness²; F0 = 0.04, or albedo for metal); for
    light from all round the split-sum product (Karis 2013) of the tabulated reflectance of the same
    microfacets with the light that the mirror gathers: ambient and spherical-harmonic light in the mirrored
    direction, blurred by roughness; spherical Gaussians and environments through the three lobes of
    `microfacet.lobes`. `occlusion` (1 = open) dims all but directional light.
    Differentiable in everything.
    """
    seen = Reflector.of(normal, view, albedo, metallic, roughness)
    open_ = torch.ones_like(roughness) if occlusion is None else occlusion
    mirror = (
        lobes(seen) if any(isinstance(light, SphericalGaussians | Environment) for light in lights) else None
    )
    result = torch.zeros_like(albedo)
    for light in lights:
        if isinstance(light, Directional):
            received = _diffuse(light, normal).clamp(min=0)
            direction = F.normalize(_triple(light.direction, normal), dim=-1)
            result = result + received * (seen.matt + directional(seen, direction))
        else:
            received, mirrored = _surrounding(light, seen, mirror)
            result = result + open_ * (seen.matt * received + reflectance(seen) * mirrored)
    return result


def _surrounding(light: Light, seen: Reflector, mirror: Lobes | None) -> tuple[Tensor, Tensor]:
    """What a white matt surface and a white mirror, without its energy, show of light from all round."""
    if isinstance(light, SphericalGaussians | Environment):
        matt, mirrored = light.received(seen.normal, mirror)
        return matt, cast(Tensor, mirrored)
    return _diffuse(light, seen.normal).clamp(min=0), _reflected(light, seen.mirrored, seen.roughness)


def _triple(value: Triple, like: Tensor) -> Tensor:
    return value.to(like) if isinstance(value, Tensor) else like.new_tensor(value)


def _diffuse(light: Light, normal: Tensor) -> Tensor:
    if isinstance(light, Ambient):
        return _triple(light.color, normal).expand_as(normal)
    if isinstance(light, Directional):
        direction = F.normalize(_triple(light.direction, normal), dim=-1)
        return (normal @ direction).clamp(min=0)[:, None] * _triple(light.color, normal)
    if isinstance(light, SphericalHarmonics):
        even, linear, quadratic = _bands(light, normal)
        return COSINE_BANDS[0] * even + COSINE_BANDS[1] * linear + COSINE_BANDS[2] * quadratic
    if isinstance(light, SphericalGaussians | Environment):
        return light.received(normal)[0]
    raise ConfigError(
        f"{type(light).__name__} is not a light",
        fix="use Ambient, Directional, SphericalHarmonics, SphericalGaussians or Environment",
    )


def _reflected(light: Light, mirrored: Tensor, roughness: Tensor) -> Tensor:
    """The light from round the mirrored direction; each band fades as exp(−l² α² / 4) (a Gaussian lobe)."""
    if isinstance(light, Ambient):
        return _triple(light.color, mirrored).expand_as(mirrored)
    even, linear, quadratic = _bands(cast(SphericalHarmonics, light), mirrored)
    fade = torch.exp(roughness**4 / -4)
    return (even + fade * linear + fade**4 * quadratic).clamp(min=0)


def _bands(light: SphericalHarmonics, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The light's radiance in the directions, band by band; a light without a second band skips it."""
    rows = light.coefficients.to(directions)
    even = (0.5 * math.sqrt(1 / math.pi) * rows[:1]).expand(len(directions), 3)
    linear = directions @ (math.sqrt(3 / (4 * math.pi)) * rows[[3, 1, 2]])
    if not rows.requires_grad and not bool(rows[4:].any()):
        return even, linear, torch.zeros_like(even[:1])
    return even, linear, harmonics(directions)[:, 4:] @ rows[4:]


STUDIO: tuple[Light, ...] = (
    SphericalHarmonics.sky(above=(0.56, 0.57, 0.59), below=(0.28, 0.27, 0.26)),
    Directional((0.5, 0.9, 0.8), (0.46, 0.45, 0.43)),
    Directional((-0.9, 0.5, 0.3), (0.16, 0.17, 0.18)),
    Directional((0.1, 0.4, -1.0), (0.22, 0.22, 0.22)),
)
"""The default: a bright room with a key lamp above the front right, a fill at the left and a lamp behind."""

FLAT: tuple[Light, ...] = (Ambient((1.0, 1.0, 1.0)),)
"""Even light from everywhere: matt surfaces show just their albedo."""
