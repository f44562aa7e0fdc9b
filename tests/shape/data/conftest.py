"""Small meshes, folders and datasets for the tests of this room."""

import numpy as np
import pytest
from small_dataset import write_dataset

from polyglyph.formats.glb import write_glb
from polyglyph.formats.model import Material, Part
from polyglyph.shape.data.procedural.solids import box


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
    split = {"train": ["0000_a"], "val": ["0001_b"], "test": ["0002_c"]}
    return write_dataset(tmp_path / "dataset", split)
