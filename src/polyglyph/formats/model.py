"""What every mesh reader returns and every mesh writer takes: a list of parts with materials.

Legend: V vertices, F faces, H W picture size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

__all__ = ["Material", "MeshFile", "Part"]


@dataclass
class Material:
    """A glTF metallic-roughness material. Factors are linear; pictures are 8-bit as stored in files."""

    name: str = "material"
    base_color: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Linear RGBA factor, multiplied with the picture when there is one."""
    base_color_image: np.ndarray | None = None
    """uint8 [H, W, 3 or 4], sRGB."""
    metallic: float = 0.0
    roughness: float = 1.0
    orm_image: np.ndarray | None = None
    """uint8 [H, W, 3], linear: red occlusion, green roughness, blue metallic."""
    normal_image: np.ndarray | None = None
    """uint8 [H, W, 3], tangent space, +Y up."""
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = True


@dataclass
class Part:
    """Triangles that share one material."""

    positions: np.ndarray
    """float32 [V, 3], metres, Y up."""
    faces: np.ndarray
    """int32 [F, 3], counter-clockwise seen from outside."""
    name: str = "part"
    normals: np.ndarray | None = None
    """float32 [V, 3], unit length."""
    uvs: np.ndarray | None = None
    """float32 [V, 2], origin at the picture's top left, as glTF."""
    colors: np.ndarray | None = None
    """float32 [V, 4], linear RGBA, multiplied with the base colour."""
    tangents: np.ndarray | None = None
    """float32 [V, 4], unit length, w is the bitangent's sign."""
    material: Material = field(default_factory=Material)


@dataclass
class MeshFile:
    """What was read: the parts, and one sentence for each thing that had to be repaired or left out."""

    parts: list[Part]
    warnings: list[str] = field(default_factory=list)

    @property
    def face_count(self) -> int:
        """Triangles over all parts."""
        return sum(len(part.faces) for part in self.parts)

    @property
    def textured(self) -> bool:
        """Whether any part has a base-colour picture and the coordinates to use it."""
        return any(part.material.base_color_image is not None and part.uvs is not None for part in self.parts)
