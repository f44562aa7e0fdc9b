"""`polyglyph procedural CATEGORY DIR`: parametric textured meshes with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, run_verb
from polyglyph.shape.data.config import ProceduralConfig

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Procedural(WritingOptions, ProceduralConfig):
    """Make parametric meshes with textures and captions, as a mesh folder; nothing is downloaded.

    Example: polyglyph procedural chair out/chairs --count 64
    """

    category: Positional[Literal["chair", "table", "car", "house", "lamp"]]  # pyright: ignore[reportGeneralTypeIssues]
    """What to build."""

    dir: Positional[Path]
    """The mesh folder to write."""


def main(arguments: Sequence[str]) -> int:
    """Parse, make, print."""
    return run_verb("procedural", Procedural, work, arguments)


def work(options: Procedural) -> Result:
    """Make the meshes, or only say how many."""
    config = narrow(options, ProceduralConfig)
    if options.dry_run:
        refuse_overwrite(options.dir, force=options.force)
        data = {"dry_run": True, "dir": options.dir, "category": config.category, "count": config.count}
        return Result(data, f"{config.count} meshes of `{config.category}` would be made in {options.dir}")
    from polyglyph.shape.data.procedural.make import make_procedural

    result = make_procedural(options.dir, config)
    data = {"dir": result.folder, "meshes": [asdict(row) for row in result.rows]}
    return Result(data, result.summary())
