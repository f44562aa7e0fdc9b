"""How true is the gradient of antialiased pictures?

    python benchmarks/antialias.py [--scenes 100] [--resolution 64] [--fine 16]

Each scene is a random shape (a box, a torus, a bumpy ball; vertices shared or each face its own) that moves,
turns or grows; nothing of it is thinner than 2 pixels. The picture's sum under a smooth random weight is
differentiated with respect to the motion by `antialias`, and by differences of pictures drawn `fine` times as
large along each axis. Prints a line a motion, and one for all, with the median relative error. The error of a
scene is relative to the larger of the true derivative and a tenth of what the same outline would give if all
of it moved outwards by as much, so that rotations whose gains and losses cancel are not divided by nothing.
"""

import argparse
import json
import math
import statistics

import torch
import trimesh
from torch import Tensor

from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.backend import Backend
from polyglyph.kernels.rasterize import rasterize

DOUBLE = torch.float64
MOTIONS = ("translation", "rotation", "scale")


def shape(kind: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A mesh about as large as the unit ball, and never thin."""
    sizes = (torch.rand(3, generator=rng) * 0.6 + 0.4).tolist()
    if kind == 0:
        mesh = trimesh.creation.box(extents=[1.2 * size for size in sizes])
    elif kind == 1:
        mesh = trimesh.creation.torus(0.6, 0.2 + 0.1 * sizes[0], major_sections=48, minor_sections=24)
    else:
        mesh = trimesh.creation.icosphere(subdivisions=4)
    points, faces = torch.tensor(mesh.vertices, dtype=DOUBLE), torch.tensor(mesh.faces)
    if kind == 2:
        waves = torch.sin(3 * sizes[0] * points[:, :1] + 4 * sizes[1] * points[:, 1:2] + sizes[2])
        points = 0.7 * points * (1 + 0.2 * waves)
    return points, faces


def turned(points: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues' rotation."""
    axis = axis / axis.norm()
    cross = torch.linalg.cross(axis.expand_as(points), points)
    along = (points @ axis)[:, None] * axis
    return points * angle.cos() + cross * angle.sin() + along * (1 - angle.cos())


def seen(points: Tensor) -> Tensor:
    """Clip coordinates from 3 units away, focal length 2.5."""
    x, y, z = points.unbind(1)
    depth = z - 3
    return torch.stack([2.5 * x, 2.5 * y, -(11 / 9) * depth - 20 / 9, -depth], dim=1)[None]


class Scene:
    """One shape, its motion and the weight of pixels."""

    def __init__(self, seed: int, motion: str) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.motion = motion
        points, self.faces = shape(seed % 3, rng)
        spin = torch.randn(3, generator=rng, dtype=DOUBLE)
        angle = torch.rand((), generator=rng, dtype=DOUBLE) * 2 * math.pi
        self.points = turned(points, spin, angle) + 0.1 * torch.randn(3, generator=rng, dtype=DOUBLE)
        self.axis = torch.randn(3, generator=rng, dtype=DOUBLE)
        self.pivot = 0.5 * torch.randn(3, generator=rng, dtype=DOUBLE)
        self.waves = 2 * torch.randn(2, 2, generator=rng, dtype=DOUBLE)
        if seed % 2:  # every face has vertices of its own
            self.points = self.points[self.faces.reshape(-1)]
            self.faces = torch.arange(len(self.points)).view(-1, 3)

    def clip(self, amount: Tensor, motion: str | None = None) -> Tensor:
        motion = motion or self.motion
        if motion == "translation":
            moved = self.points + amount * self.axis / self.axis.norm()
        elif motion == "scale":
            moved = self.pivot + (self.points - self.pivot) * (1 + amount)
        elif motion == "swelling":
            moved = self.points * (1 + amount)
        else:
            moved = self.pivot + turned(self.points - self.pivot, self.axis, amount)
        return seen(moved)

    def weighed(self, image: Tensor) -> Tensor:
        size = image.shape[1]
        at = (2 * torch.arange(size, dtype=DOUBLE) + 1) / size - 1
        across, down = (torch.sin(wave[0] * at + wave[1]) for wave in self.waves)
        return (image[0, ..., 0] * (1 + 0.7 * down[:, None] * across)).sum() * (2 / size) ** 2

    def gradient(self, resolution: int, backend: Backend) -> float:
        amount = torch.zeros((), dtype=DOUBLE, requires_grad=True)
        clip = self.clip(amount)
        found = rasterize(clip, self.faces, (resolution, resolution), backend=backend)
        mask = (found.face_id >= 0).to(DOUBLE)[..., None]
        soft = antialias(mask, found, clip, self.faces, backend=backend)
        return torch.autograd.grad(self.weighed(soft), amount)[0].item()

    def difference(self, size: int, motion: str | None = None, step: float = 0.01) -> float:
        ends = []
        for sign in (1, -1):
            clip = self.clip(torch.tensor(sign * step, dtype=DOUBLE), motion)
            ends.append(
                self.weighed((rasterize(clip, self.faces, (size, size)).face_id >= 0)[..., None].to(DOUBLE))
            )
        return ((ends[0] - ends[1]) / (2 * step)).item()


def error(seed: int, motion: str, resolution: int, fine: int, backend: Backend = "auto") -> float:
    """Of one scene, as the top of this file says."""
    scene = Scene(seed, motion)
    truth = scene.difference(resolution * fine)
    floor = 0.1 * abs(scene.difference(resolution * fine, "swelling"))
    return abs(scene.gradient(resolution, backend) - truth) / max(abs(truth), floor)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--fine", type=int, default=16)
    options = parser.parse_args()
    everything = []
    for motion in MOTIONS:
        errors = [error(seed, motion, options.resolution, options.fine) for seed in range(options.scenes)]
        everything += errors
        report(motion, errors, options)
    report("all", everything, options)


def report(motion: str, errors: list[float], options: argparse.Namespace) -> None:
    ordered = sorted(errors)
    told = {"median": statistics.median(ordered), "percentile_90": ordered[int(0.9 * len(ordered))]}
    rounded = {name: round(value, 4) for name, value in told.items()}
    size = {"resolution": options.resolution, "fine": options.fine}
    print(json.dumps({"benchmark": "antialias", "motion": motion, "scenes": len(errors), **size, **rounded}))


if __name__ == "__main__":
    main()
