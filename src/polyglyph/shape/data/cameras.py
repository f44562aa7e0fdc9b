"""`cameras.json`: where every picture of a dataset was taken from. Torch-free.

Legend: N views of one object.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyglyph.base.config import to_dict
from polyglyph.base.errors import DataError
from polyglyph.base.files import read_json, write_text
from polyglyph.shape.data.config import CameraDistribution

__all__ = [
    "CAMERAS_FILE",
    "Placement",
    "clip_planes",
    "read_cameras",
    "sample_angles",
    "view_matrices",
    "write_cameras",
]

CAMERAS_FILE = "cameras.json"
_CONVENTION = (
    "right-handed, Y up; degrees; position = radius * (cos e sin a, sin e, cos e cos a); looks at origin; "
    "view is world to camera, row by row; the camera looks along its -Z"
)


@dataclass(frozen=True)
class Placement:
    """How a mesh was put before the cameras: `(position - center) * scale`."""

    center: tuple[float, float, float]
    """Metres, in the mesh's own frame."""
    scale: float
    """Dataset units per metre."""


def clip_planes(radius: float) -> tuple[float, float]:
    """Near and far plane for an orbit: 0.1 and 10 at GET3D's radius of 1.2, in proportion elsewhere."""
    return radius / 12, radius * 10 / 1.2


def sample_angles(distribution: CameraDistribution, key: str, views: int, seed: int) -> np.ndarray:
    """float64 [N, 2]: azimuth in [0, 360), elevation, in degrees, uniform in the distribution's intervals.

    They depend on the seed and the mesh's key alone: not on the order, the subset or the process.
    Rounded to 1e-4 degrees, so that the file holds exactly the angles that were used.
    """
    digest = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
    random = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    azimuth = random.uniform(*distribution.azimuth, size=views) % 360.0
    elevation = random.uniform(*distribution.elevation, size=views)
    angles = np.round(np.stack([azimuth, elevation], axis=1), 4)
    angles[:, 0] %= 360.0
    return angles


def view_matrices(angles: np.ndarray, radius: float) -> np.ndarray:
    """World-to-camera matrices float64 [N, 4, 4] of orbit cameras, as `scene.camera.orbit`; degrees."""
    a, e = np.radians(angles[:, 0]), np.radians(angles[:, 1])
    zero, one = np.zeros_like(a), np.ones_like(a)
    right = np.stack([np.cos(a), zero, -np.sin(a), zero], axis=1)
    up = np.stack([-np.sin(e) * np.sin(a), np.cos(e), -np.sin(e) * np.cos(a), zero], axis=1)
    back = np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a), -radius * one], axis=1)
    return np.stack([right, up, back, np.stack([zero, zero, zero, one], axis=1)], axis=1)


def write_cameras(
    path: Path,
    distribution: CameraDistribution,
    angles: Mapping[str, np.ndarray],
    placements: Mapping[str, Placement],
) -> None:
    """Write `cameras.json`, one view a line. `angles` and `placements` are by object id."""
    near, far = clip_planes(distribution.radius)
    head: dict[str, Any] = {
        "convention": _CONVENTION,
        "distribution": to_dict(distribution),
        "radius": distribution.radius,
        "fov": distribution.fov,
        "near": near,
        "far": far,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    lines.append(' "objects": {')
    for number, identity in enumerate(sorted(angles)):
        placement = placements[identity]
        lines.append(f"  {json.dumps(identity)}: {{")
        lines.append(
            f'   "center": {json.dumps(list(placement.center))}, "scale": {json.dumps(placement.scale)},'
        )
        lines.append('   "views": [')
        matrices = np.round(view_matrices(angles[identity], distribution.radius), 7) + 0.0
        views = []
        for (azimuth, elevation), matrix in zip(angles[identity].tolist(), matrices.tolist(), strict=True):
            views.append("    " + json.dumps({"azimuth": azimuth, "elevation": elevation, "view": matrix}))
        lines.append(",\n".join(views))
        lines.append("   ]}" + ("," if number + 1 < len(angles) else ""))
    write_text(path, "\n".join(["{", *lines, " }", "}"]) + "\n")


@dataclass(frozen=True)
class CamerasFile:
    """What `cameras.json` says."""

    radius: float
    fov: float
    angles: dict[str, np.ndarray]
    """float64 [N, 2] by object id: azimuth, elevation in degrees."""
    placements: dict[str, Placement]


def read_cameras(path: Path) -> CamerasFile:
    """Read `cameras.json`. Raises DataError, naming the object, for anything missing or not a number."""
    path = Path(path)
    value = read_json(path)
    where = "the file"
    try:
        radius, fov = float(value["radius"]), float(value["fov"])
        angles, placements = {}, {}
        for identity, entry in value["objects"].items():
            where = f"`{identity}`"
            rows = [(float(view["azimuth"]), float(view["elevation"])) for view in entry["views"]]
            angles[identity] = np.array(rows, dtype=np.float64).reshape(-1, 2)
            center = tuple(float(number) for number in entry["center"])
            placements[identity] = Placement((center[0], center[1], center[2]), float(entry["scale"]))
            if not np.isfinite(angles[identity]).all() or not math.isfinite(placements[identity].scale):
                raise ValueError("a number is not finite")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        raise DataError(
            f"`{path}` is damaged at {where}: {type(problem).__name__} {problem}",
            fix="delete the file and run the `dataset` command again: finished pictures are kept",
        ) from None
    return CamerasFile(radius, fov, angles, placements)
