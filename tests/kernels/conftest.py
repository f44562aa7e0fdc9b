"""What the kernel tests share: random little scenes, and a sphere before a camera."""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from kernel_backends import emulate
from torch import Tensor

from polyglyph.kernels import device


@pytest.fixture(autouse=True)
def _emulated_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend `cuda` runs the CUDA kernels on the CPU, thread after thread."""
    monkeypatch.setattr(device, "launcher", emulate)


class Scene(NamedTuple):
    clip: Tensor
    """[B, V, 4] in clip space."""
    faces: Tensor
    """[F, 3], with repeated corners now and then."""
    resolution: tuple[int, int]


@st.composite
def _scenes(draw: st.DrawFn, dtype: torch.dtype) -> Scene:
    """Small soups. Half of them have corners on a coarse grid, so that edges run through pixel centres and
    depths tie; some corners lie behind the camera.
    """
    batch, vertices, count = draw(st.integers(1, 2)), draw(st.integers(3, 7)), draw(st.integers(1, 6))
    resolution = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    index = st.integers(0, vertices - 1)
    faces = draw(st.lists(st.tuples(index, index, index), min_size=count, max_size=count))
    gridded = draw(st.booleans())
    across = st.integers(-6, 6).map(lambda n: n / 4) if gridded else st.floats(-1.5, 1.5, width=32)
    depth = st.integers(-5, 5).map(lambda n: n / 4) if gridded else st.floats(-1.25, 1.25, width=32)
    reach = st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.5, -0.5]) if gridded else st.floats(-0.5, 3, width=32)
    corner = st.tuples(across, across, depth, reach)
    points = draw(st.lists(corner, min_size=batch * vertices, max_size=batch * vertices))
    clip = torch.tensor(points, dtype=dtype).reshape(batch, vertices, 4)
    if gridded:
        clip[..., :3] *= clip[..., 3:].abs()
    return Scene(clip, torch.tensor(faces), resolution)


@pytest.fixture(scope="session")
def scenes() -> Callable[[torch.dtype], st.SearchStrategy[Scene]]:
    """A hypothesis strategy of little triangle soups in clip space, for one float type."""
    return _scenes


@pytest.fixture(scope="session")
def sphere() -> Callable[..., Scene]:
    """Views of a closed, consistently oriented sphere (optionally bumpy, so that it folds over itself)."""

    def build(resolution: int, *, rings: int = 12, bumps: float = 0.0, views: int = 2) -> Scene:
        longitude = torch.arange(2 * rings, dtype=torch.float64) * (math.pi / rings)
        latitude = torch.arange(1, rings, dtype=torch.float64) * (math.pi / rings)
        ring = torch.stack([longitude.cos(), longitude.new_zeros(2 * rings), longitude.sin()], dim=1)
        grid = ring[None] * latitude.sin()[:, None, None]
        grid[..., 1] = latitude.cos()[:, None]
        poles = torch.tensor([[0.0, 1, 0], [0, -1, 0]], dtype=torch.float64)
        points = torch.cat([grid.reshape(-1, 3), poles])
        points = points * (1 + bumps * torch.sin(5 * points[:, :1]) * torch.sin(4 * points[:, 1:2]))
        return Scene(_views(points * 0.8, views), _sphere_faces(rings), (resolution, resolution))

    return build


def _sphere_faces(rings: int) -> Tensor:
    around, top, bottom = 2 * rings, (rings - 1) * 2 * rings, (rings - 1) * 2 * rings + 1
    faces = []
    for column in range(around):
        right = (column + 1) % around
        faces += [(top, right, column), (bottom, (rings - 2) * around + column, (rings - 2) * around + right)]
        for row in range(rings - 2):
            a, b = row * around + column, row * around + right
            faces += [(a, b, a + around), (b, b + around, a + around)]
    return torch.tensor(faces)


def _views(points: Tensor, views: int) -> Tensor:
    """Perspective views from 3 units away, 50 degrees apart: near plane 1, far 10, focal length 2.5."""
    clips = []
    for view in range(views):
        angle = torch.tensor(math.radians(10 + 50 * view))
        x = points[:, 0] * angle.cos() + points[:, 2] * angle.sin()
        z = points[:, 2] * angle.cos() - points[:, 0] * angle.sin() - 3
        clips.append(torch.stack([2.5 * x, 2.5 * points[:, 1], -(11 / 9) * z - 20 / 9, -z], dim=1))
    return torch.stack(clips)
