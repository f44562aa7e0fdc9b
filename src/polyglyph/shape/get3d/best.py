"""The best model of a run so far, kept in RUN/best: a model folder with its score beside the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyglyph.base.errors import ConfigError
from polyglyph.base.files import new_folder, read_json, write_json
from polyglyph.learn.run import RunFolder
from polyglyph.shape.data.dataset import Dataset
from polyglyph.shape.get3d.config import ScheduleConfig
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.trainer import Trainer

__all__ = ["BEST", "SCORE", "Metric", "best_so_far", "is_due", "judge"]

BEST = "best"
"""The folder in a run folder."""
SCORE = "score.json"
"""The file in it: `metric`, `value`, `step`, `kimg`."""


@dataclass(frozen=True)
class Metric:
    """How good a generator is, in a number that is better when lower."""

    name: str
    """As metrics.jsonl calls it. Scores of different names are never compared."""
    score: Callable[[Generator, Dataset], float]
    """Draws no random number of the training's."""


def is_due(schedule: ScheduleConfig, step: int, steps: int) -> bool:
    """Whether the model is scored after `step` of `steps`: whenever so many pictures more have been seen, and
    at the end. It hangs on the step alone, so that a resumed run is scored where an unbroken one is."""
    period = schedule.best_kimg * 1000
    return step == steps or step * schedule.batch // period > (step - 1) * schedule.batch // period


def judge(
    run: RunFolder, metric: Metric, trainer: Trainer, data: Dataset, save: Callable[[Path], None]
) -> None:
    """Score the averaged generator, log it, and let `save` write it to RUN/best if none was better.

    RUN/best changes at once, score and weights together. It may hold a model of a step that a killed run
    reached and its continuation has not: no worse for that. A score that is no number raises ValueError.
    """
    value = metric.score(trainer.average.module, data)
    told = {"metric": metric.name, "value": value, "step": trainer.step, "kimg": trainer.seen / 1000}
    before = best_so_far(run.path)
    if before is None or before["metric"] != metric.name or value < before["value"]:
        with new_folder(run.path / BEST, force=True) as temporary:
            save(temporary)
            write_json(temporary / SCORE, told)
    run.log({"step": trainer.step, "kimg": trainer.seen / 1000, metric.name: value})


def best_so_far(run: Path) -> dict[str, Any] | None:
    """What RUN/best/score.json says; None where nothing was scored. Raises DataError for a broken file."""
    path = run / BEST / SCORE
    return read_json(path) if path.is_file() else None


def require_metric(schedule: ScheduleConfig, metric: Metric | None) -> None:
    """Raise ConfigError when the settings ask for scores and nothing was given to score with."""
    if schedule.best != "none" and metric is None:
        raise ConfigError(
            f"`schedule.best` is {schedule.best}, and `train` was given no metric",
            fix="pass `metric=training_metric(config.schedule, cache)` of `polyglyph.measure.training_score`",
        )
