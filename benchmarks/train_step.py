"""One GET3D training step: pictures per second, and where the time goes.

    python benchmarks/train_step.py [--data DATASET] [--preset tiny] [--device cpu] [--steps 96]

Trains from scratch on the data set's training split, or on discs without one, and times the steps as
training runs them (lazy R1 in its place, once every 16 steps). Then each part is timed alone, forward
and backward, on the shapes the generator makes. Surfaces cost more the rougher they are, so the faces
per shape are printed too. Prints one JSON line.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.marching_tets import kuhn_lattice
from polyglyph.kernels.rasterize import rasterize
from polyglyph.learn.device import pick_device, tune_allocator
from polyglyph.scene.camera import orbit
from polyglyph.scene.isosurface import sign_bce
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.get3d.config import PRESETS, Config
from polyglyph.shape.get3d.data import PictureStream, pictures_of
from polyglyph.shape.get3d.loss import r1_penalty
from polyglyph.shape.get3d.picture import clip_ragged, cut_surface, paint
from polyglyph.shape.get3d.trainer import Batch, Trainer, View


def median_ms(work: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    """Median milliseconds of `work` after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:])


def parts_of(trainer: Trainer, batch: Batch) -> dict[str, float]:
    """Milliseconds of each part of a step, forward and backward, measured alone."""
    generator, networks, device = trainer.generator, trainer.discriminators, trainer.device
    count, latent = len(batch.angles), trainer.config.generator.latent
    resolution = trainer.config.resolution
    cameras = orbit(
        batch.angles[:, 0], batch.angles[:, 1], trainer.view.radius, trainer.view.fov, device=device
    )
    with torch.no_grad():
        codes = generator.codes(
            torch.randn(count, latent, device=device), torch.randn(count, latent, device=device)
        )
        planes = generator.planes(codes)
        field = generator.field(planes, codes)
        surface = cut_surface(generator, field).surface
    planes = type(planes)(*(plane.requires_grad_() for plane in planes))
    field = type(field)(*(value.requires_grad_() for value in field))
    vertices = surface.vertices.requires_grad_()
    edges = kuhn_lattice(trainer.config.isosurface.resolution).to(device).edges
    clip = clip_ragged(vertices, surface.vertex_ranges, cameras).detach().requires_grad_()

    def backward(*outputs: torch.Tensor) -> None:
        torch.stack([output.square().mean() for output in outputs]).sum().backward()

    def whole_raster() -> None:
        fragments = rasterize(clip, surface.faces, (resolution, resolution), ranges=surface.face_ranges)
        mask = (fragments.face_id >= 0)[..., None].to(clip.dtype)
        backward(antialias(mask, fragments, clip, surface.faces, ranges=surface.face_ranges))

    def r1() -> None:
        color = r1_penalty(networks.color, batch.pictures[:, :3], batch.angles)
        (color + r1_penalty(networks.mask, batch.pictures[:, 3:], batch.angles)).backward()

    def discriminators() -> None:
        real, fake = networks.compare(batch.pictures, batch.pictures, batch.angles)
        backward(*real, *fake)

    def generator_side() -> None:
        networks.requires_grad_(False)
        backward(*networks(batch.pictures.clone().requires_grad_(), batch.angles))
        networks.requires_grad_(True)

    work = {
        "planes": lambda: backward(*generator.planes(codes)),
        "field": lambda: backward(*generator.field(planes, codes)),
        "marching": lambda: backward(cut_surface(generator, field).surface.vertices),
        "sign_bce": lambda: backward(sign_bce(field.sdf, edges)),
        "rasterize_antialias": whole_raster,
        "paint_all": lambda: backward(
            paint(generator, planes, codes, surface._replace(vertices=vertices), cameras, resolution)
        ),
        "discriminator_step": discriminators,
        "generator_through_discriminators": generator_side,
        "r1_every_step_equivalent": r1,
        "adam_generator": trainer.generator_optimiser.step,
        "adam_discriminators": trainer.discriminator_optimiser.step,
    }
    result = {name: median_ms(call, device) for name, call in work.items()}
    result["r1_every_step_equivalent"] /= trainer.config.loss.r1_every
    return {"faces": len(surface.faces) / count, **{name: round(value, 2) for name, value in result.items()}}


def picture_stream(path: Path | None, config: Config) -> PictureStream:
    """The training pictures of a data set, or discs of several sizes and colours."""
    if path is not None:
        data = load_dataset(path, resolution=config.resolution)
        return PictureStream(pictures_of(data, "train"), data.angles("train"), mirror=True, seed=0)
    side, count = config.resolution, 64
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2
    images = np.zeros((count, side, side, 4), np.uint8)
    for image in images:
        inside = (x**2 + y**2) < (side * rng.uniform(0.15, 0.4)) ** 2
        image[inside] = (*rng.integers(40, 255, 3), 255)
    angles = rng.uniform((0, 0), (360, 30), (count, 2)).astype(np.float32)
    return PictureStream(images, angles, mirror=True, seed=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=list(PRESETS), default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--data", type=Path, help="a dataset folder")
    parser.add_argument("--batch", type=int)
    options = parser.parse_args()
    tune_allocator()
    device = pick_device(options.device)
    config = PRESETS[options.preset]
    size = options.batch or config.schedule.batch
    trainer = Trainer(config, View(1.2, 49.134), device=device, seed=0)
    stream = picture_stream(options.data, config)
    batches = [Batch(*stream.batch(k * size, size, device)) for k in range(options.steps + 8)]
    for batch in batches[:8]:
        trainer.train_step(batch)
    start = time.perf_counter()
    for batch in batches[8:]:
        trainer.train_step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    step_ms = (time.perf_counter() - start) / options.steps * 1000
    batch = batches[0]
    parts = parts_of(trainer, batch)  # afterwards: timing Adam changes the weights
    parameters = [
        sum(p.numel() for p in net.parameters()) for net in (trainer.generator, trainer.discriminators)
    ]
    line = {
        "benchmark": "train_step",
        "preset": options.preset,
        "device": str(device) if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "batch": size,
        "data": str(options.data) if options.data is not None else "discs",
        "generator_parameters": parameters[0],
        "discriminator_parameters": parameters[1],
        "step_ms": round(step_ms, 1),
        "images_per_second": round(size / step_ms * 1000, 2),
        "parts_ms": parts,
        "share_percent": {
            name: round(100 * value / step_ms, 1)
            for name, value in parts.items()
            if name not in ("faces", "rasterize_antialias")
        },
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
