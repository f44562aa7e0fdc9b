"""Everything that needs a GPU, in one call.

    python benchmarks/gpu.py                 every CUDA check and timing; one JSON line each
    python benchmarks/gpu.py train           train the shipped generator; a second call continues

`train` continues the run folder `--run`, one that was begun on a CPU as well as one of its own, or
begins it with `--preset`. It reads the data set folder `--data` (docs/guides/train-your-own.md), stops
after `--seconds`, and leaves the small half-precision model folder and the preview in `--out`.
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.marching_tets import kuhn_lattice, marching_tets
from polyglyph.kernels.nearest import nearest
from polyglyph.kernels.rasterize import rasterize
from polyglyph.kernels.texture import texture
from polyglyph.scene.camera import orbit
from polyglyph.shape.get3d.config import PRESETS
from polyglyph.shape.get3d.train import train
from polyglyph.shape.get3d.trainer import Batch, Trainer, View

HERE = Path(__file__).parent


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def milliseconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Mean of `repeats` calls after three, by CUDA events."""
    for _ in range(3):
        work()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / repeats


def ball(resolution: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A bumpy ball by marching tetrahedra: vertices [V, 3] and faces [F, 3]."""
    lattice = kuhn_lattice(resolution).to(device)
    place = lattice.positions
    sdf = 0.35 - place.norm(dim=1) + 0.03 * (20 * place).sin().prod(dim=1)
    surface = marching_tets(sdf[None], place, lattice)
    return surface.vertices, surface.faces


def pipeline(device: str, resolution: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Each kernel's result, and the gradient through all of them, on `device`."""
    vertices, faces = ball(24, device)
    vertices = vertices.clone().requires_grad_()
    cameras = orbit([30.0, 200.0], [20.0, 5.0], device=device)
    clip = cameras.clip(vertices)
    fragments = rasterize(clip, faces, (resolution, resolution))
    yield "rasterize.face_id", fragments.face_id
    yield "rasterize.barycentric", fragments.barycentric
    places = interpolate(vertices, faces, fragments.face_id, fragments.barycentric)
    image = torch.linspace(0, 1, 16 * 16 * 3, device=device).view(16, 16, 3)
    color = texture(image, places[..., :2] + 0.5)
    yield "texture", color
    smooth = antialias(color, fragments, clip, faces)
    yield "antialias", smooth
    distance, _ = nearest(vertices, vertices.detach() + 0.01)
    yield "nearest", distance
    (gradient,) = torch.autograd.grad(smooth.square().sum() + distance.sum(), vertices)
    yield "gradient", gradient


def check() -> bool:
    """CUDA against the CPU, kernel by kernel."""
    held = True
    for (name, gpu), (_, cpu) in zip(pipeline("cuda", 64), pipeline("cpu", 64), strict=True):
        gpu = gpu.detach().cpu()
        if gpu.is_floating_point():
            scale = cpu.detach().abs().max().clamp(min=1e-12)
            error = float(
                ((gpu - cpu.detach()).abs() / scale).flatten().sort().values[int(0.999 * gpu.numel())]
            )
        else:
            error = float((gpu != cpu).double().mean())
        good = error < 1e-3
        held &= good
        say(check=name, error=error, held=good)
    return held


def timings() -> None:
    """The kernels at a few sizes, and one training step of the presets."""
    for resolution in (32, 64, 128):
        lattice = kuhn_lattice(resolution).to("cuda")
        sdf = (0.35 - lattice.positions.norm(dim=1))[None].repeat(4, 1)
        ms = milliseconds(partial(marching_tets, sdf, lattice.positions, lattice))
        say(timing="marching_tets", lattice=resolution, batch=4, ms=ms)
    vertices, faces = ball(48, "cuda")
    clip = orbit([0.0, 90.0, 180.0, 270.0], 15.0, device="cuda").clip(vertices)
    for size in (128, 512, 1024):
        ms = milliseconds(partial(rasterize, clip, faces, (size, size)))
        say(timing="rasterize", faces=len(faces), batch=4, resolution=size, ms=ms)
    for preset, batches in (("tiny", (4, 32)), ("small", (32, 64))):
        for batch in batches:
            say(timing="train_step", preset=preset, batch=batch, **step_speed(preset, batch))


def step_speed(preset: str, batch: int, steps: int = 32) -> dict[str, float]:
    config = PRESETS[preset]  # pyright: ignore[reportArgumentType]
    torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(config, View(1.2, 49.134), device=torch.device("cuda"), seed=0)
    pictures = torch.rand(batch, 4, config.resolution, config.resolution, device="cuda")
    data = Batch(pictures, torch.rand(batch, 2, device="cuda") * 30)
    for _ in range(4):
        trainer.train_step(data)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        trainer.train_step(data)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / steps
    return {
        "ms": seconds * 1000,
        "images_per_second": batch / seconds,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
    }


def train_shipped(options: argparse.Namespace) -> None:
    """Go on with the shipped generator for a while."""
    config = PRESETS[options.preset]
    schedule = dataclasses.replace(config.schedule, kimg=options.kimg, checkpoint_seconds=120.0)
    config = dataclasses.replace(config, schedule=schedule)
    result = train(
        options.data, options.run, config, device="cuda", resume="auto", stop_after=options.seconds
    )
    options.out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(result.model, options.out / "model", dirs_exist_ok=True)
    for name in ("preview.png", "metrics.jsonl", "config.json"):
        shutil.copy(options.run / name, options.out / name)
    say(trained=str(options.run), steps=result.steps, kimg=result.kimg, seconds=result.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("all", "train"), default="all")
    parser.add_argument("--data", type=Path, default=Path("out/chairs128"))
    parser.add_argument("--run", type=Path, default=Path("runs/chairs"))
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--preset", choices=list(PRESETS), default="tiny")
    parser.add_argument("--kimg", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=540.0)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA device here; this program is for machines that have one", file=sys.stderr)
        return 2
    say(device=torch.cuda.get_device_name(), torch=torch.__version__, cuda=torch.version.cuda)
    if options.what == "train":
        train_shipped(options)
        return 0
    held = check()
    timings()
    subprocess.run(
        [sys.executable, str(HERE / "train_step.py"), "--preset", "small", "--device", "cuda"], check=True
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
