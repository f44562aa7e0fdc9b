"""From pictures back to the material: base colour, roughness and metallic of a globe, by gradient descent.

The globe's texels are grouped into regions of paint, plastic and metal. Only pictures and lights are known.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from full_lighting import by_half_vectors

from polyglyph.scene.camera import Cameras, orbit
from polyglyph.scene.light import Environment, Light, SphericalGaussians
from polyglyph.scene.material import Material, Picture2D
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.random_environment import random_environment
from polyglyph.scene.render import Picture, render

HEIGHT, WIDTH = 4, 8
"""Texels of the maps, from pole to pole and all round."""
MOST = 0.05
"""Mean absolute error that each recovered map may have."""


class Maps(NamedTuple):
    base: torch.Tensor  # [h, w, 3]
    roughness: torch.Tensor  # [h, w, 1]
    metallic: torch.Tensor  # [h, w, 1]

    def material(self) -> Material:
        orm = torch.cat([torch.ones_like(self.roughness), self.roughness, self.metallic], -1)
        return Material(
            base_color_image=Picture2D(self.base, srgb=True),
            orm_image=Picture2D(orm, srgb=False),
            metallic=1.0,
            roughness=1.0,
        )

    def errors(self, other: "Maps") -> dict[str, float]:
        return {
            name: float((mine - theirs).abs().mean())
            for name, mine, theirs in zip(self._fields, self, other, strict=True)
        }


def true_maps() -> Maps:
    """Eight regions of 2 × 2 texels: three metals, five others, from glossy to dull."""
    base = torch.tensor(
        [
            [[0.9, 0.7, 0.3], [0.6, 0.1, 0.1], [0.2, 0.4, 0.7], [0.5, 0.5, 0.5]],
            [[0.8, 0.8, 0.8], [0.3, 0.7, 0.3], [0.7, 0.4, 0.3], [0.15, 0.1, 0.1]],
        ]
    )
    roughness = torch.tensor([[0.3, 0.5, 0.7, 0.4], [0.8, 0.25, 0.55, 0.35]])[..., None]
    metallic = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])[..., None]
    return Maps(
        *(part.repeat_interleave(2, 0).repeat_interleave(2, 1) for part in (base, roughness, metallic))
    )


def globe(material: Material, rings: int = 24) -> Mesh:
    """A ball of radius 0.45 with one map all round it, its seam at −Z."""
    down, around = np.meshgrid(np.linspace(0, 1, rings + 1), np.linspace(0, 1, 2 * rings + 1), indexing="ij")
    polar, angle = down * np.pi, (around - 0.5) * 2 * np.pi
    places = [np.sin(polar) * np.sin(angle), np.cos(polar), np.sin(polar) * np.cos(angle)]
    normals = torch.from_numpy(np.stack(places, -1).reshape(-1, 3)).float()
    uvs = torch.from_numpy(np.stack([around, down], -1).reshape(-1, 2)).float()
    corner = np.arange(rings)[:, None] * (2 * rings + 1) + np.arange(2 * rings)
    a, b, c, d = corner, corner + 2 * rings + 1, corner + 2 * rings + 2, corner + 1
    faces = np.concatenate([np.stack(part, -1).reshape(-1, 3) for part in ((a, b, c), (a, c, d))])
    return Mesh(
        positions=0.45 * normals,
        faces=torch.from_numpy(faces),
        normals=normals,
        uvs=uvs,
        materials=[material],
    )


def cameras() -> Cameras:
    return orbit([0.0, 60.0, 120.0, 180.0, 240.0, 300.0], [25.0, -25.0, 25.0, -25.0, 55.0, -55.0])


def photographs(maps: Maps, lights: list[Light]) -> list[torch.Tensor]:
    """Colours [B, 48, 48, 3] under each light, alone."""
    mesh = globe(maps.material())
    return [render(mesh, cameras(), 48, lights=[light], supersample=1).rgba[..., :3] for light in lights]


def photographs_by_brute_force(maps: Maps, lights: list[SphericalGaussians]) -> list[torch.Tensor]:
    """The same, each pixel by the full integral."""
    seen = render(globe(maps.material()), cameras(), 48, lights=[], supersample=1)
    orm = maps._replace(base=torch.cat([torch.ones_like(maps.roughness), maps.roughness, maps.metallic], -1))
    skin = render(globe(orm.material()), cameras(), 48, lights=[], supersample=1).albedo
    inside = seen.mask == 1
    normal, albedo, rough, metal = (
        part[inside].double() for part in (seen.normal, seen.albedo, skin[..., 1:2], skin[..., 2:])
    )
    view = towards_the_camera(seen)[inside].double()
    front = ((normal * view).sum(1) > 0.02)[:, None]
    pictures = []
    for light in lights:
        color = by_half_vectors(light.radiance, normal, view, albedo, metal, rough, 16, 24)
        pictures.append(torch.zeros_like(seen.albedo).index_put((inside,), (color * front).float()))
    return pictures


def towards_the_camera(picture: Picture) -> torch.Tensor:
    """Unit vectors [B, H, W, 3] from the seen points to the eye."""
    size = picture.depth.shape[1]
    step = (torch.arange(size) + 0.5) * 2 / size - 1
    lens = float(cameras().projection[0, 1, 1])
    ray = torch.stack([(-step / lens).expand(size, -1), (step / lens)[:, None].expand(-1, size)], -1)
    ray = torch.nn.functional.normalize(torch.cat([ray, torch.ones(size, size, 1)], -1), dim=-1)
    return ray @ cameras().view[:, None, :3, :3]


def recovered(targets: list[torch.Tensor], lights: list[Light], steps: int = 160) -> Maps:
    """The maps whose pictures are nearest to the targets, from a neutral guess: 0.5 everywhere."""
    leaves = [torch.zeros(HEIGHT, WIDTH, channels, requires_grad=True) for channels in (3, 1, 1)]
    optimiser = torch.optim.Adam(leaves, lr=0.15, betas=(0.8, 0.95))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.15 * (0.05 + 0.95 * math.cos(math.pi / 2 * step / steps))
        chosen = step % len(lights)
        shown = photographs(Maps(*(leaf.sigmoid() for leaf in leaves)), [lights[chosen]])[0]
        # of the logarithm, so that no highlight outweighs the rest
        loss = (torch.log1p(4 * shown) - torch.log1p(4 * targets[chosen])).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Maps(*(leaf.detach().sigmoid() for leaf in leaves))


def surroundings() -> list[SphericalGaussians]:
    return [random_environment(np.random.default_rng(seed)) for seed in (1, 4, 6)]


def test_a_neutral_guess_is_far_from_the_truth():
    guess = Maps(*(torch.full((HEIGHT, WIDTH, channels), 0.5) for channels in (3, 1, 1)))
    assert min(guess.errors(true_maps()).values()) > 3 * MOST


@pytest.mark.parametrize("kind", ["gaussians", "environment"])
def test_the_material_is_recovered_from_pictures(kind):
    lights = surroundings()
    if kind == "environment":
        lights = [Environment.from_gaussians(light, size=32) for light in lights]
    found = recovered(photographs(true_maps(), lights), lights)
    errors = found.errors(true_maps())
    assert max(errors.values()) < MOST, errors


def test_the_material_is_recovered_from_pictures_made_by_the_full_integral():
    lights = surroundings()
    targets = photographs_by_brute_force(true_maps(), lights)
    errors = recovered(targets, lights, steps=220).errors(true_maps())
    assert max(errors.values()) < MOST, errors
