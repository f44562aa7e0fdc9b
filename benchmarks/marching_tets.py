"""Is marching tetrahedra without sorting at least 6 times faster than with `torch.unique`?

Both cut the same wavy ball out of the same 64³ lattice in the same process, alternately, and the
medians are compared. The other way is written here from the definition: tetrahedra whose corners
disagree, their six edges as sorted pairs of vertices, `torch.unique` over those pairs, a map from
pairs to vertices. Both give the same surface (checked first).

One thread by default: on a busy machine more threads measure how long they wait for one another.

Run: python benchmarks/marching_tets.py [--threads 1] [--device cpu] [--repeats 9]
Prints one JSON line; milliseconds are medians.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from polyglyph.kernels.marching_tets import TET_EDGES, Lattice, kuhn_lattice, marching_tets
from polyglyph.kernels.marching_tets.cases import CASES
from polyglyph.scene.isosurface import extract, sign_bce

REQUIRED_RATIO = 6.0


def with_unique(sdf: Tensor, positions: Tensor, tets: Tensor) -> tuple[Tensor, Tensor]:
    """One mesh by sorting: sdf (N,), positions (N, 3), tets (T, 4) -> vertices (V, 3), faces (F, 3)."""
    device = sdf.device
    inside = sdf > 0
    corners = inside[tets]
    count = corners.sum(dim=1)
    active = (count > 0) & (count < 4)
    tets, corners = tets[active], corners[active]

    pairs = tets[:, torch.tensor(TET_EDGES, device=device)].reshape(-1, 2).sort(dim=1).values
    unique, which = torch.unique(pairs, dim=0, return_inverse=True)
    cut = inside[unique].sum(dim=1) == 1
    vertex = torch.full((len(unique),), -1, device=device)
    vertex[cut] = torch.arange(int(cut.sum()), device=device)
    vertex_of_edge = vertex[which].view(-1, 6)

    a, b = unique[cut].unbind(1)
    s_a, s_b = sdf[a, None], sdf[b, None]
    vertices = (positions[a] * s_b - positions[b] * s_a) / (s_b - s_a)

    code = (corners * torch.tensor([1, 2, 4, 8], device=device)).sum(dim=1)
    table = torch.tensor([[e for k in range(2) for e in (c[k] if k < len(c) else (0, 0, 0))] for c in CASES])
    sizes = torch.tensor([len(c) for c in CASES], device=device)[code]
    table = table.to(device)[code]
    one, two = sizes == 1, sizes == 2
    faces = torch.cat(
        [
            vertex_of_edge[one].gather(1, table[one, :3]),
            vertex_of_edge[two].gather(1, table[two]).view(-1, 3),
        ]
    )
    return vertices, faces


def median_ms(*functions: Callable[[], object], repeats: int, device: str) -> list[float]:
    """Median time of each function; they take turns, so that a busy machine is busy for all of them."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 2):
        for function, row in zip(functions, times, strict=True):
            _synchronise(device)
            start = time.perf_counter()
            function()
            _synchronise(device)
            if turn >= 2:
                row.append(1000 * (time.perf_counter() - start))
    return [round(statistics.median(row), 2) for row in times]


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def wavy_ball(lattice: Lattice, batch: int) -> Tensor:
    """A ball with bumps, a little different in each sample, (batch, N)."""
    radius = torch.linspace(0.34, 0.37, batch, device=lattice.positions.device)[:, None]
    return radius - lattice.positions.norm(dim=1) + 0.02 * torch.sin(20 * lattice.positions).sum(dim=1)


def one_mesh(resolution: int, repeats: int, device: str) -> dict[str, float]:
    """Ours against the other way."""
    lattice = kuhn_lattice(resolution).to(device)
    sdf, tets = wavy_ball(lattice, 1), lattice.tets
    ours = marching_tets(sdf, lattice.positions, lattice)
    vertices, faces = with_unique(sdf[0], lattice.positions, tets)
    assert ours.vertices.shape == vertices.shape
    assert ours.faces.shape == faces.shape
    a, b = (
        torch.linalg.det(v[f].double()).sum() for v, f in ((ours.vertices, ours.faces), (vertices, faces))
    )
    torch.testing.assert_close(a, b)
    fast, slow = median_ms(
        lambda: marching_tets(sdf, lattice.positions, lattice),
        lambda: with_unique(sdf[0], lattice.positions, tets),
        repeats=repeats,
        device=device,
    )
    return {
        f"faces_{resolution}": len(faces),
        f"ours_{resolution}_ms": fast,
        f"unique_{resolution}_ms": slow,
        f"ratio_{resolution}": round(slow / fast, 1),
    }


def training_step(resolution: int, batch: int, repeats: int, device: str) -> dict[str, float]:
    """What a training step pays: extraction of a deformed batch and the regulariser, both ways."""
    lattice = kuhn_lattice(resolution).to(device)
    sdf = wavy_ball(lattice, batch).requires_grad_()
    raw = torch.zeros(batch, lattice.vertex_count, 3, device=device, requires_grad=True)

    def forward() -> Tensor:
        return extract(sdf, raw, lattice).surface.vertices.square().sum()

    names = ("extract_fwd", "extract_fwd_bwd", "sign_bce_fwd_bwd")
    times = median_ms(
        forward,
        lambda: forward().backward(),
        lambda: sign_bce(sdf, lattice.edges).backward(),
        repeats=repeats,
        device=device,
    )
    return {f"{name}_{batch}x{resolution}_ms": value for name, value in zip(names, times, strict=True)}


def build_seconds(resolution: int) -> float:
    """Time to build the lattice's tables once."""
    start = time.perf_counter()
    kuhn_lattice.__wrapped__(resolution)
    return round(time.perf_counter() - start, 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = {"repeats": arguments.repeats, "device": arguments.device}
    line: dict[str, object] = {
        "benchmark": "marching_tets",
        "torch": torch.__version__,
        "device": arguments.device,
        "threads": arguments.threads,
    }
    line |= {"lattice_64_build_s": build_seconds(64)}
    line |= one_mesh(32, **options) | one_mesh(64, **options) | training_step(32, 4, **options)
    line |= {"required_ratio_64": REQUIRED_RATIO, "ok": float(str(line["ratio_64"])) >= REQUIRED_RATIO}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
