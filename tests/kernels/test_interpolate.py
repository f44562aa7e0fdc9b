import inspect

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.interpolate import interpolate, interpolate_derivative
from polyglyph.kernels.rasterize import evaluate, rasterize

DOUBLE = torch.float64
refused = inspect.unwrap(interpolate)  # as users call it: the shape checks that tests switch on are taken off
random = settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck), derandomize=True)


def drawn(scene):
    """Attributes per image, shared attributes and fragments of a scene; all but ids ask for gradients."""
    found = rasterize(*scene)
    batch, vertices = scene.clip.shape[:2]
    own = torch.linspace(-2, 3, batch * vertices * 3, dtype=DOUBLE).cos().reshape(batch, vertices, 3)
    barycentric = found.barycentric.to(DOUBLE).detach().requires_grad_()
    return own.requires_grad_(), own[0].detach().requires_grad_(), scene.faces, found.face_id, barycentric


@pytest.mark.parametrize("backend", BACKENDS)
def test_known_weights_give_the_known_blend(backend):
    attributes = torch.tensor([[1.0, 10], [2, 20], [4, 40], [8, 80]])
    faces = torch.tensor([[0, 1, 2], [3, 1, 0]])
    face_id = torch.tensor([[[1, -1, 0]]], dtype=torch.int32)
    barycentric = torch.tensor([[[[0.5, 0.25, 0.25], [0.3, 0.3, 0.4], [0, 0, 1]]]])
    out = interpolate(attributes, faces, face_id, barycentric, backend=backend)
    torch.testing.assert_close(out, torch.tensor([[[[4.75, 47.5], [0, 0], [4, 40]]]]))


