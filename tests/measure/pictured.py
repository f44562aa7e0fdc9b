"""Coloured boxes, data sets of them, and an extractor of twelve features, for tests of picture metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from polyglyph.formats.glb import write_glb
from polyglyph.formats.model import Material, Part
from polyglyph.measure.protocol import MeasureConfig, PictureProtocol, Protocol
from polyglyph.shape.data.config import DatasetConfig, ImportConfig
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.procedural.solids import box
from polyglyph.shape.data.rendering import render_dataset

PICTURES = PictureProtocol(views=4, resolution=32, supersample=1, texture_resolution=64, faces=600)
QUICK = MeasureConfig(
    metrics=("fid", "kid", "pr"),
    protocol=Protocol(name="quick", points=64, per_reference=1, pictures=PICTURES),
)


class Quarters:
    """The mean colour of each quarter of a picture."""

    frechet_name = "FD-quarters"
    kernel_name = "KD-quarters"

    def __init__(self) -> None:
        self.protocol = {"extractor": "quarters", "dimensions": 12}
        self.seen = 0

    def features_of(self, pictures: torch.Tensor) -> torch.Tensor:
        self.seen += len(pictures)
        return adaptive_avg_pool2d(pictures, 2).flatten(1)


def box_part(height: float, color: tuple[float, float, float]) -> Part:
    """A box, one by one metre and so high, far from the origin, of one linear colour."""
    solid = box((3, 5, -2), (1, height, 1))
    return Part(
        positions=solid.positions.astype(np.float32),
        faces=solid.faces.astype(np.int32),
        normals=solid.normals.astype(np.float32),
        material=Material(base_color=(*color, 1.0)),
    )


def boxes(folder: Path, heights, color=(0.8, 0.1, 0.1), extras=None) -> Path:
    """A folder of such boxes as GLBs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, height in enumerate(heights):
        write_glb(folder / f"{number:02d}.glb", [box_part(height, color)], extras=extras)
    return folder


def rendered(meshes: Path, folder: Path, **settings) -> Path:
    """A data set of a folder of meshes, at 32² with one sample a pixel, unless `settings` say otherwise."""
    import_meshes(meshes, folder.with_name(folder.name + "_meshes"), ImportConfig(workers=1))
    config = DatasetConfig(**{"views": 6, "resolution": 32, "supersample": 1, "workers": 1} | settings)
    render_dataset(folder.with_name(folder.name + "_meshes"), folder, config)
    return folder
