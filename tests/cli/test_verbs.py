"""Each verb, run for real on the smallest input: what it prints, writes and leaves alone."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from polyglyph import cli
from polyglyph.formats.glb import write_glb
from polyglyph.formats.model import Material, Part

SMALLEST = """
--resolution 16
--generator.latent 16 --generator.mapping-depth 1 --generator.plane-resolution 16
--generator.plane-channels 4 --generator.channel-base 128 --generator.channel-max 16
--isosurface.resolution 8
--discriminator.channel-base 128 --discriminator.channel-max 16 --discriminator.embedding 16
"""
TINY = SMALLEST.split()


class Finished(NamedTuple):
    """What a call of the command line left, as a finished process would."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def polyglyph(tmp_path, monkeypatch, capfd):
    """Run `polyglyph ARGUMENTS` in `tmp_path`, in this process: importing torch anew takes seconds."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return Finished(code, *capfd.readouterr())

    return run


@pytest.fixture
def mesh(tmp_path):
    """A red tetrahedron in a file."""
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.int32([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    path = tmp_path / "tetrahedron.glb"
    write_glb(path, [Part(corners, faces, material=Material(base_color=(0.8, 0.0, 0.0, 1.0)))])
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A dataset folder of three procedural chairs in 4 views of 16²."""
    folder = tmp_path_factory.mktemp("pictures")
    main = "import sys; from polyglyph.cli import main; sys.exit(main())"
    for command in (
        "procedural chair meshes --count 3 --texture-resolution 16",
        "dataset meshes pictures --views 4 --resolution 16 --workers 1",
    ):
        subprocess.run([sys.executable, "-c", main, *command.split()], cwd=folder, check=True, timeout=300)
    return folder / "pictures"


