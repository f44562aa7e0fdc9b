"""From seeds to surfaces and fields: the part of sampling that asks the network.

Legend: B batch, L latent, N points, V vertices, F faces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from polyglyph.formats.model import Material, Part
from polyglyph.scene.clean import validity
from polyglyph.scene.export import ExportOptions, Textures, textured
from polyglyph.shape.get3d.codes import Codes, Planes
from polyglyph.shape.get3d.model import Model
from polyglyph.shape.get3d.picture import cut_surface
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_plan import Mix, Shape
from polyglyph.shape.get3d.shading import SurfaceMaterial, material_of

__all__ = ["MATERIAL", "Cut", "codes_of", "cut", "fields_of", "generate", "seeded_codes"]

MATERIAL = Material(roughness=0.8, metallic=0.0)
"""What holds where no field says otherwise."""


class Cut(NamedTuple):
    """A generated surface before it is cleaned, and the fields over it."""

    positions: np.ndarray
    """float32 [V, 3]."""
    faces: np.ndarray
    """int64 [F, 3]."""
    textures: Textures


def seeded_codes(model: Model, seed: int, truncation: float) -> Codes:
    """The codes of one seed, batch 1."""
    z_geometry, z_texture = _seeded(model, seed)
    return model.generator.codes(z_geometry, z_texture, truncation)


def codes_of(model: Model, shape: Shape) -> Codes:
    """The codes of a shape, batch 1.

    Between two seeds: straight in w, or in z along the great circle between them (White, Sampling Generative
    Networks, 2016), since nearly all z of many dimensions that training draws lie close to one sphere.
    """
    if shape.path == "z":
        return model.generator.codes(
            _between(model, shape.geometry, 0), _between(model, shape.texture, 1), shape.truncation
        )

    def straight(mix: Mix) -> Codes:
        first = seeded_codes(model, mix.seed, shape.truncation)
        if mix.other is None:
            return first
        last = seeded_codes(model, mix.other, shape.truncation)
        return Codes(*(torch.lerp(a, b, mix.share) for a, b in zip(first, last, strict=True)))

    return Codes(straight(shape.geometry).geometry, straight(shape.texture).texture)


def _seeded(model: Model, seed: int) -> Tensor:
    """z of geometry and texture, [2, 1, L]."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(2, 1, model.generator.config.latent, generator=rng)
    return z.to(model.generator.mapping.w_avg.device)


def _between(model: Model, mix: Mix, which: int) -> Tensor:
    """z on the great circle, [1, L]."""
    first = _seeded(model, mix.seed)[which]
    if mix.other is None:
        return first
    last = _seeded(model, mix.other)[which]
    cosine = torch.nn.functional.cosine_similarity(first, last).clamp(-1, 1)
    angle = torch.acos(cosine).clamp(min=1e-4)  # the weights stay 1 - share and share where z agree
    weights = torch.sin(angle * (1 - mix.share)), torch.sin(angle * mix.share)
    return (weights[0] * first + weights[1] * last) / torch.sin(angle)


def fields_of(model: Model, planes: Planes, codes: Codes) -> Textures:
    """What a shape's textures are baked from: the one place that knows.

    Colours are sRGB in 0..1. Without a material they are what a camera sees; with one they are base colours,
    with roughness and metallic beside them, and occlusion 1, because nothing in training knows it.
    """
    generator = model.generator
    device = generator.mapping.w_avg.device

    def color(points: Tensor) -> Tensor:
        """[N, 3] at points [N, 3]."""
        return (generator.colors(planes, codes, points[None].to(device))[0] + 1) / 2

    def material(points: Tensor) -> SurfaceMaterial:
        return material_of(generator.surface_values(planes, codes, points[None].to(device))[0])

    def orm(points: Tensor) -> Tensor:
        """[N, 3] at points [N, 3]."""
        _, roughness, metallic = material(points)
        return torch.cat([torch.ones_like(roughness), roughness, metallic], 1)

    if generator.config.material == "none":
        return Textures(color=color, color_encoding="srgb")
    return Textures(color=lambda points: material(points).base, color_encoding="srgb", orm=orm)


@torch.no_grad()
def cut(model: Model, codes: Codes, resolution: int | None = None) -> Cut:
    """The surface of one shape, cut at the model's lattice resolution or another. `codes` has batch 1."""
    generator = model.generator
    planes = generator.planes(codes)
    surface = cut_surface(generator, generator.field(planes, codes, resolution), resolution).surface
    return Cut(surface.vertices.cpu().numpy(), surface.faces.cpu().numpy(), fields_of(model, planes, codes))


def generate(model: Model, codes: Codes, config: SampleConfig) -> tuple[Part, bool, str]:
    """One textured part, whether it is closed, and which atlas it got. `codes` has batch 1."""
    found = cut(model, codes, config.isosurface_resolution)
    faces, side = config.levels[0]
    made = textured(
        found.positions,
        found.faces,
        found.textures,
        faces_limit=faces or len(found.faces),
        texture_resolution=side,
        material=MATERIAL,
        options=ExportOptions(),
    )
    return made.part, validity(made.part.positions, made.part.faces).closed, made.atlas.method
