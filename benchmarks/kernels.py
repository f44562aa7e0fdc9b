"""How fast are the kernels on a CPU, and against what?

    python benchmarks/kernels.py           everything below
    python benchmarks/kernels.py peers     20,480 triangles × 4 images, forward and backward, against a plain
                                           per-triangle z-buffer with OpenMP (zbuffer.cpp, built here with
                                           `c++ -O3 -fopenmp`) and against vectorised torch, and PyTorch3D and
                                           DRTK where they are installed
    python benchmarks/kernels.py steps     what training of a generator draws at every step, on the compiled
                                           and on the vectorised backend
    python benchmarks/kernels.py nearest   nearest points of a sphere's, 2 k to 200 k, against scipy's cKDTree
    python benchmarks/kernels.py scaling   1 k to 1 M triangles, 64² to 4096², 1 to all threads

One JSON line a case. Times are medians in milliseconds of wall-clock time, on machines that do nothing else;
ratios are the other's time over ours, taken turn by turn in the same run. `--cpu-time` takes the processor
time of one thread instead, which is what a busy machine can tell.
"""

import argparse
import ctypes
import importlib.util
import json
import math
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.backend import Backend
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.marching_tets import kuhn_lattice, marching_tets
from polyglyph.kernels.nearest import nearest
from polyglyph.kernels.rasterize import evaluate, rasterize
from polyglyph.learn.device import tune_allocator

Work = Callable[[], object]


class Clock:
    """Medians of calls taken in turns, so that a disturbance hits all alike.

    OpenMP's threads, torch's and the z-buffer's, spin for milliseconds after their work. So a turn begins
    when the turn before has come to rest, with calls that are not timed, until the processor is awake and
    the caches hold what this work needs.
    """

    REST = WARM_UP = 0.02
    """Seconds."""

    def __init__(self, repeats: int, cpu_time: bool) -> None:
        self.repeats, self.now = repeats, time.thread_time if cpu_time else time.perf_counter

    def __call__(self, **works: Work) -> dict[str, float]:
        times: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(self.repeats + 2):
            for name, work in works.items():
                time.sleep(self.REST)
                warm = time.perf_counter() + self.WARM_UP
                while time.perf_counter() < warm:
                    work()
                start = self.now()
                work()
                if turn >= 2:
                    times[name].append((self.now() - start) * 1000)
        return {name: round(statistics.median(values), 3) for name, values in times.items()}


