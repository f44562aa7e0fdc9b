"""Pictures: what is read is what was written, whatever the format's depth."""

import io

import numpy as np
import pytest
from parts import picture
from PIL import Image

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.png import (
    contact_sheet,
    decode_image,
    encode_image,
    encode_png,
    read_image,
    write_animation,
    write_image,
)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_pictures_come_back_exactly(suffix, channels, tmp_path):
    image = picture(7, 5, channels)
    write_image(tmp_path / f"deep/a{suffix}", image)
    np.testing.assert_array_equal(read_image(tmp_path / f"deep/a{suffix}"), image)


def test_a_jpeg_has_no_transparency_but_a_white_ground(tmp_path):
    image = np.zeros((16, 16, 4), dtype=np.uint8)
    write_image(tmp_path / "a.jpg", image)
    assert read_image(tmp_path / "a.jpg").shape == (16, 16, 3)
    assert (read_image(tmp_path / "a.jpg") > 250).all()


def saved(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def test_grey_palette_and_cmyk_become_rgb():
    grey = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
    assert decode_image(saved(grey, format="PNG")).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    palette = grey.convert("P")
    assert decode_image(saved(palette, format="PNG")).shape == (1, 2, 3)
    assert decode_image(saved(palette, format="PNG", transparency=0))[0, :, 3].tolist() == [0, 255]
    assert decode_image(saved(grey.convert("CMYK"), format="JPEG")).shape == (1, 2, 3)


def test_sixteen_bits_are_scaled_to_eight():
    deep = Image.fromarray(np.array([[0, 257 * 200, 65535]], dtype=np.uint16))
    assert decode_image(saved(deep, format="PNG"))[0, :, 0].tolist() == [0, 200, 255]


def test_a_photograph_is_turned_upright_and_a_texture_is_not(tmp_path):
    data = saved(
        Image.fromarray(picture(4, 8)),
        format="JPEG",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    )
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_image(tmp_path / "a.jpg").shape == (8, 4, 3)
    assert decode_image(data).shape == (4, 8, 3)


@pytest.mark.parametrize("suffix", [".tiff", "", ".glb"])
def test_a_suffix_we_do_not_write_is_refused(suffix, tmp_path):
    with pytest.raises(FormatError, match="not written as"):
        write_image(tmp_path / f"a{suffix}", picture())
    with pytest.raises(FormatError, match="not written as"):
        write_animation(tmp_path / f"a{suffix}", [picture()])
    assert list(tmp_path.iterdir()) == []


def test_only_eight_bit_colour_arrays_are_pictures():
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="a picture is uint8"):
            encode_png(wrong)


def test_a_contact_sheet_has_every_picture_in_its_place():
    images = [np.full((10, 20, 3), 10 * index, dtype=np.uint8) for index in range(5)]
    sheet = contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (2 * 12 + 2, 3 * 22 + 2, 3)
    for index in range(5):
        assert (sheet[2 + 12 * (index // 3), 2 + 22 * (index % 3)] == 10 * index).all()
    assert (sheet[2 + 12 :, 2 + 44 :] == 255).all()


def test_a_contact_sheet_shows_its_ground_through_and_has_room_for_labels():
    clear = np.zeros((40, 40, 4), dtype=np.uint8)
    bare = contact_sheet([clear], background=(9, 9, 9))
    assert (bare == 9).all()
    labelled = contact_sheet([clear, clear], labels=["a", "a very long label that cannot fit below it"])
    assert labelled.shape[0] > bare.shape[0]
    assert (labelled[40:] < 128).any()
    with pytest.raises(ValueError, match="1 labels for 2"):
        contact_sheet([clear, clear], labels=["a"])


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png"])
def test_an_animation_has_its_frames_and_pace(suffix, tmp_path):
    frames = [np.full((8, 8, 3), value, dtype=np.uint8) for value in (0, 128, 255)]
    write_animation(tmp_path / f"a{suffix}", frames, fps=10)
    with Image.open(tmp_path / f"a{suffix}") as file:
        assert file.n_frames == 3
        for index, frame in enumerate(frames):
            file.seek(index)
            np.testing.assert_array_equal(np.array(file.convert("RGB")), frame)
        assert file.info["duration"] == 100
        assert file.info["loop"] == 0


def test_missing_and_empty_pictures_are_the_users_to_fix(tmp_path):
    with pytest.raises(DataError, match="there is no picture"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        read_image(tmp_path / "a.png")


def test_the_suffix_decides_whatever_its_case():
    assert encode_image(picture(), ".PNG") == encode_png(picture())
