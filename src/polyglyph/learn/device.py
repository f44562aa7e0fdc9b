"""Devices, and the memory allocator of the C library."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from polyglyph.base.errors import BackendError, ConfigError

__all__ = ["pick_device", "rank_and_world", "tune_allocator"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def pick_device(name: str = "auto") -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is the first GPU, else the CPU.

    Raises BackendError if the GPU is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "cuda" or name.startswith("cuda:"):
        index = name.partition(":")[2] or "0"
        if not index.isdigit() or int(index) >= torch.cuda.device_count():
            raise BackendError(
                f"there is no device `{name}`: torch sees {torch.cuda.device_count()} CUDA devices",
                fix="pass `--device cpu`, or install a CUDA build of torch and its driver",
            )
        return torch.device("cuda", int(index))
    raise BackendError(f"`{name}` is not a device", fix="use `auto`, `cpu`, `cuda` or `cuda:N`")


def tune_allocator() -> bool:
    """Let glibc keep freed memory instead of returning it after every large tensor.

    Training on a CPU is about 8 % faster, at the cost of resident memory. For programs, never on
    import: it changes the whole process. True where it had an effect (Linux with glibc).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has no mallopt
        return False
    settings = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) == 1 for name, value in settings)


def rank_and_world() -> tuple[int, int]:
    """This process's number and how many there are, as `torchrun` and SLURM set them.

    Raises ConfigError for RANK and WORLD_SIZE that do not fit.
    """
    try:
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        rank, world = -1, 0
    if not 0 <= rank < world:
        raise ConfigError(
            f"RANK={os.environ.get('RANK')} and WORLD_SIZE={os.environ.get('WORLD_SIZE')} do not fit",
            fix="set both as a launcher does, or unset both",
        )
    return rank, world
