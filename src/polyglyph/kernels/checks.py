"""What every operation checks before memory is read.

Looking at values on a GPU waits for it, and is not possible while a CUDA graph is captured: then indices and
ranges are taken on trust, as they were checked in the call that warmed up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.native import index_range

__all__ = ["check_clip", "check_face_id", "check_faces", "check_floating", "check_ranges", "check_rows"]

MOST_FACES = (2**31 - 1) // 6
"""Half-edges and what a silhouette is coded by are 32-bit numbers."""
MOST_ROWS = 2**31 - 1


def check_floating(**tensors: Tensor) -> None:
    """Refuse with ConfigError tensors that do not hold real numbers."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ConfigError(
                f"`{name}` holds {tensor.dtype}, not real numbers", fix="convert it with `.float()`"
            )


def check_clip(clip: Tensor, packed: bool) -> None:
    """Refuse with ConfigError positions that are not [V, 4] if `packed`, else [B, V, 4], or too coarse."""
    check_floating(clip=clip)
    if clip.dtype in (torch.float16, torch.bfloat16):
        raise ConfigError(
            f"`clip` is {clip.dtype}, which places vertices to a few pixels only",
            fix="project in float32: outside autocast, or with `.float()` before the product",
        )
    if clip.ndim != (2 if packed else 3) or clip.shape[-1] != 4:
        raise ConfigError(
            f"`clip` has shape {tuple(clip.shape)}, not {'[V, 4]' if packed else '[B, V, 4]'}",
            fix="pass [B, V, 4] without `ranges`, or packed [V, 4] with `ranges`",
        )


def check_ranges(ranges: Tensor, faces: Tensor) -> None:
    """Refuse with ConfigError `ranges` that are not integers [B, 2], or reach outside the rows of `faces`."""
    if ranges.ndim != 2 or ranges.shape[1] != 2 or ranges.is_floating_point() or ranges.dtype == torch.bool:
        raise ConfigError(
            f"`ranges` has shape {tuple(ranges.shape)} and holds {ranges.dtype}, not integers [B, 2]",
            fix="pass (first face, count) per image",
        )
    if not ranges.numel() or _captured(ranges):
        return
    first, count = ranges.unbind(dim=1)
    if bool(((first < 0) | (count < 0) | (count > len(faces) - first)).any()):
        raise ConfigError(
            f"`ranges` reaches outside the {len(faces)} rows of `faces`",
            fix="pass (first face, count) with 0 <= first and first + count <= F",
        )


def check_faces(faces: Tensor, vertices: int, name: str) -> None:
    """Refuse with ConfigError faces that are not [F, 3] or reach outside `vertices` rows of `name`."""
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ConfigError(
            f"`faces` has shape {tuple(faces.shape)}, not [F, 3]", fix="pass one row per triangle"
        )
    if len(faces) > MOST_FACES or vertices > MOST_ROWS:
        raise ConfigError(
            f"{len(faces)} faces of {vertices} vertices are too many for 32-bit rows",
            fix=f"pass at most {MOST_FACES} faces at a time",
        )
    check_rows(faces, vertices, "faces", f"`{name}` has {vertices} vertices", f"index `{name}` from 0")


def check_rows(index: Tensor, count: int, name: str, holds: str, fix: str) -> None:
    """Refuse with ConfigError an `index` that is not in 0..count-1."""
    if index.is_floating_point() or index.dtype == torch.bool:
        raise ConfigError(f"`{name}` holds {index.dtype}, not rows", fix="convert it with `.int()`")
    if not index.numel() or _captured(index):
        return
    low, high = index_range(index)
    if low < 0 or high >= count:
        raise ConfigError(f"`{name}` holds indices {low} to {high}, but {holds}", fix=fix)


def check_face_id(face_id: Tensor, faces: Tensor) -> None:
    """Refuse with ConfigError what is not a picture [B, H, W] of rows of `faces`; below 0 is nothing."""
    if face_id.ndim != 3 or face_id.is_floating_point() or face_id.dtype == torch.bool:
        raise ConfigError(
            f"`face_id` has shape {tuple(face_id.shape)} and holds {face_id.dtype}, not integers [B, H, W]",
            fix="pass the `face_id` of `rasterize`",
        )
    if not face_id.numel() or _captured(face_id):
        return
    low, high = index_range(face_id)
    if high >= len(faces) or low < -(2**31):
        raise ConfigError(
            f"`face_id` reaches {high if low >= -(2**31) else low}, but `faces` has {len(faces)} rows",
            fix="pass the faces that were rasterized",
        )


def _captured(tensor: Tensor) -> bool:
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
