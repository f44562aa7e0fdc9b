"""`polyglyph import SOURCE DIR`: meshes of any kind into a mesh folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from polyglyph.base.files import refuse_overwrite
from polyglyph.cli.common import Positional, Result, WritingOptions, narrow, run_verb
from polyglyph.shape.data.config import ImportConfig

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Import(WritingOptions, ImportConfig):
    """Read meshes from a folder, a zip, a furniture archive (.sh3f) or one file into a mesh folder.

    A bad mesh is skipped and named. Example: polyglyph import furniture.sh3f out/chairs --match chair
    """

    source: Positional[Path]
    """A folder, zip, `.sh3f`, ShapeNet layout, or mesh file (OBJ, GLB, GLTF, PLY, OFF, STL, ...)."""

    dir: Positional[Path]
    """The mesh folder to write."""


def main(arguments: Sequence[str]) -> int:
    """Parse, import, print."""
    return run_verb("import", Import, work, arguments)


def work(options: Import) -> Result:
    """Import the source, or only list what would be imported."""
    config = narrow(options, ImportConfig)
    if options.dry_run:
        return _plan(options, config)
    from polyglyph.shape.data.importing import import_meshes

    result = import_meshes(options.source, options.dir, config)
    skipped = [asdict(row) for row in result.skipped]
    data = {"dir": result.folder, "kept": len(result.kept), "textured": result.textured, "skipped": skipped}
    lines = [f"skipped {row.name}: {row.reason}" for row in result.skipped]
    return Result(data, "\n".join([*lines, result.summary()]))


def _plan(options: Import, config: ImportConfig) -> Result:
    """What would be imported; nothing is read but names."""
    from polyglyph.shape.data.importing import select
    from polyglyph.shape.data.sources import find_candidates, open_source

    refuse_overwrite(options.dir, force=options.force)
    with TemporaryDirectory() as scratch, open_source(options.source, scratch=Path(scratch)) as root:
        chosen = select(find_candidates(root, source=options.source.name), config)
    text = "\n".join([*(candidate.name for candidate in chosen), f"{len(chosen)} meshes for {options.dir}"])
    return Result({"dry_run": True, "dir": options.dir, "meshes": [item.key for item in chosen]}, text)
