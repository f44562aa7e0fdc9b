"""A data set of discs and a network of a few thousand weights, for tests of training."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from polyglyph.shape.data.dataset import Dataset
from polyglyph.shape.get3d.config import (
    AugmentConfig,
    Config,
    DiscriminatorConfig,
    GeneratorConfig,
    IsosurfaceConfig,
    LossConfig,
    ScheduleConfig,
)

CONFIG = Config(
    resolution=16,
    generator=GeneratorConfig(
        latent=8, mapping_depth=2, plane_resolution=8, plane_channels=4, channel_base=64, channel_max=8
    ),
    isosurface=IsosurfaceConfig(resolution=8, scale=0.9, initial_radius=0.25),
    discriminator=DiscriminatorConfig(channel_base=64, channel_max=8, embedding=8, mapping_depth=2),
    loss=LossConfig(r1_gamma=1.0, r1_gamma_mask=1.0, r1_every=2, sdf_weight=0.1),
    augment=AugmentConfig(probability=0.3, target=0.6, speed_kimg=0.1),
    schedule=ScheduleConfig(batch=4, kimg=0.04, log_every=2, preview_seconds=1e9, checkpoint_seconds=1e9),
)
"""Ten steps."""


class Discs:
    """Pictures of discs whose radius and colour depend on object and view."""

    def read(self, identity: str, view: int) -> bytes:
        number = int(identity)
        y, x = np.mgrid[:16, :16] - 7.5
        inside = x**2 + y**2 < (3 + number % 4 + view % 2) ** 2
        picture = np.zeros((16, 16, 4), np.uint8)
        picture[inside] = (40 * number % 255, 200, 30 * view % 255, 255)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        return buffer.getvalue()


def discs(objects: int = 6, views: int = 4) -> Dataset:
    """A data set in memory, with a split."""
    ids = tuple(f"{number:04d}" for number in range(objects))
    rng = np.random.default_rng(0)
    angles = {i: rng.uniform((0, 0), (360, 30), (views, 2)) for i in ids}
    return Dataset(
        path=Path("discs"),
        resolution=16,
        ids=ids,
        split={"train": list(ids[:-2]), "val": [ids[-2]], "test": [ids[-1]]},
        radius=1.2,
        fov=49.134,
        views=angles,
        pictures=Discs(),
        stored_resolution=16,
    )
