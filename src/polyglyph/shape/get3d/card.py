"""What a training run says about its model: the card, and `config.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyglyph import __version__
from polyglyph.shape.get3d.config import ModelConfig

if TYPE_CHECKING:
    from polyglyph.shape.data.dataset import Dataset
    from polyglyph.shape.get3d.trainer import Trainer

__all__ = ["model_config", "training_card"]


def training_card(record: dict[str, Any], trainer: Trainer) -> str:
    """Markdown with the facts a run knows about itself; whoever publishes it adds licence and data."""
    data, config = record["data"], record["config"]
    return f"""---
library_name: polyglyph
pipeline_tag: unconditional-generation
tags: [3d, mesh, get3d]
---

# A GET3D generator of textured meshes

Trained by polyglyph {__version__} on {data["pictures"]} pictures of {data["objects"]} objects at
{config["resolution"]}², for {trainer.seen / 1000:.1f} thousand pictures, seed {record["seed"]}.

Weights are the moving average of the generator, in half precision. The licence of the weights
depends on the training data; state it here before you publish this folder.
"""


def model_config(trainer: Trainer, data: Dataset) -> ModelConfig:
    """What goes into the model folder's config.json."""
    config = trainer.config
    elevation = data.angles("train")[:, 1]
    return ModelConfig(
        generator=config.generator,
        isosurface=config.isosurface,
        resolution=config.resolution,
        radius=data.radius,
        fov=data.fov,
        elevation=(round(float(elevation.min()), 2), round(float(elevation.max()), 2)),
        kimg=trainer.seen / 1000,
    )
