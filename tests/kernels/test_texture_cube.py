"""Cube maps: OpenGL's faces, blending across edges and corners, gradients of directions."""

import inspect
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_backends import BACKENDS, FAST

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.texture import build_mips, texture_cube

DOUBLE = torch.float64
refused = inspect.unwrap(texture_cube)  # the shape checks that tests switch on are taken off


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def centres(size: int) -> torch.Tensor:
    """Directions [6, size, size, 3] of texels' centres, from OpenGL 4.6, table 8.19, solved for (x, y, z)."""
    place = (2 * torch.arange(size, dtype=DOUBLE) + 1) / size - 1
    tc, sc = torch.meshgrid(place, place, indexing="ij")
    one = torch.ones_like(sc)
    faces = [
        (one, -tc, -sc), (-one, -tc, sc), (sc, one, tc), (sc, -one, -tc), (sc, -tc, one), (-sc, -tc, -one),
    ]  # fmt: skip
    return torch.stack([torch.stack(face, dim=-1) for face in faces])


def around(point: list[float], seed: int) -> torch.Tensor:
    """Directions [200, 3] very near to `point`, on all sides of it."""
    spread = torch.randn(200, 3, generator=generator(seed), dtype=DOUBLE) * 1e-9
    return torch.tensor(point, dtype=DOUBLE) + spread


