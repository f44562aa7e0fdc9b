"""The score that the best model is kept by: what it is made of, and that renders are looked at once."""

import json

import pytest
import torch
from measure.pictured import Quarters
from shape.get3d.tiny import CONFIG, discs

from polyglyph.base.errors import ConfigError
from polyglyph.measure import training_score
from polyglyph.measure.frechet import frechet_distance
from polyglyph.measure.pictures import dataset_pictures, features, sample_pictures
from polyglyph.measure.training_score import training_metric
from polyglyph.shape.get3d.config import ScheduleConfig
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.train import train

SCHEDULE = ScheduleConfig(best="mobilenet_v2", best_pictures=12)


@pytest.fixture
def quarters(monkeypatch):
    """An extractor of twelve features in place of a large one."""
    extractor = Quarters()
    monkeypatch.setattr(training_score, "load_extractor", lambda *_, **__: extractor)
    return extractor


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(1)
    return make_generator(CONFIG.generator, CONFIG.isosurface).eval()


def test_it_is_the_distance_of_samples_from_training_renders(tmp_path, quarters, generator):
    data = discs()
    metric = training_metric(SCHEDULE, tmp_path)
    assert metric.name == "FD-quarters of 12 pictures"
    real = features(quarters, dataset_pictures(data, ["train"], 12, seed=0), label="test")
    made = features(quarters, sample_pictures(generator, data, 12, seed=0), label="test")
    assert metric.score(generator, data) == pytest.approx(frechet_distance(made, real), rel=1e-5)


def test_renders_are_looked_at_once_and_by_a_later_call_too(tmp_path, quarters, generator):
    data = discs()
    first = training_metric(SCHEDULE, tmp_path).score(generator, data)
    seen = quarters.seen
    assert training_metric(SCHEDULE, tmp_path).score(generator, data) == first
    assert quarters.seen - seen == 12  # the samples alone
    fewer = training_metric(ScheduleConfig(best="mobilenet_v2", best_pictures=8), tmp_path)
    fewer.score(generator, data)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_the_score_draws_no_random_number_of_the_training(tmp_path, quarters, generator):
    state = torch.get_rng_state()
    training_metric(SCHEDULE, tmp_path).score(generator, discs())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_training_is_scored_by_it(tmp_path, quarters):
    out = tmp_path / "run"
    train(discs(), out, CONFIG, device="cpu", metric=training_metric(SCHEDULE, out / "cache"))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    (value,) = [line["FD-quarters of 12 pictures"] for line in lines if "FD-quarters of 12 pictures" in line]
    assert json.loads((out / "best" / "score.json").read_text())["value"] == value


def test_an_unknown_extractor_is_refused_before_the_training(tmp_path):
    with pytest.raises(ConfigError, match="no extractor"):
        training_metric(ScheduleConfig(), tmp_path)  # none
