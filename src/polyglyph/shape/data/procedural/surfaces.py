"""Procedural materials: pictures that repeat without a seam, by name and seed.

Every picture covers `TILE` metres and is made of noise with a periodic spectrum, so that it tiles.

Legend: n side of the picture.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from polyglyph.formats.model import Material

__all__ = ["COLORS", "FABRICS", "METALS", "TILE", "WOODS", "Finish", "random_finish"]

TILE = 0.5
"""Metres that one repeat of a picture covers."""

WOODS = {
    "oak": (0.72, 0.53, 0.33),
    "walnut": (0.36, 0.23, 0.15),
    "pine": (0.85, 0.68, 0.45),
    "cherry": (0.60, 0.30, 0.18),
    "beech": (0.80, 0.62, 0.45),
    "teak": (0.60, 0.42, 0.24),
    "ebony": (0.16, 0.13, 0.12),
    "whitewashed wood": (0.86, 0.83, 0.78),
}
COLORS = {
    "white": (0.92, 0.92, 0.90),
    "black": (0.09, 0.09, 0.10),
    "grey": (0.50, 0.50, 0.52),
    "red": (0.70, 0.10, 0.10),
    "dark red": (0.42, 0.07, 0.09),
    "orange": (0.88, 0.45, 0.10),
    "yellow": (0.90, 0.75, 0.18),
    "green": (0.20, 0.47, 0.24),
    "olive green": (0.42, 0.45, 0.22),
    "turquoise": (0.20, 0.60, 0.60),
    "blue": (0.15, 0.30, 0.65),
    "light blue": (0.55, 0.70, 0.85),
    "navy blue": (0.10, 0.14, 0.32),
    "purple": (0.40, 0.20, 0.48),
    "pink": (0.88, 0.55, 0.62),
    "beige": (0.82, 0.74, 0.60),
    "brown": (0.42, 0.27, 0.17),
    "cream": (0.93, 0.88, 0.76),
}
METALS = {
    "chrome": (0.78, 0.79, 0.80),
    "steel": (0.58, 0.59, 0.60),
    "brass": (0.80, 0.64, 0.32),
    "black metal": (0.10, 0.10, 0.11),
}
FABRICS = ("fabric", "leather", "velvet", "striped fabric", "plaid fabric", "tweed")


@dataclass(frozen=True)
class Finish:
    """A material by kind and colour, and the words for it."""

    kind: str
    """`wood`, `plastic`, `metal`, `paint`, `wicker`, `brick`, `plaster`, `tiles`, `glass`, or a fabric."""
    color: str
    """A key of WOODS, METALS or COLORS."""
    seed: int

    @property
    def words(self) -> str:
        """As a caption says it: `oak wood`, `red leather`."""
        if self.kind == "wood":
            return self.color if self.color.endswith("wood") else f"{self.color} wood"
        if self.kind == "metal":
            return self.color
        return f"{self.color} {'painted' if self.kind == 'paint' else self.kind}"

    def material(self, resolution: int) -> Material:
        """The glTF material with its base-colour picture of `resolution` squared pixels."""
        random = np.random.default_rng(self.seed)
        table = {"wood": WOODS, "metal": METALS}.get(self.kind, COLORS)
        base = _jitter(np.array(table[self.color]), random)
        picture = np.clip(_PAINTERS[self.kind](base, resolution, random), 0, 1)
        return Material(
            name=self.words.replace(" ", "_"),
            base_color_image=(picture * 255 + 0.5).astype(np.uint8),
            metallic=0.9 if self.kind == "metal" and self.color != "black metal" else 0.0,
            roughness=_ROUGHNESS.get(self.kind, 0.9),
            double_sided=False,
        )


def random_finish(random: np.random.Generator, kind: str) -> Finish:
    """A finish of `kind` in a random colour."""
    table = {"wood": WOODS, "metal": METALS}.get(kind, COLORS)
    return Finish(kind, str(random.choice(list(table))), int(random.integers(2**31)))


def _jitter(base: np.ndarray, random: np.random.Generator) -> np.ndarray:
    hue, light, strength = colorsys.rgb_to_hls(*base)
    light = float(np.clip(light * random.uniform(0.88, 1.12), 0.02, 0.97))
    strength = float(np.clip(strength * random.uniform(0.85, 1.1), 0, 1))
    return np.array(colorsys.hls_to_rgb((hue + random.uniform(-0.012, 0.012)) % 1.0, light, strength))


def _noise(
    n: int, random: np.random.Generator, *, along: float, across: float, slope: float = 1.0
) -> np.ndarray:
    """Periodic noise [n, n] with mean 0 and deviation 1; features `along` x `across` tiles large."""
    frequency = np.fft.fftfreq(n) * n
    v, u = np.meshgrid(frequency * across, frequency * along, indexing="ij")
    power = (1 + u**2 + v**2) ** (-slope)
    spectrum = np.fft.fft2(random.standard_normal((n, n))) * power
    spectrum[0, 0] = 0
    values = np.real(np.fft.ifft2(spectrum))
    return values / max(float(values.std()), 1e-9)


def _grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """u to the right and v down at pixel centres, in tiles."""
    steps = (np.arange(n) + 0.5) / n
    v, u = np.meshgrid(steps, steps, indexing="ij")
    return u, v


def _wood(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    _, v = _grid(n)
    bend = _noise(n, random, along=0.5, across=0.15, slope=2.0)
    rings = np.sin(2 * np.pi * (int(random.integers(5, 10)) * v + 0.35 * bend))
    fibre = _noise(n, random, along=0.25, across=0.01, slope=1.0)
    value = 1 + 0.10 * rings + 0.06 * fibre + 0.04 * bend
    tint = np.array([1.0, 0.97, 0.92])
    return base * value[..., None] * (1 - (1 - tint) * np.clip(rings, 0, 1)[..., None])


def _weave(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    u, v = _grid(n)
    count = n // 4
    threads = np.sin(2 * np.pi * count * u) * np.sin(2 * np.pi * count * v)
    return base * (1 + 0.10 * threads + 0.05 * _noise(n, random, along=0.03, across=0.03))[..., None]


def _velvet(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    return base * (1 + 0.09 * _noise(n, random, along=0.15, across=0.15, slope=1.5))[..., None]


def _tweed(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    specks = random.uniform(size=(n, n, 1)) < 0.25
    other = np.clip(base * random.uniform(0.4, 1.7), 0, 1)
    return np.where(specks, other, base) * (1 + 0.05 * random.standard_normal((n, n, 1)))


def _stripes(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    u, _ = _grid(n)
    second = _second(base, random)
    wave = (u * int(random.integers(3, 9))) % 1.0
    return np.where((wave < random.uniform(0.25, 0.6))[..., None], second, _weave(base, n, random))


def _plaid(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    u, v = _grid(n)
    second = _second(base, random)
    count, width = int(random.integers(3, 7)), random.uniform(0.25, 0.5)
    share = (((u * count) % 1 < width).astype(float) + ((v * count) % 1 < width)) / 2
    return base + (second - base) * share[..., None] * 0.85


def _second(base: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour that goes with `base` and can be told from it."""
    options = [np.array(color) for color in COLORS.values()]
    far = [color for color in options if np.abs(color - base).sum() > 0.5]
    return far[int(random.integers(len(far)))]


