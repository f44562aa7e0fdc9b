"""Where meshes are found: folders, zips, furniture archives, ShapeNet's layout. Only names are read here."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from polyglyph.base.errors import DataError
from polyglyph.formats.meshes import MESH_SUFFIXES
from polyglyph.formats.sh3f import FurnitureEntry, read_catalogue
from polyglyph.shape.data.config import ImportConfig

__all__ = ["Candidate", "caption", "find_candidates", "open_source", "select"]


SHAPENET = {
    "02691156": "airplane", "02747177": "trash bin", "02773838": "bag", "02801938": "basket",
    "02808440": "bathtub", "02818832": "bed", "02828884": "bench", "02834778": "bicycle",
    "02843684": "birdhouse", "02871439": "bookshelf", "02876657": "bottle", "02880940": "bowl",
    "02924116": "bus", "02933112": "cabinet", "02942699": "camera", "02946921": "can",
    "02954340": "cap", "02958343": "car", "02992529": "mobile phone", "03001627": "chair",
    "03046257": "clock", "03085013": "keyboard", "03207941": "dishwasher", "03211117": "display",
    "03261776": "earphone", "03325088": "faucet", "03337140": "file cabinet", "03467517": "guitar",
    "03513137": "helmet", "03593526": "jar", "03624134": "knife", "03636649": "lamp",
    "03642806": "laptop", "03691459": "loudspeaker", "03710193": "mailbox", "03759954": "microphone",
    "03761084": "microwave", "03790512": "motorbike", "03797390": "mug", "03928116": "piano",
    "03938244": "pillow", "03948459": "pistol", "03991062": "flowerpot", "04004475": "printer",
    "04074963": "remote control", "04090263": "rifle", "04099429": "rocket", "04225987": "skateboard",
    "04256520": "sofa", "04330267": "stove", "04379243": "table", "04401088": "telephone",
    "04460130": "tower", "04468005": "train", "04530566": "watercraft", "04554684": "washing machine",
}  # fmt: skip
"""WordNet synsets of ShapeNetCore; a `taxonomy.json` beside the synset folders adds others."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A mesh that may be imported: what is known of it before it is opened."""

    path: Path
    """The mesh file, or the archive that holds it."""
    key: str
    name: str
    category: str = ""
    tags: tuple[str, ...] = ()
    creator: str = ""
    source: str = ""
    licence: str = ""
    entry: FurnitureEntry | None = None
    """The catalogue's entry when `path` is a furniture archive."""

    @property
    def text(self) -> str:
        """What `--match` and `--exclude` look at, one property a line."""
        return "\n".join((self.name, self.category, ", ".join(self.tags), caption(self)))


def caption(candidate: Candidate) -> str:
    """Name, category and tags as one line, nothing said twice: `stool, kitchen, chair, seat`."""
    words, said = [], set()
    for phrase in (candidate.name, candidate.category, *candidate.tags):
        plain = " ".join(phrase.lower().split())
        if plain and plain not in said and plain.replace(" ", "") not in _PROVENANCE:
            words.append(plain)
            said.add(plain)
    return ", ".join(words)


_PROVENANCE = {"blendswap", "miscellaneous"}  # tags of the furniture archives that describe no shape


@contextlib.contextmanager
def open_source(source: Path, *, scratch: Path) -> Iterator[Path]:
    """The folder or furniture archive to look in; a zip is unpacked into a folder that goes away.

    `scratch` is an existing folder on the disk to unpack on. Raises DataError for a missing path, a file
    that holds no meshes, or a zip with an unsafe name in it.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"there is nothing at `{source}`", fix="check the path")
    if source.is_dir() or not zipfile.is_zipfile(source):
        if source.is_file() and source.suffix.lower() not in MESH_SUFFIXES:
            raise DataError(
                f"`{source}` is neither a folder, a zip, a furniture archive nor a mesh",
                fix=f"give a folder, a `.zip`, a `.sh3f`, or one of {', '.join(MESH_SUFFIXES)}",
            )
        yield source
        return
    if _is_catalogue(source):
        yield source
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".unzipped.") as folder:
        _unzip(source, Path(folder))
        yield Path(folder)


def _is_catalogue(path: Path) -> bool:
    """Whether a file is a furniture archive, whatever it is called."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "PluginFurnitureCatalog.properties" in archive.namelist()


