"""Real pictures for GET3D, in memory, in an order that a counter alone determines.

Legend: N pictures, B batch, H W picture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.errors import DataError

__all__ = ["PictureStream", "on_white", "to_network"]


class PictureStream:
    """Shuffled epochs over pictures and, with `mirror`, their mirror images.

    Sample number k of the whole training is always the same for a seed, so a resumed run goes on
    exactly where it stopped.
    """

    def __init__(self, images: np.ndarray, angles: np.ndarray, *, mirror: bool, seed: int) -> None:
        """`images` uint8 [N, H, W, 4] (straight alpha), `angles` float32 [N, 2] in degrees."""
        if len(images) == 0:
            raise DataError(
                "the training split has no pictures", fix="run `polyglyph inspect` on the data set"
            )
        self.images, self.angles, self.mirror, self.seed = images, angles, mirror, seed
        self.length = len(images) * (2 if mirror else 1)
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def batch(self, first: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Samples `first` to `first + size`: pictures [B, 4, H, W] for the networks, angles [B, 2]."""
        numbers = [self._number(k) for k in range(first, first + size)]
        rows = [number % len(self.images) for number in numbers]
        pictures = to_network(torch.from_numpy(self.images[rows]).to(device))
        angles = torch.from_numpy(self.angles[rows]).clone()
        flipped = torch.tensor([number >= len(self.images) for number in numbers])
        pictures = torch.where(flipped.to(device)[:, None, None, None], pictures.flip(3), pictures)
        angles[:, 0] = torch.where(flipped, torch.remainder(-angles[:, 0], 360.0), angles[:, 0])
        return pictures, angles.to(device)

    def _number(self, sample: int) -> int:
        epoch, place = divmod(sample, self.length)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
        return int(self._order[place])


def to_network(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 4] with straight alpha to float [B, 4, H, W]: colour -1..1 over black, mask 0..1."""
    values = images.permute(0, 3, 1, 2).float() / 255
    mask = values[:, 3:]
    return torch.cat((values[:, :3] * mask * 2 - 1, mask), dim=1)


def on_white(pictures: Tensor) -> Tensor:
    """Network pictures [B, 4, H, W] to [B, 3, H, W] in 0..1 on white."""
    color, mask = (pictures[:, :3] + 1) / 2, pictures[:, 3:].clamp(0, 1)
    return (color.clamp(0, 1) + 1 - mask).clamp(0, 1)
