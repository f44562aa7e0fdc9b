"""Textured meshes from a trained generator: GLBs, a contact sheet and a page.

Legend: B batch, L latent, N points.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.files import new_folder, write_bytes, write_json, write_text
from polyglyph.base.progress import Progress
from polyglyph.formats.gallery import GalleryItem, gallery_html
from polyglyph.formats.glb import encode_glb
from polyglyph.formats.model import Material, Part
from polyglyph.formats.png import contact_sheet, encode_png, write_animation, write_image
from polyglyph.learn.device import pick_device
from polyglyph.scene.camera import orbit
from polyglyph.scene.clean import validity
from polyglyph.scene.export import ExportOptions, Textures, textured
from polyglyph.scene.material import to_srgb_uint8
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render
from polyglyph.shape.get3d.config import SampleConfig
from polyglyph.shape.get3d.generator import Codes, Planes
from polyglyph.shape.get3d.model import Model, load_generator
from polyglyph.shape.get3d.picture import cut_surface

__all__ = ["SampleResult", "generate", "sample_meshes", "seeded_codes"]

SHEET_VIEWS = ((30.0, 20.0), (120.0, 20.0), (210.0, 20.0))
"""Azimuth and elevation of each mesh's pictures on the sheet, degrees."""


@dataclass(frozen=True)
class Sampled:
    """One mesh as it was written."""

    name: str
    recipe: str
    """Which seeds it came from."""
    faces: int
    vertices: int
    closed: bool
    atlas: str
    seconds: float


@dataclass(frozen=True)
class SampleResult:
    """What was written, and by which model."""

    out: Path
    model: Path
    meshes: list[Sampled]
    seconds: float


def sample_meshes(
    model: str | Path | None,
    out: Path,
    config: SampleConfig,
    *,
    device: torch.device | str = "auto",
    force: bool = False,
) -> SampleResult:
    """Write textured GLBs, `sheet.png`, `index.html` and `samples.json` to `out`.

    `model` is a model folder, a hub id, or None for the shipped model. The same model and seed give
    the same mesh, whatever the count.

    Raises DataError if `out` exists and `force` is false, or there is no model.
    """
    start = time.monotonic()
    target = pick_device(device) if isinstance(device, str) else device
    loaded = load_generator(model, device=target)
    shapes = wanted(loaded, config)
    with new_folder(out, force=force) as folder, Progress("sampling", total=len(shapes)) as bar:
        meshes: list[Sampled] = []
        items: list[GalleryItem] = []
        tiles: list[np.ndarray] = []
        for shape in shapes:
            begun = time.monotonic()
            part, closed, atlas = generate(loaded, shape.codes, config)
            part.name = part.material.name = shape.name
            extras = {"model": loaded.path.name, "codes": shape.recipe}
            data = encode_glb([part], name=shape.name, extras=extras)
            write_bytes(folder / f"{shape.name}.glb", data)
            views = pictures_of(part, loaded, config.view_resolution)
            tiles += views
            seconds = round(time.monotonic() - begun, 2)
            counts = (len(part.faces), len(part.positions))
            meshes.append(Sampled(shape.name, shape.recipe, *counts, closed, atlas, seconds))
            caption = f"{len(part.faces)} triangles, {shape.recipe}"
            items.append(GalleryItem(shape.name, encode_png(views[0]), data, caption))
            bar.advance(note=shape.name)
        write_image(folder / "sheet.png", contact_sheet(tiles, columns=_columns(len(shapes))))
        if config.interpolate is not None:
            write_animation(folder / "walk.webp", tiles[:: len(SHEET_VIEWS)], fps=8)
        title, notes = f"{len(shapes)} meshes", _notes(loaded, config)
        write_text(folder / "index.html", gallery_html(title, items, notes))
        result = SampleResult(Path(out), loaded.path, meshes, round(time.monotonic() - start, 2))
        write_json(
            folder / "samples.json", {"model": loaded.path.name, "meshes": [vars(mesh) for mesh in meshes]}
        )
    return result


