"""`polyglyph measure GENERATED REFERENCE --out DIR`: how well one set of shapes stands for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from polyglyph.base.errors import ConfigError
from polyglyph.cli.common import Options, Positional, Result, ready, run_verb
from polyglyph.measure.protocol import (
    MeasureConfig,
    Metric,
    PictureProtocol,
    Protocol,
    Shown,
    Split,
    protocol_of,
)
from polyglyph.shape.data.config import camera_distribution

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Measure(Options):
    """Compare two sets of shapes: coverage, matching distance, 1-NN accuracy, on Chamfer and light field
    distances, and the divergence of all their points; or their pictures: Fréchet and kernel distance,
    precision and recall.

    Run again to continue. Example: polyglyph measure runs/chairs/model out/chairs --out out/measured
    """

    generated: Positional[Path]
    """A model folder, a folder of meshes, or a mesh folder as `import` writes it; for pictures a data set
    too."""

    reference: Positional[Path]
    """The shapes to compare with: a folder of meshes or a mesh folder; for pictures a data set too."""

    out: Path
    """The folder to write: result.json, and what is needed to continue."""

    metrics: tuple[Metric, ...] = ("cd", "lfd", "jsd")
    """Of shapes: cd, Chamfer distance; lfd, light field distance; jsd, Jensen-Shannon divergence. Of
    pictures: fid, Fréchet distance; kid, kernel distance; pr, precision, recall, density and coverage."""

    protocol: str = "get3d"
    """How shapes are compared: `get3d` or `occupancy-networks`."""

    surface: Literal["all", "outer"] = "all"
    """Where points for cd and jsd are drawn: on the whole surface, or on what can be seen from outside, for
    meshes with interiors."""

    alignments: int = 10
    """Light fields of a shape. 10 is the Light Field Distance; 40 is steadier when shapes are turned,
    slower, and called LFD-40."""

    limit: int | None = None
    """Only the first so many shapes of each folder."""

    extractor: Literal["mobilenet_v2", "efficientnet_lite0", "inception_v3"] = "mobilenet_v2"
    """The network whose features of pictures are compared. Only inception_v3 with the weights of 2015 gives
    numbers called FID and KID; the others are called FD- and KD- with its name."""

    weights: Path | None = None
    """The extractor's weights, where no package holds them."""

    views: int = PictureProtocol.views
    """Pictures of each shape."""

    resolution: int = PictureProtocol.resolution
    """Pixels along one side of a picture."""

    camera: str = "shapenet"
    """`shapenet`, `animal`, `human` or a JSON file; a data set's own cameras are used where there is one."""

    object_size: float = PictureProtocol.object_size
    """Longest side of a shape's box before the cameras."""

    generated_light: Shown = "auto"
    """soft, studio, flat, environment, or albedo: plain colours. auto: albedo for what a model without
    materials made, whose colours hold light already, and the data set's light or soft for other meshes."""

    reference_light: Shown = "auto"
    """The same for the reference shapes."""

    split: Split = "all"
    """Which objects of a data set."""


def main(arguments: Sequence[str]) -> int:
    """Parse, measure, print."""
    return run_verb("measure", Measure, work, arguments)


def work(options: Measure) -> Result:
    """The result, as a table for people."""
    config = MeasureConfig(
        metrics=options.metrics,
        protocol=_protocol(options),
        limit=options.limit,
        split=options.split,
        seed=options.seed,
    )
    if options.weights is not None and not config.of_pictures:
        raise ConfigError(
            "`--weights` is given, and no picture is looked at", fix="leave it out, or pass `--metrics fid`"
        )
    device = ready(options)
    from polyglyph.measure.compare import compare
    from polyglyph.measure.extractors import load_extractor

    extractor = None
    if config.of_pictures:
        extractor = load_extractor(options.extractor, options.weights, device=device)
    done = compare(
        options.generated, options.reference, options.out, config, extractor=extractor, device=device
    )
    return Result({"out": done.out, **done.result}, "\n".join(_lines(done.result)))


def _protocol(options: Measure) -> Protocol:
    pictures = PictureProtocol(
        views=options.views,
        resolution=options.resolution,
        camera=camera_distribution(options.camera),
        object_size=options.object_size,
        generated_light=options.generated_light,
        reference_light=options.reference_light,
    )
    return replace(
        protocol_of(options.protocol),
        surface=options.surface,
        light_fields=options.alignments,
        pictures=pictures,
    )


_ROWS = (
    ("coverage", "COV", 100.0, "%"),
    ("minimum_matching_distance", "MMD", 1.0, ""),
    ("one_nearest_neighbour_accuracy", "1-NNA", 100.0, "% (50 is best)"),
)


_SHARES = (("precision", 100.0, "%"), ("recall", 100.0, "%"), ("density", 1.0, ""), ("coverage", 100.0, "%"))


def _lines(result: dict[str, Any]) -> list[str]:
    ours, theirs = result["generated"], result["reference"]
    lines = [f"{ours['shapes']} shapes of {ours['source']} against {theirs['shapes']} of {theirs['source']}"]
    for name, found in result["metrics"].items():
        if name == "jsd":
            lines.append(f"JSD          {found:10.4f} bits")
        elif name == "pr":
            lines += [_line(key, found[key] * factor, unit) for key, factor, unit in _SHARES]
        elif "distance" in found:
            counts = f"{found['generated_pictures']} pictures against {found['reference_pictures']}"
            spread = f"± {found['deviation']:.2g}; " if found.get("deviation") is not None else ""
            lines.append(_line(name, found["distance"], spread + counts))
            lines += [f"warning: {found['warning']}"] if found.get("warning") else []
        else:
            for key, word, factor, unit in _ROWS:
                lines.append(_line(f"{word} {name.upper()}", found[key] * factor, unit))
    for side in (ours, theirs):
        lines += [f"skipped {one['name']}: {one['reason']}" for one in side["skipped"]]
    return lines


def _line(name: str, value: float, unit: str) -> str:
    return f"{name:12s} {value:10.4g} {unit}".rstrip()
