"""Every generator with every isosurface: sizes, closed meshes, gradients, one field however it is asked."""

import itertools

import pytest
import torch
import trimesh

from polyglyph.base.errors import ConfigError
from polyglyph.scene.camera import orbit
from polyglyph.shape.get3d.codes import Codes, both_latents
from polyglyph.shape.get3d.config import PRESETS, GeneratorConfig, IsosurfaceConfig
from polyglyph.shape.get3d.generator import Generator, make_generator
from polyglyph.shape.get3d.picture import cut_surface, draw, paint
from polyglyph.shape.get3d.volumes import volume_at, volume_on_lattice

SIZES = {
    "latent": 8,
    "mapping_depth": 2,
    "plane_resolution": 16,
    "plane_channels": 4,
    "channel_base": 128,
    "channel_max": 16,
    "volume_resolution": 8,
    "volume_base": 64,
    "volume_max": 8,
    "volume_head_width": 16,
}
SURFACES = {
    "dmtet": IsosurfaceConfig(resolution=8, scale=0.9, initial_radius=0.25),
    "subdivided": IsosurfaceConfig(resolution=8, scale=0.9, initial_radius=0.25, subdivisions=1),
    "flexicubes": IsosurfaceConfig(resolution=8, scale=0.9, initial_radius=0.25, method="flexicubes"),
}
KINDS = list(itertools.product(("unified", "separate"), SURFACES))


def made(architecture: str, surface: str, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    config = GeneratorConfig(architecture=architecture, **SIZES)  # type: ignore[arg-type]
    generator = make_generator(config, SURFACES[surface]).double()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):  # 0 at the start, which hides the noise
                parameter.fill_(0.1)
    return generator


def some_codes(generator: Generator, seed: int = 1, batch: int = 2) -> Codes:
    """Different latents in every slot, so that a wrong slot shows."""
    rng = torch.Generator().manual_seed(seed)
    return Codes(
        *(
            torch.randn(batch, slots, 8, generator=rng, dtype=torch.float64)
            for slots in (generator.geometry_slots, generator.texture_slots)
        )
    )


def test_the_separate_generator_has_the_published_size():
    """53,466,750 with the 14 noise strengths of its 3-D layers, of which the published code uses none."""
    config = GeneratorConfig(architecture="separate")
    with torch.device("meta"):
        generator = make_generator(config, PRESETS["paper"].isosurface)
    noisy = sum(name.endswith("noise_strength") for name, _ in generator.named_parameters())
    assert noisy == 13  # of the texture planes
    assert sum(p.numel() for p in generator.parameters()) == 53_466_750 - 14
    assert (generator.geometry_slots, generator.texture_slots) == (11, 22)


@pytest.mark.parametrize(("architecture", "surface"), KINDS)
def test_meshes_are_closed_and_every_parameter_has_a_finite_gradient(architecture, surface):
    generator = made(architecture, surface)
    codes = some_codes(generator)
    drawing = draw(generator, codes, orbit([20.0, 200.0], [10.0, 20.0]), 32)
    loss = drawing.pictures.square().sum()
    if drawing.isosurface.deviation is not None:
        loss = loss + drawing.isosurface.deviation
    loss.backward()
    for index in range(2):
        vertices, faces = drawing.isosurface.surface.mesh(index)
        mesh = trimesh.Trimesh(vertices.detach().numpy(), faces.numpy(), process=False)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0
    without = {
        name
        for name, parameter in generator.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    }
    # The codes were given in w, so nothing reaches the mappings.
    assert {name for name in without if not name.startswith("mapping")} == set()


@pytest.mark.parametrize(("architecture", "surface"), KINDS)
def test_a_field_is_the_same_on_the_lattice_and_at_its_points(architecture, surface):
    generator = made(architecture, surface)
    codes = some_codes(generator)
    with torch.no_grad():
        field = generator.field(generator.planes(codes), codes, 5)
        axis = torch.linspace(-1, 1, 6, dtype=torch.float64)
        assert field.at is not None
        sdf, deformation = field.at(torch.cartesian_prod(axis, axis, axis).expand(2, -1, -1))
    torch.testing.assert_close(field.sdf, sdf)
    torch.testing.assert_close(field.deformation, deformation)


@pytest.mark.parametrize("architecture", ["unified", "separate"])
def test_every_slot_is_used_and_texture_never_changes_geometry(architecture):
    generator = made(architecture, "flexicubes")
    codes = some_codes(generator)
    codes = Codes(codes.geometry.requires_grad_(), codes.texture.requires_grad_())
    planes = generator.planes(codes)
    field = generator.field(planes, codes)
    assert field.weights is not None
    shape = field.sdf.square().sum() + field.deformation.square().sum() + field.weights.square().sum()
    geometry, texture = torch.autograd.grad(shape, list(codes), allow_unused=True, retain_graph=True)
    assert (geometry.abs().amax(dim=(0, 2)) > 0).all()
    assert texture is None or not texture.any()
    points = torch.rand(2, 50, 3, dtype=torch.float64) - 0.5
    (texture,) = torch.autograd.grad(generator.colors(planes, codes, points).square().sum(), [codes.texture])
    assert (texture.abs().amax(dim=(0, 2)) > 0).all()


