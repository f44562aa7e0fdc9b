"""Light from all round as a picture: a cube map, blurred once for every width of highlight.

The split sum (Karis 2013) asks for the light that a mirror of some roughness gathers. Here that mirror is the
mixture of `microfacet.lobes`: one cosine lobe, which is the matt light, and two spherical Gaussians. So the
cube's mip levels are its convolutions with Gaussians, each of a quarter of the sharpness of the one before,
and a sample looks up each of its Gaussians between the two levels that enclose its sharpness.

Legend: s texels along the edge of a cube's face, H W an equirectangular picture, N samples, M directions of a
quadrature.
"""

import functools
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.formats.hdr import read_panorama
from polyglyph.kernels.texture import build_mips, texture, texture_cube
from polyglyph.scene.microfacet import Lobes
from polyglyph.scene.spherical_gaussians import SphericalGaussians

__all__ = ["Environment", "cube_directions"]

WIDTH = 1.33
"""The variance of the Gaussian that a blurred level stands for, in units of its texels' area."""
WIDTH_AS_GIVEN = 0.25
"""The same of the unblurred cube: a texel's own 1/12, and what bilinear samples add."""
ADDED = 0.2
"""The part of a level's variance that looking it up adds: bilinear samples, and those of the convolution."""
COARSEST = 2
MATT = 16
"""Texels along the edge of the cube of matt light."""
SAMPLES = 64
"""Directions that each texel of a blurred level averages."""

# OpenGL 4.6, table 8.19: for each face its own direction, that of growing u and that of growing v
_FACES = (
    ((1, 0, 0), (0, 0, -1), (0, -1, 0)),
    ((-1, 0, 0), (0, 0, 1), (0, -1, 0)),
    ((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, -1)),
    ((0, 0, 1), (1, 0, 0), (0, -1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, -1, 0)),
)


