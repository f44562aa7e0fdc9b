"""`polyglyph train DATASET --out RUN`: a generator of textured meshes from pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, make_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import tyro

from polyglyph.base.config import nearest_name, to_dict
from polyglyph.base.errors import ConfigError
from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, ready, run_verb
from polyglyph.shape.get3d.config import PRESETS, Config

__all__ = ["main"]

EverySetting = Annotated[Config, tyro.conf.arg(name="")]
DEFAULT_PRESET: Literal["tiny"] = "tiny"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to train on, and where the run goes."""

    dataset: Positional[Path]
    """A dataset folder, as `dataset` writes it, or GET3D's own layout."""

    out: Path
    """The run folder to write."""

    preset: Literal["tiny", "small", "paper"] = DEFAULT_PRESET
    """`tiny`: 64² on a CPU. `small`: 128² on one GPU. `paper`: 1024², the published sizes."""

    resume: Literal["never", "auto"] = "never"
    """`auto` continues the run in `--out` from its newest checkpoint, or starts it if there is none."""

    minutes: float | None = None
    """Stop after so many minutes, saving; all the settings' thousands of pictures when left out."""


@dataclass(frozen=True, kw_only=True)
class Essentials(WritingOptions, Run):
    """Train GET3D on a dataset folder; RUN/index.html shows a new preview every few minutes.

    Ctrl-C saves and stops; `--resume auto` goes on. Every setting of the preset can be replaced, as in
    `--schedule.kimg 500`. Example: polyglyph train out/chairs128 --out runs/chairs --preset tiny
    """


@dataclass(frozen=True, kw_only=True)
class Train(Essentials):
    __doc__ = Essentials.__doc__

    config: EverySetting = field(default_factory=lambda: PRESETS[DEFAULT_PRESET])
    """Every setting of the preset."""


def main(arguments: Sequence[str]) -> int:
    """Parse with the preset's values as defaults, train, print."""
    name = _preset(arguments)
    preset = ("config", EverySetting, field(default=PRESETS[name]))
    kind = make_dataclass("Train", [preset], bases=(Train,), frozen=True, kw_only=True)
    kind.__doc__ = Essentials.__doc__
    return run_verb("train", kind, work, arguments, short=Essentials, none=True)


def _preset(arguments: Sequence[str]) -> Literal["tiny", "small", "paper"]:
    """The preset among the arguments: its values are the defaults that the others are parsed with."""
    name: str = DEFAULT_PRESET
    for word, following in pairwise([*arguments, ""]):
        if word == "--preset":
            name = following
        elif word.startswith("--preset="):
            name = word.partition("=")[2]
    if name not in PRESETS:
        near = nearest_name(name, PRESETS)
        fix = f"did you mean `{near}`?" if near else f"choose one of {', '.join(PRESETS)}"
        raise ConfigError(f"there is no preset `{name}`", fix=fix)
    return name


def work(options: Train) -> Result:
    """Train, or only show what would be trained."""
    plan = _plan(options)  # refuses before torch is loaded
    if options.dry_run:
        return plan
    device = ready(options)
    from polyglyph.shape.get3d.train import train

    result = train(
        options.dataset,
        options.out,
        options.config,
        seed=options.seed,
        device=device,
        resume=options.resume,
        force=options.force,
        stop_after=None if options.minutes is None else options.minutes * 60,
    )
    text = f"{result.kimg * 1000:.0f} pictures in {result.steps} steps; sample it with\n"
    return Result(asdict(result), f"{text}  polyglyph sample {result.model} --out out/samples")


def _plan(options: Train) -> Result:
    """The settings and the data, checked; nothing is written."""
    from polyglyph.shape.data.dataset import load_dataset

    if options.resume == "never":
        refuse_overwrite(options.out, force=options.force)
    dataset = load_dataset(options.dataset, resolution=options.config.resolution)
    config = to_dict(options.config)
    meshes = {name: len(ids) for name, ids in dataset.split.items()}
    data = {"dry_run": True, "out": options.out, "config": config, "meshes": meshes}
    said = ", ".join(f"{count} {name}" for name, count in meshes.items())
    return Result(data, f"{json.dumps(config, indent=2)}\n{options.dataset}: {said}")
