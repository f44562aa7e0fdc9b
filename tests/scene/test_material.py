import numpy as np
import pytest
import torch

from polyglyph.formats import model
from polyglyph.scene.material import Material, Picture2D, linear_to_srgb, srgb_to_linear, to_srgb_uint8


def test_srgb_has_its_known_values_and_goes_both_ways():
    torch.testing.assert_close(srgb_to_linear(torch.tensor(0.5)), torch.tensor(0.2140411), atol=1e-6, rtol=0)
    code = torch.linspace(0, 1, 256)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(code)), code, atol=1e-5, rtol=0)
    everything = torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 4)
    linear = torch.cat([srgb_to_linear(everything[:, :3] / 255), everything[:, 3:] / 255], 1)
    assert to_srgb_uint8(linear).equal(everything)


def test_srgb_gradients_are_finite_at_black():
    value = torch.zeros(3, requires_grad=True)
    for function in (srgb_to_linear, linear_to_srgb):
        (gradient,) = torch.autograd.grad(function(value).sum(), value)
        assert torch.isfinite(gradient).all()


def test_pictures_are_averaged_in_linear_light():
    checker = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)[..., None].expand(2, 2, 3)
    level = Picture2D(checker, srgb=True).level(1)
    torch.testing.assert_close(level, torch.full((1, 1, 3), 0.5))
    data = Picture2D(torch.full((2, 2, 3), 128, dtype=torch.uint8), srgb=False).level(1)
    torch.testing.assert_close(data, torch.full((1, 1, 3), 128 / 255))


def test_the_colour_of_transparent_texels_does_not_bleed():
    image = torch.zeros(2, 2, 4, dtype=torch.uint8)
    image[0, 0] = torch.tensor([255, 0, 0, 255])
    image[1, 1] = torch.tensor([0, 255, 0, 0])
    torch.testing.assert_close(Picture2D(image, srgb=True).level(1)[0, 0], torch.tensor([1.0, 0, 0, 0.25]))


def test_a_large_picture_is_halved_strip_by_strip_like_a_small_one():
    image = torch.randint(0, 256, (67, 3000, 3), dtype=torch.uint8)
    picture = Picture2D(image, srgb=True)
    whole = srgb_to_linear(image[:66] / 255).reshape(33, 2, 1500, 2, 3).mean((1, 3))
    torch.testing.assert_close(picture.level(1), whole)
    assert picture.level(99).shape[0] == 1


def test_samples_take_the_level_they_ask_for():
    image = torch.randint(0, 256, (8, 8, 3), dtype=torch.uint8)
    picture = Picture2D(image, srgb=True)
    uv = torch.rand(20, 2)
    lod = torch.tensor([0.0, 3.0, -9.0, 40.0]).repeat(5)
    mixed = picture.sample(uv, lod)
    torch.testing.assert_close(mixed[lod <= 0], picture.sample(uv[lod <= 0]))
    mean = picture.level(3)[0, 0]
    torch.testing.assert_close(mixed[lod > 0], mean.expand(10, 3))


def test_gradients_reach_the_texels_of_float_pictures():
    image = torch.rand(4, 4, 3, requires_grad=True)
    Picture2D(image, srgb=True).sample(torch.rand(9, 2), torch.arange(9.0) / 4).sum().backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad.sum(), torch.tensor(27.0))


def test_levels_made_without_gradients_serve_calls_with_gradients():
    learned = torch.rand(4, 4, 3, requires_grad=True)
    fixed = Picture2D(torch.randint(0, 256, (4, 4, 3), dtype=torch.uint8), srgb=True)
    with torch.inference_mode():
        Picture2D(learned, srgb=True).sample(torch.rand(5, 2), torch.ones(5))
        fixed.sample(torch.rand(5, 2), torch.ones(5))
    picture = Picture2D(learned, srgb=True)
    with torch.no_grad():
        picture.sample(torch.rand(5, 2), torch.ones(5))
    assert picture.sample(torch.rand(5, 2), torch.ones(5)).requires_grad
    uv = torch.rand(5, 2, requires_grad=True)
    fixed.sample(uv, torch.ones(5)).sum().backward()
    assert uv.grad is not None


@pytest.mark.parametrize(
    ("mode", "alpha", "image_alpha", "opaque"),
    [
        ("OPAQUE", 0.2, None, True),
        ("BLEND", 1.0, None, True),
        ("BLEND", 0.5, None, False),
        ("BLEND", 1.0, 200, False),
        ("MASK", 1.0, 255, True),
        ("MASK", 1.0, 0, False),
        ("MASK", 0.4, None, False),
    ],
)
def test_a_material_knows_whether_one_can_see_through_it(mode, alpha, image_alpha, opaque):
    image = None if image_alpha is None else np.full((2, 2, 4), image_alpha, dtype=np.uint8)
    given = model.Material(base_color=(1, 1, 1, alpha), base_color_image=image, alpha_mode=mode)
    assert Material.from_model(given).opaque is opaque


def test_a_material_made_of_tensors_can_be_written():
    picture = Picture2D(torch.full((2, 2, 3), 0.2158605), srgb=True)  # code 128
    made = Material(name="learned", base_color=torch.tensor([0.5, 2.0, 0.0, 1.0]), base_color_image=picture)
    written = made.to_model()
    assert written.base_color == (0.5, 1.0, 0.0, 1.0)
    np.testing.assert_array_equal(written.base_color_image, np.full((2, 2, 3), 128, np.uint8))