class Environment:
    """Distant light from all round as a cube map of *radiance*, linear.

    Convention: faces are OpenGL's (`kernels.texture`), in the world's axes. Even light of radiance 1 lights a
    white matt surface to 1. `rotation` in degrees turns the surroundings about +Y, from +Z towards +X (as the
    azimuth of cameras); `strength` multiplies the light.

    A cube that needs no gradient is blurred once, when first asked for (0.3 s on one core for faces of 128²),
    and kept. With a cube that does need one this happens at every call, and gradients reach its texels.
    """

    def __init__(
        self, cube: Float[Tensor, "6 s s 3"], *, rotation: float = 0.0, strength: float = 1.0
    ) -> None:
        """Raises ConfigError unless the cube's edge is a power of 2 from 16 to 2048 texels long."""
        if cube.ndim != 4 or cube.shape[0] != 6 or cube.shape[1] != cube.shape[2] or cube.shape[3] != 3:
            raise ConfigError(
                f"an environment of shape {tuple(cube.shape)}", fix="pass a cube map [6, s, s, 3]"
            )
        _check_size(cube.shape[1])
        self.cube, self.rotation, self.strength = cube, rotation, strength
        self._kept: tuple[list[Tensor], Tensor] | None = None

    @classmethod
    def from_file(
        cls, path: Path | str, *, size: int = 256, rotation: float = 0.0, strength: float = 1.0
    ) -> "Environment":
        """From an equirectangular picture: Radiance HDR, or PNG, JPEG, WebP, taken as sRGB.

        Raises DataError for a missing file, FormatError for one that is damaged or not twice as wide as high.
        """
        picture = torch.from_numpy(read_panorama(path))
        return cls.from_equirectangular(picture, size=size, rotation=rotation, strength=strength)

    @classmethod
    def from_equirectangular(
        cls,
        picture: Float[Tensor, "H W 3"],
        *,
        size: int = 256,
        rotation: float = 0.0,
        strength: float = 1.0,
    ) -> "Environment":
        """From a panorama of linear radiance, averaged to faces of `size`² texels.

        Convention: the top row is +Y; the middle column is −Z, what a camera at azimuth 0 has behind the
        object; columns go on to the right to +X (three quarters), +Z (the border) and −X (one quarter).
        Differentiable in the picture. Raises ConfigError for a `size` that is no power of 2 from 16 to 2048.
        """
        _check_size(size)
        finer = max(1, 2 ** math.ceil(math.log2(max(1.0, picture.shape[0] / (2 * size)))))
        while size * finer > 2048:
            finer //= 2
        directions = cube_directions(size * finer).to(picture)
        faces = [
            _averaged(texture(picture, _panorama_place(face.reshape(-1, 3), picture.shape[0])), size, finer)
            for face in directions
        ]
        return cls(torch.stack(faces), rotation=rotation, strength=strength)

    @classmethod
    def from_gaussians(cls, light: SphericalGaussians, *, size: int = 64) -> "Environment":
        """The radiance of spherical Gaussians at the texels' centres. Differentiable in them."""
        _check_size(size)
        directions = cube_directions(size).to(light.amplitude)
        return cls(light.radiance(directions.reshape(-1, 3)).reshape(directions.shape))

    def to(self, device: torch.device | str) -> "Environment":
        """The same light on another device."""
        return Environment(self.cube.to(device), rotation=self.rotation, strength=self.strength)

    def radiance(self, directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """What comes from the given unit directions, unblurred."""
        return self.strength * texture_cube(self.cube.to(directions), self._turned(directions))

    def received(
        self, normal: Float[Tensor, "N 3"], mirror: Lobes | None = None
    ) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 3"] | None]:
        """What a white matt surface and, given its lobes, a white mirror (without its energy) show."""
        levels, irradiance = self._blurred()
        matt = self.strength * texture_cube(irradiance.to(normal), self._turned(normal))
        if mirror is None:
            return matt, None
        levels = [level.to(normal) for level in levels]
        level = _level(mirror.sharpness, self.cube.shape[1], len(levels))
        axis = self._turned(mirror.axis.reshape(-1, 3))
        found = texture_cube(levels[0], axis, filter="trilinear", level=level.reshape(-1), mips=levels[1:])
        found = self.strength * found.reshape(-1, 2, 3)
        return matt, mirror.matt * matt + (mirror.weight[..., None] * found).sum(1)

    def _turned(self, directions: Tensor) -> Tensor:
        """World directions in the cube's own axes."""
        if not self.rotation:
            return directions
        cosine, sine = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        x, y, z = directions.unbind(-1)
        return torch.stack([cosine * x - sine * z, y, sine * x + cosine * z], -1)

    def _blurred(self) -> tuple[list[Tensor], Tensor]:
        """The levels, finest first, and the cube of matt light."""
        if self.cube.requires_grad and torch.is_grad_enabled():
            return _blur(self.cube)
        if self._kept is None:
            with torch.inference_mode(False), torch.no_grad():
                self._kept = _blur(self.cube.clone() if self.cube.is_inference() else self.cube.detach())
        return self._kept


def cube_directions(size: int) -> Float[Tensor, "6 s s 3"]:
    """Unit directions to the centres of a cube map's texels."""
    step = (torch.arange(size) + 0.5) * 2 / size - 1
    faces = torch.tensor(_FACES, dtype=torch.float32)
    out, right, down = faces[:, None, None].unbind(3)
    return F.normalize(out + step[:, None] * right + step[:, None, None] * down, dim=-1)


def _check_size(size: int) -> None:
    if not 16 <= size <= 2048 or size & (size - 1):
        raise ConfigError(
            f"a cube face of an environment is {size} texels wide, not a power of 2 from 16 to 2048",
            fix="use 256",
        )


def _level(sharpness: Tensor, size: int, count: int) -> Tensor:
    """Where among the levels a Gaussian lies; the variance of a blend of levels is that of their blend."""
    width = torch.tensor([WIDTH_AS_GIVEN] + [WIDTH * 4**level for level in range(1, count)])
    width = (width * (4 * math.pi / 6 / size**2)).to(sharpness)
    wanted = 1 / sharpness
    coarser = torch.searchsorted(width, wanted.detach().contiguous()).clamp(1, count - 1)
    below, above = width[coarser - 1], width[coarser]
    return (coarser - 1 + (wanted - below) / (above - below)).clamp(0, count - 1)


def _panorama_place(directions: Tensor, height: int) -> Tensor:
    """Texture coordinates [N, 2]; the last half row at the poles is not blended with the other pole's."""
    x, y, z = directions.unbind(-1)
    down = (torch.acos(y.clamp(-1, 1)) / math.pi).clamp(0.5 / height, 1 - 0.5 / height)
    return torch.stack([torch.atan2(x, -z) / (2 * math.pi) + 0.5, down], -1)


def _averaged(texels: Tensor, size: int, finer: int) -> Tensor:
    return F.avg_pool2d(texels.reshape(1, size * finer, size * finer, 3).permute(0, 3, 1, 2), finer)[
        0
    ].permute(1, 2, 0)


def _blur(cube: Float[Tensor, "6 s s 3"]) -> tuple[list[Tensor], Tensor]:
    """The mip levels and the cube of matt light. Differentiable in the cube."""
    mips = build_mips(cube, levels=int(math.log2(cube.shape[1] // COARSEST)))
    levels = [cube] + [_convolved(cube, mips, level.shape[1]) for level in mips]
    coarse = next(level for level in [cube, *mips] if level.shape[1] <= 2 * MATT)
    weight = _matt_weights(coarse.shape[1]).to(coarse)
    return levels, (weight @ coarse.reshape(-1, 3)).reshape(6, MATT, MATT, 3)


def _convolved(cube: Tensor, mips: list[Tensor], size: int) -> Tensor:
    """The cube convolved with the Gaussian of the level with faces of `size`² texels.

    Filtered importance sampling (Křivánek & Colbert 2008): equally likely directions on a golden spiral, each
    looked up at the level whose texels cover its share of the sphere.
    """
    kappa = 6 * size**2 / (4 * math.pi) / (WIDTH - ADDED)
    rank = (torch.arange(SAMPLES, dtype=torch.float64) + 0.5) / SAMPLES
    fallen = 1 - rank * -math.expm1(-2 * kappa)  # exp(κ (cosine − 1))
    rise = 1 + fallen.log() / kappa
    turn = torch.arange(SAMPLES, dtype=torch.float64) * math.pi * (3 - math.sqrt(5))
    ring = (1 - rise**2).clamp(min=0).sqrt()
    pattern = torch.stack([ring * turn.cos(), ring * turn.sin(), rise], -1).to(cube)  # [M, 3]
    share = 2 * math.pi * -math.expm1(-2 * kappa) / kappa / fallen / SAMPLES  # steradians of each
    level = (0.5 * torch.log2(share / (4 * math.pi / (6 * cube.shape[1] ** 2)))).to(cube)
    axis = cube_directions(size).to(cube).reshape(-1, 3)
    helper = torch.where(axis[:, :1].abs() < 0.6, axis.new_tensor([1.0, 0, 0]), axis.new_tensor([0, 1.0, 0]))
    side = F.normalize(torch.linalg.cross(helper, axis), dim=-1)
    frame = torch.stack([side, torch.linalg.cross(axis, side), axis], 1)  # [T, 3, 3]
    result = []
    for some in frame.split(max(1, (1 << 20) // SAMPLES)):
        directions = (pattern @ some).reshape(-1, 3)
        found = texture_cube(cube, directions, filter="trilinear", level=level.repeat(len(some)), mips=mips)
        result.append(found.reshape(-1, SAMPLES, 3).mean(1))
    return torch.cat(result).reshape(6, size, size, 3)


@functools.cache
@torch.inference_mode(False)
@torch.no_grad()
def _matt_weights(size: int) -> Float[Tensor, "T S"]:
    """How much each texel of a cube of `size`² faces lights each of the `MATT`² cube's directions, over π."""
    normal = cube_directions(MATT).reshape(-1, 3)
    light = cube_directions(size).reshape(-1, 3)
    solid = light.abs().amax(1) ** 3  # a texel's solid angle is its area times its cosine over the distance²
    weight = (normal @ light.T).clamp(min=0) * solid
    return weight / weight.sum(1, keepdim=True)
