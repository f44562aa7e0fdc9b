"""`polyglyph measure GENERATED REFERENCE --out DIR`: how well one set of shapes stands for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyglyph.cli.common import Options, Positional, Result, ready, run_verb
from polyglyph.measure.protocol import MeasureConfig, Metric, protocol_of

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Measure(Options):
    """Compare two sets of shapes: coverage, matching distance, 1-NN accuracy, on Chamfer and light field
    distances, and the divergence of all their points.

    Run again to continue. Example: polyglyph measure runs/chairs/model out/chairs --out out/measured
    """

    generated: Positional[Path]
    """A model folder, a folder of meshes, or a mesh folder as `import` writes it."""

    reference: Positional[Path]
    """The shapes to compare with: a folder of meshes, or a mesh folder."""

    out: Path
    """The folder to write: result.json, and what is needed to continue."""

    metrics: tuple[Metric, ...] = ("cd", "lfd", "jsd")
    """cd: Chamfer distance; lfd: light field distance; jsd: Jensen-Shannon divergence."""

    protocol: str = "get3d"
    """How shapes are compared: `get3d` or `occupancy-networks`."""

    alignments: int = 10
    """Light fields of a shape. 10 is the Light Field Distance; 40 is steadier when shapes are turned,
    slower, and called LFD-40."""

    limit: int | None = None
    """Only the first so many shapes of each folder."""


def main(arguments: Sequence[str]) -> int:
    """Parse, measure, print."""
    return run_verb("measure", Measure, work, arguments)


def work(options: Measure) -> Result:
    """The result, as a table for people."""
    config = MeasureConfig(
        metrics=options.metrics,
        protocol=replace(protocol_of(options.protocol), light_fields=options.alignments),
        limit=options.limit,
        seed=options.seed,
    )
    device = ready(options)
    from polyglyph.measure.compare import compare

    done = compare(options.generated, options.reference, options.out, config, device=device)
    return Result({"out": done.out, **done.result}, "\n".join(_lines(done.result)))


_ROWS = (
    ("coverage", "COV", 100.0, "%"),
    ("minimum_matching_distance", "MMD", 1.0, ""),
    ("one_nearest_neighbour_accuracy", "1-NNA", 100.0, "% (50 is best)"),
)


def _lines(result: dict[str, Any]) -> list[str]:
    ours, theirs = result["generated"], result["reference"]
    lines = [f"{ours['shapes']} shapes of {ours['source']} against {theirs['shapes']} of {theirs['source']}"]
    for name, found in result["metrics"].items():
        if name == "jsd":
            lines.append(f"JSD          {found:10.4f} bits")
            continue
        for key, word, factor, unit in _ROWS:
            lines.append(f"{word + ' ' + name.upper():12s} {found[key] * factor:10.4g} {unit}".rstrip())
    for side in (ours, theirs):
        lines += [f"skipped {one['name']}: {one['reason']}" for one in side["skipped"]]
    return lines
