"""Texture look-up: glTF's corners and centres, filters, wraps, gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.kernels import texture as room
from polyglyph.kernels.texture import texture

BACKENDS = ["reference", "vectorised"]
FAST = ["vectorised"]
FILTERS = ["bilinear", "nearest"]
WRAPS = ["repeat", "clamp", "zero"]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def centres(height: int, width: int) -> torch.Tensor:
    """The uv of every texel's centre, (1, height, width, 2)."""
    u = (torch.arange(width) + 0.5) / width
    v = (torch.arange(height) + 0.5) / height
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)[None]


@pytest.fixture
def picture():
    """Two rows of three grey texels: 0 1 2 over 10 11 12."""
    return torch.tensor([[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]])[:, :, None]


# ----------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", FILTERS)
def test_texel_centres_give_the_texels(backend, wrap, kind):
    image = torch.rand(3, 5, 2, generator=generator(0))
    out = texture(image, centres(3, 5), filter=kind, wrap=wrap, backend=backend)
    torch.testing.assert_close(out[0], image)


@pytest.mark.parametrize("backend", BACKENDS)
def test_uv_zero_is_the_top_left_corner_and_u_runs_along_the_row(picture, backend):
    uv = torch.tensor([[0.01, 0.01], [0.99, 0.01], [0.01, 0.99], [0.99, 0.99]])
    out = texture(picture, uv, filter="nearest", wrap="clamp", backend=backend)
    assert out[:, 0].tolist() == [0, 2, 10, 12]
    out = texture(picture, uv, filter="bilinear", wrap="clamp", backend=backend)
    torch.testing.assert_close(out[:, 0], torch.tensor([0.0, 2.0, 10.0, 12.0]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_halfway_between_centres_is_the_mean(picture, backend):
    uv = torch.tensor([[1 / 3, 0.25], [0.5, 0.5], [1 / 3, 0.5]])
    out = texture(picture, uv, backend=backend)[:, 0]
    torch.testing.assert_close(out, torch.tensor([0.5, 6.0, 5.5]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_nearest_takes_the_texel_that_starts_at_a_border(picture, backend):
    image = torch.arange(4.0)[None, :, None]
    uv = torch.tensor([[0.0, 0.5], [0.2499, 0.5], [0.25, 0.5], [0.75, 0.5], [0.9999, 0.5]])
    out = texture(image, uv, filter="nearest", wrap="clamp", backend=backend)
    assert out[:, 0].tolist() == [0, 0, 1, 3, 3]


# ------------------------------------------------------------------------------------------- wraps


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FILTERS)
def test_repeat_is_periodic_and_blends_across_the_seam(picture, backend, kind):
    uv = torch.rand(20, 2, generator=generator(1), dtype=torch.float64)
    for shift in ([1.0, 0.0], [-2.0, 3.0]):
        moved = texture(picture, uv + torch.tensor(shift), filter=kind, backend=backend)
        torch.testing.assert_close(moved, texture(picture, uv, filter=kind, backend=backend))
    seam = texture(picture, torch.tensor([[0.0, 0.25], [1.0, 0.25]]), backend=backend)
    assert seam[:, 0].tolist() == [1.0, 1.0]  # the mean of the row's first and last texel


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FILTERS)
def test_clamp_holds_the_border(picture, backend, kind):
    uv = torch.tensor([[-5.0, 0.25], [7.0, 0.25], [0.5, -3.0], [0.5, 9.0], [4.0, 4.0]])
    out = texture(picture, uv, filter=kind, wrap="clamp", backend=backend)
    torch.testing.assert_close(out[:, 0], torch.tensor([0.0, 2.0, 1.0, 11.0, 12.0]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_zero_is_zero_outside_and_fades_over_the_border(backend):
    image = torch.ones(4, 4, 1)
    uv = torch.tensor([[-0.2, 0.5], [1.2, 0.5], [0.5, -0.2], [0.0, 0.5], [1.0, 1.0], [0.0625, 0.5]])
    out = texture(image, uv, wrap="zero", backend=backend)
    torch.testing.assert_close(out[:, 0], torch.tensor([0.0, 0.0, 0.0, 0.5, 0.25, 0.75]))
    out = texture(image, uv, filter="nearest", wrap="zero", backend=backend)
    assert out[:, 0].tolist() == [0, 0, 0, 1, 0, 1]


@pytest.mark.parametrize(("wrap", "padding"), [("clamp", "border"), ("zero", "zeros")])
@pytest.mark.parametrize("kind", FILTERS)
def test_clamp_and_zero_agree_with_grid_sample(wrap, padding, kind):
    image = torch.rand(2, 5, 7, 3, generator=generator(2), dtype=torch.float64)
    uv = torch.rand(2, 6, 4, 2, generator=generator(3), dtype=torch.float64) * 1.6 - 0.3
    theirs = F.grid_sample(
        image.permute(0, 3, 1, 2), 2 * uv - 1, mode=kind, padding_mode=padding, align_corners=False
    )
    torch.testing.assert_close(texture(image, uv, filter=kind, wrap=wrap), theirs.permute(0, 2, 3, 1))


# ---------------------------------------------------------------------------------- batches, types


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FILTERS)
def test_each_picture_of_a_batch_reads_its_own_image(backend, kind):
    images = torch.rand(3, 4, 5, 2, generator=generator(4))
    uv = torch.rand(3, 2, 3, 2, generator=generator(5))
    out = texture(images, uv, filter=kind, backend=backend)
    for k in range(3):
        torch.testing.assert_close(out[k], texture(images[k], uv[k : k + 1], filter=kind, backend=backend)[0])


def test_a_shared_image_is_as_good_as_copies_of_it():
    image = torch.rand(4, 5, 2, generator=generator(6))
    uv = torch.rand(3, 2, 3, 2, generator=generator(7)) * 4 - 2
    torch.testing.assert_close(texture(image, uv), texture(image.repeat(3, 1, 1, 1), uv))
    torch.testing.assert_close(texture(image, uv).view(-1, 2), texture(image, uv.view(-1, 2)))


# --------------------------------------------------------------------------------------- reference


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(FILTERS),
    wrap=st.sampled_from(WRAPS),
    form=st.sampled_from(["samples", "shared", "own"]),
)
def test_value_and_gradient_match_the_reference(backend, size, seed, kind, wrap, form):
    random = generator(seed)
    image = torch.randn((2, *size) if form == "own" else size, generator=random, dtype=torch.float64)
    shape = (6, 2) if form == "samples" else (2, 2, 3, 2)
    uv = torch.rand(shape, generator=random, dtype=torch.float64) * 4 - 1.5
    image.requires_grad_()
    uv.requires_grad_()
    results = {}
    for name in ("reference", backend):
        out = texture(image, uv, filter=kind, wrap=wrap, backend=name)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
        loss = (out * weight).sum() + 0 * (image.sum() + uv.sum())
        results[name] = (out, *torch.autograd.grad(loss, (image, uv)))
    for ours, theirs in zip(results[backend], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("wrap", WRAPS)
def test_bilinear_passes_gradcheck_in_image_and_uv(wrap):
    image = torch.randn(2, 3, 4, 2, generator=generator(8), dtype=torch.float64, requires_grad=True)
    # Inside the cells between texel centres, where the blend is smooth; some of them outside the image.
    cell = torch.tensor([[-1, -1], [0, 1], [2, 2], [4, 3], [3, 0], [1, -2]], dtype=torch.float64)
    inner = torch.rand(6, 2, generator=generator(9), dtype=torch.float64) * 0.8 + 0.1
    uv = ((cell + inner + 0.5) / torch.tensor([4.0, 3.0])).view(2, 3, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, c: texture(i, c, wrap=wrap), (image, uv))


@pytest.mark.parametrize("backend", BACKENDS)
def test_nearest_sends_its_gradient_to_one_texel_and_none_to_uv(backend):
    image = torch.zeros(2, 3, 1, requires_grad=True)
    uv = torch.tensor([[0.5, 0.9]], requires_grad=True)
    out = texture(image, uv, filter="nearest", backend=backend)
    grads = torch.autograd.grad(out.sum(), (image, uv), allow_unused=True)
    assert grads[0].squeeze().tolist() == [[0, 0, 0], [0, 1, 0]]
    assert grads[1] is None


# ---------------------------------------------------------------------------------------- refusals


def test_an_unknown_filter_or_wrap_is_refused_by_name(picture):
    uv = torch.zeros(1, 2)
    with pytest.raises((ConfigError, TypeError), match="cubic"):
        texture(picture, uv, filter="cubic")  # pyright: ignore[reportArgumentType]
    with pytest.raises((ConfigError, TypeError), match="mirror"):
        texture(picture, uv, wrap="mirror")  # pyright: ignore[reportArgumentType]
    with pytest.raises((BackendError, TypeError)):
        texture(picture, uv, backend="cuda")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("image", "uv", "message"),
    [
        ((2, 2, 3), (4, 3), r"`uv` has shape \(4, 3\)"),
        ((2, 2, 3), (4, 4, 2), r"`uv` has shape \(4, 4, 2\)"),
        ((2, 2), (4, 2), r"`image` has shape \(2, 2\)"),
        ((0, 2, 3), (4, 2), r"`image` has shape \(0, 2, 3\)"),
        ((2, 2, 2, 3), (4, 2), r"2 images do not go with `uv` of shape \(4, 2\)"),
        ((2, 2, 2, 3), (3, 4, 4, 2), r"2 images do not go with `uv` of shape \(3, 4, 4, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_shape(image, uv, message):
    # Below the façade, whose annotations (checked in tests only) would refuse most of these first.
    with pytest.raises(ConfigError, match=message):
        room._check(torch.zeros(image), torch.zeros(uv))


def test_the_facade_refuses_an_image_without_texels():
    with pytest.raises(ConfigError, match="`image` has shape"):
        texture(torch.zeros(0, 2, 3), torch.zeros(4, 2))
