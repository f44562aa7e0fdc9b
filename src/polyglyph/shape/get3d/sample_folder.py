"""The folder that samples are written to, by one process or by several ranks at once.

While it is made, everything about a mesh lies in `.parts`; whoever writes the last mesh makes the sheet, the
page and `samples.json` of all of them and removes `.parts`. One process writes to a temporary folder that
takes its name at the end; ranks share the folder itself, and running them again continues it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polyglyph.base.config import to_dict
from polyglyph.base.errors import ConfigError, DataError
from polyglyph.base.files import new_folder, read_json, write_bytes, write_json, write_text
from polyglyph.formats.gallery import GalleryItem
from polyglyph.formats.png import decode_image, encode_png, write_image
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_plan import Shape
from polyglyph.shape.get3d.sample_show import page, sheet, there_and_back, together, write_film
from polyglyph.shape.get3d.sample_work import Made

__all__ = ["Left", "Sampled", "begun", "finish", "is_there", "keep", "leave_out", "opened", "told"]

PARTS = ".parts"
SETTINGS = ".settings.json"
SUMMARY = "samples.json"
FPS_WALK, FPS_TURN = 8.0, 15.0


@dataclass(frozen=True)
class Sampled:
    """One mesh as it was written, after decimation. Vertices at one position count as one."""

    name: str
    recipe: str
    """Which seeds it came from."""
    truncation: float
    file: str
    faces: int
    vertices: int
    """In the file: those on texture seams are there twice."""
    faces_cut: int
    """Faces of the surface before anything was done to it."""
    faces_dropped_by_cleaning: int
    faces_dropped_by_decimation: int
    closed: bool
    manifold: bool
    oriented: bool
    components: int
    euler: int
    genus: int | None
    """Handles; None unless closed, manifold and oriented."""
    degenerate_faces: int
    duplicate_faces: int
    boundary_edges: int
    nonmanifold_edges: int
    self_intersections: int
    """Pairs of faces that pass through each other."""
    uv_overlap: float
    """Share of the texture that two faces lay claim to."""
    texture_resolution: int
    texture_coverage: float
    """Share of the texels that lie on the surface."""
    atlas: str
    atlas_reason: str
    """Why it is not xatlas, if it is not."""
    seconds: float
    stages: dict[str, float] = field(default_factory=dict)
    """Wall seconds of each stage; `network` is the parent's."""
    lods: list[dict[str, Any]] = field(default_factory=list)
    """The same about the coarser levels of detail."""


@dataclass(frozen=True)
class Left:
    """A mesh that was not made, and why."""

    name: str
    recipe: str
    reason: str


class _Kept(NamedTuple):
    """All that was kept of the meshes, in their order."""

    shapes: list[Shape]
    meshes: list[Sampled]
    left: list[Left]
    views: list[list[np.ndarray]]
    turns: list[list[np.ndarray]]


@contextlib.contextmanager
def opened(out: Path, told: dict[str, Any], *, world: int, force: bool) -> Iterator[Path]:
    """The folder to write to, which becomes `out`. `told` is all that the files depend on.

    Raises DataError if `out` is there and not to be replaced, or is something else; ConfigError if ranks
    began it with other settings.
    """
    if world == 1:
        with new_folder(out, force=force) as folder:
            (folder / PARTS).mkdir()
            yield folder
        return
    if force:
        raise ConfigError(
            "`--force` with several ranks would delete what others write", fix="delete the folder first"
        )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not begun(out))):
        raise DataError(f"`{out}` already exists", fix="choose another name")
    out.mkdir(parents=True, exist_ok=True)
    if begun(out) and read_json(out / SETTINGS) != told:
        raise ConfigError(
            f"`{out}` was begun with other settings", fix="use the same settings, or another folder"
        )
    if not begun(out):
        write_json(out / SETTINGS, told)
    if not (out / SUMMARY).is_file():
        (out / PARTS).mkdir(exist_ok=True)
    yield out


def begun(out: Path) -> bool:
    """Whether ranks began to write there."""
    return (out / SETTINGS).is_file()


def told(model: str, config: SampleConfig) -> dict[str, Any]:
    """What the files of a folder depend on, as JSON gives it back."""
    values = {key: list(v) if isinstance(v, tuple) else v for key, v in to_dict(config).items()}
    return {"model": model} | {k: v for k, v in values.items() if k not in ("workers", "mesh_seconds")}


def is_there(folder: Path, shape: Shape) -> bool:
    """Whether a mesh was made, or given up, before."""
    return (folder / PARTS / f"{shape.name}.json").is_file() or (folder / SUMMARY).is_file()


