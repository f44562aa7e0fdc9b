import sys
import time
from pathlib import Path

import numpy as np
import pytest

from polyglyph.base.errors import BackendError, ConfigError, DataError
from polyglyph.formats.meshes import read_mesh
from polyglyph.scene.atlas import Atlas, unwrap
from polyglyph.scene.box_atlas import laid_out_again
from polyglyph.scene.overlap import overlapping_pairs
from polyglyph.scene.xatlas_call import Charts

MESHES = sorted(
    path
    for path in (Path(__file__).parents[1] / "data" / "meshes").rglob("*")
    if path.suffix in (".obj", ".glb", ".off", ".ply")
)


def overlaps(atlas: Atlas) -> int:
    flat = atlas.uvs[atlas.faces].astype(np.float64)
    return len(overlapping_pairs(flat, np.zeros(len(flat), dtype=np.int64), tolerance=1e-6))


def uv_area(atlas: Atlas) -> np.ndarray:
    flat = atlas.uvs[atlas.faces].astype(np.float64)
    a, b = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def area(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corner = positions[faces].astype(np.float64)
    return np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2


def assert_sound(atlas: Atlas, positions: np.ndarray, faces: np.ndarray) -> None:
    np.testing.assert_array_equal(atlas.vertex_map[atlas.faces], faces)
    assert atlas.uvs.dtype == np.float32
    assert atlas.uvs.min() >= 0
    assert atlas.uvs.max() <= 1
    solid = area(positions, faces)
    assert (uv_area(atlas)[solid > 1e-7 * solid.max()] > 0).all()
    assert overlaps(atlas) == 0


def spiral() -> tuple[np.ndarray, np.ndarray]:
    """A ramp of two full turns: one connected surface, all facing up, over itself."""
    angle = np.linspace(0, 4 * np.pi, 65)
    inner = np.stack([np.sin(angle), angle / 8, np.cos(angle)], 1)
    positions = np.concatenate([inner, inner * [2, 1, 2]]).astype(np.float32)
    i = np.arange(64)
    faces = np.concatenate([np.stack([i, i + 65, i + 1], 1), np.stack([i + 1, i + 65, i + 66], 1)])
    return positions, faces.astype(np.int32)


@pytest.mark.parametrize("method", ["xatlas", "box"])
@pytest.mark.parametrize("name", ["box", "sphere", "torus"])
def test_charts_of_known_shapes_do_not_overlap_and_lose_no_face(name, method, shapes):
    positions, faces = shapes[name]()
    atlas = unwrap(positions, faces, method=method)
    assert atlas.method == method
    assert_sound(atlas, positions, faces)
    assert uv_area(atlas).sum() > 0.3


@pytest.mark.parametrize("path", MESHES, ids=lambda path: path.name)
def test_charts_of_real_furniture_do_not_overlap(path):
    parts = read_mesh(path).parts
    positions = np.concatenate([part.positions for part in parts])
    start = np.cumsum([0] + [len(part.positions) for part in parts])
    faces = np.concatenate([part.faces + at for part, at in zip(parts, start, strict=False)]).astype(np.int32)
    for method in ("box", "auto"):
        assert_sound(unwrap(positions, faces, method=method, time_limit=60.0), positions, faces)


def test_charts_that_xatlas_laid_over_each_other_are_taken_apart():
    uvs = np.float32([[0, 0], [1, 0], [0, 1], [0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [1, 1]])
    faces = np.int32([[0, 1, 2], [3, 4, 5], [1, 6, 2]])
    vertex, again, coordinates = laid_out_again(uvs, faces, resolution=128, padding=2)
    atlas = Atlas(vertex, again, coordinates, "box")
    assert overlaps(atlas) == 0
    np.testing.assert_array_equal(vertex[again], faces)


def test_a_surface_over_itself_is_dealt_into_sheets():
    positions, faces = spiral()
    atlas = unwrap(positions, faces, method="box")
    assert_sound(atlas, positions, faces)
    assert len(atlas.uvs) < len(positions) + 20  # sheets stay whole: few vertices are doubled


def test_noise_does_not_break_the_box_atlas(shapes):
    positions, faces = shapes["sphere"](24)
    positions = positions * (1 + 0.2 * np.random.default_rng(0).normal(size=(len(positions), 1))).astype(
        np.float32
    )
    assert_sound(unwrap(positions, faces, method="box"), positions, faces)


def test_the_box_atlas_is_the_same_every_time(shapes):
    first, second = (unwrap(*shapes["torus"](), method="box") for _ in range(2))
    np.testing.assert_array_equal(first.uvs, second.uvs)
    np.testing.assert_array_equal(first.vertex_map, second.vertex_map)


def test_charts_keep_the_padding_between_them(shapes):
    positions, faces = shapes["box"]()
    resolution, padding = 128, 4
    atlas = unwrap(positions, faces, method="box", resolution=resolution, padding=padding)
    squares = atlas.uvs.reshape(-1, 2)[atlas.faces].reshape(2, 6, 3, 2)
    boxes = [
        (quad.reshape(-1, 2).min(0), quad.reshape(-1, 2).max(0)) for quad in squares.transpose(1, 0, 2, 3)
    ]
    for i, (low, high) in enumerate(boxes):
        assert low.min() * resolution >= padding
        assert (1 - high.max()) * resolution >= padding
        for other_low, other_high in boxes[:i]:
            gap = np.maximum(low - other_high, other_low - high).max() * resolution
            assert gap >= 2 * padding


def test_more_charts_than_texels_still_fit():
    count = 400
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(count * 3, 3)).astype(np.float32)
    faces = np.arange(count * 3, dtype=np.int32).reshape(-1, 3)
    assert_sound(unwrap(positions, faces, method="box", resolution=16, padding=2), positions, faces)


def test_fourteen_thousand_faces_take_the_box_atlas_little_time(shapes):
    positions, faces = shapes["torus"](96, 72)
    start = time.perf_counter()
    unwrap(positions, faces, method="box")
    assert time.perf_counter() - start < 5  # 0.2 s on a quiet core


SLOW = (sys.executable, "-c", "import time; time.sleep(60)")
FALLING = (sys.executable, "-c", "raise SystemExit('no charts today')")
SILENT = (sys.executable, "-c", "print('hello')")


def test_a_slow_xatlas_is_stopped_and_the_box_atlas_takes_over(shapes):
    positions, faces = shapes["box"]()
    start = time.perf_counter()
    atlas = unwrap(positions, faces, time_limit=0.5, worker=SLOW)
    assert time.perf_counter() - start < 10
    assert atlas.method == "box"
    assert "longer than 0.5 s" in atlas.reason
    assert_sound(atlas, positions, faces)


@pytest.mark.parametrize(
    ("worker", "words"),
    [(FALLING, "no charts today"), (SILENT, "could not be read"), (("/no/such/program",), "did not start")],
)
def test_a_failing_xatlas_says_why_and_gives_way_or_is_refused(worker, words, shapes):
    positions, faces = shapes["box"]()
    assert words in unwrap(positions, faces, worker=worker).reason
    with pytest.raises(BackendError, match=words):
        unwrap(positions, faces, method="xatlas", worker=worker)


def test_meshes_and_settings_that_make_no_sense_are_refused(shapes, unchecked):
    positions, faces = shapes["box"]()
    with pytest.raises(DataError, match="not finite"):
        unwrap(positions * np.float32("nan"), faces)
    with pytest.raises(DataError, match="no faces"):
        unwrap(positions, faces[:0])
    with pytest.raises(ConfigError, match="conformal"):
        unwrap(positions, faces, method="conformal")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="8 texels"):
        unwrap(positions, faces, resolution=8)


