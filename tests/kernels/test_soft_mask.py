"""DIB-R's soft silhouette: its values, its gradients, and which faces a pixel counts."""

import hashlib
import inspect
import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.rasterize import rasterize
from polyglyph.kernels.soft_mask import cuda, soft_mask, vectorised

DOUBLE = torch.float64
refused = inspect.unwrap(soft_mask)  # as users call it: the shape checks that tests switch on are taken off
random = settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck), derandomize=True)
FACE = torch.tensor([[0, 1, 2]])


def flat(*points: tuple[float, float], w: float = 1.0) -> torch.Tensor:
    """One image's corners in normalised device coordinates, all at depth 0 with the same w."""
    return torch.tensor([[(x * w, y * w, 0.0, w) for x, y in points]], dtype=DOUBLE)


def uncovered(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.full((batch, height, width), -1, dtype=torch.int32)


def soup(count: int, spread: float, *, seed: int = 0, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Separate little triangles all over the image, at various w."""
    rng = torch.Generator().manual_seed(seed)
    middle = torch.rand(batch, count, 1, 2, generator=rng, dtype=DOUBLE) * 2.4 - 1.2
    corners = middle + spread * torch.randn(batch, count, 3, 2, generator=rng, dtype=DOUBLE)
    w = 0.5 + torch.rand(batch, count, 3, 1, generator=rng, dtype=DOUBLE)
    clip = torch.cat([corners * w, torch.zeros_like(w), w], dim=3).reshape(batch, 3 * count, 4)
    return clip, torch.arange(3 * count).reshape(count, 3)


def value_and_gradient(clip, faces, face_id, **settings):
    clip = clip.clone().requires_grad_()
    mask = soft_mask(clip, faces, face_id, **settings)
    weight = torch.linspace(-1, 2, mask.numel(), dtype=mask.dtype).reshape(mask.shape)
    return mask.detach(), torch.autograd.grad((mask * weight).sum(), clip)[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("w", [1.0, 0.3, 7.0])
def test_a_triangle_on_a_wide_image_has_known_values(backend, w):
    # 2 rows of 4 pixels, each 1 half height wide and high: centres at x = ±0.5, ±1.5 and y = ±0.5. In half
    # heights the corners are (-1, 0.25), (1, 0.25) and (0, 1.5).
    clip = flat((-0.5, 0.25), (0.5, 0.25), (0, 1.5), w=w)
    mask = soft_mask(clip, FACE, uncovered(2, 4), sharpness=1.5, backend=backend)
    beside, diagonal, below = 0.5**2 + 0.25**2, 0.5**2 + 0.75**2, 0.75**2
    top, bottom = [beside, 0, 0, beside], [diagonal, below, below, diagonal]
    expected = [[[math.exp(-1.5 * squared) for squared in row] for row in (top, bottom)]]
    torch.testing.assert_close(mask, torch.tensor(expected, dtype=DOUBLE))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_of_one_pixel_is_that_of_its_distance(backend):
    # One pixel, centre (0, 0); the nearest point (0.25, 0) lies a quarter up the edge from (0.25, -0.25).
    clip = flat((0.25, -0.25), (0.25, 0.75), (0.9, 0.2), w=2.0).requires_grad_()
    mask = soft_mask(clip, FACE, uncovered(1, 1), sharpness=3.0, backend=backend)
    (grad,) = torch.autograd.grad(mask.sum(), clip)
    value = math.exp(-3 * 0.0625)
    assert mask.item() == pytest.approx(value)
    slope = -3 * value * 2 * 0.25 / 2  # of A with x in clip space, shared out 3 : 1; w pulls by -x/w of that
    rows = [[0.75 * slope, 0, 0, -0.75 * slope * 0.25], [0.25 * slope, 0, 0, -0.25 * slope * 0.25], [0] * 4]
    torch.testing.assert_close(grad[0], torch.tensor(rows, dtype=DOUBLE))


@pytest.mark.parametrize("fast", FAST)
@random
@given(
    data=st.data(), sharpness=st.sampled_from([3.0, 100.0, 7000.0]), neighbours=st.sampled_from([1, 2, 30])
)
def test_value_and_gradient_match_the_reference(scenes, fast, data, sharpness, neighbours):
    scene = data.draw(scenes(DOUBLE))
    w = scene.clip[..., 3]  # just before the camera plane the gradient is 1/w² times what rounding leaves
    w[(w > 0) & (w < 0.01)] = 0.01
    face_id = rasterize(*scene).face_id
    ours, theirs = (
        value_and_gradient(
            scene.clip, scene.faces, face_id, sharpness=sharpness, neighbours=neighbours, backend=backend
        )
        for backend in (fast, "reference")
    )
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=1e-10)
    # Relative to the largest entry, as some are small differences of huge terms.
    scale = theirs[1].abs().max().clamp(min=1)
    torch.testing.assert_close(ours[1] / scale, theirs[1] / scale, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("neighbours", [1, 4, 17, 200])
@pytest.mark.parametrize("sharpness", [2.0, 60.0, 7000.0, 30000.0])
@pytest.mark.parametrize("fast", FAST)
def test_crowds_of_faces_equal_a_brute_force_over_all_of_them(fast, sharpness, neighbours, dtype):
    clip, faces = soup(130, 0.1, batch=2)
    clip, face_id = clip.to(dtype), uncovered(9, 14, 2)
    face_id[:, 2:5, 3:9] = 0
    arguments = {"sharpness": sharpness, "neighbours": neighbours}
    ours = value_and_gradient(clip, faces, face_id, **arguments, backend=fast)
    theirs = value_and_gradient(clip.double(), faces, face_id, **arguments, backend="reference")
    assert ours[0].dtype == ours[1].dtype == dtype
    tolerance = {"rtol": 0, "atol": 1e-8} if dtype == DOUBLE else {"rtol": 1e-5, "atol": 1e-6}
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), other, **tolerance)


@pytest.mark.parametrize("size", [(18, 130), (35, 3)])
def test_pictures_of_several_tiles_equal_the_reference(size):
    clip, faces = soup(60, 0.2, seed=1)
    face_id = rasterize(clip, faces[:9], size).face_id
    settings = {"sharpness": 500.0, "neighbours": 3}
    expected = value_and_gradient(clip, faces, face_id, **settings, backend="reference")
    for fast in FAST:
        found = value_and_gradient(clip, faces, face_id, **settings, backend=fast)
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearest_faces_count_and_not_the_first_ones(backend):
    # One pixel at the origin; five vertical needles at distances 0.5, 0.4, ..., 0.1.
    corners = [(x, y) for x in (0.5, 0.4, 0.3, 0.2, 0.1) for y in (-1.0, 1.0, 0.0)]
    mask = soft_mask(
        flat(*corners),
        torch.arange(15).reshape(5, 3),
        uncovered(1, 1),
        sharpness=20.0,
        neighbours=2,
        backend=backend,
    )
    expected = 1 - (1 - math.exp(-20 * 0.1**2)) * (1 - math.exp(-20 * 0.2**2))
    assert float(mask) == pytest.approx(expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("swap", [False, True])
def test_of_equally_near_faces_the_lower_row_is_taken(backend, swap):
    # The same slanted edge twice, from either end, with corners of its own: two faces of a torn mesh.
    edge = [(0.3, -0.7), (0.1, 0.9)]
    clip = flat(*edge, (0.9, 0.1), *edge, (0.7, 0.3))
    faces = torch.tensor([[0, 1, 2], [4, 3, 5]])
    faces = faces.flip(0) if swap else faces
    _, grad = value_and_gradient(clip, faces, uncovered(1, 1), sharpness=5.0, neighbours=1, backend=backend)
    pulled = grad[0].abs().sum(dim=1) > 0
    assert pulled.tolist() == [not swap] * 2 + [False] + [swap] * 2 + [False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_covered_pixels_are_one_and_pull_at_nothing(backend):
    clip = flat((-0.9, -0.8), (0.9, -0.7), (0.1, 0.9)).requires_grad_()
    face_id = rasterize(clip, FACE, (6, 6)).face_id
    mask = soft_mask(clip, FACE, face_id, sharpness=30.0, backend=backend)
    hit = face_id >= 0
    assert hit.sum() > 8
    assert mask[hit].eq(1).all()
    assert ((mask[~hit] < 1) & (mask[~hit] > 0)).all()
    (grad,) = torch.autograd.grad(mask[hit].sum(), clip)
    assert grad.eq(0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_faces_edge_on_count_as_segments_and_points(backend):
    # Centres at x = ±0.5, y = ±0.5. Corners in line, from (-0.5, 0) to (0.5, 0); and all in one point.
    for corners, distances in (
        ([(-0.5, 0), (0.25, 0), (0.5, 0)], [0.5] * 4),
        ([(0.25, 0), (-0.5, 0), (0.25, 0)], [0.5, math.hypot(0.25, 0.5)] * 2),
        ([(0, 0.5), (0, 0.5), (0, 0.5)], [0.5, 0.5, math.hypot(0.5, 1), math.hypot(0.5, 1)]),
        ([(-0.9, 0.5), (-0.7, 0.5), (-0.8, 0.5)], [0.2, 1.2, math.hypot(0.2, 1), math.hypot(1.2, 1)]),
    ):
        mask, grad = value_and_gradient(flat(*corners), FACE, uncovered(2, 2), sharpness=2.0, backend=backend)
        expected = torch.tensor([math.exp(-2 * d**2) for d in distances], dtype=DOUBLE)
        torch.testing.assert_close(mask.reshape(4), expected)
        assert grad.isfinite().all()
        assert grad.abs().max() > 0.05


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sliver_holds_no_pixel_on_its_line_beyond_its_end(backend):
    # In line with the only pixel, up to rounding, which puts that strictly on one side of all three edges.
    for corners in (
        [
            (0.8336765477568462, -0.23634146752428525),
            (0.8998948967662433, -0.2551139060965657),
            (2.6549857058073334, -0.7526698689735962),
        ],
        [
            (0.8787176481291444, 0.16590360536851048),
            (0.6900315533083582, 0.1302793027494371),
            (2.005814935375102, 0.3787017709149595),
        ],
    ):
        mask = soft_mask(flat(*corners), FACE, uncovered(1, 1), sharpness=2.0, backend=backend)
        assert mask.item() == pytest.approx(math.exp(-2 * min(x * x + y * y for x, y in corners)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_corners_in_one_point_that_of_the_first_edge_is_pulled(backend):
    clip = flat((0.2, 0.3), (0.9, 0.8), (0.2, 0.3))
    _, grad = value_and_gradient(clip, FACE, uncovered(1, 1), sharpness=2.0, backend=backend)
    assert (grad[0].abs().sum(dim=1) > 0).tolist() == [True, False, False]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "bad",
    [
        (0, 0, 0, 0),
        (0, 0, 0, -1),
        (math.nan, 0, 0, 1),
        (0, math.inf, 0, 1),
        (0, 0, math.nan, 1),
        (0, 0, 0, math.inf),
        (0, 0, 0, math.nan),
        (1e16, 0, 0, 1),
        (1, -1, 0, 1e-300),
    ],
)
def test_faces_behind_the_camera_or_not_finite_take_no_part_and_harm_nobody(backend, bad):
    clip = flat((-0.5, -0.5), (0.5, -0.5), (0, 0.5))
    alone = value_and_gradient(clip, FACE, uncovered(3, 3), sharpness=9.0, backend=backend)
    broken = torch.cat([clip, clip.new_tensor([[bad]])], dim=1)
    faces = torch.tensor([[0, 1, 3], [3, 3, 3], [0, 1, 2], [3, 2, 1]])
    mask, grad = value_and_gradient(broken, faces, uncovered(3, 3), sharpness=9.0, backend=backend)
    torch.testing.assert_close(mask, alone[0])
    torch.testing.assert_close(grad[:, :3], alone[1])
    assert grad[:, 3].eq(0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pixel_on_a_face_has_mask_one_and_no_slope(backend):
    # The centre of the only pixel lies on an edge, in a corner, and inside of faces; another is near.
    near = [(0.1, -1.0), (0.1, 1.0), (0.5, 0.0)]
    for corners in ([(-1, 0), (1, 0), (0, 1)], [(0, 0), (1, 1), (1, 0.5)], [(-1, -1), (1, -1), (0, 1)]):
        clip = flat(*corners, *near)
        mask, grad = value_and_gradient(
            clip, torch.arange(6).reshape(2, 3), uncovered(1, 1), sharpness=9.0, backend=backend
        )
        assert float(mask) == 1
        assert grad.eq(0).all()


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("neighbours", [3, 100])
def test_gradcheck_away_from_ties(fast, neighbours):
    clip, faces = soup(8, 0.3, seed=3, batch=2)
    face_id = rasterize(clip, faces, (5, 7)).face_id
    assert 10 < face_id.lt(0).sum() < 65

    def values(clip):
        return soft_mask(clip, faces, face_id, sharpness=8.0, neighbours=neighbours, backend=fast)

    assert torch.autograd.gradcheck(values, (clip.requires_grad_(),))


@pytest.mark.parametrize("fast", FAST)
def test_moving_a_mesh_changes_the_mask_as_its_gradient_says(sphere, fast):
    scene, h = sphere(16, rings=6), 1e-5
    sharpness, neighbours = 60.0, len(scene.faces)  # of all faces, or the mask would jump where one drops out

    def mean(clip):
        face_id = rasterize(clip, scene.faces, scene.resolution).face_id
        mask = soft_mask(clip, scene.faces, face_id, sharpness=sharpness, neighbours=neighbours, backend=fast)
        return mask.mean()

    clip = scene.clip.clone().requires_grad_()
    (grad,) = torch.autograd.grad(mean(clip), clip)
    for column, pull in ((0, 1.0), (1, 1.0), (3, 1.0)):
        shift = torch.zeros(4, dtype=DOUBLE)
        shift[column] = pull
        measured = (mean(scene.clip + h * shift) - mean(scene.clip - h * shift)) / (2 * h)
        assert float((grad * shift).sum()) == pytest.approx(float(measured), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_ragged_batch_equals_its_images_drawn_one_by_one(backend):
    parts = [soup(count, 0.3, seed=count) for count in (5, 9, 3)]
    clip = torch.cat([part[0][0] for part in parts])
    counts = torch.tensor([5, 9, 3])
    first = counts.cumsum(0) - counts
    faces = torch.arange(len(clip)).reshape(-1, 3)
    order = [2, 0, 1, 1]
    ranges = torch.stack([first, counts], dim=1)[order]
    ranges = torch.cat([ranges, torch.tensor([[4, 0]])])  # and an image without faces
    ids = uncovered(6, 7, 5)
    ids[:, 2] = 0
    mask, grad = value_and_gradient(
        clip, faces, ids, sharpness=30.0, neighbours=4, ranges=ranges, backend=backend
    )
    assert mask[4].eq((ids[4] >= 0).double()).all()
    weight = torch.linspace(-1, 2, mask.numel(), dtype=DOUBLE).reshape(mask.shape)
    expected = torch.zeros_like(grad)
    for image, n in enumerate(order):
        alone = parts[n][0].clone().requires_grad_()
        one = soft_mask(alone, parts[n][1], ids[:1], sharpness=30.0, neighbours=4, backend=backend)
        torch.testing.assert_close(mask[image], one[0])
        (pull,) = torch.autograd.grad((one[0] * weight[image]).sum(), alone)
        expected[3 * int(first[n]) :][: pull.shape[1]] += pull[0]
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_draw_and_nowhere_to_draw_it_are_fine(backend):
    clip = flat((-1, -1), (1, -1), (0, 1)).requires_grad_()
    ids = uncovered(2, 3)
    ids[0, 1, 1] = 4
    mask = soft_mask(clip, FACE[:0], ids, backend=backend)
    assert mask.tolist() == [[[0, 0, 0], [0, 1, 0]]]
    (grad,) = torch.autograd.grad(mask.sum(), clip)
    assert grad.eq(0).all()
    assert soft_mask(clip, FACE, uncovered(0, 3), backend=backend).shape == (1, 0, 3)
    assert soft_mask(clip[:0], FACE, uncovered(2, 3, 0), backend=backend).shape == (0, 2, 3)


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("sharpness", [1e-320, 1e308])
def test_extreme_sharpness_is_a_limit_and_no_crash(fast, sharpness):
    clip, faces = soup(5, 0.2)
    mask, grad = value_and_gradient(clip, faces, uncovered(4, 5), sharpness=sharpness, backend=fast)
    assert ((mask == 0) | (mask == 1)).all()
    assert (mask == 1).all() == (sharpness < 1)
    assert grad.isfinite().all()


@pytest.mark.parametrize("fast", FAST)
def test_repeating_a_pass_repeats_its_bits_on_any_number_of_threads(sphere, fast):
    scene = sphere(40, rings=8)
    face_id, threads, results = rasterize(*scene).face_id, torch.get_num_threads(), []
    for count in (1, 1, 3):
        torch.set_num_threads(count)
        try:
            results.append(value_and_gradient(scene.clip.float(), scene.faces, face_id, backend=fast))
        finally:
            torch.set_num_threads(threads)
    for other in results[1:2] if fast == "vectorised" else results[1:]:
        assert torch.equal(results[0][0], other[0])
        assert torch.equal(results[0][1], other[1])


def test_deterministic_mode_sums_gradients_of_the_gpu_in_a_fixed_order(sphere, monkeypatch):
    scene = sphere(12, rings=4)
    face_id, results = rasterize(*scene).face_id, []
    for fixed, entries in ((False, 1 << 22), (True, 1 << 22), (True, 1)):
        monkeypatch.setattr(cuda, "ENTRIES", entries)
        monkeypatch.setattr(cuda, "LEAST_RUN", 50)
        torch.use_deterministic_algorithms(fixed)
        try:
            results.append(value_and_gradient(scene.clip, scene.faces, face_id, backend="cuda"))
        finally:
            torch.use_deterministic_algorithms(False)
    for other in results[1:]:
        torch.testing.assert_close(results[0], other)


def test_working_in_small_runs_changes_nothing(monkeypatch):
    clip, faces = soup(60, 0.2, seed=1)
    arguments = (clip, faces, uncovered(9, 9))
    settings = {"sharpness": 50.0, "neighbours": 3, "backend": "vectorised"}
    whole = value_and_gradient(*arguments, **settings)
    for chunk, held in ((1, 1), (50, 20), (1000, 100)):
        monkeypatch.setattr(vectorised, "CHUNK", chunk)
        monkeypatch.setattr(vectorised, "HELD", held)
        torch.testing.assert_close(value_and_gradient(*arguments, **settings), whole)


_LEVELS = """
import sys, torch
from polyglyph.kernels.library import library
from polyglyph.kernels.soft_mask import soft_mask
rng = torch.Generator().manual_seed(0)
clip = torch.cat([torch.rand(1, 300, 3, generator=rng) * 2 - 1, torch.full((1, 300, 1), 0.9)], dim=2)
clip[0, :100, :2] = (clip[0, :100, :2] * 8).round() / 8
ids = torch.full((1, 20, 72), -1)
mask = soft_mask(clip, torch.arange(300).view(-1, 3), ids, sharpness=300.0, neighbours=5, backend="cpu")
print(library().polyglyph_vector_level(), mask.double().sum().item().hex(), mask[0, ::7, ::5].tolist())
"""


@pytest.mark.skipif("cpu" not in FAST, reason="no compiled library in this installation")
def test_all_vector_units_give_the_same_bits():
    told = []
    for level in ("0", "1", "2"):
        environment = os.environ | {"POLYGLYPH_VECTORS": level}
        command = [sys.executable, "-c", _LEVELS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.append(done.stdout.split(maxsplit=1))
    assert told[0][0] == "0"
    assert len({hashlib.sha256(bits.encode()).hexdigest() for _, bits in told}) == 1


CLIP, IDS = torch.zeros(1, 3, 4), torch.zeros(1, 2, 2).long()


@pytest.mark.parametrize(
    ("clip", "faces", "face_id", "ranges", "message"),
    [
        (torch.zeros(1, 3, 3), FACE, IDS, None, r"`clip` has shape \(1, 3, 3\)"),
        (torch.zeros(3, 4), FACE, IDS, None, r"`clip` has shape \(3, 4\)"),
        (CLIP, torch.zeros(1, 4).long(), IDS, None, r"`faces` has shape \(1, 4\)"),
        (CLIP, FACE, IDS[0], None, r"`face_id` has shape \(2, 2\)"),
        (CLIP, FACE, torch.zeros(2, 2, 2).long(), None, "`face_id` is for 2 images and `clip` for 1"),
        (CLIP, FACE + 1, IDS, None, "indices 1 to 3, but `clip` has 3 vertices"),
        (CLIP, FACE - 1, IDS, None, "indices -1 to 1, but `clip` has 3 vertices"),
        (CLIP, FACE, IDS, torch.zeros(1, 2).long(), r"\(1, 3, 4\), not \[V, 4\]"),
        (CLIP[0], FACE, IDS, torch.zeros(1, 3).long(), r"`ranges` has shape \(1, 3\)"),
        (CLIP[0], FACE, IDS, torch.zeros(2, 2).long(), "`face_id` is for 1 images and `ranges` for 2"),
        (CLIP[0], FACE, IDS, torch.tensor([[0, 2]]), "outside the 1 rows"),
        (CLIP[0], FACE, IDS, torch.tensor([[-1, 1]]), "outside the 1 rows"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_received(clip, faces, face_id, ranges, message):
    with pytest.raises(ConfigError, match=message) as caught:
        refused(clip, faces, face_id, ranges=ranges)
    assert caught.value.fix


@pytest.mark.parametrize("sharpness", [0.0, -1.0, math.inf, math.nan])
def test_a_sharpness_that_is_none_is_refused(sharpness):
    with pytest.raises(ConfigError, match=r"`sharpness` is .*, not positive and finite"):
        refused(CLIP, FACE, IDS, sharpness=sharpness)


def test_no_neighbours_are_refused():
    with pytest.raises(ConfigError, match="`neighbours` is 0"):
        refused(CLIP, FACE, IDS, neighbours=0)
