"""Distances of every shape to every other, kept on disk a few rows at a time.

Legend: N M shapes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.progress import Progress
from polyglyph.kernels.lightfield import match
from polyglyph.measure.kept import kept_array
from polyglyph.measure.light_field_cameras import alignments
from polyglyph.measure.pairs import chamfer_row
from polyglyph.measure.protocol import Protocol

__all__ = ["Distances"]

ROWS = 16
"""Rows that are worked out, and kept, at a time."""


@dataclass(frozen=True)
class Distances:
    """One kind of distance, and where what was worked out is kept."""

    name: str
    recipe: str
    """All that a distance depends on besides the two shapes."""
    cache: Path
    rows: Callable[[Tensor, Tensor], np.ndarray]
    """The distances [K, M] of a few shapes to all of another set."""

    @classmethod
    def chamfer(cls, protocol: Protocol, cache: Path, device: torch.device | str = "cpu") -> Distances:
        """Of points [N, P, 3], as the protocol says."""
        squared, reduction = protocol.chamfer.startswith("squared"), protocol.chamfer_reduction

        def rows(some: Tensor, all_others: Tensor) -> np.ndarray:
            there = all_others.to(device)
            found = [chamfer_row(one, there, squared=squared, reduction=reduction) for one in some.to(device)]
            return protocol.chamfer_factor * np.stack(found)

        return cls("chamfer", json.dumps(asdict(protocol), sort_keys=True), cache, rows)

    @classmethod
    def light_field(cls, cache: Path, device: torch.device | str = "cpu") -> Distances:
        """Of light fields [N, S, 10, 47]."""

        def rows(some: Tensor, all_others: Tensor) -> np.ndarray:
            found = match(some.to(device), all_others.to(device), alignments())
            return found.cpu().double().numpy()

        return cls("light field", "3DAlignment v1.8", cache, rows)

    def __call__(self, a: Tensor, b: Tensor, label: str) -> np.ndarray:
        """Distances [N, M], float64; rows that are in the cache are read from it."""
        found, theirs = [], _digest(b)
        with Progress(label, total=len(a)) as bar:
            for part in a.split(ROWS):
                told = [self.name, self.recipe, _digest(part), theirs]
                found.append(kept_array(self.cache, told, functools.partial(self.rows, part, b)))
                bar.advance(len(part))
        return np.concatenate(found)


def _digest(shapes: Tensor) -> str:
    return hashlib.sha256(shapes.contiguous().numpy().tobytes()).hexdigest()
