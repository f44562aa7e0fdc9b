"""Which meshes are for training, validation and test: seeded, and near-duplicates never apart.

Two meshes are near-duplicates when their geometry is equal, or when the ratios of their sides agree and their
surfaces pass through almost the same cells, under one of the eight symmetries of the ground plane; less
agreement is enough where the names agree, numbers aside. Near-duplicates are joined into groups, and a group
goes to one side as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from polyglyph.base.errors import DataError
from polyglyph.base.files import read_json, write_json
from polyglyph.shape.data.geometry import CELLS, THINNEST, signature_bits
from polyglyph.shape.data.manifest import MeshRow

__all__ = [
    "FRACTIONS",
    "SPLITS",
    "SPLIT_FILE",
    "committed_split",
    "furniture_split",
    "group_duplicates",
    "make_split",
    "read_split",
    "split_rows",
    "write_split",
]

SPLITS = ("train", "val", "test")
SPLIT_FILE = "split.json"
FRACTIONS = (0.7, 0.1, 0.2)
SAME_SHAPE = 0.85
"""Overlap (intersection over union of occupied cells) from which two meshes are one shape."""
SAME_NAME_SHAPE = 0.65
"""The same for two meshes whose names agree."""
SAME_SIDES = 1.12
"""Largest factor between corresponding ratios of sides."""


def group_duplicates(rows: Sequence[MeshRow]) -> list[list[int]]:
    """Positions in `rows`, grouped so that near-duplicates are together; in order of their first member."""
    parent = list(range(len(rows)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(first: int, second: int) -> None:
        low, high = sorted((find(first), find(second)))
        parent[high] = low

    seen: dict[str, int] = {}
    for index, row in enumerate(rows):
        if row.geometry:
            join(seen.setdefault(row.geometry, index), index)
    signed = [index for index, row in enumerate(rows) if row.signature]
    if len(signed) > 1:
        sizes = np.array([rows[index].size for index in signed], dtype=np.float64)
        overlap = _overlaps(np.stack([signature_bits(rows[index].signature) for index in signed]), sizes)
        names = [_plain_name(rows[index].name) for index in signed]
        for first, second in np.argwhere(np.triu(overlap, 1) >= SAME_NAME_SHAPE):
            if overlap[first, second] >= SAME_SHAPE or names[first] == names[second]:
                join(signed[first], signed[second])
    groups: dict[int, list[int]] = {}
    for index in range(len(rows)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())


def _overlaps(grids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Best intersection over union of each pair over turns by 90° around Y and the mirror in X. [M, M]

    0 where the ratios of sides disagree.
    """
    flat = grids.reshape(len(grids), CELLS**3).astype(np.float32)
    counts = flat.sum(axis=1)
    ratios = np.log(np.maximum(sizes / np.maximum(sizes.max(axis=1, keepdims=True), 1e-12), THINNEST))
    best = np.zeros((len(grids), len(grids)), dtype=np.float32)
    for turns in range(4):
        turned_ratios = ratios[:, ::-1] if turns % 2 else ratios
        apart = np.abs(ratios[:, None] - turned_ratios[None]).max(axis=2)
        for mirrored in (grids, grids[:, ::-1]):
            turned = np.rot90(mirrored, turns, axes=(1, 3)).reshape(len(grids), CELLS**3).astype(np.float32)
            common = flat @ turned.T
            overlap = common / np.maximum(counts[:, None] + counts[None, :] - common, 1)
            best = np.maximum(best, np.where(apart <= np.log(SAME_SIDES), overlap, 0))
    return np.maximum(best, best.T)


def _plain_name(name: str) -> str:
    return " ".join(re.sub(r"[\d_]+", " ", name.lower()).split())


def make_split(
    groups: Iterable[Sequence[str]],
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    strata: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Divide groups of keys into `train`, `val` and `test`, each group whole.

    Groups are taken in an order that depends on the seed and their keys alone, and each goes where the
    share is furthest below its fraction; with `strata` (a label for each key) the fractions hold within
    each label as well as groups allow. Keys come back sorted.
    """
    by_label: dict[str, list[list[str]]] = {}
    for group in groups:
        members = sorted(group)
        label = "" if strata is None else strata.get(members[0], "")
        by_label.setdefault(label, []).append(members)
    split: dict[str, list[str]] = {name: [] for name in SPLITS}
    for label in sorted(by_label):
        # large groups first, while every share still has room for them
        ordered = sorted(by_label[label], key=lambda group: (-len(group), _rank(group[0], seed)))
        total = sum(len(group) for group in ordered)
        counts = [0, 0, 0]
        for group in ordered:
            lacks = [fraction * total - count for fraction, count in zip(fractions, counts, strict=True)]
            fitting = [index for index in range(3) if lacks[index] >= len(group) * 0.5]
            # at random among the shares with room, in proportion to the room: not always `train` first
            choice = (
                _pick(fitting, lacks, _rank(group[0] + "\nside", seed)) if fitting else int(np.argmax(lacks))
            )
            counts[choice] += len(group)
            split[SPLITS[choice]].extend(group)
    return {name: sorted(keys) for name, keys in split.items()}


def _rank(key: str, seed: int) -> float:
    """A number in [0, 1) from a key and the seed, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode()).digest()[:7], "big") / 2**56


