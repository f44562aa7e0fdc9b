import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.glb import write_glb
from polyglyph.scene import random_environment as surroundings
from polyglyph.scene.spherical_gaussians import SphericalGaussians
from polyglyph.shape.data.config import CAMERAS, DatasetConfig, ImportConfig
from polyglyph.shape.data.dataset import load_dataset, verify_dataset
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.rendering import photograph, place, render_dataset

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
    one = render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL, light="environment"))
    two = render_dataset(
        meshes, tmp_path / "b", DatasetConfig(**{**SMALL, "workers": 2}, light="environment")
    )
    assert one.checksum == two.checksum
    write_glb(tmp_path / "x.glb", [make_box()])


def test_every_picture_has_surroundings_of_its_own_and_the_meshs_material_under_them(make_box, monkeypatch):
    def even(radiance: float) -> SphericalGaussians:
        return SphericalGaussians(torch.tensor([[0.0, 1, 0]]), torch.zeros(1), torch.full((1, 3), radiance))

    coming = iter([0.25, 0.5, 1.0])
    monkeypatch.setattr(surroundings, "random_environment", lambda rng: even(next(coming)))
    part = make_box((1, 1, 1), color=(0.5, 0.5, 0.5, 1.0))
    part.material = dataclasses.replace(part.material, roughness=1.0, metallic=1.0)
    angles = np.array([[0.0, 20.0]] * 3)
    config = DatasetConfig(**SMALL, light="environment")
    pixels, _ = photograph([part], angles, config, CAMERAS["shapenet"], key="box")
    inside = [picture[picture[..., 3] == 255][:, :3].mean() / 255 for picture in pixels]
    linear = [((value + 0.055) / 1.055) ** 2.4 for value in inside]
    assert linear[1] / linear[0] == pytest.approx(2, rel=0.03)
    assert linear[2] / linear[1] == pytest.approx(2, rel=0.03)
    assert linear[2] < 0.5  # rough metal gives back less light than paint of the same colour
    bare, _ = photograph([part], angles, config, CAMERAS["shapenet"], key="box", unlit=True)
    assert (bare[bare[..., 3] == 255][:, :3] == 188).all()


def test_surroundings_hang_on_seed_mesh_and_view_alone(make_box):
    part, angles = make_box((1, 1, 1), color=(0.5, 0.5, 0.5, 1.0)), np.array([[30.0, 20.0]] * 3)
    config = DatasetConfig(**SMALL, light="environment")

    def seen(config: DatasetConfig, key: str, views: int = 3) -> np.ndarray:
        return photograph([part], angles[:views], config, CAMERAS["shapenet"], key=key)[0]

    pictures = seen(config, "a")
    np.testing.assert_array_equal(seen(config, "a", 2), pictures[:2])
    others = [*pictures, seen(config, "b", 1)[0], seen(dataclasses.replace(config, seed=1), "a", 1)[0]]
    means = sorted(picture[picture[..., 3] == 255].mean() for picture in others)
    assert min(b - a for a, b in itertools.pairwise(means)) > 0.1


def test_a_dataset_under_environments_is_the_same_however_it_is_made_and_says_so(meshes, tmp_path):
    config = DatasetConfig(**SMALL, light="environment")
    whole = render_dataset(meshes, tmp_path / "a", config)
    render_dataset(meshes, tmp_path / "b", dataclasses.replace(config, limit=1))
    rest = render_dataset(meshes, tmp_path / "b", config)
    assert (rest.rendered, rest.kept, rest.checksum) == (2, 1, whole.checksum)
    assert json.loads((tmp_path / "a" / "dataset.json").read_text())["light"] == "environment"
    assert render_dataset(meshes, tmp_path / "c", DatasetConfig(**SMALL)).checksum != whole.checksum
    with pytest.raises(ConfigError, match="light"):
        render_dataset(meshes, tmp_path / "a", DatasetConfig(**SMALL))
