import inspect
import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.rasterize import evaluate, rasterize, vectorised

DOUBLE = torch.float64
refused = inspect.unwrap(rasterize)  # as users call it: the shape checks that tests switch on are taken off
random = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck), derandomize=True)


def flat(*points: tuple[float, float], z: float = 0.0) -> torch.Tensor:
    """One image's corners in normalised device coordinates, all at depth z and w = 1."""
    return torch.tensor([[(x, y, z, 1.0) for x, y in points]], dtype=DOUBLE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_triangle_over_the_lower_left_half_has_known_fragments(backend):
    clip = torch.tensor([[[-1, -1, 0, 1], [1.1, -1, 0.5, 1], [-1, 1.1, -0.5, 1]]], dtype=DOUBLE)
    found = rasterize(clip, torch.tensor([[0, 1, 2]]), (2, 2), backend=backend)
    # Centres at ±0.5. With corner 0 at (-1, -1) and legs of 2.1: weights of corners 1 and 2 are (X+1)/2.1,
    # (Y+1)/2.1.
    assert found.face_id.tolist() == [[[0, -1], [0, 0]]]
    short, long = 0.5 / 2.1, 1.5 / 2.1
    expected = [
        [1 - short - long, short, long],
        [0, 0, 0],
        [1 - 2 * short, short, short],
        [1 - short - long, long, short],
    ]
    torch.testing.assert_close(found.barycentric.reshape(4, 3), torch.tensor(expected, dtype=DOUBLE))
    depth = [(short - long) / 2, 1.0, 0.0, (long - short) / 2]
    torch.testing.assert_close(found.depth.reshape(4), torch.tensor(depth, dtype=DOUBLE))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@random
@given(data=st.data())
@pytest.mark.parametrize("fast", FAST)
def test_every_backend_sees_exactly_the_same_faces(scenes, dtype, fast, data):
    scene = data.draw(scenes(dtype))
    ours, theirs = (rasterize(*scene, backend=backend) for backend in (fast, "reference"))
    assert torch.equal(ours.face_id, theirs.face_id)
    assert ours.depth.dtype == ours.barycentric.dtype == dtype
    # Both work in float64 and may differ in the last digits before rounding to the input's type; weights of a
    # sliver are quotients of cancelled sums, hence not the type's own 1e-16.
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-7, "atol": 1e-8}
    torch.testing.assert_close(ours.depth, theirs.depth, **tolerance)
    torch.testing.assert_close(ours.barycentric, theirs.barycentric, **tolerance)


@pytest.mark.parametrize("fast", FAST)
@random
@given(data=st.data())
def test_gradients_match_the_reference_over_one_id_buffer(scenes, fast, data):
    scene = data.draw(scenes(DOUBLE))
    face_id = rasterize(*scene).face_id
    weight = torch.linspace(-1, 2, face_id.numel() * 6, dtype=DOUBLE).reshape(*face_id.shape, 3, 2)
    grads = []
    for backend in ("reference", fast):
        clip = scene.clip.clone().requires_grad_()
        found = evaluate(clip, scene.faces, face_id, derivatives=True, backend=backend)
        loss = (found.barycentric * weight[..., 0]).sum() + (found.depth * weight[..., 0, 1]).sum()
        loss = loss + (found.derivative * weight.flip(0)).sum()
        grads.append(torch.autograd.grad(loss, clip)[0] if face_id.ge(0).any() else torch.zeros_like(clip))
    # Relative to the largest entry: a sliver's gradients are the small differences of huge terms.
    scale = grads[0].abs().max().clamp(min=1)
    torch.testing.assert_close(grads[1] / scale, grads[0] / scale, rtol=1e-6, atol=1e-8)


OUTPUTS = ("depth", "barycentric", "derivative")
CHOICES = [names for count in (1, 2, 3) for names in itertools.combinations(OUTPUTS, count)]


@pytest.mark.parametrize("asked", CHOICES, ids="+".join)
@pytest.mark.parametrize("fast", FAST)
def test_gradients_match_the_reference_whichever_outputs_are_asked_about(sphere, fast, asked):
    scene, grads = sphere(7, rings=3, bumps=0.3), []
    face_id = rasterize(*scene).face_id
    for backend in ("reference", fast):
        clip = scene.clip.clone().requires_grad_()
        found = evaluate(clip, scene.faces, face_id, derivatives="derivative" in asked, backend=backend)
        values = torch.cat([getattr(found, name).reshape(-1) for name in asked])
        weight = torch.linspace(0, 50, len(values), dtype=DOUBLE).cos()
        grads.append(torch.autograd.grad((values * weight).sum(), clip)[0])
    torch.testing.assert_close(grads[1], grads[0])


