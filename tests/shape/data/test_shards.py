"""Tar shards: damaged ones are refused by name when they are opened, whole ones are trained from in place."""

import tarfile
import tracemalloc

import numpy as np
import pytest
import torch
from small_dataset import write_dataset

from polyglyph.base.errors import DataError
from polyglyph.shape.data.config import ShardConfig
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.data.shards import write_shards
from polyglyph.shape.get3d.data import PictureStream, pictures_of


@pytest.fixture
def folders(tmp_path):
    """The same pictures as files and as three tar files."""
    ids = [f"{number:04d}_a" for number in range(5)]
    files = write_dataset(tmp_path / "files", {"train": ids[:4], "val": [], "test": ids[4:]}, views=3)
    write_shards(files, tmp_path / "tars", ShardConfig(per_shard=6))
    return files, tmp_path / "tars"


def first_shard(folder):
    path = folder / "shards" / "000000.tar"
    return path, path.read_bytes()


def ends(path):
    """Where each member's data end, padded to whole blocks, and where the last header lies."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    return [member.offset_data + -(-member.size // 512) * 512 for member in members], members[-1].offset


def test_training_from_shards_shows_the_pictures_of_the_folder_without_loading_them(folders):
    files, tars = map(load_dataset, folders)
    device = torch.device("cpu")
    streams = [
        PictureStream(pictures_of(data, "train", limit), data.angles("train"), mirror=True, seed=1)
        for data, limit in ((files, 1 << 30), (tars, 0))
    ]
    assert not isinstance(streams[1].images, np.ndarray)
    for first in range(0, 48, 4):
        for one, other in zip(*(stream.batch(first, 4, device) for stream in streams), strict=True):
            assert torch.equal(one, other)
    streams[1].close()


@pytest.mark.parametrize("where", ["in a picture", "between members", "in a header", "before the end mark"])
def test_a_shard_cut_anywhere_is_refused_by_name_when_it_is_opened(folders, where):
    path, whole = first_shard(folders[1])
    data_ends, last_header = ends(path)
    cut = {
        "in a picture": data_ends[2] - 700,
        "between members": data_ends[3],
        "in a header": last_header + 100,
        "before the end mark": data_ends[-1],
    }[where]
    path.write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"000000\.tar` is damaged"):
        load_dataset(folders[1])


def test_a_damaged_header_does_not_hide_what_follows_it(folders):
    path, whole = first_shard(folders[1])
    _, last_header = ends(path)
    path.write_bytes(whole[:last_header] + b"\xff" * 512 + whole[last_header + 512 :])
    with pytest.raises(DataError, match=r"000000\.tar` is damaged"):
        load_dataset(folders[1])


def test_a_shard_cut_after_it_was_opened_is_refused_by_name_when_it_is_read(folders):
    data = load_dataset(folders[1])
    path, whole = first_shard(folders[1])
    path.write_bytes(whole[:600])
    with pytest.raises(DataError, match=r"000000\.tar` ends inside"):
        data.images("train")


def test_opening_a_shard_folder_reads_headers_only(folders):
    load_dataset(folders[1])
    path, _ = first_shard(folders[1])
    with tarfile.open(path, "a") as archive:
        big = tarfile.TarInfo("notes.bin")
        big.size = 64 << 20
        with open("/dev/zero", "rb") as zeros:
            archive.addfile(big, zeros)
    tracemalloc.start()
    load_dataset(folders[1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20
