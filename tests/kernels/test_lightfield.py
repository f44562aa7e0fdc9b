"""Light fields: known answers, all backends against the definition, and the contour's rules one by one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import config
from kernel_backends import BACKENDS, FAST
from scipy.interpolate import RectBivariateSpline

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.lightfield import NUMBERS, describe, match, quantise
from polyglyph.kernels.lightfield import reference as definition

ALIGNMENTS = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]])


@pytest.fixture
def untyped():
    """Without the checks of annotations that tests have and users have not."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def picture(*rows: str) -> torch.Tensor:
    """One image [1, 1, H, W], the top row first; `#` is foreground."""
    return torch.tensor([[[[cell == "#" for cell in row] for row in rows]]])


def disc(side: int, radius: float) -> torch.Tensor:
    place = torch.arange(side) + 0.5 - side / 2
    return (torch.hypot(place[:, None], place) < radius)[None, None]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_square(backend):
    square = torch.zeros(1, 1, 24, 30, dtype=torch.bool)
    square[..., 3:19, 5:21] = True
    numbers = describe(square, backend=backend)[0, 0]
    assert numbers.dtype == torch.float64
    assert numbers[45].item() == pytest.approx(min(1, 4 * math.pi * 256 / 60**2))
    assert numbers[46].item() == pytest.approx(0, abs=1e-12)
    # Turned by 90° it is the same: of the angular frequencies only multiples of four remain.
    frequencies = torch.arange(35).add(1).div(3, rounding_mode="floor")
    assert numbers[:35][frequencies % 4 != 0].abs().max() < 1e-12
    assert numbers[:35][frequencies == 4].abs().max() > 0.05
    # 60 pixels and the first again; its fourfold outline leaves little but the fourth and eighth number.
    assert numbers[35:45].argsort(descending=True)[:2].tolist() == [3, 7]