def keep(folder: Path, shape: Shape, made: Made, network_seconds: float) -> None:
    """Write a mesh's files and what is to be known of it; its row last."""
    parts = folder / PARTS
    for name, data in made.files.items():
        write_bytes(folder / name, data)
    (parts / f"{shape.name}.png").write_bytes(made.views)
    if made.turn is not None:
        (parts / f"{shape.name}_turn.png").write_bytes(made.turn)
        frames = _unstrip(made.turn)
        write_film(folder / f"{shape.name}.webp", frames, fps=FPS_TURN)
    stages = {"network": round(network_seconds, 3), **made.row["stages"]}
    seconds = round(made.row["seconds"] + network_seconds, 2)
    row = made.row | {
        "name": shape.name,
        "recipe": shape.recipe,
        "truncation": shape.truncation,
        "stages": stages,
        "seconds": seconds,
    }
    write_json(parts / f"{shape.name}.json", row)


def leave_out(folder: Path, shape: Shape, reason: str) -> None:
    """Note that a mesh is not made."""
    write_json(folder / PARTS / f"{shape.name}.json", {"left_out": reason})


def finish(
    folder: Path,
    shapes: Sequence[Shape],
    config: SampleConfig,
    told: dict[str, Any],
    notes: str,
    film: Sequence[np.ndarray] | None = None,
) -> tuple[list[Sampled], list[Left]] | None:
    """Write what is about all meshes, once they are all made; None while some are not.

    Two ranks that get here at once write the same bytes. Raises DataError if not one mesh was made.
    """
    if (folder / SUMMARY).is_file():
        found = read_json(folder / SUMMARY)
        return [Sampled(**row) for row in found["meshes"]], [Left(**row) for row in found["left_out"]]
    kept = _gathered(folder, shapes)
    if kept is None:
        return None
    if not kept.meshes:
        raise DataError(
            f"none of the {len(shapes)} meshes could be made; the first: {kept.left[0].reason}",
            fix="allow more time with `--mesh-seconds`, or check the model with `polyglyph inspect`",
        )
    write_image(folder / "sheet.png", sheet(kept.views, kept.shapes, config))
    if config.interpolate is not None:
        frames = film or [sides[0] for sides in kept.views]
        shown = there_and_back(frames) if config.loop else frames
        write_film(folder / "walk.webp", shown, fps=FPS_WALK if film is None else FPS_TURN, quality=90)
    if kept.turns:
        columns = len(config.truncations) or None
        write_film(folder / "turntable.webp", together(kept.turns, columns), fps=FPS_TURN)
    title = f"{len(kept.meshes)} meshes"
    write_text(folder / "index.html", page(title, _with_left(notes, kept.left), _items(folder, kept)))
    meshes, left = [asdict(mesh) for mesh in kept.meshes], [asdict(one) for one in kept.left]
    write_json(folder / SUMMARY, {**told, "meshes": meshes, "left_out": left})
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    return kept.meshes, kept.left


def _gathered(folder: Path, shapes: Sequence[Shape]) -> _Kept | None:
    kept = _Kept([], [], [], [], [])
    parts = folder / PARTS
    for shape in shapes:
        try:
            row = read_json(parts / f"{shape.name}.json")
            if "left_out" in row:
                kept.left.append(Left(shape.name, shape.recipe, row["left_out"]))
                continue
            kept.views.append(_unstrip((parts / f"{shape.name}.png").read_bytes()))
            if (parts / f"{shape.name}_turn.png").is_file():
                kept.turns.append(_unstrip((parts / f"{shape.name}_turn.png").read_bytes()))
        except (DataError, FileNotFoundError):  # not made yet; or another rank has just finished
            return None
        kept.shapes.append(shape)
        kept.meshes.append(Sampled(**row))
    return kept


def _unstrip(png: bytes) -> list[np.ndarray]:
    """Square pictures that stand side by side."""
    strip = decode_image(png)
    return [np.ascontiguousarray(part) for part in np.split(strip, strip.shape[1] // len(strip), axis=1)]


def _items(folder: Path, kept: _Kept) -> list[GalleryItem]:
    items = []
    for mesh, views in zip(kept.meshes, kept.views, strict=True):
        caption = f"{mesh.faces} triangles, {mesh.recipe}" + ("" if mesh.closed else ", open")
        data = (folder / mesh.file).read_bytes()
        items.append(GalleryItem(mesh.name, encode_png(views[0]), data, caption))
    return items


def _with_left(notes: str, left: Sequence[Left]) -> str:
    if not left:
        return notes
    return f"{notes}\n\nLeft out: " + "; ".join(f"{one.name} ({one.reason})" for one in left)
