"""What to draw from a trained generator, free of torch. The docstring under a field is its help text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from polyglyph.base.errors import ConfigError

__all__ = ["SampleConfig", "UsualSampleConfig"]


@dataclass(frozen=True, kw_only=True)
class UsualSampleConfig:
    """What to draw from a trained generator: the settings that a short help shows."""

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
    lods: tuple[int, ...] = ()
    """Levels of detail, most triangles of each, from fine to coarse: the first takes the place of `faces`,
    the others are NAME_lod1.glb, NAME_lod2.glb, ... with textures of half the side each."""
    turntable: bool = False
    """Also write NAME.webp, each mesh turning, and turntable.webp, all of them together."""
    interpolate: tuple[int, int] | None = None
    """Two seeds: walk from one shape to the other in `frames` meshes, with walk.webp; `count` is unused."""
    frames: int = 16
    """Meshes along the walk."""
    swap: tuple[int, int] | None = None
    """Two seeds: both meshes, and each with the other's texture; `count` is unused."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig(UsualSampleConfig):
    """What to draw from a trained generator."""

    truncations: tuple[float, ...] = ()
    """Several truncations: each of the `count` seeds at each of them, one row of the sheet per seed."""
    isosurface_resolution: int | None = None
    """Cut the surface at another lattice resolution than the model was trained with."""
    view_resolution: int = 256
    """Side of the pictures on the contact sheet and in animations."""
    turntable_frames: int = 30
    """Pictures of one turn."""
    path: Literal["w", "z"] = "w"
    """`w`: straight between the latents, the shorter way. `z`: along the great circle between the random
    codes, which stays where the generator was trained."""
    loop: bool = False
    """walk.webp goes there and back, so that it repeats without a jump."""
    film_frames: int | None = None
    """Pictures of walk.webp one way, drawn by the network itself; one for each mesh when left out."""
    mesh_seconds: float = 60.0
    """A mesh that takes longer is left out, and named."""
    workers: int | None = None
    """Processes that unwrap, bake and pack; 1 for none but this one. One per core when left out, or this one
    alone for a few meshes."""

    def __post_init__(self) -> None:
        given = [name for name in ("interpolate", "swap") if getattr(self, name) is not None]
        given += ["truncations"] * bool(self.truncations)
        if len(given) > 1:
            raise ConfigError(f"`{given[0]}` and `{given[1]}` are both given", fix="make one folder for each")
        least = {"count": 1, "frames": 2, "turntable_frames": 2, "film_frames": 2, "workers": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                option = name.replace("_", "-")
                raise ConfigError(f"`{name}` is {value}", fix=f"pass `--{option} {bound}` or more")
        for value in (self.truncation, *self.truncations):
            if not 0 <= value <= 2:
                raise ConfigError(f"`truncation` is {value}", fix="pass 0 to 1; 0.7 is usual")
        if len(set(self.truncations)) < len(self.truncations):
            raise ConfigError("a truncation is named twice", fix="name each once")
        if not 16 <= self.texture_resolution <= 8192:
            raise ConfigError(f"`texture_resolution` is {self.texture_resolution}", fix="pass 16 to 8192")
        if not 16 <= self.view_resolution <= 2048:
            raise ConfigError(f"`view_resolution` is {self.view_resolution}", fix="pass 16 to 2048")
        if self.isosurface_resolution is not None and not 2 <= self.isosurface_resolution <= 512:
            raise ConfigError(
                f"`isosurface_resolution` is {self.isosurface_resolution}", fix="pass 2 to 512 cells"
            )
        if self.faces < 0 or 0 < self.faces < 4:
            raise ConfigError(f"`faces` is {self.faces}", fix="pass 4 or more, or 0 for no limit")
        if any(few < 4 for few in self.lods) or any(a <= b for a, b in pairwise(self.lods)):
            raise ConfigError(
                f"the levels of detail are {', '.join(map(str, self.lods))}",
                fix="name 4 or more triangles for each, from many to few, as in `--lods 10000 2500 600`",
            )
        if not self.mesh_seconds > 0:
            raise ConfigError(f"`mesh_seconds` is {self.mesh_seconds}", fix="pass 60")

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Most triangles (0: no limit) and texture side of each level of detail, the mesh itself first."""
        limits = self.lods or (self.faces,)
        return tuple((few, max(16, self.texture_resolution >> level)) for level, few in enumerate(limits))
