"""Training GET3D as a person wants it: progress, previews, exact resume, safe to interrupt, on any number of
processes.

Process 0 alone writes and speaks. All processes take the same turns between steps, because every decision
that hangs on time, on a signal or on a file is agreed first.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from polyglyph.base.config import to_dict
from polyglyph.base.errors import ConfigError, DataError, PolyglyphError
from polyglyph.base.progress import Progress, say
from polyglyph.formats.png import contact_sheet
from polyglyph.learn.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from polyglyph.learn.device import pick_device
from polyglyph.learn.distributed import World, interruptible, joined
from polyglyph.learn.run import RunFolder
from polyglyph.scene.camera import orbit
from polyglyph.shape.data.dataset import Dataset, load_dataset
from polyglyph.shape.get3d.best import Metric, best_so_far, is_due, judge, require_metric
from polyglyph.shape.get3d.card import model_config, training_card
from polyglyph.shape.get3d.config import Config
from polyglyph.shape.get3d.data import IN_MEMORY, PictureStream, on_white, pictures_of
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.health import Health, spread
from polyglyph.shape.get3d.lighting import check_light, show_lighting
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
    metric: Metric | None = None,
    world: World | None = None,
) -> TrainResult:
    """Train on the `train` split of a data set; writes a run folder with a model folder in it.

    `resume="auto"` continues the newest checkpoint in `out`, bit for bit on the CPU, or starts there.
    `stop_after` ends this call after so many seconds, saving. `on_step` is called after every step.
    Ctrl-C and SIGTERM save a checkpoint and raise KeyboardInterrupt.

    With a `metric` process 0 scores the averaged generator every `schedule.best_kimg` while the others wait,
    and the best model so far is kept in `out`/best.

    `world` are the processes that train together, all of which call this with the same arguments; when it is
    left out, those that a launcher started (`learn.distributed.joined`), and `World(device)` keeps a process
    to itself whatever started it. A run may be resumed by another number of processes: it goes on as before,
    up to rounding.

    Raises DataError for an unusable data set or an existing `out`, ConfigError when a resumed run was started
    with other settings, the batch cannot be divided among the processes or `schedule.best` needs a `metric`,
    DivergedError (a DataError) when a loss is not finite any more, BackendError when a process has gone.
    """
    require_metric(config.schedule, metric)
    device = pick_device(device) if isinstance(device, str) else device
    with joined(device) if world is None else nullcontext(world) as world:
        start = time.monotonic()
        data = world.together(lambda: _load(dataset, config))
        world.together(lambda: check_light(config.generator.material, data, tell=world.first))
        record = {"model": "get3d", "seed": seed, "data": _data_record(data), "config": to_dict(config)}
        local = {"data": {**record["data"], "path": ""}}  # machines may keep it in different places
        world.require_same(record | local, "settings or pictures")
        trainer = Trainer(config, View(data.radius, data.fov), device=world.device, seed=seed, world=world)
        with closing(world.together(lambda: _stream(data, trainer, seed))) as stream:
            run = world.together(lambda: _open(out, record, trainer, resume=resume, force=force))
            trainer.synchronise()
            loop = _Loop(run, trainer, stream, start)
            if metric is not None:
                loop.judge = lambda run: judge(
                    run, metric, trainer, data, lambda path: _save_model(path, record, trainer, data)
                )
            with interruptible(world) as interrupted:
                loop.run(interrupted, stop_after, on_step)
        model = Path(out) / "model"
        world.together(lambda: _save_model(model, record, trainer, data))
        if world.any(bool(interrupted))[0]:
            raise KeyboardInterrupt
        return TrainResult(Path(out), model, trainer.step, trainer.seen / 1000, time.monotonic() - start)


def _load(dataset: Path | Dataset, config: Config) -> Dataset:
    if isinstance(dataset, Dataset):
        return dataset
    return load_dataset(dataset, resolution=config.resolution)


def _stream(data: Dataset, trainer: Trainer, seed: int) -> PictureStream:
    pictures = pictures_of(data, "train", IN_MEMORY // trainer.world.neighbours)
    return PictureStream(pictures, data.angles("train"), mirror=trainer.config.schedule.mirror, seed=seed)


def _save_model(path: Path, record: dict[str, Any], trainer: Trainer, data: Dataset) -> None:
    """The averaged generator as a model folder, by process 0."""
    if not trainer.world.first:
        return
    average = copy.deepcopy(trainer.average.module)  # the training goes on with its own averages of w
    average.estimate_averages()
    save_generator(path, average, model_config(trainer, data), training_card(record, trainer), force=True)


class _Turn(NamedTuple):
    """What all processes have agreed to do around a step."""

    failed: bool
    interrupted: bool
    stop: bool
    save: bool
    preview: bool


class _Loop:
    """The steps of one call, and what happens between them."""

    def __init__(self, run: RunFolder | None, trainer: Trainer, stream: PictureStream, start: float) -> None:
        """`run` is None in processes that do not write."""
        self.run_folder, self.trainer, self.stream, self.start = run, trainer, stream, start
        self.world = trainer.world
        self.sums: dict[str, list[torch.Tensor]] = {}
        self.health = Health(trainer.config, run.metrics() if run is not None else ())
        self.judge: Callable[[RunFolder], None] | None = None
        self.saved_at = self.previewed_at = start
        newest = latest_checkpoint(run.checkpoints) if run is not None else None
        self.saved_step = int(newest.name) if newest is not None else -1

    def run(
        self, interrupted: list[int], stop_after: float | None, on_step: Callable[[Trainer], None] | None
    ) -> None:
        trainer, schedule = self.trainer, self.trainer.config.schedule
        steps = math.ceil(schedule.kimg * 1000 / schedule.batch)
        self.preview()
        with self.progress(steps * schedule.batch / 1000) as bar:
            while trainer.step < steps:
                batch, problem = self.load()
                turn = self.agree(problem, interrupted, stop_after)
                if turn.failed:
                    self.world.raise_together(problem)
                if turn.interrupted or batch is None:
                    break
                for name, value in trainer.train_step(batch).items():
                    self.sums.setdefault(name, []).append(value)
                if trainer.step % schedule.log_every == 0:
                    self.log()
                if self.judge is not None and is_due(schedule, trainer.step, steps):
                    self.write(self.judge)
                if turn.save:
                    self.save()
                if turn.preview:
                    self.preview()
                if bar is not None:
                    bar.advance(schedule.batch / 1000, note=f"kimg {trainer.seen / 1000:.1f}")
                if on_step is not None:
                    on_step(trainer)
                if turn.stop:
                    break
        self.save()
        self.preview()

    def load(self) -> tuple[Batch, None] | tuple[None, PolyglyphError]:
        """This process's share of the next batch, or what is wrong with it."""
        size, seen = self.trainer.config.schedule.batch // self.world.size, self.trainer.seen
        try:
            batch = self.stream.batch(seen + self.world.rank, size, self.trainer.device, step=self.world.size)
        except PolyglyphError as problem:
            return None, problem
        return Batch(*batch), None

    def agree(
        self, problem: PolyglyphError | None, interrupted: list[int], stop_after: float | None
    ) -> _Turn:
        """What to do around the coming step: by the clock of process 0, by a signal or an error in any."""
        now, schedule, first = time.monotonic(), self.trainer.config.schedule, self.world.first
        return _Turn(
            *self.world.any(
                problem is not None,
                bool(interrupted),
                first and stop_after is not None and now - self.start > stop_after,
                first and now - self.saved_at > schedule.checkpoint_seconds,
                first and now - self.previewed_at > schedule.preview_seconds,
            )
        )

    def progress(self, total: float) -> AbstractContextManager[Progress | None]:
        """The bar of process 0."""
        if not self.world.first:
            return nullcontext()
        return Progress("training", total=total, done=self.trainer.seen / 1000)

    def log(self) -> None:
        """One line of means since the last; a value that is not finite stops the run."""
        line: dict[str, Any] = {"step": self.trainer.step, "kimg": self.trainer.seen / 1000}
        line |= self.means()
        line["augment"] = self.trainer.augment.probability
        line["seconds"] = round(time.monotonic() - self.start, 1)
        self.sums.clear()
        self.write(lambda run: self.tell(run, line))

    def tell(self, run: RunFolder, line: dict[str, Any]) -> None:
        """Log the line, and say what is newly wrong."""
        trainer = self.trainer
        average, resolution = trainer.average.module, trainer.config.resolution
        line["spread"] = spread(average, trainer.view, resolution, *PREVIEW_ANGLES)
        notes = self.health.look(line)
        run.log(line | {"notes": notes} if notes else line)
        for note in notes:
            say(f"{trainer.seen / 1000:.1f} thousand pictures: {note}")

    def means(self) -> dict[str, float]:
        """The logged values' means since the last line, over all processes. Raises DivergedError when one is
        not finite.
        """
        values = {name: torch.stack(values).mean() for name, values in self.sums.items()}
        self.world.average(list(values.values()))
        means = {name: float(value) for name, value in values.items()}
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
        trainer = self.trainer
        self.means()
        self.saved_at = time.monotonic()
        if trainer.step == self.saved_step:
            return
        trainer.require_equal()
        keep = trainer.config.schedule.keep
        self.write(lambda run: save_checkpoint(run.checkpoints, trainer.checkpoint(), keep=keep))
        self.saved_at, self.saved_step = time.monotonic(), trainer.step

    def preview(self) -> None:
        """preview.png and index.html from fixed codes; draws nothing from the training's random numbers."""
        trainer = self.trainer

        def show(run: RunFolder) -> None:
            picture = preview(trainer.average.module, trainer.view, trainer.config.resolution)
            best = best_so_far(run.path)
            said = (
                "" if best is None else "best: {metric} {value:.4g} at {kimg:.1f} thousand".format_map(best)
            )
            run.preview(picture, title=f"{run.path.name}: GET3D", said=said)

        self.write(show)
        self.previewed_at = time.monotonic()

    def write(self, work: Callable[[RunFolder], object]) -> None:
        """Let process 0 write to the run folder while the others wait."""
        folder = self.run_folder
        self.world.together(lambda: None if folder is None else work(folder))


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
    """A sheet of `count` uncurated samples seen from one side, uint8 [H, W, 3]; materials under one light."""
    rng = torch.Generator().manual_seed(seed)
    device = generator.mapping.w_avg.device
    latent = generator.config.latent
    z = torch.randn(2, count, latent, generator=rng).to(device)
    tiles = []
    for start in range(0, count, 4):
        codes = generator.codes(z[0, start : start + 4], z[1, start : start + 4], truncation)
        amount = len(codes.geometry)
        cameras = orbit([PREVIEW_ANGLES[0]] * amount, PREVIEW_ANGLES[1], view.radius, view.fov, device=device)
        light = show_lighting(generator, amount)
        shown = on_white(draw(generator, codes, cameras, resolution, lighting=light).pictures)
        tiles.extend((shown * 255 + 0.5).byte().permute(0, 2, 3, 1).cpu().numpy())
    return contact_sheet(tiles, columns=columns)


def _open(
    out: Path, record: dict[str, Any], trainer: Trainer, *, resume: str, force: bool
) -> RunFolder | None:
    """A new run folder, or the old one with the trainer set to its newest checkpoint; None for processes
    that do not write.
    """
    if not trainer.world.first:
        return None
    out, processes = Path(out), trainer.world.size
    if resume == "never" or not (out / "config.json").is_file():
        return RunFolder.create(out, record, processes=processes, force=force)
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
    free |= {"best", "best_kimg", "best_pictures"}

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
