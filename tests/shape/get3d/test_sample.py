"""Sampling a tiny generator that was never trained: its shapes are dented balls."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from khronos import validate
from PIL import Image
from shape.get3d.tiny import CONFIG

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.meshes import read_mesh
from polyglyph.scene.clean import validity
from polyglyph.shape.get3d import sample as sampling
from polyglyph.shape.get3d.config import IsosurfaceConfig, ModelConfig
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.model import load_generator, save_generator
from polyglyph.shape.get3d.sample import sample_meshes
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_export import codes_of, cut, fields_of, generate, seeded_codes
from polyglyph.shape.get3d.sample_folder import is_there
from polyglyph.shape.get3d.sample_plan import Mix, Shape, wanted
from polyglyph.shape.get3d.sample_show import there_and_back

SMALL = SampleConfig(count=3, truncation=1.0, texture_resolution=32, faces=300, view_resolution=32, workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder."""
    torch.manual_seed(0)
    isosurface = IsosurfaceConfig(resolution=12, scale=0.9, initial_radius=0.25)
    generator = make_generator(CONFIG.generator, isosurface)
    generator.estimate_averages(1000)
    config = ModelConfig(
        generator=CONFIG.generator,
        isosurface=isosurface,
        resolution=16,
        radius=1.2,
        fov=49.134,
        subject="ball",
    )
    path = tmp_path_factory.mktemp("models") / "balls"
    save_generator(path, generator, config, "a card")
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load_generator(folder)


def glbs(path):
    return {file.name: file.read_bytes() for file in path.glob("*.glb")}


