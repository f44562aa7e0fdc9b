"""Small meshes, folders and datasets for the tests of this room."""

import dataclasses
import json

import numpy as np
import pytest

from polyglyph.formats.glb import write_glb
from polyglyph.formats.model import Material, Part
from polyglyph.formats.png import write_image
from polyglyph.shape.data.cameras import Placement, sample_angles, write_cameras
from polyglyph.shape.data.config import CameraDistribution
from polyglyph.shape.data.dataset import DatasetInfo, pictures_checksum
from polyglyph.shape.data.manifest import MeshRow, write_rows
from polyglyph.shape.data.procedural.solids import box
from polyglyph.shape.data.split import write_split


def box_part(size=(1.0, 2.0, 3.0), center=(0.0, 0.0, 0.0), *, color=(0.8, 0.1, 0.1, 1.0), picture=None):
    solid = box(center, size)
    return Part(
        positions=solid.positions.astype(np.float32),
        faces=solid.faces.astype(np.int32),
        normals=solid.normals.astype(np.float32),
        uvs=solid.uvs.astype(np.float32),
        material=Material(base_color=color, base_color_image=picture),
    )


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.fixture
def make_box():
    return box_part


@pytest.fixture
def mesh_source(tmp_path):
    """A folder with three good meshes of different formats and names."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    write_glb(folder / "red chair.glb", [box_part()])
    write_glb(folder / "sub" / "blue_table.glb", [box_part((2, 1, 1), color=(0, 0, 1, 1))])
    (folder / "corner.obj").write_text(OBJ)
    return folder


@pytest.fixture
def dataset_folder(tmp_path):
    """A whole dataset of three objects with two views at 16x16, written without a renderer."""
    folder = tmp_path / "dataset"
    ids = ["0000_a", "0001_b", "0002_c"]
    lens = CameraDistribution()
    random = np.random.default_rng(0)
    for identity in ids:
        (folder / "images" / identity).mkdir(parents=True)
        for view in range(2):
            picture = random.integers(0, 256, (16, 16, 4), dtype=np.uint8)
            write_image(folder / "images" / identity / f"{view:02d}.png", picture)
    angles = {identity: sample_angles(lens, identity, 2, 0) for identity in ids}
    write_cameras(folder / "cameras.json", lens, angles, {i: Placement((0.0, 0.0, 0.0), 1.0) for i in ids})
    write_split(folder / "split.json", {"train": ids[:1], "val": ids[1:2], "test": ids[2:]})
    write_rows(
        folder / "manifest.jsonl",
        [MeshRow(id=i, key=i, name=i[5:], caption=f"caption {i}", category="chair") for i in ids],
    )
    info = DatasetInfo(
        views=2,
        resolution=16,
        objects=3,
        pictures=6,
        checksum=pictures_checksum(folder, dict.fromkeys(ids, 2)),
    )
    (folder / "dataset.json").write_text(json.dumps(dataclasses.asdict(info)))
    return folder
