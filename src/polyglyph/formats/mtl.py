"""Wavefront material files (`.mtl`) to glTF-like materials.

What each line becomes is listed in `docs/formats/obj.md`.
"""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from polyglyph.base.errors import PolyglyphError
from polyglyph.formats.color import srgb_to_linear
from polyglyph.formats.model import Material
from polyglyph.formats.png import decode_image
from polyglyph.formats.siblings import Siblings

__all__ = ["alpha_mode_of", "parse_mtl"]

_PICTURES = {"map_kd": "base", "map_d": "opacity", "norm": "normal", "map_ke": "emissive"}
_OPTION_ARGUMENTS = {
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1,
    "-mm": 2, "-texres": 1, "-type": 1, "-bm": 1,
}  # fmt: skip


def parse_mtl(data: bytes, name: str, siblings: Siblings, warnings: list[str]) -> dict[str, Material]:
    """The materials of one `.mtl` file by name; what could not be used is added to `warnings`.

    `base_color` is `Kd` even where there is a picture: the caller knows whether the picture can be used.
    """
    found: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] | None = None
    for line in decode_text(data).replace("\\\n", " ").splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        key = words[0].lower()
        if key == "newmtl":
            current = found.setdefault(" ".join(words[1:]), {})
        elif current is not None and len(words) > 1:
            current[key] = words[1:]
    if not found and data.strip():
        warnings.append(f"`{name}` defines no materials: it starts with {data[:12]!r}")
    pictures: dict[str, np.ndarray | None] = {}
    return {title: _material(title, rows, siblings, pictures, warnings) for title, rows in found.items()}


def decode_text(data: bytes) -> str:
    """UTF-8 (with or without mark) if it is, else Latin-1, with Unix line ends."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _material(
    title: str,
    rows: dict[str, list[str]],
    siblings: Siblings,
    pictures: dict[str, np.ndarray | None],
    warnings: list[str],
) -> Material:
    color = _color(rows.get("kd"), (0.8, 0.8, 0.8), f"`Kd` of `{title}`", warnings)
    images = {}
    for key, role in _PICTURES.items():
        if key in rows:
            images[role] = _picture(rows[key], title, siblings, pictures, warnings)
    opacity = _number(rows.get("d", [])[-1:], None)
    if opacity is None:
        transparency = _number(rows.get("tr", [])[-1:], None)
        opacity = 1.0 if transparency is None else 1.0 - transparency
    opacity = float(np.clip(opacity, 0.0, 1.0))
    if opacity == 0.0:
        warnings.append(f"material `{title}` is fully transparent (`d 0` or `Tr 1`)")
    base = images.get("base")
    if base is not None and images.get("opacity") is not None:
        base = _with_opacity(base, images["opacity"])
    shine = _number(rows.get("ns"), 0.0) or 0.0
    glossy = max(_color(rows.get("ks"), (0.0, 0.0, 0.0), f"`Ks` of `{title}`", warnings)) > 0
    roughness = _number(rows.get("pr"), None)
    if roughness is None:
        # a Blinn-Phong lobe of exponent n is as wide as a GGX lobe of alpha = sqrt(2 / (n + 2)) = roughness²
        roughness = (2.0 / (max(shine, 0.0) + 2.0)) ** 0.25 if glossy else 1.0
    emissive = _color(rows.get("ke"), (0.0, 0.0, 0.0), f"`Ke` of `{title}`", warnings)
    mode, cutoff = alpha_mode_of(base, opacity)
    return Material(
        name=title or "material",
        base_color=(float(color[0]), float(color[1]), float(color[2]), opacity),
        base_color_image=base,
        metallic=float(np.clip(_number(rows.get("pm"), 0.0) or 0.0, 0.0, 1.0)),
        roughness=float(np.clip(roughness, 0.0, 1.0)),
        normal_image=None if images.get("normal") is None else images["normal"][:, :, :3].copy(),
        emissive=(float(emissive[0]), float(emissive[1]), float(emissive[2])),
        alpha_mode=mode,
        alpha_cutoff=cutoff,
    )


def alpha_mode_of(image: np.ndarray | None, opacity: float = 1.0):
    """How to draw a picture's transparency: (alpha mode, cut-off).

    OPAQUE without any; MASK if at least 95 % of the pixels are clearly on or off; BLEND otherwise, and
    whenever the material itself is translucent.
    """
    if opacity < 1.0:
        return "BLEND", 0.5
    if image is None or image.shape[2] < 4 or (image[:, :, 3] == 255).all():
        return "OPAQUE", 0.5
    alpha = image[:, :, 3]
    clear = ((alpha < 16) | (alpha > 239)).mean()
    return ("MASK" if clear >= 0.95 else "BLEND"), 0.5


def _picture(
    words: list[str],
    title: str,
    siblings: Siblings,
    pictures: dict[str, np.ndarray | None],
    warnings: list[str],
) -> np.ndarray | None:
    name = _file_name(words)
    if name not in pictures:
        pictures[name] = None
        data = siblings.read(name)
        if data is None:
            warnings.append(f"picture `{name}` of material `{title}` is missing: its plain colour is used")
        else:
            try:
                pictures[name] = decode_image(data, name)
            except PolyglyphError as problem:
                warnings.append(f"{problem}: the plain colour of material `{title}` is used")
    return pictures[name]


def _file_name(words: list[str]) -> str:
    """The file a `map_` line names: what is left after options such as `-s 1 1 1`."""
    at = 0
    while at < len(words) - 1 and words[at].startswith("-"):
        option = words[at].lower()
        at += 1
        if option in ("-o", "-s", "-t"):  # one to three numbers
            numbers = 0
            while at < len(words) - 1 and numbers < 3 and re.fullmatch(r"[-+.\deE]+", words[at]):
                at, numbers = at + 1, numbers + 1
        else:
            at += _OPTION_ARGUMENTS.get(option, 0)
    return " ".join(words[at:])


def _number(words: list[str] | None, default: float | None) -> float | None:
    if not words:
        return default
    try:
        value = float(words[0])
    except ValueError:
        return default
    return value if np.isfinite(value) else default


def _color(words: list[str] | None, default: tuple[float, ...], what: str, warnings: list[str]) -> np.ndarray:
    """A colour line as linear RGB. MTL does not say; every program we know shows its numbers as sRGB."""
    if words is None:
        return srgb_to_linear(np.array(default))
    try:
        values = np.array([float(word) for word in words[:3]])
    except ValueError:
        values = np.array([])
    if len(values) == 1:
        values = values.repeat(3)
    if len(values) != 3 or not np.isfinite(values).all():
        warnings.append(f"{what} is `{' '.join(words)}`, not a colour: left out")
        return srgb_to_linear(np.array(default))
    return srgb_to_linear(np.clip(values, 0.0, 1.0))


def _with_opacity(base: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    mask = opacity[:, :, 3] if opacity.shape[2] == 4 and opacity[:, :, 3].min() < 255 else opacity[:, :, 0]
    if mask.shape != base.shape[:2]:
        mask = np.array(Image.fromarray(mask).resize((base.shape[1], base.shape[0])))
    return np.concatenate([base[:, :, :3], mask[:, :, None]], axis=2)
