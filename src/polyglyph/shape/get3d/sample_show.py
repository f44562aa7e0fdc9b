"""What a person looks at: the contact sheet, animations, and the page.

Legend: H W picture size.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from polyglyph.base.files import write_bytes
from polyglyph.base.progress import track
from polyglyph.formats.gallery import GalleryItem, gallery_html
from polyglyph.formats.png import contact_sheet
from polyglyph.kernels.marching_tets import Surface
from polyglyph.scene.camera import orbit
from polyglyph.scene.clean import largest_parts
from polyglyph.scene.export import ExportOptions
from polyglyph.shape.get3d.lighting import show_lighting
from polyglyph.shape.get3d.model import Model
from polyglyph.shape.get3d.picture import cut_surface, paint
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_export import codes_of
from polyglyph.shape.get3d.sample_plan import Shape
from polyglyph.shape.get3d.sample_work import SHEET_VIEWS

__all__ = ["drawn", "page", "sheet", "there_and_back", "together", "write_film"]

TOGETHER_SIDE = 1024
"""Most pixels along a side of the animation of all meshes together."""
PAGE_BYTES = 48 << 20
"""Meshes on the page, all together: a browser has to read them at once."""
SUPERSAMPLE = 3


def sheet(views: Sequence[Sequence[np.ndarray]], shapes: Sequence[Shape], config: SampleConfig) -> np.ndarray:
    """Three sides of every mesh; or one side of each, a row per seed, labelled, for several truncations."""
    if config.truncations:
        return contact_sheet(
            [sides[0] for sides in views],
            columns=len(config.truncations),
            labels=[shape.recipe for shape in shapes],
        )
    per_row = max(1, round((len(views) / len(SHEET_VIEWS)) ** 0.5))  # about as wide as high
    return contact_sheet([side for sides in views for side in sides], columns=len(SHEET_VIEWS) * per_row)


def together(turns: Sequence[Sequence[np.ndarray]], columns: int | None = None) -> list[np.ndarray]:
    """Frames with all meshes turning at once, at most about `TOGETHER_SIDE` pixels wide."""
    columns = columns or max(1, round(len(turns) ** 0.5))
    side = min(turns[0][0].shape[0], max(16, TOGETHER_SIDE // columns))

    def small(picture: np.ndarray) -> np.ndarray:
        if picture.shape[0] == side:
            return picture
        return np.array(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))

    frames = zip(*turns, strict=True)
    return [contact_sheet([small(one) for one in frame], columns=columns, gap=0) for frame in frames]


def there_and_back(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The frames, and back again without showing either end twice."""
    return [*frames, *frames[-2:0:-1]]


def write_film(path: Path, frames: Sequence[np.ndarray], *, fps: float, quality: int = 85) -> None:
    """A looping WebP, lossy: about a tenth of the bytes of a lossless one. Frames are uint8 [H, W, 3]."""
    pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
        quality=quality,
        method=4,
    )
    write_bytes(path, buffer.getvalue())


@torch.no_grad()
def drawn(model: Model, shapes: Sequence[Shape], config: SampleConfig) -> list[np.ndarray]:
    """Pictures of shapes by the network itself, with no mesh written: uint8 [H, W, 3] on white."""
    generator, size = model.generator, config.view_resolution
    camera = orbit(*SHEET_VIEWS[0], model.config.radius, model.config.fov).to(generator.mapping.w_avg.device)
    frames = []
    for shape in track(shapes, "drawing the walk"):
        codes = codes_of(model, shape)
        planes = generator.planes(codes)
        cells = config.isosurface_resolution
        surface = cut_surface(generator, generator.field(planes, codes, cells), cells).surface
        light, side = show_lighting(generator, 1), size * SUPERSAMPLE
        seen = paint(generator, planes, codes, _without_crumbs(surface), camera, side, lighting=light)
        small = torch.nn.functional.avg_pool2d(_on_white(seen), SUPERSAMPLE)[0]
        frames.append((small.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())
    return frames


def _without_crumbs(surface: Surface) -> Surface:
    """One mesh with the small parts dropped that are dropped from meshes as well."""
    kept = largest_parts(
        surface.vertices.cpu().numpy(), surface.faces.cpu().numpy(), share=ExportOptions().smallest_part
    )
    device = surface.vertices.device
    vertices, faces = torch.from_numpy(kept.positions), torch.from_numpy(kept.faces.astype(np.int64))
    ranges = (torch.tensor([[0, len(rows)]], device=device) for rows in (vertices, faces))
    return Surface(vertices.to(device), faces.to(device), *ranges)


def _on_white(seen: torch.Tensor) -> torch.Tensor:
    """Colour in 0..1 from pictures whose colour is −1..1 over black (−1)."""
    return (seen[:, :3] + 1) / 2 + (1 - seen[:, 3:])


def page(title: str, notes: str, items: Sequence[GalleryItem]) -> str:
    """The page; meshes beyond `PAGE_BYTES` are shown as pictures only, and the notes say so."""
    shown, room = [], PAGE_BYTES
    for item in items:
        room -= len(item.glb or b"")
        shown.append(item if room >= 0 else GalleryItem(item.name, item.image_png, None, item.caption))
    if room < 0:
        notes += "\n\nThe page would be too heavy with all meshes: the last ones are pictures here."
    return gallery_html(title, shown, notes)
