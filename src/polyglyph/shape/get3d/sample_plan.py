"""Which meshes are wanted, by name and recipe, before any network is asked. Free of torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from polyglyph.shape.get3d.sample_config import SampleConfig

__all__ = ["Mix", "Shape", "wanted"]


class Mix(NamedTuple):
    """A code: that of a seed, or one on the way from it to another."""

    seed: int
    other: int | None = None
    share: float = 0.0
    """How much of the way, 0..1."""


class Shape(NamedTuple):
    """One mesh to make: its file name, and all that its codes depend on besides the model."""

    name: str
    recipe: str
    """The same in words, for captions and files."""
    geometry: Mix
    texture: Mix
    truncation: float
    path: Literal["w", "z"] = "w"


def wanted(subject: str, config: SampleConfig) -> list[Shape]:
    """The meshes that `config` asks for: a run of seeds, each at several truncations, a walk between two, or
    two with textures swapped. `subject` is what the model makes."""
    subject = subject or "mesh"
    if config.swap is not None:
        return [
            Shape(
                f"{subject}_{a:04d}_texture_{b:04d}",
                f"geometry of seed {a}, texture of seed {b}",
                Mix(a),
                Mix(b),
                config.truncation,
            )
            for a in config.swap
            for b in config.swap
        ]
    if config.interpolate is not None:
        return walk(subject, config, config.frames)
    seeds = range(config.seed, config.seed + config.count)
    if config.truncations:
        return [
            Shape(
                f"{subject}_{seed:04d}_truncation_{value:g}".replace(".", "_"),
                f"seed {seed}, truncation {value:g}",
                Mix(seed),
                Mix(seed),
                value,
            )
            for seed in seeds
            for value in config.truncations
        ]
    return [
        Shape(f"{subject}_{seed:04d}", f"seed {seed}", Mix(seed), Mix(seed), config.truncation)
        for seed in seeds
    ]


def walk(subject: str, config: SampleConfig, frames: int) -> list[Shape]:
    """So many shapes from one seed to another, both included, geometry and texture in step."""
    assert config.interpolate is not None  # noqa: S101  (for the type checker)
    first, last = config.interpolate
    shapes = []
    for number, share in enumerate(np.linspace(0, 1, frames).tolist()):
        mix = Mix(first, last, share)
        recipe = f"{share:.2f} of the way from seed {first} to {last}"
        if config.path == "z":
            recipe += ", on the great circle in z"
        shapes.append(Shape(f"{subject}_walk_{number:03d}", recipe, mix, mix, config.truncation, config.path))
    return shapes
