"""Perspective cameras, and the orbit on which pictures of objects are taken.

Convention: right-handed world, Y up, the object's front at +Z. A camera looks along its own −Z, its +X is
right in the picture and its +Y up. Clip space is OpenGL's: x, y and z lie in [−w, w], the near plane at
z = −w, and y = +w is the *top* row of the picture.

Legend: B cameras, V vertices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = [
    "DEFAULT_FOV",
    "DEFAULT_RADIUS",
    "Cameras",
    "angles_from_get3d",
    "angles_to_get3d",
    "look_at",
    "orbit",
    "perspective",
    "turntable",
]

DEFAULT_FOV = math.degrees(2 * math.atan(32 / 35 / 2))
"""49.134°: a 35 mm lens before a 32 mm sensor, the camera of GET3D's pictures."""
DEFAULT_RADIUS = 1.2
"""Metres from the origin to the camera in GET3D's pictures."""

Angles = float | int | Sequence[float | int] | np.ndarray | Tensor


@dataclass(frozen=True)
class Cameras:
    """A batch of cameras."""

    view: Float[Tensor, "B 4 4"]
    """World to camera, a rigid motion."""
    projection: Float[Tensor, "B 4 4"]
    """Camera to clip space."""

    @property
    def position(self) -> Float[Tensor, "B 3"]:
        """Where the cameras stand, in the world."""
        rotation, shift = self.view[:, :3, :3], self.view[:, :3, 3]
        return -(rotation.transpose(1, 2) @ shift[..., None]).squeeze(-1)

    @property
    def device(self) -> torch.device:
        """Where the matrices are."""
        return self.view.device

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, index: int | slice | Tensor) -> "Cameras":
        """Some of the cameras, still as a batch."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(index)
            index = slice(index % len(self), index % len(self) + 1)
        return Cameras(self.view[index], self.projection[index])

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras on another device."""
        return Cameras(self.view.to(device), self.projection.to(device))

    def clip(self, positions: Float[Tensor, "*B V 3"]) -> Float[Tensor, "C V 4"]:
        """World positions to clip space, `[V, 3]` for every camera or `[B, V, 3]` one set for each.

        Differentiable in the positions and in both matrices.
        """
        if positions.ndim not in (2, 3) or (positions.ndim == 3 and len(positions) not in (1, len(self))):
            raise ConfigError(
                f"positions of shape {list(positions.shape)} do not fit {len(self)} cameras",
                fix="give [V, 3], or [B, V, 3] with one set of positions for each camera",
            )
        matrix = (self.projection @ self.view).to(positions.dtype)
        return positions @ matrix[:, :, :3].transpose(1, 2) + matrix[:, None, :, 3]


def perspective(
    fov: Angles = DEFAULT_FOV, aspect: float = 1.0, near: float = 0.1, far: float = 10.0
) -> Float[Tensor, "*B 4 4"]:
    """The projection matrix of a lens.

    `fov` is the *vertical* field of view in degrees, in (0, 180); `aspect` is width over height; `near` and
    `far` are distances in metres along the viewing axis. A point at `near` gets z = −w, at `far` z = +w.
    Returns [4, 4], or [B, 4, 4] when `fov` is a batch. Raises ConfigError for values outside these ranges.
    """
    angle = torch.as_tensor(fov, dtype=_float_type(fov))
    if not bool(((angle > 0) & (angle < 180)).all()):
        raise ConfigError(f"the field of view is {fov} degrees", fix="give one between 0 and 180")
    if not 0 < near < far:
        raise ConfigError(f"the near plane is at {near}, the far plane at {far}", fix="give 0 < near < far")
    if not aspect > 0:
        raise ConfigError(f"the aspect ratio is {aspect}", fix="give width / height, above 0")
    focal = 1 / torch.tan(torch.deg2rad(angle) / 2)
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    rows = [
        torch.stack([focal / aspect, zero, zero, zero], -1),
        torch.stack([zero, focal, zero, zero], -1),
        torch.stack([zero, zero, one * (near + far) / (near - far), one * 2 * near * far / (near - far)], -1),
        torch.stack([zero, zero, -one, zero], -1),
    ]
    return torch.stack(rows, -2)


