"""The compiled library of csrc/: found, checked, and opened once.

The library has a C interface and knows neither Python nor torch. A wheel built without a compiler
has none, and then every operation runs on its `vectorised` implementation.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from polyglyph.base.errors import BackendError

__all__ = ["ABI_VERSION", "find_library", "library", "open_library"]

ABI_VERSION = 3
"""The number in csrc/abi.cpp that this loader understands."""

_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


def find_library(folders: Iterable[str | Path] | None = None) -> Path | None:
    """The compiled library's file, or None when this installation has none.

    `folders` are where a `lib` folder may lie. When left out: beside this file, and in the
    installed package, which an editable installation keeps elsewhere than its source.
    """
    if folders is None:
        folders = [Path(__file__).parent, *_installed()]
    candidates = (Path(folder) / "lib" / f"polyglyph_kernels{_SUFFIX}" for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


def open_library(path: Path) -> ctypes.CDLL:
    """Open the library at `path` and check that it speaks this loader's ABI version.

    Raises BackendError if the file cannot be opened, is another library, or is of another version.
    """
    rebuild = "reinstall polyglyph, which builds the library anew"
    try:
        opened = ctypes.CDLL(str(path))
    except OSError as problem:
        raise BackendError(f"the compiled library `{path}` does not open: {problem}", fix=rebuild) from None
    try:
        version = opened.polyglyph_abi_version
    except AttributeError:
        raise BackendError(f"`{path}` is not polyglyph's compiled library", fix=rebuild) from None
    version.restype, version.argtypes = ctypes.c_int, ()
    found = version()
    if found != ABI_VERSION:
        raise BackendError(
            f"the compiled library has ABI version {found}, and this polyglyph needs {ABI_VERSION}",
            fix=rebuild,
        )
    return opened


def _installed() -> list[Path]:
    try:
        return [Path(str(distribution("polyglyph").locate_file("polyglyph/kernels")))]
    except PackageNotFoundError:
        return []


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled library, opened once; None when this installation has none.

    Raises BackendError if there is one and it is unusable.
    """
    path = find_library()
    return None if path is None else open_library(path)
