"""Triangles to pixels.

Legend: B images, V vertices, F faces, H W image, P covered pixels.

The definition (Olano and Greer 1997, homogeneous rasterisation), in float64 and with no fused operation:

* v_i = (x, y, w) of corner i. Edge i is opposite corner i, and its function over a pixel centre (X, Y) is
  e_i = a_i X + (b_i Y + c_i) with (a_i, b_i, c_i) = v_j × v_k, (i, j, k) cyclic. Nothing is divided by w, so
  corners behind the camera need no clipping; two faces that share an edge see exactly opposite values.
* det = v_0 · (v_1 × v_2); everything is multiplied by its sign, so that inside is e_i > 0 for either winding.
* Tie rule (top-left): a centre exactly on an edge (e_i = 0) belongs to the face if the edge is a left one
  (a_i > 0) or a horizontal top one (a_i = 0 and b_i < 0). Of two faces on either side of an edge exactly one
  takes the pixel.
* Depth is z/w = (Σ e_i z_i) / det, written as a plane over X and Y. A pixel is not covered where depth is
  outside [-1, 1]: near and far clipping happen per pixel.
* The nearest depth wins, compared in steps of 2**-31; in the same step the lowest face row wins. With
  `behind`, only what comes after that face in this order takes part.
* A face covers nothing outside its own bounding box (widened by 1e-4 pixel; only faces wholly in front of the
  camera have one), nor when it is degenerate (det = 0) or has a coordinate that is not finite.

Coverage is decided in float64 whatever the input's type, except on devices that have none, where it is
float32 and pixels on a shared edge may be lost or drawn by both faces.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import check_clip, check_face_id, check_faces, check_ranges
from polyglyph.kernels.rasterize import cpu, cuda, reference, vectorised

__all__ = ["Fragments", "evaluate", "rasterize"]

LARGEST = 1 << 15
"""Pixels along one side of a picture."""
_MODULES: dict[Chosen, Any] = {"reference": reference, "vectorised": vectorised, "cpu": cpu, "cuda": cuda}


class Fragments(NamedTuple):
    """What each pixel of a batch of images sees."""

    face_id: Int32[Tensor, "B H W"]
    """Row of `faces`; -1 where nothing was hit."""
    depth: Float[Tensor, "B H W"]
    """Normalised device depth z/w in [-1, 1], -1 at the near plane; 1 where nothing was hit."""
    barycentric: Float[Tensor, "B H W 3"]
    """Perspective-correct weights of the face's corners, in the order of its columns; they sum to 1.
    0 where nothing was hit."""
    derivative: Float[Tensor, "B H W 3 2"] | None = None
    """How `barycentric` changes from this pixel to the next one to the right [..., 0] and below [..., 1]: the
    exact derivatives at the centre. None when it was not asked for; 0 where nothing was hit."""


def rasterize(
    clip: Float[Tensor, "B V 4"] | Float[Tensor, "V 4"],
    faces: Int[Tensor, "F 3"],
    resolution: Sequence[int],
    *,
    ranges: Int[Tensor, "B 2"] | None = None,
    derivatives: bool = False,
    behind: Fragments | None = None,
    backend: Backend = "auto",
) -> Fragments:
    """Find the nearest face at every pixel centre, and where on that face the centre lies.

    Two ways to batch:
    * instanced, `clip` is [B, V, 4]: every image draws all `faces` with its own vertex positions;
    * ragged, `clip` is [V, 4] and `ranges` is [B, 2]: image b draws the `count` rows of `faces` from row
      `first`, with (first, count) = ranges[b]; `faces` holds rows of the packed `clip`.
    In both, `face_id` is a row of `faces`. On a GPU, `ranges` in main memory saves waiting for it.

    Convention: clip space as OpenGL, x right, y up, visible where -w <= x, y, z <= w. Pixel (row i, column j)
    has its centre at X = (2j+1)/W - 1, Y = 1 - (2i+1)/H; row 0 is the top. Faces are double-sided. The rule
    for pixels on an edge and the order of equal depths are stated at the top of this module.

    Depth peeling: with `behind`, the fragments of an earlier call with the same arguments, each pixel sees
    the next face after that one (in the order of depths, then of rows), and none where there was none.

    Differentiable once: `barycentric`, `depth` and `derivative` with respect to `clip`, with the visible
    face held fixed. Coverage itself passes no gradient; `antialias` adds that. Gradients are summed in a
    fixed order on the CPU, and on a GPU under `torch.use_deterministic_algorithms`.

    Raises ConfigError for shapes, index ranges or resolutions that do not fit together.
    """
    _check(clip, faces, resolution, ranges)
    size = (int(resolution[0]), int(resolution[1]))
    before = None if behind is None else behind.face_id
    module = _MODULES[choose(backend, "rasterize", clip, faces, *([] if before is None else [before]))]
    if before is not None:
        _check_behind(before, faces, (clip.shape[0] if ranges is None else ranges.shape[0], *size))
    with torch.no_grad():
        face_id = module.face_ids(clip.detach(), faces, size, ranges, before)
    return Fragments(face_id, *module.evaluate(clip, faces, face_id, derivatives))


def evaluate(
    clip: Float[Tensor, "B V 4"] | Float[Tensor, "V 4"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "B H W"],
    *,
    derivatives: bool = False,
    backend: Backend = "auto",
) -> Fragments:
    """The fragments of pixels whose face is already known; `rasterize` is visibility, then this.

    It serves to move vertices under a fixed id buffer: two id buffers that differ only in edge ties already
    give gradients that differ by 12 % on slivers, so gradients are compared over one buffer.

    `clip` may be instanced or packed as in `rasterize`. Differentiable in `clip`.

    Raises ConfigError for shapes that do not fit together and indices out of range.
    """
    check_clip(clip, packed=clip.ndim == 2)
    check_faces(faces, clip.shape[-2], "clip")
    check_face_id(face_id, faces)
    if clip.ndim == 3 and len(clip) != len(face_id):
        raise ConfigError(
            f"`clip` is for {len(clip)} images and `face_id` for {len(face_id)}", fix="pass one row per image"
        )
    module = _MODULES[choose(backend, "rasterize", clip, faces, face_id)]
    return Fragments(face_id.to(torch.int32), *module.evaluate(clip, faces, face_id, derivatives))


def _check_behind(face_id: Tensor, faces: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(face_id.shape) != shape:
        raise ConfigError(
            f"`behind` has shape {tuple(face_id.shape)}, and this call makes {shape}",
            fix="pass the fragments of an earlier call with the same arguments",
        )
    check_face_id(face_id, faces)


def _check(clip: Tensor, faces: Tensor, resolution: Sequence[int], ranges: Tensor | None) -> None:
    if len(resolution) != 2 or min(resolution) < 1 or max(resolution) > LARGEST:
        raise ConfigError(
            f"`resolution` is {tuple(resolution)}, not a height and a width from 1 to {LARGEST}",
            fix="pass `(height, width)` in pixels",
        )
    check_clip(clip, packed=ranges is not None)
    if ranges is not None:
        check_ranges(ranges, faces)
    check_faces(faces, clip.shape[-2], "clip")
