"""Collapses that keep a surface a surface."""

import numpy as np
import pytest

from polyglyph.scene.clean import decimate, validity
from polyglyph.scene.collapses import sound_collapses

TETRAHEDRON = np.int32([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def with_handles():
    """A surface of genus 5 with thin struts: the outside of a lattice of cells, staircase and all."""
    solid = np.zeros((11, 13, 11), dtype=bool)
    solid[1:10, 1:3, 1:10] = solid[1:10, 10:12, 1:10] = True
    for x, z in ((1, 1), (9, 1), (1, 9), (9, 9), (5, 5), (5, 1)):
        solid[x, 3:10, z] = True
    faces, index = [], {}

    def corner(point):
        return index.setdefault(tuple(point), len(index))

    for axis in range(3):
        other = [(axis + 1) % 3, (axis + 2) % 3]
        for cell in np.argwhere(solid):
            for side in (0, 1):
                beyond = cell.copy()
                beyond[axis] += 2 * side - 1
                if solid[tuple(beyond)]:
                    continue
                quad = []
                for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
                    point = cell.copy()
                    point[axis] += side
                    point[other[0]] += a
                    point[other[1]] += b
                    quad.append(corner(point))
                a, b, c, d = quad if side else quad[::-1]
                faces += [[a, b, c], [a, c, d]]
    return np.array(list(index), dtype=np.float32) / 10, np.array(faces, dtype=np.int32)


@pytest.mark.parametrize("limit", [400, 200, 120])
def test_decimation_keeps_thin_struts_closed_manifold_and_of_the_same_genus(limit):
    positions, faces = with_handles()
    before = validity(positions, faces)
    assert before.solid
    assert before.euler == 2 - 2 * 5
    less = decimate(positions, faces, limit)
    after = validity(less.positions, less.faces)
    assert len(less.faces) <= limit
    assert after.closed
    assert after.manifold
    assert after.oriented
    assert after.duplicate_faces == 0
    assert (after.euler, after.components) == (before.euler, before.components)


def test_a_decimated_sphere_stays_where_it_was(shapes):
    positions, faces = shapes["sphere"](24, 1.0)
    less = decimate(positions, faces, 300)
    radius = np.linalg.norm(less.positions, axis=1)
    assert radius.min() > 0.95
    assert radius.max() < 1.1


def test_a_tetrahedron_is_the_least_that_a_closed_surface_becomes(shapes):
    done, kept = sound_collapses(TETRAHEDRON, np.int32([[0, 1], [2, 3]]), 2)
    assert len(done) == 0
    np.testing.assert_array_equal(kept, TETRAHEDRON)
    _, faces = shapes["box"]()
    every = np.int32([[a, b] for b in range(7, 0, -1) for a in range(b)])
    _, kept = sound_collapses(faces, every, 1)
    assert len(kept) == 4
    assert len(np.unique(kept)) == 4


def test_a_collapse_across_a_waist_is_left_out_and_later_ones_are_done():
    """A prism of two storeys, rings 012, 345, 678 with caps: the middle ring's edges bound no face."""
    faces = [[0, 2, 1], [6, 7, 8]]
    for low, high in ((0, 3), (3, 6)):
        for k in range(3):
            a, b = low + k, low + (k + 1) % 3
            c, d = high + k, high + (k + 1) % 3
            faces += [[a, b, d], [a, d, c]]
    faces = np.int32(faces)
    done, _ = sound_collapses(faces, np.int32([[3, 4]]), 1)
    assert len(done) == 0
    done, kept = sound_collapses(faces, np.int32([[3, 4], [0, 3]]), 1)
    assert done.tolist() == [[0, 3]]
    assert len(kept) == len(faces) - 2


def test_borders_stay_borders():
    """A strip two faces wide: an edge from border to border is not collapsed, one along a border is."""
    faces = np.int32([[0, 1, 3], [0, 3, 2], [2, 3, 5], [2, 5, 4]])
    done, _ = sound_collapses(faces, np.int32([[2, 3]]), 1)
    assert len(done) == 0
    done, kept = sound_collapses(faces, np.int32([[2, 4]]), 1)
    assert done.tolist() == [[2, 4]]
    assert len(kept) == 3


def test_an_open_surface_is_decimated_too(shapes):
    positions, faces = shapes["torus"](48, 24)
    half = faces[positions[faces][:, :, 0].min(1) >= 0]
    less = decimate(positions, half, 500)
    after = validity(less.positions, less.faces)
    assert len(less.faces) <= 500
    assert after.manifold
    assert not after.closed
