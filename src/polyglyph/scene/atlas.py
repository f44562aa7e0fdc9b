"""Texture coordinates for bare geometry: xatlas within a time limit, else our own box atlas.

Legend: V vertices, F faces, K charted vertices.
"""

import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer, Shaped

from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.scene.box_atlas import box_atlas, laid_out_again
from polyglyph.scene.clean import check_geometry
from polyglyph.scene.overlap import overlapping_pairs
from polyglyph.scene.xatlas_call import Charts, charts, enlarged

__all__ = ["Atlas", "unwrap"]

WORKER = (sys.executable, "-m", "polyglyph.scene.xatlas_worker")
LOST_AREA = 1e-6
"""Share of the surface that may have coordinates without area. Needles of the isosurface are so small that
their corners round to one place, inside their chart."""


@dataclass(frozen=True)
class Atlas:
    """Where every face lies in the texture."""

    vertex_map: Integer[np.ndarray, " K"]
    """The vertex of the geometry that each charted vertex is a copy of."""
    faces: Integer[np.ndarray, "F 3"]
    """Rows of `vertex_map`; face f is face f of the geometry."""
    uvs: Float[np.ndarray, "K 2"]
    """In [0, 1], origin at the picture's top left."""
    method: Literal["xatlas", "box"]
    reason: str = ""
    """Why it was not xatlas, in `auto`."""


def unwrap(
    positions: Shaped[np.ndarray, "V 3"],
    faces: Shaped[np.ndarray, "F 3"],
    *,
    time_limit: float = 30.0,
    method: Literal["auto", "xatlas", "box"] = "auto",
    resolution: int = 1024,
    padding: int = 2,
    here: bool = False,
    worker: Sequence[str] = WORKER,
) -> Atlas:
    """Cut the surface into charts and lay them side by side, without overlap.

    `time_limit` is in seconds and covers xatlas alone, which runs in a process of its own and is killed when
    it is over; its time grows fast with the number of faces and of parts, so clean and decimate first.
    `auto` takes the box atlas when xatlas is missing, too slow or fails, and says why in `reason`; `xatlas`
    raises BackendError then. xatlas lets faces overlap on some surfaces: its charts are then taken apart and
    packed again. `padding` is the number of texels between charts at `resolution` texels a side. With `here`
    xatlas runs in this process, without a limit: for a process that its parent stops. The atlas is the same.
    The box atlas is deterministic and takes about a second for 14,000 faces.

    Raises DataError for no faces, positions that are not finite, or faces that name missing vertices;
    ConfigError for an unknown method.
    """
    if method not in ("auto", "xatlas", "box"):
        raise ConfigError(f"there is no way to unwrap called `{method}`", fix="use `auto`, `xatlas` or `box`")
    if resolution < 16 or padding < 0:
        raise ConfigError(
            f"an atlas of {resolution} texels with {padding} of padding",
            fix="give at least 16, and 0 or more",
        )
    check_geometry(positions, faces)
    positions = np.ascontiguousarray(positions, dtype=np.float32)
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    reason = ""
    if method != "box":
        if here:
            found = _xatlas_here(positions, faces, resolution, padding)
        else:
            found = _xatlas(positions, faces, time_limit, resolution, padding, worker)
        if isinstance(found, Charts):
            found = _checked(found, positions, faces, resolution, padding)
        if isinstance(found, Atlas):
            return found
        reason = found
        if method == "xatlas":
            raise BackendError(
                f"xatlas gave no atlas: {reason}", fix="use `auto` or `box`, or allow fewer faces"
            )
    vertex_map, charted, uvs = box_atlas(positions, faces, resolution=resolution, padding=padding)
    return Atlas(vertex_map, charted, uvs, "box", reason)


def _xatlas_here(positions: np.ndarray, faces: np.ndarray, resolution: int, padding: int) -> Charts | str:
    """The charts, or why there are none."""
    try:
        return charts(enlarged(positions), faces, resolution=resolution, padding=padding)
    except (ImportError, RuntimeError, ValueError) as problem:  # what its binding raises
        return f"it failed ({problem})"


def _xatlas(
    positions: np.ndarray,
    faces: np.ndarray,
    limit: float,
    resolution: int,
    padding: int,
    worker: Sequence[str],
) -> Charts | str:
    """The same from a process of its own."""
    job = io.BytesIO()
    np.savez(
        job,
        positions=enlarged(positions),
        faces=faces.astype(np.uint32),
        resolution=resolution,
        padding=padding,
    )
    try:
        done = subprocess.run(
            list(worker), input=job.getvalue(), capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {limit:g} s"
    except OSError as problem:
        return f"its process did not start ({problem})"
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return f"its process ended with {done.returncode}" + (f" ({lines[-1]})" if lines else "")
    try:
        with np.load(io.BytesIO(done.stdout), allow_pickle=False) as result:
            return Charts(result["vertex_map"], result["faces"], result["uvs"], int(result["pages"]))
    except (ValueError, KeyError, EOFError, OSError) as problem:
        return f"its answer could not be read ({problem})"


def _checked(
    found: Charts, positions: np.ndarray, faces: np.ndarray, resolution: int, padding: int
) -> Atlas | str:
    """The charts as an atlas, overlaps taken apart, or why they are none."""
    vertex_map, charted, uvs, pages = found
    if pages != 1:
        return f"it made {pages} pages"
    if charted.shape != faces.shape or (vertex_map[charted] != faces).any():
        return "it changed the faces"
    if not np.isfinite(uvs).all() or uvs.min() < 0 or uvs.max() > 1:
        return "its coordinates leave the picture"
    corner, flat = positions[faces].astype(np.float64), uvs[charted].astype(np.float64)
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    a, b = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    lost = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] == 0
    if float(area[lost].sum()) > LOST_AREA * float(area.sum()):
        return f"it left {int(lost.sum())} faces without a place"
    if len(overlapping_pairs(flat, np.zeros(len(flat), dtype=np.int64), tolerance=1e-6)):
        source, charted, uvs = laid_out_again(uvs, charted, resolution=resolution, padding=padding)
        vertex_map = vertex_map[source]
    return Atlas(vertex_map, charted, uvs, "xatlas")
