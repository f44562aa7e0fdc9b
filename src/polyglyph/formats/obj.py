"""Writes Wavefront OBJ with its material file and PNG pictures. Reading is in `wavefront.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyglyph.base.errors import FormatError
from polyglyph.base.files import write_bytes
from polyglyph.formats.color import linear_to_srgb
from polyglyph.formats.model import Material, Part
from polyglyph.formats.png import encode_png
from polyglyph.formats.repair import checked_part

__all__ = ["write_obj"]


def write_obj(path: Path | str, parts: Sequence[Part]) -> None:
    """Write `parts` as NAME.obj, NAME.mtl and one NAME_….png per picture, beside each other.

    Pictures first and the mesh last, each atomically, so an interrupted write never leaves an OBJ that
    names missing files. Colours and picture factors become `Kd` (sRGB) and `map_Kd`; opacity `d`;
    roughness and metal `Pr` and `Pm`; the normal picture `norm`; the roughness-metal picture is written
    as `map_Pr` and `map_Pm`. Vertex colours follow the positions, in sRGB, without their alpha.

    Raises FormatError for what `encode_glb` refuses, except missing tangents, which OBJ does not hold.
    """
    path = Path(path)
    if path.suffix.lower() != ".obj":
        raise FormatError(f"`{path.name}` would hold a Wavefront mesh", fix="give the file the suffix `.obj`")
    if not parts:
        raise FormatError("there is nothing to write: no parts", fix="give at least one part")
    ready = [checked_part(part, need_tangents=False) for part in parts]
    titles, library, pictures = _materials([part.material for part in ready], path.stem)
    text = _geometry(ready, titles, path.stem)
    for name, image in pictures.items():
        write_bytes(path.parent / name, encode_png(image))
    write_bytes(path.with_suffix(".mtl"), library.encode())
    write_bytes(path, text.encode())


def _materials(materials: list[Material], stem: str) -> tuple[list[str], str, dict[str, np.ndarray]]:
    """The name used for each material, the text of the library, and the pictures by file name."""
    titles: list[str] = []
    named: dict[str, Material] = {}
    pictures: dict[str, np.ndarray] = {}
    blocks: list[str] = []
    for material in materials:
        known = next((title for title, other in named.items() if other is material), None)
        if known is None:
            known = _free(_word(material.name), named)
            named[known] = material
            blocks.append(_block(known, material, stem, pictures))
        titles.append(known)
    return titles, "# polyglyph\n" + "\n".join(blocks), pictures


def _block(title: str, material: Material, stem: str, pictures: dict[str, np.ndarray]) -> str:
    red, green, blue = linear_to_srgb(np.array(material.base_color[:3]))
    glow = linear_to_srgb(np.array(material.emissive))
    lines = [
        f"newmtl {title}",
        f"Kd {red:.6f} {green:.6f} {blue:.6f}",
        "Ks 0 0 0",
        f"Ke {glow[0]:.6f} {glow[1]:.6f} {glow[2]:.6f}",
        f"d {material.base_color[3]:.6f}",
        f"Pr {material.roughness:.6f}",
        f"Pm {material.metallic:.6f}",
    ]

    def picture(role: str, image: np.ndarray) -> str:
        name = f"{_word(stem)}_{title}_{role}.png"
        pictures[name] = image
        return name

    if material.base_color_image is not None:
        image = material.base_color_image
        factor = np.array(material.base_color[:3])
        if not np.allclose(factor, 1.0):  # a reader shows the picture alone, so the factor goes into it
            image = _tinted(image, factor)
        name = picture("base_color", image)
        lines.append(f"map_Kd {name}")
        if image.shape[2] == 4 and material.alpha_mode != "OPAQUE":
            lines.append(f"map_d {name}")
    if material.orm_image is not None:
        rough, metal = material.orm_image[:, :, 1:2], material.orm_image[:, :, 2:3]
        lines.append(f"map_Pr {picture('roughness', rough.repeat(3, axis=2))}")
        lines.append(f"map_Pm {picture('metallic', metal.repeat(3, axis=2))}")
    if material.normal_image is not None:
        lines.append(f"norm {picture('normal', material.normal_image)}")
    return "\n".join(lines) + "\n"


def _tinted(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
    from polyglyph.formats.color import srgb_to_linear

    color = linear_to_srgb(srgb_to_linear(image[:, :, :3] / 255.0) * factor)
    tinted = np.round(np.clip(color, 0, 1) * 255).astype(np.uint8)
    return np.concatenate([tinted, image[:, :, 3:]], axis=2)


def _geometry(parts: Sequence[Part], titles: Sequence[str], stem: str) -> str:
    lines = ["# polyglyph", f"mtllib {stem}.mtl"]
    first = np.ones(3, dtype=np.int64)  # next free number of v, vt, vn
    for part, title in zip(parts, titles, strict=True):
        lines.append(f"o {_word(part.name)}")
        columns = [part.positions]
        if part.colors is not None:
            columns.append(linear_to_srgb(part.colors[:, :3]).astype(np.float32))
        lines += _rows("v", np.concatenate(columns, axis=1))
        if part.uvs is not None:
            lines += _rows("vt", np.stack([part.uvs[:, 0], 1.0 - part.uvs[:, 1]], axis=1))
        if part.normals is not None:
            lines += _rows("vn", part.normals)
        lines.append(f"usemtl {title}")
        form = {(True, True): "{0}/{1}/{2}", (True, False): "{0}/{1}", (False, True): "{0}//{2}"}.get(
            (part.uvs is not None, part.normals is not None), "{0}"
        )
        corner = [form.format(*(first + index)) for index in range(len(part.positions))]
        lines += [f"f {corner[a]} {corner[b]} {corner[c]}" for a, b, c in part.faces]
        count = len(part.positions)
        first += (count, count * (part.uvs is not None), count * (part.normals is not None))
    return "\n".join(lines) + "\n"


def _rows(key: str, table: np.ndarray) -> list[str]:
    form = key + " %.9g" * table.shape[1]
    return [form % tuple(row) for row in table.tolist()]


def _word(name: str) -> str:
    """A name without blanks and without what file systems refuse."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "unnamed"


def _free(name: str, taken: dict[str, Material]) -> str:
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free