@pytest.mark.parametrize("fast", FAST)
@random
@given(data=st.data())
def test_derivatives_along_the_screen_match_the_reference(scenes, fast, data):
    scene = data.draw(scenes(DOUBLE))
    ours, theirs = (
        rasterize(*scene, derivatives=True, backend=name).derivative for name in (fast, "reference")
    )
    scale = theirs.abs().max().clamp(min=1)
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_derivative_foretells_the_weights_of_the_next_pixel_on_a_face_that_lies_flat(backend):
    clip = flat((-2, -2), (5, -2), (-2, 5))
    found = rasterize(clip, torch.tensor([[0, 1, 2]]), (4, 6), derivatives=True, backend=backend)
    weights, change = found.barycentric[0], found.derivative[0]
    torch.testing.assert_close(weights[:, 1:] - weights[:, :-1], change[:, 1:, :, 0])
    torch.testing.assert_close(weights[1:] - weights[:-1], change[1:, :, :, 1])


@pytest.mark.parametrize("fast", FAST)
@random
@given(data=st.data())
def test_every_backend_peels_the_same_layers(scenes, fast, data):
    scene = data.draw(scenes(torch.float32))
    ours = theirs = None
    for _ in range(4):
        ours = rasterize(*scene, behind=ours, backend=fast)
        theirs = rasterize(*scene, behind=theirs, backend="reference")
        assert torch.equal(ours.face_id, theirs.face_id)


@pytest.mark.parametrize("backend", BACKENDS)
def test_peeling_gives_each_layer_once_and_in_order(backend):
    big = [(-3.0, -3.0), (3.0, -3.0), (0.0, 3.0)]
    clip = torch.cat([flat(*big, z=z) for z in (0.5, 0.2, 0.2, -0.3)], dim=1)
    faces, layer, seen = torch.arange(12).reshape(4, 3), None, []
    for _ in range(5):
        layer = rasterize(clip, faces, (2, 2), behind=layer, backend=backend)
        seen.append(layer.face_id.unique().tolist())
    assert seen == [[3], [1], [2], [0], [-1]]


def test_layers_of_another_batch_are_refused():
    clip, faces = flat((-1, -1), (1, -1), (0, 1)), torch.tensor([[0, 1, 2]])
    layer = rasterize(clip, faces, (2, 2))
    with pytest.raises(ConfigError, match="`behind` has shape"):
        refused(clip, faces, (2, 3), behind=layer)


@pytest.mark.parametrize("fast", FAST)
def test_gradcheck_of_depth_barycentrics_and_their_derivatives(sphere, fast):
    scene = sphere(5, rings=3)
    face_id = rasterize(*scene).face_id
    assert face_id.ge(0).sum() > 10
    clip = scene.clip.clone().requires_grad_()

    def values(clip):
        return evaluate(clip, scene.faces, face_id, derivatives=True, backend=fast)[1:]

    assert torch.autograd.gradcheck(values, (clip,))


@pytest.mark.parametrize("fast", FAST)
def test_gradcheck_of_ragged_batches_with_corners_behind_the_camera(fast):
    clip = torch.tensor(
        [[-1, -1, 0.1, 0.7], [1, -1, 0.2, 1.3], [0.2, 2, 0.1, -0.3]], dtype=DOUBLE, requires_grad=True
    )
    faces, ranges = torch.tensor([[0, 1, 2], [0, 2, 1]]), torch.tensor([[0, 1], [1, 1]])
    face_id = rasterize(clip, faces, (4, 4), ranges=ranges).face_id
    assert (face_id[0] == 0).sum() == (face_id[1] == 1).sum() > 4

    def values(clip):
        return evaluate(clip, faces, face_id, derivatives=True, backend=fast)[1:]

    assert torch.autograd.gradcheck(values, (clip,))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("resolution", [(8, 8), (5, 7)])
