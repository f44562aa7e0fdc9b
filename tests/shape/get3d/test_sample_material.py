"""From a training with materials to files: what is written is what the field says."""

import dataclasses

import numpy as np
import pytest
from khronos import validate
from PIL import Image
from shape.get3d.test_lighting import PBR, lit_by

from polyglyph.formats.meshes import read_mesh
from polyglyph.scene.atlas import Atlas
from polyglyph.scene.bake import bake
from polyglyph.scene.camera import orbit
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render
from polyglyph.shape.get3d.model import load_generator
from polyglyph.shape.get3d.sample import sample_meshes
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_export import seeded_codes
from polyglyph.shape.get3d.sample_plan import wanted
from polyglyph.shape.get3d.sample_show import drawn
from polyglyph.shape.get3d.sample_work import SHEET_VIEWS
from polyglyph.shape.get3d.shading import show_environment
from polyglyph.shape.get3d.train import train

SMALL = SampleConfig(count=2, truncation=1.0, texture_resolution=64, faces=300, view_resolution=32, workers=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Trained for two steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    config = dataclasses.replace(PBR, schedule=dataclasses.replace(PBR.schedule, kimg=0.008))
    return load_generator(train(lit_by("environment"), out, config, device="cpu").model)


@pytest.fixture(scope="module")
def sampled(model, tmp_path_factory):
    """Folder and mesh files."""
    out = tmp_path_factory.mktemp("samples") / "out"
    result = sample_meshes(model.path, out, SMALL, device="cpu")
    return out, [out / mesh.file for mesh in result.meshes]


def test_the_files_hold_an_orm_picture_that_the_validator_accepts(sampled):
    for path in sampled[1]:
        assert validate(path.read_bytes()) == []
        material = read_mesh(path).parts[0].material
        assert (material.roughness, material.metallic) == (1.0, 1.0)
        assert material.orm_image.shape == (64, 64, 3)
        assert (material.orm_image[..., 0] == 255).all()


def test_both_pictures_hold_the_field_at_the_points_of_their_texels(model, sampled):
    part = read_mesh(sampled[1][0]).parts[0]
    codes = seeded_codes(model, 0, 1.0)
    planes = model.generator.planes(codes)
    charts = Atlas(np.arange(len(part.positions)), part.faces, part.uvs, "box")
    asked = bake(
        charts, part.positions, lambda at: model.generator.surface_values(planes, codes, at[None])[0], 64
    )
    values = asked.image[asked.coverage].astype(np.float64)
    expected = [
        1 / (1 + np.exp(-2 * values[:, :3])),
        0.05 + 0.95 / (1 + np.exp(-values[:, 3:4])),
        1 / (1 + np.exp(2 - values[:, 4:])),
    ]
    color, orm = part.material.base_color_image[asked.coverage], part.material.orm_image[asked.coverage]
    found = np.concatenate([color, orm[:, 1:]], axis=1)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1) * 255, atol=1.01)
    assert (np.ptp(values, axis=0) > 0.02).all()


def test_the_sheet_shows_the_mesh_under_the_show_environment(model, sampled):
    out, files = sampled
    with Image.open(out / "sheet.png") as sheet:
        shown = np.asarray(sheet).astype(float)[4 : 4 + 32, 4 : 4 + 32]
    camera = orbit(*SHEET_VIEWS[0], model.config.radius, model.config.fov)
    mesh = Mesh.from_parts(read_mesh(files[0]).parts)
    picture = render(mesh, camera, 32, lights=[show_environment()], background=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(shown, picture.to_uint8()[0, ..., :3].numpy(), atol=2)
    plain = render(mesh, camera, 32, shading="albedo", background=(1.0, 1.0, 1.0)).to_uint8()[0, ..., :3]
    assert np.abs(shown - plain.numpy()).max() > 20


def test_the_film_of_a_walk_is_lit_as_the_sheet(model, sampled):
    shape = wanted(model.config.subject, SMALL)[0]
    film = drawn(model, [shape], SMALL)[0].astype(float)
    with Image.open(sampled[0] / "sheet.png") as sheet:
        shown = np.asarray(sheet).astype(float)[4 : 4 + 32, 4 : 4 + 32]
    assert np.abs(film - shown).mean() < 4
