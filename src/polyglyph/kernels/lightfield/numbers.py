"""What the 47 numbers of an image are, and the table that the region's are looked up in."""

import functools
import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["NUMBERS", "OUTLINE", "SCALES", "TABLE_SIDE", "WEIGHTS", "basis", "region_numbers"]

RADIAL, ANGULAR = 3, 12
REGION = RADIAL * ANGULAR - 1
OUTLINE = 10
NUMBERS = REGION + OUTLINE + 2
TABLE_SIDE = 101
SCALES = torch.tensor([256.0] * REGION + [512.0] * OUTLINE + [256.0, 256.0], dtype=torch.float64)
WEIGHTS = torch.tensor([1] * REGION + [2] * OUTLINE + [2, 1], dtype=torch.int32)


@functools.cache
def basis() -> Float[Tensor, "10201 72"]:
    """cos(π r ρ) exp(-i p θ) at the table's entries, row after row from below; 0 from ρ = 1 on.

    Columns are the real parts of (p, r) = (0, 0), (0, 1), (0, 2), (1, 0), ..., then the imaginary ones.
    """
    half = (TABLE_SIDE - 1) / 2
    place = (torch.arange(TABLE_SIDE, dtype=torch.float64) - half) / half
    y, x = torch.meshgrid(place, place, indexing="ij")
    distance, angle = torch.hypot(x, y).reshape(-1, 1, 1), torch.atan2(y, x).reshape(-1, 1, 1)
    radial = torch.cos(math.pi * distance * torch.arange(RADIAL)) * (distance < 1)
    turned = angle * torch.arange(ANGULAR).reshape(-1, 1)
    parts = [(radial * turned.cos()).flatten(1), (-radial * turned.sin()).flatten(1)]
    return torch.cat(parts, dim=1)


def region_numbers(tables: Float[Tensor, "S V 101 101"]) -> Float[Tensor, "S V 35"]:
    """The region's numbers, from how much each entry of the table counts in the mean over the pixels."""
    real, imaginary = (tables.flatten(-2) @ basis().to(tables.device)).chunk(2, dim=-1)
    return torch.hypot(real, imaginary)[..., 1:]
