"""What is this folder or file, how much is in it, and what is wrong with it?"""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from polyglyph.base.errors import DataError, PolyglyphError
from polyglyph.formats.meshes import MESH_SUFFIXES, read_mesh
from polyglyph.formats.model import MeshFile
from polyglyph.formats.png import decode_image, read_image
from polyglyph.formats.sh3f import read_catalogue
from polyglyph.shape.data.dataset import DATASET_FILE, IMAGES, Dataset, load_dataset
from polyglyph.shape.data.geometry import bounds
from polyglyph.shape.data.get3d_layout import is_get3d_layout
from polyglyph.shape.data.importing import check
from polyglyph.shape.data.manifest import MANIFEST, MESH, SKIPPED, read_manifest, read_rows
from polyglyph.shape.data.sources import find_candidates
from polyglyph.shape.get3d.advice import advice_for_presets

__all__ = ["Kind", "Problem", "Report", "inspect_path"]

Kind = Literal[
    "mesh folder", "dataset", "unfinished dataset", "GET3D layout", "furniture archive", "mesh file",
    "picture", "zip archive", "folder of meshes", "folder of pictures", "empty folder", "unknown",
]  # fmt: skip
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    where: str
    message: str
    fix: str


@dataclass(frozen=True)
class Report:
    """What `inspect_path` found."""

    path: Path
    kind: Kind
    facts: dict[str, str | int | float | bool | dict[str, int]]
    """Counts and properties, in the order to show them."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """Things worth knowing that are not wrong."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def lines(self) -> list[str]:
        """The report for a person."""
        result = [f"{self.path}: {self.kind}"]
        for name, value in self.facts.items():
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
            result.append(f"  {name}: {text}")
        result += [f"  note: {note}" for note in self.notes]
        result += [
            f"  wrong: {problem.where}: {problem.message} (fix: {problem.fix})" for problem in self.problems
        ]
        if not self.problems:
            result.append("  nothing is wrong")
        return result


