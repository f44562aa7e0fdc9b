"""The backends that kernel tests run on, and CUDA kernels emulated on the CPU."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from polyglyph.kernels.library import library
from polyglyph.kernels.nvrtc import source_folder

FAST = ["vectorised", *(["cpu"] if library() is not None else []), "cuda"]
"""`cuda` runs on the CPU under `emulate`, which the kernel tests switch on."""
BACKENDS = ["reference", *FAST]


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Torch, and with it the library, uses `count` threads; then the machine's setting again."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


SHIM = Path(__file__).parent / "kernels" / "shim" / "emulated.h"


def _compiler() -> str:
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    assert found, "tests of the kernels need a C++ compiler"
    return found


@functools.cache
def _emulation(unit: str) -> ctypes.CDLL:
    """csrc/<unit>.cu compiled for the CPU, once for all workers of a test run."""
    folder = source_folder()
    newest = max(path.stat().st_mtime_ns for path in (SHIM, *folder.iterdir()))
    built = Path(tempfile.gettempdir()) / f"polyglyph-emulation-{os.getuid()}" / f"{unit}-{newest}.so"
    if not built.exists():
        built.parent.mkdir(exist_ok=True)
        partial = built.with_suffix(f".{os.getpid()}")
        flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-x", "c++"]
        command = [_compiler(), *flags, "-include", str(SHIM), str(folder / f"{unit}.cu"), "-o", str(partial)]
        subprocess.run(command, check=True)
        partial.replace(built)
    return ctypes.CDLL(str(built))


def emulate(
    unit: str,
    kernel: str,
    blocks: int,
    threads: int,
    values: Sequence[ctypes._SimpleCData],
    _device: torch.device,
) -> None:
    """Run a CUDA kernel's threads one after the other, last one first."""
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    getattr(_emulation(unit), f"emulated_{kernel}")(ctypes.c_uint(blocks), ctypes.c_uint(threads), pointers)
