"""The score that `train --schedule.best` keeps the best model by.

The Fréchet distance between features of samples and of training pictures, under the protocol of
`measure.pictures`; the same renders and features as an ablation study's, of fewer pictures.

Legend: N pictures, D features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from polyglyph.measure.extractors import load_extractor
from polyglyph.measure.frechet import frechet_distance
from polyglyph.measure.kept import kept_array
from polyglyph.measure.pictures import NamedExtractor, sample_pictures, white_pictures
from polyglyph.shape.data.dataset import Dataset
from polyglyph.shape.get3d.best import Metric
from polyglyph.shape.get3d.config import ScheduleConfig
from polyglyph.shape.get3d.generator import Generator

__all__ = ["training_metric"]

SEED = 0
BATCH, LARGE = 16, 256
"""Pictures drawn at a time, a quarter of that above this resolution: the training's own memory is in use."""


def training_metric(schedule: ScheduleConfig, cache: Path) -> Metric:
    """How `shape.get3d.train` scores by the settings' extractor and number of pictures.

    Features of the training pictures are kept in `cache`. Raises DataError if the extractor's weights are not
    installed.
    """
    name, count = schedule.best, schedule.best_pictures
    called = load_extractor(name).frechet_name  # now, so that missing weights are not found out hours later

    def score(generator: Generator, data: Dataset) -> float:
        device = generator.mapping.w_avg.device
        extractor = load_extractor(name, device=device)
        batch = BATCH if data.resolution <= LARGE else BATCH // 4
        real = _real_features(extractor, data, count, batch, cache, device)
        made = _features(extractor, sample_pictures(generator, data, count, seed=SEED, batch=batch))
        return frechet_distance(made, real)

    return Metric(f"{called} of {count} pictures", score)


def _real_features(
    extractor: NamedExtractor, data: Dataset, count: int, batch: int, cache: Path, device: torch.device
) -> np.ndarray:
    """Features [N, D] of training pictures, worked out once."""
    checksum = data.info.checksum if data.info is not None else str(data.path)
    told = {"protocol": extractor.protocol, "pictures": count, "seed": SEED, "dataset": checksum}
    told |= {
        "resolution": data.resolution,
        "objects": data.members("train"),
        "views": len(data.index("train")),
    }

    def renders() -> Iterator[Tensor]:
        index = data.index("train")
        order = np.random.default_rng(SEED).permutation(len(index))[:count]
        for first in range(0, len(order), batch):
            pixels = np.stack([data.image(*index[row]) for row in order[first : first + batch]])
            yield from white_pictures(pixels, device=device)

    return kept_array(cache, told, lambda: _features(extractor, renders()))


@torch.no_grad()
def _features(extractor: NamedExtractor, batches: Iterable[Tensor]) -> np.ndarray:
    """[N, D]; without the bar of `measure.pictures.features`, which would break the training's."""
    return torch.cat([extractor.features_of(batch).cpu() for batch in batches]).numpy()
