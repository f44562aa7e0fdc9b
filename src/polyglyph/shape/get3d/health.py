"""What a training's own numbers say is wrong with it, and what to change.

The rules look at means over the last `WINDOW_KIMG` thousand pictures (at least `LEAST_LINES` lines of the
log). Their limits lie beyond what fifteen runs that went well ever reached (60 chairs at 32² to 128², 6 to
290 thousand pictures, R1 weights 0.4 and 2, adaptive augmentation, in some of them at its limit), in windows
of five thousand pictures: `sign_real` at most 0.82 and `loss_g` at most 2.7 for either discriminator, empty
shapes in at most 44 % of the lines, at most 0.06 charged for them after the first ten thousand pictures.

Legend: B samples, H W picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from polyglyph.scene.camera import orbit
from polyglyph.shape.get3d.advice import suggested_r1_gamma
from polyglyph.shape.get3d.config import Config
from polyglyph.shape.get3d.data import on_white
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.lighting import show_lighting
from polyglyph.shape.get3d.picture import draw
from polyglyph.shape.get3d.trainer import View

__all__ = ["Health", "spread"]

WINDOW_KIMG = 5.0
"""Thousands of pictures that a rule looks back on."""
LEAST_LINES = 10
"""Lines of the log that it looks at, if they reach further."""

SIGN_REAL, SIGN_REAL_AGAIN = 0.9, 0.85
"""E[sign D(real)] above which a discriminator wins, and below which it no longer does; ADA aims at 0.6."""
LOSS_G, LOSS_G_AGAIN = 5.0, 4.0
"""The same for the generator's loss: at 5 a generated picture is called real with a chance of 1 in 150."""
AT_LIMIT = 0.95
"""Part of the limit at which the augmentation's probability counts as exhausted."""
EMPTY_LINES, EMPTY_CHARGE, EMPTY_LINES_AGAIN = 0.8, 0.1, 0.5
"""Part of the lines with an empty shape, and the mean charge for them."""
SPREAD, SPREAD_AGAIN = 0.02, 0.03
"""Standard deviation among samples, of colours in 0..1, below which they count as alike."""

SPREAD_SAMPLES, SPREAD_RESOLUTION = 8, 32


class _Symptom(NamedTuple):
    """One rule applied to a window: `bad` begins a warning, `good` ends it, neither leaves it as it is."""

    name: str
    bad: bool
    good: bool
    message: str
    fix: str