def _unzip(path: Path, folder: Path) -> None:
    """Unpack `path`, refusing names that leave `folder`, links, and more bytes than the disk has."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = 0
            for info in archive.infolist():
                name = PurePosixPath(info.filename.replace("\\", "/"))
                linked = stat.S_ISLNK(info.external_attr >> 16)
                if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or linked:
                    raise DataError(
                        f"`{path.name}` holds `{info.filename}`, which points outside the archive",
                        fix="do not trust this zip; unpack it by hand and import the folder",
                    )
                total += info.file_size
            if total > shutil.disk_usage(folder).free * 0.9:
                raise DataError(
                    f"`{path.name}` unpacks to {total / 1e9:.1f} GB, more than the disk has free",
                    fix="free some space, or choose an output folder on another disk",
                )
            archive.extractall(folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as problem:
        raise DataError(
            f"`{path}` cannot be unpacked: {problem}", fix="download or pack the zip again"
        ) from None


def find_candidates(root: Path, *, source: str) -> list[Candidate]:
    """Every mesh under `root` (a folder, a furniture archive, or one mesh file), in a fixed order.

    `source` is the name that is written to the manifest for meshes in plain folders.
    """
    root = Path(root)
    if root.is_file():
        return _from_catalogue(root) if _is_catalogue(root) else [_from_file(root, root.parent, source, {})]
    taxonomy = _taxonomy(root)
    found: list[Candidate] = []
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)
        if hidden or not path.is_file():
            continue
        if path.suffix.lower() in MESH_SUFFIXES:
            found.append(_from_file(path, root, source, taxonomy))
        elif path.suffix.lower() == ".sh3f":
            found.extend(_from_catalogue(path))
    return found


def _from_catalogue(path: Path) -> list[Candidate]:
    return [
        Candidate(
            path=path,
            key=entry.id,
            name=entry.name,
            category=entry.category,
            tags=tuple(tag for tag in entry.tags if tag.replace(" ", "").lower() not in _PROVENANCE),
            creator=entry.creator,
            source=path.name,
            licence=entry.licence,
            entry=entry,
        )
        for entry in read_catalogue(path)
    ]


def _from_file(path: Path, root: Path, source: str, taxonomy: dict[str, str]) -> Candidate:
    """Key and name from where the file lies; ShapeNet's `SYNSET/MODEL/[models/]NAME.obj` is recognised."""
    relative = path.relative_to(root)
    folders = [part for part in relative.parts[:-1] if part != "models"]
    if root.name in taxonomy or re.fullmatch(r"\d{8}", root.name):
        folders = [root.name, *folders]
    synset = next((part for part in folders if part in taxonomy or re.fullmatch(r"\d{8}", part)), None)
    if synset is not None and folders.index(synset) + 1 < len(folders):
        model = folders[folders.index(synset) + 1]
        category = taxonomy.get(synset, synset)
        return Candidate(
            path=path, key=f"{synset}/{model}", name=category, category=category, source="ShapeNet"
        )
    plain = path.stem.lower() in ("model", "mesh", "scene", "model_normalized", "untitled", "source")
    name = folders[-1] if plain and folders else path.stem
    words = " ".join(re.sub(r"[_\-.]+", " ", re.sub(r"^\d{4}_", "", name)).split())
    return Candidate(path=path, key=relative.as_posix(), name=words or "mesh", source=source)


def _taxonomy(root: Path) -> dict[str, str]:
    """Synset names: ShapeNetCore's, and those of a `taxonomy.json` in `root`."""
    names = dict(SHAPENET)
    path = root / "taxonomy.json"
    if path.is_file():
        try:
            for row in json.loads(path.read_text(encoding="utf-8")):
                names.setdefault(str(row["synsetId"]), str(row["name"]).split(",")[0])
        except (ValueError, KeyError, TypeError) as problem:
            raise DataError(
                f"`{path}` is not ShapeNet's taxonomy: {problem!r}",
                fix="restore it, or delete it to use the known names",
            ) from None
    return names


def select(candidates: list[Candidate], config: ImportConfig) -> list[Candidate]:
    """Those that `category`, `match`, `exclude` and `limit` leave, in order.

    Raises DataError, naming the nearest thing there is, when none is left.
    """
    kept = []
    for candidate in candidates:
        if config.category is not None:
            if not candidate.category:
                candidate = replace(candidate, category=config.category)
            elif candidate.category.lower() != config.category.lower():
                continue
        if config.match is not None and not re.search(config.match, candidate.text, re.IGNORECASE):
            continue
        if config.exclude is not None and re.search(config.exclude, candidate.text, re.IGNORECASE):
            continue
        kept.append(candidate)
    if not kept:
        known = sorted({candidate.category for candidate in candidates if candidate.category})
        raise DataError(
            f"none of the {len(candidates)} meshes fits the options given",
            fix="loosen `--category`, `--match` or `--exclude`"
            + (f"; categories here: {', '.join(known[:20])}" if known else ""),
        )
    return kept[: config.limit]
