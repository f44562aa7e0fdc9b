"""Numbers of two sets of pictures: Fréchet distance, kernel distance, precision and recall.

Legend: N shapes, P pictures of a shape, D features.
"""

from __future__ import annotations

from typing import Any

from polyglyph.measure.frechet import frechet_distance
from polyglyph.measure.kernel_distance import kernel_distance
from polyglyph.measure.pictures import NamedExtractor
from polyglyph.measure.precision_recall import density_coverage, precision_recall
from polyglyph.measure.protocol import MeasureConfig
from polyglyph.measure.seen import Seen

__all__ = ["picture_metrics"]


def picture_metrics(
    ours: Seen, theirs: Seen, extractor: NamedExtractor, config: MeasureConfig
) -> dict[str, Any]:
    """What `config` asks for, under the names that the extractor allows, each with its pictures' counts.

    The distances take all pictures. Precision and recall change with the number of pictures, so they take
    as many shapes of either side: the first of the larger one, as 1-NNA does.

    Raises DataError for too few pictures.
    """
    protocol = config.protocol.pictures
    a, b = ours.pictures, theirs.pictures
    counts = {"generated_pictures": len(a), "reference_pictures": len(b)}
    found: dict[str, Any] = {}
    if "fid" in config.metrics:
        name, width = extractor.frechet_name, a.shape[1]
        found[name] = {"distance": frechet_distance(a, b), **counts, "dimensions": width, "warning": None}
        if min(len(a), len(b)) <= width:
            found[name]["warning"] = (
                f"{min(len(a), len(b))} pictures are too few for {width} features: the {name} is dominated by"
                " its bias, and comparable only with others of the same counts"
            )
    if "kid" in config.metrics:
        size, subsets = protocol.kernel_size, protocol.kernel_subsets
        distance = kernel_distance(a, b, subsets=subsets, size=size, seed=config.seed)
        found[extractor.kernel_name] = {
            "distance": distance.mean,
            "deviation": distance.deviation if distance.subsets > 1 else None,
            "subsets": distance.subsets,
            "subset_pictures": distance.size,
            **counts,
        }
    if "pr" in config.metrics:
        first = min(len(ours.names), len(theirs.names))
        a, b = ours.only(ours.names[:first]).pictures, theirs.only(theirs.names[:first]).pictures
        found["pr"] = {
            **precision_recall(a, b, k=protocol.nearest)._asdict(),
            **density_coverage(a, b, k=protocol.nearest_density)._asdict(),
            "shapes": first,
            "generated_pictures": len(a),
            "reference_pictures": len(b),
        }
    return found
