"""`measure`: one set of shapes against another, under a protocol, resumable.

Legend: N generated shapes, M reference shapes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial.distance import cdist

import polyglyph
from polyglyph.base.config import to_dict
from polyglyph.base.errors import ConfigError, DataError
from polyglyph.base.files import read_json, write_json, write_text
from polyglyph.learn.device import rank_and_world
from polyglyph.measure.described import Described, Skipped, describe_shapes
from polyglyph.measure.extractors import load_extractor
from polyglyph.measure.picture_metrics import picture_metrics
from polyglyph.measure.pictures import NamedExtractor
from polyglyph.measure.protocol import MeasureConfig
from polyglyph.measure.report import Portraits, report_html, thumbnails
from polyglyph.measure.seen import Seen, see_shapes
from polyglyph.measure.shape_metrics import shape_metrics
from polyglyph.measure.shapes import ShapeSet, is_dataset, shapes_of
from polyglyph.measure.sight import Sight, sight_of

__all__ = ["Comparison", "compare"]

CACHE, RESULT, REPORT, SETTINGS = "cache", "result.json", "index.html", "measure.json"


@dataclass(frozen=True)
class Comparison:
    """What was written, and its content."""

    out: Path
    result: dict[str, Any]


class _Side(NamedTuple):
    """The generated or the reference shapes."""

    shapes: ShapeSet
    label: str
    sight: Sight | None
    """How they are seen, where pictures are compared."""


class _Found(NamedTuple):
    """What is known of the shapes of a side that could be measured in every way asked for."""

    names: list[str]
    skipped: list[Skipped]
    described: Described | None
    seen: Seen | None


def compare(
    generated: Path,
    reference: Path,
    out: Path,
    config: MeasureConfig | None = None,
    *,
    extractor: NamedExtractor | None = None,
    device: torch.device | str = "cpu",
) -> Comparison:
    """Measure the shapes at `generated` against those at `reference`; write `out/result.json` and a page
    about it, `out/index.html`. Either may be a data set where only pictures are compared.

    `extractor` gives the features of pictures; left out, it is MobileNet-V2.

    The result holds the protocol in full, so that another program can repeat it. What was worked out stays in
    `out/cache`: run again to continue. Under a launcher (RANK, WORLD_SIZE) every process describes its
    share of the shapes; all come to the same result and rank 0 writes it.

    Raises ConfigError where a data set has no geometry for what is asked, or pictures do not fit; DataError
    where there are no shapes or too few, none of them can be measured, or `out` holds something else, such
    as a comparison of other shapes or with other settings.
    """
    config = config or MeasureConfig()
    generated, reference, out = Path(generated), Path(reference), Path(out)
    _check_kinds(generated, reference, config)
    extractor = (extractor or load_extractor(device=device)) if config.of_pictures else None
    made, target = _sets(generated, reference, config, device)
    sights = sight_of(config, made, target) if extractor is not None else (None, None)
    sides = (
        _Side(made, "generated shapes", sights[0]),
        _Side(target, "reference shapes", sights[1]),
    )
    _begin(out, made, target, config, extractor)
    ours, theirs = (_found(side, out / CACHE, config, extractor, device) for side in sides)
    result: dict[str, Any] = {
        "polyglyph": polyglyph.__version__,
        "torch": torch.__version__,
        "config": _plain(to_dict(config)),
        "generated": _told(sides[0], ours),
        "reference": _told(sides[1], theirs),
        "extractor": None if extractor is None else extractor.protocol,
        "metrics": {},
    }
    matrices = {}
    if ours.described is not None and theirs.described is not None:
        result["metrics"], matrices = shape_metrics(
            ours.described, theirs.described, out / CACHE, config, device
        )
    if ours.seen is not None and theirs.seen is not None and extractor is not None:
        result["metrics"] |= picture_metrics(ours.seen, theirs.seen, extractor, config)
    if rank_and_world()[0] == 0:
        clay = [
            thumbnails(side.shapes.shapes, found.names, out / CACHE) if matrices else []
            for side, found in zip(sides, (ours, theirs), strict=True)
        ]
        write_text(out / REPORT, report_html(result, matrices, *clay, portraits=_portraits(ours, theirs)))
        write_json(out / RESULT, result)
    return Comparison(out, result)


def _check_kinds(generated: Path, reference: Path, config: MeasureConfig) -> None:
    """Raise ConfigError for metrics that a data set has nothing for, or a split without a data set."""
    sets = [path for path in (generated, reference) if is_dataset(path)]
    if sets and config.of_shapes:
        raise ConfigError(
            f"`{' '.join(config.of_shapes)}` needs meshes, and `{sets[0]}` is a data set of pictures",
            fix="pass `--metrics fid kid pr`, or name the meshes that it was rendered from",
        )
    if config.split != "all" and not sets:
        raise ConfigError(
            f"`--split {config.split}` is asked, and neither side is a data set", fix="leave `--split` out"
        )


def _sets(
    generated: Path, reference: Path, config: MeasureConfig, device: torch.device | str
) -> tuple[ShapeSet, ShapeSet]:
    def shapes(path: Path, drawn: int | None) -> ShapeSet:
        return shapes_of(
            path,
            count=config.limit,
            drawn=drawn,
            seed=config.seed,
            protocol=config.protocol,
            split=config.split,
            device=device,
        )

    target = shapes(reference, None)
    return shapes(generated, len(target.shapes) * config.protocol.per_reference), target


def _found(
    side: _Side,
    cache: Path,
    config: MeasureConfig,
    extractor: NamedExtractor | None,
    device: torch.device | str,
) -> _Found:
    """Pictures first, then the geometry of what could be seen. Raises DataError where nothing is left."""
    shapes, described, seen = side.shapes.shapes, None, None
    skipped: list[Skipped] = []
    if extractor is not None and side.sight is not None:
        label = f"pictures of {side.label}"
        seen = see_shapes(side.shapes, cache, side.sight, extractor, label=label, device=device)
        skipped += seen.skipped
        visible = set(seen.names)
        shapes = [shape for shape in shapes if shape.name in visible]
    names = [shape.name for shape in shapes]
    if config.of_shapes:
        described = describe_shapes(
            shapes,
            cache,
            config.protocol,
            light_fields=config.protocol.light_fields if "lfd" in config.metrics else 0,
            seed=config.seed,
            label=side.label,
            device=device,
        )
        skipped, names = skipped + described.skipped, described.names
        seen = seen.only(names) if seen is not None else None
    if not names:
        reasons = f": {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"no shape of `{side.shapes.source}` can be measured{reasons}",
            fix="look with `polyglyph inspect`",
        )
    return _Found(names, skipped, described, seen)


def _portraits(ours: _Found, theirs: _Found) -> Portraits | None:
    """What the page shows of pictures: every shape's, and how far apart their mean features are."""
    if ours.seen is None or theirs.seen is None:
        return None
    a, b = (side.features.mean(axis=1, dtype=np.float64) for side in (ours.seen, theirs.seen))
    return Portraits(cdist(a, b), ours.seen.portraits, theirs.seen.portraits)


