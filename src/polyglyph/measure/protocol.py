"""What has to be agreed on before two numbers can be compared, as data. Free of torch.

The docstring under a field is its help text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from polyglyph.base.errors import ConfigError
from polyglyph.shape.data.config import CameraDistribution, DatasetConfig, LightName
from polyglyph.shape.get3d.sample_config import SampleConfig

__all__ = [
    "METRICS",
    "OF_PICTURES",
    "PROTOCOLS",
    "MeasureConfig",
    "Metric",
    "PictureProtocol",
    "Protocol",
    "Shown",
    "Split",
    "protocol_of",
]

Metric = Literal["cd", "lfd", "jsd", "fid", "kid", "pr"]
METRICS: tuple[str, ...] = get_args(Metric)
OF_PICTURES: frozenset[str] = frozenset({"fid", "kid", "pr"})
"""Metrics of pictures; the others are of shapes."""

Shown = Literal["auto", "soft", "studio", "flat", "environment", "albedo"]
Split = Literal["train", "val", "test", "all"]


@dataclass(frozen=True, kw_only=True)
class PictureProtocol:
    """How shapes are seen where their pictures are compared: as `polyglyph dataset` sees them.

    A data set on either side is taken as it is; shapes that are compared with it are seen from its angles,
    radius and field of view, and placed as its objects are.
    """

    views: int = 24
    """Pictures of each shape; fewer where a data set has fewer. Cameras hang on the shape and the seed."""
    resolution: int = 128
    """Pixels along one side; a data set's pictures are averaged down to it."""
    background: Literal["white"] = "white"
    """What is behind the shapes; mixed in sRGB, as training does."""
    supersample: int = 3
    """Each pixel averages this number squared of samples."""
    camera: CameraDistribution = field(default_factory=CameraDistribution)
    """Where the cameras stand, for shapes that are not compared with a data set."""
    object_size: float = 0.7
    """Longest side of a shape's box, centred at the origin."""
    keep_in_view: bool = True
    """Shrink a shape further where its bounding sphere would leave the picture."""
    generated_light: Shown = "auto"
    """How generated shapes are shown: under a light of `polyglyph dataset` (soft, studio, flat, environment),
    or albedo, plain base colours. `auto`: albedo for what a model without materials made, since light is in
    its colours already; else the other side's light where that is a data set, and soft where it is not."""
    reference_light: Shown = "auto"
    """How reference shapes are shown."""
    texture_resolution: int = 1024
    """Side of the picture that a model's colours are baked into, as by `polyglyph sample`."""
    faces: int = 10000
    """Most triangles of a shape that a model made; 0 for no limit."""
    kernel_subsets: int = 100
    """Subsets whose kernel distances are averaged."""
    kernel_size: int = 1000
    """Pictures in such a subset, or as many as there are."""
    nearest: int = 3
    """Precision and recall: a ball reaches to this nearest other picture."""
    nearest_density: int = 5
    """The same for density and coverage."""

    def __post_init__(self) -> None:
        for name, least in (("views", 1), ("kernel_subsets", 1), ("kernel_size", 2), ("nearest", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"`pictures.{name}` is {getattr(self, name)}", fix=f"pass {least} or more")
        if self.nearest_density < 1:
            raise ConfigError(f"`pictures.nearest_density` is {self.nearest_density}", fix="pass 5")
        self.rendering("soft")  # which looks at the rest

    def rendering(self, light: LightName, seed: int = 0) -> DatasetConfig:
        """The settings that `polyglyph dataset` has for this. Raises ConfigError where one cannot be."""
        return DatasetConfig(
            light=light,
            views=self.views,
            resolution=self.resolution,
            supersample=self.supersample,
            object_size=self.object_size,
            keep_in_view=self.keep_in_view,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How shapes are compared."""

    name: str = "get3d"
    """Whose protocol this is."""
    source: str = "Gao et al., GET3D (NeurIPS 2022), section 4 and its evaluation scripts"
    """Where it is written down."""
    points: int = 2048
    """Points drawn from each surface, uniformly by area."""
    surface: Literal["all", "outer"] = "all"
    """Which part of the surface: all of it, or what can be seen from outside, for meshes with interiors."""
    normalisation: Literal["none", "box", "diagonal", "sphere"] = "box"
    """Frame in which points are compared: box, centre to the origin and longest side 1."""
    chamfer: Literal["squared_sum", "squared_mean", "unsquared_sum", "unsquared_mean"] = "squared_sum"
    """Which Chamfer distance: of squared distances or not, the two directions summed or averaged."""
    chamfer_factor: float = 1000.0
    """What the Chamfer distance is multiplied by before it is printed."""
    per_reference: int = 5
    """Shapes drawn from a model for each reference shape."""
    truncation: float = 1.0
    """Truncation of a model's codes."""
    jsd_resolution: int = 28
    """Nodes along one side of the grid of the Jensen-Shannon divergence; shapes are put into the ball."""
    light_fields: int = 10
    """Light fields of a shape, of 10 views each. 10 is the Light Field Distance of "3DAlignment v1.8", all
    four parts of both shapes read. Any other number is called lfd-N, and turning a shape matters less."""
    pictures: PictureProtocol = field(default_factory=PictureProtocol)
    """How shapes are seen where their pictures are compared."""

    def __post_init__(self) -> None:
        for name in ("points", "per_reference", "light_fields"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`protocol.{name}` is {getattr(self, name)}", fix="pass 1 or more")
        if self.jsd_resolution < 3:
            raise ConfigError(f"`protocol.jsd_resolution` is {self.jsd_resolution}", fix="pass 28")
        if not self.chamfer_factor > 0:
            raise ConfigError(
                f"`protocol.chamfer_factor` is {self.chamfer_factor}", fix="pass 1, or 1000 as is usual"
            )
        self.export()  # which looks at the rest

    def export(self) -> SampleConfig:
        """How `polyglyph sample` would write a model's shapes. Raises ConfigError where that cannot be."""
        return SampleConfig(
            truncation=self.truncation,
            texture_resolution=self.pictures.texture_resolution,
            faces=self.pictures.faces,
        )

    @property
    def chamfer_reduction(self) -> Literal["sum", "mean"]:
        """How the two directions of the Chamfer distance are put together."""
        return "sum" if self.chamfer.endswith("sum") else "mean"

    @property
    def light_field_name(self) -> str:
        """What the Light Field Distance is called in results."""
        return "lfd" if self.light_fields == 10 else f"lfd-{self.light_fields}"


PROTOCOLS: dict[str, Protocol] = {
    "get3d": Protocol(),
    "occupancy-networks": Protocol(
        name="occupancy-networks",
        source="Mescheder et al. (CVPR 2019): Chamfer-L1, in tenths of the longest side",
        points=100_000,
        chamfer="unsquared_mean",
        chamfer_factor=10.0,
        per_reference=1,
    ),
}


def protocol_of(name: str) -> Protocol:
    """A known protocol. Raises ConfigError for a name that is none."""
    if name not in PROTOCOLS:
        raise ConfigError(
            f"there is no protocol `{name}`", fix=f"choose one of {', '.join(sorted(PROTOCOLS))}"
        )
    return PROTOCOLS[name]


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What to measure."""

    metrics: tuple[Metric, ...] = ("cd", "lfd", "jsd")
    """Of shapes: cd, Chamfer, and lfd, light field, each giving COV, MMD and 1-NNA; jsd, of all points. Of
    pictures: fid, Fréchet distance; kid, kernel distance; pr, precision, recall, density, coverage."""
    protocol: Protocol = field(default_factory=Protocol)
    """How shapes are compared."""
    limit: int | None = None
    """Measure the first so many shapes of a folder only, and draw from a model for so many."""
    split: Split = "all"
    """Which objects of a data set are compared."""
    seed: int = 0
    """Seed of the points, of a model's codes, of cameras, of subsets and of the intervals."""

    def __post_init__(self) -> None:
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise ConfigError("`metrics` names none, or one twice", fix="pass `--metrics cd lfd`")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"`limit` is {self.limit}", fix="pass 1 or more, or leave it out")

    @property
    def of_pictures(self) -> bool:
        """Whether pictures are compared."""
        return not OF_PICTURES.isdisjoint(self.metrics)

    @property
    def of_shapes(self) -> tuple[str, ...]:
        """The metrics that need geometry."""
        return tuple(name for name in self.metrics if name not in OF_PICTURES)
