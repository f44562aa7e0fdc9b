import json
import tarfile
from itertools import chain

import numpy as np
import pytest

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.png import read_image
from polyglyph.scene.camera import angles_from_get3d, orbit
from polyglyph.shape.data.cameras import sample_angles, view_matrices
from polyglyph.shape.data.config import CAMERAS, CameraDistribution, ShardConfig
from polyglyph.shape.data.dataset import load_dataset, shrink, verify_dataset
from polyglyph.shape.data.get3d_layout import read_get3d, write_get3d
from polyglyph.shape.data.shards import write_shards


def test_a_dataset_gives_pictures_angles_and_objects_of_a_split_in_one_order(dataset_folder):
    dataset = load_dataset(dataset_folder)
    assert dataset.ids == ("0000_a", "0001_b", "0002_c")
    images, angles, which = dataset.images("val"), dataset.angles("val"), dataset.mesh_index("val")
    assert images.shape == (2, 16, 16, 4)
    assert images.dtype == np.uint8
    assert angles.dtype == np.float32
    assert which.tolist() == [1, 1]
    for row, (identity, view) in enumerate(dataset.index("val")):
        np.testing.assert_array_equal(
            images[row], read_image(dataset_folder / "images" / identity / f"{view:02d}.png")
        )
        np.testing.assert_allclose(angles[row], dataset.views[identity][view], rtol=1e-6)
    assert dataset.images("all").shape[0] == 6
    assert dataset.caption("0001_b") == "caption 0001_b"
    assert dataset.members("all") == list(dataset.ids)


def test_our_view_matrices_are_the_renderers():
    angles = sample_angles(CameraDistribution(elevation=(-80, 80)), "k", 20, 0)
    cameras = orbit(angles[:, 0], angles[:, 1], 1.2, 49.134)
    np.testing.assert_allclose(view_matrices(angles, 1.2), cameras.view.numpy(), atol=1e-5)


def test_angles_depend_on_seed_and_key_alone_and_fill_their_intervals():
    lens = CAMERAS["animal"]
    many = sample_angles(lens, "chair", 4000, 0)
    np.testing.assert_array_equal(many, sample_angles(lens, "chair", 4000, 0))
    assert not np.array_equal(many, sample_angles(lens, "chair", 4000, 1))
    assert not np.array_equal(many, sample_angles(lens, "stool", 4000, 0))
    assert many[:, 0].min() >= 0
    assert many[:, 0].max() < 360
    assert many[:, 1].min() >= 0
    assert many[:, 1].max() <= 45
    # uniform: each tenth of the interval holds a tenth of the angles, within 4 standard deviations
    for column, high in ((0, 360), (1, 45)):
        counts = np.histogram(many[:, column], bins=10, range=(0, high))[0]
        assert np.abs(counts - 400).max() < 4 * np.sqrt(400 * 0.9)


def test_shrinking_averages_light_weighted_by_alpha():
    array = np.zeros((2, 2, 4), dtype=np.uint8)
    array[0, 0] = (255, 255, 255, 255)
    array[0, 1] = (0, 0, 0, 255)
    array[1, 0] = (9, 200, 9, 0)  # transparent: its colour must not show
    array[1, 1] = (7, 9, 250, 0)
    assert shrink(array, 2).tolist() == [[[188, 188, 188, 128]]]  # half of the light is 188 in sRGB
    assert shrink(np.zeros((1, 4, 4, 4), np.uint8), 4).tolist() == [[[[0, 0, 0, 0]]]]


def test_a_smaller_resolution_is_the_average_and_must_divide(dataset_folder):
    whole, half = load_dataset(dataset_folder), load_dataset(dataset_folder, resolution=8)
    np.testing.assert_array_equal(half.images("train"), shrink(whole.images("train"), 2))
    with pytest.raises(ConfigError, match="12"):
        load_dataset(dataset_folder, resolution=12)


def test_the_checksum_sees_one_changed_byte(dataset_folder):
    assert verify_dataset(dataset_folder).startswith("sha256:")
    path = dataset_folder / "images" / "0000_a" / "00.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="not those"):
        verify_dataset(dataset_folder)


def test_shards_read_back_as_the_same_dataset(dataset_folder, tmp_path):
    result = write_shards(dataset_folder, tmp_path / "tars", ShardConfig(per_shard=4))
    assert (result.shards, result.pictures) == (2, 6)
    with tarfile.open(tmp_path / "tars" / "shards" / "000000.tar") as archive:
        assert archive.getnames()[:2] == ["0000_a/00.png", "0000_a/00.json"]
        about = json.load(archive.extractfile("0001_b/01.json"))
        assert about["split"] == "val"
    first, second = load_dataset(dataset_folder), load_dataset(tmp_path / "tars")
    np.testing.assert_array_equal(first.images(), second.images())
    np.testing.assert_array_equal(first.angles(), second.angles())
    assert first.split == second.split
    assert verify_dataset(tmp_path / "tars") == verify_dataset(dataset_folder)


def test_get3ds_layout_reads_back_as_the_same_pictures_angles_and_split(dataset_folder, tmp_path):
    first = load_dataset(dataset_folder)
    write_get3d(dataset_folder, tmp_path / "g")
    assert (tmp_path / "g" / "img" / "03001627" / "0000_a" / "000.png").is_file()
    second = load_dataset(tmp_path / "g")
    np.testing.assert_array_equal(first.images(), second.images())
    np.testing.assert_allclose(first.angles(), second.angles(), atol=1e-4)
    assert first.split == second.split
    assert (second.radius, second.fov) == (1.2, 49.134)


def test_get3ds_rotation_zero_is_behind_the_object(dataset_folder, tmp_path):
    write_get3d(dataset_folder, tmp_path / "g")
    folder = tmp_path / "g" / "camera" / "03001627" / "0000_a"
    np.save(folder / "rotation.npy", np.array([0.0, 90.0]))
    np.save(folder / "elevation.npy", np.array([10.0, 20.0]))
    dataset = read_get3d(tmp_path / "g")
    assert dataset.views["0000_a"].tolist() == [[180.0, 10.0], [270.0, 20.0]]
    # the same numbers as the conversion of angles in radians that the model's camera code uses
    azimuth, elevation = angles_from_get3d(np.radians([0.0, 90.0]), np.radians([80.0, 70.0]))
    np.testing.assert_allclose(np.stack([azimuth, elevation], 1), dataset.views["0000_a"], atol=1e-4)


def test_get3ds_layout_without_lists_is_divided_by_seed(dataset_folder, tmp_path):
    write_get3d(dataset_folder, tmp_path / "g")
    for name in ("train", "val", "test"):
        (tmp_path / "g" / "split" / f"{name}.txt").unlink()
    assert sorted(chain(*read_get3d(tmp_path / "g").split.values())) == ["0000_a", "0001_b", "0002_c"]


def test_other_cameras_cannot_be_written_in_get3ds_layout(dataset_folder, tmp_path):
    path = dataset_folder / "cameras.json"
    path.write_text(path.read_text().replace('"radius": 1.2,', '"radius": 2.0,'))
    with pytest.raises(ConfigError, match=r"1\.2"):
        write_get3d(dataset_folder, tmp_path / "g")
    assert not (tmp_path / "g").exists()
