"""The best model of a run: when it is scored, which is kept, and that resuming changes nothing."""

import dataclasses
import json

import pytest
import torch
from shape.get3d.tiny import CONFIG, discs

from polyglyph.base.errors import ConfigError
from polyglyph.learn.checkpoint import latest_checkpoint
from polyglyph.learn.distributed import World
from polyglyph.shape.get3d.best import Metric, best_so_far, is_due
from polyglyph.shape.get3d.config import Config, ScheduleConfig
from polyglyph.shape.get3d.model import load_generator
from polyglyph.shape.get3d.train import train


def config(**schedule) -> Config:
    """Ten steps of four pictures, a score after every third."""
    return dataclasses.replace(
        CONFIG, schedule=dataclasses.replace(CONFIG.schedule, best_kimg=0.012, **schedule)
    )


def scores(*values: float, name: str = "badness") -> Metric:
    """A metric that gives these values one after the other."""
    left = list(values)
    return Metric(name, lambda generator, data: left.pop(0))


def logged(out, name: str = "badness") -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[name]) for line in lines if name in line]


def same_weights(a, b) -> bool:
    one, other = (load_generator(path).generator.state_dict() for path in (a, b))
    return all(torch.equal(one[name], other[name]) for name in one)


def test_scores_are_due_by_pictures_seen_and_at_the_end():
    schedule = ScheduleConfig(batch=4, best_kimg=0.01)
    assert [step for step in range(1, 11) if is_due(schedule, step, 10)] == [3, 5, 8, 10]
    often = ScheduleConfig(batch=32, best_kimg=0.01)
    assert all(is_due(often, step, 10) for step in range(1, 11))


def test_the_model_with_the_lowest_score_is_kept_and_told(tmp_path):
    out, seen = tmp_path / "run", {}

    def note(trainer) -> None:
        seen[trainer.step] = {k: v.clone() for k, v in trainer.average.module.state_dict().items()}

    train(discs(), out, config(), device="cpu", metric=scores(3.0, 1.5, 2.0, 1.9), on_step=note)
    assert logged(out) == [(3, 3.0), (6, 1.5), (9, 2.0), (10, 1.9)]
    assert best_so_far(out) == {"metric": "badness", "value": 1.5, "step": 6, "kimg": 0.024}
    model = load_generator(out / "best")
    assert model.config.kimg == 0.024
    for name, value in model.generator.named_parameters():
        torch.testing.assert_close(value, seen[6][name].half().float(), rtol=0, atol=0)
    assert "best: badness 1.5 at 0.0 thousand" in (out / "index.html").read_text()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_scoring_changes_nothing_in_the_training(tmp_path):
    plain, scored = tmp_path / "plain", tmp_path / "scored"
    train(discs(), plain, CONFIG, device="cpu")
    train(discs(), scored, config(), device="cpu", metric=scores(4.0, 3.0, 2.0, 1.0))
    names = [latest_checkpoint(out / "checkpoints") / "model.safetensors" for out in (plain, scored)]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert same_weights(plain / "model", scored / "model")
    assert same_weights(scored / "model", scored / "best")


def test_a_resumed_run_remembers_what_was_best(tmp_path):
    out = tmp_path / "run"
    train(discs(), out, config(kimg=0.02), device="cpu", metric=scores(1.0, 2.0))
    assert logged(out) == [(3, 1.0), (5, 2.0)]
    train(discs(), out, config(), device="cpu", metric=scores(1.5, 0.9, 1.2), resume="auto")
    assert logged(out) == [(3, 1.0), (5, 2.0), (6, 1.5), (9, 0.9), (10, 1.2)]
    assert best_so_far(out)["step"] == 9
    train(discs(), out, config(kimg=0.052), device="cpu", metric=scores(5.0, 4.0), resume="auto")
    assert best_so_far(out)["value"] == 0.9


def test_scores_of_another_metric_are_not_compared(tmp_path):
    out = tmp_path / "run"
    train(discs(), out, config(kimg=0.02), device="cpu", metric=scores(1.0, 2.0))
    train(discs(), out, config(), device="cpu", metric=scores(7.0, 8.0, 9.0, name="FD"), resume="auto")
    assert best_so_far(out)["metric"] == "FD"
    assert best_so_far(out)["value"] == 7.0


def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        train(discs(), tmp_path / "run", config(), device="cpu", metric=scores(float("nan")))
    assert best_so_far(tmp_path / "run") is None


def test_a_killed_score_leaves_the_best_as_it_was(tmp_path):
    out = tmp_path / "run"

    def broken(generator, data) -> float:
        raise KeyboardInterrupt

    train(discs(), out, config(kimg=0.02), device="cpu", metric=scores(1.0, 2.0))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (out / "best").iterdir())
    with pytest.raises(KeyboardInterrupt):
        train(discs(), out, config(), device="cpu", metric=Metric("badness", broken), resume="auto")
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (out / "best").iterdir()) == before


def test_a_setting_without_a_metric_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"schedule\.best") as caught:
        train(
            discs(),
            tmp_path / "run",
            config(best="mobilenet_v2"),
            device="cpu",
            world=World(torch.device("cpu")),
        )
    assert "training_metric" in caught.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "value"), [("best_kimg", 0.0), ("best_pictures", 1)])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        ScheduleConfig(**{name: value})
