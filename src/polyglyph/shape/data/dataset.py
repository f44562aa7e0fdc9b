"""Reading a dataset folder (or its tar shards, or GET3D's own layout): one API for every trainer. Torch-free.

Legend: N pictures of a split, H W picture size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from polyglyph.base.config import from_dict
from polyglyph.base.errors import ConfigError, DataError
from polyglyph.base.files import read_json
from polyglyph.formats.color import linear_to_srgb, srgb_to_linear
from polyglyph.formats.png import decode_image
from polyglyph.shape.data.cameras import CAMERAS_FILE, Placement, read_cameras
from polyglyph.shape.data.config import CameraDistribution
from polyglyph.shape.data.manifest import MANIFEST, MeshRow, read_manifest
from polyglyph.shape.data.split import SPLIT_FILE, SPLITS, read_split

__all__ = [
    "DATASET_FILE",
    "IMAGES",
    "Dataset",
    "DatasetInfo",
    "Pictures",
    "first_views",
    "load_dataset",
    "picture_name",
    "pictures_checksum",
    "read_info",
    "shrink",
    "verify_dataset",
]

DATASET_FILE = "dataset.json"
IMAGES = "images"

Split = Literal["train", "val", "test", "all"]


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """`dataset.json`: how the pictures were made. Read strictly."""

    format: Literal["polyglyph-dataset"] = "polyglyph-dataset"
    version: int = 1
    renderer: str = ""
    """Program and version that made the pictures."""
    views: int
    """Pictures of each object."""
    resolution: int
    """Pixels along one side."""
    camera: CameraDistribution = field(default_factory=CameraDistribution)
    light: str = "soft"
    object_size: float = 0.7
    keep_in_view: bool = True
    supersample: int = 1
    seed: int = 0
    objects: int = 0
    pictures: int = 0
    checksum: str = ""
    """`sha256:` over the names and digests of all picture files, in order of name."""


def picture_name(view: int) -> str:
    """`VV.png`: two digits, three from view 100 on."""
    return f"{view:02d}.png"


@runtime_checkable
class Pictures(Protocol):
    """Where a dataset's picture files come from."""

    def read(self, identity: str, view: int) -> bytes:
        """The PNG file of one view. Raises DataError if it is missing."""
        ...


@dataclass(frozen=True)
class FolderPictures:
    """Files `ROOT/ID/VV.png`, with any number of digits that `pattern` says."""

    root: Path
    pattern: str = "{view:02d}.png"

    def read(self, identity: str, view: int) -> bytes:
        path = self.root / identity / self.pattern.format(view=view)
        try:
            return path.read_bytes()
        except OSError:
            raise DataError(
                f"there is no picture `{path}`",
                fix="run the `dataset` command again with the same folders: only what is missing is rendered",
            ) from None


