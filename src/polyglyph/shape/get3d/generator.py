"""GET3D's unified generator: codes to tri-planes, planes to SDF, deformation and colour.

One StyleGAN2-like 2-D backbone steered by the geometry code; at every resolution a geometry head
and a texture head add 3 × C channels to planes that are up-sampled and summed. The texture code
reaches the texture heads only, so texture never changes geometry (GET3D, appendix, "improved G").

Legend: B batch, L latent, S slots of a code, C plane channels, R plane resolution,
N lattice vertices, K surface points, G lattice vertices along one edge.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.shape.get3d.config import GeneratorConfig, IsosurfaceConfig
from polyglyph.shape.get3d.lattice_head import lattice_head
from polyglyph.shape.get3d.layers import (
    GAIN,
    Head,
    Mapping,
    ModulatedConvolution,
    ModulatedLinear,
    activate,
    upsample,
)

__all__ = ["Codes", "Field", "Generator", "Planes"]

BALL_SLOPE = 10.0
"""SDF units per box side of the ball added when `isosurface.initial_radius` is positive."""


class Codes(NamedTuple):
    """One latent per layer, for geometry and for texture."""

    geometry: Float[Tensor, "B S L"]
    texture: Float[Tensor, "B T L"]


class Planes(NamedTuple):
    """Feature planes; the planes are (row, column) = (y, x), (z, y), (z, x)."""

    geometry: Float[Tensor, "B 3 C R R"]
    texture: Float[Tensor, "B 3 C R R"]


class Field(NamedTuple):
    """What geometry is made of, at every lattice vertex."""

    sdf: Float[Tensor, "B N"]
    deformation: Float[Tensor, "B N 3"]


class PlaneBlock(nn.Module):
    """One resolution of the backbone."""

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        channels, latent, clamp = config.channels(resolution), config.latent, config.clamp
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))
        else:
            below = config.channels(resolution // 2)
            self.conv0 = ModulatedConvolution(below, channels, latent, resolution, up=True, clamp=clamp)
        self.conv1 = ModulatedConvolution(channels, channels, latent, resolution, up=False, clamp=clamp)
        self.togeo = Head(channels, 3 * config.plane_channels, latent, clamp=clamp)
        self.totex = Head(channels, 3 * config.plane_channels, latent, clamp=clamp)

    def features(self, x: Tensor | None, w: Iterator[Tensor]) -> Float[Tensor, "B I R R"]:
        """The backbone's features here, from those at half the resolution; takes its latents from `w`."""
        if x is None:
            latent = next(w)
            return self.conv1(self.const.expand(len(latent), -1, -1, -1), latent)
        return self.conv1(self.conv0(x, next(w)), next(w))


class PlaneBackbone(nn.Module):
    """From codes to the two sets of planes."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.resolutions = [4 << k for k in range((config.plane_resolution // 4).bit_length())]
        for resolution in self.resolutions:
            self.add_module(f"b{resolution}", PlaneBlock(config, resolution))

    def forward(self, codes: Codes) -> Planes:
        geometry = iter(codes.geometry.unbind(dim=1))
        x = picture = None
        for index, resolution in enumerate(self.resolutions):
            block = self.get_submodule(f"b{resolution}")
            assert isinstance(block, PlaneBlock)  # noqa: S101  (for the type checker)
            x = block.features(x, geometry)
            heads = torch.cat(
                (block.togeo(x, next(geometry)), block.totex(x, codes.texture[:, index])), dim=1
            )
            picture = heads if picture is None else upsample(picture) + heads
        assert picture is not None  # noqa: S101  (there is always the 4 × 4 block)
        planes = picture.unflatten(1, (2, 3, -1))
        return Planes(planes[:, 0], planes[:, 1])


class PointHead(nn.Module):
    """A small modulated network on points; its last layer is linear."""

    def __init__(self, config: GeneratorConfig, outputs: int) -> None:
        super().__init__()
        widths = [config.plane_channels, *[config.head_width] * config.head_depth, outputs]
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            ModulatedLinear(widths[k], widths[k + 1], config.latent, gain=1.0 if k == last else GAIN)
            for k in range(len(widths) - 1)
        )

    def forward(self, x_BNC: Float[Tensor, "B N C"], w_BSL: Float[Tensor, "B S L"]) -> Float[Tensor, "B N o"]:
        """`w_BSL` has one latent per layer."""
        return self.after_first(self.layers[0](x_BNC, w_BSL[:, 0]), w_BSL)

    def on_lattice(
        self, grid: Float[Tensor, "B 3 C G G"], w_BSL: Float[Tensor, "B S L"]
    ) -> Float[Tensor, "B N o"]:
        """At every vertex (x, y, z) of a lattice, given its planes: the first layer before the sum."""
        first = self.layers[0]
        assert isinstance(first, ModulatedLinear)  # noqa: S101  (for the type checker)
        yx, zy, zx = torch.einsum("bpcrs,bch->bpsrh", grid, first.styled(w_BSL[:, 0])).unbind(dim=1)
        zy = zy + first.bias * first.gain
        if grid.device.type == "cpu" and len(self.layers) == 2:
            last = self.layers[1]
            assert isinstance(last, ModulatedLinear)  # noqa: S101  (for the type checker)
            return lattice_head(yx, zy, zx, last.styled(w_BSL[:, 1]), last.bias * last.gain)
        hidden = yx[:, :, :, None] + zy[:, None]
        hidden += zx[:, :, None]
        return self.after_first(hidden.flatten(1, 3), w_BSL)

    def after_first(self, x: Float[Tensor, "B N h"], w_BSL: Float[Tensor, "B S L"]) -> Float[Tensor, "B N o"]:
        """The rest of the network, from the first layer's output before its activation."""
        for layer, w_BL in zip(list(self.layers)[1:], w_BSL.unbind(1)[1:], strict=True):
            x = layer(activate(x), w_BL)
        return x


