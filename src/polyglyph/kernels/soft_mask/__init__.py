"""A silhouette that fades into the background, so that every pixel around a mesh pulls at it.

Legend: B images, V vertices, F faces, H W image, K nearest faces of a pixel.

The method is the background term of DIB-R (Chen et al. 2019, Learning to Predict 3D Objects with an
Interpolation-based Differentiable Renderer, eqs. 5 and 6). The definition:

* Distances are measured on screen in half heights of the image: a corner is at (x/w · W/H, y/w), the centre
  of the pixel in row i and column j at ((2j+1)/W − 1) · W/H and 1 − (2i+1)/H. A pixel is 2/H wide and high.
* d_f is the distance from a centre to the triangle of face f, projected; 0 inside it. A face whose projection
  is a segment or a point has the distance to that.
* A_f = exp(−d_f² · sharpness), and the mask is 1 − ∏ (1 − A_f) over the K nearest faces, those with the least
  d_f²; of equally near ones the lowest rows. Faces that share an edge or a corner have exactly the same
  distance to it. Where several corners of a face are the same point on screen, the first edge (of 0–1, 1–2,
  2–0) that is nearest passes the gradient on.
* Pixels with a face of their own (`face_id` at least 0) have mask 1 and pass no gradient.
* A face takes no part that has a corner at or behind the camera (w <= 0), one that is not finite, or one
  farther than 1e15 half heights off the screen. The near and far planes are not looked at: a pixel on the
  projection of a face that they clip has mask 1, though `face_id` is -1 there.

Distances are worked out in float64 whatever the input's type, except on devices that have none. Faces with
A_f < 2**-40 are left out (but not by the reference), which changes the mask by less than K · 1e-12: only
those within √(27.7 / sharpness) half heights of a pixel (0.063 for 7000) are looked at, and time goes with
their number.

`sharpness` is 1/δ of the paper and `sigmainv` of kaolin's `dibr_soft_mask`; on square images the distances
are kaolin's as well (its `multiplier` cancels out; other images it stretches to a square first). Unlike
kaolin, the K faces are the nearest, not those of the lowest rows, and none is lost at the edge of a box
(`boxlen`).
"""

import math

from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import check_clip, check_faces, check_ranges
from polyglyph.kernels.soft_mask import cpu, cuda, reference, vectorised
from polyglyph.kernels.soft_mask.settings import Settings

__all__ = ["soft_mask"]

_MODULES = {
    "reference": reference.soft_mask,
    "vectorised": vectorised.soft_mask,
    "cpu": cpu.soft_mask,
    "cuda": cuda.soft_mask,
}


def soft_mask(
    clip: Float[Tensor, "B V 4"] | Float[Tensor, "V 4"],
    faces: Int[Tensor, "F 3"],
    face_id: Int[Tensor, "B H W"],
    *,
    sharpness: float = 7000.0,
    neighbours: int = 30,
    ranges: Int[Tensor, "B 2"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W"]:
    """1 where a face is seen, and outside a value that falls off with the distance to the nearest faces.

    `clip`, `faces` and `ranges` are those of `rasterize`, and `face_id` is what it found; only the sign of
    `face_id` matters. `sharpness` (DIB-R: 1/δ) is per squared half height of the image: with 7000 a face half
    a pixel away counts 0.18 at 64 rows and 0.90 at 256; 3e3 to 3e4 are usual. `neighbours` (DIB-R: K) is how
    many faces a pixel counts. The definition is at the top of this module.

    Differentiable once in `clip`: in x and y through the distance, in w through the division; not in
    `face_id`. Gradients are summed in a fixed order on the CPU, and on the GPU when torch is asked for
    deterministic algorithms.

    Raises ConfigError for shapes or index ranges that do not fit together, a `sharpness` that is not positive
    and finite, and `neighbours` that are not a whole number from 1.
    """
    _check_settings(sharpness, neighbours)
    _check(clip, faces, face_id, ranges)
    chosen: Chosen = choose(backend, "soft_mask", clip, faces, face_id)
    if face_id.numel() == 0 or faces.numel() == 0:
        return (
            face_id.ge(0).to(clip.dtype) + clip.reshape(-1)[:0].sum()
        )  # attached to `clip`, with gradient 0
    count = min(neighbours, len(faces))
    return _MODULES[chosen](clip, faces, face_id, ranges, Settings(float(sharpness), count))


def _check_settings(sharpness: float, neighbours: int) -> None:
    if not (sharpness > 0 and math.isfinite(sharpness)):
        raise ConfigError(
            f"`sharpness` is {sharpness}, not positive and finite", fix="pass 1/δ, such as 7000"
        )
    if not isinstance(neighbours, int) or neighbours < 1:
        raise ConfigError(
            f"`neighbours` is {neighbours!r}, not a whole number from 1", fix="pass an `int`, such as 30"
        )


def _check(clip: Tensor, faces: Tensor, face_id: Tensor, ranges: Tensor | None) -> None:
    check_clip(clip, packed=ranges is not None)
    check_faces(faces, clip.shape[-2], "clip")
    if ranges is not None:
        check_ranges(ranges, faces)
    if face_id.ndim != 3:
        raise ConfigError(
            f"`face_id` has shape {tuple(face_id.shape)}, not [B, H, W]",
            fix="pass the `face_id` of `rasterize`",
        )
    given, batch = ("clip", len(clip)) if ranges is None else ("ranges", len(ranges))
    if len(face_id) != batch:
        raise ConfigError(
            f"`face_id` is for {len(face_id)} images and `{given}` for {batch}",
            fix="pass what `rasterize` returned for the same arguments",
        )
