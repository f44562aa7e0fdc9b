"""Bad Radiance HDR files: a typed error that says what is wrong; a small file never asks for much memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.base.errors import DataError, FormatError, PolyglyphError
from polyglyph.formats.hdr import decode_hdr, encode_hdr, read_hdr, read_panorama

HEADER = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n"
GOOD = encode_hdr(np.random.default_rng(0).uniform(0, 9, (4, 40, 3)))
ROW = b"-Y 1 +X 10\n\2\2\0\x0a"

BAD = {
    # bytes, what the message must say
    "a picture of another kind": (b"\x89PNG\r\n\x1a\n", "starts with b'.x89PNG"),
    "words": (b"hello", "is not a Radiance HDR picture"),
    "the magic alone": (b"#?", "its header does not end"),
    "a header without end": (b"#?RADIANCE\n" + b"A=b\n" * 100_000, "its header does not end"),
    "one endless line": (b"#?" + b"x" * 1_000_000, "its header does not end"),
    "pixels as XYZ": (b"#?RADIANCE\nFORMAT=32-bit_rle_xyze\n\n-Y 1 +X 1\n\0\0\0\0", "only RGBE is read"),
    "no size": (HEADER, "its size is given as b''"),
    "a size in words": (HEADER + b"-Y ten +X 10\n", "its size is given as b'-Y ten"),
    "a size of two heights": (HEADER + b"-Y 2 +Y 2\n" + b"\0" * 16, "its size is given as"),
    "a size below 0": (HEADER + b"-Y -2 +X 2\n" + b"\0" * 16, "its size is given as"),
    "a size of 0": (HEADER + b"-Y 0 +X 2\n", "2x0 pixels"),
    "a size beyond memory": (HEADER + b"-Y 999999999 +X 999999999\n", "999999999x999999999 pixels"),
    "a size of forty digits": (HEADER + b"-Y " + b"9" * 40 + b" +X 2\n", "its size is given as"),
    "a large picture in a small file": (HEADER + b"-Y 8192 +X 16384\n" + b"\0" * 999, "has only"),
    "an exposure of 0": (b"#?RADIANCE\nEXPOSURE=0\n\n-Y 1 +X 1\n\0\0\0\0", "its exposure is b'0'"),
    "an exposure in words": (b"#?RADIANCE\nEXPOSURE=bright\n\n-Y 1 +X 1\n\0\0\0\0", "its exposure is"),
    "an exposure that is not finite": (b"#?RADIANCE\nEXPOSURE=nan\n\n-Y 1 +X 1\n\0\0\0\0", "exposure"),
    "two colour corrections": (b"#?RADIANCE\nCOLORCORR=1 2\n\n-Y 1 +X 1\n\0\0\0\0", "exposure"),
    "no pixels": (HEADER + b"-Y 2 +X 2\n", "cut short in scanline 0 of 2"),
    "half a file": (GOOD[: len(GOOD) // 2], "scanline 1 of 4|scanline 2 of 4"),
    "one byte short": (GOOD[:-1], "scanline 3 of 4 is cut short"),
    "flat pixels cut short": (HEADER + b"-Y 1 +X 3\n" + b"\3" * 11, "scanline 0 of 1 is cut short"),
    "a scanline of another length": (
        HEADER + b"-Y 1 +X 10\n\2\2\0\x0b" + b"\x8b\1" * 4,
        "has 11 pixels, not 10",
    ),
    "a run past its scanline": (HEADER + ROW + b"\x8b\1" * 4, "runs do not add up"),
    "a dump past its scanline": (HEADER + ROW + b"\x0b" + b"\0" * 99, "runs do not add up"),
    "a run of nothing": (HEADER + ROW + b"\0" * 99, "runs do not add up"),
    "a run that ends the file": (HEADER + ROW + b"\x8a\1\x8a", "runs do not add up"),
    "an old run with nothing before": (HEADER + b"-Y 1 +X 3\n\1\1\1\3" + b"\0" * 8, "runs do not add up"),
    "an old run past its scanline": (HEADER + b"-Y 1 +X 3\n\5\5\5\5\1\1\1\3" + b"\0" * 4, "runs do not add"),
    "old runs without end": (HEADER + b"-Y 1 +X 99\n\5\5\5\5" + b"\1\1\1\0" * 5000, "runs do not add up"),
    "an old run of astronomical length": (
        HEADER + b"-Y 1 +X 99\n\5\5\5\5" + b"\1\1\1\0" * 5000 + b"\1\1\1\1",
        "runs do not add up",
    ),
    "values beyond 32 bits": (
        b"#?RADIANCE\nEXPOSURE=1e-20\n\n-Y 1 +X 1\n\xff\xff\xff\xff",
        "beyond 32-bit floats",
    ),
}


@pytest.mark.parametrize("title", BAD)
def test_a_bad_file_is_refused_and_what_is_wrong_is_said(title, tmp_path, capfd):
    data, words = BAD[title]
    path = tmp_path / "a.hdr"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=words) as caught:
        read_hdr(path)
    assert caught.value.fix
    assert "a.hdr" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_files_folders_and_empty_files_are_the_users_to_mend(tmp_path):
    for read in (read_hdr, read_panorama):
        with pytest.raises(DataError, match="there is no picture"):
            read(tmp_path / "a.hdr")
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path)
    (tmp_path / "a.hdr").write_bytes(b"")
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        read_hdr(tmp_path / "a.hdr")
    (tmp_path / "a.hdr").write_bytes(b"neither")
    with pytest.raises(FormatError, match="is not a picture"):
        read_panorama(tmp_path / "a.hdr")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_a_picture_or_a_typed_error(data):
    good = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_hdr(bytes(good[: data.draw(st.integers(1, len(good)))]))
    except PolyglyphError:
        return
    assert np.isfinite(found).all()
