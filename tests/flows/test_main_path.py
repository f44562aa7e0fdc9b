"""The whole path at toy size: meshes in, a trained generator, textured GLBs out."""

import json

import numpy as np
import pytest
from khronos import validate
from PIL import Image
from shape.get3d.tiny import CONFIG

from polyglyph.formats.meshes import read_mesh
from polyglyph.shape.data.config import DatasetConfig, ImportConfig
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.rendering import render_dataset
from polyglyph.shape.get3d.sample import sample_meshes
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.train import train


@pytest.fixture(scope="module")
def path_walked(tmp_path_factory, request):
    """Mesh folder, data set, run and samples, each made from the one before."""
    root = tmp_path_factory.mktemp("flow")
    source = request.config.rootpath / "tests" / "data" / "meshes"
    import_meshes(source, root / "meshes", ImportConfig(match="chair|stool|table|bench", workers=1))
    render_dataset(root / "meshes", root / "data", DatasetConfig(views=4, resolution=32, workers=1))
    train(root / "data", root / "run", CONFIG, device="cpu")
    config = SampleConfig(count=2, texture_resolution=64, faces=300, view_resolution=48, truncation=1.0)
    result = sample_meshes(root / "run" / "model", root / "samples", config, device="cpu")
    return root, result


def test_real_meshes_become_a_generator_that_makes_closed_meshes(path_walked):
    root, result = path_walked
    data = load_dataset(root / "data")
    assert len(data.ids) >= 4
    assert len(result.meshes) == 2
    assert all(mesh.closed and 0 < mesh.faces <= 300 for mesh in result.meshes)
    assert len((root / "run" / "metrics.jsonl").read_text().splitlines()) == 5


def test_every_glb_passes_the_khronos_validator(path_walked):
    root, _ = path_walked
    written = sorted(root.glob("samples/*.glb")) + sorted(root.glob("meshes/*/mesh.glb"))
    assert len(written) >= 6
    for path in written:
        assert validate(path.read_bytes()) == [], path.name


def test_the_glb_carries_its_texture_and_names(path_walked):
    root, result = path_walked
    part = read_mesh(root / "samples" / f"{result.meshes[0].name}.glb").parts[0]
    picture = part.material.base_color_image
    assert picture is not None
    assert picture.shape[:2] == (64, 64)
    assert picture.std() > 0
    assert part.uvs is not None
    assert (part.uvs >= 0).all()
    assert (part.uvs <= 1).all()
    assert part.normals is not None
    np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-4)


def test_sheet_and_page_are_there_to_look_at(path_walked):
    root, result = path_walked
    with Image.open(root / "samples" / "sheet.png") as sheet:
        assert sheet.width >= 3 * 48
        assert np.asarray(sheet).std() > 5
    page = (root / "samples" / "index.html").read_text()
    assert page.count('type="text/plain" id="model-') == 2
    assert all(mesh.name in page for mesh in result.meshes)
    assert json.loads((root / "samples" / "samples.json").read_text())["meshes"][1]["recipe"] == "seed 1"


def test_the_same_seed_gives_the_same_file_whatever_the_count(path_walked, tmp_path):
    root, _ = path_walked
    config = SampleConfig(
        count=1, seed=1, texture_resolution=64, faces=300, view_resolution=48, truncation=1.0
    )
    sample_meshes(root / "run" / "model", tmp_path / "one", config, device="cpu")
    (again,) = (tmp_path / "one").glob("*.glb")
    assert again.read_bytes() == (root / "samples" / again.name).read_bytes()


def test_swapped_textures_keep_the_geometry(path_walked, tmp_path):
    root, _ = path_walked
    config = SampleConfig(swap=(0, 1), texture_resolution=32, faces=200, view_resolution=32)
    result = sample_meshes(root / "run" / "model", tmp_path / "swap", config, device="cpu")
    assert len(result.meshes) == 4
    parts = [read_mesh(tmp_path / "swap" / f"{mesh.name}.glb").parts[0] for mesh in result.meshes]
    np.testing.assert_array_equal(parts[0].positions, parts[1].positions)
    assert not np.array_equal(parts[0].material.base_color_image, parts[1].material.base_color_image)
    assert not np.array_equal(parts[0].positions, parts[2].positions[: len(parts[0].positions)])


def test_a_walk_starts_and_ends_at_its_seeds(path_walked, tmp_path):
    root, _ = path_walked
    config = SampleConfig(interpolate=(1, 0), frames=3, texture_resolution=64, faces=300, truncation=1.0)
    result = sample_meshes(root / "run" / "model", tmp_path / "walk", config, device="cpu")
    first = read_mesh(tmp_path / "walk" / f"{result.meshes[0].name}.glb").parts[0]
    seed_1 = read_mesh(root / "samples" / "mesh_0001.glb").parts[0]
    np.testing.assert_array_equal(first.positions, seed_1.positions)
    with Image.open(tmp_path / "walk" / "walk.webp") as film:
        assert film.n_frames == 3
