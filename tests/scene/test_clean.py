import numpy as np
import pytest

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.scene.clean import components, decimate, largest_parts, merge, validity


def joined(*shapes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    start, positions, faces = 0, [], []
    for p, f in shapes:
        positions.append(p)
        faces.append(f + start)
        start += len(p)
    return np.concatenate(positions), np.concatenate(faces).astype(np.int32)


@pytest.mark.parametrize(("name", "euler"), [("box", 2), ("sphere", 2), ("torus", 0)])
def test_closed_shapes_are_solid_with_the_right_euler_number(name, euler, shapes):
    report = validity(*shapes[name]())
    assert report.solid
    assert report.euler == euler
    assert report.components == 1


def test_vertices_doubled_for_their_normals_do_not_open_a_box(shapes):
    positions, faces = shapes["box"]()
    report = validity(positions[faces.reshape(-1)], np.arange(36, dtype=np.int32).reshape(-1, 3))
    assert report.solid
    assert report.vertices == 8


def test_a_missing_face_is_three_boundary_edges(shapes):
    positions, faces = shapes["sphere"]()
    report = validity(positions, faces[1:])
    assert report.boundary_edges == 3
    assert not report.closed
    assert report.manifold
    assert report.oriented


def test_a_turned_face_is_misoriented(shapes):
    positions, faces = shapes["sphere"]()
    faces[5] = faces[5, ::-1]
    report = validity(positions, faces)
    assert report.misoriented_edges == 3
    assert report.closed
    assert not report.oriented


def test_a_fin_makes_an_edge_nonmanifold(shapes):
    positions, faces = shapes["box"]()
    positions = np.concatenate([positions, [[3, 3, 3]]]).astype(np.float32)
    faces = np.concatenate([faces, [[faces[0, 0], faces[0, 1], 8]]]).astype(np.int32)
    report = validity(positions, faces)
    assert report.nonmanifold_edges == 1
    assert not report.manifold


def test_two_boxes_that_touch_in_a_corner_share_a_nonmanifold_vertex(shapes):
    positions, faces = shapes["box"]()
    report = validity(*joined((positions, faces), (positions + 1, faces)))
    assert report.nonmanifold_vertices == 1
    assert report.nonmanifold_edges == 0
    assert report.components == 1
    assert not report.manifold
    assert report.closed


def test_degenerate_and_double_faces_are_counted():
    positions = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]], dtype=np.float32)
    faces = np.array([[0, 1, 3], [0, 1, 2], [1, 1, 3], [3, 0, 1]], dtype=np.int32)
    report = validity(positions, faces)
    assert report.degenerate_faces == 2
    assert report.duplicate_faces == 1
    assert not report.solid


def test_components_are_numbered_by_their_first_face(shapes):
    positions, faces = joined(shapes["box"](), shapes["torus"]())
    faces = faces[::-1]
    label = components(faces, len(positions))
    assert label[0] == 0
    assert label[-1] == 1
    assert set(label.tolist()) == {0, 1}


def test_merge_closes_a_soup_and_drops_what_is_unused(shapes):
    positions, faces = shapes["torus"]()
    soup = positions[faces.reshape(-1)]
    loose = np.arange(len(soup), dtype=np.int32).reshape(-1, 3)
    merged = merge(np.concatenate([soup, [[9, 9, 9]]]).astype(np.float32), loose)
    assert len(merged.positions) == len(positions)
    np.testing.assert_array_equal(merged.positions[merged.faces], positions[faces])


def test_merge_with_a_tolerance_joins_near_vertices(shapes):
    positions, faces = shapes["box"]()
    noise = np.random.default_rng(0).normal(0, 1e-5, (36, 3)).astype(np.float32)
    soup = positions[faces.reshape(-1)] + noise
    loose = np.arange(36, dtype=np.int32).reshape(-1, 3)
    assert len(merge(soup, loose).positions) == 36
    assert len(merge(soup + 0.0004, loose, tolerance=1e-3).positions) == 8


def test_the_largest_parts_are_kept_and_crumbs_dropped(shapes):
    positions, faces = shapes["box"]()
    mesh = joined((positions * 0.1 + 3, faces), (positions, faces), (positions * 0.5 - 3, faces))
    assert len(largest_parts(*mesh, share=0.0).faces) == 36
    assert len(largest_parts(*mesh, share=0.05).faces) == 24
    only = largest_parts(*mesh, share=0.0, limit=1)
    assert len(only.faces) == 12
    assert np.abs(only.positions).max() == 0.5


def test_decimation_keeps_the_bounds_and_the_closure(shapes):
    positions, faces = shapes["torus"](64, 32)
    less = decimate(positions, faces, 1000)
    assert 900 <= len(less.faces) <= 1000
    assert validity(less.positions, less.faces).solid
    np.testing.assert_allclose(less.positions.min(0), positions.min(0), atol=0.02)
    np.testing.assert_allclose(less.positions.max(0), positions.max(0), atol=0.02)


def test_a_mesh_under_the_limit_is_left_alone(shapes):
    positions, faces = shapes["torus"]()
    same = decimate(positions, faces, len(faces))
    np.testing.assert_array_equal(same.positions, positions)
    np.testing.assert_array_equal(same.faces, faces)


@pytest.mark.parametrize("function", [validity, largest_parts, lambda p, f: decimate(p, f, 8)])
def test_meshes_that_are_no_meshes_are_refused(function, shapes):
    positions, faces = shapes["box"]()
    with pytest.raises(DataError, match="no faces"):
        function(positions, faces[:0])
    with pytest.raises(DataError, match="not finite"):
        function(positions * np.float32("inf"), faces)
    with pytest.raises(DataError, match="not there"):
        function(positions[:7], faces)


def test_a_mesh_of_nothing_but_repeated_vertices_is_reported_and_refused(shapes):
    positions, _ = shapes["box"]()
    faces = np.array([[0, 0, 1], [2, 2, 2]], dtype=np.int32)
    report = validity(positions, faces)
    assert report.degenerate_faces == 2
    assert report.edges == report.components == 0
    with pytest.raises(DataError, match="repeats a vertex"):
        largest_parts(positions, faces)


def test_settings_out_of_range_are_refused(shapes):
    with pytest.raises(ConfigError, match="limit is 3"):
        decimate(*shapes["box"](), 3)
    with pytest.raises(ConfigError, match="tolerance"):
        merge(*shapes["box"](), tolerance=-1.0)
