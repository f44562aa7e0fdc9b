"""What an ablation study is: a grid of settings over one preset, with the same budget everywhere. Torch-free.

    dataset = "chairs128"            # paths are relative to the file
    preset = "tiny"
    seeds = [0, 1]

    [set]                            # in every cell
    schedule.kimg = 20

    [grid]                           # every combination of these
    resolution = [32, 64, 128]
    discriminator.camera = [true, false]

    [measure]
    pictures = 5000

The docstring under a field is its help text.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from polyglyph.base.config import from_dict, to_dict
from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.protocol import Metric
from polyglyph.shape.get3d.config import PRESETS, Config

__all__ = ["VIEWS", "Ablation", "AblationMeasure", "Cell", "read_ablation"]

VIEWS = "data.views"
"""The setting that is no field of `Config`: pictures of each object that are used, the first so many."""


@dataclass(frozen=True, kw_only=True)
class AblationMeasure:
    """How every run of a study is measured: all of them alike, whatever they were trained with."""

    pictures: int = 5000
    """Samples, and renders of the data set, that are compared (fewer where the data set has fewer)."""
    resolution: int | None = None
    """Pixels along one side of the pictures compared; the data set's own when left out."""
    extractor: str = "mobilenet_v2"
    """The network whose features are compared; `none` for no pictures."""
    weights: str | None = None
    """A file with its weights, where they are not installed."""
    meshes: str | None = None
    """Meshes of held-out objects: a folder; when given, shapes are compared too."""
    metrics: tuple[Metric, ...] = ("cd",)
    """What is measured of shapes."""
    limit: int | None = None
    """Only the first so many of those meshes."""
    seed: int = 0
    """Seed of samples, cameras and points, the same for all runs."""

    def __post_init__(self) -> None:
        if self.pictures < 2:
            raise ConfigError(f"`measure.pictures` is {self.pictures}", fix="ask for 5000, or at least 2")


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One study."""

    dataset: str
    """A data set folder."""
    title: str = "Ablation"
    """What the page is called."""
    preset: Literal["tiny", "small", "paper"] = "tiny"
    """Settings that all cells start from."""
    seeds: tuple[int, ...] = (0,)
    """Each cell is trained once with each."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings of every cell, by name; "none" for no value."""
    grid: dict[str, Any] = field(default_factory=dict)
    """Lists of values by setting; every combination is a cell."""
    measure: AblationMeasure = field(default_factory=AblationMeasure)
    """How runs are measured."""

    def __post_init__(self) -> None:
        if not self.seeds or len({*self.seeds}) != len(self.seeds):
            raise ConfigError("`seeds` names none, or one twice", fix="write `seeds = [0, 1, 2]`")
        if any(not 0 <= seed < 2**63 for seed in self.seeds):
            raise ConfigError("a seed is outside 0 to 2^63", fix="write `seeds = [0, 1, 2]`")
        for name, values in self.grid.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(
                    f"`grid.{name}` is {values!r}, not a list of values", fix=f"write `{name} = [...]`"
                )
            if len({json.dumps(value) for value in values}) != len(values):
                raise ConfigError(f"`grid.{name}` has a value twice", fix="name each value once")
            if name in self.set:
                raise ConfigError(f"`{name}` is in `set` and in `grid`", fix="leave it out of `set`")

    def cells(self) -> list[Cell]:
        """Every combination of the grid's values, the last setting changing first.

        Raises ConfigError for a setting that there is not, or values that do not go together.
        """
        found = []
        for values in itertools.product(*self.grid.values()):
            changes = dict(zip(self.grid, values, strict=True))
            wanted = {**self.set, **changes}
            views = wanted.pop(VIEWS, None)
            if views is not None and (type(views) is not int or views < 1):
                raise ConfigError(f"`{VIEWS}` is {views!r}", fix="write a number of at least 1")
            found.append(Cell(_name(changes), changes, _configured(self.preset, wanted), views))
        names = [cell.name for cell in found]
        if len({*names}) != len(names):
            raise ConfigError("two cells would have one name", fix="use values that can be told apart")
        return found


@dataclass(frozen=True)
class Cell:
    """One combination of settings."""

    name: str
    """Of its folder."""
    changes: dict[str, Any]
    """What it has of the grid."""
    config: Config
    views: int | None
    """Pictures of each object that are used; None for all."""


def read_ablation(path: Path) -> Ablation:
    """A study from its TOML file; paths in it become relative to where we are.

    Raises DataError if it cannot be read, ConfigError for what a study cannot be.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise DataError(f"`{path}` cannot be read: {problem.strerror}", fix="name a TOML file") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise DataError(f"`{path}` is not TOML: {problem}", fix="see docs/guides/ablate.md") from None
    for name in ("set", "grid"):
        if isinstance(data.get(name), dict):
            data[name] = _flat(data[name])
    spec = from_dict(Ablation, data, where=str(path))
    spec.cells()  # refuses now what would be refused after hours

    def there(name: str | None) -> str | None:
        return None if name is None else str(path.parent / name)

    measure = replace(spec.measure, meshes=there(spec.measure.meshes), weights=there(spec.measure.weights))
    return replace(spec, dataset=str(path.parent / spec.dataset), measure=measure)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _configured(preset: Literal["tiny", "small", "paper"], changes: Mapping[str, Any]) -> Config:
    """A preset with some settings replaced. Raises ConfigError for one that there is not."""
    data = to_dict(PRESETS[preset])
    for name, value in changes.items():
        *sections, last = name.split(".")
        place = data
        for section in sections:
            if not isinstance(place.setdefault(section, {}), dict):
                raise ConfigError(
                    f"there is no setting `{name}`", fix="`polyglyph train --help-all` names all"
                )
            place = place[section]
        place[last] = None if value == "none" else value
    return from_dict(Config, data, where="the study")


def _name(changes: Mapping[str, Any]) -> str:
    """`resolution=64,discriminator.camera=true`, fit for a folder."""
    parts = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in changes.items()
    ]
    return re.sub(r"[^\w.=,+-]", "-", ",".join(parts)) or "all"