class Shape(NamedTuple):
    """One mesh to make: its file name, its codes, and how they came about."""

    name: str
    codes: Codes
    recipe: str


def wanted(model: Model, config: SampleConfig) -> list[Shape]:
    """The shapes that `config` asks for: a run of seeds, a walk between two, or two with textures swapped.

    A walk is straight in w, for geometry and texture alike.
    """
    subject = model.config.subject or "mesh"

    def of(seed: int) -> Codes:
        return seeded_codes(model, seed, config.truncation)

    if config.swap is not None:
        return [
            Shape(
                f"{subject}_{a:04d}_texture_{b:04d}",
                Codes(of(a).geometry, of(b).texture),
                f"geometry of seed {a}, texture of seed {b}",
            )
            for a in config.swap
            for b in config.swap
        ]
    if config.interpolate is not None:
        first, last = of(config.interpolate[0]), of(config.interpolate[1])
        steps = torch.linspace(0, 1, config.frames).tolist()
        return [
            Shape(
                f"{subject}_walk_{number:03d}",
                Codes(
                    torch.lerp(first.geometry, last.geometry, t), torch.lerp(first.texture, last.texture, t)
                ),
                f"{t:.2f} of the way from seed {config.interpolate[0]} to {config.interpolate[1]}",
            )
            for number, t in enumerate(steps)
        ]
    seeds = range(config.seed, config.seed + config.count)
    return [Shape(f"{subject}_{seed:04d}", of(seed), f"seed {seed}") for seed in seeds]


def seeded_codes(model: Model, seed: int, truncation: float) -> Codes:
    """The codes of one seed, batch 1."""
    generator = model.generator
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(2, 1, generator.config.latent, generator=rng).to(generator.mapping.w_avg.device)
    return generator.codes(z[0], z[1], truncation)


@torch.no_grad()
def generate(model: Model, codes: Codes, config: SampleConfig) -> tuple[Part, bool, str]:
    """One textured part, whether its surface was cut closed, and which atlas it got. `codes` has batch 1."""
    generator = model.generator
    planes = generator.planes(codes)
    cells = config.isosurface_resolution
    surface = cut_surface(generator, generator.field(planes, codes, cells), cells).surface
    positions, faces = surface.vertices.cpu().numpy(), surface.faces.cpu().numpy()
    device = str(generator.mapping.w_avg.device)
    made = textured(
        positions,
        faces,
        Textures(color=_color_field(model, planes, codes), color_encoding="srgb"),
        faces_limit=config.faces or len(faces),
        texture_resolution=config.texture_resolution,
        material=Material(roughness=0.8, metallic=0.0),
        options=ExportOptions(device=device),
    )
    return made.part, validity(positions, faces).closed, made.atlas.method


def pictures_of(part: Part, model: Model, resolution: int) -> list[np.ndarray]:
    """The exported part, unlit (light is in its colours), from the sheet's sides: uint8 on white."""
    azimuth, elevation = zip(*SHEET_VIEWS, strict=True)
    cameras = orbit(azimuth, elevation, model.config.radius, model.config.fov)
    mesh = Mesh.from_parts([part])
    picture = render(mesh, cameras, resolution, shading="albedo", background=(1.0, 1.0, 1.0))
    return list(to_srgb_uint8(picture.rgba[..., :3]).cpu().numpy())


def _color_field(model: Model, planes: Planes, codes: Codes) -> Callable[[Tensor], Tensor]:
    """sRGB colours in 0..1 at points [N, 3]."""

    def field(points: Tensor) -> Tensor:
        return (model.generator.colors(planes, codes, points[None])[0] + 1) / 2

    return field


def _columns(count: int) -> int:
    """Whole meshes per row of the sheet, about as wide as high."""
    per_row = max(1, round((count / len(SHEET_VIEWS)) ** 0.5))
    return len(SHEET_VIEWS) * per_row


def _notes(model: Model, config: SampleConfig) -> str:
    made = f"the model {model.path.name}, {model.config.kimg:.0f} thousand training pictures"
    return f"Uncurated samples of {made}, truncation {config.truncation}."
