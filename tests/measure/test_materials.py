"""Models with materials are measured under light: their training's own, or the other side's."""

import dataclasses

import numpy as np
import pytest
import torch
from measure.pictured import QUICK, boxes, rendered
from shape.get3d.tiny import CONFIG, discs

from polyglyph.formats.glb import write_glb
from polyglyph.formats.meshes import read_mesh
from polyglyph.measure import pictures as drawing
from polyglyph.measure.pictures import sample_pictures
from polyglyph.measure.shapes import shapes_of
from polyglyph.measure.sight import sight_of
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.get3d.config import ModelConfig
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.model import save_generator

MARK = {"model": "m", "codes": "seed 0"}


def generator_of(material: str):
    torch.manual_seed(0)
    sizes = dataclasses.replace(CONFIG.generator, material=material)
    return make_generator(sizes, CONFIG.isosurface).eval()


def test_samples_are_drawn_under_random_lights_by_seed(monkeypatch):
    lights, draw = [], drawing.draw

    def noted(*arguments, **settings):
        lights.append(settings["lighting"])
        return draw(*arguments, **settings)

    monkeypatch.setattr(drawing, "draw", noted)
    generator = generator_of("pbr")
    first, again = (torch.cat(list(sample_pictures(generator, discs(), 5, seed=1, batch=3))) for _ in "ab")
    assert torch.equal(first, again)
    amplitude = torch.cat([light.amplitude for light in lights[:2]])
    assert len(amplitude) == len(amplitude.unique(dim=0)) == 5
    list(sample_pictures(generator_of("none"), discs(), 2, seed=1))
    assert lights[-1] is None


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    return boxes(tmp_path_factory.mktemp("red") / "red", [0.5, 1.0])


@pytest.fixture(scope="module")
def data(tmp_path_factory, red):
    """Of the same meshes, under environments."""
    return rendered(red, tmp_path_factory.mktemp("data") / "data", light="environment")


@pytest.mark.parametrize(("material", "light"), [("pbr", "environment"), ("none", "albedo")])
def test_a_models_meshes_are_lit_as_the_data_set_if_their_colours_hold_no_light(
    material, light, data, tmp_path
):
    generator = generator_of(material)
    lens = {"resolution": 16, "radius": 1.2, "fov": 49.134}
    config = ModelConfig(generator=generator.config, isosurface=generator.isosurface, **lens)
    save_generator(tmp_path / "model", generator, config, "card")
    settings = dataclasses.replace(QUICK, metrics=("fid",))
    made = shapes_of(tmp_path / "model", drawn=1, protocol=settings.protocol)
    target = shapes_of(data, protocol=settings.protocol)
    sight, _ = sight_of(settings, made, target)
    assert sight.light_of(made.shapes[0]) == light
    assert sight.told(made)["light"] == light


def test_files_of_a_model_with_materials_hold_no_light(tmp_path):
    folder = boxes(tmp_path / "made", [1.0], extras=MARK)
    part = read_mesh(next(folder.glob("*.glb"))).parts[0]
    part.uvs = np.zeros((len(part.positions), 2), np.float32)
    part.material.orm_image = np.full((8, 8, 3), 200, np.uint8)
    write_glb(folder / "glossy.glb", [part], extras=MARK)
    shapes = {shape.name: shape.baked for shape in shapes_of(folder, protocol=QUICK.protocol).shapes}
    assert shapes == {"00.glb": True, "glossy.glb": False}


def test_a_mesh_under_environments_hangs_on_the_seed_and_has_a_light_for_every_picture(red, data):
    settings = dataclasses.replace(QUICK, metrics=("fid",))
    made = shapes_of(red, protocol=settings.protocol)
    target = shapes_of(data, protocol=settings.protocol)
    sight, _ = sight_of(settings, made, target)
    still = dataclasses.replace(sight, angles=np.array([[30.0, 20.0]]))
    pictures = still.pictures(made.shapes[0])[:-1]
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures) > 1
    np.testing.assert_array_equal(still.pictures(made.shapes[0])[:-1], pictures)
    other = dataclasses.replace(still, seed=still.seed + 1).pictures(made.shapes[0])[:-1]
    assert (other != pictures).any(axis=(1, 2, 3)).all()
    assert load_dataset(data).info.light == "environment"
