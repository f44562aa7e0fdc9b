"""Turn a training run into the model folder that comes with the package.

    python benchmarks/ship.py RUN DATASET [--model SNAPSHOT ...] [--metrics chairs.json] [--out FOLDER]

Takes the run's averaged generator, or the mean of model folders saved on the way (`train(on_step=...)`),
estimates its mean codes, and writes config.json, model.safetensors (half precision), sheet.png with
uncurated samples, and a card with the data, every attribution, the training time and the metrics of
`benchmarks/chairs.py`.
"""

import argparse
import dataclasses
import json
import re
from itertools import pairwise
from pathlib import Path

import torch

from polyglyph.base.config import to_dict
from polyglyph.base.files import write_bytes
from polyglyph.formats.png import encode_png
from polyglyph.learn.device import tune_allocator
from polyglyph.shape.data.dataset import Dataset, load_dataset
from polyglyph.shape.get3d.config import PRESETS
from polyglyph.shape.get3d.model import SHIPPED_MODEL, Model, load_generator, save_generator
from polyglyph.shape.get3d.train import preview
from polyglyph.shape.get3d.trainer import View

SHEET = 48
"""Uncurated samples on the card's sheet."""

CARD = """---
license: cc-by-3.0
library_name: polyglyph
pipeline_tag: unconditional-generation
tags: [3d, mesh, get3d, furniture]
---

# Furniture: a small GET3D generator of chairs, stools and sofas

![uncurated samples](sheet.png)

The picture shows {sheet} uncurated samples: seeds drawn in order, truncation 1, one camera, no selection.
**They are rough.** {verdict}

| | |
|---|---|
| architecture | GET3D, unified generator, {parameters:,} parameters; lattice {lattice}³, planes {planes}² |
| trained by | `polyglyph train DATASET --preset {preset}{flags}`, seed {seed}{history} |
| trained on | {machine} |
| training | {kimg:.1f} thousand pictures at {resolution}², {hours:.1f} hours |
| data | {pictures} renders of {objects} objects: the training split of {total} |
| weights | moving average of the generator, half precision |

## Measured

{metrics}

FD-mobilenet_v2 is the Fréchet distance on pooled MobileNet-V2 features (`benchmarks/chairs.py`): lower is
closer to the training renders. It is not FID and not comparable with published numbers. The held-out line
says how far renders of *other real chairs* are from the training renders.

## Licence and attribution

The code is Apache-2.0. The weights were trained on renders of the models below, all CC0 or CC-BY; give
these attributions with the weights and with meshes made from them. The models come from the Sweet Home 3D
furniture collections as packaged by Debian (`sweethome3d-furniture`).

{attributions}
"""


def attributions(data: Dataset) -> str:
    """One line per creator and licence, naming the models used for training."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for identity in data.members("train"):
        row = data.rows[identity]
        key = (row.creator or "unknown", row.licence, row.source)
        grouped.setdefault(key, []).append(f"{row.name} ({identity})")
    return "\n".join(
        f"- {creator}, {licence}, {source}: {', '.join(sorted(names))}"
        for (creator, licence, source), names in sorted(grouped.items())
    )


def metric_table(paths: list[Path]) -> str:
    """The results of several runs of benchmarks/chairs.py as one table, each set of pictures once."""
    if not paths:
        return "Not measured."
    rows: dict[str, str] = {}
    for path in paths:
        for line in json.loads(path.read_text())["results"]:
            name = re.sub(r"^.* at ([\d.]+) kimg$", r"this model at \1 thousand pictures", line["set"])
            distances = f"{abs(line['FD-mobilenet_v2'])} | {line['mean_pairwise_feature_distance']}"
            rows[name] = f"| {name} | {line['pictures']} | {distances} |"
    head = ["| pictures of | count | FD-mobilenet_v2 to training renders | mean pairwise feature distance |"]
    return "\n".join([*head, "|---|---|---|---|", *rows.values()])


def flags(record: dict, preset: str) -> str:
    """What was said on the command line besides the preset; the schedule's length is told elsewhere."""
    wanted = json.loads(json.dumps(to_dict(PRESETS[preset])))
    told = ""
    for section, settings in wanted.items():
        if section == "schedule":
            continue
        if not isinstance(settings, dict):
            raise_if_different(section, record["config"][section], settings)
            continue
        for name, value in settings.items():
            found = record["config"][section][name]
            if section in ("generator", "isosurface", "discriminator"):
                raise_if_different(f"{section}.{name}", found, value)
            elif found != value:
                flag = name.replace("_", "-")
                told += f" --{section}.no-{flag}" if found is False else f" --{section}.{flag} {found}"
    return told


