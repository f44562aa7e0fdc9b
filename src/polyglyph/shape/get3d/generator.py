"""GET3D's generators: codes to features, features to SDF, deformation and surface colour.

*Unified* (GET3D, appendix, "improved G"): one StyleGAN2-like 2-D backbone paints geometry and texture planes.
*Separate* (section 3.1): two 3-D networks make feature volumes, one for the SDF and one for the deformation,
and texture planes are steered by both codes. In both, texture never changes geometry.

Legend: B batch, L latent, S and T slots of the geometry and the texture code, C channels, R plane resolution,
D voxels along a side of a volume, N lattice vertices, Q lattice cubes, K points, F surface channels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.kernels.flexicubes import WEIGHT_COUNT, regular_grid
from polyglyph.scene.isosurface import close_boundary, cut_cubes
from polyglyph.shape.get3d.codes import Codes, Field, Planes, both_latents
from polyglyph.shape.get3d.config import GeneratorConfig, IsosurfaceConfig
from polyglyph.shape.get3d.heads import PointHead
from polyglyph.shape.get3d.layers import Head, Mapping
from polyglyph.shape.get3d.planes import UnifiedPlanes, lattice_weights, look_up
from polyglyph.shape.get3d.volumes import (
    POSITION_CHANNELS,
    SeparateBackbone,
    position_code,
    volume_at,
    volume_on_lattice,
)

__all__ = [
    "Codes",
    "Field",
    "Generator",
    "Planes",
    "SeparateGenerator",
    "UnifiedGenerator",
    "make_generator",
]

BALL_SLOPE = 10.0
"""SDF units per box side of the ball added when `isosurface.initial_radius` is positive."""

WEIGHT_GAIN = 0.1
"""Of the head that gives FlexiCubes its weights, so that they start near neutral."""

SDF_DEPTH, DEFORMATION_DEPTH = 3, 2
"""Hidden layers of the separate generator's heads."""


