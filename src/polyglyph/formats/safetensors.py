"""Reads and writes `.safetensors` files; their headers are checked before anything is trusted.

The official library does the reading. Ours is the look at the header first: every refusal names the
tensor and what is wrong with it. The format is described in `docs/formats/safetensors.md`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyglyph.base.errors import DataError, FormatError
from polyglyph.base.files import write_bytes

__all__ = ["read_header", "read_metadata", "read_tensors", "write_tensors"]

MAX_HEADER = 100_000_000
"""Bytes of JSON: the format's own limit."""

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "C64": 64,
}  # fmt: skip
_NUMPY = {"BOOL", "U8", "I8", "U16", "I16", "F16", "U32", "I32", "F32", "U64", "I64", "F64", "BF16"}


def read_header(path: Path | str) -> dict[str, Any]:
    """The checked header: tensor name → {dtype, shape, data_offsets}, and `__metadata__` if there is one.

    Raises DataError for a missing or empty file, FormatError for a header that is too large, not JSON, or
    describes tensors of unknown type, that overlap, leave holes, or lie outside the file.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            size = path.stat().st_size
            if not start:
                raise DataError(f"`{path}` is empty (0 bytes)", fix="copy or download the file again")
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(MAX_HEADER, size - 8):
                raise FormatError(
                    f"`{path}` is not a safetensors file, or is cut short: it has {size} bytes,"
                    f" and its first 8 ({start!r}) ask for a header of {length}",
                    fix="copy or download the file again",
                )
            text = file.read(length)
    except FileNotFoundError:
        raise DataError(f"there is no tensor file `{path}`", fix="check the path") from None
    except OSError as problem:
        raise DataError(
            f"`{path}` cannot be read: {problem.strerror}", fix="give a .safetensors file"
        ) from None
    header = _header_json(text, path)
    _check_tensors(header, size - 8 - length, path)
    return header


def _header_json(text: bytes, path: Path) -> dict[str, Any]:
    def refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twin = (
            next((name for name in names if names.count(name) > 1), None)
            if len(set(names)) < len(names)
            else None
        )
        if twin is not None:
            raise ValueError(f"`{twin}` is there twice")
        return dict(pairs)

    try:
        header = json.loads(text.decode(), object_pairs_hook=refuse_twins)
    except (ValueError, RecursionError) as problem:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise FormatError(
            f"`{path}`: the header is not JSON: {str(problem)[:100]}", fix="copy or download the file again"
        ) from None
    if not isinstance(header, dict):
        raise FormatError(
            f"`{path}`: the header is {type(header).__name__}, not a table", fix="restore the file"
        )
    return header


def _check_tensors(header: dict[str, Any], data_bytes: int, path: Path) -> None:
    spans = []
    for name, row in header.items():
        if name == "__metadata__":
            if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
                raise FormatError(
                    f"`{path}`: `__metadata__` is not a table of strings", fix="restore the file"
                )
            continue
        spans.append((*_span(name, row, data_bytes, path), name))
    at, before = 0, "the header"
    for start, end, name in sorted(spans):
        if start != at:
            what = "overlaps" if start < at else f"leaves a hole of {start - at} bytes after"
            raise FormatError(f"`{path}`: tensor `{name}` {what} {before}", fix="do not trust this file")
        at, before = end, f"`{name}`"
    if at != data_bytes:
        raise FormatError(
            f"`{path}` has {data_bytes} bytes of data, and its tensors use {at}",
            fix="copy or download it again",
        )


def _span(name: str, row: Any, data_bytes: int, path: Path) -> tuple[int, int]:
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(
            f"`{path}`: tensor `{name}` is not described by dtype, shape and data_offsets",
            fix="restore the file",
        )
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise FormatError(f"`{path}`: tensor `{name}` has the unknown type {dtype!r}", fix="restore the file")
    if not isinstance(shape, list) or not all(_count(side) for side in shape):
        raise FormatError(f"`{path}`: tensor `{name}` has the shape {shape!r}", fix="restore the file")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_count(offset) for offset in offsets):
        raise FormatError(f"`{path}`: tensor `{name}` has the offsets {offsets!r}", fix="restore the file")
    start, end = offsets
    if start > end or end > data_bytes:
        raise FormatError(
            f"`{path}`: tensor `{name}` lies at bytes {start} to {end} of {data_bytes}",
            fix="the file is cut short or damaged: copy or download it again",
        )
    needed = math.prod(shape) * _BITS[dtype] // 8
    if needed != end - start:
        raise FormatError(
            f"`{path}`: tensor `{name}` ({dtype} {shape}) needs {needed} bytes and has {end - start}",
            fix="do not trust this file",
        )
    return start, end


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def read_metadata(path: Path | str) -> dict[str, str]:
    """The file's `__metadata__`, empty if it has none."""
    return dict(read_header(path).get("__metadata__", {}))


def read_tensors(path: Path | str) -> dict[str, np.ndarray]:
    """All tensors by name. BF16 becomes float32 (numpy has no bfloat16; the values are exact).

    Raises as `read_header`, and FormatError for types numpy cannot hold (F8).
    """
    import safetensors

    header = read_header(path)
    for name, row in header.items():
        if name != "__metadata__" and row["dtype"] not in _NUMPY:
            raise FormatError(
                f"`{path}`: tensor `{name}` is {row['dtype']}, which numpy cannot hold",
                fix="convert it to F16 or BF16",
            )
    brains = [name for name, row in header.items() if name != "__metadata__" and row["dtype"] == "BF16"]
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys() if name not in brains}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, TypeError) as problem:
        raise FormatError(
            f"`{path}` cannot be read: {problem}", fix="copy or download the file again"
        ) from None
    for name in brains:
        found[name] = _brain_float(Path(path), header[name])
    return {name: found[name] for name in header if name != "__metadata__"}


def _brain_float(path: Path, row: dict[str, Any]) -> np.ndarray:
    """A BF16 tensor as float32: its 16 bits are the upper half of the float's."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        file.seek(8 + length + row["data_offsets"][0])
        data = file.read(row["data_offsets"][1] - row["data_offsets"][0])
    return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32).reshape(row["shape"])


def write_tensors(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write `tensors` atomically. Types are those numpy shares with the format."""
    from safetensors.numpy import save

    ready = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    for name, array in ready.items():
        if name == "__metadata__" or array.dtype.kind not in "fiub":
            raise FormatError(
                f"tensor `{name}` ({array.dtype}) cannot be stored", fix="use floats, integers or bools"
            )
    # scalars: ascontiguousarray makes them [1]
    ready = {name: array.reshape(np.shape(tensors[name])) for name, array in ready.items()}
    write_bytes(Path(path), save(ready, metadata=dict(metadata) if metadata else None))
