"""Numbers of two sets of shapes: COV, MMD and 1-NNA for each distance, and JSD.

Legend: N generated shapes, M reference shapes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyglyph.measure.described import Described
from polyglyph.measure.matrices import Distances
from polyglyph.measure.points import normalise
from polyglyph.measure.protocol import MeasureConfig
from polyglyph.measure.report import Matrices
from polyglyph.measure.sets import (
    bootstrap_interval,
    coverage,
    jensen_shannon_divergence,
    minimum_matching_distance,
    one_nearest_neighbour_accuracy,
)

__all__ = ["shape_metrics"]


def shape_metrics(
    ours: Described, theirs: Described, cache: Path, config: MeasureConfig, device: torch.device | str
) -> tuple[dict[str, Any], dict[str, Matrices]]:
    """COV, MMD and 1-NNA for each distance asked for, and JSD; and the distances."""
    protocol = config.protocol
    found: dict[str, Any] = {}
    matrices: dict[str, Matrices] = {}
    if "cd" in config.metrics:
        distances = Distances.chamfer(protocol, cache, device)
        found["cd"], matrices["cd"] = _of_distances(distances, ours.points, theirs.points, config)
    if "lfd" in config.metrics and ours.light_fields is not None and theirs.light_fields is not None:
        distances, name = Distances.light_field(cache, device), protocol.light_field_name
        found[name], matrices[name] = _of_distances(distances, ours.light_fields, theirs.light_fields, config)
    if "jsd" in config.metrics:
        clouds = _in_ball(ours.points), _in_ball(theirs.points)
        found["jsd"] = jensen_shannon_divergence(*clouds, resolution=protocol.jsd_resolution)
    return found, matrices


def _of_distances(
    distances: Distances, a: Tensor, b: Tensor, config: MeasureConfig
) -> tuple[dict[str, Any], Matrices]:
    cross = distances(a, b, f"{distances.name}: generated and reference")
    first = min(len(a), len(b))  # 1-NNA compares sets of one size
    among_a = distances(a[:first], a[:first], f"{distances.name}: generated among themselves")
    among_b = distances(b, b, f"{distances.name}: reference among themselves")
    matching = cross.min(axis=0)
    numbers = {
        "coverage": coverage(cross),
        "minimum_matching_distance": minimum_matching_distance(cross),
        "minimum_matching_distance_interval": (
            list(bootstrap_interval(matching, seed=config.seed)) if len(matching) > 1 else None
        ),
        "one_nearest_neighbour_accuracy": one_nearest_neighbour_accuracy(
            among_a, among_b[:first, :first], cross[:first, :first]
        ),
        "one_nearest_neighbour_shapes": first,
    }
    return numbers, Matrices(cross, among_b)


def _in_ball(points: Tensor) -> np.ndarray:
    return np.stack([normalise(cloud, "diagonal").points.numpy() for cloud in points])
