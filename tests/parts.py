"""Small meshes that several tests write and read again."""

from __future__ import annotations

import numpy as np

from polyglyph.formats.model import Material, Part


def picture(height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A noisy picture, uint8 [height, width, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def quad(material: Material | None = None, name: str = "quad", **fields) -> Part:
    """A unit square facing +Z with its picture upright: top left corner at (0, 1)."""
    fields = {"uvs": np.array([[0, 1], [1, 1], [1, 0], [0, 0]], dtype=np.float32)} | fields
    return Part(
        positions=np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32),
        faces=np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
        name=name,
        normals=np.tile(np.array([0, 0, 1], dtype=np.float32), (4, 1)),
        material=material or Material("paint", base_color=(0.5, 0.25, 0.125, 1.0)),
        **fields,
    )


def grid(side: int, material: Material | None = None) -> Part:
    """A wavy square of (side + 1)² vertices with coordinates and normals left to the reader."""
    u, v = np.meshgrid(np.linspace(0, 1, side + 1), np.linspace(0, 1, side + 1))
    positions = np.stack([u, 0.1 * np.sin(9 * u) * np.cos(7 * v), v], axis=2).reshape(-1, 3)
    corner = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).reshape(-1)
    a, b, c, d = corner, corner + 1, corner + side + 2, corner + side + 1
    faces = np.concatenate([np.stack([a, c, b], axis=1), np.stack([a, d, c], axis=1)])
    return Part(
        positions=positions.astype(np.float32),
        faces=faces.astype(np.int32),
        name="grid",
        uvs=np.stack([u, v], axis=2).reshape(-1, 2).astype(np.float32),
        material=material or Material("paint"),
    )