def answer(done):
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_render_writes_the_format_that_the_name_says(polyglyph, mesh, tmp_path, suffix):
    out = tmp_path / f"picture{suffix}"
    assert answer(polyglyph("render", mesh, "--out", out, "--resolution", 32, "--json"))["out"] == str(out)
    with Image.open(out) as picture:
        assert picture.format == {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG"}[suffix]
        assert picture.size == (32, 32)
        red, green, blue = np.asarray(picture.convert("RGB"))[16, 16]
    assert red > 60
    assert max(green, blue) < red


def test_render_fits_the_whole_object_in_the_picture_from_every_side(polyglyph, mesh, tmp_path):
    out = tmp_path / "mask.png"
    for azimuth in (0, 77, 200):
        options = ["--mode", "mask", "--background", "black", "--resolution", 64, "--force"]
        polyglyph("render", mesh, "--out", out, "--azimuth", azimuth, "--elevation", 35, *options)
        with Image.open(out) as picture:
            seen = np.asarray(picture.convert("L")) > 0
        assert seen.any()
        edge = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
        assert not edge.any()


def test_render_draws_several_sides_on_one_sheet(polyglyph, mesh, tmp_path):
    polyglyph("render", mesh, "--out", tmp_path / "sheet.png", "--views", 4, "--resolution", 32)
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width >= 64
        assert picture.height >= 64


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_turntable_has_as_many_frames_as_views(polyglyph, mesh, tmp_path, suffix):
    out = tmp_path / f"film{suffix}"
    done = polyglyph("render", mesh, "--out", out, "--turntable", "--views", 5, "--resolution", 32)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as film:
        assert film.n_frames == 5


def test_no_background_is_transparent(polyglyph, mesh, tmp_path):
    polyglyph("render", mesh, "--out", tmp_path / "a.png", "--background", "none", "--resolution", 32)
    with Image.open(tmp_path / "a.png") as picture:
        alpha = np.asarray(picture)[..., 3]
    assert alpha.min() == 0
    assert alpha.max() == 255


@pytest.mark.parametrize(
    "command",
    [
        "render tetrahedron.glb --out a.png",
        "import tetrahedron.glb meshes",
        "procedural chair chairs --count 2",
        "fetch furniture furniture",
        "sample --out samples",
        "demo",
    ],
)
def test_a_dry_run_writes_nothing_and_says_what_it_would(polyglyph, mesh, tmp_path, command):
    before = files(tmp_path)
    told = polyglyph(*command.split(), "--dry-run")
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip()
    assert answer(polyglyph(*command.split(), "--dry-run", "--json"))["dry_run"] is True
    assert files(tmp_path) == before


def test_a_dry_run_of_dataset_and_train_counts_and_writes_nothing(polyglyph, pictures, tmp_path):
    meshes = pictures.parent / "meshes"
    plan = answer(polyglyph("dataset", meshes, "new", "--views", 5, "--dry-run", "--json"))
    assert (plan["meshes"], plan["pictures"]) == (3, 15)
    plan = answer(polyglyph("train", pictures, "--out", "run", *TINY, "--dry-run", "--json"))
    assert plan["config"]["generator"]["latent"] == 16
    assert sum(plan["meshes"].values()) == 3
    assert not files(tmp_path)


def test_a_preset_changes_what_is_not_given(polyglyph, pictures):
    options = [pictures, "--out", "run", *TINY, "--dry-run", "--json"]
    tiny = answer(polyglyph("train", *options, "--preset", "tiny"))["config"]
    small = answer(polyglyph("train", *options, "--preset=small"))["config"]
    assert tiny["schedule"]["batch"] == 4
    assert small["schedule"]["batch"] == 32
    assert tiny["generator"]["latent"] == small["generator"]["latent"] == 16


def test_words_for_the_parts_of_a_generator_choose_defaults(polyglyph, pictures):
    options = ("train", pictures, "--out", "unused", "--resolution", "16", "--dry-run", "--json")
    config = answer(
        polyglyph(*options, "--generator=separate", "--isosurface", "flexicubes", "--material", "pbr")
    )["config"]
    assert config["generator"]["architecture"] == "separate"
    assert config["generator"]["material"] == "pbr"
    assert config["isosurface"]["method"] == "flexicubes"
    wide = answer(polyglyph(*options, "--preset", "paper", "--generator", "separate"))["config"]
    assert wide["generator"]["channel_base"] == 32768
    free = answer(polyglyph(*options, "--preset", "paper", "--isosurface=flexicubes"))["config"]
    assert free["isosurface"]["deformation_multiplier"] == 2.0
    bad = polyglyph(*options, "--generator", "seperate")
    assert bad.returncode == 2
    assert "did you mean `separate`?" in bad.stderr


def test_import_keeps_what_it_can_read_and_prints_what_it_skipped(polyglyph, mesh, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    mesh.rename(folder / "good.glb")
    (folder / "bad.stl").write_text("nonsense")
    done = polyglyph("import", "many", "meshes")
    assert done.returncode == 0
    assert "skipped bad: " in done.stdout
    assert "1 meshes" in done.stdout or "1 mesh " in done.stdout
    again = polyglyph("import", "many", "meshes")
    assert again.returncode == 2
    assert answer(polyglyph("import", "many", "meshes", "--force", "--json"))["kept"] == 1


def test_inspect_tells_a_mesh_a_mesh_folder_and_a_dataset_apart(polyglyph, mesh, pictures):
    for path in (mesh, pictures, pictures.parent / "meshes"):
        told = polyglyph("inspect", path)
        assert told.returncode == 0, told.stderr
        assert told.stdout.strip()
        assert isinstance(answer(polyglyph("inspect", path, "--json")), dict)


def test_train_runs_then_sample_draws_from_the_model_it_left(polyglyph, pictures, tmp_path):
    told = answer(polyglyph("train", pictures, "--out", "run", *TINY, "--schedule.kimg", "0.012", "--json"))
    assert told["steps"] == 3
    options = ["--count", 2, "--seed", 7, "--texture-resolution", 32, "--view-resolution", 32, "--faces", 200]
    done = polyglyph("sample", told["model"], "--out", "samples", *options)
    assert done.returncode == 0, done.stderr
    made = files(tmp_path / "samples")
    assert len([name for name in made if name.endswith(".glb")]) == 2
    assert {"sheet.png", "index.html"} <= made


def test_ctrl_c_during_training_saves_and_is_exit_code_130_and_resume_goes_on(polyglyph, pictures, tmp_path):
    code = "import sys; from polyglyph.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "train", str(pictures), "--out", "run", *TINY]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "preview.png").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert saved
    assert files(saved[-1]) == {"model.safetensors", "optimiser.safetensors", "state.json"}
    step = json.loads((saved[-1] / "state.json").read_text())["step"]
    kimg = (step + 2) * 4 / 1000
    again = polyglyph(
        "train", pictures, "--out", "run", *TINY, "--resume", "auto", "--schedule.kimg", kimg, "--json"
    )
    assert answer(again)["steps"] == step + 2


def test_a_run_is_not_resumed_with_other_settings(polyglyph, pictures):
    first = polyglyph("train", pictures, "--out", "run", *TINY, "--schedule.kimg", "0.004")
    assert first.returncode == 0, first.stderr
    other = polyglyph("train", pictures, "--out", "run", *TINY, "--resume", "auto", "--loss.r1-gamma", "3")
    assert other.returncode == 2
    assert "loss.r1_gamma" in other.stderr
    unasked = polyglyph("train", pictures, "--out", "run", *TINY)
    assert unasked.returncode == 2
    assert "already exists" in unasked.stderr


def test_demo_makes_four_meshes_a_sheet_and_a_page_and_can_be_repeated_with_force(polyglyph, tmp_path):
    done = polyglyph("demo")
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stdout
    made = files(tmp_path / "out" / "demo")
    assert len([name for name in made if name.endswith(".glb")]) == 4
    assert {"sheet.png", "index.html"} <= made
    assert polyglyph("demo").returncode == 2
    assert polyglyph("demo", "--force").returncode == 0
    assert files(tmp_path / "out" / "demo") == made


def test_a_dataset_is_written_again_as_shards_and_in_get3ds_layout(polyglyph, pictures, tmp_path):
    dataset = pictures
    shards = answer(polyglyph("dataset", dataset, "tars", "--layout", "shards", "--json"))
    assert shards["pictures"] == 12
    assert list((tmp_path / "tars" / "shards").glob("*.tar"))
    answer(polyglyph("dataset", dataset, "theirs", "--layout", "get3d", "--json"))
    assert answer(polyglyph("inspect", "theirs", "--json"))["kind"] != "unknown"
    refused = polyglyph("dataset", dataset.parent / "meshes", "no", "--layout", "shards")
    assert refused.returncode == 2
    assert "hint:" in refused.stderr
    assert not (tmp_path / "no").exists()
