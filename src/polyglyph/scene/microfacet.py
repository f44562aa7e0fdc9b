"""The mirror part of a metallic-roughness surface: GGX microfacets, and tables of what they do to soft light.

The model (glTF 2.0, appendix B): GGX spread (Walter et al. 2007), height-correlated Smith shadowing
(Heitz 2014), Schlick's Fresnel; α = roughness², F0 = 0.04, or the base colour for metal.

Legend: N samples, R nodes of a table along one side, S directions of a quadrature, L = 2 lobes.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["SMOOTHEST", "Lobes", "Reflector", "directional", "lobes", "reflectance"]

SMOOTHEST = 0.045
"""Smaller roughness is taken as this: the highlight of a lamp would no longer fit 32-bit numbers."""


class Reflector(NamedTuple):
    """A metallic-roughness surface seen by one viewer."""

    matt: Float[Tensor, "N 3"]
    """Colour of the matt part."""
    base: Float[Tensor, "N 3"]
    """F0: what the mirror part returns of light that falls along the normal."""
    roughness: Float[Tensor, "N 1"]
    normal: Float[Tensor, "N 3"]
    view: Float[Tensor, "N 3"]
    facing: Float[Tensor, "N 1"]
    """Cosine between normal and view, at least 1e-4."""
    mirrored: Float[Tensor, "N 3"]
    """The view's mirror image."""

    @classmethod
    def of(
        cls, normal: Tensor, view: Tensor, albedo: Tensor, metallic: Tensor, roughness: Tensor
    ) -> "Reflector":
        """From what `shade` is given; metallic and roughness are brought into their ranges."""
        metallic, roughness = metallic.clamp(0, 1), roughness.clamp(SMOOTHEST, 1)
        facing = (normal * view).sum(-1, keepdim=True).clamp(min=1e-4)
        return cls(
            matt=albedo * (1 - metallic),
            base=0.04 * (1 - metallic) + albedo * metallic,
            roughness=roughness,
            normal=normal,
            view=view,
            facing=facing,
            mirrored=F.normalize(2 * facing * normal - view, dim=-1),
        )


class Lobes(NamedTuple):
    """Where light comes from that a white microfacet mirror sends to the viewer, as a density of directions.

    A mixture: `matt` of the cosine lobe round the normal, n·l / π, and `weight` of two normalised spherical
    Gaussians, κ / (2π (1 − e^−2κ)) · exp(κ (axis·l − 1)), a core and a tail. The weights sum to 1.
    """

    matt: Float[Tensor, "N 1"]
    weight: Float[Tensor, "N 2"]
    axis: Float[Tensor, "N 2 3"]
    sharpness: Float[Tensor, "N 2"]


