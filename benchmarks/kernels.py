"""How long does it take to draw triangles, and to send a gradient back through them?

`sphere` is 20,480 triangles in a batch of 4 (instanced, 57 % of the pixels covered); `marched` is what
training of a generator draws at every step: 4 wavy balls of about 8,000 triangles, cut from a 32³ lattice and
packed (ragged), of which colour and mask are interpolated and antialiased together, or the mask alone.

Run: python benchmarks/rasterize.py [--threads 1] [--device cpu] [--repeats 15]
Prints one JSON line per size; milliseconds are medians, of processor time on the CPU (all threads together;
with the one thread of the default it is what an idle machine would show on the clock) and of wall-clock time
on CUDA.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.marching_tets import kuhn_lattice, marching_tets
from polyglyph.kernels.rasterize import evaluate, rasterize
from polyglyph.learn.device import pick_device, tune_allocator


def milliseconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times = []
    for _ in range(repeats + 2):
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((clock() - start) * 1000)
    return round(statistics.median(times[2:]), 2)


def icosphere(levels: int) -> tuple[Tensor, Tensor]:
    """A unit sphere of 20 · 4^levels equal-ish triangles."""
    golden = (1 + math.sqrt(5)) / 2
    points = [(a, b * golden, 0.0) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    points = torch.tensor([p[n:] + p[:n] for n in range(3) for p in points])
    distance = torch.cdist(points, points)
    near = (distance > 0) & (distance < 2.1)
    rows = range(12)
    faces = torch.tensor(
        [
            (i, j, k)
            for i in rows
            for j in rows
            for k in rows
            if i < j < k and near[i, j] and near[j, k] and near[i, k]
        ]
    )
    for _ in range(levels):
        corners = points[faces]
        middles = (corners + corners.roll(-1, dims=1)) / 2
        a, b, c = corners.unbind(1)
        ab, bc, ca = middles.unbind(1)
        soup = torch.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], dim=1).reshape(-1, 3)
        soup = soup / soup.norm(dim=1, keepdim=True)
        _, faces = torch.unique((soup * 1e5).round(), dim=0, return_inverse=True)
        points = torch.zeros(int(faces.max()) + 1, 3).index_copy_(0, faces, soup)
        faces = faces.reshape(-1, 3)
    return points / points.norm(dim=1, keepdim=True), faces


def seen(points: Tensor, view: int) -> Tensor:
    """Clip coordinates from 3 units away, focal length 2.5, one radian further round for each view."""
    cos, sin = math.cos(view), math.sin(view)
    x, y, z = points.unbind(-1)
    x, z = x * cos + z * sin, z * cos - x * sin - 3
    return torch.stack([2.5 * x, 2.5 * y, -(11 / 9) * z - 20 / 9, -z], dim=-1)


def sphere(resolution: int, device: torch.device, repeats: int) -> dict[str, object]:
    points, faces = (value.to(device) for value in icosphere(5))
    clip = torch.stack([seen(points * 0.965, view) for view in range(4)]).requires_grad_()
    size = (resolution, resolution)
    found = rasterize(clip, faces, size)

    def back() -> None:
        fragments = evaluate(clip, faces, found.face_id)
        (fragments.barycentric.sum() + fragments.depth.sum()).backward()

    return {
        "case": "sphere",
        "resolution": resolution,
        "batch": 4,
        "faces": len(faces),
        "covered": round((found.face_id >= 0).float().mean().item(), 3),
        "forward_ms": milliseconds(lambda: rasterize(clip, faces, size), device, repeats),
        "evaluate_forward_backward_ms": milliseconds(back, device, repeats),
    }


def marched(resolution: int, device: torch.device, repeats: int) -> dict[str, object]:
    lattice = kuhn_lattice(32).to(device)
    at = lattice.positions
    bump = 0.03 * (torch.sin(17 * at[:, 0]) + torch.sin(13 * at[:, 1]) * torch.sin(15 * at[:, 2]))
    sdf = torch.stack([0.24 + 0.01 * n - at.norm(dim=1) + bump for n in range(4)])
    surface = marching_tets(sdf, at, lattice)
    faces, ranges = surface.faces, surface.face_ranges
    parts = [
        seen(surface.vertices[first : first + count] * 3, view)
        for view, (first, count) in enumerate(surface.vertex_ranges.tolist())
    ]
    clip = torch.cat(parts).detach().requires_grad_()
    attributes = surface.vertices.detach().clone().requires_grad_()
    size = (resolution, resolution)
    found = rasterize(clip, faces, size, ranges=ranges)
    color = interpolate(attributes, faces, found.face_id, found.barycentric).detach().requires_grad_()
    mask = (found.face_id >= 0).float()[..., None]

    def blend(picture: Tensor) -> Tensor:
        return antialias(picture, found, clip, faces, ranges=ranges)

    def step(*, both: bool) -> Tensor:
        fragments = rasterize(clip, faces, size, ranges=ranges)
        picture = interpolate(attributes, faces, fragments.face_id, fragments.barycentric)
        hit = (fragments.face_id >= 0).float()[..., None]
        if both:
            return antialias(torch.cat([picture, hit], dim=3), fragments, clip, faces, ranges=ranges)
        return torch.cat([picture, antialias(hit, fragments, clip, faces, ranges=ranges)], dim=3)

    work: dict[str, Callable[[], object]] = {
        "rasterize_ms": lambda: rasterize(clip, faces, size, ranges=ranges),
        "interpolate_ms": lambda: interpolate(attributes, faces, found.face_id, found.barycentric),
        "antialias_mask_ms": lambda: blend(mask),
        "antialias_color_ms": lambda: blend(color),
        "forward_mask_ms": lambda: step(both=False),
        "forward_backward_mask_ms": lambda: step(both=False).square().sum().backward(),
        "forward_color_ms": lambda: step(both=True),
        "forward_backward_color_ms": lambda: step(both=True).square().sum().backward(),
    }
    timed = {name: milliseconds(call, device, repeats) for name, call in work.items()}
    shape = {"batch": 4, "faces": len(faces), "covered": round(mask.mean().item(), 3)}
    return {"case": "marched", "resolution": resolution, **shape, **timed}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    tune_allocator()
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    for case, resolution in (
        *((sphere, size) for size in (128, 256, 512)),
        *((marched, size) for size in (64, 128)),
    ):
        line = case(resolution, device, options.repeats)
        print(json.dumps({**line, "device": str(device), "threads": options.threads}), flush=True)


if __name__ == "__main__":
    main()
