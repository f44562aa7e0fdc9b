"""Sweet Home 3D furniture catalogues (`.sh3f`): a zip of meshes with a table of what they are.

The format is described in `docs/formats/sh3f.md`.
"""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.meshes import read_mesh_bytes
from polyglyph.formats.model import MeshFile
from polyglyph.formats.repair import transformed
from polyglyph.formats.siblings import ZipSiblings, read_member, safe_member

__all__ = [
    "FurnitureEntry",
    "open_archive",
    "parse_properties",
    "read_catalogue",
    "read_entry_mesh",
    "spdx_of",
]

CATALOGUE = "PluginFurnitureCatalog.properties"
MAX_UNPACKED = 8 << 30
"""An archive whose members say they unpack to more than this (8 GiB) is refused."""
MAX_MEMBERS = 200_000


@dataclass(frozen=True)
class FurnitureEntry:
    """One row of a catalogue."""

    index: int
    """The number N of its `key#N` lines."""
    id: str
    """Unique in its catalogue, such as `Scopia#bed1`."""
    name: str
    """In English."""
    category: str
    tags: tuple[str, ...]
    creator: str
    licence: str
    """SPDX identifier, `NOASSERTION` if the archive's words are not known."""
    model: str
    """Archive member that holds the mesh."""
    size_cm: tuple[float, float, float] | None
    """Real width (x), depth (z) and height (y), or None if the catalogue gives no usable ones."""
    rotation: tuple[tuple[float, float, float], ...] | None
    """3x3 rows, applied to the mesh before its size; None for none."""
    information: str
    icon: str | None

    @property
    def attribution(self) -> str:
        """The line to show with the model, as CC-BY asks."""
        return f"“{self.name}” by {self.creator or 'unknown'}, {self.licence}"


@contextlib.contextmanager
def open_archive(path: Path | str) -> Iterator[zipfile.ZipFile]:
    """A zip archive for reading, after a look at its table of contents.

    Raises DataError for a missing file, FormatError for what is not a zip archive or would unpack to an
    unreasonable size.
    """
    path = Path(path)
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"there is no archive `{path}`", fix="check the path") from None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        start = b""
        with contextlib.suppress(OSError), open(path, "rb") as file:
            start = file.read(8)
        raise FormatError(
            f"`{path}` is not a zip archive ({problem}): it starts with {start!r}",
            fix="copy or download the archive again",
        ) from None
    with archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > MAX_UNPACKED or len(members) > MAX_MEMBERS:
            raise FormatError(
                f"`{path}` says it unpacks to {total / 2**30:.1f} GiB in {len(members)} files;"
                f" the limits are {MAX_UNPACKED >> 30} GiB and {MAX_MEMBERS} files",
                fix="do not trust this archive, or split it",
            )
        yield archive


def read_catalogue(path: Path | str) -> list[FurnitureEntry]:
    """The furniture of a `.sh3f` file that has a mesh, in catalogue order.

    Raises FormatError if it is not such an archive, has no catalogue, or names files outside itself.
    """
    with open_archive(path) as archive:
        names = {name.lower(): name for name in archive.namelist()}
        member = names.get(CATALOGUE.lower())
        if member is None:
            found = ", ".join(sorted(names.values())[:3]) or "nothing"
            raise FormatError(f"`{path}` has no `{CATALOGUE}`; it holds {found}", fix="give a .sh3f file")
        rows = parse_properties(read_member(archive, member))
        licence_text = rows.get("license", "")
        notice = names.get("license.txt")
        if spdx_of(licence_text) == "NOASSERTION" and notice is not None:
            licence_text = read_member(archive, notice, limit=1 << 20).decode("latin-1")
    licence = spdx_of(licence_text)
    entries = []
    numbers = {int(match[1]) for key in rows if (match := re.fullmatch(r"model#(\d+)", key))}
    for index in sorted(numbers):
        row = {key: rows.get(f"{key}#{index}", "").strip() for key in _KEYS}
        entries.append(_entry(index, row, licence))
    if not entries:
        raise FormatError(f"`{path}` has a catalogue without models", fix="give another .sh3f file")
    return entries


_KEYS = (
    "id", "name", "category", "tags", "creator", "license", "model", "icon",
    "width", "depth", "height", "modelRotation", "information",
)  # fmt: skip


