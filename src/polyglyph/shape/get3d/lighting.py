"""Under which light pictures of generated materials are drawn, and which data sets go with that.

GET3D draws a light for every picture, as it draws a camera (Gao et al. 2022, on generating materials). Ours
are those of `dataset --light environment` (`scene.random_environment`), so that a discriminator finds no
difference in the light. Generators without a material have no use for any: they get None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.base.progress import say
from polyglyph.scene.random_environment import random_environment
from polyglyph.scene.spherical_gaussians import SphericalGaussians, stacked
from polyglyph.shape.data.dataset import Dataset
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.shading import Lighting, show_environment

__all__ = ["check_light", "random_lighting", "show_lighting"]


def random_lighting(
    generator: Generator,
    count: int,
    rng: torch.Generator,
    share: Callable[[Tensor], Tensor] = lambda seeds: seeds,
) -> Lighting | None:
    """An environment for each of `count` pictures, or for those of them that `share` keeps.

    One number is drawn from `rng` for every picture, whoever draws it: a process that lights its share of a
    batch takes as much from its stream as one that lights all of it, and makes only its own environments
    (0.6 ms each).
    """
    if generator.config.material == "none":
        return None
    seeds = share(torch.randint(1 << 62, (count,), generator=rng)).tolist()
    return _lighting(generator, [random_environment(np.random.default_rng(seed)) for seed in seeds])


def show_lighting(generator: Generator, count: int) -> Lighting | None:
    """`shading.show_environment` for each of `count` pictures."""
    if generator.config.material == "none":
        return None
    return _lighting(generator, [show_environment()] * count)


def _lighting(generator: Generator, lights: Sequence[SphericalGaussians]) -> Lighting:
    """Where the generator is, in its floating-point type."""
    return Lighting(*(values.to(generator.mapping.w_avg) for values in stacked(lights)))


def check_light(material: str, data: Dataset, *, tell: bool = True) -> None:
    """Raise ConfigError where the pictures cannot teach a material: under one light for all of them, a bright
    spot may as well be paint.

    Says on stderr, unless `tell` is false, where they may not be what was meant: pictures that do not say
    what lit them, and pictures under many lights for a generator that cannot tell light from paint.
    """
    light = data.info.light if data.info is not None else ""
    advice = "render them with `polyglyph dataset --light environment`, or train with `--material none`"
    if material == "pbr" and light not in ("", "environment"):
        raise ConfigError(
            f"the pictures of `{data.path}` were all taken under the light `{light}`: roughness and metallic"
            " cannot be learned from them",
            fix=advice,
        )
    if not tell:
        return
    if material == "pbr" and not light:
        say(
            f"warning: `{data.path}` does not say what its pictures are lit by, and `--material pbr` compares"
            f" them with pictures under random surroundings\nhint: if these are lit otherwise, {advice}"
        )
    if material == "none" and light == "environment":
        say(
            f"warning: every picture of `{data.path}` has its own light, which a generator without a material"
            " paints onto the surface\nhint: pass `--material pbr`, or render the pictures with another"
            " `--light`"
        )
