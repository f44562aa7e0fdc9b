"""Meshes of any kind become a mesh folder: `NNNN_name/mesh.glb` and `manifest.jsonl`.

Sizes stay in metres as the source gives them (`dataset` normalises). A bad mesh is skipped and named in
`skipped.jsonl`; nothing is written when the import is interrupted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyglyph.base.errors import DataError, PolyglyphError
from polyglyph.base.files import new_folder, refuse_overwrite
from polyglyph.formats.glb import write_glb
from polyglyph.formats.meshes import read_mesh
from polyglyph.formats.model import MeshFile
from polyglyph.formats.sh3f import read_entry_mesh
from polyglyph.shape.data.config import ImportConfig
from polyglyph.shape.data.geometry import bounds, geometry_hash, signature
from polyglyph.shape.data.manifest import MANIFEST, MESH, SKIPPED, MeshRow, SkippedRow, slug, write_rows
from polyglyph.shape.data.pool import run_over
from polyglyph.shape.data.simplify import simplify
from polyglyph.shape.data.sources import Candidate, caption, find_candidates, open_source, select

__all__ = ["ImportResult", "import_meshes"]


@dataclass(frozen=True)
class ImportResult:
    """What an import did."""

    folder: Path
    kept: tuple[MeshRow, ...]
    skipped: tuple[SkippedRow, ...]

    @property
    def textured(self) -> int:
        """Meshes with a base-colour picture."""
        return sum(row.textured for row in self.kept)

    def summary(self) -> str:
        """One line for a person."""
        text = f"{len(self.kept)} meshes ({self.textured} textured) in {self.folder}"
        if self.skipped:
            reasons = Counter(row.reason for row in self.skipped).most_common(1)[0][0]
            text += f"; {len(self.skipped)} skipped (see {SKIPPED}), most often: {reasons}"
        return text


def import_meshes(source: Path, out: Path, config: ImportConfig | None = None) -> ImportResult:
    """Read every mesh of `source` and write the mesh folder `out`.

    `source` is a folder (searched through), a zip of one, a `.sh3f` furniture archive, a folder of
    those, ShapeNet's layout, or one mesh file.

    Raises DataError if there is nothing to import, `out` is already there, or every mesh is bad.
    """
    config = config or ImportConfig()
    source, out = Path(source), Path(out)
    refuse_overwrite(out, force=config.force)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise DataError(f"`{out}` lies inside `{source}`", fix="choose an output folder outside the source")
    with new_folder(out, force=config.force) as folder, open_source(source, scratch=folder.parent) as root:
        candidates = find_candidates(root, source=source.name)
        if not candidates:
            raise DataError(
                f"there is no mesh under `{source}`",
                fix="give a folder with .glb, .obj, .ply, .off, .stl or .sh3f files",
            )
        chosen = select(candidates, config)
        jobs = [
            _Job(candidate, folder / f"{index:04d}_{slug(candidate.name)}", config.max_faces)
            for index, candidate in enumerate(chosen)
        ]
        results: dict[int, MeshRow | SkippedRow] = dict(
            run_over(_import_one, jobs, workers=config.workers, label="importing")
        )
        ordered = [results[index] for index in range(len(jobs))]
        kept = tuple(row for row in ordered if isinstance(row, MeshRow))
        skipped = tuple(row for row in ordered if isinstance(row, SkippedRow))
        if not kept:
            raise DataError(
                f"none of {len(jobs)} meshes under `{source}` could be read; the first: {skipped[0].reason}",
                fix="open one in a viewer, or export them again as .glb",
            )
        write_rows(folder / MANIFEST, kept)
        write_rows(folder / SKIPPED, skipped)
    return ImportResult(out, kept, skipped)


@dataclass(frozen=True)
class _Job:
    candidate: Candidate
    folder: Path
    max_faces: int | None


def _import_one(job: _Job) -> MeshRow | SkippedRow:
    """Read, check and write one mesh. A bad one is an answer, not an exception."""
    candidate = job.candidate
    try:
        mesh = _read(candidate)
        check(mesh)
        if job.max_faces is not None and mesh.face_count > job.max_faces:
            mesh = simplify(mesh, job.max_faces)
            check(mesh)
        job.folder.mkdir()
        write_glb(job.folder / MESH, mesh.parts, name=candidate.name, extras=_extras(candidate))
    except (PolyglyphError, OSError, MemoryError) as problem:
        _remove(job.folder)
        reason = str(problem) or type(problem).__name__
        return SkippedRow(key=candidate.key, name=candidate.name, reason=reason, source=candidate.source)
    return describe(mesh, candidate, job.folder.name)


def describe(mesh: MeshFile, candidate: Candidate, identity: str) -> MeshRow:
    """The manifest's line for a mesh that was read."""
    low, high = bounds(mesh.parts)
    return MeshRow(
        id=identity,
        key=candidate.key,
        name=candidate.name,
        caption=caption(candidate),
        category=candidate.category,
        tags=candidate.tags,
        creator=candidate.creator,
        source=candidate.source,
        licence=candidate.licence,
        faces=mesh.face_count,
        textured=mesh.textured,
        size=tuple(round(float(side), 5) for side in high - low),  # type: ignore[arg-type]
        warnings=tuple(mesh.warnings),
        geometry=geometry_hash(mesh.parts),
        signature=signature(mesh.parts),
    )


def _read(candidate: Candidate) -> MeshFile:
    if candidate.entry is not None:
        return read_entry_mesh(candidate.path, candidate.entry)
    return read_mesh(candidate.path)


def check(mesh: MeshFile) -> None:
    """Raise DataError if there is nothing to draw: no faces, positions that are not numbers, no extent."""
    if mesh.face_count == 0:
        raise DataError("it has no faces", fix="export it as triangles")
    for part in mesh.parts:
        bad = int((~np.isfinite(part.positions)).any(axis=1).sum())
        if bad:
            raise DataError(
                f"{bad} of {len(part.positions)} vertices are not finite numbers", fix="export it again"
            )
    low, high = bounds(mesh.parts)
    sides = np.sort(high - low)
    if not np.isfinite(sides).all() or sides[1] <= 0:
        raise DataError("all its vertices lie on one point or line", fix="export it again")


def _extras(candidate: Candidate) -> dict[str, str]:
    """What travels inside the GLB, so that a file alone still says whose it is."""
    fields = {
        "creator": candidate.creator,
        "licence": candidate.licence,
        "source": candidate.source,
        "key": candidate.key,
    }
    return {name: value for name, value in fields.items() if value}


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()
