"""glTF's materials, textures and pictures to `Material`. Used by `gltf.py` only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from polyglyph.base.errors import PolyglyphError
from polyglyph.formats.model import Material
from polyglyph.formats.png import decode_image

__all__ = ["MaterialReader"]


class MaterialReader:
    """Materials by index: (material, which TEXCOORD set, 3x3 transform of coordinates or None).

    `Material` holds one set of coordinates, so the base colour's (else the first picture's) set and
    transform stand for all of the material's pictures; a difference is a warning.
    """

    def __init__(
        self, document: dict[str, Any], read: Callable[[dict[str, Any]], bytes | None], warnings: list[str]
    ) -> None:
        self.document = document
        self._read = read
        self._warnings = warnings
        self._images: dict[int, np.ndarray | None] = {}
        self._materials: dict[int | None, tuple[Material, int, np.ndarray | None]] = {
            None: (Material(name="default", metallic=1.0, double_sided=False), 0, None)
        }

    def get(self, index: int | None) -> tuple[Material, int, np.ndarray | None]:
        """The material `index` (None: glTF's default: white, metal)."""
        if index not in self._materials:
            self._materials[index] = self._material(self.document["materials"][index], index)
        return self._materials[index]

    def _material(self, row: dict[str, Any], index: int | None) -> tuple[Material, int, np.ndarray | None]:
        title = row.get("name") or f"material_{index}"
        extensions = row.get("extensions") or {}
        pbr = row.get("pbrMetallicRoughness") or {}
        base, base_info = pbr.get("baseColorFactor") or [1.0] * 4, pbr.get("baseColorTexture")
        metallic, roughness = pbr.get("metallicFactor", 1.0), pbr.get("roughnessFactor", 1.0)
        rough_info, shade_info = pbr.get("metallicRoughnessTexture"), row.get("occlusionTexture")
        glossy = extensions.get("KHR_materials_pbrSpecularGlossiness")
        if glossy is not None and not pbr:
            base, base_info = glossy.get("diffuseFactor") or [1.0] * 4, glossy.get("diffuseTexture")
            metallic, roughness, rough_info = 0.0, 1.0 - glossy.get("glossinessFactor", 1.0), None
            self._warn(f"material `{title}` is specular-glossiness: its diffuse colour and gloss are kept")
        if row.get("emissiveTexture") is not None:
            self._warn(f"material `{title}` has an emissive picture: it is left out")
        normal_info = row.get("normalTexture")
        infos = [info for info in (base_info, rough_info, normal_info, shade_info) if info is not None]
        texcoord, transform = _placement(infos[0]) if infos else (0, None)
        for info in infos[1:]:
            other, moved = _placement(info)
            if other != texcoord or not np.array_equal(_matrix(moved), _matrix(transform)):
                self._warn(f"material `{title}` places its pictures differently: all follow the first one")
        mode = row.get("alphaMode", "OPAQUE")
        if mode not in ("OPAQUE", "MASK", "BLEND"):
            self._warn(f"material `{title}` has the alpha mode {mode!r}: drawn opaque")
            mode = "OPAQUE"
        normal = self._picture(normal_info, title)
        # an emissive picture is left out, so its factor must not light the whole surface
        glow = [0.0] * 3 if row.get("emissiveTexture") is not None else row.get("emissiveFactor") or [0.0] * 3
        material = Material(
            name=title,
            base_color=_unit(base, 4),
            base_color_image=self._picture(base_info, title),
            metallic=_unit([metallic], 1)[0],
            roughness=_unit([roughness], 1)[0],
            orm_image=self._orm(rough_info, shade_info, title),
            normal_image=None if normal is None else normal[:, :, :3].copy(),
            emissive=_unit(glow, 3),
            alpha_mode=mode,
            alpha_cutoff=float(row.get("alphaCutoff", 0.5)),
            double_sided=bool(row.get("doubleSided", False)),
        )
        return material, texcoord, transform

    def _orm(self, rough_info: Any, shade_info: Any, title: str) -> np.ndarray | None:
        """Occlusion (R), roughness (G), metallic (B) in one picture; 255 where the file has none."""
        rough, shade = self._picture(rough_info, title), self._picture(shade_info, title)
        if rough is None and shade is None:
            return None
        if rough is None or shade is None:
            one = rough if rough is not None else shade
            assert one is not None  # noqa: S101  (for the type checker)
            orm = np.full((*one.shape[:2], 3), 255, dtype=np.uint8)
            if rough is not None:
                orm[:, :, 1:] = rough[:, :, 1:3]
            else:
                orm[:, :, 0] = one[:, :, 0]
            return orm
        orm = rough[:, :, :3].copy()
        red = shade[:, :, 0]
        if red.shape != orm.shape[:2]:
            red = np.array(Image.fromarray(np.ascontiguousarray(red)).resize((orm.shape[1], orm.shape[0])))
        orm[:, :, 0] = red
        return orm

    def _picture(self, info: Any, title: str) -> np.ndarray | None:
        if info is None:
            return None
        texture = self.document["textures"][info["index"]]
        webp = (texture.get("extensions") or {}).get("EXT_texture_webp") or {}
        source = webp.get("source", texture.get("source"))
        if source is None:
            self._warn(f"material `{title}`: a picture is in a format we do not read (KTX2?): it is left out")
            return None
        if source not in self._images:
            self._images[source] = None
            row = self.document["images"][source]
            name = row.get("name") or str(row.get("uri", f"picture {source}"))[:60]
            data = self._read(row)
            if data is None:
                self._warn(f"picture `{name}` of material `{title}` is missing: its plain colour is used")
            else:
                try:
                    self._images[source] = decode_image(data, name)
                except PolyglyphError as problem:
                    self._warn(f"{problem}: the plain colour of material `{title}` is used")
        return self._images[source]

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warnings:
            self._warnings.append(sentence)


def _placement(info: dict[str, Any]) -> tuple[int, np.ndarray | None]:
    """Which TEXCOORD set a picture uses, and KHR_texture_transform as a matrix (None: none)."""
    extension = (info.get("extensions") or {}).get("KHR_texture_transform")
    if extension is None:
        return info.get("texCoord", 0), None
    (u, v), (a, b) = extension.get("offset") or (0, 0), extension.get("scale") or (1, 1)
    turn = extension.get("rotation", 0.0)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos * a, sin * b, u], [-sin * a, cos * b, v], [0.0, 0.0, 1.0]])
    return extension.get("texCoord", info.get("texCoord", 0)), matrix


def _matrix(transform: np.ndarray | None) -> np.ndarray:
    return np.eye(3) if transform is None else transform


def _unit(values: Any, count: int) -> tuple[Any, ...]:
    numbers = np.nan_to_num(np.array(values, dtype=np.float64)[:count])
    return tuple(float(value) for value in np.clip(numbers, 0.0, 1.0))
