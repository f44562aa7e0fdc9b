"""`polyglyph inspect PATH`: what a file or folder holds, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from polyglyph.base.errors import DataError
from polyglyph.cli.common import Options, Positional, Result, run_verb

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """What to look at."""

    path: Positional[Path]
    """A mesh, picture, zip or furniture archive; or a folder of meshes, a mesh folder, or a dataset."""

    quick: bool = False
    """Do not open every picture of a dataset."""


@dataclass(frozen=True, kw_only=True)
class Inspect(Options, Place):
    """Say what a file or folder holds, count it, and name what is wrong with it and how to mend that.

    The exit code is 2 when something is wrong. Example: polyglyph inspect out/chairs
    """


def main(arguments: Sequence[str]) -> int:
    """Parse, look, print."""
    return run_verb("inspect", Inspect, work, arguments)


def work(options: Inspect) -> Result:
    """The report, and an error when it names problems."""
    from polyglyph.shape.data.inspect import inspect_path

    report = inspect_path(options.path, pictures=not options.quick)
    data = {"ok": report.ok, **asdict(report)}
    problem = None
    if report.problems:
        first, more = report.problems[0], len(report.problems) - 1
        others = f", and {more} more" if more else ""
        problem = DataError(f"`{first.where}`: {first.message}{others}", fix=first.fix)
    return Result(data, "\n".join(report.lines()), problem)
