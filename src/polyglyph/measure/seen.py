"""Features of every shape's pictures, kept on disk, so that no shape is rendered twice.

Legend: N shapes, P pictures of a shape, D features.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from polyglyph.base.errors import DataError
from polyglyph.formats.png import encode_png
from polyglyph.measure.described import Skipped, kept_arrays, make_missing
from polyglyph.measure.pictures import NamedExtractor, white_pictures
from polyglyph.measure.shapes import Shape, ShapeSet
from polyglyph.measure.sight import RENDERER, Sight

__all__ = ["Seen", "see_shapes"]

_FORMAT = 1
"""Raised when what is kept changes its meaning."""

SIDE = 96
"""Pixels along one side of a portrait."""


class Seen(NamedTuple):
    """Of the shapes that could be seen, in their order."""

    names: list[str]
    features: np.ndarray
    """[N, P, D], float32."""
    portraits: list[bytes]
    """A small PNG of each."""
    skipped: list[Skipped]

    def only(self, names: list[str]) -> Seen:
        """Those shapes alone."""
        rows = [row for row, name in enumerate(self.names) if name in set(names)]
        kept = [self.names[row] for row in rows], self.features[rows], [self.portraits[row] for row in rows]
        return Seen(*kept, self.skipped)

    @property
    def pictures(self) -> np.ndarray:
        """Features of all pictures, [N·P, D]."""
        return self.features.reshape(-1, self.features.shape[-1])


def see_shapes(
    shapes: ShapeSet,
    cache: Path,
    sight: Sight,
    extractor: NamedExtractor,
    *,
    label: str,
    device: torch.device | str = "cpu",
) -> Seen:
    """Features and a portrait of every shape, from `cache` or newly made and kept there, one file a shape,
    as `describe_shapes` does it: interrupted runs go on, and several processes share the work.

    A mesh that cannot be seen is skipped, and named. A damaged picture of a data set is raised.
    """
    paths = [cache / f"{_digest(shape, sight, extractor)}.npz" for shape in shapes.shapes]

    def make(shape: Shape) -> bytes:
        return _made(shape, sight, extractor, device)

    reasons = make_missing(shapes.shapes, paths, make, label=label, skip=shapes.data is None)
    rows = [row for row in range(len(shapes.shapes)) if row not in reasons]
    held = [kept_arrays(paths[row], ("features", "portrait")) for row in rows]
    return Seen(
        [shapes.shapes[row].name for row in rows],
        np.stack([one["features"] for one in held]) if held else np.zeros((0, sight.protocol.views, 0)),
        [encode_png(one["portrait"]) for one in held],
        [Skipped(shapes.shapes[row].name, reasons[row]) for row in sorted(reasons)],
    )


def _digest(shape: Shape, sight: Sight, extractor: NamedExtractor) -> str:
    protocol = sight.protocol
    told = {
        "format": _FORMAT,
        "key": shape.key,
        "extractor": extractor.protocol,
        "views": protocol.views,
        "resolution": protocol.resolution,
        "background": protocol.background,
    }
    if shape.pictures is None:
        told |= {
            "look": shape.look,
            "renderer": RENDERER,
            "cameras": sight.cameras(shape.key).tolist(),
            "lens": [protocol.camera.radius, protocol.camera.fov],
            "place": [protocol.object_size, protocol.keep_in_view],
            "supersample": protocol.supersample,
            "light": sight.light_of(shape),
            "export": [protocol.texture_resolution, protocol.faces],
        }
        if told["light"] == "environment":
            told["light_seed"] = sight.seed
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


@torch.no_grad()
def _made(shape: Shape, sight: Sight, extractor: NamedExtractor, device: torch.device | str) -> bytes:
    *batches, portrait = _batches(sight.pictures(shape, device=str(device)), device)
    features = torch.cat([extractor.features_of(batch) for batch in batches]).cpu().float().numpy()
    if not np.isfinite(features).all():
        raise DataError("a feature of its pictures is not finite", fix="look at the mesh")
    small = F.interpolate(portrait, size=(SIDE, SIDE), mode="bilinear", antialias=True)[0].clamp(0, 1)
    pixels = (small.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).cpu().numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, features=features, portrait=pixels)
    return buffer.getvalue()


def _batches(pixels: np.ndarray, device: torch.device | str) -> list[torch.Tensor]:
    """Of the pictures that are compared, and the last picture by itself."""
    return [*white_pictures(pixels[:-1], device=device), *white_pictures(pixels[-1:], device=device)]
