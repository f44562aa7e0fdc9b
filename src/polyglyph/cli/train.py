"""`polyglyph train DATASET --out RUN`: a generator of textured meshes from pictures."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, make_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, cast

import tyro

from polyglyph.base.config import nearest_name, to_dict
from polyglyph.base.errors import ConfigError
from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, ready, run_verb
from polyglyph.shape.get3d.config import PRESETS, Config

__all__ = ["main"]

EverySetting = Annotated[Config, tyro.conf.arg(name="")]
Preset = Literal["tiny", "small", "paper"]
DEFAULT_PRESET: Preset = "tiny"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to train on, and where the run goes."""

    dataset: Positional[Path]
    """A dataset folder, as `dataset` writes it, or GET3D's own layout."""

    out: Path
    """The run folder to write."""

    preset: Preset = DEFAULT_PRESET
    """`tiny`: 64² on a CPU. `small`: 128² on one GPU. `paper`: 1024², the published sizes."""

    generator: Literal["unified", "separate"] = "unified"
    """Short for `--generator.architecture`: one 2-D network, or 3-D networks for geometry beside it."""

    isosurface: Literal["dmtet", "flexicubes"] = "dmtet"
    """Short for `--isosurface.method`."""

    material: Literal["none", "pbr"] = "none"
    """Short for `--generator.material`; `pbr` learns base colour, roughness and metallic from pictures under
    many lights (`dataset --light environment`)."""

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
    preset = ("config", EverySetting, field(default=_defaults(arguments)))
    kind = make_dataclass("Train", [preset], bases=(Train,), frozen=True, kw_only=True)
    kind.__doc__ = Essentials.__doc__
    return run_verb("train", kind, work, arguments, short=Essentials, none=True)


def _defaults(arguments: Sequence[str]) -> Config:
    """The preset among the arguments, with the words for its parts: what all other settings start from."""
    config = PRESETS[cast(Preset, _word(arguments, "preset", PRESETS, DEFAULT_PRESET))]
    architecture = _word(arguments, "generator", ("unified", "separate"), config.generator.architecture)
    material = _word(arguments, "material", ("none", "pbr"), config.generator.material)
    isosurface = config.isosurface
    method = _word(arguments, "isosurface", ("dmtet", "flexicubes"), isosurface.method)
    # A dual vertex stays in its cube while the cube's corners move by less than half its side.
    multiplier = max(isosurface.deformation_multiplier, 2.0 if method == "flexicubes" else 0.0)
    return replace(
        config,
        generator=replace(config.generator, architecture=architecture, material=material),
        isosurface=replace(isosurface, method=method, deformation_multiplier=multiplier),
    )


def _word(arguments: Sequence[str], option: str, known: Collection[str], default: str) -> str:
    """The value of `--option` among the arguments. Raises ConfigError for one that is not `known`."""
    name: str = default
    for word, following in pairwise([*arguments, ""]):
        if word == f"--{option}":
            name = following
        elif word.startswith(f"--{option}="):
            name = word.partition("=")[2]
    if name in known:
        return name
    near = nearest_name(name, known)
    fix = f"did you mean `{near}`?" if near else f"choose one of {', '.join(known)}"
    raise ConfigError(f"there is no {option} `{name}`", fix=fix)


def work(options: Train) -> Result:
    """Train, or only show what would be trained."""
    plan = _plan(options)  # refuses before torch is loaded
    if options.dry_run:
        return plan
    device = ready(options)
    from polyglyph.shape.get3d.best import BEST
    from polyglyph.shape.get3d.train import train

    metric = None
    if options.config.schedule.best != "none":
        from polyglyph.measure.training_score import training_metric

        metric = training_metric(options.config.schedule, options.out / "cache")
    result = train(
        options.dataset,
        options.out,
        options.config,
        seed=options.seed,
        device=device,
        resume=options.resume,
        force=options.force,
        stop_after=None if options.minutes is None else options.minutes * 60,
        metric=metric,
    )
    text = f"{result.kimg * 1000:.0f} pictures in {result.steps} steps; sample it with\n"
    text += f"  polyglyph sample {result.model} --out out/samples"
    if metric is not None:
        text += f"\nthe best model by {metric.name} is {options.out / BEST}"
    return Result(asdict(result), text)


def _plan(options: Train) -> Result:
    """The settings and the data, checked; nothing is written."""
    from polyglyph.shape.data.dataset import load_dataset
    from polyglyph.shape.get3d.advice import advice_for

    if options.resume == "never":
        refuse_overwrite(options.out, force=options.force)
    dataset = load_dataset(options.dataset, resolution=options.config.resolution)
    config = to_dict(options.config)
    meshes = {name: len(ids) for name, ids in dataset.split.items()}
    advice = advice_for(options.config, len(dataset.index("train")))
    data = {"dry_run": True, "out": options.out, "config": config, "meshes": meshes, "advice": advice}
    said = ", ".join(f"{count} {name}" for name, count in meshes.items())
    return Result(data, "\n".join([json.dumps(config, indent=2), f"{options.dataset}: {said}", *advice]))
