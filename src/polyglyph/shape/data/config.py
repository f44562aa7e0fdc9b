"""Settings of everything that makes or reads training data. No torch here, so that `--help` stays fast."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyglyph.base.config import from_dict, nearest_name
from polyglyph.base.errors import ConfigError
from polyglyph.base.files import read_json

__all__ = [
    "CAMERAS",
    "CameraDistribution",
    "DatasetConfig",
    "ImportConfig",
    "LightName",
    "ProceduralConfig",
    "ShardConfig",
    "camera_distribution",
]


def _check_pattern(name: str, pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as problem:
        raise ConfigError(
            f"`--{name} {pattern}` is not a regular expression: {problem}",
            fix=f"quote it and escape special characters, as in `--{name} 'chair|stool'`",
        ) from None


def _check_at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigError(
            f"`{name}` is {value}, and must be at least {least}", fix=f"pass `--{name} {least}`"
        )


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """How meshes of any kind become a mesh folder."""

    category: str | None = None
    """Keep only this category; a source that has no categories takes it as the label of every mesh."""
    match: str | None = None
    """Keep only meshes whose name, category, tags or caption contain this regular expression (any case)."""
    exclude: str | None = None
    """Leave out meshes whose name, category, tags or caption contain this regular expression (any case)."""
    limit: int | None = None
    """Stop after this many candidates."""
    max_faces: int | None = None
    """Simplify meshes with more triangles than this; nothing is simplified unless asked for."""
    workers: int | None = None
    """Processes; one per core when left out."""
    force: bool = False
    """Replace the output folder when it is already there."""

    def __post_init__(self) -> None:
        _check_pattern("match", self.match)
        _check_pattern("exclude", self.exclude)
        _check_at_least("limit", self.limit, 1)
        _check_at_least("max-faces", self.max_faces, 4)
        _check_at_least("workers", self.workers, 1)


@dataclass(frozen=True, kw_only=True)
class CameraDistribution:
    """Where the cameras stand: angles uniform in degrees, always looking at the origin."""

    azimuth: tuple[float, float] = (0.0, 360.0)
    """Degrees around +Y; 0 looks at the front from +Z, 90 from +X."""
    elevation: tuple[float, float] = (0.0, 30.0)
    """Degrees above the horizon."""
    radius: float = 1.2
    """Distance from the origin."""
    fov: float = 49.134
    """Full vertical field of view in degrees (a 35 mm lens on a 32 mm sensor)."""

    def __post_init__(self) -> None:
        if not -90.0 < self.elevation[0] <= self.elevation[1] < 90.0:
            raise ConfigError(
                f"`camera.elevation` is {self.elevation}, not an interval inside -90..90 degrees",
                fix="give two numbers, the smaller first, such as 0 and 30",
            )
        if not -360.0 <= self.azimuth[0] <= self.azimuth[1] <= 360.0:
            raise ConfigError(
                f"`camera.azimuth` is {self.azimuth}, not an interval inside -360..360 degrees",
                fix="give two numbers, the smaller first, such as 0 and 360",
            )
        if not 0.0 < self.radius < 1000.0:
            raise ConfigError(f"`camera.radius` is {self.radius}", fix="give a distance such as 1.2")
        if not 1.0 <= self.fov <= 170.0:
            raise ConfigError(f"`camera.fov` is {self.fov} degrees", fix="give an angle between 1 and 170")


CAMERAS = {
    "shapenet": CameraDistribution(),
    "animal": CameraDistribution(elevation=(0.0, 45.0)),
    "human": CameraDistribution(elevation=(0.0, 20.0)),
}
"""The camera distributions that GET3D trains with, by the name of their data."""


def camera_distribution(camera: str) -> CameraDistribution:
    """The preset named `camera`, or the distribution in the JSON file `camera`.

    The file holds any of `azimuth`, `elevation` (two degrees each), `radius`, `fov`.
    Raises ConfigError for a name that is neither.
    """
    if camera in CAMERAS:
        return CAMERAS[camera]
    path = Path(camera)
    if path.is_file():
        return from_dict(CameraDistribution, read_json(path), where=str(path))
    near = nearest_name(camera, CAMERAS)
    raise ConfigError(
        f"`{camera}` is neither a camera preset nor a file",
        fix=f"did you mean `{near}`?" if near else f"choose one of {', '.join(CAMERAS)}, or give a JSON file",
    )


LightName = Literal["soft", "studio", "flat", "environment"]
"""What pictures of a data set can be lit by."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """How a mesh folder becomes pictures."""

    views: int = 24
    """Pictures of each mesh."""
    resolution: int = 128
    """Pixels along one side."""
    camera: str = "shapenet"
    """`shapenet` (elevation 0-30°), `animal` (0-45°), `human` (0-20°), or a JSON file."""
    object_size: float = 0.7
    """Longest side of the object's box, centred at the origin (GET3D: chair 0.7, car and motorbike 0.9)."""
    keep_in_view: bool = True
    """Shrink an object further where its bounding sphere would leave the picture."""
    supersample: int = 3
    """Each pixel averages this number squared of samples."""
    light: LightName = "soft"
    """`soft`: a bright sky and a weak lamp above the front; `studio`: three lamps; `flat`: plain colours;
    `environment`: every picture under random surroundings of its own, which `train --material pbr` needs."""
    split: str | None = None
    """A split file; when left out, the committed split for known meshes, and 70/10/20 for others."""
    limit: int | None = None
    """Only the first so many meshes."""
    seed: int = 0
    """Cameras, splits and random surroundings depend on this and on the mesh alone."""
    workers: int | None = None
    """Processes; one per core when left out."""
    force: bool = False
    """Replace a finished or differently configured folder instead of continuing it."""

    def __post_init__(self) -> None:
        _check_at_least("views", self.views, 1)
        _check_at_least("resolution", self.resolution, 8)
        _check_at_least("supersample", self.supersample, 1)
        _check_at_least("limit", self.limit, 1)
        _check_at_least("workers", self.workers, 1)
        if not 0.0 < self.object_size <= 100.0:
            raise ConfigError(f"`object-size` is {self.object_size}", fix="pass `--object-size 0.7`")


@dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """How a dataset becomes tar files for many machines."""

    per_shard: int = 2400
    """Pictures in one tar file, rounded up to whole objects."""
    force: bool = False
    """Replace the output folder when it is already there."""

    def __post_init__(self) -> None:
        _check_at_least("per-shard", self.per_shard, 1)


@dataclass(frozen=True, kw_only=True)
class ProceduralConfig:
    """How many parametric meshes to make, and of what."""

    category: Literal["chair", "table", "car", "house", "lamp"] = "chair"
    """What to build."""
    count: int = 16
    """How many meshes."""
    seed: int = 0
    """Mesh number i depends on this, the category and i alone."""
    texture_resolution: int = 128
    """Pixels along one side of each material's picture."""
    force: bool = False
    """Replace the output folder when it is already there."""

    def __post_init__(self) -> None:
        _check_at_least("count", self.count, 1)
        _check_at_least("texture-resolution", self.texture_resolution, 8)