def directional(seen: Reflector, direction: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
    """π · D · V · F of the microfacet model: what one unit of matt-lit light adds as a highlight.

    `direction` is a unit vector to the lamp.
    """
    half = F.normalize(seen.view + direction, dim=-1)
    n_h = (seen.normal * half).sum(-1, keepdim=True).clamp(0, 1)
    v_h = (seen.view * half).sum(-1, keepdim=True).clamp(0, 1)
    n_l = (seen.normal @ direction)[:, None].clamp(min=1e-4)
    a2 = seen.roughness**4
    spread = a2 / (n_h * n_h * (a2 - 1) + 1) ** 2  # π · D
    smith_l = seen.facing * (n_l * n_l * (1 - a2) + a2).sqrt()
    smith_v = n_l * (seen.facing * seen.facing * (1 - a2) + a2).sqrt()
    fresnel = seen.base + (1 - seen.base) * (1 - v_h) ** 5
    return spread * 0.5 / (smith_l + smith_v) * fresnel


def reflectance(seen: Reflector) -> Float[Tensor, "N 3"]:
    """The share of even surrounding light that the mirror part returns, F0 · A + B, from a table."""
    scale, offset = _looked_up(_reflectance_table(), seen.facing, seen.roughness).unbind(1)
    return seen.base * scale[:, None] + offset[:, None]


def lobes(seen: Reflector) -> Lobes:
    """The mixture for each sample, from a table.

    Energy is not in it: multiply with `reflectance`. Differentiable in normal, view and roughness.
    """
    found = _looked_up(_lobe_table(), seen.facing.sqrt(), seen.roughness)
    matt, core, scaled, turned = found[:, :1], found[:, 1:2], found[:, 2:4], found[:, 4:6, None]
    mirrored, normal = seen.mirrored[:, None], seen.normal[:, None]
    return Lobes(
        matt=matt,
        weight=torch.cat([core, 1 - matt - core], 1),
        axis=F.normalize(mirrored + turned * (normal - mirrored), dim=-1),
        sharpness=torch.exp(scaled) / seen.roughness**4,
    )


def _looked_up(table: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Bilinear values [N, C] of a table [C, R, R] whose rows and columns go from 0 to 1."""
    place = torch.cat([column, row], 1) * 2 - 1
    found = F.grid_sample(
        table.to(place)[None], place[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )
    return found[0, :, 0].T


class _Quadrature(NamedTuple):
    """Half vectors spread as GGX spreads them. The viewer stands over x; y is 0 by symmetry in every mean."""

    a2: Tensor  # [R, 1, 1], rows of roughness
    n_v: Tensor  # [1, R, 1], columns of cosines to the viewer
    n_h: Tensor  # [R, 1, S]
    x_h: Tensor  # [R, 1, S]
    v_h: Tensor  # [R, R, S]
    n_l: Tensor  # [R, R, S]
    share: Tensor  # [R, R, S], what a white mirror sends on of light from there, over the density

    @classmethod
    def of(cls, roughness: Tensor, n_v: Tensor, samples: int, turn: float = 2 * math.pi) -> "_Quadrature":
        a2 = roughness[:, None, None].clamp(min=SMOOTHEST) ** 4
        n_v = n_v[None, :, None]
        step = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
        u, phi = (axis.reshape(-1) for axis in torch.meshgrid(step, step * turn, indexing="ij"))
        n_h = ((1 - u) / (1 + (a2 - 1) * u)).sqrt()
        x_h = (1 - n_h**2).clamp(min=0).sqrt() * phi.cos()
        v_h = ((1 - n_v**2).sqrt() * x_h + n_v * n_h).clamp(min=0)
        n_l = 2 * v_h * n_h - n_v
        smith = n_v * (a2 + (1 - a2) * n_l**2).sqrt() + n_l * (a2 + (1 - a2) * n_v**2).sqrt()
        return cls(a2, n_v, n_h, x_h, v_h, n_l, torch.where(n_l > 0, 2 * n_l * v_h / (n_h * smith), 0.0))


@functools.cache
@torch.inference_mode(False)  # kept for later calls, which may want gradients
@torch.no_grad()
def _reflectance_table(size: int = 32, samples: int = 24) -> Float[Tensor, "2 R R"]:
    """A and B of the split sum (Karis 2013): rows roughness 0..1, columns cosine to the viewer 0..1."""
    grid = torch.linspace(0, 1, size, dtype=torch.float64).clamp(min=1e-3)
    rays = _Quadrature.of(grid, grid, samples)
    fresnel = (1 - rays.v_h) ** 5
    return torch.stack([(rays.share * (1 - fresnel)).mean(2), (rays.share * fresnel).mean(2)]).float()


@functools.cache
@torch.inference_mode(False)
@torch.no_grad()
def _lobe_table(
    size: int = 16, samples: int = 24, rounds: int = 40, prior_weight: float = 0.01
) -> Float[Tensor, "6 R R"]:
    """The mixtures of `Lobes` of greatest likelihood, by expectation and maximisation.

    Rows roughness 0..1, columns √cosine to the viewer 0..1. Channels: weight of the cosine lobe, weight of
    the core, log (κ α²) of core and tail, and how far their axes are turned from the mirrored direction to
    the normal (0 to 1, along the straight line between the two).

    Each round's means give the Gaussians by κ = R (3 − R²) / (1 − R²) (Banerjee et al. 2005, eq. 4.4).
    """
    grid = torch.linspace(0, 1, size, dtype=torch.float64)
    rays = _Quadrature.of(grid, (grid**2).clamp(min=1e-3), samples, turn=math.pi)
    slope = (1 - rays.n_v**2).sqrt()
    light = torch.stack([2 * rays.v_h * rays.x_h - slope, rays.n_l], -1)  # [R, R, S, 2] in the plane of view
    mass = rays.share / rays.share.sum(-1, keepdim=True)
    cosine = (rays.n_l.clamp(min=1e-12) / math.pi).log()[..., None]
    centre, kappa = _concentration((light * mass[..., None]).sum(2))
    kappa = kappa[..., None].clamp(min=2.0) * torch.tensor([3.0, 0.75], dtype=torch.float64)
    mean = centre[:, :, None].expand(-1, -1, 2, -1)  # [R, R, L, 2]
    prior = (
        prior_weight * mean * (1 - 1 / (kappa + 1))[..., None]
    )  # keeps Gaussians that hold little in place
    weight = torch.full((size, size, 3), 1 / 3, dtype=torch.float64)
    for _ in range(rounds):
        height = (kappa / (2 * math.pi * -torch.expm1(-2 * kappa))).log()[:, :, None]
        density = kappa[:, :, None] * (light @ mean.transpose(2, 3) - 1) + height
        belongs = torch.softmax(torch.cat([density, cosine], -1) + weight.log()[:, :, None], -1)
        belongs = belongs * mass[..., None]
        weight = belongs.sum(2).clamp(min=1e-9)
        moment = belongs[..., :2].transpose(2, 3) @ light + prior
        mean, kappa = _concentration(moment / (weight[..., :2, None] + prior_weight))
    # the axis lies at the angle φ from the normal, the mirrored direction at θ
    phi, theta = torch.atan2(-mean[..., 0], mean[..., 1]), torch.acos(rays.n_v).expand(size, size, 1)
    short, long = torch.sin(theta - phi), torch.sin(phi)
    turned = torch.where(theta > 1e-6, short / (short + long), 0.0).clamp(-0.5, 1)
    turned[:, -1] = turned[:, -2]  # straight above, any turn is the same
    scaled = (kappa * rays.a2).log()
    return torch.cat([weight[..., 2:], weight[..., :1], scaled, turned], -1).permute(2, 0, 1).float()


def _concentration(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Axis and sharpness of the spherical Gaussian with these mean vectors [..., 2]."""
    length = moment.norm(dim=-1)
    kappa = length * (3 - length**2) / (1 - length**2).clamp(min=1e-9)
    return moment / length[..., None], kappa.clamp(min=0.5)
