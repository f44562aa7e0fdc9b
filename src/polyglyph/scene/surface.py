"""What a covered sample looks like: attributes, textures and light, gathered sample by sample.

Legend: N samples, B cameras, V vertices, F faces, H W the raster.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyglyph.scene.light import Light, shade
from polyglyph.scene.material import Material, Picture2D
from polyglyph.scene.mesh import Mesh

__all__ = ["Samples", "Seen", "Surface", "texel_density", "transparent_faces"]


@dataclass
class Samples:
    """Where surfaces were hit."""

    place: Int[Tensor, " N"]
    """Index into the flattened raster of all cameras."""
    camera: Int[Tensor, " N"]
    face: Int[Tensor, " N"]
    """Row of the mesh's faces."""
    barycentric: Float[Tensor, "N 3"]
    eye: Float[Tensor, "B 3"]
    view: Float[Tensor, "B 4 4"]

    def taken(self, order: Int[Tensor, " M"]) -> "Samples":
        """Some of the samples, or all in another order."""
        place, camera, face = self.place[order], self.camera[order], self.face[order]
        return Samples(place, camera, face, self.barycentric[order], self.eye, self.view)


class Seen(NamedTuple):
    """What was seen there."""

    color: Float[Tensor, "N 3"]
    """Linear; equal to `albedo` where no lights were given."""
    opacity: Float[Tensor, "N 1"]
    depth: Float[Tensor, "N 1"]
    """Metres along the viewing axis."""
    normal: Float[Tensor, "N 3"]
    """World, unit length, facing the camera."""
    albedo: Float[Tensor, "N 3"]


class _Skin(NamedTuple):
    """Material values at samples."""

    base: Tensor  # [N, 4]
    orm: Tensor  # [N, 3]
    bump: Tensor | None  # [N, 3] tangent-space normals; (0, 0, 1) where there is no map
    emissive: Tensor  # [N, 3]


ATTRIBUTES = {"positions": 3, "normals": 3, "uvs": 2, "colors": 4, "tangents": 4}


class Surface:
    """A mesh ready to be seen. Without `lights` the colour is the base colour."""

    def __init__(self, mesh: Mesh, lights: Sequence[Light] | None) -> None:
        self.mesh, self.lights = mesh, lights
        present = {name: getattr(mesh, name) for name in ATTRIBUTES if getattr(mesh, name) is not None}
        # one row for each face, all its corners' attributes side by side: a sample then needs one gather
        self._corners = torch.cat(list(present.values()), 1)[mesh.faces]  # [F, 3, C]
        self._widths = {name: ATTRIBUTES[name] for name in present}
        a, b, c = mesh.positions[mesh.faces].unbind(1)
        self._flat = torch.linalg.cross(b - a, c - a)
        number: dict[int, int] = {}
        groups = [number.setdefault(id(material), len(number)) for material in mesh.materials]
        self._materials = [mesh.materials[groups.index(group)] for group in range(len(number))]
        self._group = torch.tensor(groups, device=mesh.device)[mesh.material_id]  # [F]
        self._bumped = "tangents" in present and any(m.normal_image is not None for m in self._materials)

    def shade(self, samples: Samples, density: Float[Tensor, "B F"]) -> tuple[Samples, Seen]:
        """Everything that is seen at the samples, which come back in an order of their own.

        `density` comes from `texel_density`.
        """
        group = self._group[samples.face]
        if len(self._materials) > 1:
            samples = samples.taken(torch.argsort(group, stable=True))
        vertex = self._blended(samples)
        skin = self._skin(samples, vertex, torch.bincount(group, minlength=len(self._materials)), density)
        view = samples.eye[samples.camera] - vertex["positions"]
        normal = self._normal(samples, vertex, view, skin.bump)
        rows = samples.view[samples.camera, 2]
        depth = -((vertex["positions"] * rows[:, :3]).sum(1, keepdim=True) + rows[:, 3:])
        albedo = skin.base[:, :3]
        color = albedo
        if self.lights is not None:
            color = skin.emissive + shade(
                self.lights,
                normal,
                F.normalize(view, dim=1),
                albedo,
                metallic=skin.orm[:, 2:],
                roughness=skin.orm[:, 1:2],
                occlusion=skin.orm[:, :1],
            )
        return samples, Seen(color, skin.base[:, 3:], depth, normal, albedo)

    def _blended(self, samples: Samples) -> dict[str, Tensor]:
        """Vertex attributes at the samples, by name."""
        corner = self._corners[samples.face]
        weight = samples.barycentric[..., None]
        blend = corner[:, 0] * weight[:, 0] + corner[:, 1] * weight[:, 1] + corner[:, 2] * weight[:, 2]
        return dict(zip(self._widths, blend.split(list(self._widths.values()), 1), strict=True))

    def _normal(
        self, samples: Samples, vertex: dict[str, Tensor], view: Tensor, bump: Tensor | None
    ) -> Tensor:
        """Shading normals that face the camera: on the side of the face that the camera sees."""
        flat = self._flat[samples.face]
        normal = F.normalize(vertex["normals"], dim=1)
        if bump is not None:
            tangent = vertex["tangents"]
            rise = (tangent[:, :3] * normal).sum(1, keepdim=True)
            along = F.normalize(tangent[:, :3] - rise * normal, dim=1)
            across = torch.linalg.cross(normal, along) * tangent[:, 3:].sign()
            x, y, z = bump.unbind(1)
            normal = F.normalize(x[:, None] * along + y[:, None] * across + z[:, None] * normal, dim=1)
        side = (flat * view).sum(1, keepdim=True) * (normal * flat).sum(1, keepdim=True)
        return torch.where(side < 0, -normal, normal)

    def _skin(self, samples: Samples, vertex: dict[str, Tensor], counts: Tensor, density: Tensor) -> _Skin:
        """Material values; samples lie group by group, `counts` of each."""
        spread = density[samples.camera, samples.face]
        parts, start = [], 0
        for material, count in zip(self._materials, counts.tolist(), strict=True):
            rows = slice(start, start + count)
            start += count
            uv = vertex["uvs"][rows] if "uvs" in vertex else None
            color = vertex["colors"][rows] if "colors" in vertex else None
            if count:
                parts.append(self._material(material, count, uv, spread[rows], color))
        if not parts:
            zero = self.mesh.positions.new_zeros(0, 3)
            return _Skin(zero.new_zeros(0, 4), zero, zero if self._bumped else None, zero)
        base, orm, bump, emissive = zip(*parts, strict=True)
        return _Skin(
            torch.cat(base), torch.cat(orm), torch.cat(bump) if self._bumped else None, torch.cat(emissive)
        )

    def _material(
        self, material: Material, count: int, uv: Tensor | None, spread: Tensor, color: Tensor | None
    ) -> _Skin:
        """One material's values at its samples."""
        like = self.mesh.positions
        base = material.base_color.to(like).expand(count, 4)
        metallic = torch.as_tensor(material.metallic, dtype=like.dtype, device=like.device)
        roughness = torch.as_tensor(material.roughness, dtype=like.dtype, device=like.device)
        orm = torch.stack([torch.ones_like(metallic), roughness, metallic]).expand(count, 3)
        bump = like.new_tensor([0.0, 0.0, 1.0]).expand(count, 3)

        def look_up(picture: Picture2D, where: Tensor) -> Tensor:
            height, width = picture.image.shape[:2]
            return picture.sample(where, spread + 0.5 * math.log2(height * width)).to(like.dtype)

        if uv is not None:
            if material.base_color_image is not None:
                value = look_up(material.base_color_image, uv)
                base = base * (value if value.shape[1] == 4 else F.pad(value, (0, 1), value=1.0))
            if material.orm_image is not None:
                orm = orm * look_up(material.orm_image, uv)
            if material.normal_image is not None and self._bumped:
                bump = F.normalize(look_up(material.normal_image, uv) * 2 - 1, dim=1)
        if color is not None:
            base = base * color
        if material.alpha_mode == "OPAQUE":
            alpha = torch.ones_like(base[:, 3:])
        elif material.alpha_mode == "MASK":
            alpha = (base[:, 3:] >= material.alpha_cutoff).to(base)
        else:
            alpha = base[:, 3:].clamp(0, 1)
        emissive = like.new_tensor(material.emissive).expand(count, 3)
        return _Skin(torch.cat([base[:, :3], alpha], 1), orm, bump, emissive)


