"""From a cut surface to the bytes of textured meshes and their pictures: what workers do, without a network.

Legend: N points, C channels, H W picture size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from polyglyph.formats.glb import encode_glb
from polyglyph.formats.model import Material, Part
from polyglyph.formats.png import encode_png
from polyglyph.scene.camera import Cameras, orbit, turntable
from polyglyph.scene.export import ExportOptions, Textures, textured
from polyglyph.scene.material import to_srgb_uint8
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render
from polyglyph.scene.report import report
from polyglyph.shape.get3d.shading import show_environment

__all__ = ["SHEET_VIEWS", "Job", "Made", "finished", "pictures_of", "with_box_atlas"]

SHEET_VIEWS = ((30.0, 20.0), (120.0, 20.0), (210.0, 20.0))
"""Azimuth and elevation of each mesh's pictures on the sheet, degrees."""
PIXELS_AT_ONCE = 1 << 21
TURNTABLE_START, TURNTABLE_ELEVATION = 30.0, 20.0


@dataclass(frozen=True)
class Job:
    """One surface, and what is to be made of it."""

    name: str
    extras: dict[str, Any]
    """For the GLB: which model, which codes."""
    positions: np.ndarray
    faces: np.ndarray
    fields: tuple[str, ...]
    """Which fields of `Textures` there are; their values are asked for."""
    color_encoding: Literal["linear", "srgb"]
    material: Material
    """What holds where no field says otherwise."""
    levels: tuple[tuple[int, int], ...]
    """Most faces (0: all) and texture side of each level of detail."""
    radius: float
    """Distance of the cameras."""
    fov: float
    view_resolution: int
    turn_frames: int
    """Pictures of a turntable; 0 for none."""
    unwrap: Literal["auto", "box"] = "auto"
    unwrap_seconds: float = 30.0
    unwrap_reason: str = ""
    """Why it is not `auto`."""
    killable: bool = False
    """Whether the process that works on it is stopped from outside when it takes too long."""


@dataclass(frozen=True)
class Made:
    """What became of a job, as bytes: ready to be written."""

    files: dict[str, bytes]
    """GLBs by file name, the mesh itself first."""
    row: dict[str, Any]
    """What `samples.json` says about it."""
    views: bytes
    """PNG: the sheet's pictures, side by side."""
    turn: bytes | None
    """PNG: the turntable's pictures, side by side."""


def with_box_atlas(job: Job, stage: str, reason: str) -> Job:
    """The job once more, without xatlas, which took too long or broke its process in stage `unwrap`."""
    return replace(job, unwrap="box", unwrap_reason=f"{reason} in `{stage}`")


def finished(job: Job, ask: Callable[..., Any], watch: Callable[[str], None]) -> Made:
    """Clean, decimate, unwrap, bake, check, encode and render, at every level of detail.

    `ask(field, points)` gives a field's values, both arrays of float32 ([N, 3] and [N, C]).
    Raises DataError where nothing can be made of the surface.
    """
    start = time.perf_counter()
    files: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    views = turn = None
    for level, (limit, side) in enumerate(job.levels):
        name = f"{job.name}_lod{level}" if level else job.name
        made = textured(
            job.positions,
            job.faces,
            _asked(job, ask),
            name=name,
            faces_limit=limit or len(job.faces),
            texture_resolution=side,
            material=replace(job.material, name=name),
            options=ExportOptions(
                unwrap=job.unwrap,
                unwrap_seconds=job.unwrap_seconds,
                unwrap_here=job.killable,
                watch=watch,
            ),
        )
        watch("encode")
        begun = time.perf_counter()
        extras = job.extras | ({"level_of_detail": level} if len(job.levels) > 1 else {})
        files[f"{name}.glb"] = encode_glb([made.part], name=name, extras=extras)
        encoded = time.perf_counter()
        watch("check")
        found = asdict(report(made.part))
        checked = time.perf_counter()
        seconds = made.seconds | {
            "encode": round(encoded - begun, 3),
            "check": round(checked - encoded, 3),
        }
        if not level:
            watch("pictures")
            views, turn = _pictures(job, made.part)
            seconds["pictures"] = round(time.perf_counter() - checked, 3)
        rows.append(
            {
                "file": f"{name}.glb",
                "faces": len(made.part.faces),
                "vertices": len(made.part.positions),
                "faces_cut": made.faces_before,
                "faces_dropped_by_cleaning": made.faces_before - made.faces_clean,
                "faces_dropped_by_decimation": made.faces_clean - len(made.part.faces),
                "texture_resolution": side,
                "texture_coverage": round(made.coverage, 4),
                "atlas": made.atlas.method,
                "atlas_reason": job.unwrap_reason or made.atlas.reason,
                **found,
                "stages": seconds,
            }
        )
    assert views is not None  # noqa: S101  (there is always the first level)
    row = {**rows[0], "lods": rows[1:], "seconds": round(time.perf_counter() - start, 2)}
    return Made(files, row, views, turn)


def _asked(job: Job, ask: Callable[..., Any]) -> Textures:
    """The fields that are elsewhere."""

    def field(kind: str) -> Callable[[Tensor], Tensor]:
        return lambda points: torch.from_numpy(ask(kind, points.numpy()))

    found = {kind: field(kind) for kind in job.fields}
    return Textures(
        color=found["color"],
        color_encoding=job.color_encoding,
        orm=found.get("orm"),
        normal=found.get("normal"),
    )


def _pictures(job: Job, part: Part) -> tuple[bytes, bytes | None]:
    # what has a material of its own is lit; else light is in its colours already
    shading = "shaded" if "orm" in job.fields else "albedo"
    azimuth, elevation = zip(*SHEET_VIEWS, strict=True)
    cameras = orbit(azimuth, elevation, job.radius, job.fov)
    views = _strip(pictures_of(part, cameras, job.view_resolution, shading=shading))
    if not job.turn_frames:
        return views, None
    cameras = turntable(job.turn_frames, TURNTABLE_ELEVATION, job.radius, job.fov, start=TURNTABLE_START)
    return views, _strip(pictures_of(part, cameras, job.view_resolution, shading=shading))


def _strip(pictures: list[np.ndarray]) -> bytes:
    return encode_png(np.concatenate(pictures, axis=1), level=1)


@torch.inference_mode()
def pictures_of(
    part: Part, cameras: Cameras, resolution: int, *, shading: Literal["albedo", "shaded"] = "albedo"
) -> list[np.ndarray]:
    """The exported part from every camera, uint8 [H, W, 3] on white; `shaded` under `show_environment`."""
    mesh, lights = Mesh.from_parts([part]), [show_environment()]
    pictures: list[np.ndarray] = []
    step = max(1, PIXELS_AT_ONCE // resolution**2)
    for first in range(0, len(cameras), step):
        some = cameras[first : first + step]
        drawn = render(mesh, some, resolution, lights=lights, shading=shading, background=(1.0, 1.0, 1.0))
        pictures += list(to_srgb_uint8(drawn.rgba[..., :3]).cpu().numpy())
    return pictures
