"""`polyglyph ablate SPEC --out DIR`: what each setting is worth, as a grid of trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyglyph.base.config import to_dict
from polyglyph.cli.common import Options, Positional, Result, ready, run_verb
from polyglyph.measure.ablation import Ablation, read_ablation

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Ablate(Options):
    """Train a model for every combination of settings and measure them all alike; DIR/index.html shows the
    table, plots and samples.

    Run again to continue, also with more seeds or values. Example: polyglyph ablate study.toml --out study
    """

    spec: Positional[Path]
    """A TOML file that names the data set, the preset, the seeds and the grid of settings."""

    out: Path
    """The folder to write: every run, the table and the page."""

    minutes: float | None = None
    """Stop after so many minutes, saving; when left out, all runs are finished."""

    dry_run: bool = False
    """Say what would be trained, and stop."""


def main(arguments: Sequence[str]) -> int:
    """Parse, train and measure, print."""
    return run_verb("ablate", Ablate, work, arguments)


def work(options: Ablate) -> Result:
    """The table, or only the cells."""
    study = read_ablation(options.spec)
    if options.dry_run:
        return _plan(study)
    device = ready(options)
    from polyglyph.measure.ablate import ablate
    from polyglyph.measure.ablation_page import table

    stop_after = None if options.minutes is None else options.minutes * 60
    done = ablate(study, options.out, device=device, stop_after=stop_after)
    text = table(done.result)
    if done.result["missing"]:
        text += f"\nnot finished: {'; '.join(done.result['missing'])}; run again to continue"
    return Result({"out": done.out, **done.result}, text)


def _plan(study: Ablation) -> Result:
    cells = study.cells()
    lines = [f"{cell.name}: {cell.config.schedule.kimg:g} thousand pictures" for cell in cells]
    lines.append(f"{len(cells)} cells, {len(study.seeds)} seeds: {len(cells) * len(study.seeds)} runs")
    told = [
        {"cell": cell.name, "config": to_dict(cell.config), "views": cell.views, "seeds": list(study.seeds)}
        for cell in cells
    ]
    return Result({"dry_run": True, "study": to_dict(study), "cells": told}, "\n".join(lines))
