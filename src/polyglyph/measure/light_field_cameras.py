"""Where the cameras of light fields stand, and how a dodecahedron turns onto itself.

Legend: S light fields.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = ["REFERENCE", "alignments", "light_fields"]

REFERENCE = 10
"""How many light fields the program has."""

_VERTICES = torch.tensor(
    [
        (0.52573, 0.38197, 0.85065),
        (-0.20081, 0.61803, 0.85065),
        (-0.64984, 0.0, 0.85065),
        (-0.20081, -0.61803, 0.85065),
        (0.52573, -0.38197, 0.85065),
        (0.85065, -0.61803, 0.20081),
        (1.0515, 0.0, -0.20081),
        (0.85065, 0.61803, 0.20081),
        (0.32492, 1.0, -0.20081),
        (-0.32492, 1.0, 0.20081),
    ],
    dtype=torch.float64,
)
"""Half of a dodecahedron's vertices; the other ten are opposite, and see the same silhouettes mirrored."""

_TURNS = torch.tensor(
    [
        (0.0, 0.0, 0.0, 1.0),
        (-0.071956, 0.268215, 0.162817, 0.94677),
        (0.047374, -0.288274, 0.269484, 0.917623),
        (-0.003472, -0.293814, -0.224676, 0.929076),
        (0.015738, -0.237037, 0.040397, 0.970533),
        (0.252786, -0.05448, -0.040011, 0.965158),
        (0.001771, -0.008729, -0.206833, 0.978336),
        (0.279023, -0.093623, 0.188725, 0.93689),
        (-0.234691, -0.070061, 0.129634, 0.960837),
        (0.006999, 0.002858, 0.214075, 0.976788),
    ],
    dtype=torch.float64,
)
"""How the program turns its ten dodecahedra, as quaternions (x, y, z, w)."""


@functools.cache
def light_fields(count: int = REFERENCE) -> Float[Tensor, "S 10 3"]:
    """Unit vectors towards the cameras: of each light field, of each of its views.

    The program's for 10. Any other number turns the dodecahedron by rotations that are spread evenly
    over all there are (super-Fibonacci spirals, Alexa 2022).

    Raises ConfigError for fewer than 1.
    """
    if count < 1:
        raise ConfigError(f"`count` is {count}, and a shape needs a light field", fix="use 10, or 40")
    turns = torch.nn.functional.normalize(_TURNS if count == REFERENCE else _spiral(count), dim=1)
    x, y, z, w = turns.unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], dim=1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], dim=1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    turns = torch.stack(rows, dim=1)
    towards = torch.nn.functional.normalize(_VERTICES, dim=1)
    return torch.einsum("sij,vj->svi", turns, towards)


def _spiral(count: int) -> Float[Tensor, "S 4"]:
    """Quaternions (x, y, z, w) spread evenly."""
    place = torch.arange(count, dtype=torch.float64) + 0.5
    inner, outer = (place / count).sqrt(), (1 - place / count).sqrt()
    a, b = 2 * torch.pi * place / 2**0.5, 2 * torch.pi * place / 1.533751168755204288118041
    return torch.stack([inner * a.sin(), inner * a.cos(), outer * b.sin(), outer * b.cos()], dim=1)


@functools.cache
def alignments() -> Int[Tensor, "60 10"]:
    """For each rotation of a dodecahedron onto itself, which view (or its opposite) each view becomes."""
    towards = torch.nn.functional.normalize(_VERTICES, dim=1)
    corners = torch.cat([towards, -towards])
    cosine = corners @ corners.T
    adjacent = (cosine - 5**0.5 / 3).abs() < 1e-3

    def frame(first: int, second: int) -> Tensor:
        a, b = corners[first], corners[second]
        return torch.stack([a, b, torch.linalg.cross(a, b)], dim=1)

    start = torch.linalg.inv(frame(0, int(adjacent[0].nonzero()[0])))
    found = []
    for first in range(20):
        for second in adjacent[first].nonzero()[:, 0].tolist():
            turned = towards @ (frame(first, second) @ start).T
            found.append((turned @ towards.T).abs().argmax(dim=1))
    return torch.stack(found)