def test_faces_without_area_do_no_harm(shapes):
    positions, faces = shapes["box"]()
    faces = np.concatenate([faces, [[0, 0, 1], [2, 2, 2]]]).astype(np.int32)
    for method in ("box", "auto"):
        atlas = unwrap(positions, faces, method=method)
        np.testing.assert_array_equal(atlas.vertex_map[atlas.faces], faces)
        assert overlaps(atlas) == 0


def test_overlapping_pairs_agree_with_every_pair_tried(shapes):
    rng = np.random.default_rng(1)
    triangles = rng.random((60, 1, 2)) * 4 + rng.random((60, 3, 2))
    group = rng.integers(0, 2, 60)
    pairs = {tuple(pair) for pair in overlapping_pairs(triangles, group).tolist()}
    for i in range(60):
        for j in range(i + 1, 60):
            points = sample_inside(triangles[i], rng)
            shared = (
                inside(points, triangles[j]).any()
                or inside(sample_inside(triangles[j], rng), triangles[i]).any()
            )
            if group[i] != group[j]:
                assert (i, j) not in pairs
            elif shared:
                assert (i, j) in pairs


def sample_inside(triangle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weight = rng.dirichlet((1, 1, 1), 200)
    return weight @ triangle


def inside(points: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    signs = []
    for i in range(3):
        edge = triangle[(i + 1) % 3] - triangle[i]
        to = points - triangle[i]
        signs.append(edge[0] * to[:, 1] - edge[1] * to[:, 0])
    return (np.min(signs, 0) > 1e-6) | (np.max(signs, 0) < -1e-6)


def test_triangles_that_share_an_edge_or_a_corner_do_not_overlap():
    flat = np.array(
        [[[0, 0], [1, 0], [0, 1]], [[1, 0], [1, 1], [0, 1]], [[1, 0], [2, 0], [2, 1]]], dtype=float
    )
    assert len(overlapping_pairs(flat, np.zeros(3, dtype=np.int64))) == 0


def test_xatlas_in_this_process_gives_the_atlas_of_the_other(shapes):
    pytest.importorskip("xatlas")
    positions, faces = shapes["torus"]()
    here, there = (unwrap(positions, faces, method="xatlas", here=here) for here in (True, False))
    for ours, theirs in (
        (here.vertex_map, there.vertex_map),
        (here.faces, there.faces),
        (here.uvs, there.uvs),
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_xatlas_keeps_small_faces_whatever_the_size_of_the_mesh(size, shapes):
    """It drops faces of less than 1.2e-7 square units, of which a fine mesh in metres has many."""
    pytest.importorskip("xatlas")
    positions, faces = shapes["sphere"](24, 0.01 * size)
    far = positions + np.float32([size, 0, 0])
    both = np.concatenate([positions, far]), np.concatenate([faces, faces + len(positions)])
    atlas = unwrap(both[0], both[1].astype(np.int32), method="xatlas")
    assert_sound(atlas, *both)


def test_needles_that_round_to_a_point_do_not_cost_the_whole_atlas(shapes):
    pytest.importorskip("xatlas")
    positions, faces = shapes["sphere"]()
    a, b, c = faces[100]
    towards = positions[a] + (positions[b] - positions[a]) * np.float32(1e-6)
    split = np.int32([[a, len(positions), c], [len(positions), b, c]])
    kept = np.concatenate([np.delete(faces, 100, axis=0), split])
    atlas = unwrap(np.concatenate([positions, towards[None]]), kept, method="xatlas")
    assert atlas.method == "xatlas"
    assert overlaps(atlas) == 0


def test_faces_that_xatlas_leaves_without_a_place_are_refused_if_they_are_seen(monkeypatch, shapes):
    positions, faces = shapes["box"]()

    def lossy(*_, **__):
        uvs = np.zeros((len(positions), 2), dtype=np.float32)
        return Charts(np.arange(len(positions)), faces, uvs, 1)

    monkeypatch.setattr("polyglyph.scene.atlas.charts", lossy)
    assert "left 12 faces without a place" in unwrap(positions, faces, here=True).reason
