"""Mip levels: how they are built, which one a footprint asks for, and the gradients of all of it."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.texture import build_mips, texture

DOUBLE = torch.float64
MIPMAPPED = ["bilinear-mipmap", "trilinear"]
WRAPS = ["repeat", "clamp", "zero"]
refused = inspect.unwrap(texture)  # as users call it: the shape checks that tests switch on are taken off


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steps(levels: int = 4, height: int = 8, width: int = 8) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """An image of 0 whose mip levels 1, 2, … are 1, 2, …: a look-up returns the level it was made at."""
    image = torch.zeros(height, width, 1, dtype=DOUBLE)
    mips = [
        torch.full((max(height >> n, 1), max(width >> n, 1), 1), float(n), dtype=DOUBLE)
        for n in range(1, levels)
    ]
    return image, mips


def at_level(jacobian, backend, *, height=8, width=8, level=None, kind="trilinear"):
    """The level found for footprints [N, 2, 2] given in texels per pixel."""
    image, mips = steps(height=height, width=width)
    derivative = torch.as_tensor(jacobian, dtype=DOUBLE) / torch.tensor([[width], [height]], dtype=DOUBLE)
    uv = torch.full((len(derivative), 2), 0.4, dtype=DOUBLE)
    level = None if level is None else torch.full((len(uv),), level, dtype=DOUBLE)
    out = texture(image, uv, filter=kind, uv_derivative=derivative, level=level, mips=mips, backend=backend)
    return out[:, 0]


# ------------------------------------------------------------------------------------------ the stack


def test_levels_are_means_of_squares_down_to_one_texel():
    image = torch.arange(8.0).view(2, 4, 1)
    first, second = build_mips(image)
    assert first.squeeze().tolist() == [2.5, 4.5]
    assert second.shape == (1, 1, 1)
    assert second.item() == 3.5


def test_each_image_of_a_batch_and_each_face_of_a_cube_has_its_own_levels():
    image = torch.rand(2, 6, 4, 4, 3, generator=generator(0))
    built = build_mips(image)
    assert [level.shape for level in built] == [(2, 6, 2, 2, 3), (2, 6, 1, 1, 3)]
    torch.testing.assert_close(built[1][1, 4, 0, 0], image[1, 4].mean(dim=(0, 1)))


@pytest.mark.parametrize("shape", [(1, 8, 2), (8, 1, 2)])
def test_an_extent_of_one_stays_one(shape):
    image = torch.rand(shape, generator=generator(1))
    assert [max(level.shape[:2]) for level in build_mips(image)] == [4, 2, 1]
    torch.testing.assert_close(build_mips(image)[-1].view(2), image.mean(dim=(0, 1)))


def test_odd_extents_are_refused_unless_the_levels_stop_before():
    image = torch.zeros(12, 8, 1)
    assert len(build_mips(image, 2)) == 2
    assert len(build_mips(image, 0)) == 0
    with pytest.raises(ConfigError, match="level 2 of the image has 3 × 2 texels") as caught:
        build_mips(image)
    assert "levels=2" in caught.value.fix
    with pytest.raises(ConfigError, match="level 2 of the image"):
        texture(image, torch.zeros(1, 2), filter="trilinear", level=torch.zeros(1))


def test_building_levels_passes_gradcheck():
    for shape in ((4, 8, 2), (1, 4, 1), (4, 1, 1)):
        image = torch.rand(shape, generator=generator(2), dtype=DOUBLE, requires_grad=True)
        assert torch.autograd.gradcheck(lambda i: tuple(build_mips(i)), (image,))


# ------------------------------------------------------------------------------------ level of detail


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_level_is_the_logarithm_of_the_longer_axis_of_the_footprint(backend):
    turn = torch.tensor([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]], dtype=DOUBLE)
    long = torch.tensor([[4.0, 0.0], [0.0, 1.5]], dtype=DOUBLE)
    circle = torch.eye(2, dtype=DOUBLE) * 2
    found = at_level(
        torch.stack([long, long.flip(0), turn @ long, turn @ long @ turn, turn @ circle]), backend
    )
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0, 2.0, 2.0, 1.0], dtype=DOUBLE))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(8, 8), (8, 16), (16, 8)])
def test_any_footprint_has_the_level_of_its_largest_singular_value(backend, size):
    jacobian = torch.randn(40, 2, 2, generator=generator(3), dtype=DOUBLE) * 3
    expected = torch.linalg.matrix_norm(jacobian, 2).log2().clamp(0, 3)
    found = at_level(jacobian, backend, height=size[0], width=size[1])
    torch.testing.assert_close(found, expected)
    nearest = at_level(jacobian, backend, height=size[0], width=size[1], kind="bilinear-mipmap")
    torch.testing.assert_close(nearest, (expected + 0.5).floor())


@pytest.mark.parametrize("backend", BACKENDS)
def test_levels_are_clamped_to_the_stack_and_a_bias_is_added_before(backend):
    wide, narrow = torch.eye(2) * 1000, torch.eye(2) * 1e-3
    found = at_level(torch.stack([wide, narrow, torch.zeros(2, 2), torch.eye(2) * 1e-300]), backend)
    assert found.tolist() == [3, 0, 0, 0]
    biased = at_level(torch.stack([torch.eye(2) * 2]), backend, level=0.5)
    torch.testing.assert_close(biased, torch.tensor([1.5], dtype=DOUBLE))
    assert at_level(torch.stack([wide]), backend, level=-20.0).tolist() == [0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_level_alone_is_absolute(backend):
    image, mips = steps()
    level = torch.tensor([-1.0, 0.25, 1.0, 1.6, 2.5, 3.0, 7.0, torch.inf, -torch.inf], dtype=DOUBLE)
    uv = torch.full((9, 2), 0.3, dtype=DOUBLE)
    out = texture(image, uv, filter="trilinear", level=level, mips=mips, backend=backend)[:, 0]
    torch.testing.assert_close(out, level.clamp(0, 3))
    out = texture(image, uv, filter="bilinear-mipmap", level=level, mips=mips, backend=backend)[:, 0]
    torch.testing.assert_close(out, torch.tensor([0.0, 0, 1, 2, 3, 3, 3, 3, 0], dtype=DOUBLE))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_whole_levels_are_look_ups_in_the_levels(backend, wrap):
    images = torch.rand(2, 4, 8, 3, generator=generator(4), dtype=DOUBLE)
    uv = torch.rand(2, 3, 3, 2, generator=generator(5), dtype=DOUBLE) * 3 - 1
    for index, own in enumerate([images, *build_mips(images)]):
        level = torch.full((2, 3, 3), float(index), dtype=DOUBLE)
        for kind in MIPMAPPED:
            out = texture(images, uv, filter=kind, level=level, wrap=wrap, backend=backend)
            torch.testing.assert_close(out, texture(own, uv, wrap=wrap, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", MIPMAPPED)
def test_an_image_of_one_texel_has_one_level(backend, kind):
    out = texture(torch.ones(1, 1, 2), torch.rand(3, 2), filter=kind, level=torch.ones(3), backend=backend)
    torch.testing.assert_close(out, torch.ones(3, 2))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", MIPMAPPED)
def test_a_footprint_or_level_without_meaning_gives_zero_and_passes_no_gradient(backend, kind):
    nan, inf = torch.nan, torch.inf
    image = torch.ones(4, 4, 1, requires_grad=True)
    uv = torch.full((6, 2), 0.3, requires_grad=True)
    derivative = torch.eye(2).repeat(6, 1, 1) * 0.4
    derivative[0], derivative[1, 1, 0], derivative[2, 0, 0] = 0, inf, 3e38
    derivative[0, 0, 1] = nan
    derivative.requires_grad_()
    level = torch.tensor([0.0, 0, 0, nan, 0, 0], requires_grad=True)
    out = texture(image, uv, filter=kind, uv_derivative=derivative, level=level, backend=backend)
    assert out[:, 0].tolist() == [0, 0, 0, 0, 1, 1]
    inputs = (image, uv, derivative, level)
    grads = torch.autograd.grad(out[:4].sum(), inputs, allow_unused=True, retain_graph=True)
    assert all(grad is None or grad.eq(0).all() for grad in grads)
    grads = torch.autograd.grad(out.sum(), inputs, allow_unused=True)
    assert all(grad is None or grad.isfinite().all() for grad in grads)


# ------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("fast", FAST)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.integers(1, 4)),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(MIPMAPPED),
    wrap=st.sampled_from(WRAPS),
    form=st.sampled_from(["samples", "shared", "own"]),
    given_level=st.sampled_from(["derivative", "level", "both"]),
    custom=st.booleans(),
)
def test_value_and_gradient_match_the_reference(fast, size, seed, kind, wrap, form, given_level, custom):
    random = generator(seed)
    image = torch.randn((2, *size) if form == "own" else size, generator=random, dtype=DOUBLE)
    mips = [torch.randn(level.shape, generator=random, dtype=DOUBLE) for level in build_mips(image)]
    shape = (6,) if form == "samples" else (2, 2, 3)
    uv = torch.rand((*shape, 2), generator=random, dtype=DOUBLE) * 4 - 1.5
    derivative = torch.randn((*shape, 2, 2), generator=random, dtype=DOUBLE) * 0.6
    level = torch.randn(shape, generator=random, dtype=DOUBLE) * 2 + 1
    inputs = [image, uv]
    options = {"filter": kind, "wrap": wrap}
    if given_level != "level":
        inputs.append(derivative)
        options["uv_derivative"] = derivative
    if given_level != "derivative":
        inputs.append(level)
        options["level"] = level
    if custom:
        inputs += mips
        options["mips"] = mips
    for value in inputs:
        value.requires_grad_()
    results = {}
    for name in ("reference", fast):
        out = texture(image, uv, backend=name, **options)
        weight = torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).view(out.shape)
        loss = (out * weight).sum() + 0 * sum(value.sum() for value in inputs)
        results[name] = (out, *torch.autograd.grad(loss, inputs))
    for ours, theirs in zip(results[fast], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_trilinear_passes_gradcheck_in_everything(fast, wrap, with_bias):
    random = generator(6)
    image = torch.randn(4, 8, 2, generator=random, dtype=DOUBLE, requires_grad=True)
    mips = [torch.randn_like(level).requires_grad_() for level in build_mips(image.detach())]
    # Off the kinks: a quarter of the finest cell away from texel centres, levels away from whole ones.
    cell = torch.tensor([[0, 0], [3, 2], [7, 3], [5, 1], [-2, 5]], dtype=DOUBLE)
    uv = ((cell + 0.75) / torch.tensor([8.0, 4.0], dtype=DOUBLE)).requires_grad_()
    jacobian = torch.tensor([[1.3, 0.4], [-0.2, 0.7]], dtype=DOUBLE)
    jacobian = jacobian * 2 ** torch.tensor([0.2, 1.2, 0.3, 1.1, -3.0], dtype=DOUBLE)[:, None, None]
    derivative = (jacobian / torch.tensor([[8.0], [4.0]], dtype=DOUBLE)).requires_grad_()
    level = torch.full((5,), 0.1, dtype=DOUBLE, requires_grad=True) if with_bias else None

    def values(image, uv, derivative, level, *mips):
        return texture(
            image,
            uv,
            filter="trilinear",
            wrap=wrap,
            uv_derivative=derivative,
            level=level,
            mips=mips,
            backend=fast,
        )

    assert torch.autograd.gradcheck(values, (image, uv, derivative, level, *mips))


@pytest.mark.parametrize("fast", FAST)
def test_gradients_flow_to_the_image_through_levels_built_on_the_fly(fast):
    image = torch.rand(4, 4, 2, generator=generator(7), dtype=DOUBLE, requires_grad=True)
    uv, level = torch.full((1, 2), 0.5, dtype=DOUBLE), torch.full((1,), 2.0, dtype=DOUBLE)
    out = texture(image, uv, filter="bilinear-mipmap", level=level, backend=fast)
    (grad,) = torch.autograd.grad(out.sum(), image)
    torch.testing.assert_close(grad, torch.full_like(grad, 1 / 16))
    assert torch.autograd.gradcheck(
        lambda i: texture(i, uv * 0.8, filter="trilinear", level=level - 0.6, backend=fast), (image,)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_of_a_circular_footprint_is_the_mean_over_directions(backend):
    image, mips = steps()
    derivative = (torch.eye(2, dtype=DOUBLE)[None] * 2 / 8).requires_grad_()
    uv = torch.full((1, 2), 0.3, dtype=DOUBLE)
    out = texture(image, uv, filter="trilinear", uv_derivative=derivative, mips=mips, backend=backend)
    (grad,) = torch.autograd.grad(out.sum(), derivative)
    # d(level)/d(size of the circle) = 1 / (2 ln 2), half of it along each axis, in texels.
    torch.testing.assert_close(grad[0], torch.eye(2, dtype=DOUBLE) * 8 / (4 * math.log(2)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clamped_level_passes_no_gradient_and_a_whole_one_that_of_its_right_side(backend):
    image, mips = steps()
    level = torch.tensor([-0.5, 0.0, 1.0, 3.0, 3.5], dtype=DOUBLE, requires_grad=True)
    uv = torch.full((5, 2), 0.3, dtype=DOUBLE)
    out = texture(image, uv, filter="trilinear", level=level, mips=mips, backend=backend)
    (grad,) = torch.autograd.grad(out.sum(), level)
    torch.testing.assert_close(grad, torch.tensor([0.0, 1, 1, 0, 0], dtype=DOUBLE))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearest_level_passes_no_gradient_to_what_chose_it(backend):
    image, mips = steps()
    level = torch.full((1,), 1.2, dtype=DOUBLE, requires_grad=True)
    derivative = torch.full((1, 2, 2), 0.1, dtype=DOUBLE, requires_grad=True)
    uv = torch.full((1, 2), 0.3, dtype=DOUBLE, requires_grad=True)
    out = texture(
        image, uv, filter="bilinear-mipmap", uv_derivative=derivative, level=level, mips=mips, backend=backend
    )
    grads = torch.autograd.grad(out.sum(), (uv, derivative, level), allow_unused=True)
    assert all(grad is None or grad.eq(0).all() for grad in grads[1:])


@pytest.mark.parametrize("fast", FAST)
def test_many_samples_in_float32_equal_the_vectorised_ones(fast):
    random = generator(8)
    image = torch.rand(2, 32, 64, 3, generator=random, requires_grad=True)
    uv = (torch.rand(2, 70, 80, 2, generator=random) * 2 - 0.5).requires_grad_()
    derivative = (torch.randn(2, 70, 80, 2, 2, generator=random) * 0.05).requires_grad_()
    results = []
    for name in ("vectorised", fast):
        out = texture(image, uv, filter="trilinear", uv_derivative=derivative, backend=name)
        results.append((out, *torch.autograd.grad(out.square().sum(), (image, uv, derivative))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter": "trilinear"}, "`trilinear` needs a level of detail"),
        ({"filter": "bilinear-mipmap"}, "`bilinear-mipmap` needs a level of detail"),
        ({"filter": "bilinear", "level": torch.zeros(3)}, "`bilinear` uses no derivatives"),
        ({"filter": "nearest", "uv_derivative": torch.zeros(3, 2, 2)}, "`nearest` uses no derivatives"),
        ({"filter": "bilinear", "mips": []}, "`bilinear` uses no derivatives"),
        ({"filter": "trilinear", "level": torch.zeros(4)}, r"`level` has shape \(4,\)"),
        ({"filter": "trilinear", "uv_derivative": torch.zeros(3, 4)}, r"`uv_derivative` has shape \(3, 4\)"),
        (
            {"filter": "trilinear", "level": torch.zeros(3), "mips": [torch.zeros(2, 2, 1)]},
            r"level 1 of `mips` has shape \(2, 2, 1\), not \(2, 4, 1\)",
        ),
        (
            {"filter": "trilinear", "level": torch.zeros(3), "mips": [torch.zeros(2, 4, 1)] * 2},
            r"level 2 of `mips` has shape \(2, 4, 1\), not \(1, 2, 1\)",
        ),
        (
            {"filter": "trilinear", "level": torch.zeros(3), "mips": [torch.zeros(2, 4, 2)]},
            r"level 1 of `mips` has shape \(2, 4, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_received(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        refused(torch.zeros(4, 8, 1), torch.zeros(3, 2), **options)
    assert caught.value.fix


@pytest.mark.parametrize("size", [(3, 3), (1, 1), (3, 8), (8, 3)])
def test_a_level_that_cannot_be_halved_ends_the_stack(size):
    image, uv, level = torch.zeros(*size, 1), torch.zeros(3, 2), torch.zeros(3)
    half = torch.zeros(max(size[0] // 2, 1), max(size[1] // 2, 1), 1)
    with pytest.raises(ConfigError, match="but level 0 has no half"):
        texture(image, uv, filter="trilinear", level=level, mips=[half])
    assert texture(image, uv, filter="trilinear", level=level, mips=[]).shape == (3, 1)