def zbuffer() -> ctypes.CDLL | None:
    """The plain C++ z-buffer, built now; None without a compiler."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return None
    built = Path(tempfile.mkdtemp()) / "zbuffer.so"
    source = Path(__file__).with_name("zbuffer.cpp")
    command = [compiler, "-O3", "-fopenmp", "-shared", "-fPIC", str(source), "-o", str(built)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(built))


def as_c(*values: Tensor | int) -> list[ctypes._SimpleCData]:
    return [
        ctypes.c_void_p(value.data_ptr()) if isinstance(value, Tensor) else ctypes.c_int64(value)
        for value in values
    ]


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


def sphere(levels: int = 5, batch: int = 4) -> tuple[Tensor, Tensor]:
    """Clip coordinates [B, V, 4] and faces of a sphere that covers 57 % of the picture."""
    points, faces = icosphere(levels)
    return torch.stack([seen(points * 0.965, view) for view in range(batch)]).contiguous(), faces.int()


def peers(resolution: int, clock: Clock) -> dict[str, object]:
    clip, faces = sphere()
    size, batch, vertices = (resolution, resolution), len(clip), clip.shape[1]
    found = rasterize(clip, faces, size)
    grad = torch.randn(batch, *size, 2)
    padded = torch.cat([grad, torch.zeros(batch, *size, 1)], dim=-1)
    backward = {}
    for backend in ("cpu", "vectorised"):
        moved = clip.clone().requires_grad_()
        weights = evaluate(moved, faces, found.face_id, backend=backend).barycentric
        backward[backend] = partial(torch.autograd.grad, weights, moved, padded, retain_graph=True)
    forward: dict[str, Work] = {
        "ours": partial(rasterize, clip, faces, size, backend="cpu"),
        "vectorised": partial(rasterize, clip, faces, size, backend="vectorised"),
    }
    backwards: dict[str, Work] = {"ours": backward["cpu"], "vectorised": backward["vectorised"]}
    library = zbuffer()
    if library is not None:

        def draw() -> tuple[Tensor, Tensor]:
            uvz, ids = torch.empty(batch, *size, 3), torch.empty(batch, *size, dtype=torch.int32)
            library.zbuffer_forward(*as_c(clip, batch, vertices, faces, len(faces), *size, uvz, ids))
            return uvz, ids

        uvz, ids = draw()

        def back() -> Tensor:
            out = torch.empty_like(clip)
            library.zbuffer_backward(*as_c(clip, batch, vertices, faces, *size, uvz, ids, grad, out))
            return out

        assert (ids != found.face_id).float().mean() < 1e-4
        forward["zbuffer"], backwards["zbuffer"] = draw, back
    forward |= installed_peers(clip, faces, size)
    told = {"forward_ms": clock(**forward), "backward_ms": clock(**backwards)}
    ratios = {
        f"{way.removesuffix('_ms')}_vs_{name}": round(value / times["ours"], 2)
        for way, times in told.items()
        for name, value in times.items()
        if name != "ours"
    }
    shape = {"faces": len(faces), "batch": batch, "resolution": resolution}
    covered = round((found.face_id >= 0).float().mean().item(), 3)
    return {"case": "peers", **shape, "covered": covered, **told, **ratios}


def installed_peers(clip: Tensor, faces: Tensor, size: tuple[int, int]) -> dict[str, Work]:
    """Other rasterizers of this machine, forward only. PyTorch3D takes normalised device coordinates."""
    works: dict[str, Work] = {}
    if importlib.util.find_spec("pytorch3d"):
        from pytorch3d import _C  # pyright: ignore[reportMissingImports]

        ndc = torch.cat([clip[..., :2] / clip[..., 3:], clip[..., 3:]], dim=-1)
        packed = ndc[:, faces.long()].flatten(0, 1)
        first, count = torch.arange(len(clip)) * len(faces), torch.full((len(clip),), len(faces))
        none = torch.full((len(packed),), -1)
        works["pytorch3d"] = partial(
            _C.rasterize_meshes, packed, first, count, none, size, 0.0, 1, 0, 0, True, True, False
        )
    if importlib.util.find_spec("drtk"):
        import drtk  # pyright: ignore[reportMissingImports]

        height, width = size
        pixel = torch.stack(
            [
                (clip[..., 0] / clip[..., 3] + 1) * width / 2 - 0.5,
                (1 - clip[..., 1] / clip[..., 3]) * height / 2 - 0.5,
                clip[..., 3],
            ],
            dim=-1,
        ).contiguous()

        def draw() -> object:
            index = drtk.rasterize(pixel, faces, height=height, width=width)
            return drtk.render(pixel, faces, index)

        works["drtk"] = draw
    return works


def steps(resolution: int, clock: Clock) -> dict[str, object]:
    """4 wavy balls of about 8,000 triangles, from a 32³ lattice and packed; colour and mask antialiased."""
    lattice = kuhn_lattice(32)
    at = lattice.positions
    bump = 0.03 * (torch.sin(17 * at[:, 0]) + torch.sin(13 * at[:, 1]) * torch.sin(15 * at[:, 2]))
    sdf = torch.stack([0.24 + 0.01 * n - at.norm(dim=1) + bump for n in range(4)])
    surface = marching_tets(sdf, at, lattice)
    faces, ranges, size = surface.faces, surface.face_ranges, (resolution, resolution)
    parts = [
        seen(surface.vertices[first : first + count] * 3, view)
        for view, (first, count) in enumerate(surface.vertex_ranges.tolist())
    ]
    clip = torch.cat(parts).detach().requires_grad_()
    attributes = surface.vertices.detach().clone().requires_grad_()

    def forward(backend: Backend) -> Tensor:
        found = rasterize(clip, faces, size, ranges=ranges, backend=backend)
        picture = interpolate(attributes, faces, found.face_id, found.barycentric, backend=backend)
        picture = torch.cat([picture, (found.face_id >= 0).float()[..., None]], dim=3)
        return antialias(picture, found, clip, faces, ranges=ranges, backend=backend)

    def step(backend: Backend) -> None:
        forward(backend).square().sum().backward()

    names: tuple[Backend, Backend] = ("cpu", "vectorised")
    told = {
        "forward_ms": clock(**{name: partial(forward, name) for name in names}),
        "forward_backward_ms": clock(**{name: partial(step, name) for name in names}),
    }
    ratios = {f"{way[:-3]}_vs_vectorised": round(t["vectorised"] / t["cpu"], 2) for way, t in told.items()}
    return {"case": "steps", "faces": len(faces), "batch": 4, "resolution": resolution, **told, **ratios}


def neighbours(count: int, clock: Clock) -> dict[str, object]:
    random = torch.Generator().manual_seed(0)
    query, points = (torch.randn(count, 3, generator=random) for _ in range(2))
    query, points = (cloud / cloud.norm(dim=1, keepdim=True) for cloud in (query, points))
    threads = torch.get_num_threads()

    def scipys() -> object:
        return cKDTree(points.double().numpy()).query(query.double().numpy(), workers=threads)

    told = clock(ours=partial(nearest, query, points), ckdtree=scipys)
    ratio = round(told["ckdtree"] / told["ours"], 2)
    return {"case": "nearest", "points": count, "ms": told, "nearest_vs_ckdtree": ratio}


def scaling(levels: int, resolution: int, threads: int, clock: Clock) -> dict[str, object]:
    before = torch.get_num_threads()
    clip, faces = sphere(levels, batch=1)
    clip.requires_grad_()
    size = (resolution, resolution)
    torch.set_num_threads(threads)
    try:
        found = rasterize(clip, faces, size)
        gradient = torch.randn_like(found.barycentric)
        told = clock(
            forward=partial(rasterize, clip, faces, size),
            backward=partial(torch.autograd.grad, found.barycentric, clip, gradient, retain_graph=True),
        )
    finally:
        torch.set_num_threads(before)
    shape = {"faces": len(faces), "batch": 1, "resolution": resolution, "threads": threads}
    return {"case": "scaling", **shape, "forward_ms": told["forward"], "backward_ms": told["backward"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "what", nargs="?", choices=("all", "peers", "steps", "nearest", "scaling"), default="all"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, of one thread")
    options = parser.parse_args()
    tune_allocator()
    threads = 1 if options.cpu_time else options.threads
    torch.set_num_threads(threads)
    # OpenMP in zbuffer.cpp follows its own variable, which has to stand before the library is loaded.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    clock = Clock(options.repeats, options.cpu_time)
    cases: list[Callable[[], dict[str, object]]] = []
    if options.what in ("all", "peers"):
        cases += [partial(peers, resolution, clock) for resolution in (128, 512)]
    if options.what in ("all", "steps"):
        cases += [partial(steps, resolution, clock) for resolution in (64, 128)]
    if options.what in ("all", "nearest"):
        cases += [partial(neighbours, count, clock) for count in (2_000, 20_000, 200_000)]
    if options.what in ("all", "scaling"):
        few = Clock(5, options.cpu_time)
        cases += [partial(scaling, levels, 512, threads, few) for levels in (3, 5, 6, 8)]
        cases += [partial(scaling, 5, resolution, threads, few) for resolution in (64, 256, 1024, 4096)]
        counts = sorted({1, 2, threads} & set(range(1, threads + 1)))
        cases += [partial(scaling, 6, 1024, count, few) for count in counts]
    told = {"cpu_time": options.cpu_time, "torch": torch.__version__}
    for case in cases:
        print(json.dumps({"threads": threads, **case(), **told}), flush=True)


if __name__ == "__main__":
    main()