def _pick(options: list[int], weights: list[float], at: float) -> int:
    total = sum(weights[option] for option in options)
    for option in options:
        at -= weights[option] / total
        if at < 0:
            return option
    return options[-1]


def split_rows(rows: Sequence[MeshRow], *, seed: int = 0, path: Path | None = None) -> dict[str, list[str]]:
    """Ids of `rows` by split: from the file `path`, else from the committed split, the rest divided 70/10/20.

    A mesh that the committed split does not know but that is a near-duplicate of one it does goes with it.
    Raises DataError if a given file lacks a mesh.
    """
    if path is not None:
        sides = _sides(read_split(path))
        missing = [row.key for row in rows if row.key not in sides and row.id not in sides]
        if missing:
            raise DataError(
                f"`{path}` lacks {len(missing)} of {len(rows)} meshes, such as `{missing[0]}`",
                fix="add them, or leave `--split` out",
            )
        return _collect((row.id, sides.get(row.key, sides.get(row.id, ""))) for row in rows)
    known = _sides(committed_split())
    chosen: dict[str, str] = {}
    free: list[list[str]] = []
    for group in group_duplicates(rows):
        sides = sorted({known[rows[index].key] for index in group if rows[index].key in known})
        if not sides:
            free.append([rows[index].id for index in group])
            continue
        for index in group:
            chosen[rows[index].id] = known.get(rows[index].key, sides[0])
    rest = make_split(free, seed=seed)
    chosen.update((identity, name) for name, ids in rest.items() for identity in ids)
    return _collect((row.id, chosen[row.id]) for row in rows)


def _sides(split: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {key: name for name, keys in split.items() for key in keys}


def _collect(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    split: dict[str, list[str]] = {name: [] for name in SPLITS}
    for identity, name in pairs:
        split[name].append(identity)
    return split


def write_split(path: Path, split: Mapping[str, Sequence[str]]) -> None:
    """Write `split.json`: three lists of ids."""
    write_json(path, {name: list(split[name]) for name in SPLITS})


def read_split(path: Path) -> dict[str, list[str]]:
    """The three lists of a split file.

    Raises DataError if one is missing, an id is not text, or an id is on two sides.
    """
    return _checked(read_json(Path(path)), str(path))


def _checked(value: Any, where: str) -> dict[str, list[str]]:
    unknown = sorted(set(value) - set(SPLITS) - {"groups"}) if isinstance(value, dict) else ["not an object"]
    if unknown or not all(isinstance(value.get(name), list) for name in SPLITS):
        raise DataError(
            f"`{where}` does not hold exactly the lists `train`, `val` and `test`",
            fix="delete it and run the `dataset` command again",
        )
    seen: set[str] = set()
    for name in SPLITS:
        for identity in value[name]:
            if not isinstance(identity, str) or identity in seen:
                raise DataError(
                    f"`{where}` has `{identity}` twice, or it is not text", fix="name each id once"
                )
            seen.add(identity)
    return {name: value[name] for name in SPLITS}


def committed_split() -> dict[str, list[str]]:
    """The split of the furniture archives that ships with the package, by catalogue id."""
    return _checked(_committed(), "splits/furniture.json")


def committed_groups() -> list[list[str]]:
    """Groups of near-duplicates (two or more catalogue ids each) in the furniture archives."""
    return _committed()["groups"]


def _committed() -> Any:
    folder = resources.files("polyglyph.shape.data") / "splits" / "furniture.json"
    with resources.as_file(folder) as path:
        return read_json(path)


def furniture_split(rows: Sequence[MeshRow]) -> dict[str, Any]:
    """What `splits/furniture.json` holds, from the manifest of all five furniture archives.

    Seats (by name or tag) and each catalogue category are divided 70/10/20 on their own.
    """
    groups = [[rows[index].key for index in group] for group in group_duplicates(rows)]
    strata = {}
    for row in rows:
        seat = re.search("chair|stool|seat", " ".join((row.name, *row.tags)), re.IGNORECASE)
        strata[row.key] = "Seat" if seat else row.category
    split: dict[str, Any] = dict(make_split(groups, seed=0, strata=strata))
    split["groups"] = sorted(sorted(group) for group in groups if len(group) > 1)
    return split
