"""The generator: sizes, the factorised lattice query, what steers what."""

import math

import pytest
import torch

from polyglyph.base.errors import ConfigError
from polyglyph.scene.camera import orbit
from polyglyph.shape.get3d.codes import Codes, Field
from polyglyph.shape.get3d.config import PRESETS, GeneratorConfig, IsosurfaceConfig
from polyglyph.shape.get3d.discriminator import Discriminators
from polyglyph.shape.get3d.generator import Generator, make_generator
from polyglyph.shape.get3d.picture import cut_surface, draw
from polyglyph.shape.get3d.planes import lattice_weights, look_up

SMALL = GeneratorConfig(
    latent=8, mapping_depth=2, plane_resolution=16, plane_channels=4, channel_base=128, channel_max=16
)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return make_generator(SMALL, IsosurfaceConfig(resolution=8, scale=0.9, initial_radius=0.25)).double()


def codes(generator: Generator, seed: int, batch: int = 2) -> Codes:
    """Different latents in every slot, so that a wrong slot shows."""
    rng = torch.Generator().manual_seed(seed)

    def draw_w(slots: int) -> torch.Tensor:
        return torch.randn(batch, slots, 8, generator=rng, dtype=torch.float64)

    return Codes(draw_w(generator.geometry_slots), draw_w(generator.texture_slots))


def test_the_paper_preset_has_the_published_sizes():
    with torch.device("meta"):
        generator = make_generator(PRESETS["paper"].generator, PRESETS["paper"].isosurface)
        networks = Discriminators(PRESETS["paper"].discriminator, 1024)
    assert sum(p.numel() for p in generator.parameters()) == 34_314_180
    assert sum(p.numel() for p in networks.parameters()) == 60_339_840
    assert (generator.geometry_slots, generator.texture_slots) == (22, 9)


def test_the_factorised_lattice_query_equals_a_look_up_at_every_vertex(generator):
    with torch.no_grad():
        w = codes(generator, 1)
        planes = generator.planes(w)
        field = generator.field(planes, w)
        axis = torch.linspace(-1, 1, 9, dtype=torch.float64)
        u = torch.cartesian_prod(axis, axis, axis)
        features = look_up(planes.geometry, u[None].expand(2, -1, -1).contiguous())
        latents = w.geometry[:, -2:]
        ball = 10 * (0.25 / 0.9 - (u / 2).norm(dim=1))
        torch.testing.assert_close(field.sdf, generator.sdf(features, latents)[..., 0] + ball)
        torch.testing.assert_close(field.deformation, generator.deformation(features, latents))


def test_a_look_up_sums_three_bilinear_samples_with_zeros_outside():
    rng = torch.Generator().manual_seed(0)
    planes = torch.randn(1, 3, 2, 4, 4, generator=rng, dtype=torch.float64)
    points = torch.rand(1, 6, 3, generator=rng, dtype=torch.float64) * 2 - 1
    points[0, 0] = 1.0  # on the corner of the box three quarters of the weight is outside
    found = look_up(planes, points)[0]
    for point, value in zip(points[0], found, strict=True):
        expected = torch.zeros(2, dtype=torch.float64)
        for plane, (column_axis, row_axis) in enumerate(((0, 1), (1, 2), (0, 2))):
            column, row = (point[[column_axis, row_axis]] + 1) / 2 * 4 - 0.5
            for r in range(4):
                for c in range(4):
                    weight = max(0.0, 1 - abs(float(row) - r)) * max(0.0, 1 - abs(float(column) - c))
                    expected += weight * planes[0, plane, :, r, c]
        torch.testing.assert_close(value, expected)


