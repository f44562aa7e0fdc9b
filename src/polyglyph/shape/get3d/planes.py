"""Feature planes: the StyleGAN2-like backbones that paint them, and how they are read at points.

Legend: B batch, L latent, C plane channels, R plane resolution, I backbone channels, K points,
G lattice vertices along one edge.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.shape.get3d.codes import Codes, Planes
from polyglyph.shape.get3d.config import GeneratorConfig
from polyglyph.shape.get3d.layers import Head, ModulatedConvolution, upsample

__all__ = ["TexturePlanes", "UnifiedPlanes", "lattice_weights", "look_up", "plane_resolutions"]


def plane_resolutions(config: GeneratorConfig) -> list[int]:
    """4, 8, … up to the planes' resolution."""
    return [4 << k for k in range((config.plane_resolution // 4).bit_length())]


class PlaneBlock(nn.Module):
    """One resolution of a backbone, steered by latents of length `latent`."""

    def __init__(self, config: GeneratorConfig, resolution: int, latent: int, *, geometry: bool) -> None:
        """With `geometry` the block has a head for geometry planes beside the one for texture."""
        super().__init__()
        channels, clamp = config.channels(resolution), config.clamp
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            below = config.channels(resolution // 2)
            self.conv0 = ModulatedConvolution(below, channels, latent, resolution, up=True, clamp=clamp)
        self.conv1 = ModulatedConvolution(channels, channels, latent, resolution, up=False, clamp=clamp)
        if geometry:
            self.togeo = Head(channels, 3 * config.plane_channels, latent, clamp=clamp)
        self.totex = Head(channels, 3 * config.plane_channels, latent, clamp=clamp)

    def features(self, x: Tensor | None, w: Iterator[Tensor]) -> Float[Tensor, "B I R R"]:
        """The backbone's features here, from those at half the resolution; takes its latents from `w`."""
        if x is None:
            latent = next(w)
            return self.conv1(self.const.expand(len(latent), -1, -1, -1), latent)
        return self.conv1(self.conv0(x, next(w)), next(w))


class PlaneBackbone(nn.Module):
    """The blocks of all resolutions."""

    def __init__(self, config: GeneratorConfig, latent: int, *, geometry: bool) -> None:
        super().__init__()
        self.resolutions = plane_resolutions(config)
        for resolution in self.resolutions:
            self.add_module(f"b{resolution}", PlaneBlock(config, resolution, latent, geometry=geometry))

    def blocks(self) -> Iterator[PlaneBlock]:
        """From 4 × 4 up."""
        for resolution in self.resolutions:
            block = self.get_submodule(f"b{resolution}")
            assert isinstance(block, PlaneBlock)  # noqa: S101  (for the type checker)
            yield block


class UnifiedPlanes(PlaneBackbone):
    """Geometry and texture planes from one backbone: the geometry code steers it, the texture code only
    its texture heads (GET3D, appendix, "improved G")."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config, config.latent, geometry=True)

    def forward(self, codes: Codes) -> Planes:
        w = iter(codes.geometry.unbind(dim=1))
        x = picture = None
        for index, block in enumerate(self.blocks()):
            x = block.features(x, w)
            heads = torch.cat((block.togeo(x, next(w)), block.totex(x, codes.texture[:, index])), dim=1)
            picture = heads if picture is None else upsample(picture) + heads
        assert picture is not None  # noqa: S101  (there is always the 4 × 4 block)
        planes = picture.unflatten(1, (2, 3, -1))
        return Planes(planes[:, 0], planes[:, 1])


class TexturePlanes(PlaneBackbone):
    """Texture planes steered by latents of both codes side by side (GET3D's separate generator)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config, 2 * config.latent, geometry=False)

    @property
    def slots(self) -> int:
        """Latents it takes: one per convolution and head."""
        return 3 * len(self.resolutions) - 1

    def forward(self, w_BSL: Float[Tensor, "B S L"]) -> Float[Tensor, "B 3 C R R"]:
        """`w_BSL` has a latent for each convolution and head, from 4 × 4 up; more are ignored."""
        w = iter(w_BSL.unbind(dim=1))
        x = picture = None
        for block in self.blocks():
            x = block.features(x, w)
            head = block.totex(x, next(w))
            picture = head if picture is None else upsample(picture) + head
        assert picture is not None  # noqa: S101  (there is always the 4 × 4 block)
        return picture.unflatten(1, (3, -1))


def look_up(planes: Float[Tensor, "B 3 C R R"], u: Float[Tensor, "B K 3"]) -> Float[Tensor, "B K C"]:
    """Sum of the three planes at points in -1..1; bilinear, texel centres at half-integers, zero outside."""
    x, y, z = u.unbind(dim=2)
    where = torch.stack((torch.stack((x, y), -1), torch.stack((y, z), -1), torch.stack((x, z), -1)), dim=1)
    flat, where = planes.flatten(0, 1), where.flatten(0, 1)
    sampled = F.grid_sample(flat, where[:, None], mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled[:, :, 0].unflatten(0, (-1, 3)).sum(dim=1).transpose(1, 2)


def lattice_weights(points: int, texels: int) -> Float[Tensor, "G R"]:
    """Row g holds the bilinear weights of the texels at g's place among `points` from edge to edge.

    Texel centres are at half-integers and the outside is zero, as in `look_up`.
    """
    place = torch.linspace(0, 1, points, dtype=torch.float64)[:, None] * texels - 0.5
    return (1 - (place - torch.arange(texels)).abs()).clamp(min=0)
