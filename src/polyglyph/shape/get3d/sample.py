"""Textured meshes from a trained generator: GLBs, a contact sheet, animations and a page.

The network runs in this process; cleaning, decimating, unwrapping, baking and packing run in others, which
ask this one for the texture field's values. So the weights are in memory once, and a mesh's bytes depend on
the model, the seed and the settings alone: not on how many meshes, processes or ranks there are. (One thing
hangs on the machine's speed: where xatlas takes longer than its limit, the atlas is ours, and the report says
so.)
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyglyph.base.progress import Progress
from polyglyph.learn.device import pick_device, rank_and_world
from polyglyph.shape.data.pool import core_count
from polyglyph.shape.get3d.model import Model, load_generator
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_export import MATERIAL, codes_of, cut, generate, seeded_codes
from polyglyph.shape.get3d.sample_folder import (
    Left,
    Sampled,
    finish,
    is_there,
    keep,
    leave_out,
    opened,
    told,
)
from polyglyph.shape.get3d.sample_plan import Shape, walk, wanted
from polyglyph.shape.get3d.sample_pool import Task, run_tasks
from polyglyph.shape.get3d.sample_show import drawn
from polyglyph.shape.get3d.sample_work import Job, with_box_atlas

__all__ = ["Left", "SampleResult", "Sampled", "generate", "sample_meshes", "seeded_codes"]

SMALL_JOB = 6
"""With no more meshes than this, starting processes costs more than it saves."""
UNWRAP_SECONDS = 30.0


@dataclass(frozen=True)
class SampleResult:
    """What was written, and by which model."""

    out: Path
    model: Path
    meshes: list[Sampled]
    left_out: list[Left]
    """Meshes that were wanted and not made, and why."""
    seconds: float
    finished: bool = True
    """False while other ranks are still at work; `meshes` is empty then."""


def sample_meshes(
    model: str | Path | None,
    out: Path,
    config: SampleConfig,
    *,
    device: torch.device | str = "auto",
    force: bool = False,
) -> SampleResult:
    """Write textured GLBs, `sheet.png`, `index.html` and `samples.json` to `out`.

    `model` is a model folder, a hub id, or None for the shipped model. The same model and seed give
    the same mesh, whatever the count. A mesh that fails or takes longer than `config.mesh_seconds` is left
    out and named. Of several processes (RANK, WORLD_SIZE) each makes its share of the meshes in the same
    folder, and the last one writes what is about all of them.

    Raises DataError if `out` exists and `force` is false, there is no model, or not one mesh could be made.
    """
    start = time.monotonic()
    target = pick_device(device) if isinstance(device, str) else device
    loaded = load_generator(model, device=target)
    shapes = wanted(loaded.config.subject, config)
    rank, world = rank_and_world()
    recipe = told(loaded.path.name, config)
    with opened(Path(out), recipe, world=world, force=force) as folder:
        mine = [shape for shape in shapes[rank::world] if not is_there(folder, shape)]
        _make(loaded, folder, mine, config)
        film = None
        if config.interpolate is not None and config.film_frames is not None:
            film = drawn(loaded, walk(loaded.config.subject, config, config.film_frames), config)
        found = finish(folder, shapes, config, recipe, _notes(loaded, config), film)
    meshes, left = found if found is not None else ([], [])
    seconds = round(time.monotonic() - start, 2)
    return SampleResult(Path(out), loaded.path, meshes, left, seconds, found is not None)


def _make(model: Model, folder: Path, shapes: Sequence[Shape], config: SampleConfig) -> None:
    """Make the meshes and keep them in `folder`."""
    workers = _workers(len(shapes), config)
    by_name = {shape.name: shape for shape in shapes}
    network: dict[str, float] = {}
    outcomes = run_tasks(
        _tasks(model, shapes, config, network, killable=workers > 1),
        "polyglyph.shape.get3d.sample_work:finished",
        workers=workers,
        seconds=config.mesh_seconds,
        stages={"unwrap": _unwrap_seconds(config)},
        again=with_box_atlas,
    )
    with contextlib.closing(outcomes), Progress("sampling", total=len(shapes)) as bar:
        for outcome in outcomes:
            shape = by_name[outcome.name]
            if outcome.result is None:
                leave_out(folder, shape, outcome.reason)
            else:
                keep(folder, shape, outcome.result, network[outcome.name])
            bar.advance(note=outcome.name)


def _tasks(
    model: Model,
    shapes: Sequence[Shape],
    config: SampleConfig,
    network: dict[str, float],
    *,
    killable: bool,
) -> Iterator[Task]:
    """For each shape its surface, and who answers for its fields; notes how long the network took."""
    for shape in shapes:
        begun = time.perf_counter()
        found = cut(model, codes_of(model, shape), config.isosurface_resolution)
        network[shape.name] = time.perf_counter() - begun
        fields = {
            name: field
            for name in ("color", "orm", "normal")
            if (field := getattr(found.textures, name)) is not None
        }

        def answer(name: str, points: np.ndarray, fields: dict[str, Any] = fields) -> np.ndarray:
            with torch.no_grad():
                return fields[name](torch.from_numpy(points)).float().cpu().numpy()

        job = Job(
            name=shape.name,
            extras={"model": model.path.name, "codes": shape.recipe, "truncation": shape.truncation},
            positions=found.positions,
            faces=found.faces,
            fields=tuple(fields),
            color_encoding=found.textures.color_encoding,
            material=MATERIAL,
            levels=config.levels,
            radius=model.config.radius,
            fov=model.config.fov,
            view_resolution=config.view_resolution,
            turn_frames=config.turntable_frames if config.turntable else 0,
            unwrap_seconds=_unwrap_seconds(config),
            killable=killable,
        )
        yield Task(shape.name, job, answer)


def _unwrap_seconds(config: SampleConfig) -> float:
    """Half of a mesh's time at most, so that the other atlas has a chance."""
    return min(UNWRAP_SECONDS, config.mesh_seconds / 2)


def _workers(meshes: int, config: SampleConfig) -> int:
    """How many processes: this machine's cores are shared by the ranks on it."""
    if config.workers is not None:
        return max(1, min(config.workers, meshes))
    if meshes <= SMALL_JOB:
        return 1
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(core_count() // max(1, int(local) if local.isdigit() else 1), meshes))


def _notes(model: Model, config: SampleConfig) -> str:
    made = f"the model {model.path.name}, {model.config.kimg:.0f} thousand training pictures"
    values = ", ".join(f"{value:g}" for value in config.truncations or (config.truncation,))
    return f"Uncurated samples of {made}, truncation {values}."
