"""Which implementation of an operation runs."""

from __future__ import annotations

import functools
from typing import Literal, get_args

import torch
from torch import Tensor

from polyglyph.base.errors import BackendError
from polyglyph.kernels import device, nvrtc
from polyglyph.kernels.library import library

__all__ = ["Backend", "Chosen", "choose"]

Chosen = Literal["reference", "vectorised", "cpu", "cuda"]
Backend = Literal["auto", "reference", "vectorised", "cpu", "cuda"]
"""`reference` is the definition in plain loops, for tests; `vectorised` is torch, on any device; `cpu` is the
compiled library; `cuda` is the same arithmetic compiled at run time; `auto` is the fastest there is for the
tensors given."""

_FLOATS = (torch.float32, torch.float64)


def choose(backend: Backend, operation: str, *tensors: Tensor) -> Chosen:
    """The backend that runs `operation` on `tensors`.

    `auto` finds one wherever there is one: it is `vectorised` where there is no compiled library, for devices
    that no kernel was written for, and for types other than float32 and float64.

    Raises BackendError for a name that is not a backend, where the one asked for cannot run, and for tensors
    on several devices.
    """
    if backend not in get_args(Backend):
        known = "`, `".join(get_args(Backend))
        raise BackendError(f"`{operation}` has no backend `{backend}`", fix=f"use one of `{known}`")
    if backend in ("reference", "vectorised"):
        return backend
    places = {tensor.device for tensor in tensors}
    if len(places) > 1:
        told = "`, `".join(sorted(map(str, places)))
        raise BackendError(
            f"`{operation}` has tensors on `{told}`", fix="move all to one device with `.to(device)`"
        )
    kinds = {place.type for place in places}
    compiled = all(tensor.dtype in _FLOATS for tensor in tensors if tensor.is_floating_point())
    if backend == "auto":
        if compiled and kinds == {"cpu"} and library() is not None:
            return "cpu"
        return "cuda" if compiled and kinds == {"cuda"} and _runs_ours(places.pop()) else "vectorised"
    if not compiled:
        raise BackendError(
            f"`{operation}` on `{backend}` takes float32 and float64",
            fix="convert the tensors, or use the backend `vectorised`",
        )
    if backend == "cpu":
        if kinds != {"cpu"}:
            raise BackendError(
                f"`{operation}` on `cpu` takes tensors in main memory, not on {', '.join(sorted(kinds))}",
                fix="use the backend `auto`",
            )
        if library() is None:
            raise BackendError(
                "this installation has no compiled library", fix="install a C++ compiler, then polyglyph anew"
            )
    elif kinds != {"cuda"} and not device.emulated():
        raise BackendError(
            f"`{operation}` on `cuda` takes tensors on a GPU, not on {', '.join(sorted(kinds))}",
            fix="move the tensors with `.cuda()`, or use the backend `auto`",
        )
    return backend


@functools.cache
def _runs_ours(place: torch.device) -> bool:
    """Whether our CUDA kernels run on that GPU: NVIDIA's, with atomic sums of doubles, and a compiler."""
    if torch.version.hip is not None or torch.cuda.get_device_capability(place) < (6, 0):
        return False
    try:
        nvrtc.version()
    except BackendError:
        return False
    return True