# -------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_centres_of_texels_give_the_texels_of_opengls_faces(backend, kind, size):
    image = torch.rand(6, size, size, 2, generator=generator(0), dtype=DOUBLE)
    out = texture_cube(image, centres(size).view(-1, 3) * 3.7, filter=kind, backend=backend)
    torch.testing.assert_close(out.view_as(image), image)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_axes_are_the_faces_and_ties_go_to_x_then_y(backend):
    image = torch.arange(6.0).view(6, 1, 1, 1)
    axes = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    out = texture_cube(image, axes * 0.01, filter="nearest", backend=backend)
    assert out[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    ties = torch.tensor([[1.0, 1, 1], [-1, 1, 1], [0, -1, 1], [0, 1, -1], [-1, 0, -1], [0.5, -1, -1]])
    out = texture_cube(image, ties, filter="nearest", backend=backend)
    assert out[:, 0].tolist() == [0, 1, 3, 2, 1, 3]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
def test_the_length_of_a_direction_does_not_matter(backend, kind):
    image = torch.rand(6, 4, 4, 2, generator=generator(1), dtype=DOUBLE)
    direction = torch.randn(50, 3, generator=generator(2), dtype=DOUBLE)
    out = texture_cube(image, direction, filter=kind, backend=backend)
    for length in (1e-30, 7.0, 1e300):
        other = texture_cube(image, direction * length, filter=kind, backend=backend)
        torch.testing.assert_close(other, out)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_blending_is_continuous_across_every_edge_and_corner(backend, size):
    image = torch.rand(6, size, size, 3, generator=generator(3), dtype=DOUBLE)
    places = [
        p
        for p in itertools.product((-1.0, -0.9, -0.3, 0.5, 1.0), repeat=3)
        if sum(abs(x) == 1 for x in p) >= 2
    ]
    assert len(places) == 12 * 3 + 8
    for number, place in enumerate(places):
        out = texture_cube(image, around(list(place), number), backend=backend)
        assert (out.amax(dim=0) - out.amin(dim=0)).max() < 1e-6, place


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_edge_is_the_mean_of_two_faces_and_a_corner_of_three(backend):
    image = torch.arange(6, dtype=DOUBLE).view(6, 1, 1, 1).expand(6, 4, 4, 1)
    direction = torch.tensor([[1.0, 0, 1], [0, 1, -1], [1, 1, 1], [-1, 1, -1], [-1, -1, -1]], dtype=DOUBLE)
    out = texture_cube(image, direction, backend=backend)[:, 0]
    torch.testing.assert_close(out, torch.tensor([2, 3.5, 2, 8 / 3, 3], dtype=DOUBLE))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_smooth_field_is_followed_across_edges(backend):
    """Texels hold their own direction, normalised: samples near edges must be close to theirs."""
    size = 16
    texel = centres(size)
    field = torch.nn.functional.normalize(texel, dim=-1)
    direction = torch.nn.functional.normalize(
        torch.randn(400 if backend != "reference" else 40, 3, generator=generator(4), dtype=DOUBLE), dim=-1
    )
    out = texture_cube(field, direction, backend=backend)
    # Half a texel is 1/16; a texel taken from a wrong place would be off by more.
    assert (out - direction).norm(dim=-1).max() < 0.05


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["nearest", "bilinear", "trilinear"])
def test_a_zero_or_non_finite_direction_gives_zero_and_passes_no_gradient(backend, kind):
    nan, inf = torch.nan, torch.inf
    image = torch.ones(6, 2, 2, 2, requires_grad=True)
    bad = [[0.0, 0, 0], [-0.0, 0, 0], [nan, 1, 1], [1, 1, nan], [inf, 0, 0], [1, -inf, 2], [1, 2, 3]]
    direction = torch.tensor(bad, requires_grad=True)
    level = torch.full((7,), 0.5, requires_grad=True) if kind == "trilinear" else None
    out = texture_cube(image, direction, filter=kind, level=level, backend=backend)
    assert out[:6].eq(0).all()
    torch.testing.assert_close(out[6], torch.ones(2))
    inputs = [image, direction, *([] if level is None else [level])]
    grads = torch.autograd.grad(out[:6].sum(), inputs, allow_unused=True, retain_graph=True)
    assert all(grad is None or grad.eq(0).all() for grad in grads)
    grads = torch.autograd.grad((out * torch.rand(7, 2)).sum(), inputs, allow_unused=True)
    assert all(grad is None or grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_picture_of_a_batch_reads_its_own_cube(backend):
    images = torch.rand(3, 6, 2, 2, 2, generator=generator(5))
    direction = torch.randn(3, 2, 3, 3, generator=generator(6))
    level = torch.rand(3, 2, 3, generator=generator(7))
    out = texture_cube(images, direction, filter="trilinear", level=level, backend=backend)
    for k in range(3):
        part = slice(k, k + 1)
        alone = texture_cube(
            images[k], direction[part], filter="trilinear", level=level[part], backend=backend
        )
        torch.testing.assert_close(out[k], alone[0])
    assert texture_cube(images, direction[:, :0], backend=backend).shape == (3, 0, 3, 2)


# -------------------------------------------------------------------------------------- level of detail


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_footprint_of_a_direction_is_that_of_its_texels(backend):
    size = 8
    image = torch.zeros(6, size, size, 1, dtype=DOUBLE)
    mips = [torch.full((6, size >> n, size >> n, 1), float(n), dtype=DOUBLE) for n in (1, 2, 3)]
    direction = torch.randn(30, 3, generator=generator(8), dtype=DOUBLE)
    derivative = torch.randn(30, 3, 2, generator=generator(9), dtype=DOUBLE)
    out = texture_cube(
        image, direction, filter="trilinear", direction_derivative=derivative, mips=mips, backend=backend
    )

    def texel(direction):
        """Texel coordinates without the signs, which the length of the footprint does not see."""
        axis = int(direction.detach().abs().argmax())
        others = direction[[n for n in range(3) if n != axis]]
        return others / direction[axis] * size / 2

    expected = [
        torch.linalg.matrix_norm(torch.autograd.functional.jacobian(texel, d) @ change, 2).log2().clamp(0, 3)
        for d, change in zip(direction, derivative, strict=True)
    ]
    torch.testing.assert_close(out[:, 0], torch.stack(expected))


@pytest.mark.parametrize("fast", FAST)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([1, 2, 4, 8]),
    channels=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["nearest", "bilinear", "bilinear-mipmap", "trilinear"]),
    own=st.booleans(),
    given_level=st.sampled_from(["derivative", "level", "both"]),
    narrow=st.booleans(),
)
def test_value_and_gradient_match_the_reference(fast, size, channels, seed, kind, own, given_level, narrow):
    random = generator(seed)
    image = torch.randn(*([2] if own else []), 6, size, size, channels, generator=random, dtype=DOUBLE)
    direction = torch.randn(2, 2, 2, 3, generator=random, dtype=DOUBLE)
    if narrow:  # near corners and edges
        direction = direction.sign() + direction * 0.1
    derivative = torch.randn(2, 2, 2, 3, 2, generator=random, dtype=DOUBLE)
    level = torch.randn(2, 2, 2, generator=random, dtype=DOUBLE) + 1
    inputs, options = [image, direction], {}
    if "linear-" in kind or kind == "trilinear":
        mips = [torch.randn(part.shape, generator=random, dtype=DOUBLE) for part in build_mips(image)]
        inputs += mips
        options["mips"] = mips
        if given_level != "level":
            inputs.append(derivative)
            options["direction_derivative"] = derivative
        if given_level != "derivative":
            inputs.append(level)
            options["level"] = level
    for value in inputs:
        value.requires_grad_()
    results = {}
    for name in ("reference", fast):
        out = texture_cube(image, direction, filter=kind, backend=name, **options)
        weight = torch.linspace(-1, 1, out.numel(), dtype=DOUBLE).view(out.shape)
        loss = (out * weight).sum() + 0 * sum(value.sum() for value in inputs)
        results[name] = (out, *torch.autograd.grad(loss, inputs))
    for ours, theirs in zip(results[fast], results["reference"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("fast", FAST)
def test_trilinear_passes_gradcheck_in_everything(fast):
    random = generator(10)
    image = torch.randn(6, 4, 4, 2, generator=random, dtype=DOUBLE, requires_grad=True)
    # Off the kinks, on four faces, two of them beyond the outermost centres of texels and one in a corner.
    place = [[1, 0.35, -0.2], [-0.15, 2, 1.2], [0.9, 0.1, -1], [-0.1, -0.8, -0.9], [0.93, 1, -0.9]]
    direction = torch.tensor(place, dtype=DOUBLE, requires_grad=True)
    derivative = (torch.randn(5, 3, 2, generator=random, dtype=DOUBLE) * 0.6).requires_grad_()
    level = torch.tensor([0.3, -0.2, 0.1, 0.2, 0.3], dtype=DOUBLE, requires_grad=True)

    def values(image, direction, derivative, level):
        options = {"direction_derivative": derivative, "level": level}
        return texture_cube(image, direction, filter="trilinear", backend=fast, **options)

    out = values(image, direction, derivative, level)
    assert torch.autograd.grad(out.square().sum(), level)[0].ne(0).sum() >= 3  # not all are clamped
    assert torch.autograd.gradcheck(values, (image, direction, derivative, level))
    assert torch.autograd.gradcheck(lambda i, d: texture_cube(i, d, backend=fast), (image, direction))


@pytest.mark.parametrize("fast", FAST)
def test_a_direction_gets_no_gradient_along_itself(fast):
    image = torch.rand(6, 4, 4, 2, generator=generator(11), dtype=DOUBLE)
    direction = torch.randn(50, 3, generator=generator(12), dtype=DOUBLE, requires_grad=True)
    out = texture_cube(image, direction, backend=fast)
    (grad,) = torch.autograd.grad(out.square().sum(), direction)
    assert grad.abs().max() > 0.1
    torch.testing.assert_close((grad * direction).sum(dim=1), torch.zeros(50, dtype=DOUBLE))


@pytest.mark.skipif("cpu" not in FAST, reason="there is no compiled library")
def test_gradients_have_the_same_bits_whatever_the_number_of_threads():
    random, grads, before = generator(13), [], torch.get_num_threads()
    image = torch.rand(6, 8, 8, 3, generator=random, requires_grad=True)
    direction = torch.randn(20000, 3, generator=random).requires_grad_()
    level = torch.rand(20000, generator=random) * 4
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = texture_cube(image, direction, filter="trilinear", level=level, backend="cpu")
            grads.append(torch.autograd.grad(out.square().sum(), (image, direction)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*grads, strict=True))


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("image", "direction", "message"),
    [
        ((6, 2, 2, 1), (4, 2), r"`direction` has shape \(4, 2\)"),
        ((6, 2, 2, 1), (4, 4, 3), r"`direction` has shape \(4, 4, 3\)"),
        ((5, 2, 2, 1), (4, 3), r"`image` has shape \(5, 2, 2, 1\)"),
        ((6, 2, 4, 1), (4, 3), r"`image` has shape \(6, 2, 4, 1\)"),
        ((6, 0, 0, 1), (4, 3), r"`image` has shape \(6, 0, 0, 1\)"),
        ((6, 2, 1), (4, 3), r"`image` has shape \(6, 2, 1\)"),
        ((2, 6, 2, 2, 1), (4, 3), "2 cube maps do not go with"),
        ((2, 6, 2, 2, 1), (3, 1, 1, 3), "2 cube maps do not go with"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_shape(image, direction, message):
    with pytest.raises(ConfigError, match=message) as caught:
        refused(torch.zeros(image), torch.zeros(direction))
    assert caught.value.fix


def test_filters_and_levels_that_do_not_fit_are_refused():
    image, direction = torch.zeros(6, 2, 2, 1), torch.ones(4, 3)
    for options, message in [
        ({"filter": "cubic"}, "`texture_cube` has no filter `cubic`"),
        ({"filter": "trilinear"}, "needs a level of detail"),
        ({"filter": "bilinear", "level": torch.zeros(4)}, "uses no derivatives"),
        ({"filter": "trilinear", "level": torch.zeros(5)}, r"`level` has shape \(5,\)"),
        ({"filter": "trilinear", "direction_derivative": torch.zeros(4, 2, 2)}, "`direction_derivative` has"),
    ]:
        with pytest.raises(ConfigError, match=message):
            refused(image, direction, **options)