@pytest.mark.parametrize("order", list(itertools.permutations(range(4), 2)))
def test_a_split_quad_covers_every_pixel_exactly_once(backend, resolution, order):
    quad = flat((-1, -1), (1, -1), (1, 1), (-1, 1))
    start, turn = order
    ring = [(start + n) % 4 for n in range(4)]
    halves = [[ring[0], ring[1], ring[2]], [ring[0], ring[2], ring[3]]]
    halves = [half[::-1] if turn % 2 else half for half in halves]
    hits = [
        rasterize(quad, torch.tensor([half]), resolution, backend=backend).face_id >= 0 for half in halves
    ]
    assert torch.equal(hits[0].int() + hits[1].int(), torch.ones(1, *resolution, dtype=torch.int32))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fan_around_a_pixel_centre_covers_that_pixel_exactly_once(backend):
    angles = torch.arange(7, dtype=DOUBLE) * (2 * torch.pi / 7)
    rim = [(float(a.cos()) * 0.9 + 1 / 16, float(a.sin()) * 0.9 + 1 / 16) for a in angles]
    clip = flat((1 / 16, 1 / 16), *rim)
    clip[0] *= torch.linspace(0.5, 2, 8, dtype=DOUBLE)[:, None]  # the same points on screen, other w
    faces = [[0, 1 + n, 1 + (n + 1) % 7] for n in range(7)]
    hits = sum(
        (rasterize(clip, torch.tensor([f]), (16, 16), backend=backend).face_id >= 0).int() for f in faces
    )
    assert hits[0, 7, 8] == 1
    assert hits.max() == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_pixels_on_the_left_and_top_edges_are_in_and_on_the_right_and_bottom_edges_out(backend):
    low, high = (
        -0.5,
        0.5,
    )  # through the centres of columns and rows 0 and 2 of 4 half-unit pixels, shifted below
    clip = flat(
        (low - 0.25, low - 0.25),
        (high - 0.25, low - 0.25),
        (high - 0.25, high - 0.25),
        (low - 0.25, high - 0.25),
    )
    found = rasterize(clip, torch.tensor([[0, 1, 2], [0, 2, 3]]), (4, 4), backend=backend).face_id[0] >= 0
    # Centres lie at ±0.25, ±0.75: columns at -0.75 (left, in) to 0.25 (right, out), rows at 0.25 (top, in) to
    # -0.75.
    assert found.nonzero().tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [3, 7, 13])
