"""Nonsense for the kernels: a defined result or a typed error, never a crash, on every backend."""

import inspect

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_backends import FAST, emulate

from polyglyph.base.errors import ConfigError
from polyglyph.kernels import device
from polyglyph.kernels.antialias import antialias
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.rasterize import evaluate, rasterize
from polyglyph.kernels.texture import texture

random = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(autouse=True)
def _emulated_cuda(monkeypatch):
    monkeypatch.setattr(device, "launcher", emulate)


@st.composite
def wild(draw):
    """Corners of any size, NaN and infinities among them; faces that repeat corners; any small picture."""
    vertices, count = draw(st.integers(1, 6)), draw(st.integers(0, 6))
    number = st.floats(width=32) | st.sampled_from([0.0, -0.0, 1e-40, -1e-40, 1e38, 1.0, -1.0, 0.5])
    values = draw(st.lists(number, min_size=vertices * 4, max_size=vertices * 4))
    index = st.integers(0, vertices - 1)
    faces = draw(st.lists(st.tuples(index, index, index), min_size=count, max_size=count))
    size = (draw(st.integers(1, 70)), draw(st.integers(1, 70)))
    clip = torch.tensor(values).view(1, vertices, 4)
    return clip, torch.tensor(faces, dtype=torch.int64).view(-1, 3), size


@pytest.mark.parametrize("fast", FAST)
@random
@given(scene=wild())
def test_any_corners_give_finite_pictures(fast, scene):
    clip, faces, size = scene
    first = rasterize(clip, faces, size, derivatives=True, backend=fast)
    second = rasterize(clip, faces, size, behind=first, backend=fast)
    for found in (first, second):
        assert found.face_id.min() >= -1
        assert found.face_id.max() < max(len(faces), 1)
        assert found.depth.ge(-1 - 1e-6).all()
    assert not ((second.face_id == first.face_id) & (first.face_id >= 0)).any()


@pytest.mark.parametrize("fast", FAST)
@random
@given(scene=wild())
def test_any_corners_go_through_the_whole_chain_and_back(fast, scene):
    clip, faces, size = scene
    clip = clip.clone().requires_grad_()
    found = rasterize(clip, faces, size, backend=fast)
    attributes = torch.rand(clip.shape[1], 2, requires_grad=True)
    uv = interpolate(attributes, faces, found.face_id, found.barycentric, backend=fast)
    color = texture(torch.rand(3, 5, 2), uv, backend=fast)
    soft = antialias(color, found, clip, faces, backend=fast)
    soft.sum().backward()
    assert attributes.grad is not None
    assert attributes.grad.shape == attributes.shape


def beyond(fragments):
    """Fragments that see the second face of however many."""
    return fragments._replace(face_id=torch.ones_like(fragments.face_id))


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, f, b: rasterize(c, f + 3, (4, 4), backend=b), "holds indices 3 to 5"),
        (lambda c, f, b: rasterize(c, f - 1, (4, 4), backend=b), "holds indices -1 to 1"),
        (
            lambda c, f, b: rasterize(c[0], f, (4, 4), ranges=torch.tensor([[0, 2]]), backend=b),
            "reaches outside",
        ),
        (
            lambda c, f, b: rasterize(c[0], f, (4, 4), ranges=torch.tensor([[-1, 1]]), backend=b),
            "reaches outside",
        ),
        (
            lambda c, f, b: interpolate(
                c[0], f, torch.ones(1, 2, 2).int(), torch.zeros(1, 2, 2, 3), backend=b
            ),
            "`face_id` reaches 1",
        ),
        (
            lambda c, f, b: rasterize(c[0], f, (4, 4), ranges=torch.tensor([[1, 1]]), backend=b),
            "reaches outside",
        ),
        (
            lambda c, f, b: rasterize(c, f, (4, 4), behind=beyond(rasterize(c, f, (4, 4))), backend=b),
            "`face_id` reaches",
        ),
        (lambda c, f, b: evaluate(c, f, torch.ones(1, 4, 4).int(), backend=b), "`face_id` reaches"),
        (lambda c, f, b: evaluate(c, f + 3, torch.zeros(1, 4, 4).int(), backend=b), "holds indices 3 to 5"),
        (
            lambda c, f, b: antialias(
                torch.zeros(1, 4, 4, 1), beyond(rasterize(c, f, (4, 4))), c, f, backend=b
            ),
            "`face_id` reaches",
        ),
        (
            lambda c, f, b: interpolate(
                c[0], f + 3, torch.zeros(1, 2, 2).int(), torch.zeros(1, 2, 2, 3), backend=b
            ),
            "holds indices 3 to 5",
        ),
        (
            lambda c, f, b: antialias(
                torch.zeros(1, 4, 4, 1), rasterize(c, f, (4, 4), backend=b), c, f + 3, backend=b
            ),
            "holds indices 3 to 5",
        ),
        (
            lambda c, f, b: antialias(
                torch.zeros(1, 4, 4, 1), rasterize(c, f, (4, 4), backend=b), c[:, :2], f, backend=b
            ),
            "holds indices 0 to 2",
        ),
    ],
)
def test_indices_out_of_range_are_refused_before_anything_is_read(fast, call, message):
    clip = torch.tensor([[[-1.0, -1, 0, 1], [1, -1, 0, 1], [-1, 1, 0, 1]]])
    with pytest.raises(ConfigError, match=message) as caught:
        call(clip, torch.tensor([[0, 1, 2]]), fast)
    assert caught.value.fix


@pytest.mark.parametrize("fast", FAST)
def test_a_million_faces_behind_one_pixel_are_drawn(fast):
    count = 20_000 if fast == "cuda" else 200_000
    depth = torch.linspace(0.9, -0.9, count)
    corner = torch.tensor([[-3.0, -3], [3, -3], [0, 4]])
    xy = corner.repeat(count, 1)
    clip = torch.cat([xy, depth.repeat_interleave(3)[:, None], torch.ones(3 * count, 1)], dim=1)[None]
    found = rasterize(clip, torch.arange(3 * count).view(-1, 3), (1, 1), backend=fast)
    assert found.face_id.item() == count - 1


def test_resolutions_beyond_any_memory_are_refused():
    clip, faces = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]])
    for size in ((1 << 20, 1 << 20), (1, 1 << 20), (1 << 20, 1)):
        with pytest.raises(ConfigError, match="`resolution`"):
            inspect.unwrap(rasterize)(clip, faces, size)