def _leather(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    creases = np.abs(_noise(n, random, along=0.04, across=0.04, slope=1.2))
    return (
        base
        * (0.92 + 0.10 * np.clip(creases, 0, 1.5) + 0.03 * _noise(n, random, along=0.3, across=0.3))[
            ..., None
        ]
    )


def _plain(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    return base * (1 + 0.02 * _noise(n, random, along=0.2, across=0.2))[..., None]


def _brushed(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    return base * (1 + 0.05 * _noise(n, random, along=0.4, across=0.005, slope=0.8))[..., None]


def _wicker(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    u, v = _grid(n)
    count = 14
    row, column = np.floor(v * count), np.floor(u * count)
    over = (row + column) % 2 == 0
    bulge = np.where(over, np.sin(np.pi * ((u * count) % 1)), np.sin(np.pi * ((v * count) % 1)))
    return base * (0.45 + 0.65 * bulge + 0.05 * random.standard_normal((n, n)))[..., None]


def _brick(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    u, v = _grid(n)
    rows, columns = 8, 3
    row = np.floor(v * rows)
    shifted = (u * columns + 0.5 * (row % 2)) % columns
    mortar = ((v * rows) % 1 < 0.12) | (shifted % 1 < 0.05)
    tone = random.uniform(0.8, 1.15, size=(rows, columns))[row.astype(int), np.floor(shifted).astype(int)]
    body = base * (tone + 0.05 * _noise(n, random, along=0.05, across=0.05))[..., None]
    return np.where(mortar[..., None], np.array([0.75, 0.73, 0.69]), body)


def _tiles(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    u, v = _grid(n)
    count = 6
    row = np.floor(v * count)
    edge = ((v * count) % 1) ** 2
    joint = ((u * count + 0.5 * (row % 2)) % 1) < 0.08
    shade = (0.75 + 0.3 * edge) * np.where(joint, 0.7, 1.0)
    return base * (shade + 0.04 * _noise(n, random, along=0.05, across=0.05))[..., None]


def _glass(base: np.ndarray, n: int, random: np.random.Generator) -> np.ndarray:
    _, v = _grid(n)
    return (0.35 * base + np.array([0.25, 0.33, 0.40])) * (1.15 - 0.4 * np.abs(v - 0.5))[..., None]


_PAINTERS = {
    "wood": _wood,
    "fabric": _weave,
    "velvet": _velvet,
    "tweed": _tweed,
    "striped fabric": _stripes,
    "plaid fabric": _plaid,
    "leather": _leather,
    "plastic": _plain,
    "paint": _plain,
    "plaster": _velvet,
    "metal": _brushed,
    "wicker": _wicker,
    "brick": _brick,
    "tiles": _tiles,
    "glass": _glass,
}
_ROUGHNESS = {"wood": 0.65, "plastic": 0.5, "paint": 0.45, "metal": 0.35, "leather": 0.55, "glass": 0.2}