@pytest.mark.parametrize("fast", FAST)
@random
@given(data=st.data())
def test_value_and_gradient_match_the_reference(scenes, fast, data):
    own, shared, faces, face_id, barycentric = drawn(data.draw(scenes(DOUBLE)))
    for attributes in (own, shared):
        results = []
        for backend in ("reference", fast):
            out = interpolate(attributes, faces, face_id, barycentric, backend=backend)
            loss = (out * torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).reshape(out.shape)).square().sum()
            # The reference leaves no graph behind where no pixel was hit.
            grads = torch.autograd.grad(
                loss + 0 * (attributes.sum() + barycentric.sum()), (attributes, barycentric)
            )
            results.append((out, *grads))
        for ours, theirs in zip(results[1], results[0], strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("fast", FAST)
def test_gradcheck_in_attributes_and_barycentrics(sphere, fast):
    own, shared, faces, face_id, barycentric = drawn(sphere(4, rings=3))
    for attributes in (own, shared):
        assert torch.autograd.gradcheck(
            lambda a, b: interpolate(a, faces, face_id, b, backend=fast), (attributes, barycentric)
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_missed_pixels_are_zero_and_pass_no_gradient(sphere, backend):
    own, _, faces, face_id, barycentric = drawn(sphere(8, rings=3))
    missed = face_id < 0
    assert missed.any()
    weights = torch.where(missed[..., None], torch.nan, barycentric)  # whatever stands there must not matter
    out = interpolate(own, faces, face_id, weights, backend=backend)
    assert out[missed].eq(0).all()
    grads = torch.autograd.grad(out[missed].sum() + 0 * out.sum(), (own, barycentric))
    assert all(grad.eq(0).all() for grad in grads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shared_attributes_equal_the_same_attributes_per_image(sphere, backend):
    _, shared, faces, face_id, barycentric = drawn(sphere(8, rings=3))
    once = interpolate(shared, faces, face_id, barycentric, backend=backend)
    twice = interpolate(shared.expand(2, -1, -1), faces, face_id, barycentric, backend=backend)
    assert torch.equal(once, twice)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_change_of_positions_on_a_plane_is_one_pixel(backend):
    clip = torch.tensor([[[-2, -2, 0, 1], [5, -2, 0, 1], [-2, 5, 0, 1]]], dtype=DOUBLE)
    faces = torch.tensor([[0, 1, 2]])
    found = rasterize(clip, faces, (4, 8), derivatives=True)
    change = interpolate_derivative(
        clip[0], faces, found.face_id, found.derivative, channels=[1, 0], backend=backend
    )
    # One pixel to the right is 2/8 of x, one down is -2/4 of y.
    torch.testing.assert_close(change, clip.new_tensor([[0, -0.5], [0.25, 0]]).expand(1, 4, 8, 2, 2))


@pytest.mark.parametrize("fast", FAST)
def test_gradcheck_of_the_change_through_the_vertices(sphere, fast):
    scene = sphere(4, rings=3)
    face_id = rasterize(*scene).face_id
    attributes = torch.linspace(-2, 3, len(scene.clip[0]) * 2, dtype=DOUBLE).cos().reshape(-1, 2)

    def change(attributes, clip):
        found = evaluate(clip, scene.faces, face_id, derivatives=True, backend=fast)
        return interpolate_derivative(attributes, scene.faces, face_id, found.derivative, backend=fast)

    assert torch.autograd.gradcheck(change, (attributes.requires_grad_(), scene.clip.requires_grad_()))


@pytest.mark.parametrize("fast", FAST)
def test_no_images_no_channels_and_no_faces_are_nothing(fast):
    faces, weights = torch.zeros(0, 3).long(), torch.zeros(2, 4, 4, 3)
    missed = torch.full((2, 4, 4), -1).int()
    attributes = torch.zeros(3, 2, requires_grad=True)
    out = interpolate(attributes, faces, missed, weights, backend=fast)
    assert out.eq(0).all()
    assert torch.autograd.grad(out.sum(), attributes)[0].eq(0).all()
    assert interpolate(attributes[:, :0], faces, missed, weights, backend=fast).shape == (2, 4, 4, 0)
    assert interpolate(attributes, faces, missed[:0], weights[:0], backend=fast).shape == (0, 4, 4, 2)


def test_deterministic_mode_gives_the_same_sums_on_the_gpu(sphere):
    own, shared, faces, face_id, barycentric = drawn(sphere(12, rings=4))
    for attributes in (own, shared):
        grads = []
        for fixed in (False, True):
            torch.use_deterministic_algorithms(fixed)
            try:
                out = interpolate(attributes, faces, face_id, barycentric, backend="cuda")
                grads.append(torch.autograd.grad(out.square().sum(), attributes)[0])
            finally:
                torch.use_deterministic_algorithms(False)
        torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": [2]}, r"`channels` is \[2\], and `attributes` has 2"),
        ({"derivative": torch.zeros(2, 4, 4, 3)}, r"`derivative` has shape \(2, 4, 4, 3\)"),
    ],
)
def test_a_change_that_cannot_be_worked_out_is_refused(wrong, message):
    fitting = {
        "attributes": torch.zeros(3, 2),
        "faces": torch.tensor([[0, 1, 2]]),
        "face_id": torch.zeros(2, 4, 4).int(),
        "derivative": torch.zeros(2, 4, 4, 3, 2),
    }
    with pytest.raises(ConfigError, match=message):
        inspect.unwrap(interpolate_derivative)(**(fitting | wrong))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributes": torch.zeros(3, 3, 2)}, r"`attributes` has shape \(3, 3, 2\) for 2 images"),
        (
            {"attributes": torch.zeros(3, 2, dtype=DOUBLE)},
            "`attributes` is torch.float64 and `barycentric` torch.float32",
        ),
        ({"faces": torch.zeros(1, 2).long()}, r"`faces` has shape \(1, 2\)"),
        ({"face_id": torch.ones(2, 4, 4).int()}, "`face_id` reaches 1, but `faces` has 1 rows"),
        ({"barycentric": torch.zeros(2, 4, 4, 2)}, r"`barycentric` \(2, 4, 4, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_received(change, message):
    fitting = {
        "attributes": torch.zeros(3, 2),
        "faces": torch.tensor([[0, 1, 2]]),
        "face_id": torch.zeros(2, 4, 4).int(),
        "barycentric": torch.zeros(2, 4, 4, 3),
    }
    with pytest.raises(ConfigError, match=message) as caught:
        refused(**(fitting | change))
    assert caught.value.fix
