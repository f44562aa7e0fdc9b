"""Light from all round as a sum of spherical Gaussians, in closed form.

A lobe's radiance in the unit direction w is amplitude · exp(sharpness · (axis·w − 1)). The integral of a
product of two lobes is known (Wang et al. 2009, "All-frequency rendering of dynamic, spatially-varying
reflectance", section 3), so a surface's matt part needs the integral with the clamped cosine, and its mirror
part that with the three lobes which stand for GGX (`microfacet.lobes`).

Legend: K lobes, B lights, N samples, L = 2 Gaussians of the mirror part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.scene.microfacet import Lobes, Reflector, lobes, reflectance

__all__ = ["SphericalGaussians", "received", "shade_gaussians", "stacked"]

DULLEST = 1e-4
"""Sharpness below this is taken as this: even light."""
AT_ONCE = 1 << 17
"""Pairs of sample and lobe that are worked on together, so that memory stays bounded without gradients."""
BLOCK = 64
"""Samples of one light that are worked on as one matrix."""


@dataclass(frozen=True)
class SphericalGaussians:
    """Distant light from all round as K lobes.

    Convention: amplitudes are *radiance*, linear, so even light of radiance 1 lights a white matt surface
    to 1. Axes point towards the light, in the world, and need not be of unit length. `sharpness` is not
    negative: 0 is even light, 10 a window, 1000 a lamp 5° across. Gradients reach all three tensors.
    """

    axes: Float[Tensor, "K 3"]
    sharpness: Float[Tensor, " K"]
    amplitude: Float[Tensor, "K 3"]

    @classmethod
    def lamps(
        cls, axes: Float[Tensor, "K 3"], sharpness: Float[Tensor, " K"], colors: Float[Tensor, "K 3"]
    ) -> "SphericalGaussians":
        """Lobes by what they do: each lights a white matt surface that faces it to its colour."""
        facing = _CosineFit.of(sharpness).at(torch.ones_like(sharpness)[None])[0]
        return cls(axes, sharpness, colors / facing[:, None])

    def radiance(self, directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """What comes from the given unit directions."""
        axes = F.normalize(self.axes.to(directions), dim=-1)
        lobe = torch.exp(self.sharpness.to(directions) * (directions @ axes.T - 1))
        return lobe @ self.amplitude.to(directions)

    def mean(self) -> Float[Tensor, "3"]:
        """Mean radiance over the sphere: also what a white matt ball shows on average over all normals."""
        return (_mass(self.sharpness.clamp(min=DULLEST))[:, None] * self.amplitude).sum(0) / (4 * math.pi)

    def received(
        self, normal: Float[Tensor, "N 3"], mirror: Lobes | None = None
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"] | None]:
        """What a white matt surface and, given its lobes, a white mirror (without its energy) show."""
        axes, sharpness, amplitude = (
            value[None].to(normal) for value in (self.axes, self.sharpness, self.amplitude)
        )
        return received(axes, sharpness, amplitude, None, normal, mirror)


def stacked(
    lights: Sequence[SphericalGaussians],
) -> tuple[Float[Tensor, "B K 3"], Float[Tensor, "B K"], Float[Tensor, "B K 3"]]:
    """Axes, sharpness and amplitude of many lights as `shade_gaussians` takes them.

    Lights of fewer lobes are filled up with dark ones. Raises ConfigError when there are none.
    """
    if not lights:
        raise ConfigError("there are no lights to stack", fix="give at least one")
    most = max(len(light.sharpness) for light in lights)
    filled = [(light, most - len(light.sharpness)) for light in lights]
    return (
        torch.stack([F.pad(light.axes, (0, 0, 0, more), value=1.0) for light, more in filled]),
        torch.stack([F.pad(light.sharpness, (0, more), value=1.0) for light, more in filled]),
        torch.stack([F.pad(light.amplitude, (0, 0, 0, more)) for light, more in filled]),
    )


def shade_gaussians(  # noqa: PLR0913 - a light's three tensors and a surface's six
    axes: Float[Tensor, "B K 3"],
    sharpness: Float[Tensor, "B K"],
    amplitude: Float[Tensor, "B K 3"],
    index: Int[Tensor, " N"],
    normal: Float[Tensor, "N 3"],
    view: Float[Tensor, "N 3"],
    albedo: Float[Tensor, "N 3"],
    *,
    metallic: Float[Tensor, "N 1"],
    roughness: Float[Tensor, "N 1"],
) -> Float[Tensor, "N 3"]:
    """What `light.shade` gives, for samples under different lights: sample n is lit by light `index[n]`.

    Rows of `axes`, `sharpness` and `amplitude` are as in `SphericalGaussians`; lights with fewer lobes are
    filled up with amplitude 0. Work and memory grow with (N + 64 B) · K.
    Differentiable in everything but `index`. Raises ConfigError where the lights' shapes do not agree.
    """
    _check(axes, sharpness, amplitude, index, normal)
    seen = Reflector.of(normal, view, albedo, metallic, roughness)
    matt, mirrored = received(axes, sharpness, amplitude, index, normal, lobes(seen))
    return seen.matt * matt + reflectance(seen) * cast(Tensor, mirrored)


def _check(axes: Tensor, sharpness: Tensor, amplitude: Tensor, index: Tensor, normal: Tensor) -> None:
    shape = tuple(sharpness.shape)
    if sharpness.ndim != 2 or axes.shape != (*shape, 3) or amplitude.shape != (*shape, 3):
        raise ConfigError(
            f"axes {tuple(axes.shape)}, sharpness {shape} and amplitude {tuple(amplitude.shape)} "
            "are not B lights of K lobes",
            fix="pass [B, K, 3], [B, K] and [B, K, 3]",
        )
    if index.shape != normal.shape[:1]:
        raise ConfigError(
            f"{tuple(index.shape)} light numbers do not go with {len(normal)} samples",
            fix="pass one number for each sample",
        )


def received(
    axes: Float[Tensor, "B K 3"],
    sharpness: Float[Tensor, "B K"],
    amplitude: Float[Tensor, "B K 3"],
    index: Int[Tensor, " N"] | None,
    normal: Float[Tensor, "N 3"],
    mirror: Lobes | None,
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"] | None]:
    """The matt and the mirrored light of many samples; without `index` the first light is that of all.

    The mirrored light is the mean over the lobes of `mirror`, still to be multiplied with `reflectance`.
    Samples are sorted into blocks of one light each, so that no light is copied for every sample.
    """
    sharpness = sharpness.clamp(min=DULLEST)
    parts = [F.normalize(axes, dim=-1), sharpness[..., None], torch.stack(_CosineFit.of(sharpness), -1)]
    lights = torch.cat([*parts, amplitude], -1).transpose(1, 2)  # [B, 11, K]
    columns = [normal] if mirror is None else [normal, *(value.flatten(1) for value in mirror)]
    samples = torch.cat(columns, 1)
    rows = max(1, AT_ONCE // max(1, sharpness.shape[1]))
    if index is None:
        found = torch.cat([_received(lights[:1], some[None])[0] for some in samples.split(rows)])
    else:
        light, slot, source = _blocks(index, len(lights))
        step = max(1, rows // BLOCK)
        cut = zip(light.split(step), source.split(step), strict=True)
        blocks = torch.cat([_received(lights[some], samples[at]) for some, at in cut])
        found = blocks.flatten(0, 1).index_select(0, slot)
    return found[:, :3], None if mirror is None else found[:, 3:]


def _blocks(index: Tensor, lights: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each block's light [M], each sample's place among all blocks' [N], each place's sample [M, BLOCK].

    Places that are left over hold sample 0; nobody looks at what comes out there.
    """
    count = torch.bincount(index, minlength=lights)
    blocks = (count + BLOCK - 1) // BLOCK
    light = torch.repeat_interleave(torch.arange(lights, device=index.device), blocks)
    order = torch.argsort(index, stable=True)
    shift = (blocks.cumsum(0) - blocks) * BLOCK - (count.cumsum(0) - count)
    place = torch.arange(len(index), device=index.device) + shift[index[order]]
    slot = torch.zeros_like(index).index_copy(0, order, place)
    source = index.new_zeros(len(light) * BLOCK).index_copy(0, place, order)
    return light, slot, source.view(-1, BLOCK)


