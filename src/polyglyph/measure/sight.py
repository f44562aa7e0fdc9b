"""How the shapes of a comparison are seen, with nothing left open: cameras, place, light.

Legend: N angles, P pictures of a shape, H W their size.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

import polyglyph
from polyglyph.base.config import to_dict
from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.protocol import MeasureConfig, PictureProtocol, Shown
from polyglyph.measure.shapes import Shape, ShapeSet
from polyglyph.shape.data.cameras import sample_angles
from polyglyph.shape.data.config import LightName
from polyglyph.shape.data.rendering import photograph

__all__ = ["PORTRAIT", "RENDERER", "Sight", "sight_of"]

RENDERER = f"polyglyph {polyglyph.__version__}"

PORTRAIT = (35.0, 20.0)
"""Azimuth and elevation of a shape's picture on the page, degrees."""

Light = LightName | Literal["albedo"]


@dataclass(frozen=True)
class Sight:
    """How one side is seen."""

    protocol: PictureProtocol
    """With the views, the place and the lens that hold."""
    shown: Shown
    """How this side's shapes are shown."""
    light: Light
    """What `auto` means for shapes without light in their colours."""
    seed: int
    angles: np.ndarray | None = None
    """[N, 2], a data set's, degrees: cameras are drawn from these."""
    angles_of: str = ""
    """Which data set's."""

    def light_of(self, shape: Shape) -> Light:
        """How a shape is shown."""
        if self.shown == "auto":
            return "albedo" if shape.baked else self.light
        return self.shown

    def cameras(self, key: str) -> np.ndarray:
        """Azimuth and elevation [P, 2] of a shape's pictures; they hang on its key and the seed alone."""
        if self.angles is None:
            return sample_angles(self.protocol.camera, key, self.protocol.views, self.seed)
        digest = hashlib.sha256(f"{self.seed}\n{key}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
        return self.angles[rng.integers(len(self.angles), size=self.protocol.views)]

    def pictures(self, shape: Shape, *, device: str = "cpu") -> np.ndarray:
        """uint8 [P + 1, H, W, 4], sRGB with straight alpha: those that are compared, and last the portrait.

        A data set's object shows its own, the first once more as its portrait. Raises DataError or
        FormatError for a shape that cannot be seen.
        """
        if shape.pictures is not None:
            own = shape.pictures(self.protocol.views)
            return np.concatenate([own, own[:1]])
        if shape.parts is None:
            raise DataError(f"`{shape.name}` has no faces to draw", fix="give meshes")
        light = self.light_of(shape)
        pixels, _ = photograph(
            shape.parts(),
            np.concatenate([self.cameras(shape.key), [PORTRAIT]]),
            self.protocol.rendering("soft" if light == "albedo" else light, self.seed),
            self.protocol.camera,
            key=shape.key,
            unlit=light == "albedo",
            device=device,
        )
        if not pixels[..., 3].any():
            raise DataError("its pictures are empty: it has no area", fix="leave it out")
        return pixels

    def told(self, shapes: ShapeSet) -> dict[str, Any]:
        """What a result says about how this side was seen."""
        protocol = self.protocol
        seen = {"resolution": protocol.resolution, "background": protocol.background}
        if shapes.data is not None:
            info = shapes.data.info
            return {
                **seen,
                "renderer": info.renderer if info is not None else "",
                "light": info.light if info is not None else "",
                "views": protocol.views,
                "split": shapes.split,
                "own_resolution": shapes.data.stored_resolution,
                "checksum": info.checksum if info is not None else "",
            }
        lights = sorted({self.light_of(shape) for shape in shapes.shapes})
        camera = to_dict(protocol.camera)
        if self.angles is not None:
            lens = {"radius": protocol.camera.radius, "fov": protocol.camera.fov}
            camera = {"angles_of": self.angles_of, "angles": len(self.angles), **lens}
        return {
            **seen,
            "renderer": RENDERER,
            "light": lights[0]
            if len(lights) == 1
            else {shape.name: self.light_of(shape) for shape in shapes.shapes},
            "views": protocol.views,
            "camera": camera,
            "supersample": protocol.supersample,
            "object_size": protocol.object_size,
            "keep_in_view": protocol.keep_in_view,
        }


def sight_of(config: MeasureConfig, made: ShapeSet, target: ShapeSet) -> tuple[Sight, Sight]:
    """How the generated and the reference shapes are seen.

    Where one side is a data set, the other is seen from its cameras, placed and lit as its objects are.
    Raises ConfigError for a light asked of a data set, DataError for too few pictures for what is asked.
    """
    protocol = config.protocol.pictures
    for shapes, side, shown in (
        (made, "generated", protocol.generated_light),
        (target, "reference", protocol.reference_light),
    ):
        if shapes.data is not None and shown != "auto":
            raise ConfigError(
                f"`--{side}-light {shown}` is asked of `{shapes.source}`, whose pictures are there already",
                fix=f"leave `--{side}-light` out",
            )
    owners = [shapes for shapes in (target, made) if shapes.data is not None]
    fewest = [len(one.data.views[shape.name]) for one in owners if one.data for shape in one.shapes]
    protocol = dataclasses.replace(protocol, views=min([protocol.views, *fewest]))
    light: Light = "soft"
    angles, source = None, ""
    if len(owners) == 1 and owners[0].data is not None:
        data, info = owners[0].data, owners[0].data.info
        camera = dataclasses.replace(protocol.camera, radius=data.radius, fov=data.fov)
        protocol = dataclasses.replace(protocol, camera=camera)
        angles = np.concatenate([data.views[shape.name] for shape in owners[0].shapes])
        source = owners[0].source
        if info is not None:
            size, keep = info.object_size, info.keep_in_view
            protocol = dataclasses.replace(protocol, object_size=size, keep_in_view=keep)
            light = cast(Light, info.light) if info.light in get_args(LightName) else light
    _refuse_too_few(config, protocol, made, target)
    return (
        Sight(protocol, protocol.generated_light, light, config.seed, angles, source),
        Sight(protocol, protocol.reference_light, light, config.seed, angles, source),
    )


def _refuse_too_few(config: MeasureConfig, seen: PictureProtocol, made: ShapeSet, target: ShapeSet) -> None:
    """Before anything is rendered: what no later step could make up for."""
    pictures = min(len(made.shapes), len(target.shapes)) * seen.views
    least = 1 + max(seen.nearest, seen.nearest_density) if "pr" in config.metrics else 2
    if pictures < least:
        raise DataError(
            f"the smaller side has {pictures} pictures, and `{' '.join(config.metrics)}` needs {least}",
            fix="compare more shapes, or pass a larger `--views`",
        )
