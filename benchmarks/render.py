"""How long do the pictures of one object take, and how much memory?

Prints one JSON line: `python benchmarks/render.py [MESH] [--views 24] [--resolution 128] [--repeat 5]`.
Without MESH, a torus of 20,000 faces under ten textures stands for a chair. The median of the repeats is
reported, after one warm-up; memory is the process' peak.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch

from polyglyph.formats.meshes import read_mesh
from polyglyph.formats.model import Material, Part
from polyglyph.scene.camera import turntable
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render


def stand_in(faces: int = 20_000, materials: int = 10) -> list[Part]:
    """A torus cut into slices, each with a 512² texture of its own."""
    minor = max(3, int((faces / 8) ** 0.5))
    major = faces // (2 * minor)
    u = np.linspace(0, 1, major + 1)
    v = np.linspace(0, 1, minor + 1)
    grid = np.stack(np.meshgrid(u, v, indexing="ij"), -1).reshape(-1, 2)
    reach = 1 + 0.4 * np.cos(grid[:, 1] * 2 * np.pi)
    angle = grid[:, 0] * 2 * np.pi
    positions = np.stack(
        [reach * np.sin(angle), 0.4 * np.sin(grid[:, 1] * 2 * np.pi), reach * np.cos(angle)], 1
    )
    i, j = np.meshgrid(np.arange(major), np.arange(minor), indexing="ij")
    a = (i * (minor + 1) + j).reshape(-1)
    b = a + minor + 1
    quads = np.stack([a, b, b + 1, a, b + 1, a + 1], 1).reshape(-1, 3).astype(np.int32)
    rng = np.random.default_rng(0)
    parts = []
    for rows in np.array_split(quads, materials):
        image = rng.integers(0, 256, (512, 512, 3), dtype=np.uint8)
        parts.append(
            Part(
                positions=positions.astype(np.float32),
                faces=rows,
                uvs=(grid * [8, 2]).astype(np.float32),
                material=Material(base_color_image=image),
            )
        )
    return parts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mesh", nargs="?")
    parser.add_argument("--faces", type=int, default=20_000, help="of the stand-in")
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--supersample", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    parts = read_mesh(options.mesh).parts if options.mesh else stand_in(options.faces)
    start = time.perf_counter()
    mesh = Mesh.from_parts(parts).normalised("box", 0.7)
    prepared = time.perf_counter() - start
    cameras = turntable(options.views)
    seconds = []
    with torch.no_grad():
        for _ in range(options.repeat + 1):
            start = time.perf_counter()
            picture = render(mesh, cameras, options.resolution, supersample=options.supersample)
            seconds.append(time.perf_counter() - start)
    result = {
        "benchmark": "render",
        "mesh": options.mesh or "stand-in",
        "faces": len(mesh.faces),
        "materials": len(mesh.materials),
        "views": options.views,
        "resolution": options.resolution,
        "supersample": options.supersample,
        "covered": round(float(picture.mask.mean()), 3),
        "prepare_seconds": round(prepared, 3),
        "first_seconds": round(seconds[0], 3),
        "median_seconds": round(statistics.median(seconds[1:]), 3),
        "threads": torch.get_num_threads(),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
