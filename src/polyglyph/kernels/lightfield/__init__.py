"""Light fields: what silhouettes of a shape from many sides look like, in a few bytes, and how far two
shapes are.

After Chen, Tian, Shen and Ouhyoung, "On visual similarity based 3D model retrieval" (2003), in the
arithmetic of the program that its authors published ("3DAlignment v1.8"), which papers on generated shapes
report.

Legend: N M shapes, S light fields of a shape, V views of a light field, H W picture, P alignments.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.lightfield import cpu, cuda, reference, vectorised
from polyglyph.kernels.lightfield.numbers import NUMBERS, SCALES, WEIGHTS, region_numbers

__all__ = ["NUMBERS", "describe", "match", "quantise"]

_MODULES: dict[Chosen, Any] = {"reference": reference, "vectorised": vectorised, "cpu": cpu, "cuda": cuda}


def describe(silhouettes: Bool[Tensor, "S V H W"], *, backend: Backend = "auto") -> Float[Tensor, "S V 47"]:
    """The 47 numbers of each silhouette, float64: 35 of its region, 10 of its outline, 2 of its form.

    Convention: row 0 is the top. Everything is measured from the centre of an image, the middle of the
    bounding box of its foreground pixels, with pixels as points at whole numbers. Columns:

    * 0-34, *region*: magnitudes of angular radial transform coefficients, the means over the foreground of
      cos(π r ρ) exp(-i p θ), (p, r) = (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), ... (11, 2). ρ is the
      distance from the centre over the largest one in all V images of the light field; the basis is looked
      up, bilinearly, in a table of 101 × 101 that is 0 from ρ = 1 on.
    * 35-44, *outline*: |F_k| / |F_0|, k = 1..10, of the distances from the centre along the outer contour,
      which is traced once around from its lowest pixel and counts that pixel twice. What to do with several
      parts is told in `reference.py`. Contours shorter than 8 pixels give 0.
    * 45, *circularity*: 4π area / border², in pixels, at most 1. A border pixel has one of its 8 neighbours
      outside.
    * 46, *eccentricity*: ((m20 - m02)² + 4 m11²) / (m20 + m02)² about the centre, at most 1.

    An image without foreground has nothing but zeros. Not differentiable.

    Raises ConfigError for silhouettes that are not boolean [S, V, H, W].
    """
    if silhouettes.ndim != 4 or silhouettes.dtype != torch.bool:
        raise ConfigError(
            f"`silhouettes` has shape {tuple(silhouettes.shape)} and holds {silhouettes.dtype}",
            fix="pass booleans [light fields, views, height, width]",
        )
    if min(silhouettes.shape[2:]) == 0:
        raise ConfigError("`silhouettes` has no pixels", fix="render them at 256 × 256, say")
    module = _MODULES[choose(backend, "lightfield", silhouettes)]
    upright = silhouettes.flip(-2).contiguous()  # the backends have row 0 at the bottom, as the program
    tables, rest = module.describe(upright)
    return torch.cat([region_numbers(tables), rest], dim=-1)


def quantise(numbers: Float[Tensor, "*B 47"]) -> UInt8[Tensor, "*B 47"]:
    """The numbers as bytes: floor(256 x), and floor(512 x) for those of the outline, at most 255."""
    return (numbers * SCALES.to(numbers.device)).floor().clamp(0, 255).to(torch.uint8)


def match(
    a: UInt8[Tensor, "N S V 47"],
    b: UInt8[Tensor, "M S V 47"],
    alignments: Int[Tensor, "P V"],
    *,
    backend: Backend = "auto",
) -> Int[Tensor, "N M"]:
    """The light field distance of every shape of `a` to every one of `b`, int32.

    Two images differ by the sum of the absolute differences of their bytes, those of the outline and of the
    circularity twice. Two light fields differ by the smallest sum over views of image v of one against image
    alignments[p, v] of the other, over all p. Two shapes differ as the nearest two of their light fields.

    Raises ConfigError for shapes that do not fit together, and alignments that name no view.
    """
    if a.ndim != 4 or b.ndim != 4 or a.shape[1:] != b.shape[1:] or a.shape[-1] != NUMBERS:
        raise ConfigError(
            f"`a` has shape {tuple(a.shape)} and `b` {tuple(b.shape)}, not [N, S, V, {NUMBERS}] both",
            fix="describe both with the same cameras",
        )
    if a.dtype != torch.uint8 or b.dtype != torch.uint8:
        raise ConfigError(f"`a` holds {a.dtype} and `b` {b.dtype}", fix="pass what `quantise` gives")
    if 0 in a.shape[1:3]:
        raise ConfigError(f"`a` has shape {tuple(a.shape)}: no views", fix="describe at least one view")
    _check_alignments(alignments, a.shape[2])
    module = _MODULES[choose(backend, "lightfield", a, b)]
    places = alignments.to(device=a.device, dtype=torch.int32).contiguous()
    return module.match(a.contiguous(), b.contiguous(), WEIGHTS.to(a.device), places)


def _check_alignments(alignments: Tensor, views: int) -> None:
    wrong = alignments.ndim != 2 or alignments.shape[-1] != views or len(alignments) == 0
    if wrong or alignments.is_floating_point() or alignments.dtype == torch.bool:
        raise ConfigError(
            f"`alignments` has shape {tuple(alignments.shape)} and holds {alignments.dtype}",
            fix=f"pass integers [P, {views}] with P of at least 1",
        )
    if int(alignments.min()) < 0 or int(alignments.max()) >= views:
        raise ConfigError(
            f"`alignments` reaches from {int(alignments.min())} to {int(alignments.max())}",
            fix=f"name views 0 to {views - 1}",
        )
