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
from polyglyph.scene.material import Material
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

    def __len__(self) -> int:
        return len(self.place)


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


@dataclass
class Surface:
    """A mesh ready to be seen. Without `lights` the colour is the base colour."""

    mesh: Mesh
    lights: Sequence[Light] | None

    def shade(self, samples: Samples, density: Float[Tensor, "B F"]) -> Seen:
        """Everything that is seen at the samples. `density` comes from `texel_density`."""
        mesh = self.mesh
        corners = mesh.faces[samples.face]
        position = self._blend(mesh.positions, corners, samples)
        skin = self._skin(samples, corners, density)
        normal = self._normal(samples, corners, position, skin)
        view = samples.eye[samples.camera] - position
        rows = samples.view[samples.camera, 2]
        depth = -((position * rows[:, :3]).sum(1, keepdim=True) + rows[:, 3:])
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
        return Seen(color, skin.base[:, 3:], depth, normal, albedo)

    def _blend(self, attribute: Tensor, corners: Tensor, samples: Samples) -> Tensor:
        """Vertex attributes at the samples."""
        weight = samples.barycentric
        return sum(
            (attribute[corners[:, i]] * weight[:, i : i + 1] for i in range(3)),
            start=attribute.new_zeros(len(samples), attribute.shape[1]),
        )

    def _normal(self, samples: Samples, corners: Tensor, position: Tensor, skin: _Skin) -> Tensor:
        """Shading normals that face the camera: on the side of the face that the camera sees."""
        mesh = self.mesh
        a, b, c = (mesh.positions[corners[:, i]] for i in range(3))
        flat = torch.linalg.cross(b - a, c - a)
        view = samples.eye[samples.camera] - position
        flat = torch.where((flat * view).sum(1, keepdim=True) < 0, -flat, flat)
        normal = F.normalize(self._blend(mesh.normals, corners, samples), dim=1)
        if skin.bump is not None and mesh.tangents is not None:
            tangent = self._blend(mesh.tangents, corners, samples)
            along = F.normalize(
                tangent[:, :3] - (tangent[:, :3] * normal).sum(1, keepdim=True) * normal, dim=1
            )
            across = torch.linalg.cross(normal, along) * tangent[:, 3:].sign()
            x, y, z = skin.bump.unbind(1)
            normal = F.normalize(x[:, None] * along + y[:, None] * across + z[:, None] * normal, dim=1)
        return torch.where((normal * flat).sum(1, keepdim=True) < 0, -normal, normal)

    def _skin(self, samples: Samples, corners: Tensor, density: Tensor) -> _Skin:
        """Material values, gathered material by material."""
        mesh, count = self.mesh, len(samples)
        slot = mesh.material_id[samples.face]
        base = mesh.positions.new_ones(count, 4)
        orm, emissive = torch.ones_like(base[:, :3]), torch.zeros_like(base[:, :3])
        bump = None
        if any(material.normal_image is not None for material in mesh.materials):
            bump = torch.zeros_like(base[:, :3])
            bump[:, 2] = 1
        groups: dict[int, list[int]] = {}
        for index, material in enumerate(mesh.materials):
            groups.setdefault(id(material), []).append(index)
        for slots in groups.values():
            material = mesh.materials[slots[0]]
            if len(groups) == 1:
                chosen = torch.arange(count, device=slot.device)
            else:
                chosen = torch.isin(slot, torch.tensor(slots, device=slot.device)).nonzero().squeeze(1)
            if not len(chosen):
                continue
            values = self._material(material, samples, corners, chosen, density)
            base = base.index_copy(0, chosen, values.base)
            orm = orm.index_copy(0, chosen, values.orm)
            emissive = emissive.index_copy(0, chosen, values.emissive)
            if bump is not None and values.bump is not None:
                bump = bump.index_copy(0, chosen, values.bump)
        if mesh.colors is not None:
            base = base * self._blend(mesh.colors, corners, samples)
        return _Skin(torch.cat([base[:, :3], self._opacity(base[:, 3:], slot)], 1), orm, bump, emissive)

    def _opacity(self, alpha: Tensor, slot: Tensor) -> Tensor:
        """Alpha as the materials' modes have it: 1 where opaque, 0 or 1 where cut, itself where blended."""
        materials = self.mesh.materials
        if all(material.alpha_mode == "OPAQUE" for material in materials):
            return torch.ones_like(alpha)
        mode = torch.tensor(
            [("OPAQUE", "MASK", "BLEND").index(m.alpha_mode) for m in materials], device=slot.device
        )
        limit = alpha.new_tensor([material.alpha_cutoff for material in materials])
        mode, limit = mode[slot][:, None], limit[slot][:, None]
        shown = torch.where(mode == 1, (alpha >= limit).to(alpha), alpha.clamp(0, 1))
        return torch.where(mode == 0, torch.ones_like(alpha), shown)

    def _material(
        self, material: Material, samples: Samples, corners: Tensor, chosen: Tensor, density: Tensor
    ) -> _Skin:
        """One material's values at its samples."""
        mesh = self.mesh
        count = len(chosen)
        base = material.base_color.to(mesh.positions).expand(count, 4)
        metallic = torch.as_tensor(material.metallic, dtype=base.dtype, device=base.device)
        roughness = torch.as_tensor(material.roughness, dtype=base.dtype, device=base.device)
        orm = torch.stack([torch.ones_like(metallic), roughness, metallic]).expand(count, 3)
        bump = None
        textured = any((material.base_color_image, material.orm_image, material.normal_image))
        if textured and mesh.uvs is not None:
            part = Samples(
                samples.place[chosen],
                samples.camera[chosen],
                samples.face[chosen],
                samples.barycentric[chosen],
                samples.eye,
                samples.view,
            )
            uv = self._blend(mesh.uvs, corners[chosen], part)
            spread = density[part.camera, part.face]

            def lod(height: int, width: int) -> Tensor:
                return spread + 0.5 * math.log2(height * width)

            if (picture := material.base_color_image) is not None:
                color = picture.sample(uv, lod(*picture.image.shape[:2]))
                if color.shape[1] == 3:
                    color = F.pad(color, (0, 1), value=1.0)
                base = base * color.to(base.dtype)
            if (picture := material.orm_image) is not None:
                orm = orm * picture.sample(uv, lod(*picture.image.shape[:2])).to(base.dtype)
            if (picture := material.normal_image) is not None:
                bump = F.normalize(
                    picture.sample(uv, lod(*picture.image.shape[:2])).to(base.dtype) * 2 - 1, dim=1
                )
        return _Skin(base, orm, bump, base.new_tensor(material.emissive).expand(count, 3))


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