def look_at(
    position: Float[Tensor, "B 3"],
    target: Float[Tensor, "*T 3"] | None = None,
    up: Float[Tensor, "3"] | None = None,
) -> Float[Tensor, "B 4 4"]:
    """View matrices of cameras at `position` that look at `target` (the origin) with `up` (+Y) upwards.

    A camera that looks straight along `up` has no upward direction of its own: it then gets +X as its right
    hand (as `orbit` gives it at azimuth 0). Raises ConfigError when a camera stands on its target.
    """
    target = torch.zeros_like(position) if target is None else target.expand_as(position)
    up = position.new_tensor([0.0, 1.0, 0.0]) if up is None else up / up.norm()
    back = position - target
    distance = back.norm(dim=-1, keepdim=True)
    if not bool((distance > 1e-9).all()):
        raise ConfigError("a camera stands on the point it looks at", fix="move the camera or its target")
    back = back / distance
    right = torch.linalg.cross(up.expand_as(back), back)
    length = right.norm(dim=-1, keepdim=True)
    axis = torch.eye(3, dtype=position.dtype, device=position.device)[0 if abs(float(up[0])) < 0.9 else 2]
    spare = axis - (axis @ up) * up
    right = torch.where(length > 1e-6, right / length.clamp(min=1e-12), spare / spare.norm())
    return _view(right, torch.linalg.cross(back, right), back, position)


def orbit(
    azimuth: Angles,
    elevation: Angles,
    radius: Angles = DEFAULT_RADIUS,
    fov: Angles = DEFAULT_FOV,
    *,
    aspect: float = 1.0,
    near: float = 0.1,
    far: float = 10.0,
    device: torch.device | str = "cpu",
) -> Cameras:
    """Cameras on a sphere round the origin that look at it, +Y up.

    Convention: degrees. Position = radius · (cos e sin a, sin e, cos e cos a): azimuth 0 looks from +Z at the
    front, 90 from +X at the side; elevation 90 looks from above. At the poles the picture's right hand is
    still (cos a, 0, −sin a), so nothing jumps there. The four arguments broadcast against each other.
    Differentiable in all of them.
    """
    arguments = (azimuth, elevation, radius, fov)
    kinds = {_float_type(value) for value in arguments}
    kind = torch.float64 if torch.float64 in kinds else torch.float32
    a, e, r, lens = torch.broadcast_tensors(
        *(
            torch.as_tensor(value, dtype=kind, device=device).reshape(-1)
            for value in (azimuth, elevation, radius, fov)
        )
    )
    if not bool((r > 0).all()):
        raise ConfigError(f"the orbit's radius is {radius}", fix="give a distance above 0")
    a, e = torch.deg2rad(a), torch.deg2rad(e)
    sin_a, cos_a, sin_e, cos_e = a.sin(), a.cos(), e.sin(), e.cos()
    back = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a], -1)
    right = torch.stack([cos_a, torch.zeros_like(a), -sin_a], -1)
    up = torch.stack([-sin_e * sin_a, cos_e, -sin_e * cos_a], -1)
    view = _view(right, up, back, r[:, None] * back)
    return Cameras(view, perspective(lens, aspect, near, far))


def turntable(
    count: int,
    elevation: float = 15.0,
    radius: float = DEFAULT_RADIUS,
    fov: float = DEFAULT_FOV,
    *,
    start: float = 0.0,
    aspect: float = 1.0,
) -> Cameras:
    """`count` cameras evenly round the object, from azimuth `start` (degrees) on."""
    azimuth = start + torch.arange(count) * (360.0 / max(count, 1))
    return orbit(azimuth, elevation, radius, fov, aspect=aspect)


def angles_from_get3d(theta: Angles, phi: Angles) -> tuple[Tensor, Tensor]:
    """GET3D's camera angles (radians) as our azimuth and elevation (degrees), in the same world axes.

    GET3D's θ is the azimuth in 0..2π with θ = 0 on −Z and θ = π/2 on −X; φ is the polar angle from +Y.
    Hence azimuth = θ + 180° and elevation = 90° − φ. Azimuths come back in [0, 360).
    """
    theta, phi = _tensor(theta), _tensor(phi)
    return torch.remainder(torch.rad2deg(theta) + 180, 360), 90 - torch.rad2deg(phi)


def angles_to_get3d(azimuth: Angles, elevation: Angles) -> tuple[Tensor, Tensor]:
    """Our azimuth and elevation (degrees) as GET3D's (θ, φ) in radians, θ in [0, 2π)."""
    azimuth, elevation = _tensor(azimuth), _tensor(elevation)
    return torch.deg2rad(torch.remainder(azimuth - 180, 360)), torch.deg2rad(90 - elevation)


def _view(right: Tensor, up: Tensor, back: Tensor, position: Tensor) -> Tensor:
    """World to camera from the camera's axes [B, 3] and its place [B, 3]."""
    rotation = torch.stack([right, up, back], 1)
    shift = -(rotation @ position[..., None])
    last = position.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(position), 1, 4)
    return torch.cat([torch.cat([rotation, shift], 2), last], 1)


def _tensor(value: Angles) -> Tensor:
    return torch.as_tensor(value, dtype=_float_type(value))


def _float_type(value: Angles) -> torch.dtype:
    if isinstance(value, Tensor) and value.dtype == torch.float64:
        return torch.float64
    return torch.float32
