"""`polyglyph ablate`: the plan, the table, mistakes."""

import json

import pytest
from small_dataset import write_dataset

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.cli.ablate import main

SPEC = """
dataset = "noise"
[set]
generator = {latent = 8, plane_resolution = 8, plane_channels = 4, channel_base = 64, channel_max = 8}
isosurface.resolution = 8
discriminator = {channel_base = 64, channel_max = 8, embedding = 8}
schedule.kimg = 0.008
resolution = 16
[grid]
discriminator.camera = [true, false]
[measure]
extractor = "none"
"""


@pytest.fixture
def spec(tmp_path):
    write_dataset(tmp_path / "noise", {"train": ["0000_a"], "val": [], "test": ["0001_b"]})
    (tmp_path / "study.toml").write_text(SPEC)
    return tmp_path / "study.toml"


def test_a_dry_run_lists_the_cells_and_writes_nothing(spec, tmp_path, capsys):
    assert main([str(spec), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "discriminator.camera=true: 0.008 thousand pictures",
        "discriminator.camera=false: 0.008 thousand pictures",
        "2 cells, 1 seeds: 2 runs",
    ]
    assert not (tmp_path / "out").exists()
    assert main([str(spec), "--out", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [cell["config"]["discriminator"]["camera"] for cell in told["cells"]] == [True, False]


def test_time_that_is_up_says_what_is_missing_and_the_rest_is_done_later(spec, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main([str(spec), "--out", out, "--minutes", "0"]) == 0
    assert "not finished: discriminator.camera=true, seed 0; " in capsys.readouterr().out
    assert main([str(spec), "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == []
    assert [run["steps"] for run in told["runs"]] == [2, 2]
    assert main([str(spec), "--out", out]) == 0
    assert "| yes | 1 |" in capsys.readouterr().out  # no metrics were asked for


def test_mistakes_are_told(spec, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        main([str(tmp_path / "nowhere.toml"), "--out", str(tmp_path / "out")])
    spec.write_text(SPEC.replace("discriminator.camera =", "discriminator.camrea ="))
    with pytest.raises(ConfigError, match="camrea"):
        main([str(spec), "--out", str(tmp_path / "out")])
