"""What `train` says beforehand, and that it keeps the best model when asked to."""

import json

import pytest
from measure.pictured import Quarters
from small_dataset import write_dataset

from polyglyph import cli
from polyglyph.measure import training_score
from polyglyph.shape.data import inspect
from polyglyph.shape.data.inspect import inspect_path

SMALLEST = """
--resolution 16 --generator.latent 16 --generator.mapping-depth 1 --generator.plane-resolution 16
--generator.plane-channels 4 --generator.channel-base 128 --generator.channel-max 16 --isosurface.resolution 8
--discriminator.channel-base 128 --discriminator.channel-max 16 --discriminator.embedding 16
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    split = {"train": ["0000_a", "0001_b"], "val": ["0002_c"], "test": []}
    return write_dataset(tmp_path_factory.mktemp("data") / "noise", split)


@pytest.fixture
def train(pictures, tmp_path, capfd):
    def run(*options: str) -> dict:
        arguments = [
            "train",
            str(pictures),
            "--out",
            str(tmp_path / "run"),
            *SMALLEST.split(),
            "--json",
            *options,
        ]
        assert cli.main(arguments) == 0
        return json.loads(capfd.readouterr().out)

    return run


def test_a_dry_run_advises_on_r1_for_this_resolution_and_batch(train):
    (line,) = train("--dry-run", "--schedule.batch", "8")["advice"]
    assert "at 16² with batch 8 a starting point is 0.0064" in line
    assert len(train("--dry-run", "--augment.target", "None")["advice"]) == 2


def test_inspect_asks_for_advice_on_the_stored_resolution_and_the_training_pictures(pictures, monkeypatch):
    assert not any("r1" in note for note in inspect_path(pictures).notes)  # 16²: too small for all presets
    monkeypatch.setattr(inspect, "advice_for_presets", lambda side, count: [f"{side} pixels, {count} views"])
    assert "16 pixels, 4 views" in inspect_path(pictures).notes


def test_the_best_model_is_kept_where_it_was_asked_for(train, tmp_path, monkeypatch):
    monkeypatch.setattr(training_score, "load_extractor", lambda *_, **__: Quarters())
    schedule = {"kimg": "0.012", "best": "mobilenet_v2", "best-kimg": "0.008", "best-pictures": "4"}
    train(*(word for name, value in schedule.items() for word in (f"--schedule.{name}", value)))
    run = tmp_path / "run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [line["FD-quarters of 4 pictures"] for line in lines if "FD-quarters of 4 pictures" in line]
    assert len(scores) == 2
    assert json.loads((run / "best" / "score.json").read_text())["value"] == min(scores)
    assert list((run / "cache").glob("*.npy"))
