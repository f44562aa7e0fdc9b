"""Texture look-up: glTF's corners and centres, filters, wraps, gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.kernels import texture as room
from polyglyph.kernels.texture import texture

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


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("wrap", "padding"), [("clamp", "border"), ("zero", "zeros")])
@pytest.mark.parametrize("kind", FILTERS)
def test_clamp_and_zero_agree_with_grid_sample(wrap, padding, kind, backend):
    image = torch.rand(2, 5, 7, 3, generator=generator(2), dtype=torch.float64)
    uv = torch.rand(2, 6, 4, 2, generator=generator(3), dtype=torch.float64) * 1.6 - 0.3
    theirs = F.grid_sample(
        image.permute(0, 3, 1, 2), 2 * uv - 1, mode=kind, padding_mode=padding, align_corners=False
    )
    torch.testing.assert_close(
        texture(image, uv, filter=kind, wrap=wrap, backend=backend), theirs.permute(0, 2, 3, 1)
    )


# ---------------------------------------------------------------------------------- batches, types


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FILTERS)
def test_each_picture_of_a_batch_reads_its_own_image(backend, kind):
    images = torch.rand(3, 4, 5, 2, generator=generator(4))
    uv = torch.rand(3, 2, 3, 2, generator=generator(5))
    out = texture(images, uv, filter=kind, backend=backend)
    for k in range(3):
        torch.testing.assert_close(out[k], texture(images[k], uv[k : k + 1], filter=kind, backend=backend)[0])


@pytest.mark.parametrize("backend", FAST)
def test_a_shared_image_is_as_good_as_copies_of_it(backend):
    image = torch.rand(4, 5, 2, generator=generator(6))
    uv = torch.rand(3, 2, 3, 2, generator=generator(7)) * 4 - 2
    shared = texture(image, uv, backend=backend)
    torch.testing.assert_close(shared, texture(image.repeat(3, 1, 1, 1), uv, backend=backend))
    torch.testing.assert_close(shared.view(-1, 2), texture(image, uv.view(-1, 2), backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FILTERS)
def test_no_samples_no_images_and_no_channels_are_fine(backend, kind):
    image = torch.rand(4, 5, 2, requires_grad=True)
    none = texture(image, torch.rand(0, 2), filter=kind, backend=backend)
    assert none.shape == (0, 2)
    if backend != "reference":
        assert torch.autograd.grad(none.sum(), image)[0].eq(0).all()
    assert texture(image, torch.rand(2, 0, 3, 2), filter=kind, backend=backend).shape == (2, 0, 3, 2)
    assert texture(torch.rand(0, 4, 5, 2), torch.rand(0, 2, 2, 2), backend=backend).shape == (0, 2, 2, 2)
    assert texture(image[..., :0], torch.rand(3, 2), filter=kind, backend=backend).shape == (3, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_result_has_the_promoted_type_and_strides_do_not_matter(backend):
    image = torch.rand(2, 5, 4, generator=generator(20), dtype=torch.float64)
    uv = torch.rand(2, 6, generator=generator(21))
    out = texture(image.permute(1, 2, 0), uv.T, backend=backend)
    assert out.dtype == torch.float64
    straight = texture(image.permute(1, 2, 0).contiguous(), uv.T.contiguous().double(), backend=backend)
    torch.testing.assert_close(out, straight)


def test_half_precision_runs_where_no_kernel_takes_it():
    image, uv = torch.rand(4, 4, 2, generator=generator(22)).half(), torch.rand(5, 2, generator=generator(23))
    torch.testing.assert_close(texture(image, uv), texture(image.float(), uv))
    assert texture(image, uv.half()).dtype == torch.float16


# ------------------------------------------------------------------------------ what cannot be looked up


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", FILTERS)
def test_uv_that_is_not_finite_gives_zero_and_passes_no_gradient(backend, wrap, kind):
    nan, inf = torch.nan, torch.inf
    image = torch.ones(3, 4, 2, requires_grad=True)
    uv = torch.tensor([[nan, 0.5], [0.5, nan], [inf, 0.5], [0.5, -inf], [nan, inf], [0.4, 0.6]])
    uv.requires_grad_()
    out = texture(image, uv, filter=kind, wrap=wrap, backend=backend)
    assert out[:5].eq(0).all()
    torch.testing.assert_close(out[5], torch.ones(2))
    grads = torch.autograd.grad((out * torch.rand(6, 2)).sum(), (image, uv), allow_unused=True)
    assert grads[0].isfinite().all()
    assert grads[1] is None or grads[1][:5].eq(0).all()
    (grad,) = torch.autograd.grad(
        texture(image, uv, filter=kind, wrap=wrap, backend=backend)[:5].sum(), image
    )
    assert grad.eq(0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", FILTERS)
def test_uv_of_any_size_reads_inside_the_image(backend, kind):
    image = torch.rand(3, 4, 2, generator=generator(24)) + 1
    large = torch.tensor([3e38, -3e38, 1e20, -1e10, 4e9, -4e9, 2.0**31, -(2.0**63)])
    uv = torch.stack([large, torch.full_like(large, 0.5)], dim=1)
    uv = torch.cat([uv, uv.flip(1)]).requires_grad_()
    for wrap in WRAPS:
        out = texture(image, uv, filter=kind, wrap=wrap, backend=backend)
        theirs = texture(image, uv.detach(), filter=kind, wrap=wrap, backend="reference")
        torch.testing.assert_close(out, theirs)
        if wrap == "zero":
            assert out.eq(0).all()
        if kind == "bilinear":
            assert torch.autograd.grad(out.sum(), uv)[0].isfinite().all()


# --------------------------------------------------------------------------------------- reference


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=40, deadline=None, derandomize=True)
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


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_samples_of_many_channels_equal_the_vectorised_ones(backend, dtype):
    random = generator(25)
    for channels in (1, 3, 7):
        image = torch.randn(37, 50, channels, generator=random, dtype=dtype, requires_grad=True)
        uv = (torch.rand(20000, 2, generator=random, dtype=dtype) * 3 - 1).requires_grad_()
        weight = torch.randn(20000, channels, generator=random, dtype=dtype)
        results = []
        for name in ("vectorised", backend):
            out = texture(image, uv, backend=name)
            results.append((out, *torch.autograd.grad(out, (image, uv), weight)))
        for ours, theirs in zip(*results, strict=True):
            # Sums of 40 float32 products with gradients near 100.
            tolerance = {"rtol": 1e-4, "atol": 2e-3} if dtype == torch.float32 else {}
            torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.skipif("cpu" not in FAST, reason="there is no compiled library")
@pytest.mark.parametrize("own", [False, True])
def test_gradients_have_the_same_bits_whatever_the_number_of_threads(own):
    random, grads, before = generator(26), [], torch.get_num_threads()
    image = torch.rand(*([2] if own else []), 16, 32, 3, generator=random, requires_grad=True)
    uv = (torch.rand(2, 100, 100, 2, generator=random) * 3 - 1).requires_grad_()
    bias = torch.rand(2, 100, 100, generator=random) * 5
    weight = torch.randn(2, 100, 100, 3, generator=random)
    weight[:, ::3] = 0
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = texture(image, uv, filter="trilinear", level=bias, backend="cpu")
            grads.append(torch.autograd.grad(out, (image, uv), weight))
    finally:
        torch.set_num_threads(before)
    for other in grads[1:]:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(other, grads[0], strict=True))


def test_deterministic_mode_sums_gradients_of_the_gpu_in_a_fixed_order():
    random, grads = generator(27), []
    image = torch.rand(8, 16, 3, generator=random, dtype=torch.float64, requires_grad=True)
    uv = (torch.rand(60, 2, generator=random, dtype=torch.float64) * 3 - 1).requires_grad_()
    level = torch.rand(60, generator=random, dtype=torch.float64) * 5
    for fixed in (False, True):
        torch.use_deterministic_algorithms(fixed)
        try:
            out = texture(image, uv, filter="trilinear", wrap="zero", level=level, backend="cuda")
            grads.append(torch.autograd.grad(out.square().sum(), (image, uv)))
        finally:
            torch.use_deterministic_algorithms(False)
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("wrap", WRAPS)
def test_bilinear_passes_gradcheck_in_image_and_uv(wrap, backend):
    image = torch.randn(2, 3, 4, 2, generator=generator(8), dtype=torch.float64, requires_grad=True)
    # Inside the cells between texel centres, where the blend is smooth; some of them outside the image.
    cell = torch.tensor([[-1, -1], [0, 1], [2, 2], [4, 3], [3, 0], [1, -2]], dtype=torch.float64)
    inner = torch.rand(6, 2, generator=generator(9), dtype=torch.float64) * 0.8 + 0.1
    uv = ((cell + inner + 0.5) / torch.tensor([4.0, 3.0])).view(2, 3, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, c: texture(i, c, wrap=wrap, backend=backend), (image, uv))


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
        texture(picture, uv, backend="metal")  # pyright: ignore[reportArgumentType]


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
