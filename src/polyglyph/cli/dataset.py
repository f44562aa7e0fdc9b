"""`polyglyph dataset MESHES DIR`: many pictures of every mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from polyglyph.base.errors import ConfigError
from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, ready, run_verb
from polyglyph.shape.data.config import DatasetConfig, camera_distribution

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Dataset(WritingOptions, DatasetConfig):
    """Render many pictures of every mesh of a mesh folder, with the cameras that GET3D trains on.

    Given a dataset instead of meshes, write it again in another layout.
    Example: polyglyph dataset out/chairs out/chairs128 --views 24 --resolution 128
    """

    meshes: Positional[Path]
    """A mesh folder, as `import` and `procedural` write them; or a dataset folder, with `--layout`."""

    dir: Positional[Path]
    """The dataset folder to write; one that was begun with the same settings is continued."""

    layout: Literal["folder", "shards", "get3d"] = "folder"
    """`folder`: one PNG per view. A dataset can become `shards` (tar files) or `get3d` (GET3D's own)."""


def main(arguments: Sequence[str]) -> int:
    """Parse, render, print."""
    return run_verb("dataset", Dataset, work, arguments)


def work(options: Dataset) -> Result:
    """Render the pictures, or only count them."""
    from polyglyph.shape.data.manifest import read_manifest

    if options.layout != "folder":
        return _relaid(options)
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


def _relaid(options: Dataset) -> Result:
    """A finished dataset in another layout."""
    if not (options.meshes / "dataset.json").is_file():
        raise ConfigError(
            f"`--layout {options.layout}` starts from a dataset, and `{options.meshes}` is none",
            fix=f"render `polyglyph dataset {options.meshes} FOLDER` first, then give FOLDER here",
        )
    refuse_overwrite(options.dir, force=options.force)
    data = {"dir": options.dir, "layout": options.layout}
    if options.dry_run:
        return Result({"dry_run": True, **data}, f"{options.dir} would be written")
    if options.layout == "shards":
        from polyglyph.shape.data.config import ShardConfig
        from polyglyph.shape.data.shards import write_shards

        result = write_shards(options.meshes, options.dir, ShardConfig(force=options.force))
        return Result(data | asdict(result), result.summary())
    from polyglyph.shape.data.get3d_layout import write_get3d

    write_get3d(options.meshes, options.dir, force=options.force)
    return Result(data, f"{options.dir}")