def square_of(side: int, inner: int) -> torch.Tensor:
    figure = torch.zeros(1, 1, side, side, dtype=torch.bool)
    figure[..., side // 2 - inner : side // 2 + inner, side // 2 - inner : side // 2 + inner] = True
    return figure


FIGURES = {"disc": disc(256, 120), "annulus": disc(256, 120) & ~disc(256, 60), "square": square_of(200, 90)}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("backend", FAST)
def test_regions_are_means_of_an_interpolated_table(backend, figure):
    image = FIGURES[figure]
    rows, columns = (image[0, 0].nonzero().double() - (image.shape[-1] - 1) / 2).T.numpy()
    radius = np.hypot(rows, columns).max()
    place = np.arange(101) - 50
    distance, angle = np.hypot(place[:, None], place), np.arctan2(place[:, None], place)
    expected = []
    for column in range(35):
        frequency, radial = divmod(column + 1, 3)
        table = np.cos(np.pi * radial * distance / 50) * np.exp(1j * frequency * angle) * (distance < 50)
        spline = (
            RectBivariateSpline(place, place, table.real, kx=1, ky=1),
            RectBivariateSpline(place, place, table.imag, kx=1, ky=1),
        )
        real, imaginary = (part.ev(rows / radius * 50, columns / radius * 50).mean() for part in spline)
        expected.append(math.hypot(real, imaginary))
    found = describe(image, backend=backend)[0, 0, :35]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("inner", [0.0, 0.5])
def test_regions_of_round_figures_are_integrals_but_for_the_tables_rim(inner):
    numbers = describe(disc(256, 120) & ~disc(256, 120 * inner))[0, 0]
    ring = torch.linspace(inner, 1, 4001, dtype=torch.float64)
    for radial in (1, 2):  # of frequency 0: the mean of cos(π r ρ) over the ring
        mean = torch.trapezoid(ring * torch.cos(math.pi * radial * ring), ring) / torch.trapezoid(ring, ring)
        assert numbers[radial - 1].item() == pytest.approx(abs(mean.item()), abs=0.04)
    assert numbers[2:35].max() < 3e-3
    assert numbers[46] < 1e-6
    assert numbers[35:45].max() < 3e-3  # a round outline is one distance


SHAPES = {
    "nothing": ("....", "....", "...."),
    "a lone pixel": (".....", "..#..", "....."),
    "too short an outline": ("......", ".##...", ".##...", "......"),
    "a line": ("..........", ".########.", ".........."),
    "a slanted line": ("#.........", ".#........", "..#.......", "...#......", "....#.....", ".....#...."),
    "a hole": ("#######", "#.....#", "#.###.#", "#.....#", "#######"),
    "on the rim": ("##########", "##########", "#........#", "##########"),
    "a start with a branch": (
        "..........",
        ".##...###.",
        "..##.####.",
        "....#####.",
        "....####..",
        "....##....",
    ),
    "two parts": ("............", ".###....###.", ".###....###.", ".###....###.", "............"),
    "two near parts": ("............", ".####.####..", ".####.####..", ".####.####..", "............"),
    "parts two apart": ("............", ".####..####.", ".####..####.", ".####..####.", "............"),
    "three parts, whose bridge has an end": (
        "...............",
        "...............",
        "...............",
        ".###...........",
        ".###.#.........",
        ".###.#.........",
        "...............",
        ".....###.......",
        "...............",
        "...............",
    ),
    "a part within": ("#########", "#.......#", "#.#####.#", "#.#####.#", "#.......#", "#########"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", FAST)
def test_every_kind_of_outline_as_defined(backend, shape):
    image = picture(*SHAPES[shape])
    expected = describe(image, backend="reference")
    torch.testing.assert_close(describe(image, backend=backend), expected, rtol=1e-9, atol=1e-12)
    assert expected.isfinite().all()
    if shape in ("nothing", "a lone pixel"):
        assert expected[..., 35:45].eq(0).all()


def test_a_start_with_a_branch_is_passed_twice():
    # the start's branch leads up left; the walk comes back to the start on it before it has gone around the
    # rest
    image = {(2, 0), (1, 1), (0, 2), (3, 1), (3, 2), (4, 2), (4, 1)}
    contour = definition._trace(image)
    assert contour[0] == contour[-1] == (2, 0)
    assert set(contour) == image
    assert contour.count((2, 0)) == 3


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.95]), blur=st.integers(0, 2))
def test_random_pictures_as_defined(seed, share, blur):
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 2, 17, 13, generator=rng)
    for _ in range(blur):
        noise = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    images = noise > noise.flatten().quantile(share)
    expected = describe(images, backend="reference")
    for backend in FAST:
        torch.testing.assert_close(describe(images, backend=backend), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", FAST)
def test_views_share_the_radius_of_their_light_field(backend):
    small, large = disc(64, 10)[0], disc(64, 30)[0]
    together = describe(torch.stack([small, large], dim=1), backend=backend)[0]
    apart = describe(torch.stack([small, large]), backend=backend)[:, 0]
    torch.testing.assert_close(together[1], apart[1])
    assert (together[0, :35] - apart[0, :35]).abs().max() > 0.1


def test_bytes_are_floors_and_saturate():
    numbers = torch.zeros(NUMBERS, dtype=torch.float64)
    numbers[0], numbers[34], numbers[35], numbers[45], numbers[46] = 0.999, 1.0, 0.2, 0.5, 1 / 256 - 1e-9
    told = quantise(numbers)
    assert told.dtype == torch.uint8
    assert told[[0, 34, 35, 45, 46]].tolist() == [255, 255, 102, 128, 0]


@pytest.mark.parametrize("backend", FAST)
def test_distances_as_defined(backend):
    rng = torch.Generator().manual_seed(0)
    a = torch.randint(0, 256, (2, 2, 3, NUMBERS), generator=rng, dtype=torch.uint8)
    b = torch.randint(0, 256, (3, 2, 3, NUMBERS), generator=rng, dtype=torch.uint8)
    found = match(a, b, ALIGNMENTS, backend=backend)
    assert found.dtype == torch.int32
    assert torch.equal(found, match(a, b, ALIGNMENTS, backend="reference"))
    assert torch.equal(match(b, a, ALIGNMENTS, backend=backend), found.T)
    assert match(a, a, ALIGNMENTS, backend=backend).diagonal().eq(0).all()
    assert match(a[:0], b, ALIGNMENTS, backend=backend).shape == (0, 3)
    assert match(a, b[:0], ALIGNMENTS, backend=backend).shape == (2, 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("column", "weight"), [(0, 1), (34, 1), (35, 2), (44, 2), (45, 2), (46, 1)])
def test_each_number_weighs_what_it_should(backend, column, weight):
    a = torch.zeros(1, 1, 3, NUMBERS, dtype=torch.uint8)
    b = a.clone()
    b[0, 0, 1, column] = 255
    assert match(a, b, ALIGNMENTS, backend=backend).item() == 255 * weight


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_best_alignment_and_light_field_count(backend):
    rng = torch.Generator().manual_seed(1)
    a = torch.randint(0, 256, (1, 2, 3, NUMBERS), generator=rng, dtype=torch.uint8)
    b = torch.randint(0, 256, (1, 2, 3, NUMBERS), generator=rng, dtype=torch.uint8)
    b[0, 1] = a[0, 0].roll(1, 0)
    assert match(a, b, ALIGNMENTS, backend=backend).item() == 0
    assert match(a, b, ALIGNMENTS[:1], backend=backend).item() > 0


@pytest.mark.parametrize(
    ("silhouettes", "message"),
    [
        (torch.zeros(1, 1, 4, 4), "holds torch.float32"),
        (torch.zeros(1, 4, 4, dtype=torch.bool), r"shape \(1, 4, 4\)"),
        (torch.zeros(1, 1, 0, 4, dtype=torch.bool), "no pixels"),
    ],
)
def test_silhouettes_that_are_none_are_refused(untyped, silhouettes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        describe(silhouettes)
    assert caught.value.fix


SOME = torch.zeros(1, 2, 3, NUMBERS, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("a", "b", "alignments", "message"),
    [
        (SOME[..., :46], SOME[..., :46], ALIGNMENTS, "not .N, S, V, 47."),
        (SOME, SOME[:, :1], ALIGNMENTS, "both"),
        (SOME, SOME.int(), ALIGNMENTS, "holds torch.uint8 and `b` torch.int32"),
        (SOME[:, :0], SOME[:, :0], ALIGNMENTS, "no views"),
        (SOME, SOME, ALIGNMENTS[:, :2], r"`alignments` has shape \(3, 2\)"),
        (SOME, SOME, ALIGNMENTS[:0], r"`alignments` has shape \(0, 3\)"),
        (SOME, SOME, ALIGNMENTS.float(), "holds torch.float32"),
        (SOME, SOME, ALIGNMENTS + 1, "reaches from 1 to 3"),
        (SOME, SOME, ALIGNMENTS - 1, "reaches from -1 to 1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(untyped, a, b, alignments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        match(a, b, alignments)
    assert caught.value.fix
