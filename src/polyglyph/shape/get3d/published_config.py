"""Settings of what becomes of a published GET3D checkpoint, free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from polyglyph.base.errors import ConfigError
from polyglyph.shape.get3d.config import DiscriminatorConfig

__all__ = ["PUBLISHED", "DiscriminatorsConfig", "Published", "PublishedConfig"]


class Published(NamedTuple):
    """What is known about one of the published files, and not written in it."""

    subject: str
    scale: float
    """Its `dmtet_scale`."""


PUBLISHED = {
    "shapenet_car": Published("car", 1.0),
    "shapenet_chair": Published("chair", 0.8),
    "shapenet_motorbike": Published("motorbike", 1.0),
    "shapenet_table": Published("table", 0.8),
}
"""By the name of the file without its suffix."""


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """What a GET3D checkpoint does not say about itself; the defaults are those of the published files."""

    network: Literal["G_ema", "G"] = "G_ema"
    """`G_ema` is the averaged generator, `G` the one last trained."""
    scale: float | None = None
    """Side of the box in scene units (`dmtet_scale`); by default that of the published file, or 1."""
    resolution: int = 90
    """Cells along one edge of the lattice (`tet_res`)."""
    deformation_multiplier: float = 1.0
    """Lattice vertices move by at most 1 / (resolution × this) scene units, whatever the scale."""
    clamp: float = 256.0
    """Bound on activations (`conv_clamp`)."""
    fp32: bool = False
    """It was trained with `--fp32 1`: activations have no bound."""
    camera: str = "shapenet"
    """Where the training cameras stood: `shapenet`, `animal`, `human`, or a JSON file with the angles."""
    elevation: tuple[float, float] | None = None
    """Lowest and highest training camera in degrees, instead of those of `--camera`."""
    picture_resolution: int = 1024
    """Side of the training pictures, where the file holds no discriminators to tell it."""
    subject: str | None = None
    """What the model makes, for file names; by default that of the published file."""
    estimate_average: bool = False
    """Replace the average codes by the mean over 100,000 codes, as the authors do before they sample."""
    generator_only: bool = False
    """Leave the discriminators out."""

    def __post_init__(self) -> None:
        positive = {
            "scale": 1.0 if self.scale is None else self.scale,
            "deformation-multiplier": self.deformation_multiplier,
            "clamp": self.clamp,
        }
        at_least = {"resolution": (self.resolution, 2), "picture-resolution": (self.picture_resolution, 8)}
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"`{name}` is {value}", fix=f"leave `--{name}` out for the published value")
        for name, (value, least) in at_least.items():
            if value < least:
                raise ConfigError(
                    f"`{name}` is {value}, and must be at least {least}",
                    fix=f"leave `--{name}` out for the published value",
                )
        if self.elevation is not None and not -90 < self.elevation[0] <= self.elevation[1] < 90:
            raise ConfigError(
                f"`elevation` is {self.elevation}, not an interval inside -90..90 degrees",
                fix="give two numbers, the smaller first, such as 0 and 30",
            )


@dataclass(frozen=True, kw_only=True)
class DiscriminatorsConfig:
    """`discriminators.json` beside `discriminators.safetensors`: how to rebuild the two networks."""

    version: int = 1
    discriminator: DiscriminatorConfig
    resolution: int
    """Side of the pictures they see."""
    azimuth_zero: float = 0.0
    """Our azimuth, in degrees, of the camera that they are told stands at 0."""
