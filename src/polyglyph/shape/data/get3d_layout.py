"""GET3D's own layout of renders, read and written.

`ROOT/img/SYNSET/ID/NNN.png` are RGBA pictures; `ROOT/camera/SYNSET/ID/rotation.npy` and `elevation.npy` hold
one angle in degrees for each picture; split lists are text files `train.txt`, `val.txt`, `test.txt` with one
ID a line (in its repository they lie in `3dgan_data_split/CATEGORY`). A picture's number is its place in the
two arrays.

Convention: rotation θ stands on −Z at 0 and on −X at 90°, so our azimuth is θ + 180° (see
`scene.camera.angles_from_get3d`); elevations are the same. Radius 1.2 and field of view 49.134° are fixed.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.base.files import new_folder
from polyglyph.base.progress import track
from polyglyph.formats.png import decode_image
from polyglyph.shape.data.config import CAMERAS
from polyglyph.shape.data.dataset import Dataset, load_dataset, wanted_resolution
from polyglyph.shape.data.split import SPLITS, make_split

__all__ = ["is_get3d_layout", "read_get3d", "write_get3d"]

IMAGES = "img"
CAMERA = "camera"
LISTS = "split"
SYNSET = re.compile(r"\d{8}")


@dataclass(frozen=True)
class Get3dPictures:
    """Where each picture lies: `paths[ID][view]`."""

    paths: dict[str, list[Path]]

    def read(self, identity: str, view: int) -> bytes:
        """The PNG file of one view. Raises DataError if it is missing."""
        path = self.paths[identity][view]
        try:
            return path.read_bytes()
        except OSError:
            raise DataError(f"there is no picture `{path}`", fix="render this object again") from None


def is_get3d_layout(path: Path) -> bool:
    """Whether a folder looks like GET3D's renders: it holds `img` and `camera`."""
    return (path / IMAGES).is_dir() and (path / CAMERA).is_dir()


def read_get3d(
    path: Path, *, lists: Path | None = None, resolution: int | None = None, seed: int = 0
) -> Dataset:
    """Open a folder in GET3D's layout.

    Split lists are looked for in `lists`, else in `path/split` and `path`; without any, the objects are
    divided 70/10/20 by `seed`. An object without cameras, or with other numbers of pictures and angles, is
    refused by name (GET3D itself leaves it out in silence).
    """
    path = Path(path)
    cameras, pictures = path / CAMERA, path / IMAGES
    folders = sorted(folder for folder in pictures.glob("*/*") if folder.is_dir())
    if not folders:
        raise DataError(
            f"`{pictures}` has no `SYNSET/ID` folders with pictures",
            fix="the pictures of an object lie in `img/SYNSET/ID/000.png` and so on",
        )
    views, paths = {}, {}
    for folder in folders:
        identity = folder.name
        if identity in views:
            raise DataError(
                f"the object `{identity}` is in two synsets", fix="keep each synset in its own folder"
            )
        files = {int(file.stem): file for file in folder.glob("*.png") if file.stem.isdigit()}
        views[identity] = _angles(cameras / folder.parent.name / identity, identity, sorted(files))
        paths[identity] = [files[number] for number in sorted(files)]
    split = _read_lists([lists] if lists else [path / LISTS, path], set(views))
    if split is None:
        split = make_split([[identity] for identity in views], seed=seed)
    first = paths[next(iter(paths))][0]
    height, width = decode_image(first.read_bytes(), str(first)).shape[:2]
    if height != width:
        raise DataError(f"`{first}` is {width}x{height}, not square", fix="render square pictures")
    ids = sorted(identity for members in split.values() for identity in members)
    lens = CAMERAS["shapenet"]
    return Dataset(
        path=path,
        resolution=wanted_resolution(height, resolution),
        ids=tuple(ids),
        split=split,
        radius=lens.radius,
        fov=lens.fov,
        views={identity: views[identity] for identity in ids},
        pictures=Get3dPictures(paths),
        stored_resolution=height,
    )


