"""Real pictures for GET3D, in an order that a counter alone determines.

Legend: N pictures, B batch, H W picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.errors import DataError
from polyglyph.shape.data.dataset import Dataset, Split

__all__ = ["PictureStream", "on_white", "pictures_of", "to_network"]

IN_MEMORY = 4 << 30
"""Bytes of pictures that one machine keeps in memory; larger sets are read as they are needed."""

READERS = 8
"""Threads that read and decode; decoding runs outside Python's lock."""

AHEAD = 2
"""Batches that are read while the one before them is trained on."""


@runtime_checkable
class Source(Protocol):
    """Pictures by row: an array in memory, or files."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: list[int], /) -> np.ndarray:
        """uint8 [B, H, W, 4] with straight alpha."""
        ...


class OnDemand:
    """Pictures of a data set, in files or in tar shards, read by a few threads when they are asked for."""

    def __init__(self, data: Dataset, split: Split) -> None:
        self.data, self.index = data, data.index(split)
        self.pool = ThreadPoolExecutor(READERS, "pictures")

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: list[int], /) -> np.ndarray:
        return np.stack(list(self.pool.map(lambda row: self.data.image(*self.index[row]), rows)))


def pictures_of(data: Dataset, split: Split, limit: int = IN_MEMORY) -> Source:
    """The pictures of a split: in memory if they take at most `limit` bytes, else from their files."""
    if len(data.index(split)) * data.resolution**2 * 4 > limit:
        return OnDemand(data, split)
    return data.images(split)


class PictureStream:
    """Shuffled epochs over pictures and, with `mirror`, their mirror images.

    Sample number k of the whole training is always the same for a seed, so a resumed run goes on
    exactly where it stopped, and each of several processes reads its own samples only.

    Pictures that are not in memory are read ahead, in a thread, on the guess that batches are asked for in
    order; what is returned does not depend on the guess. `close` stops that thread.
    """

    def __init__(self, images: Source, angles: np.ndarray, *, mirror: bool, seed: int) -> None:
        """`images` gives uint8 [B, H, W, 4] (straight alpha) for rows; `angles` float32 [N, 2] in degrees."""
        if len(images) == 0:
            raise DataError(
                "the training split has no pictures", fix="run `polyglyph inspect` on the data set"
            )
        self.images, self.angles, self.mirror, self.seed = images, angles, mirror, seed
        self.length = len(images) * (2 if mirror else 1)
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)
        self._reader = None if isinstance(images, np.ndarray) else ThreadPoolExecutor(1, "reading-ahead")
        self._ahead: dict[range, tuple[list[int], Future[np.ndarray]]] = {}

    def batch(self, first: int, size: int, device: torch.device, *, step: int = 1) -> tuple[Tensor, Tensor]:
        """Samples `first`, `first + step`, ... (`size` of them): pictures [B, 4, H, W] for the networks,
        angles [B, 2].

        Raises DataError or FormatError for a picture that is missing or damaged.
        """
        numbers, images = self._load(range(first, first + size * step, step))
        rows = self._rows(numbers)
        pictures = to_network(torch.from_numpy(images).to(device))
        angles = torch.from_numpy(self.angles[rows]).clone()
        flipped = torch.tensor([number >= len(self.images) for number in numbers])
        pictures = torch.where(flipped.to(device)[:, None, None, None], pictures.flip(3), pictures)
        angles[:, 0] = torch.where(flipped, torch.remainder(-angles[:, 0], 360.0), angles[:, 0])
        return pictures, angles.to(device)

    def close(self) -> None:
        """Read no further."""
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)

    def _load(self, samples: range) -> tuple[list[int], np.ndarray]:
        """Places in the epoch, and the pictures there, of some samples of the training."""
        if self._reader is None:
            numbers = [self._number(sample) for sample in samples]
            return numbers, self.images[self._rows(numbers)]
        known, self._ahead = self._ahead, {}
        length = len(samples) * samples.step
        for k in range(AHEAD + 1):
            coming = range(samples.start + k * length, samples.stop + k * length, samples.step)
            self._ahead[coming] = known.pop(coming, None) or self._start(coming)
        for _, unwanted in known.values():
            unwanted.cancel()
        numbers, future = self._ahead.pop(samples)
        return numbers, future.result()

    def _start(self, samples: range) -> tuple[list[int], Future[np.ndarray]]:
        assert self._reader is not None  # noqa: S101  (for the type checker)
        numbers = [self._number(sample) for sample in samples]
        return numbers, self._reader.submit(self.images.__getitem__, self._rows(numbers))

    def _rows(self, numbers: Sequence[int]) -> list[int]:
        return [number % len(self.images) for number in numbers]

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
