"""From a surface and fields over it to a textured part, ready to be written.

Legend: V vertices, F faces, K charted vertices, R texels along a side.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.model import Material, Part
from polyglyph.scene.atlas import Atlas, unwrap
from polyglyph.scene.bake import Baked, Field, Layout, bake, dilate, layout
from polyglyph.scene.clean import Geometry, decimate, largest_parts
from polyglyph.scene.material import linear_to_srgb
from polyglyph.scene.mesh import vertex_normals
from polyglyph.scene.tangents import tangents

__all__ = ["ExportOptions", "Textured", "Textures", "object_to_tangent", "textured", "textured_part"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a surface is prepared for its textures."""

    smallest_part: float = 0.02
    """Connected parts with less than this share of the largest part's area are dropped."""
    parts_limit: int | None = None
    """At most so many connected parts are kept."""
    unwrap: Literal["auto", "xatlas", "box"] = "auto"
    unwrap_seconds: float = 30.0
    """xatlas is stopped after this, and the box atlas takes its place."""
    padding: int = 2
    """Texels between charts."""
    unwrap_here: bool = False
    """Run xatlas in this process, without its limit: for a process that its parent stops."""
    device: str = "cpu"
    """Where the fields are asked."""
    watch: Callable[[str], None] | None = None
    """Told the name of each stage as it begins (clean, decimate, unwrap, layout, bake, assemble); may raise
    to end the work."""


@dataclass(frozen=True, kw_only=True)
class Textures:
    """The fields a part's textures are baked from. Values outside [0, 1] are clamped."""

    color: Field
    """Base colour at points of space, [N, 3], or [N, 4] with alpha."""
    color_encoding: Literal["linear", "srgb"] = "linear"
    """Whether `color` gives linear light or sRGB code values."""
    orm: Field | None = None
    """Occlusion, roughness and metallic, [N, 3] linear."""
    normal: Field | None = None
    """Directions in the space of the positions, [N, 3], of any length."""

    def __post_init__(self) -> None:
        if self.color_encoding not in ("linear", "srgb"):
            raise ConfigError(
                f"there is no colour encoding called `{self.color_encoding}`", fix="use `linear` or `srgb`"
            )


@dataclass(frozen=True)
class Textured:
    """The part, and how it came to be."""

    part: Part
    atlas: Atlas
    faces_before: int
    """Faces before parts were dropped and edges collapsed."""
    faces_clean: int = 0
    """Faces after parts were dropped."""
    coverage: float = 0.0
    """Share of the texels whose centre lies on the surface."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each stage."""


def textured_part(
    positions: Shaped[np.ndarray, "V 3"],
    faces: Shaped[np.ndarray, "F 3"],
    textures: Field | Textures,
    *,
    name: str = "mesh",
    faces_limit: int = 10_000,
    texture_resolution: int = 1024,
    material: Material | None = None,
    options: ExportOptions | None = None,
) -> Part:
    """`textured`, without the account of how it was done."""
    return textured(
        positions,
        faces,
        textures,
        name=name,
        faces_limit=faces_limit,
        texture_resolution=texture_resolution,
        material=material,
        options=options,
    ).part


def textured(
    positions: Shaped[np.ndarray, "V 3"],
    faces: Shaped[np.ndarray, "F 3"],
    textures: Field | Textures,
    *,
    name: str = "mesh",
    faces_limit: int = 10_000,
    texture_resolution: int = 1024,
    material: Material | None = None,
    options: ExportOptions | None = None,
) -> Textured:
    """Clean, decimate, unwrap and bake.

    A bare field is a base colour in linear light. Whatever `textures` does not give is taken from `material`
    (roughness, metallic, alpha mode, ...); factors of the channels that are baked become 1. With a normal
    field the part gets a tangent-space map (+Y up) and tangents. Normals are smooth, weighted by area.

    Raises DataError for a mesh without faces or with positions that are not finite, and for fields that
    return values that are not finite; ConfigError for settings out of range.
    """
    options = options or ExportOptions()
    fields = textures if isinstance(textures, Textures) else Textures(color=textures)
    clock = _Clock(options.watch)
    with clock("clean"):
        clean = largest_parts(positions, faces, share=options.smallest_part, limit=options.parts_limit)
    with clock("decimate"):
        geometry = decimate(clean.positions, clean.faces, faces_limit)
    if not len(geometry.faces):
        raise DataError("nothing is left of the mesh after cleaning", fix="raise the face limit")
    with clock("unwrap"):
        atlas = unwrap(
            geometry.positions,
            geometry.faces,
            method=options.unwrap,
            time_limit=options.unwrap_seconds,
            resolution=texture_resolution,
            padding=options.padding,
            here=options.unwrap_here,
        )
    with clock("layout"):
        plan = layout(atlas, texture_resolution, device=options.device)
    baked: dict[str, Baked] = {}
    with clock("bake"):
        for kind, what in (("color", fields.color), ("orm", fields.orm), ("normal", fields.normal)):
            if what is not None:
                baked[kind] = bake(atlas, geometry.positions, what, plan, device=options.device)
    with clock("assemble"):
        part = _assembled(geometry, atlas, plan, baked, fields, material or Material(name=name))
        part.name = name
    return Textured(part, atlas, len(faces), len(clean.faces), float(plan.coverage.mean()), clock.seconds)


