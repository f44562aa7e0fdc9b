"""The shipped model beside what it should be compared with, against shapes that it was not trained on.

    python benchmarks/held_out.py MESHES --out DIR [--first MODEL] [--samples 68] [--metrics cd lfd ...]

MESHES is the mesh folder that the model's data set was rendered from; the split is the one committed with
the package. Against the held-out shapes (`test`) are measured: the training shapes, the best that a
generator can be expected to do; the shipped model; MODEL, for instance the one shipped before; the shipped
model's generator before training; and copies of five training shapes. Then how new the shipped model's
shapes are: the Chamfer distance of each to its nearest training shape, beside those of training shapes to
each other. Prints a table, writes it with all results and pages to DIR; run again to go on.
"""

import argparse
import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from known_cases import memorised, row, table, untrained

from polyglyph.base.progress import say
from polyglyph.learn.device import pick_device
from polyglyph.measure.compare import compare
from polyglyph.measure.described import describe_shapes
from polyglyph.measure.extractors import load_extractor
from polyglyph.measure.matrices import Distances
from polyglyph.measure.protocol import METRICS, MeasureConfig, protocol_of
from polyglyph.measure.shapes import shapes_of
from polyglyph.shape.data.manifest import MESH, read_manifest
from polyglyph.shape.data.split import split_rows
from polyglyph.shape.get3d.model import SHIPPED_MODEL

NEW = 0.5
"""A shape is new if it is farther from every training shape than this part of their median distance."""


def part_of(meshes: Path, ids: Iterable[str], folder: Path) -> Path:
    """A folder with these meshes."""
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name in ids:
            shutil.copy(meshes / name / MESH, unfinished / f"{name}.glb")
        unfinished.rename(folder)
    return folder


def novelty(model: Path, training: Path, cache: Path, config: MeasureConfig, count: int) -> dict[str, Any]:
    """How far samples and training shapes are from their nearest training shape, as Chamfer distances."""
    sides = {}
    for name, path, drawn in (("samples", model, count), ("training shapes", training, None)):
        found = shapes_of(path, count=None, drawn=drawn, seed=config.seed, protocol=config.protocol)
        sides[name] = describe_shapes(
            found.shapes, cache, config.protocol, light_fields=0, seed=config.seed, label=name
        ).points
    chamfer = Distances.chamfer(config.protocol, cache, "cpu")
    cross = chamfer(sides["samples"], sides["training shapes"], "samples and training shapes").min(axis=1)
    among = chamfer(sides["training shapes"], sides["training shapes"], "training shapes among themselves")
    nearest = np.where(np.eye(len(among), dtype=bool), np.inf, among).min(axis=1)
    bound = NEW * float(np.median(nearest))
    return {
        "samples": len(cross),
        "median_to_nearest_training_shape": float(np.median(cross)),
        "median_between_nearest_training_shapes": float(np.median(nearest)),
        "share_new": float((cross > bound).mean()),
        "nearest_sample": float(cross.min()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=Path, help="the model that was shipped before")
    parser.add_argument("--model", type=Path, default=SHIPPED_MODEL)
    parser.add_argument("--samples", type=int, default=68, help="of each model, for novelty")
    parser.add_argument("--metrics", nargs="+", default=["cd", "lfd", "jsd", "fid", "kid"], choices=METRICS)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device, out = pick_device(options.device), options.out
    out.mkdir(parents=True, exist_ok=True)
    protocol = replace(protocol_of("get3d"), name="held-out")
    config = MeasureConfig(metrics=tuple(options.metrics), protocol=protocol)
    split = split_rows(read_manifest(options.meshes), path=options.meshes)
    held_out = part_of(options.meshes, split["test"], out / "held_out")
    training = part_of(options.meshes, split["train"], out / "training")
    cases = {"training shapes": training, "the model": options.model}
    if options.first is not None:
        cases["the model before"] = options.first
    cases["untrained"] = untrained(out / "untrained")
    cases["five training shapes, copied"] = memorised(options.meshes, out / "five", ids=split["train"])
    extractor = load_extractor(device=device) if config.of_pictures else None
    lines, results = [], {}
    for name, made in cases.items():
        say(f"{name} against {len(split['test'])} held-out shapes")
        folder = out / "results" / name.replace(" ", "-").replace(",", "")
        results[name] = compare(made, held_out, folder, config, extractor=extractor, device=device).result
        lines.append(row(name, results[name]))
        print(json.dumps(lines[-1]), flush=True)
    new = novelty(options.model, training, out / "novelty", config, options.samples)
    print(json.dumps(new))
    report = {"table": lines, "novelty": new, "metrics": {k: v["metrics"] for k, v in results.items()}}
    (out / "held_out.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "held_out.md").write_text(table(lines))
    print(table(lines))


if __name__ == "__main__":
    main()