def raise_if_different(name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SystemExit(f"error: the run's `{name}` is {found}, not the preset's {wanted}")


def check(record: dict, data: Dataset) -> None:
    """Refuse what the card would say wrongly."""
    if data.info is None or data.info.checksum != record["data"]["checksum"]:
        raise SystemExit(f"error: the run was not trained on `{data.path}`")
    for identity in data.members("train"):
        licence = data.rows[identity].licence
        if not re.match(r"CC0-|CC-BY-\d", licence):
            raise SystemExit(f"error: `{identity}` is under `{licence}`, which is neither CC0 nor CC-BY")


def mean_of(folders: list[Path]) -> Model:
    """The last snapshot, with the mean of all snapshots' weights."""
    models = [load_generator(folder) for folder in folders]
    states = [model.generator.state_dict() for model in models]
    mean = {name: torch.stack([state[name].double() for state in states]).mean(dim=0) for name in states[-1]}
    models[-1].generator.load_state_dict(mean)
    return models[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path, nargs="+", help="the mean of these, not RUN/model")
    parser.add_argument("--metrics", type=Path, nargs="*", default=[])
    parser.add_argument("--hours", type=float, help="training time; the run's log says it if left out")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--machine", default="two CPU cores")
    parser.add_argument("--history", default="", help="what changed during the run, if anything did")
    parser.add_argument("--verdict", default="See the table below for how rough.")
    parser.add_argument("--out", type=Path, default=SHIPPED_MODEL)
    options = parser.parse_args()
    tune_allocator()
    model = mean_of(options.model or [options.run / "model"])
    data = load_dataset(options.dataset)
    record = json.loads((options.run / "config.json").read_text())
    check(record, data)
    lines = map(json.loads, (options.run / "metrics.jsonl").read_text().splitlines())
    seconds = [line["seconds"] for line in lines if line["kimg"] <= model.config.kimg]
    logged = sum(a for a, b in pairwise(seconds) if b < a) + seconds[-1] if seconds else 0.0
    model.generator.estimate_averages()
    config = dataclasses.replace(model.config, subject="chair")
    card = CARD.format(
        sheet=SHEET,
        verdict=options.verdict,
        flags=flags(record, options.preset),
        history=f"; {options.history}" if options.history else "",
        parameters=sum(p.numel() for p in model.generator.parameters()),
        lattice=config.isosurface.resolution,
        planes=config.generator.plane_resolution,
        preset=options.preset,
        seed=record["seed"],
        machine=options.machine,
        kimg=config.kimg,
        resolution=config.resolution,
        hours=options.hours or logged / 3600,
        pictures=record["data"]["pictures"],
        objects=record["data"]["objects"],
        total=len(data.ids),
        metrics=metric_table(options.metrics),
        attributions=attributions(data),
    )
    save_generator(options.out, model.generator, config, card, force=True)
    sheet = preview(model.generator, View(config.radius, config.fov), 96, count=SHEET, columns=12)
    write_bytes(options.out / "sheet.png", encode_png(sheet))
    print(json.dumps({"out": str(options.out), "kimg": config.kimg}))


if __name__ == "__main__":
    main()
