"""Faces that pass through each other, compared with all pairs one by one."""

import itertools

import numpy as np
import pytest

from polyglyph.scene.self_intersection import self_intersections


def volume(a, b, c, d):
    return float(np.linalg.det(np.stack([b - a, c - a, d - a])))


def crosses(p, q, a, b, c):
    turns = [volume(p, q, *pair) for pair in ((a, b), (b, c), (c, a))]
    one_way = all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)
    return one_way and volume(p, a, b, c) * volume(q, a, b, c) < 0


def by_definition(positions, faces):
    found = []
    for i, j in itertools.combinations(range(len(faces)), 2):
        shared = set(faces[i]) & set(faces[j])
        if len(shared) > 1:
            continue
        for f, g in ((i, j), (j, i)):
            for k in range(3):
                ends = faces[f][k], faces[f][(k + 1) % 3]
                if not set(ends) & shared and crosses(*positions[list(ends)], *positions[faces[g]]):
                    found.append((i, j))
    return sorted(set(found))


def test_pairs_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    positions = rng.random((40, 3))
    faces = np.stack([rng.choice(40, 3, replace=False) for _ in range(60)])
    expected = by_definition(positions, faces)
    assert len(expected) > 50
    assert [tuple(pair) for pair in self_intersections(positions, faces).tolist()] == expected


@pytest.mark.parametrize("name", ["box", "sphere", "torus"])
def test_sound_shapes_have_none_even_with_doubled_vertices(name, shapes):
    positions, faces = shapes[name]()
    assert len(self_intersections(positions, faces)) == 0
    soup = positions[faces.reshape(-1)]
    assert len(self_intersections(soup, np.arange(len(soup)).reshape(-1, 3))) == 0


def test_two_spheres_that_overlap_cross_all_along_a_circle(shapes):
    positions, faces = shapes["sphere"](12)
    both = np.concatenate([positions, positions + np.float32([0.9, 0.11, 0.07])])
    pairs = self_intersections(both, np.concatenate([faces, faces + len(positions)]))
    assert len(pairs) > 20
    assert (pairs[:, 0] < len(faces)).all()
    assert (pairs[:, 1] >= len(faces)).all()
    apart = np.concatenate([positions, positions + np.float32([2.1, 0, 0])])
    assert len(self_intersections(apart, np.concatenate([faces, faces + len(positions)]))) == 0


def test_one_face_among_many_small_ones_is_found_whatever_its_size(shapes):
    positions, faces = shapes["sphere"](16)
    slab = np.float32([[-5, 0.21, -5], [5, 0.21, -5], [0, 0.21, 9]])
    pairs = self_intersections(
        np.concatenate([positions, slab]), np.concatenate([faces, [[len(positions) + k for k in range(3)]]])
    )
    height = positions[faces][..., 1]
    expected = np.flatnonzero((height.min(1) < 0.21) & (height.max(1) > 0.21))
    np.testing.assert_array_equal(pairs[:, 0], expected)
    assert (pairs[:, 1] == len(faces)).all()


def test_touching_is_no_crossing():
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, 0], [1, 1, 1], [0, 1, 1]])
    assert len(self_intersections(corners, np.int32([[0, 1, 2], [3, 4, 5]]))) == 0
    corners[3, 2] = -0.1
    assert len(self_intersections(corners, np.int32([[0, 1, 2], [3, 4, 5]]))) == 1
