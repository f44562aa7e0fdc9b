"""Writes that never leave half a file: to a temporary name first, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyglyph.base.errors import DataError

__all__ = ["new_folder", "read_json", "refuse_overwrite", "write_bytes", "write_json", "write_text"]


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a reader sees the old file or the new one, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises DataError if it is missing or not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"there is no file `{path}`", fix="check the path") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise DataError(f"`{path}` is not JSON: {problem}", fix="restore or delete the file") from None


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Raise DataError if `path` exists (and, for a folder, is not empty) unless `force`."""
    path = Path(path)
    taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if taken and not force:
        raise DataError(
            f"`{path}` already exists", fix="choose another name, or pass `--force` to replace it"
        )


@contextlib.contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary sibling folder that becomes `path` when the block ends without an error.

    On an error or Ctrl-C the temporary folder is removed and `path` is as it was.
    Raises DataError if `path` is already there and `force` is false.
    """
    path = Path(path)
    refuse_overwrite(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    os.chmod(temporary, 0o777 & ~_umask())
    old: Path | None = None
    try:
        yield temporary
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / "old")
        os.replace(temporary, path)
        if old is not None:
            shutil.rmtree(old)
    except BaseException:
        if old is not None and not path.exists():  # stopped between the two renames
            os.replace(old / "old", path)
            old.rmdir()
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