def test_a_box_takes_no_centre_away_that_lies_within_all_edges_by_a_rounding(backend, size):
    centre = (2 * torch.arange(size, dtype=DOUBLE) + 1) / size - 1
    x, y = (end.repeat(8) for end in (centre, -centre))  # upper left corners, on the diagonal's centres
    side, w = (
        3 / size,
        torch.rand(8 * size, 3, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) + 0.1,
    )
    corners = torch.stack([torch.stack([x, y]), torch.stack([x + side, y]), torch.stack([x, y - side])])
    points = torch.cat([corners.permute(2, 0, 1), torch.ones_like(w)], dim=2) * w  # [F, 3, (x, y, w)]
    u, v = points.roll(-1, 1), points.roll(-2, 1)
    edges = u.roll(-1, 2) * v.roll(-2, 2) - u.roll(-2, 2) * v.roll(-1, 2)  # u × v, each product rounded
    edges = edges * torch.linalg.det(points).sign()[:, None, None]
    value = edges[..., 0] * x[:, None] + (edges[..., 1] * y[:, None] + edges[..., 2])
    inside = (value > 0).all(dim=1)
    clip = torch.cat([points[..., :2], torch.zeros_like(w), points[..., 2:]], dim=2)
    ranges = torch.stack([torch.arange(len(w)), torch.ones(len(w))], dim=1).long()
    faces = torch.arange(3 * len(w)).view(-1, 3)
    found = rasterize(clip.reshape(-1, 4), faces, (size, size), ranges=ranges, backend=backend).face_id
    own = torch.arange(size).repeat(8)
    assert found[torch.arange(len(w)), own, own][inside].ge(0).all()
    assert 0 < inside.sum() < len(w)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearest_face_wins_and_equal_depths_go_to_the_lowest_row(backend):
    big = [(-3.0, -3.0), (3.0, -3.0), (0.0, 3.0)]
    clip = torch.cat([flat(*big, z=z) for z in (0.5, 0.2, 0.2, 0.3)], dim=1)
    faces = torch.arange(12).reshape(4, 3)
    assert rasterize(clip, faces, (3, 3), backend=backend).face_id.eq(1).all()
    assert rasterize(clip, faces.flip(0), (3, 3), backend=backend).face_id.eq(1).all()
    assert rasterize(clip, faces[[3, 0]], (3, 3), backend=backend).face_id.eq(0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_depths_in_one_step_are_equal_and_in_the_next_are_not(backend):
    big, step = [(-3.0, -3.0), (3.0, -3.0), (0.0, 3.0)], 2.0**-31
    for back, expected in ((0.75, 0), (1.25, 1)):
        clip = torch.cat([flat(*big, z=0.5 + back * step), flat(*big, z=0.5)], dim=1)
        found = rasterize(clip, torch.arange(6).reshape(2, 3), (3, 20), backend=backend)
        assert found.face_id.eq(expected).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_faces_exactly_on_the_near_and_the_far_plane_are_drawn(backend):
    for z in (-1.0, 1.0):
        clip = flat((-3, -3), (3, -3), (0, 3), z=z)
        found = rasterize(clip, torch.tensor([[0, 1, 2]]), (3, 20), backend=backend)
        assert found.face_id.eq(0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_windings_are_drawn_alike(backend):
    clip = flat((-0.9, -0.8), (0.9, -0.7), (0.1, 0.9))
    there = rasterize(clip, torch.tensor([[0, 1, 2]]), (6, 6), backend=backend)
    back = rasterize(clip, torch.tensor([[2, 1, 0]]), (6, 6), backend=backend)
    assert torch.equal(there.face_id, back.face_id)
    torch.testing.assert_close(there.barycentric, back.barycentric.flip(-1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_degenerate_and_non_finite_faces_cover_nothing_and_harm_nobody(backend):
    clip = flat((-1, -1), (1, -1), (0, 1), (0.5, 0.5), (-0.5, -0.5))
    broken = clip.new_tensor([[torch.nan, 0, 0, 1], [torch.inf, 0, 0, 1], [0, 0, 0, 0], [0, 0, torch.nan, 1]])
    clip = torch.cat([clip, broken[None]], dim=1)
    bad = [[0, 0, 1], [3, 3, 3], [3, 4, 4], [0, 5, 1], [0, 6, 1], [7, 7, 7], [0, 1, 8]]
    found = rasterize(clip, torch.tensor([*bad, [0, 1, 2]]), (8, 8), backend=backend)
    alone = rasterize(clip, torch.tensor([[0, 1, 2]]), (8, 8), backend=backend)
    assert torch.equal(found.face_id >= 0, alone.face_id >= 0)
    assert set(found.face_id.unique().tolist()) == {-1, 7}
    assert found.barycentric.isfinite().all()


def clipped(corners: torch.Tensor) -> torch.Tensor:
    """The polygon of one triangle [3, 4] before the near plane, z + w >= 0 (Sutherland–Hodgman)."""
    kept = []
    for a, b in zip(corners, corners.roll(-1, 0), strict=True):
        inside, ahead = a[2] + a[3], b[2] + b[3]
        if inside >= 0:
            kept.append(a)
        if (inside >= 0) != (ahead >= 0):
            kept.append(a + (b - a) * (inside / (inside - ahead)))
    return torch.stack(kept) if kept else corners[:0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", [0, 1, 2, 5, 6, 7, 8])
def test_a_triangle_across_the_camera_plane_equals_the_geometrically_clipped_polygon(backend, seed):
    generator = torch.Generator().manual_seed(seed)
    world = torch.rand(3, 3, generator=generator, dtype=DOUBLE) * 4 - 2
    world[0, 2], world[1, 2] = 1.5, -3.0  # one corner behind the camera at the origin, one before it
    x, y, z = world.unbind(1)
    clip = torch.stack([1.5 * x, 1.5 * y, -(10.1 / 9.9) * z - 2 / 9.9, -z], dim=1)  # near 0.1, far 10
    polygon = clipped(clip)
    assert (polygon[:, 3] > 0).all()
    fan = torch.tensor([[0, n, n + 1] for n in range(1, len(polygon) - 1)])
    whole = rasterize(clip[None], torch.tensor([[0, 1, 2]]), (24, 24), backend=backend)
    parts = rasterize(polygon[None], fan, (24, 24), backend=backend)
    assert (whole.face_id >= 0).sum() > 20
    assert torch.equal(whole.face_id >= 0, parts.face_id >= 0)
    torch.testing.assert_close(whole.depth, parts.depth)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_lies_beyond_the_far_plane_or_behind_the_camera_is_not_drawn(backend):
    clip = flat((-1, -1), (1, -1), (0, 1))
    for column, value in ((2, 1.01), (2, -1.01), (3, -1.0)):
        hidden = clip.clone()
        hidden[..., column] = value
        assert rasterize(hidden, torch.tensor([[0, 1, 2]]), (4, 4), backend=backend).face_id.eq(-1).all()


def test_barycentrics_are_perspective_correct(sphere):
    scene = sphere(16)
    found = rasterize(*scene)
    for image in range(2):
        hit = found.face_id[image] >= 0
        corners = scene.clip[image][scene.faces[found.face_id[image][hit].long()]]
        point = (found.barycentric[image][hit][:, :, None] * corners).sum(dim=1)
        row, column = hit.nonzero().unbind(1)
        torch.testing.assert_close(point[:, 0] / point[:, 3], (2 * column + 1) / 16 - 1.0, check_dtype=False)
        torch.testing.assert_close(point[:, 1] / point[:, 3], 1.0 - (2 * row + 1) / 16, check_dtype=False)
        torch.testing.assert_close(point[:, 2] / point[:, 3], found.depth[image][hit])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_ragged_batch_equals_its_images_drawn_one_by_one(sphere, backend):
    scenes = [sphere(8, rings=3), sphere(8, rings=4, bumps=0.3), sphere(8, rings=3, bumps=0.5)]
    clips = [scene.clip[0] for scene in scenes]
    shift = torch.tensor([0, *(len(clip) for clip in clips)]).cumsum(0)
    rows = torch.tensor([0, *(len(scene.faces) for scene in scenes)]).cumsum(0)
    faces = torch.cat([scene.faces + int(n) for scene, n in zip(scenes, shift[:-1], strict=True)])
    ranges = torch.stack([rows[:-1], rows.diff()], dim=1)[[2, 0, 1]]
    together = rasterize(torch.cat(clips), faces, (8, 8), ranges=ranges, backend=backend)
    narrow = rasterize(torch.cat(clips), faces, (8, 8), ranges=ranges.int(), backend=backend)
    assert torch.equal(narrow.face_id, together.face_id)
    for image, n in enumerate((2, 0, 1)):
        alone = rasterize(clips[n][None], scenes[n].faces, (8, 8), backend=backend)
        expected = torch.where(alone.face_id[0] >= 0, alone.face_id[0] + int(rows[n]), -1)
        assert torch.equal(together.face_id[image], expected.int())
        torch.testing.assert_close(together.barycentric[image], alone.barycentric[0])
        torch.testing.assert_close(together.depth[image], alone.depth[0])


@pytest.mark.parametrize("fast", FAST)
def test_an_image_without_faces_and_a_batch_without_faces_are_empty(fast):
    clip, faces = flat((-1, -1), (1, -1), (0, 1)), torch.tensor([[0, 1, 2]])
    ranges = torch.tensor([[0, 0], [0, 1]])
    found = rasterize(clip[0], faces, (4, 4), ranges=ranges, backend=fast)
    assert found.face_id[0].eq(-1).all()
    assert found.face_id[1].eq(0).any()
    nothing = rasterize(clip.clone().requires_grad_(), faces[:0], (4, 4), backend=fast)
    assert nothing.face_id.eq(-1).all()
    assert nothing.depth.eq(1).all()
    nothing.barycentric.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
def test_missed_pixels_pass_no_gradient(backend):
    clip = flat((-1, -1), (0, -1), (-1, 0)).requires_grad_()
    found = rasterize(clip, torch.tensor([[0, 1, 2]]), (4, 4), backend=backend)
    missed = found.face_id < 0
    (grad,) = torch.autograd.grad((found.barycentric[missed].sum() + found.depth[missed].sum()), clip)
    assert grad.eq(0).all()


def test_working_in_small_runs_changes_nothing(sphere, monkeypatch):
    scene = sphere(24, rings=5, bumps=0.4)
    whole = rasterize(*scene, backend="vectorised").face_id
    for run in (1, 7, 100):
        monkeypatch.setattr(vectorised, "CHUNK", run)
        assert torch.equal(rasterize(*scene, backend="vectorised").face_id, whole)


@pytest.mark.parametrize("fast", FAST)
def test_repeating_a_backward_pass_repeats_its_bits(sphere, fast):
    scene = sphere(32)
    clip = scene.clip.float().requires_grad_()
    grads = []
    for _ in range(3):
        found = rasterize(clip, scene.faces, scene.resolution, backend=fast)
        grads.append(torch.autograd.grad(found.barycentric.square().sum() + found.depth.sum(), clip)[0])
    assert torch.equal(grads[0], grads[1])
    assert torch.equal(grads[0], grads[2])


@pytest.mark.parametrize(
    ("clip", "faces", "resolution", "ranges", "message"),
    [
        (torch.zeros(1, 3, 3), torch.zeros(1, 3).long(), (2, 2), None, r"`clip` has shape \(1, 3, 3\)"),
        (torch.zeros(3, 4), torch.zeros(1, 3).long(), (2, 2), None, r"`clip` has shape \(3, 4\)"),
        (torch.zeros(1, 3, 4), torch.zeros(1, 4).long(), (2, 2), None, r"`faces` has shape \(1, 4\)"),
        (torch.zeros(1, 3, 4), torch.zeros(1, 3).long(), (2, 0), None, r"`resolution` is \(2, 0\)"),
        (
            torch.zeros(1, 3, 4),
            torch.full((1, 3), 3),
            (2, 2),
            None,
            "indices 3 to 3, but `clip` has 3 vertices",
        ),
        (
            torch.zeros(1, 3, 4),
            torch.zeros(1, 3).long(),
            (2, 2),
            torch.zeros(1, 2).long(),
            r"\(1, 3, 4\), not \[V, 4\]",
        ),
        (
            torch.zeros(3, 4),
            torch.zeros(1, 3).long(),
            (2, 2),
            torch.zeros(1, 3).long(),
            r"`ranges` has shape \(1, 3\)",
        ),
        (torch.zeros(3, 4), torch.zeros(1, 3).long(), (2, 2), torch.tensor([[0, 2]]), "outside the 1 rows"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_received(clip, faces, resolution, ranges, message):
    with pytest.raises(ConfigError, match=message) as caught:
        refused(clip, faces, resolution, ranges=ranges)
    assert caught.value.fix


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("resolution", [(1, 1), (37, 53), (300, 200)])
def test_large_pictures_of_many_faces_equal_the_vectorised_ones(sphere, fast, resolution):
    scene = sphere(8, rings=40, bumps=0.3, views=2)
    ours, theirs = (rasterize(scene.clip, scene.faces, resolution, backend=b) for b in (fast, "vectorised"))
    assert torch.equal(ours.face_id, theirs.face_id)
    torch.testing.assert_close(ours.barycentric, theirs.barycentric)
    behind = [
        rasterize(scene.clip, scene.faces, resolution, behind=ours, backend=b).face_id
        for b in (fast, "vectorised")
    ]
    assert torch.equal(*behind)
    assert behind[0].ne(ours.face_id).sum() >= ours.face_id.ge(0).sum()


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("size", [0.03, 0.1, 0.3])
def test_many_small_faces_across_the_near_and_far_planes_equal_the_vectorised_ones(fast, size):
    random = torch.Generator().manual_seed(1)
    middle = torch.rand(1500, 1, 3, generator=random) * torch.tensor([2.0, 2, 10]) - torch.tensor([1, 1, 5])
    corners = middle + torch.randn(1500, 3, 3, generator=random) * size
    clip = torch.cat([corners, torch.ones(1500, 3, 1)], dim=2).reshape(1, 4500, 4)
    faces = torch.arange(4500).reshape(1500, 3)
    for behind in (None, rasterize(clip, faces, (33, 30), backend="vectorised")):
        ours, theirs = (
            rasterize(clip, faces, (33, 30), behind=behind, backend=b).face_id for b in (fast, "vectorised")
        )
        assert torch.equal(ours, theirs)
    assert (corners[..., 2].abs() > 1).any(dim=1).sum() > 300


def test_deterministic_mode_sums_gradients_of_the_gpu_in_a_fixed_order(sphere):
    scene, grads = sphere(12, rings=4), []
    for fixed in (False, True):
        clip = scene.clip.clone().requires_grad_()
        torch.use_deterministic_algorithms(fixed)
        try:
            found = rasterize(clip, scene.faces, scene.resolution, backend="cuda")
            grads.append(torch.autograd.grad(found.barycentric.square().sum() + found.depth.sum(), clip)[0])
        finally:
            torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(grads[0], grads[1])
