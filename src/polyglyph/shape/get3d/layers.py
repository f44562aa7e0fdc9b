"""The layers of GET3D's networks, written from the mathematics of StyleGAN2 (Karras et al. 2020).

Order in every layer: operation, noise, bias, leaky ReLU (slope 0.2), gain √2, clamp.

Legend: B batch, I O channels in and out, H W picture, L latent, N points.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

__all__ = [
    "Convolution",
    "FullyConnected",
    "Head",
    "Mapping",
    "ModulatedConvolution",
    "ModulatedLinear",
    "downsample",
    "normalise",
    "upsample",
]

_SMOOTH = (1.0, 3.0, 3.0, 1.0)
"""The separable low-pass filter of every resampling, times 8."""


GAIN = math.sqrt(2)
"""Gain of every activation. Leaky ReLU commutes with it, so layers multiply it into weights and biases."""


def activate(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU with slope 0.2, then clamped; overwrites `x`, which already carries the gain."""
    y = F.leaky_relu(x, 0.2, inplace=True)
    return y if clamp is None else y.clamp(-clamp, clamp)


def normalise(x: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """Divide each row by its root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def smooth(x_BIHW: Tensor, gain: float, stride: int = 1) -> Tensor:
    """Filter with outer([1,3,3,1], [1,3,3,1]) / 64 · gain, no padding."""
    tap = x_BIHW.new_tensor(_SMOOTH) / 8
    channels = x_BIHW.shape[1]
    column = (tap * gain).view(1, 1, 4, 1).expand(channels, 1, 4, 1)
    row = tap.view(1, 1, 1, 4).expand(channels, 1, 1, 4)
    x = F.conv2d(x_BIHW, column, stride=(stride, 1), groups=channels)
    return F.conv2d(x, row, stride=(1, stride), groups=channels)


def upsample(x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B I 2*H 2*W"]:
    """Twice the size: a zero after each sample, then the low-pass filter; zero outside the picture.

    The result at 2k is (x[k-1] + 3 x[k]) / 4 and at 2k+1 (3 x[k] + x[k+1]) / 4 along each axis.
    """
    for axis in (2, 3):
        size = x.shape[axis]
        padded = F.pad(x, (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0))
        before, after = padded.narrow(axis, 0, size), padded.narrow(axis, 2, size)
        pair = torch.stack((torch.lerp(x, before, 0.25), torch.lerp(x, after, 0.25)), dim=axis + 1)
        x = pair.flatten(axis, axis + 1)
    return x


def downsample(x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B I h w"]:
    """Half the size: pad 1, low-pass filter, keep the even positions."""
    return smooth(F.pad(x, (1, 1, 1, 1)), 1.0, stride=2)


class FullyConnected(nn.Module):
    """y = gain · (x · (λ/√n W)ᵀ + λ b), with λ the learning-rate multiplier."""

    def __init__(
        self, inputs: int, outputs: int, *, multiplier: float = 1.0, bias: float = 0.0, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias) / multiplier))
        self.weight_gain = gain * multiplier / math.sqrt(inputs)
        self.bias_gain = gain * multiplier

    def forward(self, x: Float[Tensor, "B i"]) -> Float[Tensor, "B o"]:
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class Mapping(nn.Module):
    """Fully connected layers from a code to the latent that steers a network; w_avg is kept beside it."""

    w_avg: Tensor

    def __init__(self, inputs: int, latent: int, depth: int, *, embed: bool = False) -> None:
        super().__init__()
        self.embed = FullyConnected(inputs, latent) if embed else None
        width = latent if embed else inputs
        for index in range(depth):
            layer = FullyConnected(width if index == 0 else latent, latent, multiplier=0.01, gain=GAIN)
            self.add_module(f"fc{index}", layer)
        self.depth = depth
        if not embed:
            self.register_buffer("w_avg", torch.zeros(latent))

    def forward(self, z: Float[Tensor, "B i"]) -> Float[Tensor, "B L"]:
        x = normalise(z if self.embed is None else self.embed(z))
        for index in range(self.depth):
            x = activate(self.get_submodule(f"fc{index}")(x))
        return x


class ModulatedConvolution(nn.Module):
    """A 3×3 convolution whose input channels are scaled by a style and whose filters are normalised.

    The style scales activations and the normalisation scales outputs, which equals scaling the
    weights of each sample (StyleGAN2, equations 1-3) and needs no grouped convolution.
    `up` doubles the size (transposed convolution, then the low-pass filter).
    """

    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, latent: int, resolution: int, *, up: bool, clamp: float | None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = FullyConnected(latent, inputs, bias=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.up, self.clamp = up, clamp

    def forward(
        self, x_BIHW: Float[Tensor, "B I H W"], w_BL: Float[Tensor, "B L"]
    ) -> Float[Tensor, "B O h w"]:
        style_BI = self.affine(w_BL)
        length_BO = style_BI.square() @ self.weight.square().sum(dim=(2, 3)).T
        x = x_BIHW * style_BI[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = smooth(F.pad(x, (1, 1, 1, 1)), 4.0)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        offset = (self.noise_const * self.noise_strength + self.bias[:, None, None]) * GAIN
        x = torch.addcmul(offset, x, (GAIN * (length_BO + 1e-8).rsqrt())[:, :, None, None])
        return activate(x, self.clamp)


class Head(nn.Module):
    """A modulated 1×1 convolution without normalisation, from backbone features to planes."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, clamp: float | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = FullyConnected(latent, inputs, bias=1.0)
        self.gain, self.clamp = 1 / math.sqrt(inputs), clamp

    def forward(
        self, x_BIHW: Float[Tensor, "B I H W"], w_BL: Float[Tensor, "B L"]
    ) -> Float[Tensor, "B O H W"]:
        style_BI = self.affine(w_BL) * self.gain
        y = F.conv2d(x_BIHW * style_BI[:, :, None, None], self.weight, self.bias)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ModulatedLinear(nn.Module):
    """A fully connected layer on points, its weights scaled by a style and its rows normalised."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = FullyConnected(latent, inputs, bias=1.0)

    def styled(self, w_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B I O"]:
        """The weights of each sample, ready for a batched product from the left."""
        weight_BOI = self.weight * self.affine(w_BL)[:, None, :]
        weight_BOI = weight_BOI * (weight_BOI.square().sum(dim=2, keepdim=True) + 1e-8).rsqrt()
        return weight_BOI.transpose(1, 2) * self.gain

    def forward(self, x_BNI: Float[Tensor, "B N I"], w_BL: Float[Tensor, "B L"]) -> Float[Tensor, "B N O"]:
        return torch.baddbmm(self.bias * self.gain, x_BNI, self.styled(w_BL))


class Convolution(nn.Module):
    """A discriminator's convolution with equalised learning rate; `down` filters and halves the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, down: bool = False, clamp: float | None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = GAIN / math.sqrt(inputs * kernel * kernel)
        self.kernel, self.down, self.clamp = kernel, down, clamp

    def forward(self, x_BIHW: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        weight, bias = self.weight * self.gain, self.bias * GAIN
        if self.down:
            x = smooth(F.pad(x_BIHW, (2, 2, 2, 2)), 1.0)
            x = F.conv2d(x, weight, bias, stride=2)
        else:
            x = F.conv2d(x_BIHW, weight, bias, padding=self.kernel // 2)
        return activate(x, self.clamp)
