"""Where to start with the settings that depend on the pictures; free of torch."""

from __future__ import annotations

from polyglyph.shape.get3d.config import PRESETS, Config

__all__ = ["advice_for", "advice_for_presets", "suggested_r1_gamma"]

FEW_PICTURES = 30_000
"""Below about so many, mirror images counted, discriminators learn the training set by heart unless what they
see is augmented (Karras et al. 2020, Training generative adversarial networks with limited data)."""

GET3D_FACTORS = 6, 60
"""What GET3D's authors took for cars and for chairs, in units of the rule."""


def suggested_r1_gamma(resolution: int, batch: int) -> float:
    """0.0002 · resolution² / batch: the weight of R1 that the same paper starts from (its appendix).

    A starting point, no optimum. It is 0.2 for 64² and batch 4, where the shipped model was trained with 2
    and then 0.4; and 6.6 for 1024² and batch 32, where GET3D's authors used 40 for cars, 80 for motorbikes
    and 400 for chairs (3200 with their separate generator): thin and varied shapes asked for more.
    """
    return 0.0002 * resolution**2 / batch


def advice_for(config: Config, pictures: int) -> list[str]:
    """What to try for a training set of so many pictures, in words."""
    gamma = suggested_r1_gamma(config.resolution, config.schedule.batch)
    loss, augment = config.loss, config.augment
    least, most = GET3D_FACTORS
    lines = [
        f"`--loss.r1-gamma`, `--loss.r1-gamma-mask` ({loss.r1_gamma:g} and {loss.r1_gamma_mask:g}): at"
        f" {config.resolution}² with batch {config.schedule.batch} a starting point is {gamma:.2g}, and"
        f" {least * gamma:.2g} to {most * gamma:.2g} for simple to intricate shapes; 4 times more if the"
        " discriminators win"
    ]
    shown = pictures * (2 if config.schedule.mirror else 1)
    if shown < FEW_PICTURES and augment.target is None:
        lines.append(f"{pictures} pictures are few: pass `--augment.target 0.6`")
    return lines


def advice_for_presets(resolution: int, pictures: int) -> list[str]:
    """The same for each preset whose pictures can be made from stored ones of this resolution."""
    fitting = {name: one for name, one in PRESETS.items() if resolution % one.resolution == 0}
    return [
        f"`train --preset {name}`: {line}"
        for name, one in fitting.items()
        for line in advice_for(one, pictures)
    ]
