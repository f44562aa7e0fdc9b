"""Model folders in the Hugging Face layout: config.json, model.safetensors, README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.errors import DataError, FormatError
from polyglyph.base.files import new_folder, read_json, write_json, write_text
from polyglyph.formats.safetensors import read_tensors, write_tensors

__all__ = ["find_model", "load_model", "save_model"]


def save_model(
    path: Path,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    card: str,
    *,
    half: bool = True,
    force: bool = False,
) -> None:
    """Write a model folder, in half precision unless `half` is false.

    Raises DataError if `path` exists and `force` is false, FormatError if a weight is not finite.
    """
    arrays = {}
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().float().numpy()
        with np.errstate(over="ignore"):  # looked for below
            array = array.astype(np.float16) if half else array
        if not np.isfinite(array).all():
            raise FormatError(
                f"weight `{name}` is not finite", fix="train with a smaller learning rate, or save in full"
            )
        arrays[name] = array
    with new_folder(path, force=force) as temporary:
        write_json(temporary / "config.json", config)
        write_tensors(temporary / "model.safetensors", arrays, metadata={"format": "pt"})
        write_text(temporary / "README.md", card)


def find_model(path_or_id: str | Path) -> Path:
    """A model folder on this machine; an id of the hub is fetched if `huggingface-hub` is installed.

    A run folder stands for the model folder in it. Raises DataError saying what was looked for.
    """
    path = Path(path_or_id)
    if path.is_dir():
        inside = path / "model"
        return inside if (inside / "model.safetensors").is_file() else path
    if path.exists():
        raise DataError(
            f"`{path}` is a file, not a model folder", fix="pass the folder with config.json in it"
        )
    parts = str(path_or_id).split("/")
    local = str(path_or_id).startswith((".", "~")) or Path(parts[0]).exists()
    if len(parts) == 2 and all(parts) and not local:
        try:
            from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]
            from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise DataError(
                f"there is no folder `{path}`",
                fix="check the path; for a hub id, `pip install huggingface-hub`",
            ) from None
        try:
            return Path(snapshot_download(str(path_or_id)))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as problem:
            raise DataError(
                f"`{path_or_id}` is no folder here, and the hub says: {problem}", fix="check the name"
            ) from None
    raise DataError(
        f"there is no model folder `{path}`", fix="check the path, or leave MODEL out for the shipped one"
    )


def load_model(path_or_id: str | Path) -> tuple[Path, Any, dict[str, Tensor]]:
    """The folder, its config as plain JSON, and its weights in float32."""
    path = find_model(path_or_id)
    for name in ("config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise DataError(
                f"`{path}` is not a model folder: it has no {name}", fix="pass the folder that `train` wrote"
            )
    arrays = read_tensors(path / "model.safetensors")
    tensors = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in arrays.items()}
    return path, read_json(path / "config.json"), tensors