class Health:
    """Reads the log line by line and speaks once when something goes wrong, and once when it is over.

    What it knows follows from the lines alone: a resumed run gives it `earlier` ones and goes on as before.
    """

    def __init__(self, config: Config, earlier: Iterable[dict[str, Any]] = ()) -> None:
        self.config = config
        self.lines: deque[dict[str, Any]] = deque()
        self.started: float | None = None
        self.warned: set[str] = set()
        for line in earlier:
            self.look(line)

    def look(self, line: dict[str, Any]) -> list[str]:
        """Take in the next line of metrics.jsonl; what is to be told about it, usually nothing."""
        if "loss_g" not in line:
            return []
        now = line["kimg"]
        self.started = now if self.started is None else self.started
        self.lines.append(line)
        while len(self.lines) > LEAST_LINES and self.lines[0]["kimg"] <= now - WINDOW_KIMG:
            self.lines.popleft()
        if len(self.lines) < LEAST_LINES or now - self.started < WINDOW_KIMG:
            return []
        notes = []
        for name, bad, good, message, fix in self._symptoms():
            if bad and name not in self.warned:
                self.warned.add(name)
                notes.append(f"warning: {message}; hint: {fix}")
            elif good and name in self.warned:
                self.warned.remove(name)
                notes.append(f"over: {name}")
        return notes

    def _symptoms(self) -> Iterable[_Symptom]:
        judges = [name.removeprefix("loss_g") for name in self.lines[-1] if name.startswith("loss_g")]
        for suffix in judges:
            yield self._winning(suffix)
        if self.lines[0]["kimg"] > WINDOW_KIMG:  # every run starts with balls, all alike, some of them empty
            yield self._empty()
            yield self._collapse()

    def _winning(self, suffix: str) -> _Symptom:
        """A discriminator that knows the real pictures by heart, or from which nothing is to be learnt."""
        sign, loss = self._mean(f"sign_real{suffix}"), self._mean(f"loss_g{suffix}")
        augment = self.config.augment
        helpless = augment.target is None or self._mean("augment") >= AT_LIMIT * augment.limit
        who = f"the {suffix.removeprefix('_') or 'colour'} discriminator"
        stronger = self._stronger("r1_gamma_mask" if suffix == "_mask" else "r1_gamma")
        if augment.target is None:
            fix = f"start again with `--augment.target 0.6`, or {stronger}"
        elif helpless:
            fix = f"start again with {stronger}, or with more meshes or views"
        else:
            fix = f"start again with {stronger}, or `--augment.speed-kimg {augment.speed_kimg / 4:g}`"
        return _Symptom(
            f"{who} wins",
            loss > LOSS_G or (sign > SIGN_REAL and helpless),
            loss < LOSS_G_AGAIN and sign < SIGN_REAL_AGAIN,
            f"{who} wins: it calls {50 * (1 + sign):.0f} % of the training pictures real (`sign_real{suffix}`"
            f" {sign:.2f}), and the generator's loss is {loss:.1f}: it is told that it is wrong, not how",
            fix,
        )

    def _empty(self) -> _Symptom:
        """Shapes without a surface, which are charged for but teach nothing else."""
        lines = self._mean("empty", above=0.0)
        return _Symptom(
            "shapes are empty",
            lines > EMPTY_LINES and self._mean("empty") > EMPTY_CHARGE,
            lines < EMPTY_LINES_AGAIN,
            f"shapes are empty: {lines:.0%} of the last lines of the log met some without a surface",
            "start again with smaller learning rates, `--isosurface.initial-radius 0.25`,"
            " or a smaller `--loss.sdf-weight`",
        )

    def _collapse(self) -> _Symptom:
        """One shape for all codes."""
        among = self._mean("spread")
        return _Symptom(
            "samples are alike",
            among < SPREAD,
            among > SPREAD_AGAIN,
            f"samples are alike (spread {among:.3f}): the generator makes one thing of every code",
            f"start again with {self._stronger('r1_gamma')}",
        )

    def _stronger(self, gamma: str) -> str:
        """The option for four times as much of this weight of R1, and no less than the rule of thumb."""
        rule = suggested_r1_gamma(self.config.resolution, self.config.schedule.batch)
        value = max(4 * getattr(self.config.loss, gamma), rule)
        return f"`--loss.{gamma.replace('_', '-')} {value:.2g}`"

    def _mean(self, name: str, above: float | None = None) -> float:
        """Of a value over the window, or of the lines in which it lies above a bound."""
        values = [line[name] for line in self.lines if name in line]
        if above is not None:
            values = [float(value > above) for value in values]
        return sum(values) / len(values) if values else 0.0


@torch.no_grad()
def spread(generator: Generator, view: View, resolution: int, azimuth: float, elevation: float) -> float:
    """How much samples of fixed random codes differ: the standard deviation among them of each colour, 0..1,
    at each pixel, averaged over pixels. All are seen by the camera at these angles in degrees, on white.

    Pictures are small (32² at most), and no random number of the training's is drawn.
    """
    rng = torch.Generator().manual_seed(0)
    device = generator.mapping.w_avg.device
    z = torch.randn(2, SPREAD_SAMPLES, generator.config.latent, generator=rng)
    z = z.to(device, generator.mapping.w_avg.dtype)
    codes = generator.codes(z[0], z[1])
    cameras = orbit([azimuth] * SPREAD_SAMPLES, elevation, view.radius, view.fov, device=device)
    light = show_lighting(generator, SPREAD_SAMPLES)
    drawn = draw(generator, codes, cameras, min(resolution, SPREAD_RESOLUTION), lighting=light).pictures
    return float(on_white(drawn).std(dim=0).mean())
