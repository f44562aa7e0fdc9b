"""How fast are the distances of shapes, and against what?

    python benchmarks/measure.py chamfer [--count 1000]
        Clouds of 2,048 points, every one of `count` against every one of as many others, both ways, against
        scipy's cKDTree with all trees built beforehand (on a part of the pairs).
    python benchmarks/measure.py lightfield
        Features of a mesh of 20,480 faces, and cached distances.

One JSON line a case, with the most memory the process held so far.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import torch
from kernels import icosphere
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from polyglyph.kernels.lightfield import match
from polyglyph.learn.device import tune_allocator
from polyglyph.measure.light_field_cameras import alignments
from polyglyph.measure.lightfield import features
from polyglyph.measure.pairs import chamfer_matrix

POINTS, TREES = 2048, 12
"""Points of a cloud; clouds a side that the trees are timed on."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def clouds(count: int, seed: int) -> Tensor:
    """Points of ellipsoids of many proportions."""
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(count, POINTS, 3, generator=rng)
    points = points / points.norm(dim=2, keepdim=True)
    return points * (0.1 + 0.4 * torch.rand(count, 1, 3, generator=rng))


def chamfer(count: int) -> dict[str, object]:
    a, b = clouds(count, 0), clouds(count, 1)
    chamfer_matrix(a[:2], b[:2])
    ours = seconds(lambda: chamfer_matrix(a, b))
    workers = torch.get_num_threads()
    some = [[(cloud, cKDTree(cloud)) for cloud in side[:TREES].double().numpy()] for side in (a, b)]

    def search() -> None:
        for x, tree_x in some[0]:
            for y, tree_y in some[1]:
                tree_y.query(x, workers=workers)
                tree_x.query(y, workers=workers)

    trees = min(seconds(search) for _ in range(3)) / TREES**2
    return {
        "case": "chamfer",
        "shapes": [count, count],
        "points": POINTS,
        "seconds": round(ours, 1),
        "ms_a_pair": round(1000 * ours / count**2, 4),
        "cKDTree_ms_a_pair": round(1000 * trees, 4),
        "vs_cKDTree": round(trees * count**2 / ours, 2),
    }


def light_field() -> dict[str, object]:
    points, faces = icosphere(5)
    points = points * torch.tensor([1.0, 0.6, 0.8])
    features(points, faces)
    one = min(seconds(lambda: features(points, faces)) for _ in range(5))
    shapes = torch.randint(0, 256, (64, 10, 10, 47), dtype=torch.uint8)
    match(shapes[:2], shapes[:2], alignments())
    pairs = min(seconds(lambda: match(shapes, shapes, alignments())) for _ in range(3)) / 64**2
    return {
        "case": "lightfield",
        "faces": len(faces),
        "meshes_a_second": round(1 / one, 2),
        "cached_pairs_a_second": round(1 / pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("all", "chamfer", "lightfield"), default="all")
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    tune_allocator()
    cases: list[Callable[[], dict[str, object]]] = []
    if options.what in ("all", "lightfield"):
        cases.append(light_field)
    if options.what in ("all", "chamfer"):
        cases.append(lambda: chamfer(options.count))
    for case in cases:
        told = case()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            json.dumps({**told, "threads": torch.get_num_threads(), "peak_gib": round(peak, 2)}), flush=True
        )


if __name__ == "__main__":
    main()