def _received(lights: Float[Tensor, "M 11 K"], samples: Float[Tensor, "M T C"]) -> Float[Tensor, "M T D"]:
    """Matt light and, for samples with lobes, mirrored light: colours side by side."""
    axes, sharpness, fit, amplitude = lights.split([3, 1, 4, 3], 1)
    normal, matt, weight, axis, kappa = samples.split(
        [3, 1, 2, 6, 2] if samples.shape[2] > 3 else [3, 0, 0, 0, 0], 2
    )
    cosine_fit = _CosineFit(*(part[:, None] for part in fit.unbind(1)))
    value = cosine_fit.at(normal @ axes)  # [M, T, K]
    colors = amplitude.transpose(1, 2)
    if not matt.shape[2]:
        return value @ colors
    blurred = matt * value
    for lobe in range(2):
        cosine = axis[..., 3 * lobe : 3 * lobe + 3] @ axes
        product = _product(cosine, sharpness, kappa[..., lobe, None])
        blurred = blurred + weight[..., lobe, None] * product
    return torch.cat([value @ colors, blurred @ colors], 2)


def _product(cosine: Tensor, sharpness: Tensor, kappa: Tensor) -> Tensor:
    """The mean of exp(sharpness (w·axis − 1)) over a normalised Gaussian of sharpness `kappa`.

    `cosine` is that between the axes. The exponent |λμ + κν| − λ − κ is written so that nothing cancels.
    """
    both, twice = sharpness + kappa, 2 * sharpness * kappa
    fall = twice * (cosine - 1)
    length = (both * both + fall).clamp(min=1e-6).sqrt()
    share = (1 - torch.exp(-2 * length)) / length * (kappa / -torch.expm1(-2 * kappa))
    return torch.exp(fall / (length + both)) * share


