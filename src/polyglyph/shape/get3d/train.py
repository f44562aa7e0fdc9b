"""Training GET3D as a person wants it: progress, previews, exact resume, safe to interrupt."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from polyglyph.base.config import to_dict
from polyglyph.base.errors import ConfigError, DataError
from polyglyph.base.progress import Progress, say
from polyglyph.formats.png import contact_sheet
from polyglyph.learn.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from polyglyph.learn.device import pick_device
from polyglyph.learn.run import RunFolder
from polyglyph.scene.camera import orbit
from polyglyph.shape.data.dataset import Dataset, load_dataset
from polyglyph.shape.get3d.card import training_card
from polyglyph.shape.get3d.config import Config, ModelConfig
from polyglyph.shape.get3d.data import PictureStream, on_white, pictures_of
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.model import save_generator
from polyglyph.shape.get3d.picture import draw
from polyglyph.shape.get3d.trainer import Batch, Trainer, View

__all__ = ["DivergedError", "TrainResult", "preview", "train"]

PREVIEW_COUNT = 16
PREVIEW_ANGLES = (30.0, 20.0)
"""Azimuth and elevation of preview pictures, degrees."""


class DivergedError(DataError):
    """A loss is not finite any more."""


@dataclass(frozen=True)
class TrainResult:
    """Where the run is and how far it came."""

    out: Path
    model: Path
    steps: int
    kimg: float
    seconds: float
    """Of this call."""


def train(  # noqa: PLR0913
    dataset: Path | Dataset,
    out: Path,
    config: Config,
    *,
    seed: int = 0,
    device: torch.device | str = "auto",
    resume: Literal["never", "auto"] = "never",
    force: bool = False,
    stop_after: float | None = None,
    on_step: Callable[[Trainer], None] | None = None,
) -> TrainResult:
    """Train on the `train` split of a data set; writes a run folder with a model folder in it.

    `resume="auto"` continues the newest checkpoint in `out`, bit for bit on the CPU, or starts there.
    `stop_after` ends this call after so many seconds, saving. `on_step` is called after every step.
    Ctrl-C and SIGTERM save a checkpoint and raise KeyboardInterrupt.

    Raises DataError for an unusable data set or an existing `out`, ConfigError when a resumed run
    was started with other settings, DivergedError (a DataError) when a loss is not finite any more.
    """
    device = pick_device(device) if isinstance(device, str) else device
    data = (
        load_dataset(dataset, resolution=config.resolution) if not isinstance(dataset, Dataset) else dataset
    )
    stream = PictureStream(
        pictures_of(data, "train"), data.angles("train"), mirror=config.schedule.mirror, seed=seed
    )
    record = {"model": "get3d", "seed": seed, "data": _data_record(data), "config": to_dict(config)}
    trainer = Trainer(config, View(data.radius, data.fov), device=device, seed=seed)
    run = _open(out, record, trainer, resume=resume, force=force)
    start = time.monotonic()
    loop = _Loop(run, trainer, stream, data, start)
    with _interruptible() as interrupted:
        loop.run(interrupted, stop_after, on_step)
    model = run.path / "model"
    trainer.average.module.estimate_averages()
    save_generator(
        model, trainer.average.module, model_config(trainer, data), training_card(record, trainer), force=True
    )
    if interrupted:
        raise KeyboardInterrupt
    return TrainResult(run.path, model, trainer.step, trainer.seen / 1000, time.monotonic() - start)


class _Loop:
    """The steps of one call, and what happens between them."""

    def __init__(
        self, run: RunFolder, trainer: Trainer, stream: PictureStream, data: Dataset, start: float
    ) -> None:
        self.run_folder, self.trainer, self.stream, self.data, self.start = run, trainer, stream, data, start
        self.sums: dict[str, list[torch.Tensor]] = {}
        self.saved_at = self.previewed_at = start
        newest = latest_checkpoint(run.checkpoints)
        self.saved_step = int(newest.name) if newest is not None else -1

    def run(
        self, interrupted: list[int], stop_after: float | None, on_step: Callable[[Trainer], None] | None
    ) -> None:
        trainer, schedule = self.trainer, self.trainer.config.schedule
        steps = math.ceil(schedule.kimg * 1000 / schedule.batch)
        self.preview()
        with Progress("training", total=steps * schedule.batch / 1000, done=trainer.seen / 1000) as bar:
            while trainer.step < steps and not interrupted:
                pictures, angles = self.stream.batch(trainer.seen, schedule.batch, trainer.device)
                values = trainer.train_step(Batch(pictures, angles))
                for name, value in values.items():
                    self.sums.setdefault(name, []).append(value)
                now = time.monotonic()
                if trainer.step % schedule.log_every == 0:
                    self.log(now)
                if now - self.saved_at > schedule.checkpoint_seconds:
                    self.save()
                if now - self.previewed_at > schedule.preview_seconds:
                    self.preview()
                bar.advance(schedule.batch / 1000, note=f"kimg {trainer.seen / 1000:.1f}")
                if on_step is not None:
                    on_step(trainer)
                if stop_after is not None and now - self.start > stop_after:
                    break
        self.save()
        self.preview()

    def log(self, now: float) -> None:
        """One line of means since the last; a value that is not finite stops the run."""
        line: dict[str, Any] = {"step": self.trainer.step, "kimg": self.trainer.seen / 1000}
        line |= self.means()
        line["augment"] = self.trainer.augment.probability
        line["seconds"] = round(now - self.start, 1)
        self.run_folder.log(line)
        self.sums.clear()

    def means(self) -> dict[str, float]:
        """The logged values' means since the last line. Raises DivergedError when one is not finite."""
        means = {name: float(torch.stack(values).mean()) for name, values in self.sums.items()}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise DivergedError(
                f"`{bad[0]}` is not finite at step {self.trainer.step}: the training has diverged",
                fix="start again with a larger `--loss.r1-gamma` or smaller learning rates",
            )
        return means

    def save(self) -> None:
        """A checkpoint, unless this step has one; never one of a training that has diverged.

        Partial sums of the log are not kept, so logging restarts at the next line.
        """
        self.means()
        if self.trainer.step == self.saved_step:
            return
        save_checkpoint(
            self.run_folder.checkpoints, self.trainer.checkpoint(), keep=self.trainer.config.schedule.keep
        )
        self.saved_at, self.saved_step = time.monotonic(), self.trainer.step

    def preview(self) -> None:
        """preview.png and index.html from fixed codes; draws nothing from the training's random numbers."""
        picture = preview(self.trainer.average.module, self.trainer.view, self.trainer.config.resolution)
        self.run_folder.preview(picture, title=f"{self.run_folder.path.name}: GET3D")
        self.previewed_at = time.monotonic()


