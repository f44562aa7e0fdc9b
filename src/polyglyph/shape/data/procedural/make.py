"""Procedural meshes as a mesh folder, deterministic by seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import polyglyph
from polyglyph.base.files import new_folder
from polyglyph.base.progress import track
from polyglyph.formats.glb import write_glb
from polyglyph.formats.model import MeshFile, Part
from polyglyph.shape.data.config import ProceduralConfig
from polyglyph.shape.data.geometry import bounds, geometry_hash, signature
from polyglyph.shape.data.manifest import MANIFEST, MESH, SKIPPED, MeshRow, slug, write_rows
from polyglyph.shape.data.procedural.chairs import chair
from polyglyph.shape.data.procedural.indoors import lamp, table
from polyglyph.shape.data.procedural.kit import Builder, Design, Kit
from polyglyph.shape.data.procedural.outdoors import car, house

__all__ = ["CATEGORIES", "ProceduralResult", "build", "make_procedural"]

CATEGORIES: dict[str, Builder] = {"chair": chair, "table": table, "car": car, "house": house, "lamp": lamp}


@dataclass(frozen=True)
class ProceduralResult:
    """What `make_procedural` wrote."""

    folder: Path
    rows: tuple[MeshRow, ...]

    def summary(self) -> str:
        """One line for a person."""
        return f"{len(self.rows)} meshes in {self.folder}, such as: {self.rows[0].caption}"


def build(
    category: str, number: int, *, seed: int = 0, texture_resolution: int = 128
) -> tuple[list[Part], Design]:
    """Mesh `number` of a category: its parts (named by what they are) and its description.

    The same arguments give the same mesh, whatever was built before. Stands on Y = 0, looks to +Z, metres.
    """
    digest = hashlib.sha256(f"{category}\n{seed}\n{number}".encode()).digest()
    kit = Kit(np.random.default_rng(np.frombuffer(digest, dtype=np.uint32)))
    design = CATEGORIES[category](kit)
    return kit.parts(texture_resolution), design


def make_procedural(out: Path, config: ProceduralConfig | None = None) -> ProceduralResult:
    """Write a mesh folder of `config.count` procedural meshes. Raises DataError if `out` is already there."""
    config = config or ProceduralConfig()
    rows = []
    with new_folder(Path(out), force=config.force) as folder:
        for number in track(range(config.count), f"building {config.category}s"):
            parts, design = build(
                config.category, number, seed=config.seed, texture_resolution=config.texture_resolution
            )
            identity = f"{number:04d}_{slug(design.name)}"
            (folder / identity).mkdir()
            labels = {part.name for part in parts}
            write_glb(
                folder / identity / MESH,
                parts,
                name=design.name,
                extras={"caption": design.caption, "licence": "CC0-1.0"},
            )
            low, high = bounds(parts)
            rows.append(
                MeshRow(
                    id=identity,
                    key=f"procedural/{config.category}/{config.seed}/{number}",
                    name=design.name,
                    caption=design.caption,
                    category=config.category,
                    tags=tuple(sorted(labels)),
                    creator=f"polyglyph {polyglyph.__version__}",
                    source="procedural",
                    licence="CC0-1.0",
                    faces=MeshFile(parts).face_count,
                    textured=True,
                    size=tuple(round(float(side), 5) for side in high - low),  # type: ignore[arg-type]
                    geometry=geometry_hash(parts),
                    signature=signature(parts),
                )
            )
        write_rows(folder / MANIFEST, rows)
        write_rows(folder / SKIPPED, [])
    return ProceduralResult(Path(out), tuple(rows))
