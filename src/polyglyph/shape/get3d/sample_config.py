"""Settings of `sample`, free of torch. The docstring under a field is its help text."""

from __future__ import annotations

from dataclasses import dataclass

from polyglyph.base.errors import ConfigError

__all__ = ["SampleConfig"]


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What to draw from a trained generator."""

    count: int = 4
    """Meshes to make."""
    seed: int = 0
    """First seed; mesh k uses seed + k for geometry and texture."""
    truncation: float = 0.7
    """Pull towards the average shape: 1 for the full variety, 0 for the average itself."""
    texture_resolution: int = 1024
    """Side of the baked base-colour picture in texels."""
    faces: int = 10000
    """Most triangles per mesh; more are decimated. 0 for no limit."""
    isosurface_resolution: int | None = None
    """Cut the surface at another lattice resolution than the model was trained with."""
    view_resolution: int = 256
    """Side of the pictures on the contact sheet."""
    interpolate: tuple[int, int] | None = None
    """Two seeds: walk from one shape to the other in `frames` steps, with an animation; `count` is unused."""
    frames: int = 16
    """Meshes along the walk."""
    swap: tuple[int, int] | None = None
    """Two seeds: both meshes, and each with the other's texture; `count` is unused."""

    def __post_init__(self) -> None:
        if self.interpolate is not None and self.swap is not None:
            raise ConfigError("`interpolate` and `swap` are both given", fix="make one folder for each")
        if self.frames < 2:
            raise ConfigError(f"`frames` is {self.frames}", fix="pass `--frames 2` or more")
        if self.count < 1:
            raise ConfigError(f"`count` is {self.count}", fix="pass `--count 1` or more")
        if not 0 <= self.truncation <= 2:
            raise ConfigError(f"`truncation` is {self.truncation}", fix="pass 0 to 1; 0.7 is usual")
        if not 16 <= self.texture_resolution <= 8192:
            raise ConfigError(f"`texture_resolution` is {self.texture_resolution}", fix="pass 16 to 8192")
        if self.faces < 0 or 0 < self.faces < 4:
            raise ConfigError(f"`faces` is {self.faces}", fix="pass 4 or more, or 0 for no limit")
