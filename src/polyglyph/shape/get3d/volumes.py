"""Feature volumes: the 3-D networks of GET3D's separate generator, and how they are read at points.

GET3D, section 3.1: one network for the SDF and one for the deformation, each a learned 4³ constant grown to
32³ by modulated 3-D convolutions in residual blocks; a vertex reads the volume trilinearly, its position is
appended as sines and cosines, and a modulated network turns both into the number that is wanted.

Legend: B batch, L latent, S layers, I O channels in and out, D voxels along a side, K points,
G lattice vertices along one edge, N = G³.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.shape.get3d.codes import Codes, Planes, both_latents
from polyglyph.shape.get3d.config import GeneratorConfig
from polyglyph.shape.get3d.layers import GAIN, FullyConnected, activate
from polyglyph.shape.get3d.planes import TexturePlanes

__all__ = ["POSITION_CHANNELS", "SeparateBackbone", "position_code", "volume_at", "volume_on_lattice"]

POSITION_CHANNELS = 6
"""Of `position_code`."""


class ModulatedConvolution3d(nn.Module):
    """A 3×3×3 convolution, modulated and normalised as its 2-D sister; no noise. `up` doubles the size."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, up: bool, clamp: float | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = FullyConnected(latent, inputs, bias=1.0)
        self.up, self.clamp = up, clamp

    def forward(
        self, x: Float[Tensor, "B I D D D"], w_BL: Float[Tensor, "B L"], gain: float = 1.0
    ) -> Float[Tensor, "B O d d d"]:
        style_BI = self.affine(w_BL)
        length_BO = style_BI.square() @ self.weight.square().sum(dim=(2, 3, 4)).T
        x = x * style_BI[:, :, None, None, None]
        x = F.conv3d(grown(x) if self.up else x, self.weight, padding=1)
        scale = (GAIN * gain * (length_BO + 1e-8).rsqrt())[:, :, None, None, None]
        x = torch.addcmul((self.bias * GAIN * gain)[:, None, None, None], x, scale)
        return activate(x, None if self.clamp is None else self.clamp * gain)


def grown(x: Float[Tensor, "B I D D D"]) -> Float[Tensor, "B I d d d"]:
    """Twice the size, trilinear, voxel centres at half-integers."""
    return F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)


class VolumeBlock(nn.Module):
    """One resolution: two convolutions beside a linear shortcut, summed at half the variance each."""

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        channels, latent, clamp = config.volume_channels(resolution), config.latent, config.clamp
        self.first = resolution == 4
        if self.first:
            self.const = nn.Parameter(torch.randn(channels, 4, 4, 4))
        else:
            below = config.volume_channels(resolution // 2)
            self.conv0 = ModulatedConvolution3d(below, channels, latent, up=True, clamp=clamp)
            self.skip = nn.Parameter(torch.randn(channels, below, 1, 1, 1))
        self.conv1 = ModulatedConvolution3d(channels, channels, latent, up=False, clamp=clamp)

    def forward(self, x: Tensor | None, w: list[Tensor]) -> Float[Tensor, "B O D D D"]:
        """Takes its latents from the front of `w`."""
        if x is None:
            latent = w.pop(0)
            return self.conv1(self.const.expand(len(latent), -1, -1, -1, -1), latent)
        half = math.sqrt(0.5)
        shortcut = grown(F.conv3d(x, self.skip * (half / math.sqrt(self.skip.shape[1]))))
        x = self.conv0(x, w.pop(0))
        return shortcut + self.conv1(x, w.pop(0), half)


class VolumeBackbone(nn.Module):
    """From latents to one feature volume."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.resolutions = [4 << k for k in range((config.volume_resolution // 4).bit_length())]
        for resolution in self.resolutions:
            self.add_module(f"b{resolution}", VolumeBlock(config, resolution))

    @property
    def slots(self) -> int:
        """Latents it takes: one per convolution."""
        return 2 * len(self.resolutions) - 1

    def forward(self, w_BSL: Float[Tensor, "B S L"]) -> Float[Tensor, "B O D D D"]:
        """Latents beyond `slots` are ignored. The volume's axes are (x, y, z)."""
        w = list(w_BSL.unbind(dim=1))
        x = None
        for resolution in self.resolutions:
            x = self.get_submodule(f"b{resolution}")(x, w)
        assert x is not None  # noqa: S101  (there is always the 4³ block)
        return x


class SeparateBackbone(nn.Module):
    """The three networks of the separate generator: volumes for SDF and deformation, planes for texture."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.sdf, self.deformation = VolumeBackbone(config), VolumeBackbone(config)
        self.texture = TexturePlanes(config)

    def forward(self, codes: Codes) -> Planes:
        volumes = torch.stack((self.sdf(codes.geometry), self.deformation(codes.geometry)), dim=1)
        return Planes(volumes, self.texture(both_latents(codes)))


def position_code(u: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 6"]:
    """Sines, then cosines, of a point in -1..1: one frequency."""
    return torch.cat((u.sin(), u.cos()), dim=-1)


def volume_at(volume: Float[Tensor, "B C D D D"], u: Float[Tensor, "B K 3"]) -> Float[Tensor, "B K C"]:
    """The volume at points in -1..1: trilinear, voxel centres at half-integers, continued past the border."""
    where = u.flip(-1)[:, :, None, None]  # grid_sample's first coordinate runs along the last axis
    found = F.grid_sample(volume, where, mode="bilinear", padding_mode="border", align_corners=False)
    return found[:, :, :, 0, 0].transpose(1, 2)


def volume_on_lattice(volume: Float[Tensor, "B C D D D"], points: int) -> Float[Tensor, "B N C"]:
    """`volume_at` at every vertex of a lattice with `points` along each edge: one axis after the other."""
    matrix_GD = _axis_weights(points, volume.shape[2]).to(volume)
    return torch.einsum("bcxyz,gx,hy,iz->bghic", volume, matrix_GD, matrix_GD, matrix_GD).flatten(1, 3)


def _axis_weights(points: int, voxels: int) -> Float[Tensor, "G D"]:
    """Row g holds the linear weights of the voxels at g's place among `points` from border to border."""
    place = (torch.linspace(0, 1, points, dtype=torch.float64) * voxels - 0.5).clamp(0, voxels - 1)
    return (1 - (place[:, None] - torch.arange(voxels)).abs()).clamp(min=0)
