"""A mesh of many materials as tensors.

Legend: V vertices, F faces, M material slots.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats import model
from polyglyph.scene.material import Material
from polyglyph.scene.normals import smooth_parts
from polyglyph.scene.tangents import tangents

__all__ = ["Mesh", "face_normals", "vertex_normals"]

CREASE_ANGLE = 40.0
"""Degrees. Where a file has no normals, faces that meet at less than this are shaded as one surface."""


def face_normals(positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Normals of the faces, counter-clockwise outward, of length *twice the area*."""
    a, b, c = positions[faces].unbind(1)
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(positions: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "V 3"]:
    """Unit normals of the vertices: the mean of the faces around each, weighted by area.

    A vertex without faces, or whose faces cancel, gets +Y. Differentiable in the positions.
    """
    flat = face_normals(positions, faces)
    total = torch.zeros_like(positions)
    for corner in range(3):
        total = total.index_add(0, faces[:, corner], flat)
    length = total.norm(dim=1, keepdim=True)
    up = positions.new_tensor([0.0, 1.0, 0.0])
    return torch.where(length > 1e-20, total / length.clamp(min=1e-20), up)


@dataclass
class Mesh:
    """Triangles, their vertices' attributes, and the material of each face.

    What is left out is made: smooth `normals`, one material slot for all faces.
    """

    positions: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    normals: Float[Tensor, "V 3"] = None  # type: ignore[assignment]  # filled below
    uvs: Float[Tensor, "V 2"] | None = None
    """Origin at the picture's top left, as glTF."""
    colors: Float[Tensor, "V 4"] | None = None
    """Linear RGBA, multiplied with the base colour."""
    tangents: Float[Tensor, "V 4"] | None = None
    material_id: Int[Tensor, " F"] = None  # type: ignore[assignment]  # filled below
    """For each face the slot in `materials`."""
    materials: list[Material] = field(default_factory=lambda: [Material()])
    names: list[str] = field(default_factory=list)
    """One name per slot. Slots are parts: two may hold the very same material."""

    def __post_init__(self) -> None:
        self.faces = self.faces.long()
        if self.normals is None:
            self.normals = vertex_normals(self.positions, self.faces)
        if self.material_id is None:
            self.material_id = torch.zeros(len(self.faces), dtype=torch.int64, device=self.faces.device)
        if not self.names:
            self.names = [material.name for material in self.materials]

    @classmethod
    def from_parts(cls, parts: Sequence[model.Part], *, crease_angle: float = CREASE_ANGLE) -> "Mesh":
        """One mesh from the parts of a mesh file, a slot for each.

        Parts without normals get crease-aware ones (`crease_angle` in degrees; vertices are doubled along
        creases); parts with a normal map but no tangents get tangents. A picture whose part has no texture
        coordinates cannot be used and is left out.
        Raises DataError when there are no faces, when positions are not finite or when faces name vertices
        that are not there.
        """
        parts = [part for part in parts if len(part.faces)]
        if not parts:
            raise DataError("the mesh has no faces", fix="give a mesh with at least one triangle")
        parts = [smooth_parts(_checked(part), crease_angle) for part in parts]
        with_uvs = any(part.uvs is not None for part in parts)
        with_colors = any(part.colors is not None for part in parts)
        materials, cache = [], {}
        for part in parts:
            key = (id(part.material), part.uvs is None)
            if key not in cache:
                cache[key] = _material(part)
            materials.append(cache[key])
        with_tangents = any(material.normal_image is not None for material in materials)
        counts = np.cumsum([0] + [len(part.positions) for part in parts])
        faces = [part.faces.astype(np.int64) + start for part, start in zip(parts, counts, strict=False)]
        slots = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
        return cls(
            positions=_stack([part.positions for part in parts]),
            faces=torch.from_numpy(np.concatenate(faces)),
            normals=_stack([part.normals for part in parts]),
            uvs=_stack([_or(part.uvs, part, (0, 0)) for part in parts]) if with_uvs else None,
            colors=_stack([_or(part.colors, part, (1, 1, 1, 1)) for part in parts]) if with_colors else None,
            tangents=_stack([_tangents(*pair) for pair in zip(parts, materials, strict=True)])
            if with_tangents
            else None,
            material_id=torch.from_numpy(slots),
            materials=materials,
            names=[part.name for part in parts],
        )

    def to_parts(self) -> list[model.Part]:
        """One part per slot that has faces, each with only the vertices it uses."""
        parts = []
        sources: dict[int, model.Material] = {}
        for slot, material in enumerate(self.materials):
            faces = self.faces[self.material_id == slot]
            if not len(faces):
                continue
            used, local = torch.unique(faces, return_inverse=True)
            textured = any((material.base_color_image, material.orm_image, material.normal_image))
            parts.append(
                model.Part(
                    name=self.names[slot],
                    positions=_array(self.positions[used]),
                    faces=local.reshape(-1, 3).cpu().numpy().astype(np.int32),
                    normals=_array(self.normals[used]),
                    uvs=_array(self.uvs[used]) if self.uvs is not None and textured else None,
                    colors=None if self.colors is None else _array(self.colors[used]),
                    tangents=_array(self.tangents[used])
                    if self.tangents is not None and material.normal_image is not None
                    else None,
                    material=sources.setdefault(id(material), material.to_model()),
                )
            )
        return parts

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.positions.device

    def to(self, device: torch.device | str) -> "Mesh":
        """The same mesh on another device; slots that share a material go on sharing it."""
        moved: dict[str, Any] = {
            key: value.to(device) if isinstance(value, Tensor) else value for key, value in vars(self).items()
        }
        cache = {id(material): material.to(device) for material in self.materials}
        moved["materials"] = [cache[id(material)] for material in self.materials]
        return Mesh(**moved)

    def bounds(self) -> Float[Tensor, "2 3"]:
        """The smallest and the largest corner of the box round all vertices that a face uses."""
        used = self.positions[self.faces.reshape(-1)]
        if not len(used):
            raise DataError("the mesh has no faces", fix="give a mesh with at least one triangle")
        return torch.stack([used.amin(0), used.amax(0)])

    def transformed(self, matrix: Float[Tensor, "3 3"], shift: Float[Tensor, "3"] | None = None) -> "Mesh":
        """Positions p → matrix·p + shift, normals and tangents with it; a mirror turns the faces round."""
        positions = self.positions @ matrix.T
        turned = matrix.det() < 0
        normals = F.normalize(self.normals @ torch.linalg.inv(matrix), dim=1)
        moved = None
        if self.tangents is not None:
            direction = F.normalize(self.tangents[:, :3] @ matrix.T, dim=1)
            moved = torch.cat([direction, self.tangents[:, 3:] * (-1 if turned else 1)], 1)
        return dataclasses.replace(
            self,
            positions=positions if shift is None else positions + shift,
            normals=normals,
            tangents=moved,
            faces=self.faces.flip(1) if turned else self.faces,
        )

    def normalised(self, mode: Literal["box", "sphere"] = "box", size: float = 1.0) -> "Mesh":
        """Centred on the origin and scaled.

        `box`: the longest side of the bounding box becomes `size` (GET3D's pictures: chairs 0.7, cars and
        motorbikes 0.9). `sphere`: the farthest vertex from the box's centre comes to lie `size` / 2 away.
        Raises ConfigError for an unknown mode, DataError for a mesh without extent.
        """
        if mode not in ("box", "sphere"):
            raise ConfigError(f"there is no way to normalise called `{mode}`", fix="use `box` or `sphere`")
        low, high = self.bounds()
        centre = (low + high) / 2
        used = self.positions[self.faces.reshape(-1)] - centre
        extent = (high - low).max() if mode == "box" else 2 * used.norm(dim=1).max()
        if not float(extent) > 0:
            raise DataError("the mesh has no extent, all its vertices are one point", fix="leave it out")
        return dataclasses.replace(self, positions=(self.positions - centre) * (size / extent))

    @staticmethod
    def concatenated(meshes: Sequence["Mesh"]) -> "Mesh":
        """All the meshes as one; each keeps its slots."""
        if not meshes:
            raise DataError("there are no meshes to join", fix="give at least one")
        vertex_start = np.cumsum([0] + [len(mesh.positions) for mesh in meshes])
        slot_start = np.cumsum([0] + [len(mesh.materials) for mesh in meshes])

        def joined(name: str, fill: tuple[float, ...]) -> Tensor | None:
            if all(getattr(mesh, name) is None for mesh in meshes):
                return None
            return torch.cat(
                [
                    mesh.positions.new_tensor(fill).expand(len(mesh.positions), -1)
                    if getattr(mesh, name) is None
                    else getattr(mesh, name)
                    for mesh in meshes
                ]
            )

        return Mesh(
            positions=torch.cat([mesh.positions for mesh in meshes]),
            faces=torch.cat(
                [mesh.faces + int(start) for mesh, start in zip(meshes, vertex_start, strict=False)]
            ),
            normals=torch.cat([mesh.normals for mesh in meshes]),
            uvs=joined("uvs", (0.0, 0.0)),
            colors=joined("colors", (1.0, 1.0, 1.0, 1.0)),
            tangents=joined("tangents", (1.0, 0.0, 0.0, 1.0)),
            material_id=torch.cat(
                [mesh.material_id + int(start) for mesh, start in zip(meshes, slot_start, strict=False)]
            ),
            materials=[material for mesh in meshes for material in mesh.materials],
            names=[name for mesh in meshes for name in mesh.names],
        )


