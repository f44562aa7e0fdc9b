"""Radiance HDR: the bytes of the format, each of its scanlines, orientations and corrections."""

import struct

import numpy as np
import pytest
from parts import picture

from polyglyph.base.errors import FormatError
from polyglyph.formats.color import srgb_to_linear
from polyglyph.formats.hdr import decode_hdr, encode_hdr, read_hdr, read_panorama, write_hdr
from polyglyph.formats.png import write_image

HEADER = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n"


def hdr(size: bytes, body: bytes, header: bytes = HEADER) -> bytes:
    return header + size + b"\n" + body


def values(*pixels: tuple[int, int, int, int]) -> list[list[float]]:
    """What pixels mean, by the definition."""
    return [[(m + 0.5) * 2.0 ** (e - 136) if e else 0.0 for m in mantissas] for *mantissas, e in pixels]


FOUR = [(128, 64, 32, 129), (255, 0, 1, 100), (10, 20, 30, 0), (200, 200, 200, 140)]


def test_flat_pixels_are_mantissas_and_an_exponent():
    found = decode_hdr(hdr(b"-Y 2 +X 2", bytes(sum(FOUR, ()))))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(-1, 3), values(*FOUR), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0], [1.00390625, 0.50390625, 0.25390625])
    assert found[1, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("size", "rows"),
    [
        (b"-Y 2 +X 2", [[0, 1], [2, 3]]),
        (b"+Y 2 +X 2", [[2, 3], [0, 1]]),
        (b"-Y 2 -X 2", [[1, 0], [3, 2]]),
        (b"+Y 2 -X 2", [[3, 2], [1, 0]]),
        (b"+X 2 -Y 2", [[0, 2], [1, 3]]),
        (b"-X 2 +Y 2", [[3, 1], [2, 0]]),
    ],
)
def test_scanlines_run_the_way_the_size_says(size, rows):
    found = decode_hdr(hdr(size, bytes(sum(FOUR, ()))))
    expected = np.array(values(*FOUR))[np.array(rows)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_adaptive_scanlines_hold_runs_and_dumps_of_each_plane():
    planes = b"\x8a\x80" + b"\x03\1\2\3\x87\x40" + b"\x0a" + bytes(range(10)) + b"\x85\x81\x85\x82"
    found = decode_hdr(hdr(b"-Y 1 +X 10", b"\2\2\0\x0a" + planes))
    red, green, blue = [128] * 10, [1, 2, 3] + [64] * 7, list(range(10))
    pixels = zip(red, green, blue, [129] * 5 + [130] * 5, strict=True)
    np.testing.assert_allclose(found[0], values(*pixels), rtol=1e-6)


def test_old_runs_repeat_the_pixel_before_and_count_on_in_higher_digits():
    one, other = bytes((128, 64, 32, 129)), bytes((9, 9, 9, 128))
    found = decode_hdr(hdr(b"-Y 2 +X 300", 2 * (one + b"\1\1\1\x2a\1\1\1\1" + other)))  # 42 + 1 · 256
    np.testing.assert_allclose(found[1, :299], np.array(values((128, 64, 32, 129)) * 299), rtol=1e-6)
    np.testing.assert_allclose(found[:, 299], np.array(values((9, 9, 9, 128)) * 2), rtol=1e-6)


def test_a_narrow_picture_may_begin_with_what_looks_like_a_length():
    found = decode_hdr(hdr(b"-Y 1 +X 2", b"\2\2\0\2\2\2\0\2"))
    np.testing.assert_allclose(found[0], values((2, 2, 0, 2), (2, 2, 0, 2)), rtol=1e-6)


def test_exposure_and_colour_correction_are_divided_out():
    plain = decode_hdr(hdr(b"-Y 1 +X 1", bytes(FOUR[0])))
    header = b"#?RGBE\n# made by hand\nEXPOSURE=2\nEXPOSURE= 4\nCOLORCORR=1 2 0.5\nFORMAT=32-bit_rle_rgbe\n\n"
    corrected = decode_hdr(hdr(b"-Y 1 +X 1", bytes(FOUR[0]), header))
    np.testing.assert_allclose(corrected * [8, 16, 4], plain, rtol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (5, 8), (4, 300), (2, 40000)])
def test_what_is_written_is_what_is_read_to_eight_bits(height, width, tmp_path):
    rng = np.random.default_rng(0)
    image = np.exp(rng.uniform(-20, 12, (height, width, 1))) * rng.uniform(0, 1, (height, width, 3))
    image[0, 0] = 0
    write_hdr(tmp_path / "deep/a.hdr", image)
    found = read_hdr(tmp_path / "deep/a.hdr")
    assert found.shape == image.shape
    top = image.max(2, keepdims=True)
    assert (np.abs(found - image) <= top / 256 + 1e-30).all()
    assert found[0, 0].tolist() == [0, 0, 0]
    assert encode_hdr(found) == encode_hdr(image)


def test_the_bytes_of_a_small_picture():
    image = np.array([[[1.0, 0.5, 0.25], [-1.0, 0.0, 0.0]]])
    assert encode_hdr(image) == hdr(b"-Y 1 +X 2", struct.pack("8B", 128, 64, 32, 129, 0, 0, 0, 0))


def test_only_finite_colour_pictures_are_written():
    for wrong in (
        np.zeros((4, 4)),
        np.zeros((0, 4, 3)),
        np.full((1, 1, 3), np.nan),
        np.full((1, 1, 3), 3e38),
    ):
        with pytest.raises(FormatError):
            encode_hdr(wrong)


def test_panoramas_of_eight_bits_are_taken_as_srgb(tmp_path):
    image = picture(6, 12, 4)
    write_image(tmp_path / "a.png", image)
    np.testing.assert_allclose(
        read_panorama(tmp_path / "a.png"), srgb_to_linear(image[..., :3] / 255), rtol=1e-5, atol=1e-7
    )
    write_hdr(tmp_path / "named.png", np.full((6, 12, 3), 7.0))
    np.testing.assert_allclose(read_panorama(tmp_path / "named.png"), 7.0, rtol=0.01)
    write_hdr(tmp_path / "a.hdr", np.ones((6, 6, 3)))
    with pytest.raises(FormatError, match="6x6 pixels, and a panorama is twice as wide"):
        read_panorama(tmp_path / "a.hdr")
