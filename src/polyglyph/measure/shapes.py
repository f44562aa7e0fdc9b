"""Sets of shapes to compare: folders of meshes, and what a generator makes.

Legend: V vertices, F faces.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.formats.meshes import MESH_SUFFIXES, read_mesh
from polyglyph.shape.data.manifest import MANIFEST, MESH, read_manifest
from polyglyph.shape.get3d.model import Model, load_generator
from polyglyph.shape.get3d.picture import cut_surface
from polyglyph.shape.get3d.sample import seeded_codes

__all__ = ["Shape", "ShapeSet", "shapes_of"]

Geometry = tuple[Tensor, Tensor]
"""Positions [V, 3] and faces [F, 3]."""


@dataclass(frozen=True)
class Shape:
    """One shape: its name, what its content hangs on, and how to get at it."""

    name: str
    key: str
    """A digest of all that its geometry depends on."""
    load: Callable[[], Geometry]


@dataclass(frozen=True)
class ShapeSet:
    """Shapes in a fixed order, and where they came from."""

    source: str
    kind: str
    """`meshes` or `model`."""
    shapes: list[Shape]


def shapes_of(
    path: Path,
    *,
    count: int | None = None,
    drawn: int | None = None,
    seed: int = 0,
    truncation: float = 1.0,
    device: torch.device | str = "cpu",
) -> ShapeSet:
    """The shapes at `path`: a mesh folder in the order of its manifest, any folder of meshes in the order of
    its names, one mesh file, or a model folder, of which `drawn` shapes are drawn with seeds from `seed` on.

    `count` keeps the first so many of a folder; `device` is where a model computes. Nothing is read but file
    names and bytes to hash.

    Raises DataError where there is nothing, or no mesh.
    """
    path = Path(path)
    if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
        if drawn is None:
            raise DataError(
                f"`{path}` is a model, and shapes to compare with have to be known first",
                fix="name the model first and the meshes second",
            )
        return _of_model(path, drawn, seed, truncation, device)
    return ShapeSet(path.name, "meshes", [_of_file(name, file) for name, file in _files(path)[:count]])


def _files(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [(path.stem, path)]
    if not path.is_dir():
        raise DataError(f"there is no file or folder `{path}`", fix="check the path")
    if (path / MANIFEST).is_file():
        return [(row.id, path / row.id / MESH) for row in read_manifest(path)]
    files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in MESH_SUFFIXES]
    if not files:
        raise DataError(f"`{path}` holds no meshes", fix=f"name a folder of {', '.join(MESH_SUFFIXES)} files")
    return [(file.relative_to(path).as_posix(), file) for file in files]


def _of_file(name: str, path: Path) -> Shape:
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gltf":  # its geometry lies in files beside it
            content += b"".join(file.read_bytes() for file in sorted(path.parent.glob("*.bin")))
        key = hashlib.sha256(content).hexdigest()
    except OSError as problem:
        raise DataError(f"`{path}` cannot be read: {problem.strerror}", fix="check the folder") from None
    return Shape(name, key, functools.partial(_read, path))


def _read(path: Path) -> Geometry:
    parts = read_mesh(path).parts
    offsets = np.cumsum([0, *(len(part.positions) for part in parts)])
    faces = [part.faces.astype(np.int64) + offset for part, offset in zip(parts, offsets, strict=False)]
    positions = np.concatenate([part.positions for part in parts])
    return torch.from_numpy(positions.astype(np.float32)), torch.from_numpy(np.concatenate(faces))


def _of_model(path: Path, drawn: int, seed: int, truncation: float, device: torch.device | str) -> ShapeSet:
    content = (path / "model.safetensors").read_bytes() + (path / "config.json").read_bytes()
    weights = hashlib.sha256(content).hexdigest()
    model = load_generator(path, device=device)
    shapes = []
    for number in range(seed, seed + drawn):
        key = hashlib.sha256(f"{weights} {number} {truncation!r}".encode()).hexdigest()
        load = functools.partial(_generate, model, number, truncation)
        shapes.append(Shape(f"seed {number}", key, load))
    return ShapeSet(path.name, "model", shapes)


@torch.no_grad()
def _generate(model: Model, seed: int, truncation: float) -> Geometry:
    codes = seeded_codes(model, seed, truncation)
    field = model.generator.field(model.generator.planes(codes), codes)
    surface = cut_surface(model.generator, field).surface
    return surface.vertices.cpu(), surface.faces.cpu()
