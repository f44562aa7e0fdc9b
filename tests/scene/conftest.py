"""Small shapes whose pictures, areas and connections are known."""

import numpy as np
import pytest
import torch
from jaxtyping import config

from polyglyph.formats.model import Material, Part

FACES_OF_A_BOX = np.array(
    [[1, 3, 7, 5], [0, 4, 6, 2], [2, 6, 7, 3], [0, 1, 5, 4], [4, 5, 7, 6], [0, 2, 3, 1]], dtype=np.int32
)
"""+X −X +Y −Y +Z −Z as quads; corner i has x, y, z from bits 0, 1, 2 of i."""


def box(side: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Eight shared corners, twelve faces, counter-clockwise outward."""
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=np.float32)
    faces = np.concatenate([FACES_OF_A_BOX[:, [0, 1, 2]], FACES_OF_A_BOX[:, [0, 2, 3]]])
    return (corners - 0.5) * side, faces.astype(np.int32)


def sphere(rings: int = 16, radius: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A globe, poles on Y, 2·rings meridians."""
    around = 2 * rings
    angle = np.linspace(0, np.pi, rings + 1)[1:-1]
    turn = np.arange(around) * 2 * np.pi / around
    ring = np.stack(
        [
            np.sin(angle)[:, None] * np.sin(turn),
            np.broadcast_to(np.cos(angle)[:, None], (rings - 1, around)),
            np.sin(angle)[:, None] * np.cos(turn),
        ],
        -1,
    ).reshape(-1, 3)
    positions = np.concatenate([[[0, 1, 0]], ring, [[0, -1, 0]]])
    faces = []
    for j in range(around):
        k = (j + 1) % around
        faces.append([0, 1 + j, 1 + k])
        for i in range(rings - 2):
            a, b = 1 + i * around + j, 1 + i * around + k
            faces += [[a, a + around, b], [b, a + around, b + around]]
        last = 1 + (rings - 2) * around
        faces.append([len(positions) - 1, last + k, last + j])
    return (positions * radius).astype(np.float32), np.array(faces, dtype=np.int32)


def torus(
    major: int = 32, minor: int = 16, big: float = 1.0, small: float = 0.4
) -> tuple[np.ndarray, np.ndarray]:
    """A ring round Y."""
    u, v = np.meshgrid(
        np.arange(major) * 2 * np.pi / major, np.arange(minor) * 2 * np.pi / minor, indexing="ij"
    )
    reach = big + small * np.cos(v)
    positions = np.stack([reach * np.sin(u), small * np.sin(v), reach * np.cos(u)], -1).reshape(-1, 3)
    faces = []
    for i in range(major):
        for j in range(minor):
            a, b = i * minor + j, (i + 1) % major * minor + j
            c, d = i * minor + (j + 1) % minor, (i + 1) % major * minor + (j + 1) % minor
            faces += [[a, b, d], [a, d, c]]
    return positions.astype(np.float32), np.array(faces, dtype=np.int32)


def square(z: float = 0.0, half: float = 0.5, material: Material | None = None) -> Part:
    """A square facing +Z, its picture upright when seen from the front."""
    positions = np.array(
        [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]], dtype=np.float32
    )
    return Part(
        positions=positions,
        faces=np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
        normals=np.broadcast_to(np.float32([0, 0, 1]), (4, 3)).copy(),
        uvs=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32),
        material=material or Material(),
    )


SHAPES = {"box": box, "sphere": sphere, "torus": torus}


@pytest.fixture
def shapes():
    """Makers of positions and faces by name: `shapes["torus"]()`."""
    return SHAPES


@pytest.fixture
def make_square():
    return square


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    torch.manual_seed(0)


@pytest.fixture
def unchecked():
    """No type checks inside: for tests of what a caller without a type checker is told."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
