"""`polyglyph convert FILE DIR`: another project's checkpoint into a model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from polyglyph.base.errors import FormatError
from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, ready, run_verb
from polyglyph.shape.get3d.published_config import PublishedConfig

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """What to convert, and where to."""

    file: Positional[Path]
    """A checkpoint of GET3D's unified generator (`.pt`), such as the published ones."""

    dir: Positional[Path]
    """The model folder to write; `sample` takes it."""


@dataclass(frozen=True, kw_only=True)
class Convert(WritingOptions, PublishedConfig, Place):
    """Turn another project's checkpoint into a model folder.

    No code in the file is run. The licence of its weights stays what it is; the folder's README.md says so.
    Example: polyglyph convert shapenet_chair.pt out/chairs
    """


class Kind(NamedTuple):
    """One kind of checkpoint: how its contents are told, and what converts them."""

    recognises: Callable[[Any], bool]
    convert: Callable[[Convert, Any], Result]


def main(arguments: Sequence[str]) -> int:
    """Parse, convert, print."""
    return run_verb("convert", Convert, work, arguments)


def work(options: Convert) -> Result:
    """Read the file, ask every kind whether it knows it, and let that one convert it."""
    refuse_overwrite(options.dir, force=options.force)
    from polyglyph.base.progress import Progress
    from polyglyph.learn.pickled import read_pickle

    with Progress("reading"):
        contents = read_pickle(options.file)
    for kind in KINDS:
        if kind.recognises(contents):
            return kind.convert(options, contents)
    has = ", ".join(f"`{key}`" for key in list(contents)[:4]) if isinstance(contents, dict) else ""
    raise FormatError(
        f"`{options.file}` is of no kind that is converted: it holds a {type(contents).__name__}"
        + (f" that begins with {has}" if has else ""),
        fix="converted are checkpoints of GET3D, with the entries `G`, `G_ema` and `D`",
    )


def _is_get3d(contents: Any) -> bool:
    from polyglyph.shape.get3d.published import recognises

    return recognises(contents)


def _get3d(options: Convert, contents: Any) -> Result:
    from polyglyph.shape.get3d.published import convert_checkpoint

    made = convert_checkpoint(
        options.file,
        options.dir,
        narrow(options, PublishedConfig),
        contents=contents,
        seed=options.seed,
        device=ready(options),
        force=options.force,
        dry_run=options.dry_run,
    )
    data = asdict(made) | ({"dry_run": True} if options.dry_run else {})
    ending = f"would be written to {options.dir}" if options.dry_run else f"written to {options.dir}"
    return Result(data, f"{made.summary()}\n{ending}")


KINDS: Sequence[Kind] = (Kind(_is_get3d, _get3d),)
"""Tried in this order."""
