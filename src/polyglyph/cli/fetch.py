"""`polyglyph fetch NAME DIR`: a known free set of meshes, by the system's package tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, run_verb

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What to fetch, and where to."""

    name: Positional[Literal["furniture"]]
    """`furniture`: 820 free models from Debian's package sweethome3d-furniture."""

    dir: Positional[Path]
    """The folder to put the archives into; `import` reads it."""


@dataclass(frozen=True, kw_only=True)
class Fetch(WritingOptions, Source):
    """Download a free set of meshes with the system's package tool, or say how to get it by hand.

    Nothing is installed. Example: polyglyph fetch furniture out/furniture
    """


def main(arguments: Sequence[str]) -> int:
    """Parse, fetch, print."""
    return run_verb("fetch", Fetch, work, arguments)


def work(options: Fetch) -> Result:
    """Fetch the set, or only say what would be asked of the package tool."""
    from polyglyph.shape.data.furniture import PACKAGE, fetch_furniture

    if options.dry_run:
        refuse_overwrite(options.dir, force=options.force)
        data = {"dry_run": True, "package": PACKAGE, "dir": options.dir}
        return Result(data, f"`apt-get download {PACKAGE}`, unpacked into {options.dir}")
    result = fetch_furniture(options.dir, force=options.force)
    data = {"dir": result.folder, "archives": list(result.archives), "bytes": result.bytes}
    return Result(data, result.summary())
