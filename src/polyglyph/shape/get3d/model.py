"""GET3D generators as model folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from polyglyph.base.config import from_dict, to_dict
from polyglyph.base.errors import FormatError
from polyglyph.learn.checkpoint import load_into
from polyglyph.learn.model_folder import load_model, save_model
from polyglyph.shape.get3d.config import ModelConfig
from polyglyph.shape.get3d.generator import Generator, make_generator

__all__ = ["SHIPPED_MODEL", "Model", "load_generator", "save_generator"]

SHIPPED_MODEL = Path(__file__).parent / "models" / "furniture"
"""The generator that comes with the package."""


@dataclass(frozen=True)
class Model:
    """A generator ready to sample, and what it was trained on."""

    path: Path
    generator: Generator
    config: ModelConfig


def load_generator(path_or_id: str | Path | None = None, *, device: torch.device | str = "cpu") -> Model:
    """Read a model folder (the shipped one if None).

    Raises DataError if there is none, ConfigError for an unknown key in its config, FormatError if
    weights and config disagree.
    """
    path, data, tensors = load_model(SHIPPED_MODEL if path_or_id is None else path_or_id)
    where = path / "config.json"
    if isinstance(data, dict) and data.get("architecture", "get3d") != "get3d":
        raise FormatError(
            f"`{where}` is of a `{data['architecture']}` model, not GET3D", fix="pass a GET3D model folder"
        )
    config = from_dict(ModelConfig, data, where=str(where))
    generator = make_generator(config.generator, config.isosurface)
    load_into(generator, tensors, prefix="", where=path / "model.safetensors")
    return Model(path, generator.eval().requires_grad_(False).to(device), config)


def save_generator(
    path: Path, generator: Generator, config: ModelConfig, card: str, *, force: bool = False
) -> None:
    """Write a model folder in half precision. Raises DataError if it exists and `force` is false."""
    save_model(path, to_dict(config), dict(generator.state_dict()), card, force=force)
