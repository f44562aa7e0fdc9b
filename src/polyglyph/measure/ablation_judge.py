"""How the runs of an ablation study are measured: all of them alike.

Legend: N pictures, D features.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import polyglyph
from polyglyph.base.config import to_dict
from polyglyph.measure.ablation import Ablation, Cell
from polyglyph.measure.compare import compare
from polyglyph.measure.extractors import load_extractor
from polyglyph.measure.frechet import frechet_distance, mean_pairwise_distance
from polyglyph.measure.kept import kept_array
from polyglyph.measure.kernel_distance import kernel_distance
from polyglyph.measure.pictures import NamedExtractor, dataset_pictures, features, sample_pictures
from polyglyph.measure.precision_recall import precision_recall
from polyglyph.measure.protocol import MeasureConfig
from polyglyph.measure.shapes import shapes_of
from polyglyph.shape.data.dataset import Dataset
from polyglyph.shape.get3d.model import load_generator

__all__ = ["Judge", "Run"]

PAIRS = 2000
"""Pictures whose pairwise distances are averaged."""


class Run(NamedTuple):
    """One training: a cell and a seed."""

    cell: Cell
    seed: int
    path: Path

    @property
    def name(self) -> str:
        """As people are told."""
        return f"{self.cell.name}, seed {self.seed}"

    @property
    def result(self) -> Path:
        """The file with its numbers."""
        return self.path.with_name(f"{self.path.name}.json")


class Judge:
    """Measures all runs of a study in the same way."""

    def __init__(self, study: Ablation, data: Dataset, cache: Path, device: torch.device | str) -> None:
        self.study, self.data, self.cache, self.device = study, data, cache, device
        self.meshes: list[str] = []
        if study.measure.meshes is not None:
            reference = shapes_of(Path(study.measure.meshes), count=study.measure.limit)
            self.meshes = [shape.key for shape in reference.shapes]
        self.extractor: NamedExtractor | None = None
        if study.measure.extractor != "none":
            self.extractor = load_extractor(study.measure.extractor, study.measure.weights, device=device)

    @property
    def protocol(self) -> dict[str, Any]:
        """How pictures are compared."""
        if self.extractor is None:
            return {}
        return self.extractor.protocol | {
            "pictures": self.study.measure.pictures,
            "resolution": self.data.resolution,
            "background": "white",
            "truncation": 1.0,
            "seed": self.study.measure.seed,
            "against": "training renders",
        }

    @property
    def checksum(self) -> str:
        """What tells the data set from others: its checksum, or where it is if it has none."""
        return self.data.info.checksum if self.data.info is not None else str(self.data.path)

    def recipe(self, run: Run) -> dict[str, Any]:
        """All that a run's numbers depend on, as JSON gives it back."""
        measured = to_dict(self.study.measure)
        told = {
            "config": to_dict(run.cell.config),
            "views": run.cell.views,
            "seed": run.seed,
            "dataset": self.checksum,
            "measure": {name: value for name, value in measured.items() if name not in ("meshes", "weights")},
            "meshes": hashlib.sha256("\n".join(self.meshes).encode()).hexdigest() if self.meshes else "",
            "protocol": self.protocol,
            "polyglyph": polyglyph.__version__,
        }
        return json.loads(json.dumps(told))

    def prepare(self) -> None:
        """Do what needs no model. Raises DataError for too few pictures, before hours are spent."""
        if self.extractor is not None:
            self._of_pictures(self._renders("train"), self.extractor)
            _ = self.held_out

    def measure(self, run: Run) -> dict[str, float]:
        """Of pictures and, where meshes are given, of shapes."""
        numbers: dict[str, float] = {}
        if self.extractor is not None:
            numbers |= self._of_pictures(self.samples(run), self.extractor)
        if self.study.measure.meshes is not None:
            numbers |= self._of_shapes(run)
        return numbers

    @functools.cached_property
    def held_out(self) -> dict[str, float]:
        """The same numbers for renders of objects that no run has seen: what a perfect model would get."""
        splits = [name for name in ("val", "test") if self.data.split.get(name)]
        if self.extractor is None or not splits:
            return {}
        return self._of_pictures(self._renders(*splits), self.extractor)

    def samples(self, run: Run) -> np.ndarray:
        """Features [N, D] of what a run's model makes."""
        assert self.extractor is not None  # noqa: S101  (asked only where pictures are measured)
        extractor, wanted = self.extractor, self.study.measure
        model = load_generator(run.path, device=self.device)
        batches = sample_pictures(model.generator, self.data, wanted.pictures, seed=wanted.seed)
        return features(extractor, batches, label="samples", total=-(-wanted.pictures // 16))

    def _renders(self, *splits: Any) -> np.ndarray:
        """Features [N, D] of the data set's own pictures, kept between runs."""
        assert self.extractor is not None  # noqa: S101
        extractor, wanted = self.extractor, self.study.measure
        told = {"protocol": self.protocol, "splits": splits, "dataset": self.checksum}

        def made() -> np.ndarray:
            batches = dataset_pictures(
                self.data, splits, wanted.pictures, seed=wanted.seed, device=self.device
            )
            return features(extractor, batches, label=f"renders ({', '.join(splits)})")

        return kept_array(self.cache, told, made)

    def _of_pictures(self, found: np.ndarray, extractor: NamedExtractor) -> dict[str, float]:
        real = self._renders("train")
        both = precision_recall(found, real)
        return {
            extractor.frechet_name: frechet_distance(found, real),
            extractor.kernel_name: kernel_distance(found, real, seed=self.study.measure.seed).mean,
            "precision": both.precision,
            "recall": both.recall,
            "mean pairwise feature distance": mean_pairwise_distance(found[:PAIRS]),
        }

    def _of_shapes(self, run: Run) -> dict[str, float]:
        wanted = self.study.measure
        assert wanted.meshes is not None  # noqa: S101
        config = MeasureConfig(metrics=wanted.metrics, limit=wanted.limit, seed=wanted.seed)
        out = run.path.parent / f"{run.path.name}-shapes"
        result = compare(
            run.path / "model", Path(wanted.meshes), out, config, extractor=self.extractor, device=self.device
        ).result
        return _flat(result["metrics"])


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics of `compare`, one name each; those of pictures are of exported meshes."""
    words = {
        "coverage": "COV",
        "minimum_matching_distance": "MMD",
        "one_nearest_neighbour_accuracy": "1-NNA",
    }
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(value, dict):
            found[name.upper()] = value
        elif name == "pr":
            found |= {f"{key}, exported": value[key] for key in ("precision", "recall")}
        elif "distance" in value:
            found[f"{name}, exported"] = value["distance"]
        else:
            found |= {f"{word} {name.upper()}": value[key] for key, word in words.items()}
    return found