def _entry(index: int, row: dict[str, str], licence: str) -> FurnitureEntry:
    size = [_number(row[key]) for key in ("width", "depth", "height")]
    turn = [_number(word) for word in row["modelRotation"].split()]
    rotation = None
    if len(turn) == 9 and all(math.isfinite(value) for value in turn):
        rotation = ((turn[0], turn[1], turn[2]), (turn[3], turn[4], turn[5]), (turn[6], turn[7], turn[8]))
    return FurnitureEntry(
        index=index,
        id=row["id"] or f"entry{index}",
        name=row["name"] or PurePosixPath(row["model"]).stem,
        category=row["category"],
        tags=tuple(tag.strip() for tag in row["tags"].split(",") if tag.strip()),
        creator=row["creator"],
        licence=spdx_of(row["license"]) if row["license"] else licence,
        model=safe_member(row["model"]),
        size_cm=(size[0], size[1], size[2]) if all(0 < value < 1e6 for value in size) else None,
        rotation=rotation,
        information=row["information"],
        icon=safe_member(row["icon"]) if row["icon"] else None,
    )


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def read_entry_mesh(path: Path | str, entry: FurnitureEntry) -> MeshFile:
    """The mesh of one catalogue entry in metres, Y up, front +Z, standing on y = 0, centred in x and z.

    The catalogue's rotation is applied, then each axis is stretched to its real size, as the program does.
    Without a size the mesh keeps its own units, read as centimetres (the program's unit).
    """
    with open_archive(path) as archive:
        data = read_member(archive, entry.model)
        suffix = PurePosixPath(entry.model).suffix
        found = read_mesh_bytes(data, suffix, ZipSiblings(archive, entry.model), name=entry.model)
    if entry.rotation is not None:
        turn = np.eye(4)
        turn[:3, :3] = entry.rotation
        found.parts = [transformed(part, turn) for part in found.parts]
    low = np.min([part.positions.min(axis=0) for part in found.parts], axis=0).astype(np.float64)
    high = np.max([part.positions.max(axis=0) for part in found.parts], axis=0).astype(np.float64)
    extent = high - low
    scale = np.full(3, 0.01)
    if entry.size_cm is not None:
        width, depth, height = entry.size_cm
        target = np.array([width, height, depth]) / 100.0
        # a flat mesh has no thickness to stretch
        scale = np.where(extent > 1e-6 * extent.max(), target / np.maximum(extent, 1e-30), 1.0)
    base = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(scale)
    matrix[:3, 3] = -scale * base
    found.parts = [transformed(part, matrix) for part in found.parts]
    return found


def spdx_of(text: str) -> str:
    """The SPDX identifier for a licence named in words, `NOASSERTION` if we do not know them."""
    words = " ".join(text.lower().replace("-", " ").split())
    free = ("public domain", "cc0", "creative commons zero")
    if any(name in words for name in free) and "attribution" not in words:
        return "CC0-1.0"
    if "free art" in words or "art libre" in words:
        return "LAL-1.3"
    if "general public license" in words or re.search(r"\bgpl\b", words):
        return "GPL-2.0-or-later"
    if "creative commons" in words and "attribution" in words:
        version = re.search(r"\b([1-4]\.\d)\b", words)
        kind = "CC-BY-NC" if "noncommercial" in words or "non commercial" in words else "CC-BY"
        kind += "-SA" if "sharealike" in words or "share alike" in words else ""
        return f"{kind}-{version[1] if version else '3.0'}" + ("-US" if "united states" in words else "")
    return "NOASSERTION"


def parse_properties(data: bytes) -> dict[str, str]:
    r"""A Java `.properties` file: Latin-1, `key=value`, `\uXXXX`, lines continued by a final backslash."""
    rows: dict[str, str] = {}
    logical = ""
    lines = data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in [*lines, ""]:
        line = line.lstrip(" \t\f")
        if not logical and line[:1] in ("#", "!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            logical += line[:-1]
            continue
        logical += line
        match = re.match(r"((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)", logical, re.DOTALL)
        if logical and match:
            rows[_unescaped(match[1])] = _unescaped(match[2])
        logical = ""
    return rows


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", one, text)