def _checked(part: model.Part) -> model.Part:
    if not np.isfinite(part.positions).all():
        raise DataError(
            f"part `{part.name}` has positions that are not finite", fix="repair or leave out this mesh"
        )
    if part.faces.min() < 0 or part.faces.max() >= len(part.positions):
        raise DataError(
            f"part `{part.name}` has faces that name vertices which are not there",
            fix="repair or leave out this mesh",
        )
    if part.uvs is not None and not np.isfinite(part.uvs).all():
        part = dataclasses.replace(part, uvs=np.nan_to_num(part.uvs, nan=0.0, posinf=0.0, neginf=0.0))
    return part


def _material(part: model.Part) -> Material:
    material = Material.from_model(part.material)
    if part.uvs is None:
        material = dataclasses.replace(material, base_color_image=None, orm_image=None, normal_image=None)
    return material


def _tangents(part: model.Part, material: Material) -> np.ndarray:
    if part.tangents is not None:
        return part.tangents
    if material.normal_image is None or part.uvs is None or part.normals is None:
        return _or(None, part, (1, 0, 0, 1))
    return tangents(part.positions, part.faces, part.normals, part.uvs)


def _or(array: np.ndarray | None, part: model.Part, fill: tuple[float, ...]) -> np.ndarray:
    return (
        np.broadcast_to(np.array(fill, dtype=np.float32), (len(part.positions), len(fill)))
        if array is None
        else array
    )


def _stack(arrays: Sequence[np.ndarray | None]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.asarray(array, dtype=np.float32) for array in arrays]))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
