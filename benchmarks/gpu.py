"""Everything that needs a GPU, in one call.

    python benchmarks/gpu.py                 every CUDA check and timing; one JSON line each
    python benchmarks/gpu.py check           the checks alone, as compute-sanitizer runs them
    python benchmarks/gpu.py train           train the shipped generator; a second call continues
    python benchmarks/gpu.py study           the study of docs/studies, longer; a second call continues

`train` continues the run folder `--run`, one that was begun on a CPU as well as one of its own, or
begins it with `--preset`. It reads the data set folder `--data` (docs/guides/train-your-own.md), stops
after `--seconds`, and leaves the small half-precision model folder and the preview in `--out`.

`study` runs docs/studies/resolution-and-camera.toml with `--data`, ten times the pictures a cell and three
seeds, in the folder `--run`, and leaves the table, plots, page and result in `--out`.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

import polyglyph.compat.nvdiffrast.torch as ours
from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.interpolate import interpolate, interpolate_derivative
from polyglyph.kernels.lightfield import describe, match, quantise
from polyglyph.kernels.marching_tets import kuhn_lattice, marching_tets
from polyglyph.kernels.nearest import mean_distances, nearest
from polyglyph.kernels.rasterize import evaluate, rasterize
from polyglyph.kernels.soft_mask import soft_mask
from polyglyph.kernels.texture import texture
from polyglyph.measure.ablate import ablate
from polyglyph.measure.ablation import read_ablation
from polyglyph.measure.light_field_cameras import alignments
from polyglyph.measure.lightfield import silhouettes
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
    fragments = rasterize(clip, faces, (resolution, resolution), derivatives=True)
    yield "rasterize.face_id", fragments.face_id
    yield "rasterize.barycentric", fragments.barycentric
    yield "rasterize.derivative", fragments.derivative
    yield "rasterize.behind", rasterize(clip, faces, (resolution, resolution), behind=fragments).face_id
    places = interpolate(vertices, faces, fragments.face_id, fragments.barycentric)
    change = interpolate_derivative(vertices, faces, fragments.face_id, fragments.derivative, channels=[0, 1])
    yield "interpolate_derivative", change
    image = torch.linspace(0, 1, 16 * 16 * 3, device=device).view(16, 16, 3)
    color = texture(image, places[..., :2] + 0.5, filter="trilinear", uv_derivative=change)
    yield "texture", color
    yield "soft_mask", soft_mask(clip, faces, fragments.face_id)
    smooth = antialias(color, fragments, clip, faces)
    yield "antialias", smooth
    distance, _ = nearest(vertices, vertices.detach() + 0.01)
    yield "nearest", distance
    yield "nearest.means", mean_distances(vertices.detach(), vertices.detach()[None] + 0.01)
    numbers = describe(silhouettes(vertices.detach(), faces))
    yield "lightfield.describe", numbers
    told = quantise(numbers)[None]
    yield "lightfield.match", match(told, told.roll(1, dims=2), alignments())
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


def drawing(dr: ModuleType, resolution: int = 1024, batch: int = 8, levels: int = 70) -> float:
    """Milliseconds of rasterize, interpolate, texture and antialias, forward and backward, by one module."""
    vertices, faces = ball(levels, "cuda")
    angles = [360.0 * n / batch for n in range(batch)]
    pos = orbit(angles, 15.0, device="cuda").clip(vertices).contiguous().requires_grad_()
    tri, context = faces.int(), dr.RasterizeCudaContext()
    uv = (vertices[None, :, :2] * 2).contiguous()
    image = torch.rand(1, 1024, 1024, 3, device="cuda", requires_grad=True)

    def step() -> None:
        rast, rast_db = dr.rasterize(context, pos, tri, resolution=[resolution, resolution])
        place, place_da = dr.interpolate(uv, rast, tri, rast_db=rast_db, diff_attrs="all")
        color = dr.texture(image, place, place_da, filter_mode="linear-mipmap-linear")
        dr.antialias(color, rast, pos, tri).square().sum().backward()

    ms = milliseconds(step)
    say(timing="drawing", module=dr.__name__, faces=len(faces), batch=batch, resolution=resolution, ms=ms)
    return ms


def against_nvdiffrast() -> None:
    """The same program on both modules, where nvdiffrast is installed."""
    own = drawing(ours)
    if importlib.util.find_spec("nvdiffrast") is None:
        say(ratio="drawing", against="nvdiffrast", skipped="not installed")
        return
    theirs = drawing(importlib.import_module("nvdiffrast.torch"))
    say(ratio="drawing", against="nvdiffrast", value=theirs / own)


def captured() -> bool:
    """The kernels inside a CUDA graph give what they give outside."""
    vertices, faces = ball(24, "cuda")
    clip = orbit([30.0], 20.0, device="cuda").clip(vertices)

    def draw() -> torch.Tensor:
        found = evaluate(clip, faces, first.face_id)
        return interpolate(vertices, faces, found.face_id, found.barycentric)

    first = rasterize(clip, faces, (64, 64))
    expected, graph = draw(), torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            found = draw()
        graph.replay()
        torch.cuda.synchronize()
        held = torch.equal(found, expected)
    except RuntimeError as problem:
        say(check="cuda graph", held=False, problem=str(problem))
        return False
    say(check="cuda graph", held=held)
    return held


def sanitized() -> bool:
    """The checks again under compute-sanitizer, where it is installed."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        say(check="compute-sanitizer", skipped="not installed")
        return True
    command = [tool, "--error-exitcode", "7", sys.executable, __file__, "check"]
    code = subprocess.run(command, check=False).returncode
    say(check="compute-sanitizer", held=code == 0)
    return code == 0


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


def study(options: argparse.Namespace) -> None:
    """Go on with the study for a while."""
    spec = read_ablation(HERE.parent / "docs" / "studies" / "resolution-and-camera.toml")
    longer = spec.set | {"schedule.kimg": 10 * spec.set["schedule.kimg"], "schedule.checkpoint_seconds": 60.0}
    spec = dataclasses.replace(spec, dataset=str(options.data), seeds=(0, 1, 2), set=longer)
    result = ablate(spec, options.run, device="cuda", stop_after=options.seconds).result
    shutil.copytree(
        options.run, options.out, ignore=shutil.ignore_patterns("runs", "cache"), dirs_exist_ok=True
    )
    say(study=str(options.run), cells=result["cells"], missing=result["missing"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("all", "check", "train", "study"), default="all")
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
    if options.what == "study":
        study(options)
        return 0
    held = check() and captured()
    if options.what == "check":
        return 0 if held else 1
    held &= sanitized()
    against_nvdiffrast()
    timings()
    subprocess.run(
        [sys.executable, str(HERE / "train_step.py"), "--preset", "small", "--device", "cuda"], check=True
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
