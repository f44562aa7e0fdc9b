"""What the log says is wrong: when it is said, that it is said once, and that a resumed run remembers."""

import dataclasses
import itertools
import json

import pytest
import torch
from shape.get3d.tiny import CONFIG, discs

from polyglyph.shape.get3d import health
from polyglyph.shape.get3d.config import AugmentConfig
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.health import Health, spread
from polyglyph.shape.get3d.train import train
from polyglyph.shape.get3d.trainer import View

NONE, ADAPTIVE = AugmentConfig(), AugmentConfig(target=0.6)
GOOD = {
    "sign_real": 0.82, "sign_real_mask": 0.6, "loss_g": 2.7, "loss_g_mask": 1.5, "empty": 0.0, "augment": 0.8,
    "spread": 0.1,
}  # fmt: skip
"""The worst that runs which went well have shown."""


def lines(count: int, *, first: int = 0, **values: float):
    """So many lines of the log, 0.2 thousand pictures apart."""
    return [
        {"step": 50 * (first + k + 1), "kimg": 0.2 * (first + k + 1)} | GOOD | values for k in range(count)
    ]


def told(log, augment: AugmentConfig = ADAPTIVE) -> list[str]:
    config = dataclasses.replace(CONFIG, augment=augment)
    watching = Health(config)
    return list(itertools.chain.from_iterable(watching.look(line) for line in log))


@pytest.mark.parametrize("augment", [NONE, ADAPTIVE])
def test_nothing_is_said_of_a_healthy_run(augment):
    assert told(lines(400), augment) == []


def test_a_discriminator_that_knows_the_real_pictures_is_told_once_with_what_to_change():
    notes = told(lines(400, sign_real=0.96))
    assert len(notes) == 1
    assert "the colour discriminator wins" in notes[0]
    assert "98 %" in notes[0]
    assert f"--loss.r1-gamma {4 * CONFIG.loss.r1_gamma:g}" in notes[0]


def test_the_mask_discriminator_has_a_weight_of_its_own():
    (note,) = told(lines(100, sign_real_mask=0.95))
    assert "the mask discriminator wins" in note
    assert "--loss.r1-gamma-mask" in note


def test_a_weight_far_too_small_is_raised_to_the_rule_of_thumb():
    weak = dataclasses.replace(CONFIG, resolution=64, loss=dataclasses.replace(CONFIG.loss, r1_gamma=0.0001))
    watching = Health(weak)
    notes = [note for line in lines(60, loss_g=6.0) for note in watching.look(line)]
    assert "`--loss.r1-gamma 0.2`" in notes[0]


def test_while_the_augmentation_can_still_grow_it_is_left_to_work():
    assert told(lines(100, sign_real=0.99, augment=0.4)) == []
    assert "--augment.target 0.6" in told(lines(100, sign_real=0.99, augment=0.0), NONE)[0]


def test_a_generator_that_is_hopelessly_behind_is_told_whatever_the_augmentation_does():
    (note,) = told(lines(100, loss_g=6.0, augment=0.1))
    assert "6.0" in note
    assert "--augment.speed-kimg" in note


def test_a_short_fright_is_not_told():
    assert told(lines(100) + lines(4, first=100, sign_real=1.0, loss_g=9.0) + lines(100, first=104)) == []


def test_it_is_said_when_it_is_over_and_again_when_it_returns():
    log = (
        lines(60, loss_g=6.0)
        + lines(60, first=60, loss_g=4.5)  # between the two limits nothing changes
        + lines(60, first=120, loss_g=6.0)
        + lines(60, first=180)
        + lines(60, first=240, loss_g=6.0)
    )
    notes = told(log)
    assert [note.split(":")[0] for note in notes] == ["warning", "over", "warning"]


def test_it_is_not_over_while_the_sign_is_between_its_two_limits():
    log = lines(60, sign_real=0.95) + lines(60, first=60, sign_real=0.87)
    assert len(told(log)) == 1
    assert len(told(log + lines(60, first=120, sign_real=0.8))) == 2


def test_nothing_is_said_before_the_window_is_full():
    few = [line | {"kimg": 10 * line["kimg"]} for line in lines(9, sign_real=1.0)]
    assert told(few) == []  # 18 thousand pictures in nine lines
    assert told(lines(24, sign_real=1.0)) == []  # 4.8 thousand


def test_shapes_that_stay_empty_are_told_but_not_those_of_the_beginning():
    assert told(lines(25, empty=2.0) + lines(200, first=25)) == []
    (note,) = told(lines(200, empty=2.0))
    assert "empty" in note
    assert "initial-radius" in note


def test_an_empty_shape_now_and_then_is_not_told():
    log = lines(200)
    for line in log[::2]:
        line["empty"] = 1.0
    assert told(log) == []
    assert told(lines(200, empty=0.05)) == []  # in every line one of thousands


def test_samples_that_are_all_alike_are_told():
    assert told(lines(25, spread=0.0) + lines(200, first=25)) == []
    (note,) = told(lines(100) + lines(100, first=100, spread=0.01))
    assert "samples are alike" in note


def test_a_resumed_run_does_not_repeat_itself_and_still_says_when_it_is_over():
    log = lines(60, loss_g=6.0)
    resumed = Health(CONFIG, log)
    assert resumed.look(lines(1, first=60, loss_g=6.0)[0]) == []
    notes = [note for line in lines(60, first=61) for note in resumed.look(line)]
    assert notes == ["over: the colour discriminator wins"]


def test_lines_that_hold_a_score_only_are_passed_over():
    score = {"step": 450, "kimg": 18.0, "FD": 80.0}
    nine = [line | {"kimg": 10 * line["kimg"]} for line in lines(9, sign_real=1.0)]
    tenth = lines(1, first=90, sign_real=1.0)
    assert told([*nine, score, score]) == []
    assert len(told([*nine, score, *tenth])) == 1


def test_a_run_with_one_discriminator_is_watched_too():
    log = [{k: v for k, v in line.items() if "mask" not in k} for line in lines(60, loss_g=6.0)]
    assert "the colour discriminator" in told(log)[0]


def test_the_spread_of_one_shape_is_nothing_and_of_many_is_more():
    torch.manual_seed(0)
    generator = make_generator(CONFIG.generator, CONFIG.isosurface).eval()
    state = torch.get_rng_state()
    view = View(1.2, 49.134)
    some = spread(generator, view, 16, 30.0, 20.0)
    with torch.no_grad():
        for mapping in (generator.mapping, generator.mapping_geo):
            for parameter in mapping.parameters():
                parameter.zero_()
    assert spread(generator, view, 16, 30.0, 20.0) == 0.0
    assert some > 1e-4
    assert torch.equal(torch.get_rng_state(), state)


def test_training_writes_the_warning_to_the_log_the_page_and_the_person(tmp_path, monkeypatch, capsys):
    for name, value in {"WINDOW_KIMG": 0.008, "LEAST_LINES": 2, "LOSS_G": 0.0, "LOSS_G_AGAIN": 0.0}.items():
        monkeypatch.setattr(health, name, value)
    train(discs(), tmp_path / "run", CONFIG, device="cpu")
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    (noted,) = [line for line in log if "notes" in line]
    assert noted["kimg"] == pytest.approx(0.016)
    assert all(0 <= line["spread"] < 1 for line in log)
    assert any("the colour discriminator wins" in note for note in noted["notes"])
    page = (tmp_path / "run" / "index.html").read_text()
    assert "0.0 thousand: warning: the colour discriminator wins" in page
    assert "spread: " in page
    assert "the colour discriminator wins" in capsys.readouterr().err