def transparent_faces(mesh: Mesh) -> Bool[Tensor, " F"]:
    """The faces one may see through, by material or by vertex colour."""
    clear = torch.tensor([not material.opaque for material in mesh.materials], device=mesh.device)
    result = clear[mesh.material_id]
    if mesh.colors is not None and bool((mesh.colors[:, 3] < 0.999).any()):
        thin = (mesh.colors[:, 3] < 0.999)[mesh.faces].any(1)
        blended = torch.tensor(
            [material.alpha_mode != "OPAQUE" for material in mesh.materials], device=mesh.device
        )
        result = result | (thin & blended[mesh.material_id])
    return result


def texel_density(clip: Float[Tensor, "B V 4"], mesh: Mesh, size: tuple[int, int]) -> Float[Tensor, "B F"]:
    """For each face in each view, log2 of the texture length that one raster sample spans.

    Texture length is in units of the whole picture's side: add log2 of its size in texels for the mip level.
    It is the mean over the face, √(texture area / raster area), so a slanted face is a little too sharp along
    its slope. Faces without texture or raster area, or that cross the camera plane, get −60 (level 0).
    """
    none = clip.new_full((len(clip), len(mesh.faces)), -60.0)
    if mesh.uvs is None:
        return none[:, :1].expand_as(none)
    with torch.no_grad():
        a, b, c = mesh.uvs[mesh.faces].unbind(1)
        texture_area = _cross(b - a, c - a).abs()
        screen = clip[..., :2] / clip[..., 3:].clamp(min=1e-6) * 0.5
        screen = screen * clip.new_tensor([size[1], size[0]])
        a, b, c = screen[:, mesh.faces].unbind(2)
        raster_area = _cross(b - a, c - a).abs()
        before = (clip[..., 3] > 1e-6)[:, mesh.faces].all(2)
        sound = before & (raster_area > 1e-9) & (texture_area > 1e-18)
        ratio = texture_area.clamp(min=1e-18) / raster_area.clamp(min=1e-9)
        return torch.where(sound, 0.5 * torch.log2(ratio), none)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
