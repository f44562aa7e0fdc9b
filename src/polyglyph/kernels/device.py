"""Starts the kernels of csrc/*.cu on the GPU that holds the tensors, on torch's current stream."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from polyglyph.base.errors import BackendError
from polyglyph.kernels.nvrtc import compiled

__all__ = ["Argument", "emulated", "launch", "launcher"]

Argument = Tensor | int | float | None
Launcher = Callable[[str, str, int, int, Sequence[ctypes._SimpleCData], torch.device], None]

THREADS = 128
"""Of a block: enough for any kernel here to fill a multiprocessor, few enough for its registers."""


def launch(unit: str, kernel: str, count: int, *arguments: Argument, blocks: int | None = None) -> None:
    """Start `kernel` of csrc/<unit>.cu with one thread for each of `count` elements.

    The kernel's parameters are `count` and then `arguments`: tensors as the address of their first element,
    integers as 64-bit integers, floats as doubles, None as a null pointer. `blocks` is for kernels that share
    out their elements themselves. Does not wait for the result. May be captured in a CUDA graph.
    """
    if count == 0 and blocks is None:
        return
    tensors = [value for value in arguments if isinstance(value, Tensor)]
    if not all(tensor.is_contiguous() and tensor.device == tensors[0].device for tensor in tensors):
        raise ValueError("kernels take contiguous tensors on one device")
    values = [_as_c(value) for value in (count, *arguments)]
    launcher(unit, kernel, blocks or -(-count // THREADS), THREADS, values, tensors[0].device)


def _as_c(value: Argument) -> ctypes._SimpleCData:
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_int64(value) if isinstance(value, int) else ctypes.c_double(value)


def _start(
    unit: str,
    kernel: str,
    blocks: int,
    threads: int,
    values: Sequence[ctypes._SimpleCData],
    device: torch.device,
) -> None:
    with torch.cuda.device(device):
        _enter(device)
        function = _function(unit, kernel, device)
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream(device).cuda_stream)
        _check(
            _driver().cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, pointers, None), kernel
        )


launcher: Launcher = _start
"""What `launch` calls. Tests put an emulation on the CPU in its place."""


def emulated() -> bool:
    """Whether kernels run on the CPU, for tests."""
    return launcher is not _start


def _enter(device: torch.device) -> None:
    """Make the GPU's context this thread's, as torch does at a thread's first call to CUDA: one of autograd's
    threads may come here before that."""
    context = ctypes.c_void_p()
    _check(_driver().cuCtxGetCurrent(ctypes.byref(context)), "the context")
    if not context.value:
        _check(_driver().cuCtxSetCurrent(_primary(device)), "the context")


@functools.cache
def _primary(device: torch.device) -> ctypes.c_void_p:
    context, number = ctypes.c_void_p(), torch.cuda.current_device() if device.index is None else device.index
    _check(_driver().cuDevicePrimaryCtxRetain(ctypes.byref(context), number), "the context")
    return context


@functools.cache
def _function(unit: str, kernel: str, device: torch.device) -> ctypes.c_void_p:
    function = ctypes.c_void_p()
    module = _module(unit, device)
    _check(_driver().cuModuleGetFunction(ctypes.byref(function), module, kernel.encode()), kernel)
    return function


@functools.cache
def _module(unit: str, device: torch.device) -> ctypes.c_void_p:
    major, minor = torch.cuda.get_device_capability(device)
    code = compiled(unit, f"sm_{major}{minor}")
    module = ctypes.c_void_p()
    _check(_driver().cuModuleLoadData(ctypes.byref(module), code), unit)
    return module


@functools.cache
def _driver() -> ctypes.CDLL:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as problem:
        raise BackendError(f"the NVIDIA driver does not open: {problem}", fix="install the driver") from None


def _check(code: int, doing: str) -> None:
    if not code:
        return
    name = ctypes.c_char_p()
    _driver().cuGetErrorName(code, ctypes.byref(name))
    told = name.value.decode() if name.value else str(code)
    raise BackendError(
        f"CUDA reports {told} at `{doing}`", fix="see `polyglyph doctor`, or use the backend `vectorised`"
    )
