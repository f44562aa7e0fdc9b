"""What the training's tricks are worth: pictures per second with all of them, with none, and without each.

    python benchmarks/tricks.py [--preset full] [--steps 32] [--rounds 3] [--each] [--device cpu]

`full` is the full-width 64² architecture of earlier measurements: planes of 3 × 32 × 64 × 64 from 4.7 million
weights, heads of two hidden layers of 64, 33³ lattice vertices, two discriminators of 4.8 million weights,
batch 4, float32. Every variant is a process of its own (the allocator's settings are the process's), and the
variants take turns, so that a slow minute meets all of them; medians over the rounds. Steps are
those of training, with lazy R1 in its place. Prints one JSON line.

Tricks: `factorised` lattice query (planes resampled once per pair of axes, first layer before the sum),
`edge-table` marching (no sorting), `covered` pixels only are coloured, `one-pass` discriminators for real and
generated pictures, `shared-fakes` for both updates, `channels-last`, `fused` Adam, `malloc` that keeps freed
memory.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from polyglyph.kernels.marching_tets import Lattice, Surface
from polyglyph.kernels.subdivide import TetMesh, march_tets
from polyglyph.learn.device import pick_device, tune_allocator
from polyglyph.scene import isosurface
from polyglyph.shape.get3d import discriminator, picture
from polyglyph.shape.get3d.config import PRESETS, Config, DiscriminatorConfig, GeneratorConfig
from polyglyph.shape.get3d.generator import UnifiedGenerator
from polyglyph.shape.get3d.trainer import Batch, Trainer, View

sys.path.insert(0, str(Path(__file__).parent))
from train_step import picture_stream

TRICKS = (
    "factorised", "edge-table", "covered", "one-pass", "shared-fakes", "channels-last", "fused", "malloc",
)  # fmt: skip
R1_EVERY = 16

FULL = replace(
    PRESETS["tiny"],
    generator=GeneratorConfig(
        latent=256, plane_resolution=64, channel_base=4096, channel_max=256, head_depth=2, head_width=64,
        clamp=None,
    ),
    discriminator=DiscriminatorConfig(
        channel_base=4096, channel_max=256, embedding=256, mapping_depth=2, clamp=None
    ),
)  # fmt: skip


class Separate(Trainer):
    """Pictures of its own for the update of the discriminators."""

    def train_step(self, batch: Batch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            fake = self._generate(batch.angles)
        values = self._update_discriminators(fake.pictures, batch)
        values |= self._update_generator(self._generate(batch.angles), batch.angles)
        self.step += 1
        self.average.update(self.generator, batch=self.config.schedule.batch, seen=self.seen)
        return values


def leave_out(tricks: set[str]) -> None:
    """Put the plain way in the place of each trick; for this process."""
    if "factorised" in tricks:

        def on_lattice(self: UnifiedGenerator, planes: Any, codes: Any, cells: int) -> Any:
            axis = torch.linspace(-1, 1, cells + 1).to(planes.geometry)
            points = torch.cartesian_prod(axis, axis, axis)
            return self._at(planes, codes, points.expand(len(planes.geometry), -1, -1))

        UnifiedGenerator._on_lattice = on_lattice
    if "edge-table" in tricks:
        meshes: dict[int, TetMesh] = {}

        def marching(sdf: torch.Tensor, positions: torch.Tensor, lattice: Lattice) -> Surface:
            mesh = meshes.setdefault(lattice.resolution, TetMesh(lattice.tets, lattice.vertex_count))
            return march_tets(sdf, positions, TetMesh(mesh.tets, mesh.vertex_count))  # edges sorted anew

        isosurface.marching_tets = marching
    if "covered" in tricks:
        of = picture.Covered.of
        picture.Covered.of = classmethod(lambda _, hit: of(torch.ones_like(hit))._replace(real=hit))
    if "one-pass" in tricks:
        discriminator.Discriminators.compare = lambda self, real, fake, angles: (
            self(real, angles), self(fake, angles)
        )  # fmt: skip


def measure(
    config: Config, without: set[str], steps: int, device: torch.device, data: Path | None
) -> dict[str, float]:
    """Pictures per second of one variant in this process."""
    leave_out(without)
    if "malloc" not in without:
        tune_allocator()
    kind = Separate if "shared-fakes" in without else Trainer
    trainer = kind(config, View(1.2, 49.134), device=device, seed=0)
    if "fused" in without:
        for optimiser in (trainer.generator_optimiser, trainer.discriminator_optimiser):
            for group in optimiser.param_groups:
                group.update(fused=False, foreach=False)
    if "channels-last" in without:
        discriminator.laid_out = lambda pictures: pictures
    size = config.schedule.batch
    stream = picture_stream(data, config)
    batches = [Batch(*stream.batch(k * size, size, device)) for k in range(steps + 2)]
    for batch in batches[:2]:
        trainer.train_step(batch)
    start = time.perf_counter()
    for batch in batches[2:]:
        trainer.train_step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    return {"images_per_second": steps * size / seconds, "step_ms": seconds / steps * 1000}


def run(options: argparse.Namespace, without: list[str]) -> float:
    """One variant in a process of its own."""
    command = [sys.executable, __file__, "--variant", ",".join(without) or "none"]
    command += ["--preset", options.preset, "--steps", str(options.steps), "--device", options.device]
    command += ["--data", str(options.data)] if options.data is not None else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["images_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=["full", *PRESETS], default="full")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=32, help=f"a multiple of {R1_EVERY}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--each", action="store_true", help="also leave out one trick at a time")
    parser.add_argument("--data", type=Path, help="a dataset folder")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant is not None:
        config = FULL if options.preset == "full" else PRESETS[options.preset]
        without = set(options.variant.split(",")) - {"none"}
        print(json.dumps(measure(config, without, options.steps, pick_device(options.device), options.data)))
        return
    variants = {"tricks": [], "no_tricks": list(TRICKS)}
    if options.each:
        variants |= {f"without_{name}": [name] for name in TRICKS}
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, without in variants.items():
            rates[name].append(run(options, without))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    line = {
        "benchmark": "tricks",
        "preset": options.preset,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "rounds": options.rounds,
        "images_per_second": {name: round(value, 2) for name, value in medians.items()},
        "all": {name: [round(value, 2) for value in values] for name, values in rates.items()},
        "ratio": round(medians["tricks"] / medians["no_tricks"], 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
