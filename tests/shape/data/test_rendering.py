import json

import numpy as np
import pytest

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.glb import write_glb
from polyglyph.shape.data.config import CAMERAS, DatasetConfig, ImportConfig
from polyglyph.shape.data.dataset import load_dataset, verify_dataset
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.rendering import place, render_dataset

SMALL = {"views": 3, "resolution": 24, "supersample": 2, "workers": 1}


@pytest.fixture
def meshes(mesh_source, tmp_path):
    import_meshes(mesh_source, tmp_path / "meshes", ImportConfig(workers=1))
    return tmp_path / "meshes"


def test_a_mesh_folder_becomes_a_whole_dataset(meshes, tmp_path):
    result = render_dataset(meshes, tmp_path / "data", DatasetConfig(**SMALL))
    assert (result.rendered, result.kept, result.skipped, result.finished) == (3, 0, (), True)
    dataset = load_dataset(tmp_path / "data")
    images = dataset.images()
    assert images.shape == (9, 24, 24, 4)
    assert verify_dataset(tmp_path / "data") == result.checksum
    alpha = images[..., 3]
    assert alpha.reshape(9, -1).max(axis=1).min() == 255
    assert alpha[:, [0, -1]].max() == alpha[:, :, [0, -1]].max() == 0, "an object touches the border"
    assert images[alpha == 0].max() == 0
    # the red box is red, in the pictures that the split calls its own
    red = next(identity for identity in dataset.ids if "red" in identity)
    picture = dataset.image(red, 0)
    middle = picture[picture[..., 3] == 255].mean(axis=0)
    assert middle[0] > 2 * middle[1]
    value = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert (value["views"], value["resolution"], value["objects"], value["pictures"]) == (3, 24, 3, 9)
    assert value["renderer"].startswith("polyglyph ")
    assert not (tmp_path / "data" / ".parts").exists()
    assert (tmp_path / "data" / "preview.png").is_file()


def test_pictures_do_not_depend_on_the_subset_and_an_interrupted_run_goes_on(meshes, tmp_path):
    whole = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
    first = render_dataset(meshes, tmp_path / "b", DatasetConfig(**SMALL, limit=1))
    assert first.rendered == 1
    second = render_dataset(meshes, tmp_path / "b", DatasetConfig(**SMALL))
    assert (second.rendered, second.kept) == (2, 1)
    assert second.checksum == whole.checksum
    assert (tmp_path / "a" / "cameras.json").read_bytes() == (tmp_path / "b" / "cameras.json").read_bytes()


def test_a_deleted_object_is_rendered_again_and_nothing_else(meshes, tmp_path):
    result = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
    victim = sorted((tmp_path / "a" / "images").iterdir())[1]
    (victim / "01.png").unlink()
    with pytest.raises(DataError, match="lacks 1 of 3"):
        load_dataset(tmp_path / "a")
    again = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
    assert (again.rendered, again.kept, again.checksum) == (1, 2, result.checksum)


def test_two_ranks_share_the_work_and_the_last_one_finishes(meshes, tmp_path, monkeypatch):
    alone = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    one = render_dataset(meshes, tmp_path / "b", DatasetConfig(**SMALL))
    assert (one.rendered, one.finished) == (1, False)
    with pytest.raises(DataError, match="not finished"):
        load_dataset(tmp_path / "b")
    monkeypatch.setenv("RANK", "0")
    other = render_dataset(meshes, tmp_path / "b", DatasetConfig(**SMALL))
    assert (other.rendered, other.finished, other.checksum) == (2, True, alone.checksum)


def test_other_settings_and_foreign_folders_are_refused(meshes, tmp_path):
    render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL, limit=1))
    with pytest.raises(ConfigError, match="seed"):
        render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL, limit=1, seed=1))
    assert (
        render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL, limit=1, seed=1, force=True)).rendered
        == 1
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not a dataset"):
        render_dataset(meshes, tmp_path / "photos", DatasetConfig(**SMALL, force=True))
    assert (tmp_path / "photos" / "mine.txt").read_text() == "keep"


def test_a_mesh_that_breaks_is_skipped_and_named(meshes, tmp_path):
    victim = sorted(path for path in meshes.iterdir() if path.is_dir())[0]
    (victim / "mesh.glb").write_bytes(b"glTF")
    result = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
    assert (result.rendered, [row.key for row in result.skipped]) == (2, ["corner.obj"])
    assert len(load_dataset(tmp_path / "a").ids) == 2
    assert "corner" in (tmp_path / "a" / "skipped.jsonl").read_text()


@pytest.mark.parametrize("size", [(1, 1, 1), (0.4, 0.4, 1), (3, 1, 2)])
def test_an_object_keeps_to_its_size_and_inside_the_view(make_box, size):
    part = make_box(size, center=(5, -3, 2))
    low, high = part.positions.min(axis=0), part.positions.max(axis=0)
    lens = CAMERAS["shapenet"]
    put = place(low.astype(float), high.astype(float), part.positions.astype(float), DatasetConfig(), lens)
    points = (part.positions - np.array(put.center)) * put.scale
    assert np.ptp(points, axis=0).max() <= 0.7 + 1e-6
    reach = np.linalg.norm(points, axis=1).max()
    assert reach <= lens.radius * np.sin(np.radians(lens.fov / 2))
    loose = place(
        low.astype(float),
        high.astype(float),
        part.positions.astype(float),
        DatasetConfig(keep_in_view=False),
        lens,
    )
    assert loose.scale == pytest.approx(0.7 / max(size))


def test_several_processes_give_the_same_pictures(meshes, tmp_path, make_box):
    one = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
    two = render_dataset(meshes, tmp_path / "b", DatasetConfig(**{**SMALL, "workers": 2}))
    assert one.checksum == two.checksum
    write_glb(tmp_path / "x.glb", [make_box()])