@dataclass
class _Draft:
    facts: dict[str, str | int | float | bool | dict[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wrong(self, where: str, error: PolyglyphError) -> None:
        self.problems.append(Problem(where, str(error), error.fix))

    def report(self, path: Path, kind: Kind) -> Report:
        return Report(path, kind, self.facts, tuple(self.problems), tuple(self.notes))


def inspect_path(path: Path | str, *, pictures: bool = True) -> Report:
    """Say what `path` is, count what is in it and name what is wrong, each with its fix.

    With `pictures` every picture of a dataset is opened. Damage is an entry in `problems`, never an
    exception; DataError is raised only if nothing is there.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is nothing at `{path}`", fix="check the path")
    if path.is_file():
        return _file(path)
    if (path / DATASET_FILE).is_file() or is_get3d_layout(path):
        return _dataset(path, pictures)
    if (path / IMAGES).is_dir() and (path / ".settings.json").is_file():
        draft = _Draft({"objects begun": sum(1 for _ in (path / IMAGES).iterdir())})
        draft.problems.append(
            Problem(
                path.name, "the rendering was interrupted", "run the same `dataset` command again: it goes on"
            )
        )
        return draft.report(path, "unfinished dataset")
    if (path / MANIFEST).is_file():
        return _mesh_folder(path)
    return _other_folder(path)


def _file(path: Path) -> Report:
    draft = _Draft()
    suffix = path.suffix.lower()
    try:
        if suffix in MESH_SUFFIXES:
            mesh = read_mesh(path)
            check(mesh)
            _describe_mesh(draft, mesh)
            return draft.report(path, "mesh file")
        if suffix in PICTURES:
            height, width, channels = read_image(path).shape
            draft.facts.update({"size": f"{width}x{height}", "transparent": channels == 4})
            return draft.report(path, "picture")
        if suffix == ".sh3f":
            _describe_archive(draft, path)
            return draft.report(path, "furniture archive")
        if zipfile.is_zipfile(path):
            return _zip(path, draft)
    except PolyglyphError as error:
        draft.wrong(path.name, error)
        kind: Kind = (
            "mesh file"
            if suffix in MESH_SUFFIXES
            else "picture"
            if suffix in PICTURES
            else "furniture archive"
        )
        return draft.report(path, kind)
    draft.facts["bytes"] = path.stat().st_size
    draft.problems.append(
        Problem(
            path.name,
            "this is no mesh, picture, archive or dataset",
            f"give one of {', '.join(MESH_SUFFIXES)}, a zip, or a folder",
        )
    )
    return draft.report(path, "unknown")


def _zip(path: Path, draft: _Draft) -> Report:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "PluginFurnitureCatalog.properties" in names:
        _describe_archive(draft, path)
        return draft.report(path, "furniture archive")
    meshes = [name for name in names if name.lower().endswith(MESH_SUFFIXES)]
    draft.facts.update({"files": len(names), "meshes": len(meshes)})
    unsafe = [name for name in names if ".." in Path(name).parts or name.startswith("/")]
    if unsafe:
        draft.problems.append(
            Problem(unsafe[0], "this name points outside the archive", "do not trust this zip")
        )
    if not meshes:
        draft.problems.append(
            Problem(path.name, "it holds no mesh", f"pack {', '.join(MESH_SUFFIXES)} files")
        )
    return draft.report(path, "zip archive")


def _describe_mesh(draft: _Draft, mesh: MeshFile) -> None:
    low, high = bounds(mesh.parts)
    draft.facts.update(
        {
            "parts": len(mesh.parts),
            "faces": mesh.face_count,
            "vertices": sum(len(part.positions) for part in mesh.parts),
            "textured": mesh.textured,
            "size (x y z)": " ".join(f"{side:.4g}" for side in high - low),
        }
    )
    draft.notes.extend(mesh.warnings)


def _describe_archive(draft: _Draft, path: Path) -> None:
    entries = read_catalogue(path)
    draft.facts["models"] = len(entries)
    draft.facts["categories"] = dict(Counter(entry.category for entry in entries).most_common())
    draft.facts["licences"] = dict(Counter(entry.licence for entry in entries).most_common())


def _mesh_folder(path: Path) -> Report:
    draft = _Draft()
    try:
        rows = read_manifest(path)
    except PolyglyphError as error:
        draft.wrong(MANIFEST, error)
        return draft.report(path, "mesh folder")
    draft.facts["meshes"] = len(rows)
    draft.facts["textured"] = sum(row.textured for row in rows)
    draft.facts["faces"] = f"{min(r.faces for r in rows)} to {max(r.faces for r in rows)}"
    draft.facts["categories"] = dict(Counter(row.category or "(none)" for row in rows).most_common(20))
    draft.facts["licences"] = dict(Counter(row.licence or "(unknown)" for row in rows).most_common())
    draft.facts["with warnings"] = sum(bool(row.warnings) for row in rows)
    for row in rows:
        try:
            check(read_mesh(path / row.id / MESH))
        except PolyglyphError as error:
            draft.wrong(f"{row.id}/{MESH}", error)
    if (path / SKIPPED).is_file():
        for value in read_rows(path / SKIPPED):
            draft.notes.append(f"was skipped: {value.get('name')}: {value.get('reason')}")
    extra = sorted(p.name for p in path.iterdir() if p.is_dir() and p.name not in {row.id for row in rows})
    if extra:
        draft.notes.append(
            f"{len(extra)} folders are not in the manifest and are ignored, such as `{extra[0]}`"
        )
    return draft.report(path, "mesh folder")


def _dataset(path: Path, pictures: bool) -> Report:
    draft = _Draft()
    kind: Kind = "dataset" if (path / DATASET_FILE).is_file() else "GET3D layout"
    try:
        dataset = load_dataset(path)
    except PolyglyphError as error:
        draft.wrong(path.name, error)
        return draft.report(path, kind)
    angles = dataset.angles()
    draft.facts["objects"] = len(dataset.ids)
    draft.facts["pictures"] = len(angles)
    draft.facts["resolution"] = dataset.stored_resolution
    draft.facts["split"] = {name: len(members) for name, members in dataset.split.items()}
    draft.facts["azimuth"] = f"{angles[:, 0].min():.1f} to {angles[:, 0].max():.1f} degrees"
    draft.facts["elevation"] = f"{angles[:, 1].min():.1f} to {angles[:, 1].max():.1f} degrees"
    if dataset.split.get("train"):
        draft.notes.extend(advice_for_presets(dataset.stored_resolution, len(dataset.index("train"))))
    for name, members in dataset.split.items():
        if not members:
            draft.notes.append(f"the split `{name}` is empty")
    if pictures:
        _check_pictures(draft, dataset)
    return draft.report(path, kind)


def _check_pictures(draft: _Draft, dataset: Dataset) -> None:
    """Open every picture: damaged ones, wrong sizes, empty ones, objects cut off by the border."""
    empty, cut = [], []
    for identity, view in dataset.index():
        try:
            alpha = dataset.image(identity, view)[..., 3]
        except PolyglyphError as error:
            draft.wrong(f"{identity} view {view}", error)
            continue
        if not alpha.any():
            empty.append(f"{identity} view {view}")
        elif max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) > 127:
            cut.append(identity)
    if empty:
        draft.problems.append(
            Problem(
                empty[0],
                f"{len(empty)} pictures show nothing at all",
                "look at the mesh with `polyglyph render`, or leave it out",
            )
        )
    if cut:
        draft.notes.append(f"{len(set(cut))} objects touch the picture's border, such as `{cut[0]}`")


def _other_folder(path: Path) -> Report:
    draft = _Draft()
    if not any(path.iterdir()):
        draft.problems.append(
            Problem(path.name, "the folder is empty", "put meshes into it, or give another folder")
        )
        return draft.report(path, "empty folder")
    try:
        candidates = find_candidates(path, source=path.name)
    except PolyglyphError as error:
        draft.wrong(path.name, error)
        return draft.report(path, "unknown")
    if candidates:
        draft.facts["meshes"] = len(candidates)
        archives = {c.path.name for c in candidates if c.entry is not None}
        if archives:
            draft.facts["furniture archives"] = len(archives)
        draft.notes.append(f"make a mesh folder of it with `polyglyph import {path} NEW_FOLDER`")
        for candidate in candidates:
            if candidate.entry is None:
                try:
                    check(read_mesh(candidate.path))
                except PolyglyphError as error:
                    draft.wrong(candidate.key, error)
        return draft.report(path, "folder of meshes")
    images = [p for p in path.rglob("*") if p.suffix.lower() in PICTURES]
    if images:
        draft.facts["pictures"] = len(images)
        try:
            decode_image(images[0].read_bytes(), str(images[0]))
        except PolyglyphError as error:
            draft.wrong(images[0].name, error)
        draft.problems.append(
            Problem(
                path.name,
                "there are pictures but no cameras",
                "GET3D's layout needs `img` and `camera` folders; or render meshes with `polyglyph dataset`",
            )
        )
        return draft.report(path, "folder of pictures")
    draft.problems.append(
        Problem(
            path.name,
            "no mesh, picture, manifest or dataset was found",
            f"give a folder with {', '.join(MESH_SUFFIXES)} or .sh3f files",
        )
    )
    return draft.report(path, "unknown")
