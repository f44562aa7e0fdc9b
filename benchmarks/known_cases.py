"""Do the distances tell apart what is known to be different? Four known cases, all under one protocol.

    python benchmarks/known_cases.py MESHES --out DIR [--count 200] [--metrics cd lfd jsd fid kid pr]

MESHES is the mesh folder of the shapes that the shipped model was trained on. Against it are measured the
shipped model, the same generator before training, and a "generator" that knows five of those shapes and makes
copies of nothing else. The power test takes COUNT procedural chairs against COUNT others of the same kind:
the best that any generator can do. Prints a table, and writes it with all results and pages to DIR; run again
to go on.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from polyglyph.learn.device import pick_device
from polyglyph.measure.compare import compare
from polyglyph.measure.extractors import load_extractor
from polyglyph.measure.protocol import METRICS, MeasureConfig, protocol_of
from polyglyph.shape.data.config import ProceduralConfig
from polyglyph.shape.data.manifest import MESH, read_manifest
from polyglyph.shape.data.procedural.make import make_procedural
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.model import SHIPPED_MODEL, load_generator, save_generator

MEMORISED = 5


def untrained(folder: Path) -> Path:
    """The shipped model's generator before training, seed 0."""
    if not folder.exists():
        config = load_generator(SHIPPED_MODEL).config
        torch.manual_seed(0)
        generator = make_generator(config.generator, config.isosurface)
        generator.estimate_averages()
        save_generator(folder, generator, replace(config, kimg=0.0), "Untrained.\n")
    return folder


def memorised(meshes: Path, folder: Path, ids: Sequence[str] | None = None) -> Path:
    """Copies of five shapes, spread over the folder or some of it, as many as there are shapes."""
    names = [mesh.id for mesh in read_manifest(meshes)] if ids is None else sorted(ids)
    chosen = names[:: len(names) // MEMORISED][:MEMORISED]
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for number in range(len(names)):
            shutil.copy(meshes / chosen[number % MEMORISED] / MESH, unfinished / f"{number:04d}.glb")
        unfinished.rename(folder)
    return folder


def procedural(folder: Path, count: int, seed: int) -> Path:
    if not folder.exists():
        make_procedural(folder, ProceduralConfig(category="chair", count=count, seed=seed))
    return folder


def row(name: str, result: dict[str, Any]) -> dict[str, object]:
    """One line of the table."""
    counts = (result[side]["shapes"] for side in ("generated", "reference"))
    line: dict[str, object] = {"case": name, "shapes": " / ".join(map(str, counts))}
    for metric, found in result["metrics"].items():
        word = metric.upper() if metric.startswith(("cd", "lfd", "jsd")) else metric
        if not isinstance(found, dict):
            line[word] = round(found, 4)
        elif metric == "pr":
            line |= {key: f"{100 * found[key]:.0f} %" for key in ("precision", "recall", "coverage")}
        elif "distance" in found:
            line[word] = float(f"{found['distance']:.4g}")
        else:
            line |= {
                f"COV {word}": f"{100 * found['coverage']:.0f} %",
                f"MMD {word}": float(f"{found['minimum_matching_distance']:.4g}"),
                f"1-NNA {word}": f"{100 * found['one_nearest_neighbour_accuracy']:.0f} %",
            }
    return line


def table(lines: Sequence[dict[str, object]]) -> str:
    """Markdown of the rows, with the columns that any of them has."""
    head = list(dict.fromkeys(key for line in lines for key in line))
    text = [head, ["---"] * len(head), *([str(line.get(key, "")) for key in head] for line in lines)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--limit", type=int, help="only the first so many shapes of MESHES")
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), choices=METRICS)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device, out = pick_device(options.device), options.out
    protocol = replace(protocol_of("get3d"), name="known-cases", per_reference=1)
    config = MeasureConfig(metrics=tuple(options.metrics), protocol=protocol, limit=options.limit)
    extractor = load_extractor(device=device) if config.of_pictures else None
    cases = {
        "held-out procedural": (
            procedural(out / "procedural", options.count, 1),
            procedural(out / "procedural_reference", options.count, 2),
        ),
        "five memorised": (memorised(options.meshes, out / "five"), options.meshes),
        "shipped model": (SHIPPED_MODEL, options.meshes),
        "untrained": (untrained(out / "untrained"), options.meshes),
    }
    lines = []
    for name, (made, reference) in cases.items():
        done = compare(
            made,
            reference,
            out / "results" / name.replace(" ", "-"),
            config,
            extractor=extractor,
            device=device,
        )
        lines.append(row(name, done.result))
        print(json.dumps(lines[-1]), flush=True)
        (out / "known_cases.json").write_text(json.dumps(lines, indent=1) + "\n")
    (out / "known_cases.md").write_text(table(lines))
    print(table(lines))


if __name__ == "__main__":
    main()
