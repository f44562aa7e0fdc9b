"""`polyglyph sample MODEL --out DIR`: textured meshes from a trained generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, ready, run_verb
from polyglyph.shape.get3d.config import SampleConfig

__all__ = ["made", "main"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which model, and where the meshes go."""

    model: Positional[str | None] = None
    """A model folder, or its name on the hub; the furniture model of the package when left out."""

    out: Path
    """The folder to write: one GLB for each seed, sheet.png and index.html."""


@dataclass(frozen=True, kw_only=True)
class Sample(WritingOptions, SampleConfig, Source):
    """Draw textured meshes from a trained generator.

    Mesh k has the seed `--seed` + k, and the same model and seed give the same mesh.
    Example: polyglyph sample --out out/more --count 16 --seed 100
    """


def main(arguments: Sequence[str]) -> int:
    """Parse, sample, print."""
    return run_verb("sample", Sample, work, arguments)


def work(options: Sample) -> Result:
    """Draw the meshes, or only check that it can be done."""
    return made(options, options.model, options.out, narrow(options, SampleConfig))


def made(options: WritingOptions, model: str | None, out: Path, config: SampleConfig) -> Result:
    """Sample `model` (the shipped one if None) into `out`; only look when `--dry-run` is given."""
    refuse_overwrite(out, force=options.force)
    device = ready(options)
    from polyglyph.base.progress import say
    from polyglyph.shape.get3d.model import SHIPPED_MODEL

    if model is None:
        say(f"using the model that comes with the package, `{SHIPPED_MODEL.name}`")
    if options.dry_run:
        from polyglyph.shape.get3d.model import load_generator

        path = load_generator(model).path
        data = {"dry_run": True, "model": path, "out": out, "config": asdict(config)}
        return Result(data, f"{config.count} meshes from {path} would be written to {out}")
    from polyglyph.shape.get3d.sample import sample_meshes

    result = sample_meshes(model, out, config, device=device, force=options.force)
    lines = [f"{mesh.name}.glb: {mesh.faces} triangles, {mesh.seconds:.1f} s" for mesh in result.meshes]
    lines.append(f"{len(result.meshes)} meshes, sheet.png and index.html in {out}")
    return Result(asdict(result), "\n".join(lines))
