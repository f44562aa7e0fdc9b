"""Light from all round: spherical Gaussians and environments against the full integral."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from full_lighting import by_half_vectors, globe, over_the_sphere

from polyglyph.base.errors import ConfigError, FormatError
from polyglyph.formats.hdr import write_hdr
from polyglyph.formats.png import write_image
from polyglyph.kernels.texture import texture_cube
from polyglyph.scene.camera import orbit
from polyglyph.scene.environment import Environment, cube_directions
from polyglyph.scene.light import diffuse, shade
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.microfacet import Reflector, lobes
from polyglyph.scene.random_environment import LOBES, MEAN, random_environment
from polyglyph.scene.render import render
from polyglyph.scene.spherical_gaussians import SphericalGaussians, shade_gaussians, stacked


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def unit(count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 3, dtype=torch.float64), dim=1)


def seen_from_above(normal: torch.Tensor, least: float = 0.15) -> torch.Tensor:
    """Views with a cosine to the normal of at least `least`."""
    view = unit(len(normal))
    cosine = least + (1 - least) * torch.rand(len(normal), 1, dtype=torch.float64)
    side = F.normalize(view - (view * normal).sum(1, keepdim=True) * normal, dim=1)
    return cosine * normal + (1 - cosine**2).sqrt() * side


def lamps(sharpness: tuple[float, float], count: int = 1) -> SphericalGaussians:
    low, high = (math.log(value) for value in sharpness)
    width = torch.exp(low + (high - low) * torch.rand(count, dtype=torch.float64))
    return SphericalGaussians(unit(count), width, torch.rand(count, 3, dtype=torch.float64) * width[:, None])


def surroundings(seed: int) -> SphericalGaussians:
    light = random_environment(np.random.default_rng(seed))
    return SphericalGaussians(light.axes.double(), light.sharpness.double(), light.amplitude.double())


def white(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(count, 3, dtype=torch.float64), torch.ones(count, 1, dtype=torch.float64)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt())


@pytest.mark.parametrize("roughness", [0.3, 0.6, 1.0])
def test_the_two_references_agree(roughness):
    normal = unit(3)
    view, light = seen_from_above(normal), lamps((3, 40), 4)
    albedo, metallic = torch.rand(3, 3, dtype=torch.float64), torch.rand(3, 1, dtype=torch.float64)
    rough = torch.full_like(metallic, roughness)
    sampled = by_half_vectors(light.radiance, normal, view, albedo, metallic, rough, 200, 400)
    for row in range(3):
        one = slice(row, row + 1)
        whole = over_the_sphere(
            light.radiance, normal[one], view[one], albedo[one], metallic[one], rough[one]
        )
        torch.testing.assert_close(sampled[one], whole, rtol=1.5e-2, atol=1e-3)


@pytest.mark.parametrize("sharpness", [0.0, 0.3, 1.0, 4.0, 10.0, 40.0, 200.0])
def test_the_matt_part_equals_the_integral_to_one_percent_of_the_lamp(sharpness):
    directions, weight = globe(200)
    normal = torch.stack([unit(1)[0], torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), *unit(40)])
    light = SphericalGaussians(
        torch.tensor([[0.0, 0.0, 2.0]], dtype=torch.float64),
        torch.tensor([sharpness], dtype=torch.float64),
        torch.ones(1, 3, dtype=torch.float64),
    )
    radiance = light.radiance(directions) * weight[:, None]
    brute = (normal @ directions.T).clamp(min=0) @ radiance / math.pi
    whole = float(radiance[:, 0].sum()) / math.pi
    assert float((diffuse([light], normal) - brute).abs().max()) < 0.0095 * whole
    facing = normal[1:2]
    torch.testing.assert_close(diffuse([light], facing), brute[1:2], rtol=1e-4, atol=0)
    torch.testing.assert_close(light.mean(), radiance.sum(0) / (4 * math.pi), rtol=1e-3, atol=0)


def test_lamps_light_a_white_surface_that_faces_them_to_their_colour():
    colors = torch.rand(5, 3, dtype=torch.float64)
    for row, width in enumerate((0.0, 1.0, 10.0, 100.0, 1000.0)):
        axis = unit(1)
        light = SphericalGaussians.lamps(
            axis * 3, torch.tensor([width], dtype=torch.float64), colors[row : row + 1]
        )
        torch.testing.assert_close(diffuse([light], axis), colors[row : row + 1])


# root mean square error over random lamps, over the root mean square value: what was measured, and some room
@pytest.mark.parametrize(
    ("roughness", "broad", "narrow"),
    [(0.1, 0.01, 0.05), (0.3, 0.05, 0.25), (0.5, 0.05, 0.2), (0.7, 0.07, 0.15)],
)
def test_a_mirror_under_gaussian_light_equals_the_integral(roughness, broad, narrow):
    normal = unit(400)
    view = seen_from_above(normal, 0.3)
    albedo, metallic = white(400)
    rough = metallic * roughness
    for sharpness, most in (((1, 30), broad), ((50, 300), narrow)):
        # one lamp each, near the mirrored direction, where it matters
        mirrored = 2 * (normal * view).sum(1, keepdim=True) * normal - view
        axes = F.normalize(mirrored + 0.5 * unit(400), dim=1)
        light = lamps(sharpness, 400)
        rows = (axes[:, None], light.sharpness[:, None], light.amplitude[:, None])
        index = torch.arange(400)
        ours = shade_gaussians(*rows, index, normal, view, albedo, metallic=metallic, roughness=rough)

        def radiance(directions, axes=axes, light=light):
            towards = directions.reshape(400, -1, 3)
            lobe = torch.exp(light.sharpness[:, None] * ((towards * axes[:, None]).sum(-1) - 1))
            return (lobe[..., None] * light.amplitude[:, None]).reshape(-1, 3)

        theirs = by_half_vectors(radiance, normal, view, albedo, metallic, rough, 48, 48)
        assert relative(ours, theirs) < most


@pytest.mark.parametrize("kind", ["gaussians", "environment"])
@pytest.mark.parametrize(
    ("roughness", "mean", "rms"),
    [(0.15, 0.02, 0.08), (0.4, 0.04, 0.15), (0.7, 0.03, 0.05), (1.0, 0.025, 0.04)],
)
def test_materials_in_random_surroundings_look_as_in_the_integral(kind, roughness, mean, rms):
    normal = unit(150)
    view = seen_from_above(normal)
    albedo, metallic = torch.rand(150, 3, dtype=torch.float64), torch.rand(150, 1, dtype=torch.float64)
    rough = torch.full_like(metallic, roughness)
    for seed in range(3):
        light = surroundings(seed)
        theirs = by_half_vectors(light.radiance, normal, view, albedo, metallic, rough, 40, 48)
        ours = light if kind == "gaussians" else Environment.from_gaussians(light, size=128)
        shaded = shade([ours], normal, view, albedo, metallic=metallic, roughness=rough)
        assert float((shaded - theirs).abs().mean() / theirs.mean()) < mean
        assert relative(shaded, theirs) < rms


@pytest.mark.parametrize("roughness", [0.0, 0.2, 0.5, 1.0])
def test_in_a_white_furnace_a_mirror_gives_back_no_more_than_it_gets(roughness):
    normal = unit(50)
    view = seen_from_above(normal, 0.02)
    albedo, metallic = white(50)
    rough = metallic * roughness
    even = SphericalGaussians(unit(1), torch.zeros(1).double(), torch.ones(1, 3).double())
    picture = Environment(torch.ones(6, 16, 16, 3, dtype=torch.float64))
    shown = [
        shade([light], normal, view, albedo, metallic=metallic, roughness=rough) for light in (even, picture)
    ]
    # the two are exact for even light: the energy is that of one table
    torch.testing.assert_close(shown[0], shown[1], rtol=1e-4, atol=1e-4)
    assert float(shown[0].max()) <= 1.001
    assert float(shown[0].min()) > 0.3
    dark = shade([even], normal, view, albedo, metallic=0 * metallic, roughness=rough) - 1
    assert float(dark.min()) > 0.005  # a white matt ground and, over it, the reflection of F0 = 0.04
    for light in (even, picture):
        torch.testing.assert_close(diffuse([light], normal), albedo, rtol=1e-4, atol=1e-4)


def test_the_lobes_are_a_density_that_leans_where_the_light_comes_from():
    count = 60
    normal = unit(count)
    view = seen_from_above(normal, 0.05)
    albedo, metallic = white(count)
    found = lobes(Reflector.of(normal, view, albedo, metallic, torch.rand(count, 1, dtype=torch.float64)))
    total = found.matt[:, 0] + found.weight.sum(1)
    torch.testing.assert_close(total, torch.ones(count, dtype=torch.float64), atol=1e-5, rtol=0)
    assert bool((found.weight > -1e-6).all() & (found.matt > -1e-6).all())
    torch.testing.assert_close(found.axis.norm(dim=-1), torch.ones(count, 2, dtype=torch.float64))
    polished = lobes(Reflector.of(normal, view, albedo, metallic, metallic * 0))
    mirrored = 2 * (normal * view).sum(1, keepdim=True) * normal - view
    assert float((polished.axis * mirrored[:, None]).sum(-1).min()) > 0.999


def test_samples_under_different_lights_look_as_under_each_alone():
    lights = [lamps((1, 100), count) for count in (3, 1, 5)]
    normal = unit(200)
    view = seen_from_above(normal)
    skin = {name: torch.rand(200, 1, dtype=torch.float64) for name in ("metallic", "roughness")}
    albedo, index = torch.rand(200, 3, dtype=torch.float64), torch.randint(0, 3, (200,))
    together = shade_gaussians(*stacked(lights), index, normal, view, albedo, **skin)
    for number, light in enumerate(lights):
        chosen = index == number
        some = {name: value[chosen] for name, value in skin.items()}
        alone = shade([light], normal[chosen], view[chosen], albedo[chosen], **some)
        torch.testing.assert_close(together[chosen], alone)


def test_many_samples_are_worked_on_in_pieces(monkeypatch):
    light, normal = lamps((1, 100), 7), unit(500)
    view = seen_from_above(normal)
    albedo, metallic = white(500)
    index = torch.zeros(500, dtype=torch.int64)

    def shown():
        both = shade([light], normal, view, albedo, metallic=metallic, roughness=metallic / 2)
        rows = stacked([light])
        return both, shade_gaussians(
            *rows, index, normal, view, albedo, metallic=metallic, roughness=metallic / 2
        )

    whole = shown()
    monkeypatch.setattr("polyglyph.scene.spherical_gaussians.AT_ONCE", 900)
    for before, after in zip(whole, shown(), strict=True):
        torch.testing.assert_close(before, after)
    torch.testing.assert_close(*whole)


def test_no_samples_give_no_colours():
    none = torch.zeros(0, 3)
    rows = [torch.rand(2, 4, 3), torch.rand(2, 4), torch.rand(2, 4, 3)]
    nowhere = torch.zeros(0, dtype=torch.int64)
    skin = {"metallic": none[:, :1], "roughness": none[:, :1]}
    assert shade_gaussians(*rows, nowhere, none, none, none, **skin).shape == (0, 3)
    light = SphericalGaussians(rows[0][0], rows[1][0], rows[2][0])
    assert shade([light], none, none, none, **skin).shape == (0, 3)


def test_gradients_equal_finite_differences():
    light, count = lamps((1, 60), 3), 4
    normal = unit(count)
    view = seen_from_above(normal, 0.3)
    index = torch.tensor([0, 0, 1, 0])
    other = lamps((1, 60), 3)
    rows = [value.requires_grad_() for value in stacked([light, other])]
    skin = [torch.rand(count, 1, dtype=torch.float64) * 0.6 + 0.2 for _ in range(2)]
    albedo = torch.rand(count, 3, dtype=torch.float64)
    inputs = [*rows, *(value.clone().requires_grad_() for value in (normal, view, albedo, *skin))]

    def shown(axes, sharpness, amplitude, normal, view, albedo, metallic, roughness):
        return shade_gaussians(
            axes, sharpness, amplitude, index, normal, view, albedo, metallic=metallic, roughness=roughness
        )

    # the tables are kept in 32 bits, so that steps must not be too small
    assert torch.autograd.gradcheck(shown, inputs, eps=1e-5, atol=2e-3, rtol=2e-2)


def test_gradients_reach_the_picture_and_the_material():
    cube = torch.rand(6, 16, 16, 3, dtype=torch.float64, requires_grad=True)
    normal = unit(6)
    view = seen_from_above(normal, 0.3)
    albedo, metallic = white(6)
    metallic = (metallic * 0.6).requires_grad_()
    roughness = torch.full(
        (6, 1), 0.43, dtype=torch.float64, requires_grad=True
    )  # between nodes of the table

    def shown(cube, metallic, roughness):
        return shade([Environment(cube)], normal, view, albedo * 0.7, metallic=metallic, roughness=roughness)

    weights = torch.rand(6, 3, dtype=torch.float64)
    (shown(cube, metallic, roughness) * weights).sum().backward()
    for leaf, step in ((cube, 1e-4), (metallic, 1e-5), (roughness, 1e-5)):
        way = torch.randn_like(leaf)
        others = {id(cube): cube, id(metallic): metallic, id(roughness): roughness}
        value = []
        for sign in (1, -1):
            moved = {**others, id(leaf): leaf.detach() + sign * step * way}
            value.append(float((shown(*moved.values()) * weights).sum().detach()))
        slope = (value[0] - value[1]) / (2 * step)
        assert float((leaf.grad * way).sum()) == pytest.approx(slope, rel=2e-2, abs=1e-3)


def test_a_picture_that_needs_no_gradient_is_blurred_once(monkeypatch):
    light, normal = Environment(torch.rand(6, 16, 16, 3)), unit(3).float()
    with torch.inference_mode():
        first = diffuse([light], normal)
    monkeypatch.setattr("polyglyph.scene.environment._blur", None)
    normal.requires_grad_()
    again = diffuse([light], normal)
    torch.testing.assert_close(first, again.detach())
    assert bool(torch.autograd.grad(again.sum(), normal)[0].any())


def test_directions_of_texels_are_those_that_the_kernel_looks_up():
    directions = cube_directions(8)
    torch.testing.assert_close(
        texture_cube(directions, directions.reshape(-1, 3), filter="nearest"), directions.reshape(-1, 3)
    )


def test_a_panorama_has_its_middle_behind_and_its_right_at_the_right():
    picture = torch.zeros(32, 64, 3)
    picture[12:20, 28:36, 0] = 1.0  # middle: −Z
    picture[12:20, 44:52, 1] = 1.0  # three quarters: +X
    picture[:4, :, 2] = 1.0  # top: +Y
    light = Environment.from_equirectangular(picture, size=32)
    places = torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    expected = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(light.radiance(places), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("height", [16, 128, 300])
def test_a_panorama_keeps_its_light_at_any_resolution(height):
    rows = (torch.arange(height) + 0.5) * math.pi / height
    picture = torch.zeros(height, 2 * height, 3)
    tall = height // 8
    picture[height // 3 : height // 3 + tall, height // 2 : height // 2 + tall] = 50.0
    solid = (math.pi / height) ** 2 * rows.sin()[:, None, None]
    mean = float((picture * solid).sum() / 3 / (4 * math.pi))
    light = Environment.from_equirectangular(picture, size=32)
    directions, weight = globe(60)
    found = diffuse([light], directions.float()) * weight[:, None].float()
    assert float(found.sum() / 3 / (4 * math.pi)) == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("turn", [0.0, 90.0, 217.0])
def test_rotation_carries_the_front_towards_the_left_as_azimuth_does(turn):
    lamp = SphericalGaussians(torch.tensor([[0.0, 0, 1]]), torch.tensor([20.0]), torch.ones(1, 3))
    light = Environment.from_gaussians(lamp, size=32)
    turned = Environment(light.cube, rotation=turn, strength=2.0)
    angle = math.radians(turn)
    moved = torch.tensor([[math.sin(angle), 0.0, math.cos(angle)]])
    front = torch.tensor([[0.0, 0.0, 1.0]])
    torch.testing.assert_close(turned.radiance(moved), 2 * light.radiance(front), atol=2e-2, rtol=0)
    torch.testing.assert_close(diffuse([turned], moved), 2 * diffuse([light], front), atol=2e-2, rtol=0)
    kwargs = {"metallic": torch.ones(1, 1), "roughness": torch.full((1, 1), 0.3)}
    both = [
        shade([which], n, n, torch.ones(1, 3), **kwargs) for which, n in ((turned, moved), (light, front))
    ]
    torch.testing.assert_close(both[0], 2 * both[1], atol=5e-2, rtol=0)


def test_random_surroundings_are_evenly_exposed_and_repeat():
    drawn = [random_environment(np.random.default_rng(seed)) for seed in range(40)]
    for light in drawn:
        assert light.axes.shape == (LOBES, 3)
        assert light.axes.dtype == torch.float32
        assert float(light.mean().mean()) == pytest.approx(MEAN, rel=1e-5)
    normal = unit(500).float()
    brightest = torch.stack([diffuse([light], normal).max() for light in drawn])
    darkest = torch.stack([diffuse([light], normal).min() for light in drawn])
    assert float(brightest.median()) < 1.1
    assert float(brightest.max()) < 2.0
    assert float(darkest.min()) > 0.05
    assert float((brightest - darkest).min()) > 0.1
    again = random_environment(np.random.default_rng(3))
    torch.testing.assert_close(again.amplitude, drawn[3].amplitude, rtol=0, atol=0)
    lit = [int((light.amplitude.sum(1) > 0).sum()) for light in drawn]
    assert {min(lit), max(lit)} == {5, 9}


def test_a_mesh_is_drawn_in_its_surroundings(shapes):
    positions, faces = (torch.from_numpy(part) for part in shapes["sphere"](24, 0.4))
    mesh = Mesh(positions=positions, faces=faces)
    light = surroundings(1)
    pictures = [
        render(mesh, orbit(30.0, 20.0), 32, lights=[which])
        for which in (light, Environment.from_gaussians(light))
    ]
    torch.testing.assert_close(pictures[0].rgba, pictures[1].rgba, atol=0.03, rtol=0)
    inside = pictures[0].mask[0] == 1
    matt = diffuse([light], pictures[0].normal[0][inside])
    assert (
        float((pictures[0].rgba[0][inside][:, :3] - matt).abs().max()) < 0.25
    )  # and a highlight of F0 = 0.04


def test_surroundings_are_read_from_files(tmp_path):
    picture = np.full((16, 32, 3), 0.25, dtype=np.float32)
    picture[:8] = (4.0, 2.0, 1.0)
    write_hdr(tmp_path / "a.hdr", picture)
    up = torch.tensor([[0.0, 1.0, 0.0]])
    found = Environment.from_file(tmp_path / "a.hdr", size=16).radiance(up)
    torch.testing.assert_close(found, torch.tensor([[4.0, 2.0, 1.0]]), rtol=0.02, atol=0)
    write_image(tmp_path / "a.png", np.full((16, 32, 3), 188, dtype=np.uint8))
    half = Environment.from_file(tmp_path / "a.png", size=16, strength=2.0).radiance(up)
    torch.testing.assert_close(half, torch.ones(1, 3), rtol=0.01, atol=0.01)
    write_image(tmp_path / "square.png", np.zeros((16, 16, 3), dtype=np.uint8))
    with pytest.raises(FormatError, match="twice as wide as high"):
        Environment.from_file(tmp_path / "square.png")


def test_wrong_shapes_and_sizes_are_refused(unchecked):
    for cube in (torch.zeros(6, 16, 8, 3), torch.zeros(5, 16, 16, 3), torch.zeros(6, 24, 24, 3)):
        with pytest.raises(ConfigError):
            Environment(cube)
    for size in (0, 8, 48, 4096):
        with pytest.raises(ConfigError, match="power of 2"):
            Environment.from_equirectangular(torch.zeros(8, 16, 3), size=size)
    rows, normal = (torch.rand(2, 4, 3), torch.rand(2, 4), torch.rand(2, 4, 3)), torch.rand(5, 3)
    skin = {"metallic": normal[:, :1], "roughness": normal[:, :1]}
    index = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(ConfigError, match="not B lights of K lobes"):
        shade_gaussians(rows[0][:1], *rows[1:], index, normal, normal, normal, **skin)
    with pytest.raises(ConfigError, match="do not go with 5 samples"):
        shade_gaussians(*rows, index[:4], normal, normal, normal, **skin)
    with pytest.raises(ConfigError, match="no lights"):
        stacked([])
    with pytest.raises(ConfigError, match="is not a light"):
        diffuse(["sun"], normal)
