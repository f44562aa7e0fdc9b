"""`measure`: one set of shapes against another, under a protocol, resumable.

Legend: N generated shapes, M reference shapes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import polyglyph
from polyglyph.base.config import to_dict
from polyglyph.base.errors import DataError
from polyglyph.base.files import read_json, write_json, write_text
from polyglyph.learn.device import rank_and_world
from polyglyph.measure.described import Described, describe_shapes
from polyglyph.measure.matrices import Distances
from polyglyph.measure.points import normalise
from polyglyph.measure.protocol import MeasureConfig
from polyglyph.measure.report import Matrices, report_html, thumbnails
from polyglyph.measure.sets import (
    bootstrap_interval,
    coverage,
    jensen_shannon_divergence,
    minimum_matching_distance,
    one_nearest_neighbour_accuracy,
)
from polyglyph.measure.shapes import ShapeSet, shapes_of

__all__ = ["Comparison", "compare"]

CACHE, RESULT, REPORT, SETTINGS = "cache", "result.json", "index.html", "measure.json"


@dataclass(frozen=True)
class Comparison:
    """What was written, and its content."""

    out: Path
    result: dict[str, Any]


def compare(
    generated: Path,
    reference: Path,
    out: Path,
    config: MeasureConfig | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Comparison:
    """Measure the shapes at `generated` against those at `reference`; write `out/result.json` and a page
    about it, `out/index.html`.

    The result holds the protocol in full, so that another program can repeat it. What was worked out stays in
    `out/cache`: run again to continue. Under a launcher (RANK, WORLD_SIZE) every process describes its
    share of the shapes; all come to the same result and rank 0 writes it.

    Raises DataError where there are no shapes, none of them can be measured, or `out` holds something else,
    such as a comparison of other shapes or with other settings.
    """
    config = config or MeasureConfig()
    target = shapes_of(Path(reference), count=config.limit, seed=config.seed)
    drawn = len(target.shapes) * config.protocol.per_reference
    made = shapes_of(
        Path(generated),
        count=config.limit,
        drawn=drawn,
        seed=config.seed,
        truncation=config.protocol.truncation,
        device=device,
    )
    out = Path(out)
    _begin(out, made, target, config)

    def described(shapes: ShapeSet, label: str) -> Described:
        found = describe_shapes(
            shapes.shapes,
            out / CACHE,
            config.protocol,
            light_fields=config.protocol.light_fields if "lfd" in config.metrics else 0,
            seed=config.seed,
            label=label,
            device=device,
        )
        if not found.names:
            reasons = f": {found.skipped[0].name}: {found.skipped[0].reason}" if found.skipped else ""
            raise DataError(
                f"no shape of `{shapes.source}` can be measured{reasons}", fix="look with `polyglyph inspect`"
            )
        return found

    ours, theirs = described(made, "generated shapes"), described(target, "reference shapes")
    sides = (made, ours), (target, theirs)
    result: dict[str, Any] = {
        "polyglyph": polyglyph.__version__,
        "torch": torch.__version__,
        "config": _plain(config),
        "generated": _told(made, ours),
        "reference": _told(target, theirs),
    }
    result["metrics"], matrices = _metrics(ours, theirs, out / CACHE, config, device)
    if rank_and_world()[0] == 0:
        pictures = [thumbnails(shapes.shapes, found.names, out / CACHE) for shapes, found in sides]
        write_text(out / REPORT, report_html(result, matrices, *pictures))
        write_json(out / RESULT, result)
    return Comparison(out, result)


def _begin(out: Path, made: ShapeSet, target: ShapeSet, config: MeasureConfig) -> None:
    """Make or check the output folder: continued only with the settings it was begun with."""
    wanted = {
        "config": _plain(config),
        "generated": [shape.key for shape in made.shapes],
        "reference": [shape.key for shape in target.shapes],
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


def _plain(config: MeasureConfig) -> dict[str, Any]:
    """As JSON gives it back."""
    return json.loads(json.dumps(to_dict(config)))


def _told(shapes: ShapeSet, found: Described) -> dict[str, Any]:
    return {
        "source": shapes.source,
        "kind": shapes.kind,
        "shapes": len(found.names),
        "names": found.names,
        "skipped": [asdict(one) for one in found.skipped],
    }


def _metrics(
    ours: Described, theirs: Described, cache: Path, config: MeasureConfig, device: torch.device | str
) -> tuple[dict[str, Any], dict[str, Matrices]]:
    """COV, MMD and 1-NNA for each distance asked for, and JSD; and the distances."""
    protocol = config.protocol
    found: dict[str, Any] = {}
    matrices: dict[str, Matrices] = {}
    if "cd" in config.metrics:
        distances = Distances.chamfer(protocol, cache, device)
        found["cd"], matrices["cd"] = _of_distances(distances, ours.points, theirs.points, config)
    if "lfd" in config.metrics and ours.light_fields is not None and theirs.light_fields is not None:
        distances, name = Distances.light_field(cache, device), protocol.light_field_name
        found[name], matrices[name] = _of_distances(distances, ours.light_fields, theirs.light_fields, config)
    if "jsd" in config.metrics:
        clouds = _in_ball(ours.points), _in_ball(theirs.points)
        found["jsd"] = jensen_shannon_divergence(*clouds, resolution=protocol.jsd_resolution)
    return found, matrices


def _of_distances(
    distances: Distances, a: Tensor, b: Tensor, config: MeasureConfig
) -> tuple[dict[str, Any], Matrices]:
    cross = distances(a, b, f"{distances.name}: generated and reference")
    first = min(len(a), len(b))  # 1-NNA compares sets of one size
    among_a = distances(a[:first], a[:first], f"{distances.name}: generated among themselves")
    among_b = distances(b, b, f"{distances.name}: reference among themselves")
    matching = cross.min(axis=0)
    numbers = {
        "coverage": coverage(cross),
        "minimum_matching_distance": minimum_matching_distance(cross),
        "minimum_matching_distance_interval": (
            list(bootstrap_interval(matching, seed=config.seed)) if len(matching) > 1 else None
        ),
        "one_nearest_neighbour_accuracy": one_nearest_neighbour_accuracy(
            among_a, among_b[:first, :first], cross[:first, :first]
        ),
        "one_nearest_neighbour_shapes": first,
    }
    return numbers, Matrices(cross, among_b)


def _in_ball(points: Tensor) -> np.ndarray:
    return np.stack([normalise(cloud, "diagonal").points.numpy() for cloud in points])
