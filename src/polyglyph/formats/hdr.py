"""Radiance HDR pictures (`.hdr`, `.pic`), and panoramas of any kind in linear light.

The format (Ward, "Real pixels", Graphics Gems II, 1991; Radiance reference manual, "Picture file format"):
a line `#?RADIANCE` (any word after `#?`), lines `NAME=value`, an empty line, a line such as `-Y 512 +X 1024`,
then scanlines of pixels R G B E: a value is (mantissa + 0.5) · 2^(E − 136), and 0 where E is 0. A scanline is

* adaptive: 2 2 high low (its length, 8 to 32767), then four runs-coded planes: a count above 128 repeats
  the next byte count − 128 times, any other takes that many bytes as they are; or
* flat, or with old runs: a pixel 1 1 1 n repeats the one before n times, and right after another such pixel
  n · 256, n · 65536, ... times.

`EXPOSURE=` and `COLORCORR=` have been multiplied into the pixels already, and are divided out.

Legend: H W picture size.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from polyglyph.base.errors import DataError, FormatError
from polyglyph.base.files import write_bytes
from polyglyph.formats.color import srgb_to_linear
from polyglyph.formats.png import MAX_PIXELS, decode_image

__all__ = ["decode_hdr", "encode_hdr", "read_hdr", "read_panorama", "write_hdr"]

HEADER_LIMIT = 1 << 16
MOST_PIXELS_A_BYTE = 64
"""Adaptive runs hold at most 16 pixels in a byte; old ones have no limit, and large files get this one."""
RESOLUTION = re.compile(rb"([+-])([XY]) (\d{1,9}) ([+-])([XY]) (\d{1,9})")


def read_hdr(path: Path | str) -> np.ndarray:
    """The picture in a file, float32 [H, W, 3], linear radiance, row 0 at the top.

    Raises DataError for a missing or empty file and FormatError for one that is not Radiance HDR, is cut
    short, is damaged or is unreasonably large.
    """
    return decode_hdr(_bytes(path), str(path))


def read_panorama(path: Path | str) -> np.ndarray:
    """An equirectangular picture in linear light, float32 [H, W, 3]: HDR, or 8-bit sRGB of any kind.

    Transparency is dropped. Raises as `read_hdr`, and FormatError for a picture that is not twice as wide
    as high.
    """
    data = _bytes(path)
    if data.startswith(b"#?"):
        picture = decode_hdr(data, str(path))
    else:
        code = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
        picture = code[decode_image(data, str(path))[..., :3]]
    height, width = picture.shape[:2]
    if abs(width - 2 * height) > 0.02 * width + 2:
        raise FormatError(
            f"`{path}` is {width}x{height} pixels, and a panorama is twice as wide as high",
            fix="give an equirectangular picture of the whole sphere",
        )
    return picture


def _bytes(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no picture `{path}`", fix="check the path") from None
    except OSError as problem:
        raise DataError(
            f"`{path}` cannot be read: {problem.strerror}", fix="give the path of a picture file"
        ) from None


def decode_hdr(data: bytes, name: str = "picture") -> np.ndarray:
    """The picture in `data`, float32 [H, W, 3]; `name` is what error messages call it."""
    if not data:
        raise DataError(f"`{name}` is empty (0 bytes)", fix="restore the picture, or leave it out")
    if not data.startswith(b"#?"):
        raise FormatError(
            f"`{name}` is not a Radiance HDR picture: it starts with {data[:8]!r}",
            fix="give a .hdr file, or convert the picture to one",
        )
    factor, start = _header(data, name)
    size = RESOLUTION.match(data[start : start + 64])
    end = data.find(b"\n", start, start + 64)
    if size is None or end < 0 or size[2] == size[5]:
        raise _damaged(name, f"its size is given as {data[start : start + 24]!r}")
    lines, length = int(size[3]), int(size[6])
    if not lines or not length or lines * length > MAX_PIXELS:
        raise FormatError(
            f"`{name}` says it is {length}x{lines} pixels, not between 1 and {MAX_PIXELS} in all",
            fix="shrink the picture first",
        )
    if lines * length > max(1 << 22, MOST_PIXELS_A_BYTE * len(data)):
        raise _damaged(name, f"it has only {len(data)} bytes for {length}x{lines} pixels")
    pixels = _scanlines(data, end + 1, lines, length, name)
    if size[2] == b"X":  # scanlines run down or up: their number is along x
        pixels = pixels.transpose(1, 0, 2)
    signs = {size[2]: size[1], size[5]: size[4]}
    if signs[b"Y"] == b"+":
        pixels = pixels[::-1]
    if signs[b"X"] == b"-":
        pixels = pixels[:, ::-1]
    scale = np.ldexp(np.float32(1), pixels[..., 3].astype(np.int32) - 136)
    scale[pixels[..., 3] == 0] = 0
    with np.errstate(over="ignore"):  # an exponent with a correction may leave 32 bits: infinite, and refused
        values = (pixels[..., :3] + np.float32(0.5)) * scale[..., None] / factor
    if not np.isfinite(values).all():
        raise _damaged(name, "its values are beyond 32-bit floats")
    return np.ascontiguousarray(values, dtype=np.float32)


def _damaged(name: str, what: str) -> FormatError:
    return FormatError(f"`{name}` is damaged: {what}", fix="restore the picture, or save it again")


def _header(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """What has been multiplied into red, green and blue, and where the line with the size begins."""
    factor, start = np.ones(3), 0
    while True:
        end = data.find(b"\n", start, HEADER_LIMIT)
        if end < 0:
            raise _damaged(name, "its header does not end")
        line, start = data[start:end].strip(), end + 1
        if not line:
            break
        key, _, value = line.partition(b"=")
        if key == b"FORMAT" and value.strip() != b"32-bit_rle_rgbe":
            raise FormatError(
                f"`{name}` holds pixels as {value[:32]!r}, and only RGBE is read", fix="save it as RGBE"
            )
        if key in (b"EXPOSURE", b"COLORCORR"):
            factor = factor * _numbers(value, name)
    return factor.astype(np.float32), start


def _numbers(value: bytes, name: str) -> np.ndarray:
    """One or three positive numbers."""
    try:
        numbers = np.array([float(word) for word in value.split()])
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) not in (1, 3) or not np.isfinite(numbers).all() or not (numbers > 1e-30).all():
        raise _damaged(name, f"its exposure is {value[:32]!r}")
    return numbers


def _scanlines(data: bytes, at: int, lines: int, length: int, name: str) -> np.ndarray:
    """The pixels as stored, uint8 [lines, length, 4]."""
    rows = []
    for line in range(lines):
        head = data[at : at + 4]
        if len(head) < 4:
            raise _damaged(name, f"it is cut short in scanline {line} of {lines}")
        if head[:2] == b"\2\2" and head[2] < 128 and length >= 8:
            if head[2] << 8 | head[3] != length:
                raise _damaged(name, f"scanline {line} has {head[2] << 8 | head[3]} pixels, not {length}")
            row, at = _adaptive(data, at + 4, length)
        else:
            row, at = _old(data, at, length)
        if row is None:
            raise _damaged(name, f"scanline {line} of {lines} is cut short, or its runs do not add up")
        rows.append(row)
    return np.stack(rows)


def _adaptive(data: bytes, at: int, length: int) -> tuple[np.ndarray | None, int]:
    """A scanline of four planes [length, 4] and where the next begins; None where its runs overrun."""
    planes = bytearray()
    for plane in range(1, 5):
        while len(planes) < plane * length:
            count = data[at] if at < len(data) else 0
            if count > 128:
                planes += data[at + 1 : at + 2] * (count - 128)
                at += 2
            else:
                planes += data[at + 1 : at + 1 + count]
                at += 1 + count
            if count == 0 or at > len(data):
                return None, at
        if len(planes) > plane * length:
            return None, at
    return np.frombuffer(planes, dtype=np.uint8).reshape(4, length).T, at


def _old(data: bytes, at: int, length: int) -> tuple[np.ndarray | None, int]:
    """A flat scanline, or one of old runs, as `_adaptive` returns it."""
    flat = data[at : at + 4 * length]
    if b"\1\1\1" not in flat and len(flat) == 4 * length:
        return np.frombuffer(flat, dtype=np.uint8).reshape(length, 4), at + 4 * length
    row, shift = bytearray(), 0
    while len(row) < 4 * length:
        pixel = data[at : at + 4]
        at += 4
        if len(pixel) < 4:
            return None, at
        if pixel[:3] == b"\1\1\1":
            count = pixel[3] << shift
            if not row or len(row) + 4 * count > 4 * length:
                return None, at
            row += row[-4:] * count
            shift += 8
        else:
            row += pixel
            shift = 0
    return np.frombuffer(row, dtype=np.uint8).reshape(length, 4), at


def encode_hdr(picture: np.ndarray) -> bytes:
    """Linear radiance [H, W, 3] as a Radiance HDR file, flat scanlines; values below 0 become 0.

    A value keeps 8 bits beside the largest of its pixel. Raises FormatError for other shapes, and for values
    that are not finite or not below 2^127.
    """
    picture = np.asarray(picture, dtype=np.float32)
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise FormatError(f"an HDR picture of shape {list(picture.shape)}", fix="give [H, W, 3]")
    top = picture.max(axis=2)
    if not np.isfinite(picture).all() or not (top < 2.0**127).all():
        raise FormatError("the picture has values that are not finite", fix="replace NaN and infinity")
    mantissa, exponent = np.frexp(top)
    dark = (top <= 1e-32) | (mantissa <= 0)
    scaled = np.ldexp(np.maximum(picture, 0), (8 - exponent)[..., None])
    pixels = np.concatenate([np.floor(scaled), exponent[..., None] + 128], 2)
    pixels[dark] = 0
    height, width = top.shape
    body = np.clip(pixels, 0, 255).astype(np.uint8)
    header = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    return header.encode() + b"".join(_coded(row) for row in body)


def _coded(row: np.ndarray) -> bytes:
    """One scanline [W, 4]: flat planes in the adaptive form, since flat pixels may look like old runs."""
    width = len(row)
    if not 8 <= width < 1 << 15:
        return row.tobytes()
    planes = [row[:, plane].tobytes() for plane in range(4)]
    dumps = [
        bytes([len(some)]) + some
        for plane in planes
        for some in (plane[i : i + 128] for i in range(0, width, 128))
    ]
    return bytes([2, 2, width >> 8, width & 255]) + b"".join(dumps)


def write_hdr(path: Path | str, picture: np.ndarray) -> None:
    """Write a Radiance HDR picture atomically (see `encode_hdr`)."""
    write_bytes(Path(path), encode_hdr(picture))
