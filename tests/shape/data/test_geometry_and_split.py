import dataclasses
import json
from itertools import chain

import numpy as np
import pytest

from polyglyph.base.errors import DataError
from polyglyph.shape.data.geometry import geometry_hash, signature, signature_bits
from polyglyph.shape.data.manifest import MeshRow
from polyglyph.shape.data.procedural.make import build
from polyglyph.shape.data.split import (
    committed_groups,
    committed_split,
    furniture_split,
    group_duplicates,
    make_split,
    read_split,
    split_rows,
)


def row(number, parts, *, name="thing", key=None, category="x"):
    low = np.min([part.positions.min(axis=0) for part in parts], axis=0)
    high = np.max([part.positions.max(axis=0) for part in parts], axis=0)
    return MeshRow(
        id=f"{number:04d}_{name}",
        key=key or f"k{number}",
        name=name,
        caption=name,
        category=category,
        size=tuple(float(x) for x in high - low),
        geometry=geometry_hash(parts),
        signature=signature(parts),
    )


def turned(parts, degrees, scale=1.0):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) * scale
    return [dataclasses.replace(p, positions=(p.positions @ matrix.T).astype(np.float32)) for p in parts]


@pytest.fixture(scope="module")
def chairs():
    return [build("chair", number, texture_resolution=8)[0] for number in range(12)]


def test_the_hash_ignores_place_size_and_order_but_not_shape(make_box):
    one = make_box((1, 2, 3))
    moved = dataclasses.replace(one, positions=one.positions * 7 + 5)
    order = np.random.default_rng(0).permutation(len(one.positions))
    shuffled = dataclasses.replace(
        one, positions=one.positions[order], faces=np.argsort(order)[one.faces].astype(np.int32)
    )
    assert geometry_hash([one]) == geometry_hash([moved]) == geometry_hash([shuffled])
    assert geometry_hash([one]) != geometry_hash([make_box((1, 2, 3.1))])


def test_the_signature_marks_the_cells_of_the_surface_only(make_box):
    grid = signature_bits(signature([make_box((1, 1, 1))]))
    assert grid.shape == (15, 15, 15)
    assert not grid[1:-1, 1:-1, 1:-1].any()
    assert grid[0].all()
    assert grid[:, -1].all()


def test_a_turned_resized_chair_is_grouped_with_the_chair_and_others_are_not(chairs):
    rows = [row(number, parts) for number, parts in enumerate(chairs)]
    rows.append(row(12, turned(chairs[4], 90, 0.5)))
    groups = [group for group in group_duplicates(rows) if len(group) > 1]
    assert groups == [[4, 12]]


def test_a_slightly_changed_chair_of_another_name_is_grouped(chairs):
    changed = [
        dataclasses.replace(p, positions=p.positions * np.float32([1.01, 1.0, 0.995])) for p in chairs[4]
    ]
    rows = [row(0, chairs[4], name="chair"), row(1, changed, name="throne"), row(2, chairs[5], name="stool")]
    assert rows[0].geometry != rows[1].geometry
    assert group_duplicates(rows) == [[0, 1], [2]]


def test_boxes_of_other_proportions_are_not_one_shape(make_box):
    sizes = [(1, 1, 1), (1, 2, 1), (1, 1.04, 1)]
    rows = [row(number, [make_box(size)]) for number, size in enumerate(sizes)]
    assert len({item.signature for item in rows}) == 1
    assert group_duplicates(rows) == [[0, 2], [1]]


def test_a_split_holds_every_key_once_near_its_fractions_with_groups_whole():
    random = np.random.default_rng(1)
    sizes = random.integers(1, 4, 150)
    groups = [[f"g{number}_{k}" for k in range(size)] for number, size in enumerate(sizes)]
    split = make_split(groups, seed=3)
    everything = sorted(chain(*split.values()))
    assert everything == sorted(chain(*groups))
    for name, share in zip(("train", "val", "test"), (0.7, 0.1, 0.2), strict=True):
        assert abs(len(split[name]) / len(everything) - share) < 0.01
    side = {key: name for name, keys in split.items() for key in keys}
    assert all(len({side[key] for key in group}) == 1 for group in groups)


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    groups = [[f"k{number}"] for number in range(50)]
    assert make_split(groups, seed=0) == make_split(groups[::-1], seed=0)
    assert make_split(groups, seed=0) != make_split(groups, seed=1)


def test_strata_keep_their_fractions():
    strata = {f"k{number}": "rare" if number < 20 else "common" for number in range(200)}
    split = make_split([[key] for key in strata], strata=strata)
    rare = [sum(strata[key] == "rare" for key in split[name]) for name in ("train", "val", "test")]
    assert rare == [14, 2, 4]


def test_the_committed_split_is_whole():
    split = committed_split()
    keys = list(chain(*split.values()))
    assert len(keys) == len(set(keys)) == 820
    assert [round(len(split[name]) / 820, 2) for name in ("train", "val", "test")] == [0.7, 0.1, 0.2]
    side = {key: name for name, members in split.items() for key in members}
    groups = committed_groups()
    assert len(groups) > 20
    assert all(len({side[key] for key in group}) == 1 for group in groups)
    assert {key.split("#")[0] for key in keys} == {
        "Blend Swap CC-0",
        "Blend Swap CC-BY",
        "Kator Legaz",
        "Reallusion",
        "Scopia",
    }


def test_the_function_that_makes_the_committed_split_is_deterministic(chairs):
    rows = [row(n, parts, key=f"a#{n}", category=f"c{n % 2}") for n, parts in enumerate(chairs)]
    first, second = furniture_split(rows), furniture_split(rows[::-1])
    assert first == second
    assert json.dumps(first)


def test_known_meshes_go_where_the_committed_split_says_and_copies_follow(chairs):
    committed = committed_split()
    known = row(0, chairs[0], key=committed["test"][0])
    copy = row(1, turned(chairs[0], 180), key="my own")
    free = row(2, chairs[1], key="other")
    split = split_rows([known, copy, free])
    assert split["test"][:2] == [known.id, copy.id]
    assert sum(map(len, split.values())) == 3


def test_a_split_file_that_lacks_a_mesh_is_refused(tmp_path, chairs):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"train": ["k0"], "val": [], "test": []}))
    rows = [row(0, chairs[0]), row(1, chairs[1])]
    assert split_rows(rows[:1], path=path)["train"] == [rows[0].id]
    with pytest.raises(DataError, match="k1"):
        split_rows(rows, path=path)


@pytest.mark.parametrize(
    "value",
    [[], {"train": []}, {"train": ["a"], "val": ["a"], "test": []}, {"train": [3], "val": [], "test": []}],
)
def test_a_damaged_split_file_is_refused(tmp_path, value):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError):
        read_split(path)