@dataclass(frozen=True)
class Dataset:
    """Pictures with known cameras, by split. Pictures are read when asked for."""

    path: Path
    resolution: int
    """Pixels along one side as `images` returns them."""
    ids: tuple[str, ...]
    """All objects, sorted."""
    split: dict[str, list[str]]
    """Ids of `train`, `val` and `test`."""
    radius: float
    """Distance of the cameras from the origin."""
    fov: float
    """Full vertical field of view, degrees."""
    views: dict[str, np.ndarray]
    """float64 [views, 2] by id: azimuth, elevation in degrees."""
    pictures: Pictures
    stored_resolution: int
    """Pixels along one side as stored."""
    rows: dict[str, MeshRow] = field(default_factory=dict)
    """The manifest's line by id (captions, licences), where the dataset has one."""
    placements: dict[str, Placement] = field(default_factory=dict)
    """How the mesh was centred and scaled, by id, where the dataset says."""
    info: DatasetInfo | None = None

    def members(self, split: Split = "all") -> list[str]:
        """Ids of a split in the order of `images`. Raises ConfigError for a split there is not."""
        if split == "all":
            return list(self.ids)
        if split not in self.split:
            raise ConfigError(f"there is no split `{split}`", fix=f"choose one of {', '.join(SPLITS)}, all")
        return list(self.split[split])

    def index(self, split: Split = "all") -> list[tuple[str, int]]:
        """(id, view) of every picture of a split, objects in order, views in order."""
        return [
            (identity, view) for identity in self.members(split) for view in range(len(self.views[identity]))
        ]

    def image(self, identity: str, view: int) -> np.ndarray:
        """One picture, uint8 [H, W, 4], sRGB with straight alpha.

        Raises DataError if it is missing or of the wrong size, FormatError if it is damaged.
        """
        if identity not in self.views or not 0 <= view < len(self.views[identity]):
            raise DataError(f"the dataset has no view {view} of `{identity}`", fix="see `dataset.ids`")
        name = f"{identity}/{picture_name(view)}"
        array = decode_image(self.pictures.read(identity, view), name)
        size = self.stored_resolution
        if array.shape[:2] != (size, size):
            raise DataError(
                f"picture `{name}` is {array.shape[1]}x{array.shape[0]}, the dataset is {size}x{size}",
                fix=f"delete the folder `{identity}` and run the `dataset` command again",
            )
        if array.shape[2] == 3:
            array = np.concatenate([array, np.full((size, size, 1), 255, np.uint8)], axis=2)
        return shrink(array, size // self.resolution) if self.resolution != size else array

    def images(self, split: Split = "all") -> np.ndarray:
        """All pictures of a split in memory, uint8 [N, H, W, 4], sRGB with straight alpha.

        Row n is `index(split)[n]`, and belongs to `angles(split)[n]` and `mesh_index(split)[n]`.
        """
        index = self.index(split)
        result = np.zeros((len(index), self.resolution, self.resolution, 4), dtype=np.uint8)

        def load(row: int) -> None:
            result[row] = self.image(*index[row])

        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(load, range(len(index))):
                pass
        return result

    def angles(self, split: Split = "all") -> np.ndarray:
        """float32 [N, 2]: azimuth in [0, 360) and elevation of every picture, degrees."""
        members = self.members(split)
        if not members:
            return np.zeros((0, 2), dtype=np.float32)
        return np.concatenate([self.views[identity] for identity in members]).astype(np.float32)

    def mesh_index(self, split: Split = "all") -> np.ndarray:
        """int64 [N]: for every picture the position of its object in `ids`."""
        place = {identity: number for number, identity in enumerate(self.ids)}
        return np.array([place[identity] for identity, _ in self.index(split)], dtype=np.int64)

    def caption(self, identity: str) -> str:
        """The caption of an object, empty where the dataset has none."""
        return self.rows[identity].caption if identity in self.rows else ""


def first_views(data: Dataset, count: int) -> Dataset:
    """The same data set with only the first `count` pictures of each object.

    Raises ConfigError if an object has fewer, or none are asked for.
    """
    fewest = min((len(angles) for angles in data.views.values()), default=0)
    if not 1 <= count <= fewest:
        raise ConfigError(
            f"{count} views of each object are asked for, and `{data.path}` has {fewest}",
            fix=f"ask for 1 to {fewest}, or render more with `polyglyph dataset --views {count}`",
        )
    return replace(data, views={identity: angles[:count] for identity, angles in data.views.items()})


def load_dataset(path: Path | str, *, resolution: int | None = None) -> Dataset:
    """Open a dataset folder, a folder of tar shards, or a folder in GET3D's layout.

    `resolution` asks for smaller pictures than stored; it must divide the stored size.

    Raises DataError, saying what is missing or disagrees, for anything else or a damaged folder.
    """
    from polyglyph.shape.data.get3d_layout import is_get3d_layout, read_get3d
    from polyglyph.shape.data.shards import SHARDS, TarPictures

    path = Path(path)
    if not path.is_dir():
        raise DataError(f"there is no folder `{path}`", fix="check the path")
    if not (path / DATASET_FILE).is_file():
        if is_get3d_layout(path):
            return read_get3d(path, resolution=resolution)
        raise _not_a_dataset(path)
    info = read_info(path)
    pictures: Pictures = TarPictures.open(path) if (path / SHARDS).is_dir() else FolderPictures(path / IMAGES)
    cameras = read_cameras(path / CAMERAS_FILE)
    split = read_split(path / SPLIT_FILE)
    rows = {row.id: row for row in read_manifest(path)} if (path / MANIFEST).is_file() else {}
    ids = sorted(identity for members in split.values() for identity in members)
    check_agreement(path, ids, cameras.angles, info.views)
    if isinstance(pictures, FolderPictures):
        _check_pictures(pictures.root, cameras.angles)
    return Dataset(
        path=path,
        resolution=wanted_resolution(info.resolution, resolution),
        ids=tuple(ids),
        split=split,
        radius=cameras.radius,
        fov=cameras.fov,
        views=cameras.angles,
        pictures=pictures,
        stored_resolution=info.resolution,
        rows=rows,
        placements=cameras.placements,
        info=info,
    )


def _not_a_dataset(path: Path) -> DataError:
    if (path / IMAGES).is_dir() and (path / ".settings.json").is_file():
        return DataError(
            f"the dataset in `{path}` is not finished",
            fix="run the same `dataset` command again: it goes on where it stopped",
        )
    if (path / MANIFEST).is_file():
        return DataError(
            f"`{path}` is a mesh folder, not a dataset",
            fix=f"render it first: `polyglyph dataset {path} NEW_FOLDER`",
        )
    return DataError(
        f"`{path}` is not a dataset: it has no `{DATASET_FILE}`", fix=f"see `polyglyph inspect {path}`"
    )


def read_info(path: Path) -> DatasetInfo:
    """`dataset.json` of a folder. Raises ConfigError for unknown keys, DataError for a later version."""
    info = from_dict(DatasetInfo, read_json(path / DATASET_FILE), where=str(path / DATASET_FILE))
    if info.version != 1:
        raise DataError(
            f"`{path}` is a dataset of version {info.version}, and this program reads version 1",
            fix="update polyglyph, or render the dataset again",
        )
    return info


def wanted_resolution(stored: int, wanted: int | None) -> int:
    """The size to give pictures. Raises ConfigError unless it divides the stored one."""
    if wanted is None:
        return stored
    if wanted < 1 or stored % wanted:
        raise ConfigError(
            f"pictures of {stored}x{stored} cannot be averaged down to {wanted}x{wanted}",
            fix=f"ask for {stored} divided by a whole number, or render at `--resolution {wanted}`",
        )
    return wanted


def check_agreement(path: Path, ids: list[str], angles: Mapping[str, np.ndarray], views: int) -> None:
    """Raise DataError unless split, cameras and the number of views agree."""
    lone = sorted(set(ids) ^ set(angles))
    if lone:
        side = CAMERAS_FILE if lone[0] in ids else SPLIT_FILE
        raise DataError(
            f"`{path / side}` lacks {len(lone)} objects, such as `{lone[0]}`",
            fix="delete `split.json` and `cameras.json`, and run the `dataset` command again",
        )
    for identity in ids:
        if len(angles[identity]) != views:
            raise DataError(
                f"`{path / CAMERAS_FILE}` has {len(angles[identity])} views of `{identity}`, not {views}",
                fix="delete `cameras.json` and run the `dataset` command again",
            )
    if not ids:
        raise DataError(f"the dataset `{path}` is empty", fix="import some meshes and render them again")


def _check_pictures(root: Path, angles: Mapping[str, np.ndarray]) -> None:
    for identity, views in angles.items():
        folder = root / identity
        there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        missing = [picture_name(view) for view in range(len(views)) if picture_name(view) not in there]
        if missing:
            raise DataError(
                f"`{folder}` lacks {len(missing)} of {len(views)} pictures, such as `{missing[0]}`",
                fix="run the `dataset` command again with the same folders: only what is missing is rendered",
            )


def pictures_checksum(path: Path, views: Mapping[str, int]) -> str:
    """`sha256:HEX` over `ID/VV.png DIGEST` lines of a dataset folder's pictures, sorted by id and view."""
    pictures = FolderPictures(path / IMAGES)
    total = hashlib.sha256()
    for identity in sorted(views):
        for view in range(views[identity]):
            digest = hashlib.sha256(pictures.read(identity, view)).hexdigest()
            total.update(f"{identity}/{picture_name(view)} {digest}\n".encode())
    return f"sha256:{total.hexdigest()}"


def verify_dataset(path: Path | str) -> str:
    """Check every picture's bytes against `dataset.json`; returns the checksum.

    Raises DataError if they differ or the folder is not a whole dataset.
    """
    dataset = load_dataset(path)
    if dataset.info is None:
        raise DataError(
            f"`{path}` has no checksum", fix=f"only a folder with `{DATASET_FILE}` can be verified"
        )
    total = hashlib.sha256()
    for identity, view in dataset.index():
        digest = hashlib.sha256(dataset.pictures.read(identity, view)).hexdigest()
        total.update(f"{identity}/{picture_name(view)} {digest}\n".encode())
    found = f"sha256:{total.hexdigest()}"
    if found != dataset.info.checksum:
        raise DataError(
            f"the pictures of `{path}` are not those that `{DATASET_FILE}` describes",
            fix="render the dataset again, or copy it again from where it came",
        )
    return found


_TO_LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


def shrink(array: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of `factor` pixels of uint8 [H, W, 4] or [N, H, W, 4] sRGB with straight alpha.

    Light is averaged, not code values, and weighted by alpha, so that a transparent pixel's colour never
    shows; alpha is averaged as it is.
    """
    if factor == 1:
        return array
    *batch, height, width, _ = array.shape
    blocks = array.reshape(*batch, height // factor, factor, width // factor, factor, 4)
    alpha = blocks[..., 3:].astype(np.float32) / 255
    axes = (len(batch) + 1, len(batch) + 3)
    weight = alpha.sum(axis=axes)
    color = (_TO_LINEAR[blocks[..., :3]] * alpha).sum(axis=axes) / np.maximum(weight, 1e-6)
    values = np.concatenate([linear_to_srgb(color), weight / factor**2], axis=-1)
    result = np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
    result[result[..., 3] == 0] = 0
    return result
