"""The CUDA sources of csrc/, compiled at first use by NVRTC, which comes with PyTorch, and kept on disk.

Nothing here needs a GPU: a machine without one can compile for any architecture, which is how tests do it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from polyglyph.base.errors import BackendError
from polyglyph.base.files import write_bytes

__all__ = ["cache_folder", "compile_unit", "compiled", "source_folder", "version"]

_OPTIONS = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space")
"""No fused operations: CPU and GPU decide alike which face covers a pixel."""

_INSTALL = "install a CUDA build of PyTorch, which brings NVRTC, or use the backend `vectorised`"


def source_folder() -> Path:
    """Where csrc/ is: in the installed package, or in the checkout it is run from."""
    for folder in (Path(__file__).parent / "csrc", Path(__file__).parents[3] / "csrc"):
        if (folder / "cuda.h").is_file():
            return folder
    raise BackendError("this installation lacks the sources of its CUDA kernels", fix="reinstall polyglyph")


def cache_folder() -> Path:
    """Where compiled kernels are kept: `$POLYGLYPH_CACHE`, or `polyglyph` in the user's cache folder."""
    chosen = os.environ.get("POLYGLYPH_CACHE")
    if chosen:
        return Path(chosen) / "kernels"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "polyglyph" / "kernels"


def compiled(unit: str, architecture: str) -> bytes:
    """The machine code of csrc/<unit>.cu for `architecture` (`sm_90`), from the cache if it is there.

    The key is the text of all sources, the options and NVRTC's version, so that nothing stale is ever run.
    A cache that cannot be read or written is not an error.

    Raises BackendError if there is no NVRTC, or if it refuses the source.
    """
    key = hashlib.sha256(repr((unit, architecture, _OPTIONS, version())).encode())
    for path in sorted(source_folder().iterdir()):
        if path.suffix in (".h", ".cu"):
            key.update(path.name.encode() + path.read_bytes())
    try:
        kept = cache_folder() / f"{unit}-{architecture}-{key.hexdigest()[:24]}.cubin"
        if kept.is_file():
            return kept.read_bytes()
    except (OSError, RuntimeError):  # not ours to read, or a user without a home
        return compile_unit(unit, architecture)
    code = compile_unit(unit, architecture)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(kept, code)
    except OSError:
        pass
    return code


def compile_unit(unit: str, architecture: str) -> bytes:
    """Compile csrc/<unit>.cu for `architecture`, without the cache."""
    nvrtc = _nvrtc()
    folder = source_folder()
    program = ctypes.c_void_p()
    source = (folder / f"{unit}.cu").read_bytes()
    _check(
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, f"{unit}.cu".encode(), 0, None, None),
        "create",
    )
    try:
        options = [f"--gpu-architecture={architecture}", f"--include-path={folder}", *_OPTIONS]
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if nvrtc.nvrtcCompileProgram(program, len(options), array):
            raise BackendError(
                f"NVRTC does not compile `{unit}.cu` for {architecture}:\n{_text(program, 'ProgramLog')}",
                fix="report this with the output of `polyglyph doctor`, or use the backend `vectorised`",
            )
        size = ctypes.c_size_t()
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)), "read")
        code = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetCUBIN(program, code), "read")
        return code.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    _check(getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)), "read")
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(_nvrtc(), f"nvrtcGet{what}")(program, text), "read")
    return text.value.decode(errors="replace")


def _check(code: int, doing: str) -> None:
    if code:
        raise BackendError(f"NVRTC could not {doing} a program (error {code})", fix=_INSTALL)


@functools.cache
def version() -> tuple[int, int]:
    """NVRTC's version. Raises BackendError if there is none."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "begin")
    return major.value, minor.value


@functools.cache
def _nvrtc() -> ctypes.CDLL:
    """NVRTC of the CUDA packages that PyTorch depends on, else of the system."""
    for candidate in (*_beside_torch(), "libnvrtc.so.13", "libnvrtc.so.12", "nvrtc64_120_0.dll"):
        try:
            return ctypes.CDLL(str(candidate))
        except OSError:
            continue
    raise BackendError("there is no NVRTC on this machine", fix=_INSTALL)


def _beside_torch() -> list[Path]:
    """Files of NVRTC in the packages `nvidia-*` and in torch itself; the newest first."""
    folders = []
    for name in ("nvidia", "torch"):
        spec = find_spec(name)
        folders += list(spec.submodule_search_locations or ()) if spec else []
    pattern = "nvrtc64_*.dll" if sys.platform == "win32" else "libnvrtc*.so.*"
    found = [
        path for folder in folders for path in Path(folder).rglob(pattern) if "builtins" not in path.name
    ]
    return sorted(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)], reverse=True)
