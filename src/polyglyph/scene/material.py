"""Metallic-roughness materials as tensors, and their pictures as mip pyramids in linear light.

Legend: h w the picture's size, C channels, N samples, L pyramid level.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Num, Shaped, UInt8
from torch import Tensor

from polyglyph.formats import model
from polyglyph.kernels.texture import texture

__all__ = ["Material", "Picture2D", "linear_to_srgb", "srgb_to_linear", "to_srgb_uint8"]


def srgb_to_linear(value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """sRGB code values in [0, 1] to linear light (IEC 61966-2-1)."""
    return torch.where(value <= 0.04045, value / 12.92, ((value.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """Linear light in [0, 1] to sRGB code values (IEC 61966-2-1)."""
    return torch.where(
        value <= 0.0031308, value * 12.92, 1.055 * value.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def to_srgb_uint8(color: Float[Tensor, "*S C"]) -> UInt8[Tensor, "*S C"]:
    """Linear colours to 8-bit sRGB, clamped to [0, 1]. A fourth channel is alpha and stays linear."""
    color = color.detach().clamp(0, 1)
    coded = torch.cat([linear_to_srgb(color[..., :3]), color[..., 3:]], -1)
    return (coded * 255 + 0.5).to(torch.uint8)


class Picture2D:
    """A picture to be sampled, kept as it was given; pyramid levels are made when first asked for.

    8-bit pictures with `srgb` are decoded to linear light *before* anything is averaged, and colours are
    averaged weighted by their alpha, so that the colour of transparent texels never bleeds. Float pictures
    are taken as linear, and gradients reach them.
    """

    def __init__(self, image: Shaped[Tensor, "h w C"], *, srgb: bool) -> None:
        self.image, self.srgb = image, srgb
        self._levels: dict[int, Tensor] = {}

    @property
    def top(self) -> int:
        """The coarsest level there is: one texel in one direction."""
        return max(0, min(self.image.shape[0], self.image.shape[1]).bit_length() - 1)

    @property
    def has_alpha(self) -> bool:
        """Whether any texel is not opaque."""
        if self.image.shape[2] != 4:
            return False
        opaque = 255 if self.image.dtype == torch.uint8 else 1
        return bool((self.image[..., 3] < opaque).any())

    def to(self, device: torch.device | str) -> "Picture2D":
        """The same picture on another device."""
        return Picture2D(self.image.to(device), srgb=self.srgb)

    def level(self, index: int) -> Float[Tensor, "h2 w2 C"]:
        """Level `index`: the picture averaged over squares of 2^index texels, linear, straight alpha."""
        index = min(index, self.top)
        if index in self._levels:
            return self._levels[index]
        if self.image.dtype != torch.uint8:  # its values may be learned: nothing is kept
            return self._decode(self.image) if index == 0 else self._coarser(index)
        with torch.inference_mode(False):
            self._levels[index] = self._decode(self.image) if index == 0 else self._coarser(index)
        return self._levels[index]

    def sample(
        self, uv: Float[Tensor, "N 2"], lod: Float[Tensor, " N"] | None = None
    ) -> Float[Tensor, "N C"]:
        """Bilinear samples with repeat at the borders, each at the nearest whole level to `lod`."""
        if lod is None:
            return texture(self.level(0), uv, filter="bilinear", wrap="repeat")
        whole = lod.detach().round().clamp(0, self.top).to(torch.int64)
        counts = torch.bincount(whole).tolist()
        if max(counts, default=0) == len(uv):
            return texture(self.level(len(counts) - 1), uv, filter="bilinear", wrap="repeat")
        order = torch.argsort(whole, stable=True)
        parts = uv[order].split(counts)
        samples = torch.cat(
            [
                texture(self.level(index), part, filter="bilinear", wrap="repeat")
                for index, part in enumerate(parts)
                if len(part)
            ]
        )
        return torch.zeros_like(samples).index_copy(0, order, samples)

    def _decode(self, image: Tensor) -> Tensor:
        if image.dtype != torch.uint8:
            return image.float() if image.dtype != torch.float64 else image
        code = torch.arange(256, device=image.device) / 255
        if not self.srgb:
            return code[image.long()]
        return torch.cat([srgb_to_linear(code)[image[..., :3].long()], code[image[..., 3:].long()]], -1)

    def _coarser(self, index: int) -> Tensor:
        """Halve level `index` − 1; 8 bits go in strips, so that a large picture is never whole in floats."""
        if index > 1 or self.image.dtype != torch.uint8:
            return _halve(self.level(index - 1))
        height = self.image.shape[0] // 2 * 2
        strip = max(2, 2**20 // max(1, self.image.shape[1]) // 2 * 2)
        return torch.cat(
            [
                _halve(self._decode(self.image[row : min(row + strip, height)]))
                for row in range(0, height, strip)
            ]
        )


def _halve(image: Tensor) -> Tensor:
    """Averages of 2×2 texels, colours weighted by alpha; an odd last row or column is left out."""
    if image.shape[2] == 4:
        image = torch.cat([image[..., :3] * image[..., 3:], image[..., 3:]], -1)
    small = F.avg_pool2d(image.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0)
    if image.shape[2] == 4:
        small = torch.cat([small[..., :3] / small[..., 3:].clamp(min=1e-6), small[..., 3:]], -1)
    return small.contiguous()


def _white() -> Tensor:
    return torch.ones(4)


@dataclass
class Material:
    """The surface of one part, as glTF's metallic-roughness. Factors are linear and multiply the pictures."""

    name: str = "material"
    base_color: Float[Tensor, "4"] = field(default_factory=_white)
    base_color_image: Picture2D | None = None
    metallic: float | Float[Tensor, ""] = 0.0
    roughness: float | Float[Tensor, ""] = 1.0
    orm_image: Picture2D | None = None
    """Red occlusion, green roughness, blue metallic."""
    normal_image: Picture2D | None = None
    """Tangent space, +Y up, coded as 2c − 1."""
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: float = 0.5
    source: model.Material | None = None
    """What it was made from, so that it can be written back unchanged."""

    @classmethod
    def from_model(cls, material: model.Material) -> "Material":
        """From the arrays a mesh file holds."""
        return cls(
            name=material.name,
            base_color=torch.tensor(material.base_color, dtype=torch.float32),
            base_color_image=_picture(material.base_color_image, srgb=True),
            metallic=float(material.metallic),
            roughness=float(material.roughness),
            orm_image=_picture(material.orm_image, srgb=False),
            normal_image=_picture(material.normal_image, srgb=False),
            emissive=material.emissive,
            alpha_mode=material.alpha_mode,
            alpha_cutoff=material.alpha_cutoff,
            source=material,
        )

    def to_model(self) -> model.Material:
        """To the arrays a mesh file holds: what it was read from, or its tensors as 8 bits."""
        if self.source is not None:
            return self.source
        r, g, b, a = (float(x) for x in self.base_color.detach().clamp(0, 1))
        return model.Material(
            name=self.name,
            base_color=(r, g, b, a),
            base_color_image=_bytes(self.base_color_image),
            metallic=float(self.metallic),
            roughness=float(self.roughness),
            orm_image=_bytes(self.orm_image),
            normal_image=_bytes(self.normal_image),
            emissive=self.emissive,
            alpha_mode=self.alpha_mode,
            alpha_cutoff=self.alpha_cutoff,
        )

    @property
    def opaque(self) -> bool:
        """Whether nothing can be seen through it anywhere (the mode alone does not say)."""
        if self.alpha_mode == "OPAQUE":
            return True
        limit = self.alpha_cutoff if self.alpha_mode == "MASK" else 0.999
        textured = self.base_color_image is not None and self.base_color_image.has_alpha
        return not textured and float(self.base_color[3]) >= limit

    def to(self, device: torch.device | str) -> "Material":
        """The same material on another device."""
        moved: dict[str, Any] = {
            key: value.to(device) if isinstance(value, (Tensor, Picture2D)) else value
            for key, value in vars(self).items()
        }
        return Material(**moved)


def _picture(image: np.ndarray | None, *, srgb: bool) -> Picture2D | None:
    return None if image is None else Picture2D(torch.from_numpy(np.array(image)), srgb=srgb)


def _bytes(picture: Picture2D | None) -> np.ndarray | None:
    if picture is None:
        return None
    image: Num[Tensor, "h w C"] = picture.image
    if image.dtype != torch.uint8:
        image = (
            to_srgb_uint8(image) if picture.srgb else (image.detach().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        )
    return image.cpu().numpy()
