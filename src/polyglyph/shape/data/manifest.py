"""The mesh folder: `NNNN_name/mesh.glb`, `manifest.jsonl`, `skipped.jsonl` (docs/formats/mesh-folder.md)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polyglyph.base.config import from_dict
from polyglyph.base.errors import DataError
from polyglyph.base.files import write_text

__all__ = [
    "MANIFEST",
    "MESH",
    "SKIPPED",
    "MeshRow",
    "SkippedRow",
    "read_manifest",
    "read_rows",
    "slug",
    "write_rows",
]

MANIFEST = "manifest.jsonl"
SKIPPED = "skipped.jsonl"
MESH = "mesh.glb"


@dataclass(frozen=True, kw_only=True)
class MeshRow:
    """One line of `manifest.jsonl`."""

    id: str
    """The folder's name, `NNNN_name`."""
    key: str
    """What the mesh is called at its source; the same in every subset, so splits and cameras hang on it."""
    name: str
    """As a person would say it."""
    caption: str
    """Name, category and tags as one line of text."""
    category: str
    """As the source says; empty when it says nothing."""
    tags: tuple[str, ...] = ()
    creator: str = ""
    source: str = ""
    """The archive or folder it came from (its name, never a path of this machine)."""
    licence: str = ""
    faces: int = 0
    """Triangles."""
    textured: bool = False
    """Whether a base-colour picture is used."""
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Sides of the box along X, Y, Z in metres."""
    warnings: tuple[str, ...] = ()
    """One sentence for each thing that was repaired or left out."""
    geometry: str = ""
    """SHA-256 of the normalised, quantised, sorted vertex positions: equal for the same shape."""
    signature: str = ""
    """Which of 15x15x15 cells the surface passes, as 844 hexadecimal digits (see split.py)."""


@dataclass(frozen=True, kw_only=True)
class SkippedRow:
    """One line of `skipped.jsonl`: a mesh that was not taken over, and why."""

    key: str
    name: str
    reason: str
    source: str = ""


def slug(text: str, *, length: int = 40) -> str:
    """`text` as a file name: lower-case ASCII letters, digits and underscores; `mesh` if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = "".join(character if character.isalnum() else " " for character in plain).split()
    return "_".join(words)[:length].strip("_") or "mesh"


def write_rows(path: Path, rows: Iterable[MeshRow | SkippedRow]) -> None:
    """Write one JSON object a line, atomically."""
    lines = (json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) for row in rows)
    write_text(path, "".join(line + "\n" for line in lines))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a `.jsonl` file. Raises DataError naming the line that is not one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"there is no file `{path}`", fix="check the path") from None
    except UnicodeDecodeError as problem:
        raise DataError(f"`{path}` is not UTF-8 text: {problem}", fix="restore or rebuild the file") from None
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as problem:
            raise DataError(
                f"line {number} of `{path}` is not JSON: {problem}", fix="restore the file"
            ) from None
        rows.append(row)
    return rows


def read_manifest(folder: Path) -> list[MeshRow]:
    """The rows of a mesh folder's manifest, in its order.

    Raises DataError if the folder or the manifest is missing or empty, an id is unsafe or named twice,
    or ConfigError if a line has an unknown key.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(f"there is no folder `{folder}`", fix="check the path")
    if not path.is_file():
        raise DataError(
            f"`{folder}` has no `{MANIFEST}`, so it is not a mesh folder",
            fix=f"make one with `polyglyph import {folder} NEW_FOLDER`",
        )
    rows = [
        from_dict(MeshRow, row, where=f"{path}:{number}")
        for number, row in enumerate(read_rows(path), start=1)
    ]
    if not rows:
        raise DataError(
            f"`{path}` lists no mesh", fix="import something first: `polyglyph import SOURCE DIR`"
        )
    seen: set[str] = set()
    for row in rows:
        if row.id in seen or Path(row.id).name != row.id or row.id.startswith("."):
            raise DataError(
                f"`{path}` has the id `{row.id}` twice or as a path", fix="import the meshes again"
            )
        seen.add(row.id)
    return rows
