"""Calls into the compiled library, with tensors as pointers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from polyglyph.base.errors import BackendError
from polyglyph.kernels.library import library

__all__ = ["index_range", "indices", "run", "suffix", "vector_units", "zeros_like"]

_SUFFIX = {torch.float32: "f32", torch.float64: "f64"}
_INDEX = {torch.int32: "i32", torch.int64: "i64"}
_FUNCTIONS: dict[str, Callable[..., int]] = {}

_Argument = Tensor | int | float | None


def suffix(dtype: torch.dtype) -> str:
    """What the library's functions for `dtype` end in."""
    return _SUFFIX[dtype]


def run(name: str, *arguments: _Argument) -> None:
    """Call `polyglyph_<name>` with `arguments`, and torch's number of threads as the last one.

    Tensors are passed as the address of their first element and must be contiguous; integers as 64-bit
    integers, floats as doubles, None as a null pointer.

    Raises BackendError when memory runs out.
    """
    function = _FUNCTIONS.get(name) or _declared(name, arguments)
    passed = [_address(value) if isinstance(value, Tensor) else value for value in arguments]
    if function(*passed, torch.get_num_threads()):
        raise BackendError(
            f"`{name}` ran out of memory", fix="use a lower resolution or fewer images at a time"
        )


def index_range(index: Tensor) -> tuple[int, int]:
    """The lowest and the highest of an index tensor that is not empty, int32 or int64, on any device."""
    kind = _INDEX.get(index.dtype)
    if index.device.type != "cpu" or kind is None or library() is None:
        low, high = torch.aminmax(index)
        return int(low), int(high)
    found = torch.empty(2, dtype=torch.int64)
    run(f"index_range_{kind}", index.contiguous(), index.numel(), found)
    low, high = found.tolist()
    return low, high


def indices(index: Tensor) -> Tensor:
    """An index tensor as the kernels take it, int32 and contiguous, from whatever device it is on."""
    if index.dtype != torch.int64 or index.device.type != "cpu" or library() is None:
        return index.to(torch.int32).contiguous()
    narrow = torch.empty(index.shape, dtype=torch.int32)
    run("narrow", index.contiguous(), index.numel(), narrow)
    return narrow


def zeros_like(tensor: Tensor) -> Tensor:
    """A contiguous tensor of zeros in main memory, with the shape and type of `tensor`."""
    zeros = torch.empty(tensor.shape, dtype=tensor.dtype)
    run("zero", zeros, zeros.numel() * zeros.element_size())
    return zeros


def vector_units() -> str:
    """The widest vector instructions that the library uses on this processor."""
    opened = library()
    level = 0 if opened is None else opened.polyglyph_vector_level()
    return ("portable", "AVX2", "AVX-512")[level]


def _declared(name: str, arguments: tuple[_Argument, ...]) -> Callable[..., int]:
    """The function that `run` calls. What it takes is declared once, as in its first call: converting each
    argument of each call by hand takes longer.
    """
    opened = library()
    assert opened is not None  # noqa: S101  (`choose` has seen it)
    function = opened[f"polyglyph_{name}"]
    function.argtypes = (*map(_c_type, arguments), ctypes.c_int64)
    return _FUNCTIONS.setdefault(name, function)


def _c_type(value: _Argument) -> type[ctypes._SimpleCData]:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p
    if isinstance(value, int):
        return ctypes.c_int64
    if isinstance(value, float):
        return ctypes.c_double
    raise TypeError(f"the library takes tensors and numbers, not {type(value).__name__}")


def _address(tensor: Tensor) -> int:
    if not tensor.is_contiguous() or tensor.device.type != "cpu":
        raise ValueError("the library takes contiguous tensors in main memory")
    return tensor.data_ptr()
