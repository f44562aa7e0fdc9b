"""Sets of shapes to compare: folders of meshes, what a generator makes, and objects of data sets.

Legend: V vertices, F faces, P pictures, H W their size.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.meshes import MESH_SUFFIXES, read_mesh
from polyglyph.formats.model import Part
from polyglyph.measure.protocol import Protocol, Split
from polyglyph.shape.data.dataset import DATASET_FILE, IMAGES, Dataset, load_dataset
from polyglyph.shape.data.get3d_layout import is_get3d_layout
from polyglyph.shape.data.importing import check
from polyglyph.shape.data.manifest import MANIFEST, MESH, read_manifest
from polyglyph.shape.get3d.model import Model, load_generator
from polyglyph.shape.get3d.picture import cut_surface
from polyglyph.shape.get3d.sample import generate, seeded_codes

__all__ = ["Shape", "ShapeSet", "is_dataset", "shapes_of"]

WITH_FILES_BESIDE = frozenset({".obj", ".gltf", ".ply"})
LOOKS = frozenset({".mtl", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga", ".tif", ".tiff"})

Geometry = tuple[Tensor, Tensor]
"""Positions [V, 3] and faces [F, 3]."""


@dataclass(frozen=True)
class Shape:
    """One shape: its name, what its content hangs on, and how to get at it."""

    name: str
    key: str
    """A digest of all that its geometry depends on, or of an object's pictures."""
    load: Callable[[], Geometry]
    parts: Callable[[], list[Part]] | None = None
    """Its textured parts, as a person gets them; None for an object of a data set."""
    pictures: Callable[[int], np.ndarray] | None = None
    """So many of its own pictures, uint8 [P, H, W, 4], of an object of a data set; else None."""
    look: str = ""
    """A digest of the pictures and materials that lie beside its file, which only its colours depend on."""
    baked: bool = False
    """Whether its colours hold light already, as those of shapes that a model without materials made do."""


@dataclass(frozen=True)
class ShapeSet:
    """Shapes in a fixed order, and where they came from."""

    source: str
    kind: str
    """`meshes`, `model` or `dataset`."""
    shapes: list[Shape]
    data: Dataset | None = None
    """The data set that they are objects of."""
    split: Split = "all"
    """Which part of it."""


def is_dataset(path: Path) -> bool:
    """Whether a folder is a data set, or one that is not finished."""
    begun = (path / IMAGES).is_dir() and (path / ".settings.json").is_file()
    return begun or (path / DATASET_FILE).is_file() or is_get3d_layout(path)


def shapes_of(
    path: Path,
    *,
    count: int | None = None,
    drawn: int | None = None,
    seed: int = 0,
    protocol: Protocol | None = None,
    split: Split = "all",
    device: torch.device | str = "cpu",
) -> ShapeSet:
    """The shapes at `path`: a mesh folder in the order of its manifest, any folder of meshes in the order of
    its names, one mesh file, the objects of a data set's `split`, or a model folder, of which `drawn` shapes
    are drawn with seeds from `seed` on.

    `count` keeps the first so many of a folder; `device` is where a model computes. Nothing is read but file
    names and bytes to hash.

    Raises DataError where there is nothing, or no mesh; ConfigError for a data set whose pictures do not fit
    the protocol.
    """
    path, protocol = Path(path), protocol or Protocol()
    if is_dataset(path):
        return _of_dataset(path, count, protocol, split)
    if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
        if drawn is None:
            raise DataError(
                f"`{path}` is a model, and shapes to compare with have to be known first",
                fix="name the model first and the meshes second",
            )
        return _of_model(path, drawn, seed, protocol, device)
    looks: dict[Path, str] = {}
    return ShapeSet(path.name, "meshes", [_of_file(name, file, looks) for name, file in _files(path)[:count]])


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


def _of_file(name: str, path: Path, looks: dict[Path, str]) -> Shape:
    """`looks` are those of the folders that were seen already, and takes this one's."""
    beside = b""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gltf":  # its geometry lies in files beside it
            beside = b"".join(file.read_bytes() for file in sorted(path.parent.glob("*.bin")))
        if path.suffix.lower() in WITH_FILES_BESIDE and path.parent not in looks:
            looks[path.parent] = _look(path.parent)
        key = hashlib.sha256(content + beside).hexdigest()
    except OSError as problem:
        raise DataError(f"`{path}` cannot be read: {problem.strerror}", fix="check the folder") from None
    return Shape(
        name,
        key,
        functools.partial(_read, path),
        parts=functools.partial(_parts, path),
        look=looks.get(path.parent, "") if path.suffix.lower() in WITH_FILES_BESIDE else "",
        baked=_holds_light(content),
    )