class Generator(nn.Module):
    """What both generators share. Make one with `make_generator`."""

    planes: nn.Module
    """From codes to `Planes`."""
    sdf: PointHead
    deformation: PointHead
    texture: PointHead
    geometry_slots: int
    texture_slots: int

    def __init__(self, config: GeneratorConfig, isosurface: IsosurfaceConfig) -> None:
        super().__init__()
        self.config, self.isosurface = config, isosurface
        self.mapping = Mapping(config.latent, config.latent, config.mapping_depth)
        self.mapping_geo = Mapping(config.latent, config.latent, config.mapping_depth)
        self._build(config)
        self.to_rgb = Head(config.texture_features, config.surface_channels, config.latent, clamp=256.0)
        if isosurface.method == "flexicubes":
            self.weights = self._weight_head(config)

    def _build(self, config: GeneratorConfig) -> None:
        """Make `planes`, the heads and the numbers of slots."""
        raise NotImplementedError

    def _weight_head(self, config: GeneratorConfig) -> PointHead:
        """From the features of a cube's eight corners, side by side, to FlexiCubes' weights."""
        raise NotImplementedError

    def _on_lattice(self, planes: Planes, codes: Codes, cells: int) -> tuple[Tensor, Tensor]:
        """SDF [B, N] (without the ball) and deformation at every vertex of a lattice."""
        raise NotImplementedError

    def _at(self, planes: Planes, codes: Codes, u: Tensor) -> tuple[Tensor, Tensor]:
        """The same at points [B, K, 3] in -1..1."""
        raise NotImplementedError

    def _corner_features(self, planes: Planes, u: Tensor) -> Tensor:
        """What FlexiCubes' weights are read from, at points [B, K, 3] in -1..1."""
        raise NotImplementedError

    def _texture_latents(self, codes: Codes) -> Float[Tensor, "B T l"]:
        """What steers the texture head's layers, the last slots last."""
        raise NotImplementedError

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
                count = min(10_000, samples - start)
                z = torch.randn(count, self.config.latent, generator=rng).to(device, mapping.w_avg.dtype)
                total += mapping(z).double().sum(dim=0)
            mapping.w_avg.copy_(total / samples)

    def field(self, planes: Planes, codes: Codes, resolution: int | None = None) -> Field:
        """SDF and deformation (before tanh) at the vertices of a lattice of `resolution` cells."""
        cells = self.isosurface.resolution if resolution is None else resolution
        sdf, deformation = self._on_lattice(planes, codes, cells)
        if self.isosurface.initial_radius > 0:
            axis = torch.linspace(-1, 1, cells + 1, dtype=sdf.dtype, device=sdf.device)
            sdf = sdf + self._ball(torch.cartesian_prod(axis, axis, axis))
        weights = None
        if self.isosurface.method == "flexicubes":
            weights = self._cube_weights(planes, codes, sdf.detach(), cells)
        return Field(sdf, deformation, weights, lambda u: self.field_at(planes, codes, u))

    def field_at(
        self, planes: Planes, codes: Codes, u: Float[Tensor, "B K 3"]
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K 3"]]:
        """SDF and deformation (before tanh) at points in -1..1 along the box."""
        sdf, deformation = self._at(planes, codes, u)
        return sdf + self._ball(u) if self.isosurface.initial_radius > 0 else sdf, deformation

    def _ball(self, u: Tensor) -> Tensor:
        radius = self.isosurface.initial_radius / self.isosurface.scale
        return BALL_SLOPE * (radius - u.norm(dim=-1) / 2)

    def _cube_weights(self, planes: Planes, codes: Codes, sdf: Tensor, cells: int) -> Float[Tensor, "B Q 21"]:
        """FlexiCubes' weights where the surface will pass, found from the cubes' corners; 0 elsewhere."""
        grid = regular_grid(cells).to(sdf.device, sdf.dtype)
        if self.isosurface.close_boundary:
            sdf = close_boundary(sdf, grid)
        cut_BQ = cut_cubes(sdf, grid)
        most = max(int(cut_BQ.sum(dim=1).max()), 1)
        cubes_BK = cut_BQ.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        u_BK3 = grid.positions[grid.corners_of(cubes_BK.flatten())].view(len(sdf), most * 8, 3) * 2
        features = self._corner_features(planes, u_BK3).unflatten(1, (most, 8)).flatten(2)
        raw = self.weights(features, codes.geometry[:, -len(self.weights.layers) :]) * WEIGHT_GAIN
        raw = raw * cut_BQ.gather(1, cubes_BK)[..., None]
        where = cubes_BK[..., None].expand(-1, -1, WEIGHT_COUNT)
        return raw.new_zeros(*cut_BQ.shape, WEIGHT_COUNT).scatter(1, where, raw)

    def surface_values(
        self, planes: Planes, codes: Codes, points: Float[Tensor, "B K 3"]
    ) -> Float[Tensor, "B K F"]:
        """The texture field at points in scene units, unbounded.

        Without a material it is the display-referred colour, nominally -1..1; `pbr` adds roughness and
        metallic (`shading.material_of` bounds them).
        """
        u = (points / self.isosurface.scale).clamp(-0.5, 0.5) * 2
        features = look_up(planes.texture, u)
        features = self.texture(features, self._texture_latents(codes)[:, -len(self.texture.layers) :])
        return self.to_rgb(features.transpose(1, 2)[..., None], codes.texture[:, -1])[..., 0].transpose(1, 2)

    def colors(self, planes: Planes, codes: Codes, points: Float[Tensor, "B K 3"]) -> Float[Tensor, "B K 3"]:
        """Display-referred colours, nominally -1..1, at points in scene units; without a material."""
        return self.surface_values(planes, codes, points)[..., :3]


class UnifiedGenerator(Generator):
    """One backbone for geometry and texture planes; the texture code reaches texture heads only."""

    def _build(self, config: GeneratorConfig) -> None:
        self.planes = UnifiedPlanes(config)
        hidden = [config.head_width] * config.head_depth

        def head(outputs: int) -> PointHead:
            return PointHead(config.plane_channels, hidden, outputs, config.latent)

        self.sdf, self.deformation, self.texture = head(1), head(3), head(config.texture_features)
        levels, layers = len(self.planes.resolutions), config.head_depth + 1
        self.geometry_slots = 3 * levels - 1 + layers
        self.texture_slots = levels + layers

    def _weight_head(self, config: GeneratorConfig) -> PointHead:
        hidden = [config.head_width] * config.head_depth
        return PointHead(8 * config.plane_channels, hidden, WEIGHT_COUNT, config.latent)

    def _on_lattice(self, planes: Planes, codes: Codes, cells: int) -> tuple[Tensor, Tensor]:
        """The lattice is aligned with the planes, so each plane is resampled once per pair of axes, and the
        first layer, which is linear, is applied before the three are summed: exact, and about as many times
        less work than a look-up at every vertex as the lattice has vertices along an edge."""
        matrix_GR = lattice_weights(cells + 1, self.config.plane_resolution).to(planes.geometry)
        w_BSL = codes.geometry[:, -len(self.sdf.layers) :]
        grid = matrix_GR @ planes.geometry @ matrix_GR.T
        return self.sdf.on_lattice(grid, w_BSL)[..., 0], self.deformation.on_lattice(grid, w_BSL)

    def _at(self, planes: Planes, codes: Codes, u: Tensor) -> tuple[Tensor, Tensor]:
        features, w_BSL = look_up(planes.geometry, u), codes.geometry[:, -len(self.sdf.layers) :]
        return self.sdf(features, w_BSL)[..., 0], self.deformation(features, w_BSL)

    def _corner_features(self, planes: Planes, u: Tensor) -> Tensor:
        return look_up(planes.geometry, u)

    def _texture_latents(self, codes: Codes) -> Tensor:
        return codes.texture


class SeparateGenerator(Generator):
    """3-D networks for SDF and deformation; texture planes and head see latents of both codes."""

    def _build(self, config: GeneratorConfig) -> None:
        self.planes = SeparateBackbone(config)
        width, latent = config.volume_head_width, config.latent
        inputs = self._volume_features
        self.sdf = PointHead(inputs, [width] * SDF_DEPTH, 1, latent)
        self.deformation = PointHead(inputs, [width] * DEFORMATION_DEPTH, 3, latent)
        hidden = [config.head_width] * config.head_depth
        self.texture = PointHead(config.plane_channels, hidden, config.texture_features, latent, sources=2)
        self.geometry_slots = self.planes.sdf.slots + SDF_DEPTH + 1
        self.texture_slots = self.planes.texture.slots + config.head_depth + 1

    @property
    def _volume_features(self) -> int:
        return self.config.volume_channels(self.config.volume_resolution) + POSITION_CHANNELS

    def _weight_head(self, config: GeneratorConfig) -> PointHead:
        hidden = [config.head_width] * config.head_depth
        return PointHead(8 * self._volume_features, hidden, WEIGHT_COUNT, config.latent)

    def _heads(self, features: Sequence[Tensor], codes: Codes) -> tuple[Tensor, Tensor]:
        """SDF and deformation from the features of the two volumes."""
        w_sdf = codes.geometry[:, -len(self.sdf.layers) :]
        w_deformation = codes.geometry[:, -len(self.deformation.layers) :]
        return self.sdf(features[0], w_sdf)[..., 0], self.deformation(features[1], w_deformation)

    def _on_lattice(self, planes: Planes, codes: Codes, cells: int) -> tuple[Tensor, Tensor]:
        axis = torch.linspace(-1, 1, cells + 1).to(planes.geometry)
        code = position_code(torch.cartesian_prod(axis, axis, axis)).expand(len(planes.geometry), -1, -1)
        read = [volume_on_lattice(volume, cells + 1) for volume in planes.geometry.unbind(1)]
        return self._heads([torch.cat((features, code), dim=2) for features in read], codes)

    def _at(self, planes: Planes, codes: Codes, u: Tensor) -> tuple[Tensor, Tensor]:
        code = position_code(u)
        read = [volume_at(volume, u) for volume in planes.geometry.unbind(1)]
        return self._heads([torch.cat((features, code), dim=2) for features in read], codes)

    def _corner_features(self, planes: Planes, u: Tensor) -> Tensor:
        return torch.cat((volume_at(planes.geometry[:, 0], u), position_code(u)), dim=2)

    def _texture_latents(self, codes: Codes) -> Tensor:
        return both_latents(codes)


def make_generator(config: GeneratorConfig, isosurface: IsosurfaceConfig) -> Generator:
    """The generator that `config.architecture` names, with random weights."""
    kind = SeparateGenerator if config.architecture == "separate" else UnifiedGenerator
    return kind(config, isosurface)
