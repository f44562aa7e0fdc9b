"""Lights, and what a metallic-roughness surface makes of them.

Convention: colours are linear. A light's colour is what a white matt surface facing it shows, so the π of the
Lambert law is inside it: matt colour = albedo · colour · max(0, n·l). Directions point from the surface to
the light, in the world. Normals and views are unit vectors; the normal must already face the viewer.

Legend: N samples, K = 9 spherical-harmonic coefficients, C = 3 colours.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = [
    "FLAT",
    "STUDIO",
    "Ambient",
    "Directional",
    "Light",
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


Light = Ambient | Directional | SphericalHarmonics


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
    ambient and spherical-harmonic light the split-sum product (Karis 2013) of the light in the mirrored
    direction, blurred by roughness, with the tabulated reflectance of the same microfacets.
    `occlusion` (1 = open) dims ambient and spherical-harmonic light only.
    Differentiable in everything.
    """
    metallic, roughness = metallic.clamp(0, 1), roughness.clamp(0.045, 1)
    open_ = torch.ones_like(roughness) if occlusion is None else occlusion
    base = 0.04 * (1 - metallic) + albedo * metallic
    matt = albedo * (1 - metallic)
    facing = (normal * view).sum(-1, keepdim=True).clamp(min=1e-4)
    mirrored = F.normalize(2 * facing * normal - view, dim=-1)
    result = torch.zeros_like(albedo)
    for light in lights:
        received = _diffuse(light, normal).clamp(min=0)
        if isinstance(light, Directional):
            result = result + matt * received
            result = result + received * _ggx(light, normal, view, facing, base, roughness)
        else:
            reflected = _reflected(light, mirrored, roughness) * _environment_reflectance(
                base, roughness, facing
            )
            result = result + open_ * (matt * received + reflected)
    return result


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
    raise ConfigError(
        f"{type(light).__name__} is not a light", fix="use Ambient, Directional or SphericalHarmonics"
    )


def _ggx(
    light: Directional, normal: Tensor, view: Tensor, facing: Tensor, base: Tensor, roughness: Tensor
) -> Tensor:
    """π · D · V · F of the microfacet model: what one unit of `diffuse` light adds as a highlight."""
    direction = F.normalize(_triple(light.direction, normal), dim=-1)
    half = F.normalize(view + direction, dim=-1)
    n_h = (normal * half).sum(-1, keepdim=True).clamp(0, 1)
    v_h = (view * half).sum(-1, keepdim=True).clamp(0, 1)
    n_l = (normal @ direction)[:, None].clamp(min=1e-4)
    a2 = roughness**4
    spread = a2 / (n_h * n_h * (a2 - 1) + 1) ** 2  # π · D
    smith_l = facing * (n_l * n_l * (1 - a2) + a2).sqrt()
    smith_v = n_l * (facing * facing * (1 - a2) + a2).sqrt()
    fresnel = base + (1 - base) * (1 - v_h) ** 5
    return spread * 0.5 / (smith_l + smith_v) * fresnel


def _reflected(light: Ambient | SphericalHarmonics, mirrored: Tensor, roughness: Tensor) -> Tensor:
    """The light from round the mirrored direction; each band fades as exp(−l² α² / 4) (a Gaussian lobe)."""
    if isinstance(light, Ambient):
        return _triple(light.color, mirrored).expand_as(mirrored)
    even, linear, quadratic = _bands(light, mirrored)
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


def _environment_reflectance(base: Tensor, roughness: Tensor, facing: Tensor) -> Tensor:
    """The share of even surrounding light that the mirror part returns, F0 · A + B, from a table."""
    place = torch.cat([facing, roughness], 1) * 2 - 1
    table = _reflectance_table().to(place)[None]
    found = F.grid_sample(
        table, place[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )
    return base * found[0, 0, 0][:, None] + found[0, 1, 0][:, None]


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
@torch.no_grad()
def _reflectance_table(size: int = 32, samples: int = 24) -> Float[Tensor, "2 R R"]:
    """A and B of the split sum: rows roughness 0..1, columns cosine to the viewer 0..1.

    The microfacet model of `_ggx` integrated over `samples`² half vectors spread as GGX spreads them.
    """
    grid = torch.linspace(0, 1, size, dtype=torch.float64).clamp(min=1e-3)
    a2 = grid[:, None, None].clamp(min=0.045) ** 4
    n_v = grid[None, :, None]
    step = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
    u, phi = (axis.reshape(-1) for axis in torch.meshgrid(step, step * 2 * math.pi, indexing="ij"))
    n_h = ((1 - u) / (1 + (a2 - 1) * u)).sqrt()  # [R, 1, S]
    v_h = ((1 - n_v**2).sqrt() * (1 - n_h**2).clamp(min=0).sqrt() * phi.cos() + n_v * n_h).clamp(min=0)
    n_l = 2 * v_h * n_h - n_v
    smith = n_v * (a2 + (1 - a2) * n_l**2).sqrt() + n_l * (a2 + (1 - a2) * n_v**2).sqrt()
    share = torch.where(n_l > 0, 2 * n_l * v_h / (n_h * smith), 0.0)
    fresnel = (1 - v_h) ** 5
    return torch.stack([(share * (1 - fresnel)).mean(2), (share * fresnel).mean(2)]).float()


STUDIO: tuple[Light, ...] = (
    SphericalHarmonics.sky(above=(0.56, 0.57, 0.59), below=(0.28, 0.27, 0.26)),
    Directional((0.5, 0.9, 0.8), (0.46, 0.45, 0.43)),
    Directional((-0.9, 0.5, 0.3), (0.16, 0.17, 0.18)),
    Directional((0.1, 0.4, -1.0), (0.22, 0.22, 0.22)),
)
"""The default: a bright room with a key lamp above the front right, a fill at the left and a lamp behind."""

FLAT: tuple[Light, ...] = (Ambient((1.0, 1.0, 1.0)),)
"""Even light from everywhere: matt surfaces show just their albedo."""
