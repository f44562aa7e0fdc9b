"""Settings of GET3D, free of torch. The docstring under a field is its help text.

Source of the `paper` values: Gao et al., GET3D (NeurIPS 2022), improved (unified) generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from polyglyph.base.errors import ConfigError
from polyglyph.shape.get3d.schedule_config import OptimiserConfig, ScheduleConfig, positive

__all__ = [
    "PRESETS",
    "AugmentConfig",
    "Config",
    "DiscriminatorConfig",
    "GeneratorConfig",
    "IsosurfaceConfig",
    "LossConfig",
    "ModelConfig",
    "OptimiserConfig",
    "ScheduleConfig",
]


def _power_of_two(name: str, value: int, least: int = 4) -> None:
    if value < least or value & (value - 1):
        raise ConfigError(
            f"`{name}` is {value}, which is not a power of two of at least {least}",
            fix="use 16, 32, 64, 128, 256, ...",
        )


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes. `unified`: one 2-D backbone paints geometry and texture planes (the paper's improved generator).
    `separate`: 3-D networks for SDF and deformation, texture planes that both codes steer (its main one)."""

    architecture: Literal["unified", "separate"] = "unified"
    """`unified` or `separate`, see above."""
    material: Literal["none", "pbr"] = "none"
    """What the texture field gives: the colour that is seen, or base colour, roughness and metallic."""
    latent: int = 512
    """Length of the codes z and w, for geometry and for texture."""
    mapping_depth: int = 8
    """Fully connected layers from z to w."""
    plane_resolution: int = 256
    """Side of the feature planes in texels; a power of two."""
    plane_channels: int = 32
    """Features on each of the three planes, for geometry and for texture."""
    channel_base: int = 32768
    """Backbone channels at resolution R are min(channel_base / R, channel_max)."""
    channel_max: int = 512
    """Most channels of the backbone."""
    head_depth: int = 1
    """Hidden layers of the SDF, deformation and texture heads."""
    head_width: int = 32
    """Width of those hidden layers."""
    texture_features: int = 16
    """Features the texture head gives to the last, colour-making layer."""
    volume_resolution: int = 32
    """Side of the separate generator's feature volumes in voxels; a power of two."""
    volume_base: int = 2048
    """Channels of the 3-D networks at resolution R are min(volume_base / R, volume_max)."""
    volume_max: int = 256
    """Most channels of the 3-D networks."""
    volume_head_width: int = 256
    """Width of the heads that read the volumes: three hidden layers for the SDF, two for the deformation."""
    clamp: float | None = 256.0
    """Bound on the backbone's activations; none for unbounded."""

    def __post_init__(self) -> None:
        _power_of_two("generator.plane_resolution", self.plane_resolution)
        _power_of_two("generator.volume_resolution", self.volume_resolution)
        positive(
            "generator", latent=self.latent, mapping_depth=self.mapping_depth, head_width=self.head_width
        )
        positive("generator", plane_channels=self.plane_channels, texture_features=self.texture_features)
        positive("generator", channel_base=self.channel_base, channel_max=self.channel_max)
        sizes = {name: getattr(self, name) for name in ("volume_base", "volume_max", "volume_head_width")}
        positive("generator", **sizes)
        if self.head_depth < 1:
            raise ConfigError(
                f"`generator.head_depth` is {self.head_depth}, and the heads need a hidden layer",
                fix="pass `--generator.head-depth 1`",
            )

    def channels(self, resolution: int) -> int:
        """Backbone channels at `resolution`."""
        return max(1, min(self.channel_base // resolution, self.channel_max))

    def volume_channels(self, resolution: int) -> int:
        """Channels of the 3-D networks at `resolution`."""
        return max(1, min(self.volume_base // resolution, self.volume_max))

    @property
    def surface_channels(self) -> int:
        """Numbers that the texture field gives at a point: colour, and for `pbr` roughness and metallic."""
        return 5 if self.material == "pbr" else 3


@dataclass(frozen=True, kw_only=True)
class IsosurfaceConfig:
    """The lattice that the surface is cut from."""

    method: Literal["dmtet", "flexicubes"] = "dmtet"
    """Marching tetrahedra on a deformable lattice, or dual vertices in cubes with learned weights."""
    resolution: int = 90
    """Cells along one edge of the box."""
    subdivisions: int = 0
    """How often the tetrahedra around the surface are cut into eight; `dmtet` only."""
    scale: float = 1.0
    """Side of the box in scene units; the surface lies inside it."""
    deformation_multiplier: float = 1.0
    """Lattice vertices move by at most one cell divided by this."""
    initial_radius: float = 0.0
    """Radius of a ball added to the SDF, so that training starts from it; 0 adds nothing (as published)."""
    close_boundary: bool = True
    """Hold the SDF negative on the box, so that every mesh is closed (the published model does not)."""

    def __post_init__(self) -> None:
        if self.resolution < 2:
            raise ConfigError(
                f"`isosurface.resolution` is {self.resolution}, and a surface needs at least 2 cells",
                fix="pass `--isosurface.resolution 32`",
            )
        if not 0 <= self.subdivisions <= 3:
            raise ConfigError(
                f"`isosurface.subdivisions` is {self.subdivisions}, and each makes four times the triangles",
                fix="pass 0, 1, 2 or 3",
            )
        if self.subdivisions and self.method != "dmtet":
            raise ConfigError(
                "`isosurface.subdivisions` cuts tetrahedra, and FlexiCubes has none",
                fix="pass `--isosurface.subdivisions 0`, or a higher `--isosurface.resolution`",
            )
        positive("isosurface", scale=self.scale, deformation_multiplier=self.deformation_multiplier)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Two discriminators, one for colour and one for the mask, each told the camera."""

    channel_base: int = 32768
    """Channels at resolution R are min(channel_base / R, channel_max)."""
    channel_max: int = 512
    """Most channels."""
    single: bool = False
    """One discriminator for colour and mask together, instead of one for each (an ablation of the paper)."""
    camera: bool = True
    """Whether the discriminators are told the camera's angles."""
    embedding: int = 512
    """Length of the camera embedding."""
    mapping_depth: int = 8
    """Fully connected layers from camera angles to embedding."""
    minibatch_group: int = 4
    """Pictures compared with each other by minibatch standard deviation; must divide the batch."""
    clamp: float | None = 256.0
    """Bound on activations; none for unbounded."""

    def __post_init__(self) -> None:
        positive("discriminator", channel_base=self.channel_base, channel_max=self.channel_max)
        positive("discriminator", embedding=self.embedding, minibatch_group=self.minibatch_group)

    def channels(self, resolution: int) -> int:
        """Channels at `resolution`."""
        return max(1, min(self.channel_base // resolution, self.channel_max))


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Non-saturating logistic loss with lazy R1, and the SDF regulariser."""

    r1_gamma: float = 40.0
    """Weight of the R1 penalty on the colour discriminator; larger for more varied shapes."""
    r1_gamma_mask: float = 40.0
    """The same for the mask discriminator."""
    r1_every: int = 16
    """Steps between R1 penalties (lazy regularisation)."""
    sdf_weight: float = 0.01
    """Weight of the cross entropy between signs across lattice edges; against floating pieces."""
    style_mixing: float = 0.9
    """Probability that a second code takes over from a random layer on."""
    antialias_color: bool = True
    """Antialias colour as well as the mask, so that colour moves silhouettes (not in the published model)."""
    position_gradient: bool = False
    """Let colour move the surface through the points where it is looked up (not in the published model)."""
    flexicubes_deviation: float = 0.5
    """FlexiCubes: weight of the unevenness of a vertex's distances to its crossings (its equation 8)."""
    flexicubes_weights: float = 0.1
    """FlexiCubes: weight of the mean square of its weights before activation, where the surface is."""

    def __post_init__(self) -> None:
        if self.r1_every < 1:
            raise ConfigError(f"`loss.r1_every` is {self.r1_every}", fix="pass 1 or more; 16 is usual")
        if not 0 <= self.style_mixing <= 1:
            raise ConfigError(f"`loss.style_mixing` is {self.style_mixing}", fix="pass a probability, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """DiffAugment's operations on what the discriminators see, applied with ADA's probability."""

    probability: float = 0.0
    """Probability of each augmentation at the start; 0 with no target means none."""
    target: float | None = None
    """Adapt the probability so that E[sign D(real)] stays here (ADA: 0.6); none keeps it fixed."""
    limit: float = 0.8
    """Largest adapted probability."""
    speed_kimg: float = 100.0
    """Thousands of pictures for the probability to move by 1."""
    translation: float = 0.125
    """Largest shift, as a part of the picture's side."""
    cutout: float = 0.5
    """Side of the erased square, as a part of the picture's side; 0 for none."""
    color: bool = True
    """Brightness, saturation and contrast."""

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(
                f"`augment.probability` is {self.probability}", fix="pass a probability, 0 to 1"
            )

    @property
    def active(self) -> bool:
        """Whether any picture is ever augmented."""
        return self.probability > 0 or self.target is not None


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything one training run depends on, apart from its data and seed."""

    resolution: int = 1024
    """Side of the training pictures in pixels; a power of two; the data set is reduced to it."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    isosurface: IsosurfaceConfig = field(default_factory=IsosurfaceConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        _power_of_two("resolution", self.resolution, 8)
        group = min(self.discriminator.minibatch_group, self.schedule.batch)
        if self.schedule.batch % group:
            raise ConfigError(
                f"`schedule.batch` is {self.schedule.batch}, not a multiple of"
                f" `discriminator.minibatch_group` {group}",
                fix=f"pass `--schedule.batch {max(group, self.schedule.batch // group * group)}`",
            )


PRESETS: dict[Literal["tiny", "small", "paper"], Config] = {
    "tiny": Config(
        resolution=64,
        generator=GeneratorConfig(
            latent=128,
            mapping_depth=2,
            plane_resolution=32,
            plane_channels=16,
            channel_base=2048,
            channel_max=128,
            volume_resolution=16,
            volume_base=512,
            volume_max=64,
            volume_head_width=64,
            clamp=None,
        ),
        isosurface=IsosurfaceConfig(
            resolution=32, scale=0.9, initial_radius=0.25, deformation_multiplier=2.0
        ),
        discriminator=DiscriminatorConfig(
            channel_base=1024, channel_max=128, embedding=128, mapping_depth=2, clamp=None
        ),
        loss=LossConfig(r1_gamma=2.0, r1_gamma_mask=2.0, sdf_weight=0.3),
        augment=AugmentConfig(target=0.6),
        optimiser=OptimiserConfig(ema_kimg=2.5),
        schedule=ScheduleConfig(batch=4, kimg=200.0),
    ),
    "small": Config(
        resolution=128,
        generator=GeneratorConfig(
            latent=256,
            plane_resolution=128,
            channel_base=16384,
            channel_max=256,
            volume_base=1024,
            volume_max=128,
            volume_head_width=128,
        ),
        isosurface=IsosurfaceConfig(resolution=48, scale=0.9, initial_radius=0.25),
        discriminator=DiscriminatorConfig(channel_base=16384, channel_max=256, embedding=256),
        loss=LossConfig(r1_gamma=10.0, r1_gamma_mask=10.0),
        augment=AugmentConfig(target=0.6),
        schedule=ScheduleConfig(batch=32, kimg=5000.0),
    ),
    "paper": Config(
        isosurface=IsosurfaceConfig(resolution=90, close_boundary=False),
        loss=LossConfig(antialias_color=False),
        schedule=ScheduleConfig(mirror=False),
    ),
}
"""`tiny`: 64² on a CPU. `small`: 128² on one GPU. `paper`: 1024², batch 32, the published sizes.
`tiny` has a quarter of the paper's most channels (128) and fewer still where resolution is high (64 for
the generator and 16 for the discriminators at the top): that is what two cores train at 12 pictures/s.
"""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """`config.json` of a model folder: what is needed to rebuild the generator and look at its shapes."""

    architecture: Literal["get3d"] = "get3d"
    version: int = 1
    generator: GeneratorConfig
    isosurface: IsosurfaceConfig
    resolution: int
    """Side of the training pictures."""
    radius: float
    """Distance of the training cameras."""
    fov: float
    """Their vertical field of view in degrees."""
    azimuth: tuple[float, float] = (0.0, 360.0)
    """Degrees; where the training cameras stood."""
    elevation: tuple[float, float] = (0.0, 30.0)
    """Degrees."""
    kimg: float = 0.0
    """Thousands of pictures seen in training."""
    subject: str = ""
    """What the model makes, for file names and captions."""