@torch.no_grad()
def preview(
    generator: Generator,
    view: View,
    resolution: int,
    *,
    count: int = PREVIEW_COUNT,
    seed: int = 0,
    truncation: float = 1.0,
    columns: int = 8,
) -> np.ndarray:
    """A sheet of `count` uncurated samples seen from one side, uint8 [H, W, 3]."""
    rng = torch.Generator().manual_seed(seed)
    device = generator.mapping.w_avg.device
    latent = generator.config.latent
    z = torch.randn(2, count, latent, generator=rng).to(device)
    tiles = []
    for start in range(0, count, 4):
        codes = generator.codes(z[0, start : start + 4], z[1, start : start + 4], truncation)
        amount = len(codes.geometry)
        cameras = orbit([PREVIEW_ANGLES[0]] * amount, PREVIEW_ANGLES[1], view.radius, view.fov, device=device)
        shown = on_white(draw(generator, codes, cameras, resolution).pictures)
        tiles.extend((shown * 255 + 0.5).byte().permute(0, 2, 3, 1).cpu().numpy())
    return contact_sheet(tiles, columns=columns)


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


def _open(out: Path, record: dict[str, Any], trainer: Trainer, *, resume: str, force: bool) -> RunFolder:
    """A new run folder, or the old one with the trainer set to its newest checkpoint."""
    out = Path(out)
    if resume == "never" or not (out / "config.json").is_file():
        return RunFolder.create(out, record, force=force)
    run = RunFolder.open(out)
    _check_same(run.config(), record, out)
    newest = latest_checkpoint(run.checkpoints)
    if newest is not None:
        trainer.restore(load_checkpoint(newest), newest)
        say(f"resuming `{out}` at {trainer.seen / 1000:.1f} thousand pictures")
    run.rewind(trainer.step)
    return run


def _check_same(old: Any, new: dict[str, Any], out: Path) -> None:
    """Only the schedule's length and intervals may differ between a run and its continuation."""
    free = {"kimg", "cooldown", "preview_seconds", "checkpoint_seconds", "log_every", "keep"}

    def flat(value: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: list(value) if isinstance(value, tuple) else value}
        return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}.{key}").items()}

    before, after = flat(old), flat(new)
    for name in sorted(before.keys() | after.keys()):
        last = name.rpartition(".")[2]
        if (
            before.get(name) != after.get(name)
            and not (".schedule." in name and last in free)
            and name != ".data.path"
        ):
            raise ConfigError(
                f"`{out}` was started with `{name[1:]}` = {before.get(name)!r}, not {after.get(name)!r}",
                fix="resume with the same settings, or start another run with another `--out`",
            )


def _data_record(data: Dataset) -> dict[str, Any]:
    return {
        "path": str(data.path),
        "checksum": data.info.checksum if data.info is not None else "",
        "objects": len(data.members("train")),
        "pictures": len(data.index("train")),
    }


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying; a second one is final."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def handler(number: int, _frame: Any) -> None:
        received.append(number)
        say("\nsaving a checkpoint; press Ctrl-C again to stop without it")
        for signal_number, old in previous.items():
            signal.signal(signal_number, old)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not in the main thread: the caller handles signals
        pass
    try:
        yield received
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
