"""Materials of a generator: their ranges, their light, their gradients."""

import pytest
import torch

from polyglyph.scene.camera import orbit
from polyglyph.scene.light import Ambient, shade
from polyglyph.scene.material import linear_to_srgb, srgb_to_linear
from polyglyph.shape.get3d.codes import Codes
from polyglyph.shape.get3d.config import GeneratorConfig, IsosurfaceConfig
from polyglyph.shape.get3d.generator import Generator, make_generator
from polyglyph.shape.get3d.picture import draw
from polyglyph.shape.get3d.shading import Lighting, even_lighting, material_of, shaded


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    sizes = GeneratorConfig(
        material="pbr",
        latent=8,
        mapping_depth=2,
        plane_resolution=16,
        plane_channels=4,
        channel_base=128,
        channel_max=16,
    )
    return make_generator(sizes, IsosurfaceConfig(resolution=8, scale=0.9, initial_radius=0.25)).double()


def some_codes(generator: Generator) -> Codes:
    rng = torch.Generator().manual_seed(1)
    return generator.codes(*torch.randn(2, 2, 8, generator=rng, dtype=torch.float64))


def lamps(direction: list[float]) -> Lighting:
    """A small lamp from the same side for two pictures."""
    axes = torch.tensor(direction, dtype=torch.float64).expand(2, 1, 3)
    return Lighting(axes, torch.full((2, 1), 20.0).double(), torch.full((2, 1, 3), 10.0).double())


def test_materials_are_bounded_and_begin_as_plastic():
    material = material_of(torch.tensor([[-1e3, 0.0, 1e3, 0.0, 0.0], [0.0, 0.0, 0.0, -1e3, 1e3]]))
    torch.testing.assert_close(material.base[0], torch.tensor([0.0, 0.5, 1.0]))
    assert material.roughness[1] == pytest.approx(0.05)
    assert material.metallic[0] < 0.2
    assert material.metallic[1] == 1.0


def test_even_light_shows_what_the_renderer_of_meshes_shows():
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(20, 5, generator=rng, dtype=torch.float64)
    view = torch.nn.functional.normalize(torch.randn(20, 3, generator=rng, dtype=torch.float64), dim=1)
    normal = torch.nn.functional.normalize(view + 0.5, dim=1)
    index = torch.arange(20) % 2
    seen = shaded(values, normal, view, even_lighting(2, values), index)
    material = material_of(values)
    light = shade(
        [Ambient()], normal, view, srgb_to_linear(material.base),
        metallic=material.metallic, roughness=material.roughness,
    )  # fmt: skip
    torch.testing.assert_close(seen, linear_to_srgb(light.clamp(0, 1)) * 2 - 1, atol=0.01, rtol=0)


def test_a_normal_that_looks_away_is_turned():
    values = torch.zeros(1, 5, dtype=torch.float64)
    view = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    lamp = Lighting(*(value[:1] for value in lamps([0.0, 0.0, 1.0])))
    front = shaded(values, view, view, lamp, torch.tensor([0]))
    torch.testing.assert_close(shaded(values, -view, view, lamp, torch.tensor([0])), front)


def test_each_picture_has_its_own_light_and_none_reaches_the_mask(generator):
    codes, cameras = some_codes(generator), orbit([20.0, 20.0], [10.0, 10.0])
    with torch.no_grad():
        even = draw(generator, codes, cameras, 32).pictures
        left, right = lamps([-1.0, 0.0, 0.2]), lamps([1.0, 0.0, 0.2])
        mixed = Lighting(*(torch.stack((a[0], b[1])) for a, b in zip(left, right, strict=True)))
        one = draw(generator, codes, cameras, 32, lighting=left).pictures
        two = draw(generator, codes, cameras, 32, lighting=mixed).pictures
    torch.testing.assert_close(one[0], two[0])
    assert (one[1, :3] - two[1, :3]).abs().amax() > 0.2
    torch.testing.assert_close(even[:, 3], one[:, 3])
    assert (even[:, :3].permute(0, 2, 3, 1)[even[:, 3] == 0] == -1).all()


def test_shading_moves_the_surface_and_every_parameter_has_a_finite_gradient(generator):
    codes, cameras = some_codes(generator), orbit([20.0, 200.0], [10.0, 20.0])
    drawing = draw(generator, codes, cameras, 32, antialias_color=False, lighting=lamps([0.3, 1.0, 0.5]))
    drawing.pictures[:, :3].sum().backward()
    for name, parameter in generator.named_parameters():
        if name.startswith(("mapping.", "mapping_geo.")):
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert generator.sdf.layers[0].weight.grad.any()
    assert generator.to_rgb.weight.grad.flatten(1).any(dim=1).all()  # of roughness and metallic too
