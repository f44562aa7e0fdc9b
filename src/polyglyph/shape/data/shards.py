"""A dataset as tar files, for many machines: webdataset's naming, readable by anything that reads tar.

`shards/NNNNNN.tar` holds `ID/VV.png` and `ID/VV.json` (azimuth, elevation, split), an object's pictures
together; `dataset.json`, `cameras.json`, `split.json` and `manifest.jsonl` lie beside `shards/`.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from polyglyph.base.errors import DataError
from polyglyph.base.files import new_folder
from polyglyph.base.progress import track
from polyglyph.shape.data.cameras import CAMERAS_FILE
from polyglyph.shape.data.config import ShardConfig
from polyglyph.shape.data.dataset import DATASET_FILE, load_dataset, picture_name
from polyglyph.shape.data.manifest import MANIFEST
from polyglyph.shape.data.split import SPLIT_FILE

__all__ = ["SHARDS", "ShardResult", "TarPictures", "write_shards"]

SHARDS = "shards"


@dataclass(frozen=True)
class ShardResult:
    """What `write_shards` wrote."""

    folder: Path
    shards: int
    pictures: int

    def summary(self) -> str:
        """One line for a person."""
        return f"{self.pictures} pictures in {self.shards} tar files in {self.folder}"


@dataclass(frozen=True)
class TarPictures:
    """Pictures inside tar files, by position: read at random without unpacking."""

    where: dict[str, tuple[Path, int, int]]
    """`ID/VV.png` to (tar file, offset of the data, bytes)."""

    @classmethod
    def open(cls, folder: Path) -> TarPictures:
        """List the tar files of a dataset folder. Raises DataError for a damaged one, or if there is none."""
        where: dict[str, tuple[Path, int, int]] = {}
        paths = sorted((folder / SHARDS).glob("*.tar"))
        if not paths:
            raise DataError(f"`{folder / SHARDS}` has no tar file", fix="write the shards again")
        for path in paths:
            try:
                with tarfile.open(path, "r:") as archive:
                    for member in archive:
                        if member.isreg() and member.name.endswith(".png"):
                            where[member.name] = (path, member.offset_data, member.size)
                    _check_end(path, archive.offset)
            except (tarfile.TarError, OSError, EOFError) as problem:
                raise DataError(
                    f"`{path}` is damaged: {problem}", fix="copy or write the shards again"
                ) from None
        return cls(where)

    def read(self, identity: str, view: int) -> bytes:
        """The PNG file of one view. Raises DataError if no shard holds it or it is cut short."""
        name = f"{identity}/{picture_name(view)}"
        if name not in self.where:
            raise DataError(f"no shard holds the picture `{name}`", fix="copy or write the shards again")
        path, offset, size = self.where[name]
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise DataError(f"`{path}` ends inside `{name}`", fix="copy or write the shards again")
        return data


def write_shards(dataset: Path, out: Path, config: ShardConfig | None = None) -> ShardResult:
    """Write the dataset folder `dataset` as tar shards into `out`; the same bytes for the same dataset.

    Raises DataError if `dataset` is not a whole dataset or `out` is already there.
    """
    config = config or ShardConfig()
    source = load_dataset(dataset)
    if source.info is None:
        raise DataError(
            f"`{dataset}` is not a dataset folder of this program", fix="render one with `polyglyph dataset`"
        )
    side = {identity: name for name, members in source.split.items() for identity in members}
    shards: list[list[str]] = []
    room = 0
    for identity in source.ids:
        count = len(source.views[identity])
        if room < count:
            shards.append([])
            room = max(config.per_shard, count)
        shards[-1].append(identity)
        room -= count
    with new_folder(out, force=config.force) as folder:
        (folder / SHARDS).mkdir()
        for number, members in enumerate(track(shards, "writing shards")):
            with tarfile.open(
                folder / SHARDS / f"{number:06d}.tar", "w:", format=tarfile.USTAR_FORMAT
            ) as archive:
                for identity in members:
                    for view, (azimuth, elevation) in enumerate(source.views[identity].tolist()):
                        about = {"azimuth": azimuth, "elevation": elevation, "split": side[identity]}
                        stem = f"{identity}/{picture_name(view)[:-4]}"
                        _add(archive, f"{stem}.png", source.pictures.read(identity, view))
                        _add(archive, f"{stem}.json", json.dumps(about).encode())
        for name in (DATASET_FILE, CAMERAS_FILE, SPLIT_FILE, MANIFEST):
            if (source.path / name).is_file():
                shutil.copyfile(source.path / name, folder / name)
    return ShardResult(Path(out), len(shards), sum(len(views) for views in source.views.values()))


def _check_end(path: Path, offset: int) -> None:
    """Raise DataError unless an empty block, which ends every archive, follows the last member.

    A file cut short between two members, or damaged in a header, otherwise lists as a shorter archive.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        end = file.read(tarfile.BLOCKSIZE)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise DataError(
            f"`{path}` is damaged: it does not end as an archive at byte {offset}",
            fix="copy or write the shards again",
        )


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(data))