def test_texture_of_the_separate_generator_depends_on_geometry_slot_by_slot():
    geometry = torch.arange(6.0).view(1, 3, 2)
    texture = torch.full((1, 6, 2), -1.0)
    both = both_latents(Codes(geometry, texture))
    assert both.shape == (1, 6, 4)
    assert (both[0, :, :2] == -1).all()
    assert both[0, :, 2].tolist() == [0, 0, 2, 2, 4, 4]


def test_a_volume_is_read_trilinearly_and_continued_past_its_border():
    rng = torch.Generator().manual_seed(0)
    volume = torch.randn(1, 2, 4, 4, 4, generator=rng, dtype=torch.float64)
    u = torch.rand(1, 7, 3, generator=rng, dtype=torch.float64) * 2 - 1
    u[0, 0] = 1.0
    found = volume_at(volume, u)[0]
    for point, value in zip(u[0], found, strict=True):
        place = ((point + 1) / 2 * 4 - 0.5).clamp(0, 3)
        expected = torch.zeros(2, dtype=torch.float64)
        for index in itertools.product(range(4), repeat=3):
            weight = torch.tensor(
                [max(0.0, 1 - abs(float(p) - k)) for p, k in zip(place, index, strict=True)]
            )
            expected += weight.prod() * volume[0, :, *index]
        torch.testing.assert_close(value, expected)
    axis = torch.linspace(-1, 1, 5, dtype=torch.float64)
    lattice = volume_at(volume, torch.cartesian_prod(axis, axis, axis)[None])
    torch.testing.assert_close(volume_on_lattice(volume, 5), lattice)


def test_flexicubes_weights_are_asked_only_where_the_surface_is_and_matter_there():
    generator = made("unified", "flexicubes")
    codes = some_codes(generator)
    with torch.no_grad():
        planes = generator.planes(codes)
        field = generator.field(planes, codes)
        assert field.weights is not None
        asked = field.weights.abs().amax(dim=2) > 0
        assert 0 < asked.double().mean() < 0.5
        shaped = cut_surface(generator, field).surface
        neutral = cut_surface(generator, field._replace(weights=None)).surface
        ruined = field.weights.clone()
        ruined[~asked] = 3.0  # where no surface passes, weights say nothing
        same = cut_surface(generator, field._replace(weights=ruined)).surface
    assert len(shaped.vertices) == len(neutral.vertices)
    assert (shaped.vertices - neutral.vertices).abs().amax() > 1e-4
    torch.testing.assert_close(same.vertices, shaped.vertices, rtol=0, atol=0)


def test_sampling_splits_flexicubes_quads_in_two_and_training_in_four():
    generator = made("unified", "flexicubes")
    codes = some_codes(generator)
    with torch.no_grad():
        field = generator.field(generator.planes(codes), codes)
        training = len(cut_surface(generator, field).surface.faces)
        sampling = len(cut_surface(generator.eval(), field).surface.faces)
    assert training == 2 * sampling


def test_flexicubes_has_no_tetrahedra_to_subdivide():
    with pytest.raises(ConfigError, match="FlexiCubes has none"):
        IsosurfaceConfig(method="flexicubes", subdivisions=1)
    with pytest.raises(ConfigError, match="four times"):
        IsosurfaceConfig(subdivisions=9)


def test_colour_moves_the_surface_within_its_silhouette_where_asked():
    """Against finite differences: the colour of a pixel while all vertices move."""
    generator = made("unified", "dmtet")
    codes = some_codes(generator, batch=1)
    cameras = orbit([20.0], [10.0])

    def inner_color(shift: torch.Tensor, position_gradient: bool = True) -> torch.Tensor:
        planes = generator.planes(codes)
        surface = cut_surface(generator, generator.field(planes, codes)).surface
        moved = surface._replace(vertices=surface.vertices.detach() + shift)
        picture = paint(
            generator, planes, codes, moved, cameras, 16,
            antialias_color=False, position_gradient=position_gradient,
        )  # fmt: skip
        return picture[0, 0, 8, 8]

    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(inner_color(shift), shift)
    step = 1e-6
    for axis in range(3):
        offset = torch.zeros(3, dtype=torch.float64)
        offset[axis] = step
        with torch.no_grad():
            change = (inner_color(offset) - inner_color(-offset)) / (2 * step)
        torch.testing.assert_close(gradient[axis], change, rtol=1e-4, atol=1e-6)
    assert gradient.abs().max() > 1e-3
    (detached,) = torch.autograd.grad(inner_color(shift, False) + 0 * shift.sum(), shift)
    assert not detached.any()
