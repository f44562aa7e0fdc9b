"""Features of pictures: of a data set's renders and of a generator's samples, under one protocol.

Protocol: pictures at the training resolution, composited on white in sRGB, resized to 224² with an
antialiased bilinear filter, features averaged over positions. Samples use random codes at the given
truncation, each seen by one camera drawn from the data set's own.

Legend: N pictures, H W picture, D features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from polyglyph.base.progress import track
from polyglyph.scene.camera import orbit
from polyglyph.shape.data.dataset import Dataset, Split
from polyglyph.shape.get3d.data import on_white, to_network
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.lighting import random_lighting
from polyglyph.shape.get3d.picture import draw

__all__ = [
    "Extractor",
    "NamedExtractor",
    "dataset_pictures",
    "features",
    "sample_pictures",
    "white_pictures",
]


@runtime_checkable
class Extractor(Protocol):
    """Anything that gives features of sRGB pictures in 0..1."""

    def features_of(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, D]."""
        ...


@runtime_checkable
class NamedExtractor(Extractor, Protocol):
    """One that also knows what distances between its features are called, as `LoadedExtractor` does."""

    @property
    def frechet_name(self) -> str:
        """What its Fréchet distance is called."""
        ...

    @property
    def kernel_name(self) -> str:
        """What its kernel distance is called."""
        ...

    @property
    def protocol(self) -> dict[str, Any]:
        """What a result records, as plain JSON."""
        ...


def white_pictures(
    pixels: np.ndarray, *, batch: int = 32, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Batches [B, 3, H, W] in 0..1, on white, of uint8 [N, H, W, 4] with straight alpha."""
    for first in range(0, len(pixels), batch):
        yield on_white(to_network(torch.from_numpy(pixels[first : first + batch]).to(device)))


@torch.no_grad()
def features(
    extractor: Extractor, batches: Iterable[Tensor], *, label: str, total: int | None = None
) -> np.ndarray:
    """Features [N, D], float32, of batches of pictures [B, 3, H, W] in 0..1."""
    found = [extractor.features_of(batch).cpu() for batch in track(batches, label, total=total)]
    return torch.cat(found).numpy()


def dataset_pictures(
    data: Dataset,
    splits: Iterable[Split],
    count: int,
    *,
    seed: int,
    batch: int = 32,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """`count` different renders of the splits in random order (all of them if there are fewer)."""
    images = np.concatenate([data.images(split) for split in splits])
    order = np.random.default_rng(seed).permutation(len(images))[:count]
    yield from white_pictures(images[order], batch=batch, device=device)


def sample_pictures(
    generator: Generator, data: Dataset, count: int, *, seed: int, truncation: float = 1.0, batch: int = 16
) -> Iterator[Tensor]:
    """`count` samples, each from a camera of the training split, at the data set's resolution. Materials are
    seen under a random environment each, as the training pictures are.
    """
    rng = torch.Generator().manual_seed(seed)
    device = generator.mapping.w_avg.device
    angles = torch.from_numpy(data.angles("train"))
    for first in range(0, count, batch):
        size = min(batch, count - first)
        chosen = angles[torch.randint(len(angles), (size,), generator=rng)]
        z = torch.randn(2, size, generator.config.latent, generator=rng).to(device)
        with torch.no_grad():
            cameras = orbit(chosen[:, 0], chosen[:, 1], data.radius, data.fov, device=device)
            codes = generator.codes(z[0], z[1], truncation)
            light = random_lighting(generator, size, rng)
            yield on_white(draw(generator, codes, cameras, data.resolution, lighting=light).pictures)
