"""Checkpoints that survive `kill -9`: written under a temporary name, then renamed.

A checkpoint is a folder `NNNNNNNN/` with `model.safetensors` (weights and averages),
`optimiser.safetensors` (moments and random state) and `state.json` (counters).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyglyph.base.errors import DataError, FormatError
from polyglyph.base.files import new_folder, read_json, write_json
from polyglyph.formats.safetensors import read_tensors, write_tensors

__all__ = [
    "Checkpoint",
    "latest_checkpoint",
    "load_checkpoint",
    "load_into",
    "optimiser_tensors",
    "restore_optimiser",
    "save_checkpoint",
]


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to go on as if nothing had happened."""

    step: int
    model: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `folder/NNNNNNNN`, then delete all but the `keep` newest. Returns the new folder."""
    path = Path(folder) / f"{checkpoint.step:08d}"
    with new_folder(path, force=True) as temporary:
        write_tensors(temporary / "model.safetensors", _to_numpy(checkpoint.model))
        write_tensors(temporary / "optimiser.safetensors", _to_numpy(checkpoint.optimiser))
        write_json(temporary / "state.json", {"step": checkpoint.step, **checkpoint.state})
    for old in _complete(folder)[:-keep]:
        shutil.rmtree(old)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, or None. Left-overs of a killed write are removed."""
    folder = Path(folder)
    if folder.is_dir():
        for leftover in folder.glob(".[0-9]*"):
            shutil.rmtree(leftover)
    complete = _complete(folder)
    return complete[-1] if complete else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder. Raises DataError or FormatError when a part is missing or broken."""
    path = Path(path)
    state = read_json(path / "state.json")
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise DataError(
            f"`{path / 'state.json'}` has no step", fix="delete this checkpoint to use the one before"
        )
    model, optimiser = (
        _to_torch(read_tensors(path / f"{name}.safetensors")) for name in ("model", "optimiser")
    )
    return Checkpoint(state.pop("step"), model, optimiser, state)


def optimiser_tensors(optimiser: torch.optim.Optimizer, module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """The optimiser's state with the parameters' own names: `prefix.parameter.exp_avg` and so on."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{prefix}.{names[parameter]}.{key}": torch.as_tensor(value)
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, module: nn.Module, prefix: str, tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimiser_tensors` gave."""
    for name, parameter in module.named_parameters():
        start = f"{prefix}.{name}."
        state = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
        if state:
            # `step` too: the fused Adam keeps it on the parameter's device
            moved = {key: value.to(parameter.device, copy=True) for key, value in state.items()}
            optimiser.state[parameter] = moved


def load_into(module: nn.Module, tensors: dict[str, Tensor], *, prefix: str, where: Path) -> None:
    """Load the tensors under `prefix.` into `module`, all of them and nothing else.

    Raises FormatError naming the first missing, unexpected or misshapen tensor.
    """
    found = {
        key.removeprefix(f"{prefix}."): value
        for key, value in tensors.items()
        if key.startswith(f"{prefix}.")
    }
    if not prefix:
        found = tensors
    expected = module.state_dict()
    for name in [*expected, *found]:
        if name not in found or name not in expected or found[name].shape != expected[name].shape:
            problem = (
                "is missing" if name not in found
                else "is not part of this network" if name not in expected
                else f"has shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
            )  # fmt: skip
            raise FormatError(
                f"tensor `{name}` in `{where}` {problem}", fix="the config and the weights disagree"
            )
    module.load_state_dict({name: value.to(expected[name].dtype) for name, value in found.items()})


def _complete(folder: Path) -> list[Path]:
    if not Path(folder).is_dir():
        return []
    return sorted(
        path for path in Path(folder).iterdir() if path.name.isdigit() and (path / "state.json").is_file()
    )


def _to_numpy(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}


def _to_torch(arrays: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