class _CosineFit(NamedTuple):
    """What a white matt surface shows under one lobe of amplitude 1, as a function of the cosine c to it.

    slope · c + √(least + rise · c²) + bump · c² (1 − c²). The odd part is exact: it is c / 2 times the lobe's
    mean vector. The even part is |c| / 2 under a point lamp and 1 / 4 under even light, and a hyperbola in
    between: exact at c = 0 (a Bessel function) and c = ±1, with a bump that makes its mean over the sphere
    exact. The error is at most 0.9 % of the lobe's own ∫ / π, over all sharpnesses.
    """

    slope: Tensor
    least: Tensor
    rise: Tensor
    bump: Tensor

    @classmethod
    def of(cls, sharpness: Tensor) -> "_CosineFit":
        """For any shape of sharpness; computed in 64 bits, since the exact values cancel for dull lobes."""
        dull = sharpness.double().clamp(min=DULLEST)
        once, mass = torch.exp(-dull), -torch.expm1(-2 * dull) / dull  # mass is the lobe's ∫ over 2π
        mean = 1 / torch.tanh(dull) - 1 / dull
        facing = (dull - 1 + once) / dull**2 / mass
        beside = torch.special.i1e(dull) / dull / mass
        rise = ((facing - mean / 2) ** 2 - beside**2).clamp(min=1e-12)
        ratio = rise.sqrt() / beside
        average = (facing - mean / 2 + beside * torch.asinh(ratio) / ratio) / 2
        scale = 2 * mass
        parts = (mean / 2 * scale, (beside * scale) ** 2, rise * scale**2, (1 / 4 - average) * 7.5 * scale)
        return cls(*(part.to(sharpness.dtype) for part in parts))

    def at(self, cosine: Tensor) -> Tensor:
        """Values for cosines [N, K], never below 0."""
        square = cosine * cosine
        even = (self.least + self.rise * square).sqrt() + self.bump * (square - square * square)
        return (self.slope * cosine + even).clamp(min=0)


def _mass(sharpness: Tensor) -> Tensor:
    """The integral of a lobe of amplitude 1 over the sphere."""
    return 2 * math.pi * -torch.expm1(-2 * sharpness) / sharpness
