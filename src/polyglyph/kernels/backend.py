"""Which implementation of an operation runs."""

from typing import Literal

from polyglyph.base.errors import BackendError

__all__ = ["Backend", "choose"]

Backend = Literal["auto", "reference", "vectorised"]


def choose(backend: Backend, operation: str) -> Literal["reference", "vectorised"]:
    """The backend that runs `operation`: `auto` is the fastest that this machine has.

    Raises BackendError for a name that is not a backend.
    """
    if backend == "auto":
        return "vectorised"
    if backend not in ("reference", "vectorised"):
        raise BackendError(
            f"`{operation}` has no backend `{backend}`", fix="use `auto`, `vectorised` or `reference`"
        )
    return backend