def summary(path):
    return json.loads((path / "samples.json").read_text())


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    """Three meshes made in this process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    return out, sample_meshes(folder, out, SMALL, device="cpu")


def test_every_mesh_is_valid_closed_and_reported(alone):
    out, result = alone
    assert [mesh.name for mesh in result.meshes] == ["ball_0000", "ball_0001", "ball_0002"]
    assert summary(out)["meshes"][1] == json.loads(json.dumps(vars(result.meshes[1])))
    for mesh in result.meshes:
        data = (out / mesh.file).read_bytes()
        assert validate(data) == []
        part = read_mesh(out / mesh.file).parts[0]
        found = validity(part.positions, part.faces)
        assert (mesh.faces, mesh.vertices) == (len(part.faces), len(part.positions))
        assert mesh.closed
        assert found.closed
        assert mesh.manifold == found.manifold
        assert (mesh.euler, mesh.components) == (found.euler, found.components)
        assert mesh.genus == found.components - found.euler // 2
        dropped = mesh.faces_dropped_by_cleaning + mesh.faces_dropped_by_decimation
        assert mesh.faces_cut == mesh.faces + dropped
        assert 0 < mesh.faces <= 300
        assert mesh.faces_dropped_by_decimation > 0
        assert 0.2 < mesh.texture_coverage < 1
        assert mesh.uv_overlap == 0
        stages = ("network", "clean", "decimate", "unwrap", "layout", "bake", "encode", "check", "pictures")
        assert set(stages) < set(mesh.stages)
        assert sum(mesh.stages.values()) <= mesh.seconds + 0.05
    assert {path.name for path in out.iterdir()} == {
        *glbs(out), "index.html", "sheet.png", "samples.json",
    }  # fmt: skip


def test_files_do_not_hang_on_the_number_of_workers_or_of_meshes(alone, folder, tmp_path):
    two = sample_meshes(folder, tmp_path / "two", replace(SMALL, workers=2), device="cpu")
    assert len(two.meshes) == 3
    assert [mesh.name for mesh in two.meshes] == [mesh.name for mesh in alone[1].meshes]
    assert glbs(tmp_path / "two") == glbs(alone[0])
    sample_meshes(folder, tmp_path / "one", replace(SMALL, count=1, seed=1), device="cpu")
    assert glbs(tmp_path / "one") == {"ball_0001.glb": glbs(alone[0])["ball_0001.glb"]}


def test_ranks_share_a_folder_and_the_last_one_makes_the_page(alone, folder, tmp_path, monkeypatch):
    out = tmp_path / "shared"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    first = sample_meshes(folder, out, SMALL, device="cpu")
    assert (first.finished, first.meshes) == (False, [])
    assert list(glbs(out)) == ["ball_0001.glb"]
    assert not (out / "index.html").exists()
    monkeypatch.setenv("RANK", "0")
    last = sample_meshes(folder, out, SMALL, device="cpu")
    assert last.finished
    assert [mesh.name for mesh in last.meshes] == [mesh.name for mesh in alone[1].meshes]
    assert glbs(out) == glbs(alone[0])
    assert (out / "sheet.png").read_bytes() == (alone[0] / "sheet.png").read_bytes()
    assert not (out / ".parts").exists()
    # once more: all is there
    again = sample_meshes(folder, out, SMALL, device="cpu")
    assert [mesh.name for mesh in again.meshes] == [mesh.name for mesh in last.meshes]
    with pytest.raises(ConfigError, match="other settings"):
        sample_meshes(folder, out, replace(SMALL, truncation=0.5), device="cpu")
    with pytest.raises(ConfigError, match="several ranks"):
        sample_meshes(folder, out, SMALL, device="cpu", force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        sample_meshes(folder, tmp_path / "mine", SMALL, device="cpu")


def test_a_rank_goes_on_where_it_was_stopped(folder, tmp_path, monkeypatch):
    out = tmp_path / "shared"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    sample_meshes(folder, out, SMALL, device="cpu")
    asked = []
    monkeypatch.setattr(sampling, "cut", lambda *_: asked.append(1))
    sample_meshes(folder, out, SMALL, device="cpu")
    assert asked == []
    assert is_there(out, wanted("ball", SMALL)[0])
    assert not is_there(out, wanted("ball", SMALL)[1])


def test_a_mesh_that_takes_too_long_is_left_out_and_named(folder, tmp_path, monkeypatch):
    true_cut = sampling.cut

    def slow_second(model, codes, resolution):
        found = true_cut(model, codes, resolution)
        if torch.equal(codes.geometry, seeded_codes(model, 1, 1.0).geometry):
            return found._replace(textures=replace(found.textures, color=sleepy(found.textures.color)))
        return found

    def sleepy(field):
        def late(points):
            time.sleep(1.5)
            return field(points)

        return late

    monkeypatch.setattr(sampling, "cut", slow_second)
    config = replace(SMALL, mesh_seconds=1.4, texture_resolution=16)
    result = sample_meshes(folder, tmp_path / "out", config, device="cpu")
    assert [mesh.name for mesh in result.meshes] == ["ball_0000", "ball_0002"]
    assert [(left.name, left.recipe) for left in result.left_out] == [("ball_0001", "seed 1")]
    assert "longer than 1.4 s" in result.left_out[0].reason
    assert set(glbs(tmp_path / "out")) == {"ball_0000.glb", "ball_0002.glb"}
    assert summary(tmp_path / "out")["left_out"][0]["name"] == "ball_0001"
    assert "ball_0001 (it took longer" in (tmp_path / "out" / "index.html").read_text()


def test_if_no_mesh_can_be_made_nothing_is_written(folder, tmp_path):
    with pytest.raises(DataError, match="none of the 3 meshes could be made; the first: it took longer"):
        sample_meshes(folder, tmp_path / "out", replace(SMALL, mesh_seconds=1e-9), device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_levels_of_detail_are_files_of_their_own_smaller_each_time(folder, tmp_path):
    config = replace(SMALL, count=1, lods=(280, 180, 110), texture_resolution=64)
    (mesh,) = sample_meshes(folder, tmp_path / "out", config, device="cpu").meshes
    assert set(glbs(tmp_path / "out")) == {"ball_0000.glb", "ball_0000_lod1.glb", "ball_0000_lod2.glb"}
    levels = [vars(mesh), *mesh.lods]
    for level, side in zip(levels, (64, 32, 16), strict=True):
        path = tmp_path / "out" / level["file"]
        part = read_mesh(path).parts[0]
        assert validate(path.read_bytes()) == []
        assert validity(part.positions, part.faces).closed
        assert level["closed"]
        assert part.material.base_color_image.shape[:2] == (side, side)
        assert len(part.faces) == level["faces"]
    assert 280 >= levels[0]["faces"] > 180 >= levels[1]["faces"] > 110 >= levels[2]["faces"]


def test_a_sweep_has_a_labelled_row_for_each_seed_and_its_recipe_in_the_files(folder, tmp_path):
    config = replace(SMALL, count=2, truncations=(0.0, 0.5, 1.0))
    result = sample_meshes(folder, tmp_path / "out", config, device="cpu")
    assert len(result.meshes) == 6
    positions = [read_mesh(tmp_path / "out" / result.meshes[k].file).parts[0].positions for k in (0, 3, 2, 5)]
    np.testing.assert_array_equal(positions[0], positions[1])  # truncation 0 is the average shape
    assert positions[2].shape != positions[3].shape or not np.array_equal(positions[2], positions[3])
    data = (tmp_path / "out" / result.meshes[1].file).read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert document["asset"]["extras"]["codes"] == "seed 0, truncation 0.5"
    assert document["asset"]["extras"]["truncation"] == 0.5
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.width < 4 * 36 + 8  # three columns
        assert sheet.height > 2 * (32 + 10)  # two rows, with lines of text


def test_turntables_are_films_of_each_mesh_and_of_all(folder, tmp_path):
    config = replace(SMALL, turntable=True, turntable_frames=5)
    sample_meshes(folder, tmp_path / "out", config, device="cpu")
    for name, width in (("ball_0001", 32), ("turntable", 64)):
        with Image.open(tmp_path / "out" / f"{name}.webp") as film:
            assert (film.n_frames, film.width, film.info["loop"]) == (5, width, 0)
            first = np.asarray(film.convert("RGB")).astype(int)
            film.seek(2)
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - first).max() > 20


@pytest.mark.parametrize("path", ["w", "z"])
def test_a_walk_begins_and_ends_at_its_seeds(model, path):
    shapes = wanted("ball", replace(SMALL, interpolate=(2, 5), frames=3, path=path))
    codes = [codes_of(model, shape) for shape in shapes]
    for found, seed in ((codes[0], 2), (codes[2], 5)):
        for ours, theirs in zip(found, seeded_codes(model, seed, 1.0), strict=True):
            torch.testing.assert_close(ours, theirs)
    straight = (codes[0].geometry + codes[2].geometry) / 2
    assert torch.allclose(codes[1].geometry, straight, atol=1e-6) == (path == "w")


def test_the_great_circle_turns_evenly_from_one_z_to_the_other(model, monkeypatch):
    seen, codes = [], model.generator.codes
    monkeypatch.setattr(model.generator, "codes", lambda *z: (seen.append(z[:2]), codes(*z))[1])
    for share in (0.0, 0.25, 0.5, 1.0):
        mix = Mix(3, 4, share)
        codes_of(model, Shape("a", "", mix, mix, 1.0, "z"))
    for z in (0, 1):
        first, quarter, half, last = (pair[z][0].double() for pair in seen)
        whole = torch.acos(first @ last / (first.norm() * last.norm()))
        for found, share in ((quarter, 0.25), (half, 0.5)):
            weights = torch.sin(whole * (1 - share)), torch.sin(whole * share)
            expected = (weights[0] * first + weights[1] * last) / torch.sin(whole)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.equal(seen[0][0], seen[0][1])


def test_the_walks_film_is_drawn_finer_than_its_meshes_and_comes_back(folder, tmp_path):
    config = replace(SMALL, interpolate=(0, 1), frames=2, film_frames=4, loop=True, view_resolution=64)
    sample_meshes(folder, tmp_path / "out", config, device="cpu")
    frames = []
    with Image.open(tmp_path / "out" / "walk.webp") as film:
        assert film.n_frames == 6
        for number in range(6):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB")).astype(float))
    assert np.abs(frames[1] - frames[5]).mean() < 3
    assert np.abs(frames[0] - frames[3]).mean() > 3 * np.abs(frames[1] - frames[5]).mean()
    # the first frame shows the first mesh, as the sheet does
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        first = np.asarray(sheet).astype(float)[4 : 4 + 64, 4 : 4 + 64]
    assert np.abs(frames[0] - first).mean() < 6


def test_there_and_back_shows_neither_end_twice():
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(4)]
    assert [int(frame[0, 0, 0]) for frame in there_and_back(frames)] == [0, 1, 2, 3, 2, 1]
    assert len(there_and_back(frames[:2])) == 2


def test_one_mesh_in_memory_is_the_one_that_is_written(model, alone):
    part, closed, atlas = generate(model, seeded_codes(model, 0, 1.0), SMALL)
    written = read_mesh(alone[0] / "ball_0000.glb").parts[0]
    np.testing.assert_array_equal(part.positions, written.positions)
    np.testing.assert_array_equal(part.material.base_color_image, written.material.base_color_image)
    assert closed
    assert atlas == alone[1].meshes[0].atlas


def test_the_texture_is_the_field_of_the_model(model):
    codes = seeded_codes(model, 0, 1.0)
    planes = model.generator.planes(codes)
    points = torch.rand(50, 3) - 0.5
    fields = fields_of(model, planes, codes)
    assert fields.color_encoding == "srgb"
    with torch.no_grad():
        expected = model.generator.colors(planes, codes, points[None])[0] / 2 + 0.5
        torch.testing.assert_close(fields.color(points), expected)
    assert cut(model, codes, 20).faces.shape[0] > cut(model, codes).faces.shape[0]


def test_ctrl_c_stops_the_workers_at_once_and_leaves_nothing(folder, tmp_path):
    code = "import sys; from polyglyph.cli import main; sys.exit(main())"
    options = ["--count", "500", "--workers", "2", "--texture-resolution", "64", "--json"]
    command = [sys.executable, "-c", code, "sample", str(folder), "--out", "out", *options]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".out.*/*.glb")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group
    start = time.monotonic()
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert time.monotonic() - start < 15
    assert b"Traceback" not in said
    assert out == b""
    assert list(tmp_path.iterdir()) == []
    while (
        process_group(process.pid) and time.monotonic() - start < 30
    ):  # Python's own helper ends a bit later
        time.sleep(0.1)
    assert not process_group(process.pid)


def process_group(number):
    """Whether any process of the group is left."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True
