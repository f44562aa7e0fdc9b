"""How long and how fast GET3D is trained, and what is kept; free of torch. The docstring under a field is its
help text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from polyglyph.base.errors import ConfigError

__all__ = ["OptimiserConfig", "ScheduleConfig", "positive"]


def positive(section: str, **values: float) -> None:
    """Raise ConfigError naming the first of the section's `values` that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(
                f"`{section}.{name}` is {value}, and must be above 0",
                fix=f"pass a positive `--{section}.{name}`",
            )


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """Adam for both networks, and the moving average that is kept."""

    generator_rate: float = 0.002
    """Learning rate of the generator."""
    discriminator_rate: float = 0.002
    """Learning rate of the discriminators."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's moment decays."""
    ema_kimg: float = 10.0
    """Half-life of the averaged generator, in thousands of pictures."""
    ema_rampup: float | None = 0.05
    """The half-life is at most this part of the pictures seen; none for no ramp."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How much, how often."""

    batch: int = 32
    """Pictures per step."""
    kimg: float = 20000.0
    """Thousands of training pictures in all."""
    cooldown: float = 0.0
    """Part of them, at the end, over which both learning rates fall evenly to zero; 0..1. It trades movement
    for precision once a run has no time left, and may be set when it is resumed."""
    mirror: bool = True
    """Also show every picture mirrored, with the camera on the other side."""
    preview_seconds: float = 180.0
    """Seconds between preview pictures."""
    checkpoint_seconds: float = 300.0
    """Seconds between checkpoints."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    keep: int = 2
    """Newest checkpoints kept."""
    best: Literal["none", "mobilenet_v2", "efficientnet_lite0"] = "none"
    """Keep in RUN/best the model of least Fréchet distance to the training pictures, on this network's
    features (they come with `polyglyph[metrics]`)."""
    best_kimg: float = 20.0
    """Thousands of pictures between such scores, which take minutes on a CPU; and one at the end."""
    best_pictures: int = 2000
    """Samples, and training pictures, that are compared for a score."""

    def __post_init__(self) -> None:
        positive("schedule", batch=self.batch, kimg=self.kimg, log_every=self.log_every, keep=self.keep)
        positive("schedule", best_kimg=self.best_kimg)
        if self.best_pictures < 2:
            raise ConfigError(
                f"`schedule.best_pictures` is {self.best_pictures}, and a distance needs more",
                fix="pass `--schedule.best-pictures 2000`",
            )
        if not 0 <= self.cooldown <= 1:
            raise ConfigError(
                f"`schedule.cooldown` is {self.cooldown}, and must be from 0 to 1",
                fix="pass `--schedule.cooldown 0.2` for the last fifth",
            )

    def rate_factor(self, seen: int) -> float:
        """What learning rates are multiplied by after `seen` pictures."""
        if self.cooldown == 0:
            return 1.0
        left = 1 - seen / (self.kimg * 1000)
        return min(max(left / self.cooldown, 0.0), 1.0)
