"""Visibility gradients: blend colours across silhouettes by where the silhouette passes between two pixel
centres.

Legend: B images, V vertices, F faces, C channels, H W image, K pairs of pixels.

The method is the analytic antialiasing of Laine et al. 2020 (Modular Primitives for High-Performance
Differentiable Rendering), with a walk over the surface added so that faces smaller than a pixel work too. The
definition:

* A pair is two pixels side by side, or one above the other, whose `face_id` differ. The *near* pixel is the
  one that was hit, or has the smaller depth (the left or upper one if equal); the other is *far*.
* The plane through the eye and both centres cuts the surface in a curve. Follow it from the near centre
  (t = 0): on the near pixel's face to the edge where it leaves towards the far centre (t = 1), then on over
  the face beyond that edge, and so on. It leaves a face through the edge whose ends lie on different sides of
  the plane (an end in the plane counts as above or right of it). It meets an edge at
  t = e(near) / (e(near) − e(far)), with e as in `rasterize`.
* Vertices are those of the topology, welded or not. Where no other face has the edge, or all that do lie on
  the side of it that the curve comes from (a fold on screen), it is a silhouette: stop. A curve that reaches
  t > 1 first, or no silhouette within 32 faces, blends nothing. Of several faces beyond an edge it takes the
  next in the order of `faces`, and round again.
* A silhouette edge that is rather upright (its slope on screen, in pixels, is at least 1) counts only for
  pairs side by side, one that is rather level only for pairs one above the other. A moving edge sweeps the
  same area counted along either direction, so counting both would double the gradient.
* The blend: where t < 1/2 the near pixel takes the share 1/2 − t of the far colour; where t > 1/2 the far
  pixel takes the share t − 1/2 of the near colour. Shares of several pairs add up.
"""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.antialias import cpu, cuda, reference, vectorised
from polyglyph.kernels.antialias.topology import Topology
from polyglyph.kernels.backend import Backend, Chosen, choose
from polyglyph.kernels.checks import (
    check_clip,
    check_face_id,
    check_faces,
    check_floating,
    check_ranges,
    check_rows,
)
from polyglyph.kernels.rasterize import Fragments

__all__ = ["Topology", "antialias"]

_MODULES: dict[Chosen, Any] = {"reference": reference, "vectorised": vectorised, "cpu": cpu, "cuda": cuda}


def antialias(
    color: Float[Tensor, "B H W C"],
    fragments: Fragments,
    clip: Float[Tensor, "B V 4"] | Float[Tensor, "V 4"],
    faces: Int[Tensor, "F 3"],
    *,
    ranges: Int[Tensor, "B 2"] | None = None,
    topology: Topology | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"]:
    """Soften the silhouettes in `color` to a pixel's width, so that they pass gradients to the vertices.

    `fragments`, `clip`, `faces` and `ranges` are those of `rasterize`. `topology` is `Topology.of(faces)` or
    `Topology.of(faces, positions)`, worth keeping when many calls share the same faces; left out, it is built
    here over vertices welded by their places in `clip`, each image's apart.

    Differentiable once, in `color` and `clip`; not in `fragments`. The gradient is that of a pixel-wide box
    filter for edges longer than a pixel, and agrees with it on average for shorter ones; it is the gradient
    of *where* the silhouette is, never of which face is visible. Pairs whose colours are equal cost nothing
    unless `color` itself needs a gradient.

    Vertices that coincide but are not shared (UV seams, flat-shaded copies) make no silhouettes where the
    topology welds them; a gradient goes to the vertices of the face whose edge it is.

    Limits: where one surface pierces another there is no edge, hence no gradient. Shares add up, so a pixel
    that is a thin spike's tip may leave the range of the colours around it.

    Raises ConfigError for shapes that do not fit together.
    """
    _check(color, fragments, clip, faces, ranges)
    known = () if topology is None else (topology.corner, topology.following)
    chosen = choose(backend, "antialias", color, clip, faces, fragments.face_id, fragments.depth, *known)
    if chosen in ("cpu", "cuda") and color.dtype != clip.dtype:
        chosen = "vectorised"  # the compiled ones have one type for both
    if topology is not None:
        _check_topology(topology, faces, clip.shape[-2])
    else:
        topology = Topology.of(faces, clip if clip.ndim == 2 else clip.transpose(0, 1), ranges=ranges)
    depth = fragments.depth.detach().to(clip.dtype)
    return _MODULES[chosen].antialias(color, fragments.face_id, depth, clip, faces, topology)


def _check_topology(topology: Topology, faces: Tensor, vertices: int) -> None:
    fix = "pass `Topology.of(faces)` of these faces"
    if topology.corner.shape != faces.shape or topology.following.numel() != faces.numel():
        raise ConfigError(
            f"`topology` is of {len(topology.corner)} faces, and there are {len(faces)}", fix=fix
        )
    holds = f"`clip` has {vertices} vertices and {faces.numel()} half-edges"
    check_rows(topology.corner, vertices, "topology.corner", holds, fix)
    check_rows(topology.following, faces.numel(), "topology.following", holds, fix)


def _check(color: Tensor, fragments: Fragments, clip: Tensor, faces: Tensor, ranges: Tensor | None) -> None:
    if color.ndim != 4 or color.shape[:3] != fragments.face_id.shape:
        raise ConfigError(
            f"`color` has shape {tuple(color.shape)}, but `face_id` {tuple(fragments.face_id.shape)}",
            fix="pass [B, H, W, C] for fragments of [B, H, W]",
        )
    if fragments.depth.shape != fragments.face_id.shape:
        raise ConfigError(
            f"`depth` has shape {tuple(fragments.depth.shape)}, `face_id` {tuple(fragments.face_id.shape)}",
            fix="pass the fragments of one call",
        )
    check_floating(color=color)
    check_clip(clip, packed=ranges is not None)
    if ranges is not None:
        check_ranges(ranges, faces)
    if clip.ndim == 3 and clip.shape[0] != color.shape[0]:
        raise ConfigError(
            f"`clip` is for {clip.shape[0]} images and `color` for {color.shape[0]}",
            fix="pass one row per image",
        )
    check_faces(faces, clip.shape[-2], "clip")
    check_face_id(fragments.face_id, faces)
