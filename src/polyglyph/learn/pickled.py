"""Foreign `.pt` files, read without running anything in them."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from polyglyph.base.errors import DataError, FormatError

__all__ = ["read_pickle"]

MALFORMED = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, MemoryError, OverflowError, struct.error, OSError,
)  # fmt: skip
"""What torch raises for damaged files."""

PERSISTENT = b"_reconstruct_persistent_obj"
"""What the pickles of the StyleGAN family call to compile the source code they carry."""

SAVE_STATE = "files that hold code are refused: save a `state_dict` of its networks where you trust it"

_SIGNATURES = (
    (b"GGUF", "a GGUF model"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"glTF", "binary glTF"),
)


def read_pickle(path: Path | str) -> Any:
    """What `torch.save` wrote to `path`: tensors on the CPU in plain containers. No code in it is run.

    Raises DataError if there is no file or it is empty, FormatError saying what the file is if it holds
    anything but tensors and plain containers, is damaged, or unpacks to more than its own size.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"`{path}` is a folder, not a file", fix="name the file in it")
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except FileNotFoundError:
        raise DataError(f"there is no file `{path}`", fix="check the path") from None
    if not head:
        raise DataError(f"`{path}` is empty (0 bytes)", fix="copy or download the file again")
    _refuse_others(path, head)
    if head.startswith(b"PK"):
        _check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's notes on old formats
            return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  (no code)
    except MALFORMED as problem:
        asked = re.search(r"GLOBAL ([\w.]+)", str(problem))
        if asked is not None:
            raise FormatError(f"`{path}` is a pickle that asks to run `{asked[1]}`", fix=SAVE_STATE) from None
        raise FormatError(
            f"`{path}` is no file of `torch.save`, or is damaged: it starts with {head[:12]!r}",
            fix="copy or download it again",
        ) from None


def _refuse_others(path: Path, head: bytes) -> None:
    """Raise FormatError for a file that is something else by its first bytes."""
    what = next((what for start, what in _SIGNATURES if head.startswith(start)), None)
    if what is None and head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 30:
        what = "a safetensors file"
    if what is not None:
        raise FormatError(
            f"`{path}` is {what}, not a file of `torch.save`", fix="give the checkpoint itself, a `.pt` file"
        )
    if PERSISTENT in head:
        raise FormatError(
            f"`{path}` is a StyleGAN pickle: it holds source code, and reading it would run that",
            fix=SAVE_STATE,
        )


def _check_zip(path: Path) -> None:
    """Refuse archives that are damaged, hold programs, or could unpack to more than their own size."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as problem:
        raise FormatError(
            f"`{path}` is a zip archive that is damaged or cut short: {problem}",
            fix="copy or download the file again",
        ) from None
    names = [member.filename.partition("/")[2] for member in members]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise FormatError(
            f"`{path}` is a TorchScript archive, which holds a program",
            fix="give a checkpoint that holds a `state_dict`",
        )
    if "data.pkl" not in names:
        raise FormatError(
            f"`{path}` is a zip archive without tensors", fix="give the `.pt` file; unpack it if it is inside"
        )
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members)
        or sum(member.file_size for member in members) > path.stat().st_size
    ):
        raise FormatError(
            f"`{path}` is a packed zip archive, and `torch.save` packs nothing", fix="do not trust this file"
        )
