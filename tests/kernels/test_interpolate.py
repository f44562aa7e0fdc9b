import inspect

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.rasterize import rasterize

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


@random
@given(data=st.data())
def test_value_and_gradient_match_the_reference(scenes, data):
    own, shared, faces, face_id, barycentric = drawn(data.draw(scenes(DOUBLE)))
    for attributes in (own, shared):
        results = []
        for backend in BACKENDS:
            out = interpolate(attributes, faces, face_id, barycentric, backend=backend)
            loss = (out * torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).reshape(out.shape)).square().sum()
            # The reference leaves no graph behind where no pixel was hit.
            grads = torch.autograd.grad(
                loss + 0 * (attributes.sum() + barycentric.sum()), (attributes, barycentric)
            )
            results.append((out, *grads))
        for ours, theirs in zip(results[1], results[0], strict=True):
            torch.testing.assert_close(ours, theirs)


def test_gradcheck_in_attributes_and_barycentrics(sphere):
    own, shared, faces, face_id, barycentric = drawn(sphere(4, rings=3))
    for attributes in (own, shared):
        assert torch.autograd.gradcheck(
            lambda a, b: interpolate(a, faces, face_id, b), (attributes, barycentric)
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
