"""`polyglyph render MESH --out FILE`: a picture, a contact sheet or a turntable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polyglyph.base.errors import ConfigError
from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, ready, run_verb

__all__ = ["main"]

PICTURES = (".png", ".webp", ".jpg", ".jpeg")
ANIMATIONS = (".webp", ".gif", ".png")
BEHIND = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "none": None}
OBJECT_SIZE = 0.95
"""Diameter of the sphere round the object: at GET3D's distance and lens it just stays in view."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What to render, and how."""

    mesh: Positional[Path]
    """A mesh file: GLB, GLTF, OBJ, PLY, OFF, STL, ..."""

    out: Path
    """The picture to write; its suffix is the format: .png, .webp, .jpg, and .gif for a turntable."""

    views: int | None = None
    """Sides on one sheet (1 when left out), or frames of the turntable (48)."""

    turntable: bool = False
    """Write a looping animation all the way round."""

    mode: Literal["shaded", "albedo", "normal", "depth", "mask"] = "shaded"
    """What the picture shows."""

    light: Literal["studio", "flat"] = "studio"
    """`studio`: soft light with a lamp. `flat`: the same from everywhere."""

    environment: Path | None = None
    """Light from this panorama instead (.hdr, .png, .jpg, .webp); its middle is behind the object."""

    environment_rotation: float = 0.0
    """Degrees to turn the panorama about the vertical axis, as `azimuth` turns the camera."""

    resolution: int = 512
    """Side of each view in pixels."""

    azimuth: float = 30.0
    """Degrees round the object: 0 looks at its front, 90 at its left side from +X."""

    elevation: float = 20.0
    """Degrees above the horizon."""

    background: Literal["white", "black", "none"] = "white"
    """What is behind the object; `none` is transparent."""

    def __post_init__(self) -> None:
        if self.views is not None and not 1 <= self.views <= 1000:
            raise ConfigError(f"`--views` is {self.views}", fix="pass 1 to 1000")
        if not 8 <= self.resolution <= 8192:
            raise ConfigError(f"`--resolution` is {self.resolution}", fix="pass 8 to 8192")
        if not -90.0 <= self.elevation <= 90.0:
            raise ConfigError(f"`--elevation` is {self.elevation}", fix="pass -90 to 90 degrees")
        if not -360.0 <= self.environment_rotation <= 360.0:
            raise ConfigError(
                f"`--environment-rotation` is {self.environment_rotation}", fix="pass -360 to 360 degrees"
            )
        if self.environment_rotation and self.environment is None:
            raise ConfigError(
                "`--environment-rotation` turns nothing", fix="pass `--environment FILE`, or leave it out"
            )
        allowed = ANIMATIONS if self.turntable else PICTURES
        if self.out.suffix.lower() not in allowed:
            what = "a turntable" if self.turntable else "a picture"
            suffix = self.out.suffix or "without a suffix"
            raise ConfigError(
                f"{what} is not written as `{suffix}`", fix=f"name it one of {', '.join(allowed)}"
            )

    @property
    def count(self) -> int:
        """How many views are rendered."""
        return self.views or (48 if self.turntable else 1)


@dataclass(frozen=True, kw_only=True)
class Render(WritingOptions, View):
    """Render a mesh from one side, from several sides on one sheet, or all the way round.

    Example: polyglyph render chair.glb --out chair.webp --turntable
    """


def main(arguments: Sequence[str]) -> int:
    """Parse, render, print."""
    return run_verb("render", Render, work, arguments)


def work(options: Render) -> Result:
    """Render and write the picture, or only read the mesh."""
    from polyglyph.formats.hdr import read_panorama
    from polyglyph.formats.meshes import read_mesh

    refuse_overwrite(options.out, force=options.force)
    file = read_mesh(options.mesh)
    panorama = None if options.environment is None else read_panorama(options.environment)
    data = {"out": options.out, "views": options.count, "warnings": list(file.warnings)}
    if options.dry_run:
        return Result({"dry_run": True, **data}, f"{options.count} views would be written to {options.out}")
    from polyglyph.formats.png import contact_sheet, write_animation, write_image

    frames = _frames(options, file.parts, panorama)
    if options.turntable:
        write_animation(options.out, frames)
    else:
        write_image(options.out, frames[0] if len(frames) == 1 else contact_sheet(frames))
    notes = [f"note: {warning}" for warning in file.warnings]
    return Result(data, "\n".join([*notes, str(options.out)]))


def _frames(options: Render, parts: Any, panorama: Any) -> list[Any]:
    """The views, uint8 [H, W, 3 or 4]."""
    import torch

    from polyglyph.base.progress import track
    from polyglyph.scene.camera import turntable
    from polyglyph.scene.light import FLAT, STUDIO, Environment
    from polyglyph.scene.mesh import Mesh
    from polyglyph.scene.render import render

    device = ready(options)
    lights = {"studio": STUDIO, "flat": FLAT}[options.light]
    if panorama is not None:
        turn = options.environment_rotation
        light = Environment.from_equirectangular(torch.from_numpy(panorama), rotation=turn)
        lights = (light.to(device),)
    mesh = Mesh.from_parts(parts).to(device).normalised("sphere", OBJECT_SIZE)
    cameras = turntable(options.count, options.elevation, start=options.azimuth)
    behind = BEHIND[options.background]
    frames = []
    with torch.inference_mode():
        for index in track(range(options.count), "rendering"):
            size = options.resolution
            picture = render(
                mesh,
                cameras[index],
                size,
                lights=lights,
                shading=options.mode,
                background=behind,
                supersample=3,
            )
            pixels = picture.to_uint8()[0].cpu().numpy()
            frames.append(pixels if behind is None else pixels[..., :3])
    return frames
