"""`polyglyph convert`: what it prints, writes and leaves alone."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from shape.get3d.published_files import generator_shapes, random_checkpoint, random_state, saved

from polyglyph import cli
from polyglyph.shape.get3d.model import load_generator

SMALL_LATTICE = ("--resolution", 6)


class Finished(NamedTuple):
    """What a call of the command line left."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def convert(tmp_path, monkeypatch, capfd):
    """Run `polyglyph convert ARGUMENTS` in `tmp_path`, in this process."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        capfd.readouterr()
        code = cli.main(["convert", *map(str, arguments)])
        return Finished(code, *capfd.readouterr())

    return run


@pytest.fixture
def chair(tmp_path) -> Path:
    """A checkpoint named like a published one."""
    path = tmp_path / "shapenet_chair.pt"
    path.write_bytes(saved(random_checkpoint()))
    return path


def answer(done):
    assert done.code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


def test_a_checkpoint_becomes_a_model_folder(convert, chair, tmp_path):
    done = convert(chair, "out")
    assert done.code == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    files = {"config.json", "model.safetensors", "README.md"}
    assert names == files | {"discriminators.json", "discriminators.safetensors"}
    assert load_generator(tmp_path / "out").config.subject == "chair"
    for words in (
        "unified generator",
        "box of side 0.8",
        "lattice of 90³",
        "up to 256",
        "left out: `G`",
        "16²",
    ):
        assert words in done.stdout
    assert done.stdout.endswith("written to out\n")
    assert done.stderr == ""


def test_every_setting_reaches_the_model(convert, chair, tmp_path):
    options = (
        "--scale 0.7 --resolution 6 --deformation-multiplier 2 --subject lamp --network G --generator-only"
    )
    more = "--picture-resolution 64 --elevation 5 40 --estimate-average --seed 3 --fp32"
    found = answer(convert(chair, "out", *options.split(), *more.split(), "--json"))
    config = load_generator(tmp_path / "out").config
    assert (config.isosurface.scale, config.isosurface.resolution) == (0.7, 6)
    assert config.isosurface.deformation_multiplier == pytest.approx(1.4)
    assert (config.subject, config.resolution, config.elevation) == ("lamp", 64, (5.0, 40.0))
    assert config.generator.clamp is None
    assert found["network"] == "G"
    assert sorted(found["left_out"]) == ["D", "G_ema"]
    assert found["discriminators"] is None
    assert not (tmp_path / "out" / "discriminators.json").exists()
    assert "found again" in (tmp_path / "out" / "README.md").read_text()


def test_the_seed_decides_the_estimated_average(convert, chair, tmp_path):
    averages = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert convert(chair, name, "--estimate-average", "--seed", seed).code == 0
        averages.append(load_generator(tmp_path / name).generator.mapping.w_avg)
    assert torch.equal(averages[0], averages[1])
    assert not torch.equal(averages[0], averages[2])


def test_the_answer_names_what_was_read_and_made(convert, chair):
    found = answer(convert(chair, "out", "--json"))
    assert found["out"] == "out"
    assert len(found["sha256"]) == 64
    assert found["config"]["isosurface"]["scale"] == 0.8
    assert found["discriminators"]["resolution"] == 16
    assert found["parameters"] == sum(value.numel() for value in load_generator("out").generator.parameters())


def test_a_dry_run_reads_everything_and_writes_nothing(convert, chair, tmp_path):
    done = convert(chair, "out", "--dry-run")
    assert done.code == 0
    assert "would be written to out" in done.stdout
    assert answer(convert(chair, "out", "--dry-run", "--json"))["dry_run"] is True
    assert [path.name for path in tmp_path.iterdir()] == [chair.name]
    chair.write_bytes(saved({"G_ema": {}}))
    assert convert(chair, "out", "--dry-run").code == 2


def test_a_folder_is_replaced_only_when_asked(convert, chair, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for option in ((), ("--dry-run",)):
        done = convert(chair, "out", *option)
        assert done.code == 2
        assert "already exists" in done.stderr
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    assert convert(chair, "out", "--force").code == 0
    assert not (tmp_path / "out" / "mine.txt").exists()


def test_what_was_converted_can_be_sampled(convert, chair, tmp_path):
    assert convert(chair, "out", *SMALL_LATTICE).code == 0
    options = "--count 1 --texture-resolution 16 --view-resolution 16 --faces 50 --device cpu"
    assert cli.main(["sample", "out", "--out", "meshes", *options.split()]) == 0
    assert [path.name for path in (tmp_path / "meshes").glob("*.glb")] == ["chair_0000.glb"]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"model": {"a": torch.zeros(3)}, "step": 3}, "holds a dict that begins with `model`, `step`"),
        ([torch.zeros(3)], "of no kind that is converted: it holds a list"),
        ({"G": random_state(generator_shapes(), 1)}, "has no `G_ema`"),
        (random_state(generator_shapes(), 1), "has no `G_ema`"),
    ],
)
def test_another_kind_of_checkpoint_is_refused_and_named(convert, tmp_path, contents, words):
    (tmp_path / "a.pt").write_bytes(saved(contents))
    done = convert("a.pt", "out")
    assert done.code == 2
    assert words in done.stderr
    assert "\n\nhint: " in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    ["gone.pt out", "shapenet_chair.pt out --scale -1", "shapenet_chair.pt out --camera nowhere",
     "shapenet_chair.pt out --elevation 30 10", "shapenet_chair.pt out --network D", "shapenet_chair.pt"],
)  # fmt: skip
def test_wrong_arguments_are_refused(convert, chair, tmp_path, arguments):
    done = convert(*arguments.split())
    assert done.code == 2
    assert done.stderr.startswith("error: ")
    assert "\n\nhint: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [chair.name]
