"""Arrays that are worked out once and kept in a folder."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from polyglyph.base.errors import FormatError
from polyglyph.base.files import write_bytes

__all__ = ["kept_array"]


def kept_array(cache: Path, told: Any, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in the file of `cache` that a digest of `told` names; made and written if there is none.

    `told` is all that the array depends on, as JSON. The file appears at once, so that processes may share a
    cache. Raises FormatError for a broken one.
    """
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
    path = cache / f"{digest}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, make(), allow_pickle=False)
        write_bytes(path, buffer.getvalue())
    try:
        return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise FormatError(f"`{path}` of the cache is broken: {problem}", fix="delete the file") from None