def _look(folder: Path) -> str:
    """A digest of the pictures and materials in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in LOOKS and file.is_file():
            digest.update(f"{file.name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _holds_light(content: bytes) -> bool:
    """Whether a GLB is one that `polyglyph sample` made (its extras say so) of a model without materials."""
    if content[:4] != b"glTF":
        return False
    try:
        document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
        extras, materials = document["asset"]["extras"], document.get("materials", [])
        glossy = any("metallicRoughnessTexture" in row["pbrMetallicRoughness"] for row in materials)
    except (ValueError, KeyError, TypeError, RecursionError):  # broken files are named when they are read
        return False
    return not glossy and isinstance(extras, dict) and extras.keys() >= {"model", "codes"}


def _parts(path: Path) -> list[Part]:
    file = read_mesh(path)
    check(file)
    return file.parts


def _read(path: Path) -> Geometry:
    parts = read_mesh(path).parts
    offsets = np.cumsum([0, *(len(part.positions) for part in parts)])
    faces = [part.faces.astype(np.int64) + offset for part, offset in zip(parts, offsets, strict=False)]
    positions = np.concatenate([part.positions for part in parts])
    return torch.from_numpy(positions.astype(np.float32)), torch.from_numpy(np.concatenate(faces))


def _of_model(path: Path, drawn: int, seed: int, protocol: Protocol, device: torch.device | str) -> ShapeSet:
    content = (path / "model.safetensors").read_bytes() + (path / "config.json").read_bytes()
    weights = hashlib.sha256(content).hexdigest()
    model = load_generator(path, device=device)
    baked = model.config.generator.material == "none"
    shapes = []
    for number in range(seed, seed + drawn):
        key = hashlib.sha256(f"{weights} {number} {protocol.truncation!r}".encode()).hexdigest()
        load = functools.partial(_generate, model, number, protocol.truncation)
        parts = functools.partial(_export, model, number, protocol)
        shapes.append(Shape(f"seed {number}", key, load, parts=parts, baked=baked))
    return ShapeSet(path.name, "model", shapes)


@torch.no_grad()
def _generate(model: Model, seed: int, truncation: float) -> Geometry:
    codes = seeded_codes(model, seed, truncation)
    field = model.generator.field(model.generator.planes(codes), codes)
    surface = cut_surface(model.generator, field).surface
    return surface.vertices.cpu(), surface.faces.cpu()


@torch.no_grad()
def _export(model: Model, seed: int, protocol: Protocol) -> list[Part]:
    """What `polyglyph sample` writes."""
    part, _, _ = generate(model, seeded_codes(model, seed, protocol.truncation), protocol.export())
    return [part]


def _of_dataset(path: Path, count: int | None, protocol: Protocol, split: Split) -> ShapeSet:
    data = load_dataset(path)
    wanted, stored = protocol.pictures.resolution, data.stored_resolution
    if stored % wanted:
        raise ConfigError(
            f"the pictures of `{path.name}` are {stored}x{stored}: no average gives {wanted}x{wanted}",
            fix=f"pass `--resolution {stored}`, or {stored} divided by a whole number",
        )
    data = replace(data, resolution=wanted)
    members = data.members(split)[:count]
    if not members:
        raise DataError(f"the split `{split}` of `{path.name}` is empty", fix="pass `--split all`")
    shapes = []
    for identity in members:
        digest = hashlib.sha256()
        for view in range(min(protocol.pictures.views, len(data.views[identity]))):
            digest.update(hashlib.sha256(data.pictures.read(identity, view)).digest())
        own = functools.partial(_own_pictures, data, identity)
        shapes.append(Shape(identity, digest.hexdigest(), _no_geometry, pictures=own))
    return ShapeSet(path.name, "dataset", shapes, data, split)


def _own_pictures(data: Dataset, identity: str, count: int) -> np.ndarray:
    return np.stack([data.image(identity, view) for view in range(count)])


def _no_geometry() -> NoReturn:
    raise DataError("a data set holds pictures only", fix="name the meshes it was rendered from")