def _angles(folder: Path, identity: str, numbers: list[int]) -> np.ndarray:
    """Our azimuth and elevation of the pictures `numbers`, float64 [N, 2] degrees."""
    if not numbers:
        raise DataError(
            f"the object `{identity}` has no pictures", fix="render it again or delete its folder"
        )
    columns = []
    for name in ("rotation.npy", "elevation.npy"):
        path = folder / name
        try:
            values = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise DataError(
                f"there are pictures of `{identity}` but no `{path}`",
                fix="`img` and `camera` must hold the same SYNSET/ID folders",
            ) from None
        except (ValueError, OSError, EOFError) as problem:
            raise DataError(
                f"`{path}` is not a numpy array: {problem}", fix="render this object again"
            ) from None
        if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise DataError(
                f"`{path}` is not a list of angles", fix="it must hold one number for each picture"
            )
        if len(values) <= numbers[-1]:
            raise DataError(
                f"`{path}` has {len(values)} angles, and there is a picture number {numbers[-1]}",
                fix="render this object again: pictures and cameras must come from one run",
            )
        columns.append(values[numbers].astype(np.float64))
    return np.stack([(columns[0] + 180.0) % 360.0, columns[1]], axis=1)


def _read_lists(folders: list[Path], known: set[str]) -> dict[str, list[str]] | None:
    """Ids of each split that have pictures, or None if there are no lists."""
    for folder in folders:
        if not (folder / "train.txt").is_file():
            continue
        split: dict[str, list[str]] = {}
        for name in SPLITS:
            path = folder / f"{name}.txt"
            lines = path.read_text(encoding="utf-8").split() if path.is_file() else []
            split[name] = sorted(known.intersection(lines))
        if not any(split.values()):
            raise DataError(
                f"none of the {len(known)} objects with pictures is named in `{folder / 'train.txt'}`",
                fix="the lists must hold the names of the folders in `img/SYNSET`, one a line",
            )
        doubled = set(split["train"]) & set(split["val"] + split["test"]) | set(split["val"]) & set(
            split["test"]
        )
        if doubled:
            raise DataError(
                f"`{min(doubled)}` is in two split lists in `{folder}`", fix="name each object once"
            )
        return split
    return None


def write_get3d(dataset: Path | Dataset, out: Path, *, synset: str = "03001627", force: bool = False) -> Path:
    """Write a dataset in GET3D's layout, with `split/{train,val,test}.txt`; returns `out`.

    Raises ConfigError if the cameras are not at GET3D's radius and field of view, or `synset` is no synset.
    """
    source = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    lens = CAMERAS["shapenet"]
    if abs(source.radius - lens.radius) > 1e-6 or abs(source.fov - lens.fov) > 1e-2:
        raise ConfigError(
            f"the cameras are at {source.radius} with {source.fov}°; GET3D's layout means 1.2 and 49.134°",
            fix="render the dataset with `--camera shapenet`",
        )
    if not SYNSET.fullmatch(synset):
        raise ConfigError(f"`{synset}` is not a synset", fix="give eight digits, such as 03001627 for chairs")
    with new_folder(out, force=force) as folder:
        for identity in track(source.ids, "writing"):
            pictures, cameras = folder / IMAGES / synset / identity, folder / CAMERA / synset / identity
            pictures.mkdir(parents=True)
            cameras.mkdir(parents=True)
            angles = source.views[identity]
            for name, values in (("rotation", (angles[:, 0] - 180.0) % 360.0), ("elevation", angles[:, 1])):
                buffer = io.BytesIO()
                np.save(buffer, values, allow_pickle=False)
                (cameras / f"{name}.npy").write_bytes(buffer.getvalue())
            for view in range(len(angles)):
                (pictures / f"{view:03d}.png").write_bytes(source.pictures.read(identity, view))
        (folder / LISTS).mkdir()
        for name in SPLITS:
            (folder / LISTS / f"{name}.txt").write_text("".join(f"{i}\n" for i in source.split.get(name, [])))
    return Path(out)
