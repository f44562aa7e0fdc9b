"""`ablate`: train every cell of a study and measure them alike, resumable run by run."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import polyglyph
from polyglyph.base.config import to_dict
from polyglyph.base.errors import DataError
from polyglyph.base.files import read_json, write_json, write_text
from polyglyph.base.progress import say
from polyglyph.learn.device import pick_device, rank_and_world
from polyglyph.learn.distributed import World
from polyglyph.measure.ablation import Ablation
from polyglyph.measure.ablation_judge import Judge, Run
from polyglyph.measure.ablation_page import page, summary, table, write_plots
from polyglyph.shape.data.dataset import Dataset, first_views, load_dataset
from polyglyph.shape.get3d.train import DivergedError, train

__all__ = ["AblationResult", "ablate"]

STUDY, RESULT, PAGE, TABLE = "study.json", "result.json", "index.html", "table.md"
RUNS, CACHE, PLOTS = "runs", "cache", "plots"


@dataclass(frozen=True)
class AblationResult:
    """What was written, and its content."""

    out: Path
    result: dict[str, Any]


def ablate(
    study: Ablation,
    out: Path,
    *,
    device: torch.device | str = "cpu",
    stop_after: float | None = None,
) -> AblationResult:
    """Train and measure every cell with every seed; write `out/result.json`, a table, plots and a page.

    What is done is kept: run again to continue, also with more seeds or more values in the grid. Under a
    launcher (RANK, WORLD_SIZE) every process takes its share of the runs, and each writes the page anew
    from all results that are there. `stop_after` ends this call after so many seconds.

    Raises DataError for an unusable data set, an `out` that holds something else, or a run in it that was
    made with other settings.
    """
    start, out = time.monotonic(), Path(out)
    data = load_dataset(study.dataset, resolution=study.measure.resolution)
    runs = [
        Run(cell, seed, out / RUNS / cell.name / f"seed-{seed}")
        for cell in study.cells()
        for seed in study.seeds
    ]
    for run in runs:
        _data_of(run, study)  # refuses now what would be refused after hours
    judge = Judge(study, data, out / CACHE, device)
    _begin(out, study)
    judge.prepare()
    rank, world = rank_and_world()
    for number, run in enumerate(runs):
        if number % world != rank or _is_done(run, judge):
            continue
        left = None if stop_after is None else stop_after - (time.monotonic() - start)
        if left is not None and left <= 0:
            break
        say(f"run {number + 1} of {len(runs)}: {run.name}")
        _train_and_measure(run, judge, device, left)
        _report(out, study, runs, judge)
    return AblationResult(out, _report(out, study, runs, judge))


def _begin(out: Path, study: Ablation) -> None:
    """Make or check the output folder."""
    if out.exists() and not (out / STUDY).is_file():
        taken = not out.is_dir() or any(not item.name.startswith(".") for item in out.iterdir())
        if taken:
            raise DataError(f"`{out}` is there and holds something else", fix="choose another `--out`")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / STUDY, to_dict(study))


def _is_done(run: Run, judge: Judge) -> bool:
    """Whether this run has its result. Raises DataError if that is one of other settings."""
    if not run.result.is_file():
        return False
    if read_json(run.result)["recipe"] != judge.recipe(run):
        raise DataError(
            f"`{run.result}` was made with other settings or another data set",
            fix="choose another `--out`, or delete that file and its folder",
        )
    return True


def _data_of(run: Run, study: Ablation) -> Dataset:
    """What a run is trained on."""
    data = load_dataset(study.dataset, resolution=run.cell.config.resolution)
    return data if run.cell.views is None else first_views(data, run.cell.views)


def _train_and_measure(run: Run, judge: Judge, device: torch.device | str, stop_after: float | None) -> None:
    """Continue one run to its end and write its result; nothing is written when time runs out before."""
    config, data = run.cell.config, _data_of(run, judge.study)
    run.path.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"recipe": judge.recipe(run), "cell": run.cell.name, "seed": run.seed}
    try:
        done = train(
            data,
            run.path,
            config,
            seed=run.seed,
            device=device,
            resume="auto",
            stop_after=stop_after,
            # processes share out the runs, and train each alone
            world=World(pick_device(device) if isinstance(device, str) else device),
        )
    except DivergedError as problem:
        write_json(run.result, found | {"diverged": str(problem), "numbers": {}})
        return
    if done.kimg < config.schedule.kimg:
        return
    found |= {"kimg": done.kimg, "steps": done.steps, "training_seconds": _seconds(run.path)}
    write_json(run.result, found | {"numbers": judge.measure(run)})


def _seconds(run: Path) -> float:
    """Spent on training, over all calls: each counts from 0 in metrics.jsonl."""
    times = [json.loads(line)["seconds"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    ends = [now for now, then in itertools.pairwise([*times, 0.0]) if then < now]
    return round(sum(ends), 1)


def _report(out: Path, study: Ablation, runs: list[Run], judge: Judge) -> dict[str, Any]:
    """Write everything that is told of a study, from the results that are there."""
    found = [read_json(run.result) if run.result.is_file() else None for run in runs]
    changes = {run.cell.name: run.cell.changes for run in runs}
    missing = [run for run, one in zip(runs, found, strict=True) if one is None]
    result = {
        "polyglyph": polyglyph.__version__,
        "torch": torch.__version__,
        "study": json.loads(json.dumps(to_dict(study))),
        "protocol": judge.protocol,
        "held_out": judge.held_out,
        "runs": [one for one in found if one is not None],
        "missing": [run.name for run in missing],
        "cells": summary([one for one in found if one is not None], changes),
    }
    plots = write_plots(result, out / PLOTS)
    previews = {
        run.name: (run.path / "preview.png").read_bytes()
        for run in runs
        if (run.path / "preview.png").is_file()
    }
    write_text(out / TABLE, table(result))
    write_text(out / PAGE, page(result, plots, previews))
    write_json(out / RESULT, result)
    return result
