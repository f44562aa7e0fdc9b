"""Putting solids with labels and finishes together into the parts of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from polyglyph.formats.model import Material, Part
from polyglyph.shape.data.procedural.solids import Solid, merge
from polyglyph.shape.data.procedural.surfaces import TILE, Finish, random_finish

__all__ = ["Design", "Kit", "a", "grid"]


@dataclass
class Kit:
    """Random choices and the pieces made so far."""

    random: np.random.Generator
    pieces: dict[tuple[str, Finish], list[Solid]] = field(default_factory=dict)

    def add(self, label: str, finish: Finish, *solids: Solid) -> None:
        """Add solids under a part label, such as `leg`."""
        self.pieces.setdefault((label, finish), []).extend(solids)

    def add_pair(self, label: str, finish: Finish, *solids: Solid) -> None:
        """Add solids and their mirror images in X = 0."""
        for solid in solids:
            self.add(label, finish, solid, solid.mirrored())

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.random.uniform(low, high))

    def pick(self, *options: str) -> str:
        """One of the options, all equally likely."""
        return options[int(self.random.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.random.uniform() < probability)

    def finish(self, *kinds: str) -> Finish:
        """A finish of one of the kinds, in a random colour."""
        return random_finish(self.random, self.pick(*kinds))

    def parts(self, texture_resolution: int) -> list[Part]:
        """One part for each label and finish, standing on Y = 0."""
        floor = min(float(solid.positions[:, 1].min()) for solids in self.pieces.values() for solid in solids)
        materials: dict[Finish, Material] = {}
        parts = []
        for (label, finish), solids in self.pieces.items():
            whole = merge(solids)
            material = materials.setdefault(finish, finish.material(texture_resolution))
            # each piece starts elsewhere in the picture: boards of one tree are not alike
            starts = np.repeat(
                self.random.uniform(size=(len(solids), 2)), [len(s.uvs) for s in solids], axis=0
            )
            parts.append(
                Part(
                    name=label,
                    positions=(whole.positions - [0.0, floor, 0.0]).astype(np.float32),
                    faces=whole.faces.astype(np.int32),
                    normals=whole.normals.astype(np.float32),
                    uvs=(whole.uvs / TILE + starts).astype(np.float32),
                    material=material,
                )
            )
        return parts


@dataclass(frozen=True)
class Design:
    """A finished design: what it is called, and how a person would describe it."""

    name: str
    caption: str


Builder = Callable[[Kit], Design]


def a(words: str) -> str:
    """`words` with its article: `an oak wood chair`."""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def grid(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays [n, m] over all pairs, rows by the first."""
    return tuple(np.meshgrid(xs, ys, indexing="ij"))  # type: ignore[return-value]
