import math

import numpy as np
import pytest
import torch

from polyglyph.scene.light import (
    FLAT,
    STUDIO,
    Ambient,
    Directional,
    SphericalHarmonics,
    diffuse,
    harmonics,
    shade,
)
from polyglyph.scene.microfacet import _reflectance_table


def globe(samples: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions all round and the solid angle of each, in float64."""
    height, weight = np.polynomial.legendre.leggauss(samples)
    around = (np.arange(2 * samples) + 0.5) * math.pi / samples
    z, angle = np.meshgrid(height, around, indexing="ij")
    ring = np.sqrt(1 - z * z)
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], -1).reshape(-1, 3)
    return torch.tensor(directions), torch.tensor(np.repeat(weight, 2 * samples) * math.pi / samples)


def unit(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, dtype=torch.float64), dim=1)


def test_the_harmonics_are_orthonormal():
    directions, weight = globe()
    basis = harmonics(directions)
    torch.testing.assert_close(basis.T @ (basis * weight[:, None]), torch.eye(9, dtype=torch.float64))


def test_harmonic_irradiance_equals_the_integral_over_the_sphere():
    directions, weight = globe()
    light = SphericalHarmonics(torch.randn(9, 3, dtype=torch.float64))
    radiance = harmonics(directions) @ light.coefficients
    normals = unit(12)
    cosine = (normals @ directions.T).clamp(min=0)
    brute = cosine @ (radiance * weight[:, None]) / math.pi
    torch.testing.assert_close(diffuse([light], normals), brute.clamp(min=0), atol=2e-4, rtol=0)


def test_even_light_from_everywhere_shows_the_albedo():
    normals = unit(5)
    one = SphericalHarmonics.sky((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    torch.testing.assert_close(diffuse([one], normals), torch.ones(5, 3, dtype=torch.float64))
    torch.testing.assert_close(diffuse(FLAT, normals), torch.ones(5, 3, dtype=torch.float64))


def test_a_sky_is_bright_above_and_dark_below():
    light = SphericalHarmonics.sky((0.8, 0.9, 1.0), (0.2, 0.1, 0.0))
    poles = torch.tensor([[0.0, 1, 0], [0, -1, 0], [1, 0, 0], [0, 0, 1]])
    expected = torch.tensor([[0.8, 0.9, 1.0], [0.2, 0.1, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    torch.testing.assert_close(light.radiance(poles), expected, atol=1e-6, rtol=0)


def test_projection_finds_the_coefficients_again():
    rows = torch.randn(9, 3)
    found = SphericalHarmonics.project(lambda directions: harmonics(directions) @ rows, samples=16)
    torch.testing.assert_close(found.coefficients, rows, atol=1e-5, rtol=0)


def test_gradients_reach_the_coefficients_and_the_lamp():
    rows = (torch.randn(9, 3, dtype=torch.float64) * 0.01).requires_grad_()
    rows.data[0] += 3
    direction = torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64, requires_grad=True)
    normals = torch.nn.functional.normalize(torch.rand(4, 3, dtype=torch.float64) + 0.2, dim=1)
    kwargs = {
        "metallic": torch.full((4, 1), 0.3, dtype=torch.float64),
        "roughness": torch.full((4, 1), 0.5, dtype=torch.float64),
    }
    albedo = torch.rand(4, 3, dtype=torch.float64)
    view = torch.nn.functional.normalize(normals + 0.3, dim=1)

    def shown(rows, direction):
        return shade([SphericalHarmonics(rows), Directional(direction)], normals, view, albedo, **kwargs)

    assert torch.autograd.gradcheck(shown, (rows, direction))


def test_a_lamp_follows_lambert():
    tilted = torch.tensor([[0.0, 0.0, 1.0], [0.0, math.sin(math.pi / 3), 0.5], [0.0, 0.0, -1.0]])
    expected = torch.tensor([[2.0, 1.0, 0.5], [1.0, 0.5, 0.25], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(diffuse([Directional((0.0, 0.0, 3.0), (2.0, 1.0, 0.5))], tilted), expected)


def mirrored_share(roughness: float, cosine: float) -> torch.Tensor:
    """What a white metal sends to one viewer under white light from everywhere, summed over single lamps.

    Each row turns surface and viewer together so that its lamp comes from +Z.
    """
    directions, weight = globe(200)
    keep = directions[:, 2] > 1e-6
    directions, weight = directions[keep], weight[keep]
    side = torch.nn.functional.normalize(
        torch.linalg.cross(
            directions, torch.tensor([[0.3, 0.9, 0.1]], dtype=torch.float64).expand_as(directions)
        ),
        dim=1,
    )
    turn = torch.stack([side, torch.linalg.cross(directions, side), directions], 1)  # to +Z
    normal = turn[:, :, 2]
    view = turn @ torch.tensor([math.sqrt(1 - cosine**2), 0.0, cosine], dtype=torch.float64)
    white = torch.ones_like(normal)
    seen = shade(
        [Directional((0.0, 0.0, 1.0))],
        normal,
        view,
        white,
        metallic=white[:, :1],
        roughness=white[:, :1] * roughness,
    )
    return (seen[:, 0] * weight).sum() / math.pi


@pytest.mark.parametrize("roughness", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("cosine", [0.4, 0.95])
def test_even_light_is_reflected_like_the_sum_over_lamps_and_no_energy_is_gained(roughness, cosine):
    summed = mirrored_share(roughness, cosine)
    normal = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    view = torch.tensor([[math.sqrt(1 - cosine**2), 0.0, cosine]], dtype=torch.float64)
    white = torch.ones_like(normal)
    fitted = shade(
        [Ambient()], normal, view, white, metallic=white[:, :1], roughness=white[:, :1] * roughness
    )[0, 0]
    assert summed <= 1.001
    assert fitted <= 1.001
    assert abs(float(summed - fitted)) < 0.01


def test_the_table_made_without_gradients_serves_calls_with_gradients():
    _reflectance_table.cache_clear()
    normal = torch.tensor([[0.0, 0.0, 1.0]])
    with torch.inference_mode():
        shade([Ambient()], normal, normal, normal, metallic=normal[:, :1], roughness=normal[:, 2:])
    roughness = torch.full((1, 1), 0.51, requires_grad=True)
    seen = shade([Ambient()], normal, normal, normal, metallic=normal[:, :1], roughness=roughness)
    seen.sum().backward()
    assert roughness.grad is not None
    assert float(roughness.grad) != 0


def test_a_highlight_is_where_the_mirror_direction_is():
    angle = torch.linspace(-1.2, 1.2, 241)
    view = torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos()], 1)
    normal = torch.tensor([[0.0, 0.0, 1.0]]).expand_as(view)
    black = torch.zeros_like(view)
    zero = black[:, :1]
    seen = shade([Directional((-0.5, 0.0, 1.0))], normal, view, black, metallic=zero, roughness=zero + 0.2)
    assert abs(float(angle[seen[:, 0].argmax()]) - math.atan(0.5)) < 0.03


def test_occlusion_dims_the_sky_but_not_the_lamp():
    normal = torch.tensor([[0.0, 0.0, 1.0]])
    white, zero = torch.ones(1, 3), torch.zeros(1, 1)
    kwargs = {"metallic": zero, "roughness": zero + 1, "occlusion": zero}
    assert shade([Ambient()], normal, normal, white, **kwargs).eq(0).all()
    assert shade([Directional((0.0, 0.0, 1.0))], normal, normal, white, **kwargs).ge(0.9).all()


def test_studio_light_leaves_no_side_dark_and_burns_none_out():
    normal = unit(500).float()
    seen = shade(
        STUDIO,
        normal,
        normal,
        torch.full((500, 3), 0.8),
        metallic=torch.zeros(500, 1),
        roughness=torch.full((500, 1), 0.9),
    )
    assert seen.min() > 0.15
    assert seen.max() < 1.05
