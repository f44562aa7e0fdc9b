"""`polyglyph demo`: four textured meshes from the shipped model, with nothing to choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polyglyph.cli.common import Result, WritingOptions, run_verb
from polyglyph.cli.sample import made
from polyglyph.shape.get3d.sample_config import SampleConfig

__all__ = ["main"]

MESHES = 4


@dataclass(frozen=True, kw_only=True)
class Demo(WritingOptions):
    """Draw four textured meshes from the model that comes with the package.

    Example: polyglyph demo --out out/demo
    """

    out: Path = Path("out/demo")
    """The folder to write: four GLBs, sheet.png and index.html."""


def main(arguments: Sequence[str]) -> int:
    """Parse, sample, say what to open."""
    return run_verb("demo", Demo, work, arguments)


def work(options: Demo) -> Result:
    """Four samples, and where to look."""
    result = made(options, None, options.out, SampleConfig(count=MESHES, seed=options.seed))
    if options.dry_run:
        return result
    page = (options.out / "index.html").resolve()
    return replace(
        result, text=f"{MESHES} meshes in {options.out}\nopen {page} in a browser, or any .glb in a viewer"
    )