def _begin(
    out: Path, made: ShapeSet, target: ShapeSet, config: MeasureConfig, extractor: NamedExtractor | None
) -> None:
    """Make or check the output folder: continued only with the settings it was begun with."""
    wanted = {
        "config": _plain(to_dict(config)),
        "generated": [shape.key for shape in made.shapes],
        "reference": [shape.key for shape in target.shapes],
        "extractor": None if extractor is None else extractor.protocol,
    }
    path = out / SETTINGS
    # Another process may begin at this moment: what it is writing has a name that starts with a dot, and
    # its settings are there before anything else, so they are looked for last.
    taken = out.exists() and (
        not out.is_dir() or any(not item.name.startswith(".") for item in out.iterdir())
    )
    if path.is_file():
        if read_json(path) != wanted:
            raise DataError(
                f"`{out}` was begun with other shapes or settings", fix="choose another `--out`, or delete it"
            )
        return
    if taken:
        raise DataError(f"`{out}` is there and holds something else", fix="choose another `--out`")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    return json.loads(json.dumps(values))


def _told(side: _Side, found: _Found) -> dict[str, Any]:
    told = {
        "source": side.shapes.source,
        "kind": side.shapes.kind,
        "shapes": len(found.names),
        "names": found.names,
        "skipped": [asdict(one) for one in found.skipped],
    }
    if side.sight is not None and found.seen is not None:
        told["pictures"] = {"count": len(found.seen.pictures), **_plain(side.sight.told(side.shapes))}
    return told
