"""What is suggested for a data set."""

import dataclasses

import pytest

from polyglyph.shape.get3d.advice import advice_for, advice_for_presets, suggested_r1_gamma
from polyglyph.shape.get3d.config import PRESETS, AugmentConfig


@pytest.mark.parametrize(
    ("resolution", "batch", "gamma"), [(64, 4, 0.2048), (1024, 32, 6.5536), (256, 64, 0.2048)]
)
def test_the_weight_of_r1_is_that_of_the_rule(resolution, batch, gamma):
    assert suggested_r1_gamma(resolution, batch) == pytest.approx(gamma)


def test_the_advice_names_options_that_exist_and_what_is_set_now():
    (line,) = advice_for(PRESETS["tiny"], 1440)
    assert "`--loss.r1-gamma`, `--loss.r1-gamma-mask` (2 and 2)" in line
    assert "64² with batch 4 a starting point is 0.2, and 1.2 to 12 for" in line


def test_few_pictures_ask_for_augmentation_unless_it_is_on():
    plain = dataclasses.replace(PRESETS["tiny"], augment=AugmentConfig())
    assert any("--augment.target 0.6" in line for line in advice_for(plain, 1440))
    assert not any(
        "--augment.target" in line for line in advice_for(plain, 15_000)
    )  # 30 thousand with mirrors
    assert any("--augment.target" in line for line in advice_for(plain, 14_999))
    assert not any("--augment.target" in line for line in advice_for(PRESETS["tiny"], 1440))


def test_only_presets_that_the_pictures_are_large_enough_for_are_named():
    def named(resolution: int) -> set[str]:
        return {line.split()[2].strip("`:") for line in advice_for_presets(resolution, 1440)}

    assert named(32) == set()
    assert named(64) == {"tiny"}
    assert named(128) == {"tiny", "small"}
    assert named(1024) == {"tiny", "small", "paper"}
