"""What every operation checks before memory is read.

Looking at values on a GPU waits for it, and is not possible while a CUDA graph is captured: then indices are
taken on trust, as they were checked in the call that warmed up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.native import index_range

__all__ = ["check_face_id", "check_faces", "check_rows"]


def check_faces(faces: Tensor, vertices: int, name: str) -> None:
    """Refuse with ConfigError faces that are not [F, 3] or reach outside `vertices` rows of `name`."""
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ConfigError(
            f"`faces` has shape {tuple(faces.shape)}, not [F, 3]", fix="pass one row per triangle"
        )
    check_rows(faces, vertices, "faces", f"`{name}` has {vertices} vertices", f"index `{name}` from 0")


def check_rows(index: Tensor, count: int, name: str, holds: str, fix: str) -> None:
    """Refuse with ConfigError an `index` that is not in 0..count-1."""
    if not index.numel() or _captured(index):
        return
    low, high = index_range(index)
    if low < 0 or high >= count:
        raise ConfigError(f"`{name}` holds indices {low} to {high}, but {holds}", fix=fix)


def check_face_id(face_id: Tensor, faces: Tensor) -> None:
    """Refuse with ConfigError a picture of rows that `faces` has not; below 0 is nothing."""
    if not face_id.numel() or _captured(face_id):
        return
    highest = index_range(face_id)[1]
    if highest >= len(faces):
        raise ConfigError(
            f"`face_id` reaches {highest}, but `faces` has {len(faces)} rows",
            fix="pass the faces that were rasterized",
        )


def _captured(tensor: Tensor) -> bool:
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
