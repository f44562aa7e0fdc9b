"""`polyglyph dataset MESHES DIR`: many pictures of every mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, ready, run_verb
from polyglyph.shape.data.config import DatasetConfig, camera_distribution

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Dataset(WritingOptions, DatasetConfig):
    """Render many pictures of every mesh of a mesh folder, with the cameras that GET3D trains on.

    Example: polyglyph dataset out/chairs out/chairs128 --views 24 --resolution 128
    """

    meshes: Positional[Path]
    """A mesh folder, as `import` and `procedural` write them."""

    dir: Positional[Path]
    """The dataset folder to write; one that was begun with the same settings is continued."""


def main(arguments: Sequence[str]) -> int:
    """Parse, render, print."""
    return run_verb("dataset", Dataset, work, arguments)


def work(options: Dataset) -> Result:
    """Render the pictures, or only count them."""
    from polyglyph.shape.data.manifest import read_manifest

    config = narrow(options, DatasetConfig)
    camera_distribution(config.camera)
    count = len(read_manifest(options.meshes)[: config.limit])  # refuses before torch is loaded
    if options.dry_run:
        data = {"dry_run": True, "dir": options.dir, "meshes": count, "pictures": count * config.views}
        return Result(
            data, f"{count * config.views} pictures of {count} meshes would be rendered in {options.dir}"
        )
    ready(options)
    from polyglyph.shape.data.rendering import render_dataset

    result = render_dataset(options.meshes, options.dir, config)
    return Result(asdict(result), result.summary())
