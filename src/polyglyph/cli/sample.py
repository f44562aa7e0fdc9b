"""`polyglyph sample MODEL --out DIR`: textured meshes from a trained generator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, ready, run_verb
from polyglyph.shape.get3d.sample_config import SampleConfig, UsualSampleConfig

if TYPE_CHECKING:
    from polyglyph.shape.get3d.sample import Sampled

__all__ = ["made", "main"]

NAMED = 6
"""Names that a dry run lists before it says how many more there are."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which model, and where the meshes go."""

    model: Positional[str | None] = None
    """A model folder, or its name on the hub; the furniture model of the package when left out."""

    out: Path
    """The folder to write: GLBs, sheet.png, index.html, and samples.json with how sound each mesh is."""


@dataclass(frozen=True, kw_only=True)
class Essentials(WritingOptions, UsualSampleConfig, Source):
    """Draw textured meshes from a trained generator.

    Mesh k has the seed `--seed` + k, and the same model and seed give the same mesh.
    Example: polyglyph sample --out out/more --count 16 --seed 100
    Under a launcher that sets RANK and WORLD_SIZE each process makes its share in the same folder.
    """


@dataclass(frozen=True, kw_only=True)
class Sample(SampleConfig, Essentials):
    __doc__ = Essentials.__doc__


def main(arguments: Sequence[str]) -> int:
    """Parse, sample, print."""
    return run_verb("sample", Sample, work, arguments, short=Essentials)


def work(options: Sample) -> Result:
    """Draw the meshes, or only check that it can be done."""
    return made(options, options.model, options.out, narrow(options, SampleConfig))


def made(options: WritingOptions, model: str | None, out: Path, config: SampleConfig) -> Result:
    """Sample `model` (the shipped one if None) into `out`; only look when `--dry-run` is given."""
    if not (out / ".settings.json").is_file():  # else other ranks are at work there
        refuse_overwrite(out, force=options.force)
    device = ready(options)
    from polyglyph.base.progress import say
    from polyglyph.shape.get3d.model import SHIPPED_MODEL

    if model is None:
        say(f"using the model that comes with the package, `{SHIPPED_MODEL.name}`")
    if options.dry_run:
        return _planned(model, out, config)
    from polyglyph.shape.get3d.sample import sample_meshes

    result = sample_meshes(model, out, config, device=device, force=options.force)
    data = json.loads(json.dumps(asdict(result), default=str))
    if not result.finished:
        return Result(data, f"this process's share is in {out}; other ranks are still at work")
    lines = [_line(mesh) for mesh in result.meshes]
    lines += [f"left out {left.name}: {left.reason}" for left in result.left_out]
    wanted = len(result.meshes) + len(result.left_out)
    count = f"{len(result.meshes)} of {wanted}" if result.left_out else f"{wanted}"
    lines.append(f"{count} meshes, sheet.png and index.html in {out}")
    return Result(data, "\n".join(lines))


def _planned(model: str | None, out: Path, config: SampleConfig) -> Result:
    """What would be written."""
    from polyglyph.shape.get3d.model import load_generator
    from polyglyph.shape.get3d.sample_plan import wanted

    loaded = load_generator(model)
    shapes = wanted(loaded.config.subject, config)
    names = [f"{shape.name}.glb: {shape.recipe}" for shape in shapes]
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    levels = ", ".join(f"at most {few} triangles with {side}x{side} texels" for few, side in config.levels)
    data: dict[str, Any] = {"dry_run": True, "model": loaded.path, "out": out, "config": asdict(config)}
    data["meshes"] = [{"name": shape.name, "recipe": shape.recipe} for shape in shapes]
    text = f"{len(shapes)} meshes from {loaded.path} would be written to {out}"
    if config.levels[0][0]:
        text += f"; each {levels}"
    return Result(data, "\n".join([text, *names[:NAMED], *more]))


def _line(mesh: Sampled) -> str:
    """One mesh in words: what is wrong with it, where something is."""
    faults = [
        (not mesh.closed, "open"),
        (not mesh.manifold, "not manifold"),
        (mesh.degenerate_faces, f"{mesh.degenerate_faces} faces without area"),
        (mesh.self_intersections, f"{mesh.self_intersections} self-intersections"),
        (mesh.uv_overlap > 0, f"{mesh.uv_overlap:.2%} of the texture overlaps"),
    ]
    sound = "closed" if mesh.closed else ""
    said = [sound, *(words for wrong, words in faults if wrong), f"{mesh.atlas} atlas"]
    if mesh.lods:
        said.append(f"levels of {', '.join(str(level['faces']) for level in mesh.lods)}")
    told = ", ".join(filter(None, said))
    return f"{mesh.file}: {mesh.faces} triangles, {told}, {mesh.seconds:.1f} s"
