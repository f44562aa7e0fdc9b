"""Where a mesh file finds the files it names: materials, pictures, buffers.

A mesh may lie in a folder or inside a zip archive; readers ask `read("textures/wood.jpg")` and never
open anything themselves. Names are tried as written, then without regard to case, then by their last
component beside the mesh (files written on another machine name `C:\\tmp\\wood.jpg`).
"""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from polyglyph.base.errors import FormatError

__all__ = ["FolderSiblings", "NoSiblings", "Siblings", "ZipSiblings", "read_member", "safe_member"]

MAX_FILE = 1 << 30
"""Bytes of one file beside a mesh, or of one archive member: larger ones are refused."""


@runtime_checkable
class Siblings(Protocol):
    """Files beside a mesh."""

    def read(self, name: str) -> bytes | None:
        """The bytes of the file `name`, or None if there is no such file."""
        ...


class NoSiblings:
    """A mesh that came as bytes alone."""

    def read(self, name: str) -> bytes | None:
        """Always None."""
        return None


class FolderSiblings:
    """The files of a folder (and of folders relative to it, such as `../images`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read(self, name: str) -> bytes | None:
        """The bytes of `name`, or None. Absolute names are only looked for by their last component."""
        clean = _clean(name)
        tries = [] if _absolute(clean) else [clean]
        for candidate in (*tries, clean.rsplit("/", 1)[-1]):
            found = self._find(candidate)
            if found is not None:
                size = found.stat().st_size
                if size > MAX_FILE:
                    raise FormatError(
                        f"`{found}` has {size} bytes, more than {MAX_FILE}", fix="shrink the file"
                    )
                return found.read_bytes()
        return None

    def _find(self, name: str) -> Path | None:
        if not name or "\0" in name:
            return None
        direct = self.folder / name
        try:
            if direct.is_file():
                return direct
        except OSError:  # a name too long for the file system, for one
            return None
        folder = self.folder
        for piece in PurePosixPath(name).parts:
            if piece == "..":
                folder = folder.parent
                continue
            if not folder.is_dir():
                return None
            match = [entry for entry in sorted(folder.iterdir()) if entry.name.lower() == piece.lower()]
            if not match:
                return None
            folder = match[0]
        return folder if folder.is_file() else None


class ZipSiblings:
    """The members of a zip archive beside the member `mesh`."""

    def __init__(self, archive: zipfile.ZipFile, mesh: str) -> None:
        self.archive = archive
        self.folder = posixpath.dirname(mesh)
        self._names = {name.lower(): name for name in reversed(archive.namelist())}

    def read(self, name: str) -> bytes | None:
        """The bytes of the member `name` relative to the mesh, or None."""
        clean = _clean(name)
        tries = [] if _absolute(clean) else [clean]
        for candidate in (*tries, clean.rsplit("/", 1)[-1]):
            path = posixpath.normpath(posixpath.join(self.folder, candidate))
            found = self._names.get(path.lower())
            if found is not None and not found.endswith("/"):
                return read_member(self.archive, found)
        return None


def safe_member(name: str) -> str:
    """`name` with forward slashes and no leading one. Raises FormatError if it leaves the archive."""
    clean = _clean(name).lstrip("/")
    if not clean or _absolute(clean) or ".." in PurePosixPath(clean).parts or "\0" in clean:
        raise FormatError(
            f"the archive names `{name}`, which lies outside the archive", fix="do not trust this archive"
        )
    return clean


def read_member(archive: zipfile.ZipFile, name: str, *, limit: int = MAX_FILE) -> bytes:
    """The bytes of one archive member, never more than `limit` whatever its header says.

    Raises FormatError for a missing, damaged, encrypted or oversized member.
    """
    try:
        with archive.open(name) as member:
            data = member.read(limit + 1)
    except KeyError:
        raise FormatError(f"the archive has no member `{name}`", fix="restore the archive") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as problem:
        # RuntimeError is what zipfile raises for an encrypted member
        raise FormatError(
            f"the archive's member `{name}` cannot be unpacked: {problem}", fix="restore the archive"
        ) from None
    if len(data) > limit:
        raise FormatError(
            f"the archive's member `{name}` unpacks to more than {limit} bytes",
            fix="do not trust this archive",
        )
    return data


def _clean(name: str) -> str:
    return name.strip().strip('"').replace("\\", "/").removeprefix("./")


def _absolute(name: str) -> bool:
    return name.startswith("/") or (len(name) > 1 and name[1] == ":")