def test_lattice_weights_sum_to_one_inside_and_to_half_on_the_border():
    total = lattice_weights(9, 16).sum(dim=1)
    torch.testing.assert_close(total[1:-1], torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(total[[0, -1]], torch.full((2,), 0.5, dtype=torch.float64))


def test_texture_codes_never_change_geometry(generator):
    with torch.no_grad():
        one, other = codes(generator, 1), codes(generator, 2)
        swapped = Codes(one.geometry, other.texture)
        first, second = generator.planes(one), generator.planes(swapped)
        torch.testing.assert_close(first.geometry, second.geometry, rtol=0, atol=0)
        assert not torch.allclose(first.texture, second.texture)


def test_every_slot_is_used(generator):
    w = codes(generator, 3, batch=1)
    w = Codes(w.geometry.requires_grad_(), w.texture.requires_grad_())
    planes = generator.planes(w)
    field = generator.field(planes, w)
    points = torch.rand(1, 50, 3, dtype=torch.float64) - 0.5
    total = field.sdf.square().sum() + field.deformation.square().sum()
    total = total + generator.colors(planes, w, points).square().sum()
    grads = torch.autograd.grad(total, list(w))
    for grad in grads:
        assert (grad.abs().amax(dim=(0, 2)) > 0).all()


def test_truncation_zero_is_the_average_shape(generator):
    with torch.no_grad():
        generator.estimate_averages(samples=500)
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(2, 3, 8, generator=rng, dtype=torch.float64)
        w = generator.codes(z[0], z[1], truncation=0.0)
        torch.testing.assert_close(w.geometry[0], w.geometry[2])
        assert not torch.allclose(generator.codes(z[0], z[1]).geometry[0], w.geometry[0])


def test_silhouettes_move_the_geometry_and_colours_the_texture(generator):
    w = codes(generator, 4)
    cameras = orbit([20.0, 200.0], [10.0, 20.0])
    drawing = draw(generator, w, cameras, 32, antialias_color=False)
    geometry = list(generator.sdf.parameters())
    by_mask = torch.autograd.grad(drawing.pictures[:, 3].sum(), geometry, retain_graph=True)
    assert all(grad.abs().sum() > 0 for grad in by_mask)
    by_color = torch.autograd.grad(
        drawing.pictures[:, :3].sum(), geometry, allow_unused=True, retain_graph=True
    )
    assert all(grad is None or grad.abs().sum() == 0 for grad in by_color)
    drawing = draw(generator, w, cameras, 32, antialias_color=True)
    by_color = torch.autograd.grad(drawing.pictures[:, :3].sum(), geometry)
    assert all(grad.abs().sum() > 0 for grad in by_color)


def test_pictures_are_black_and_empty_where_nothing_is(generator):
    with torch.no_grad():
        pictures = draw(generator, codes(generator, 5), orbit([0.0, 90.0], [0.0, 0.0]), 32).pictures
    empty = pictures[:, 3] == 0
    assert 0.05 < empty.double().mean() < 0.95
    assert (pictures[:, :3].permute(0, 2, 3, 1)[empty] == -1).all()
    assert pictures[:, 3].amax() == 1


def test_the_surface_can_be_cut_at_another_resolution(generator):
    with torch.no_grad():
        w = codes(generator, 6)
        planes = generator.planes(w)
        coarse = cut_surface(generator, generator.field(planes, w)).surface
        fine = cut_surface(generator, generator.field(planes, w, 16), 16).surface
    assert len(fine.faces) > 2 * len(coarse.faces)
    distance = torch.cdist(coarse.vertices, fine.vertices).amin(dim=1)
    assert distance.mean() < 0.35 * generator.isosurface.scale / generator.isosurface.resolution


@pytest.mark.parametrize("cells", [8, 16])
def test_a_displacement_moves_the_surface_as_far_at_any_resolution(generator, cells):
    axis = torch.linspace(-0.5, 0.5, cells + 1, dtype=torch.float64)
    sdf = (0.3 - torch.cartesian_prod(axis, axis, axis).norm(dim=1))[None]
    raw = torch.zeros(1, len(sdf[0]), 3, dtype=torch.float64)
    still = cut_surface(generator, Field(sdf, raw), cells).surface.vertices
    raw[..., 0] = 1.0
    moved = cut_surface(generator, Field(sdf, raw), cells).surface.vertices
    bound = generator.isosurface.scale / generator.isosurface.resolution
    expected = torch.tensor([math.tanh(1.0) * bound, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(moved - still, expected.expand_as(still))


def test_sizes_that_cannot_work_are_refused_with_a_fix():
    with pytest.raises(ConfigError, match="power of two") as caught:
        GeneratorConfig(plane_resolution=48)
    assert caught.value.fix
    with pytest.raises(ConfigError, match="at least 2 cells"):
        IsosurfaceConfig(resolution=1)