class Generator(nn.Module):
    """Codes to a field on the lattice, and colours at points. Sizes by config."""

    def __init__(self, config: GeneratorConfig, isosurface: IsosurfaceConfig) -> None:
        super().__init__()
        self.config, self.isosurface = config, isosurface
        self.mapping = Mapping(config.latent, config.latent, config.mapping_depth)
        self.mapping_geo = Mapping(config.latent, config.latent, config.mapping_depth)
        self.planes = PlaneBackbone(config)
        self.sdf = PointHead(config, 1)
        self.deformation = PointHead(config, 3)
        self.texture = PointHead(config, config.texture_features)
        self.to_rgb = Head(config.texture_features, 3, config.latent, clamp=256.0)
        levels, layers = len(self.planes.resolutions), config.head_depth + 1
        self.geometry_slots = 3 * levels - 1 + layers
        self.texture_slots = levels + layers

    def codes(
        self, z_geometry: Float[Tensor, "B L"], z_texture: Float[Tensor, "B L"], truncation: float = 1.0
    ) -> Codes:
        """Latents for every layer; `truncation` below 1 pulls them towards the running averages."""
        w_geometry, w_texture = self.mapping_geo(z_geometry), self.mapping(z_texture)
        if truncation != 1.0:
            w_geometry = torch.lerp(self.mapping_geo.w_avg, w_geometry, truncation)
            w_texture = torch.lerp(self.mapping.w_avg, w_texture, truncation)
        return self.repeat(w_geometry, w_texture)

    def repeat(self, w_geometry: Float[Tensor, "B L"], w_texture: Float[Tensor, "B L"]) -> Codes:
        """The same latent in every slot."""
        return Codes(
            w_geometry[:, None].expand(-1, self.geometry_slots, -1),
            w_texture[:, None].expand(-1, self.texture_slots, -1),
        )

    @torch.no_grad()
    def estimate_averages(self, samples: int = 100_000, seed: int = 0) -> None:
        """Set w_avg of both mappings to the mean over `samples` random codes."""
        device = self.mapping.w_avg.device
        rng = torch.Generator().manual_seed(seed)
        for mapping in (self.mapping_geo, self.mapping):
            total = torch.zeros_like(mapping.w_avg, dtype=torch.float64)
            for start in range(0, samples, 10_000):
                z = torch.randn(min(10_000, samples - start), self.config.latent, generator=rng)
                total += mapping(z.to(device, mapping.w_avg.dtype)).double().sum(dim=0)
            mapping.w_avg.copy_(total / samples)

    def field(self, planes: Planes, codes: Codes, resolution: int | None = None) -> Field:
        """SDF and deformation (before tanh) at the vertices of a lattice of `resolution` cells.

        The lattice is aligned with the planes, so each plane is resampled once per pair of axes,
        and the first layer, which is linear, is applied before the three are summed: exact, and
        about G times less work than a look-up at every vertex.
        """
        cells = self.isosurface.resolution if resolution is None else resolution
        matrix_GR = lattice_weights(cells + 1, self.config.plane_resolution).to(planes.geometry)
        w_BSL = codes.geometry[:, -len(self.sdf.layers) :]
        grid = matrix_GR @ planes.geometry @ matrix_GR.T
        sdf = self.sdf.on_lattice(grid, w_BSL)[..., 0]
        deformation = self.deformation.on_lattice(grid, w_BSL)
        if self.isosurface.initial_radius > 0:
            sdf = sdf + self._ball(cells, sdf)
        return Field(sdf, deformation)

    def _ball(self, cells: int, like: Tensor) -> Tensor:
        axis = torch.linspace(-0.5, 0.5, cells + 1, dtype=like.dtype, device=like.device)
        distance = torch.cartesian_prod(axis, axis, axis).norm(dim=1)
        return BALL_SLOPE * (self.isosurface.initial_radius / self.isosurface.scale - distance)

    def colors(self, planes: Planes, codes: Codes, points: Float[Tensor, "B K 3"]) -> Float[Tensor, "B K 3"]:
        """Display-referred colours, nominally -1..1, at points in scene units."""
        layers = len(self.texture.layers)
        u = (points / self.isosurface.scale).clamp(-0.5, 0.5) * 2
        features = look_up(planes.texture, u)
        features = self.texture(features, codes.texture[:, -layers:])
        return self.to_rgb(features.transpose(1, 2)[..., None], codes.texture[:, -1])[..., 0].transpose(1, 2)


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
