"""The light of generated materials: drawn for every picture, shared by processes, fitting the data set."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from shape.get3d.tiny import CONFIG, discs

from polyglyph.base.errors import ConfigError
from polyglyph.learn.distributed import World
from polyglyph.scene.random_environment import LOBES, random_environment
from polyglyph.shape.data.dataset import Dataset, DatasetInfo
from polyglyph.shape.get3d import train as training
from polyglyph.shape.get3d import trainer as stepping
from polyglyph.shape.get3d.config import Config
from polyglyph.shape.get3d.data import PictureStream, pictures_of
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.lighting import check_light, random_lighting, show_lighting
from polyglyph.shape.get3d.train import preview, train
from polyglyph.shape.get3d.trainer import Batch, Trainer, View

CPU = torch.device("cpu")
PBR = dataclasses.replace(CONFIG, generator=dataclasses.replace(CONFIG.generator, material="pbr"))


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return make_generator(PBR.generator, PBR.isosurface).eval()


@pytest.fixture(scope="module")
def unlit():
    return make_generator(CONFIG.generator, CONFIG.isosurface)


def lit_by(light: str) -> Dataset:
    return dataclasses.replace(discs(), info=DatasetInfo(views=4, resolution=16, light=light))


def test_lights_are_those_of_data_sets_and_one_number_each_is_drawn(generator):
    rng, same = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    found = random_lighting(generator, 3, rng)
    assert found is not None
    assert found.sharpness.shape == (3, LOBES)
    for row, seed in enumerate(torch.randint(1 << 62, (3,), generator=same).tolist()):
        light = random_environment(np.random.default_rng(seed))
        torch.testing.assert_close(found.axes[row], light.axes)
        torch.testing.assert_close(found.amplitude[row], light.amplitude)
    assert torch.equal(rng.get_state(), same.get_state())


def test_a_generator_without_a_material_takes_no_light_and_no_random_number(unlit):
    rng = torch.Generator().manual_seed(5)
    before = rng.get_state()
    assert random_lighting(unlit, 3, rng) is None
    assert show_lighting(unlit, 3) is None
    assert torch.equal(rng.get_state(), before)


def test_processes_draw_alike_and_light_their_share(generator):
    streams = [torch.Generator().manual_seed(5) for _ in range(3)]
    whole = random_lighting(generator, 6, streams[0])
    halves = [
        random_lighting(generator, 6, streams[1 + rank], World(CPU, rank, 2).share) for rank in range(2)
    ]
    for rank, half in enumerate(halves):
        assert torch.equal(half.amplitude, whole.amplitude[rank::2])
        assert torch.equal(streams[1 + rank].get_state(), streams[0].get_state())


def steps(config: Config, monkeypatch, count: int = 2) -> list:
    """The light of each of a few training steps."""
    seen = []
    draw = stepping.draw

    def noted(*arguments, **settings):
        seen.append(settings["lighting"])
        return draw(*arguments, **settings)

    monkeypatch.setattr(stepping, "draw", noted)
    data = discs()
    stream = PictureStream(pictures_of(data, "train"), data.angles("train"), mirror=True, seed=0)
    trainer = Trainer(config, View(data.radius, data.fov), device=CPU, seed=0)
    for _ in range(count):
        trainer.train_step(Batch(*stream.batch(trainer.seen, config.schedule.batch, CPU)))
    return seen


def test_every_generated_picture_of_a_training_has_a_light_of_its_own(monkeypatch):
    lights = torch.cat([light.amplitude for light in steps(PBR, monkeypatch)])
    assert len(lights) == 2 * PBR.schedule.batch
    assert len(lights.unique(dim=0)) == len(lights)
    assert steps(CONFIG, monkeypatch) == [None, None]


def test_a_preview_shows_all_samples_under_one_light_and_always_the_same(generator, monkeypatch):
    lights = show_lighting(generator, 2)
    assert lights is not None
    assert torch.equal(lights.amplitude[0], lights.amplitude[1])
    view = View(1.2, 49.134)
    shown = preview(generator, view, 32, count=2)
    np.testing.assert_array_equal(preview(generator, view, 32, count=2), shown)
    monkeypatch.setattr(training, "show_lighting", lambda generator, count: None)
    even = preview(generator, view, 32, count=2)
    assert np.abs(shown.astype(float) - even).max() > 40
    assert (shown.min(axis=2) == 255).sum() > 0.4 * shown[..., 0].size  # the ground stays white


@pytest.mark.parametrize("light", ["soft", "studio", "flat"])
def test_one_light_cannot_teach_a_material(light, tmp_path):
    with pytest.raises(ConfigError, match=f"light `{light}`") as caught:
        train(lit_by(light), tmp_path / "run", PBR, device="cpu")
    assert "--light environment" in caught.value.fix
    assert "--material none" in caught.value.fix
    assert not (tmp_path / "run").exists()


def test_pictures_that_do_not_say_their_light_are_warned_about_once(capsys):
    check_light("pbr", discs())
    said = capsys.readouterr().err
    assert said.startswith("warning: `discs` does not say what its pictures are lit by")
    assert "hint: " in said
    check_light("pbr", discs(), tell=False)  # another process says it
    assert capsys.readouterr().err == ""


def test_light_painted_onto_surfaces_is_warned_about(capsys):
    check_light("none", lit_by("environment"))
    said = capsys.readouterr().err
    assert "its own light" in said
    assert "--material pbr" in said


@pytest.mark.parametrize(("material", "light"), [("pbr", "environment"), ("none", "soft"), ("none", "")])
def test_what_fits_is_not_talked_about(material, light, capsys):
    check_light(material, lit_by(light) if light else discs())
    assert capsys.readouterr().err == ""


def test_a_run_says_it(tmp_path, capsys):
    short = dataclasses.replace(CONFIG, schedule=dataclasses.replace(CONFIG.schedule, kimg=0.004))
    train(lit_by("environment"), Path(tmp_path / "run"), short, device="cpu")
    assert capsys.readouterr().err.count("its own light") == 1
