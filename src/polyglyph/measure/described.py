"""What is kept of each shape on disk, so that no shape is looked at twice.

Legend: N shapes, P points, S light fields, V views.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from polyglyph.base.errors import FormatError, PolyglyphError
from polyglyph.base.files import write_bytes
from polyglyph.base.progress import track
from polyglyph.learn.device import rank_and_world
from polyglyph.measure.lightfield import features
from polyglyph.measure.outer_surface import sample_outer_surface
from polyglyph.measure.points import normalise, sample_surface
from polyglyph.measure.protocol import Protocol
from polyglyph.measure.shapes import Shape

__all__ = ["Described", "Skipped", "describe_shapes", "kept_arrays", "make_missing"]

_FORMAT = 1
"""Raised when what is kept changes its meaning."""


@dataclass(frozen=True)
class Skipped:
    """A shape that was not measured, and why."""

    name: str
    reason: str


class Described(NamedTuple):
    """Of the shapes that could be measured, in their order."""

    names: list[str]
    points: torch.Tensor
    """[N, P, 3], float32, in the protocol's frame."""
    light_fields: torch.Tensor | None
    """[N, S, V, 47] bytes; None where nobody asked for them."""
    skipped: list[Skipped]


def describe_shapes(
    shapes: list[Shape],
    cache: Path,
    protocol: Protocol,
    *,
    light_fields: int,
    seed: int,
    label: str,
    device: torch.device | str = "cpu",
) -> Described:
    """Points and so many light fields of every shape, or none, from `cache` or newly made and kept there.

    One file a shape, named by a digest of its content and of what was asked: it is written at once, so an
    interrupted run goes on where it stopped, and several runs may share a cache. Of several processes
    (RANK, WORLD_SIZE) each makes its share first and then what is still missing: all come to the same result.

    A shape that cannot be measured (no faces, no area, not finite, a broken file) is skipped, and named.
    """
    paths = [cache / f"{_digest(shape, protocol, light_fields, seed)}.npz" for shape in shapes]

    def make(shape: Shape) -> bytes:
        return _made(shape, protocol, light_fields, seed, device)

    reasons = make_missing(shapes, paths, make, label=label)
    kept = [n for n in range(len(shapes)) if n not in reasons]
    held = [kept_arrays(paths[n], ("points", "light_fields")) for n in kept]
    return Described(
        [shapes[n].name for n in kept],
        torch.from_numpy(np.stack([one["points"] for one in held])) if held else torch.zeros(0, 0, 3),
        torch.from_numpy(np.stack([one["light_fields"] for one in held])) if held and light_fields else None,
        [Skipped(shapes[n].name, reasons[n]) for n in sorted(reasons)],
    )


def make_missing(
    shapes: Sequence[Shape],
    paths: Sequence[Path],
    make: Callable[[Shape], bytes],
    *,
    label: str,
    skip: bool = True,
) -> dict[int, str]:
    """Write `make(shape)` to each of `paths` that is not there: this process's share (RANK, WORLD_SIZE)
    first, then what is still missing, which another process may be at work on.

    Returns why it was not possible, by place, where a shape is at fault; without `skip` that is raised.
    """
    rank, world = rank_and_world()
    order = [*range(rank, len(shapes), world), *(n for n in range(len(shapes)) if n % world != rank)]
    reasons: dict[int, str] = {}
    for n in track(order, label):
        if not paths[n].is_file():
            try:
                write_bytes(paths[n], make(shapes[n]))
            except PolyglyphError as problem:
                if not skip:
                    raise
                reasons[n] = str(problem)
    return reasons


def kept_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a file of the cache. Raises FormatError for one that is broken."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise FormatError(f"`{path}` of the cache is broken: {problem}", fix="delete the file") from None


def _digest(shape: Shape, protocol: Protocol, light_fields: int, seed: int) -> str:
    told = {
        "format": _FORMAT,
        "key": shape.key,
        "points": protocol.points,
        "surface": protocol.surface,
        "normalisation": protocol.normalisation,
        "light_fields": light_fields,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _made(
    shape: Shape, protocol: Protocol, light_fields: int, seed: int, device: torch.device | str
) -> bytes:
    positions, faces = shape.load()
    rng = torch.Generator().manual_seed(int(shape.key[:12], 16) ^ seed)
    positions = positions.double()
    if protocol.surface == "outer":
        drawn = sample_outer_surface(
            positions, faces, protocol.points, generator=rng, device=device
        ).positions
    else:
        drawn = sample_surface(positions, faces, protocol.points, generator=rng).positions
    frame = normalise(positions[faces.unique()], protocol.normalisation)
    points = ((drawn - frame.centre) / frame.scale).float().numpy()
    fields = np.zeros(0, dtype=np.uint8)
    if light_fields:
        fields = features(positions.to(device), faces.to(device), count=light_fields).cpu().numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, points=points, light_fields=fields)
    return buffer.getvalue()