class _Clock:
    """How long each stage takes, and somebody who is told."""

    def __init__(self, watch: Callable[[str], None] | None) -> None:
        self.watch = watch
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self.watch is not None:
            self.watch(stage)
        begun = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - begun, 3)


def _assembled(
    geometry: Geometry, atlas: Atlas, plan: Layout, baked: dict[str, Baked], fields: Textures, given: Material
) -> Part:
    """The charted part with its normals, and a material with what was baked."""
    smooth = vertex_normals(
        torch.from_numpy(geometry.positions), torch.from_numpy(geometry.faces).long()
    ).numpy()
    normals, uvs = smooth[atlas.vertex_map].astype(np.float32), atlas.uvs.astype(np.float32)
    charted = geometry.positions[atlas.vertex_map]
    part = Part(positions=charted, faces=atlas.faces.astype(np.int32), normals=normals, uvs=uvs)
    part.material = Material(**{**vars(given), "base_color": (1.0, 1.0, 1.0, 1.0)})
    part.material.base_color_image = _color_image(baked["color"].image, fields.color_encoding)
    if "orm" in baked:
        part.material.orm_image = _bytes(baked["orm"].image)
        part.material.roughness = part.material.metallic = 1.0
    if "normal" in baked:
        part.tangents = tangents(charted, part.faces, normals, uvs)
        part.material.normal_image = object_to_tangent(baked["normal"].image, part, plan)
    return part


def object_to_tangent(
    direction: Float[np.ndarray, "R R 3"], part: Part, plan: Layout
) -> UInt8[np.ndarray, "R R 3"]:
    """Directions in the part's own space as an 8-bit tangent-space normal map.

    Each covered texel is expressed in the interpolated frame that our renderer uses there
    (blended normal, blended tangent made orthogonal to it, w · normal × tangent); uncovered
    texels are copies of their nearest covered one. Directions under the surface are laid flat on it.
    """
    if part.normals is None or part.tangents is None:
        raise ConfigError("the part has no normals or no tangents", fix="make them before the normal map")
    coverage = plan.coverage
    face = plan.face_id[0].cpu().numpy()[coverage]
    weight = plan.barycentric[0].cpu().numpy()[coverage]
    corner = part.faces[face]

    def blended(values: np.ndarray) -> np.ndarray:
        return (values[corner] * weight[..., None]).sum(1)

    normal = _unit(blended(part.normals))
    tangent = blended(part.tangents)
    along = _unit(tangent[:, :3] - (tangent[:, :3] * normal).sum(1, keepdims=True) * normal)
    across = np.cross(normal, along) * np.sign(tangent[:, 3:])
    wanted = _unit(direction[coverage])
    local = np.stack([(wanted * axis).sum(1) for axis in (along, across, normal)], 1)
    local[:, 2] = np.maximum(local[:, 2], 0.01)
    image = np.zeros((*coverage.shape, 3), dtype=np.float32)
    image[..., 2] = 1
    image[coverage] = _unit(local)
    return _bytes(dilate(image, coverage) * 0.5 + 0.5)


def _color_image(image: np.ndarray, encoding: str) -> UInt8[np.ndarray, "R R C"]:
    if image.shape[2] not in (3, 4):
        raise DataError(f"the colour field gave {image.shape[2]} channels", fix="return 3, or 4 with alpha")
    image = np.clip(image, 0, 1)
    if encoding == "linear":
        coded = linear_to_srgb(torch.from_numpy(np.ascontiguousarray(image[..., :3]))).numpy()
        image = np.concatenate([coded, image[..., 3:]], 2)
    return _bytes(image)


def _bytes(image: np.ndarray) -> UInt8[np.ndarray, "R R C"]:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
