"""Pictures: files and bytes to uint8 arrays [H, W, 3 or 4] and back, contact sheets, animations.

Everything here is 8-bit sRGB as stored in files; row 0 is the top. Legend: H W picture size.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from polyglyph.base.errors import DataError, FormatError
from polyglyph.base.files import write_bytes

__all__ = [
    "contact_sheet",
    "decode_image",
    "encode_image",
    "encode_png",
    "read_image",
    "write_animation",
    "write_image",
]

MAX_PIXELS = 1 << 27
"""Pictures larger than this (134 million pixels) are refused before they are unpacked."""

_WRITERS = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_ANIMATIONS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG"}


def read_image(path: Path | str) -> np.ndarray:
    """The picture in a file, uint8 [H, W, 3], or [H, W, 4] if it has transparency.

    A photograph is turned upright by its EXIF note. Raises DataError for a missing or empty file
    and FormatError for one that is not a picture, is cut short, or is unreasonably large.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no picture `{path}`", fix="check the path") from None
    except OSError as problem:
        raise DataError(
            f"`{path}` cannot be read: {problem.strerror}", fix="give the path of a picture file"
        ) from None
    return decode_image(data, str(path), upright=True)


def decode_image(data: bytes, name: str = "picture", *, upright: bool = False) -> np.ndarray:
    """The picture in `data`, uint8 [H, W, 3 or 4]; `name` is what error messages call it.

    16-bit and float pictures are scaled to 8 bits; palettes, grey and CMYK become RGB. With `upright`
    the EXIF orientation is applied (photographs); textures are taken as stored.
    """
    if not data:
        raise DataError(f"`{name}` is empty (0 bytes)", fix="restore the picture, or leave it out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's size warning: checked right below
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise FormatError(
                    f"`{name}` says it is {image.width}x{image.height} pixels, more than {MAX_PIXELS}",
                    fix="shrink the picture first",
                )
            image.load()
            return _to_array(ImageOps.exif_transpose(image) if upright else image)
    except UnidentifiedImageError:
        raise FormatError(
            f"`{name}` is not a picture: it starts with {data[:8]!r}",
            fix="give a PNG, JPEG, WebP, BMP or TGA file",
        ) from None
    except Image.DecompressionBombError:
        raise FormatError(
            f"`{name}` unpacks to more than {MAX_PIXELS} pixels", fix="shrink the picture first"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as problem:
        # Pillow raises these, one per codec, for files that are cut short or damaged
        raise FormatError(
            f"`{name}` is damaged: {problem}", fix="restore the picture, or save it again"
        ) from None


def _to_array(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        top = 65535.0 if image.mode.startswith("I") else 1.0
        grey = np.clip(np.nan_to_num(values) / top * 255.0 + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return np.array(image.convert("RGBA" if transparent else "RGB"))


def _from_array(array: np.ndarray) -> Image.Image:
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise ValueError(f"a picture is uint8 [H, W, 3 or 4], not {array.dtype} {list(array.shape)}")
    return Image.fromarray(np.ascontiguousarray(array))


def encode_png(array: np.ndarray, *, level: int = 6) -> bytes:
    """`array` (uint8 [H, W, 3 or 4]) as PNG bytes, the same bytes for the same array and Pillow."""
    buffer = io.BytesIO()
    _from_array(array).save(buffer, format="PNG", compress_level=level)
    return buffer.getvalue()


def encode_image(array: np.ndarray, suffix: str) -> bytes:
    """`array` in the format `suffix` names (.png, .webp lossless, .jpg quality 92 on white).

    Raises FormatError for a suffix we do not write.
    """
    suffix = suffix.lower()
    if suffix not in _WRITERS:
        raise FormatError(
            f"pictures are not written as `{suffix or 'a file without a suffix'}`",
            fix=f"use one of {', '.join(_WRITERS)}",
        )
    if suffix == ".png":
        return encode_png(array)
    image, buffer = _from_array(array), io.BytesIO()
    if suffix == ".webp":
        image.save(buffer, format="WEBP", lossless=True, exact=True)
    else:
        image = _on_background(image, (255, 255, 255))
        image.save(buffer, format="JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def write_image(path: Path | str, array: np.ndarray) -> None:
    """Write a picture atomically; the suffix decides the format (see `encode_image`)."""
    write_bytes(Path(path), encode_image(array, Path(path).suffix))


def _on_background(image: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, (*color, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    background: tuple[int, int, int] = (255, 255, 255),
    *,
    gap: int = 4,
) -> np.ndarray:
    """One picture of many, in rows of `columns` (default: about square), uint8 [H, W, 3].

    Pictures of unequal size are centred in cells of the largest; transparency shows `background`.
    A label stands under its picture and is cut to the cell's width.
    """
    if not len(images):
        raise ValueError("a contact sheet needs at least one picture")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels for {len(images)} pictures")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    size = max(10, min(24, width // 12))
    line = 0 if labels is None else size + 6
    cell_h, cell_w = height + line + gap, width + gap
    sheet = Image.new("RGB", (columns * cell_w + gap, rows * cell_h + gap), background)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    ink = (0, 0, 0) if sum(background) > 382 else (255, 255, 255)
    for index, array in enumerate(images):
        picture = _on_background(_from_array(array), background)
        left, top = gap + (index % columns) * cell_w, gap + (index // columns) * cell_h
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        if labels is not None:
            text = _fit(labels[index], width, draw, font)
            draw.text((left + width // 2, top + height + 2), text, fill=ink, font=font, anchor="ma")
    return np.array(sheet)


def _fit(text: str, width: int, draw: ImageDraw.ImageDraw, font) -> str:
    text = " ".join(text.split())
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text + "…"


def write_animation(path: Path | str, frames: Sequence[np.ndarray], fps: float = 20.0) -> None:
    """Write a looping animation atomically: .webp (lossless), .gif (256 colours) or .png (APNG).

    Frames are uint8 [H, W, 3 or 4] of one size. Raises FormatError for another suffix.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _ANIMATIONS:
        raise FormatError(
            f"animations are not written as `{suffix or 'a file without a suffix'}`",
            fix=f"use one of {', '.join(_ANIMATIONS)}",
        )
    if not len(frames) or any(frame.shape != frames[0].shape for frame in frames):
        raise ValueError("an animation needs at least one frame, all of one size")
    pictures = [_from_array(frame) for frame in frames]
    if suffix == ".gif":
        pictures = [_on_background(picture, (255, 255, 255)) for picture in pictures]
    options = {"lossless": True} if suffix == ".webp" else {}
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format=_ANIMATIONS[suffix],
        save_all=True,
        append_images=pictures[1:],
        duration=max(10, round(1000 / fps)),
        loop=0,
        **options,
    )
    write_bytes(path, buffer.getvalue())
