"""GET3D's two discriminators: one sees colour, one sees the mask, both are told the camera.

Each is StyleGAN2's skip discriminator with projection conditioning (GET3D, section 3.3).

Legend: B batch, I picture channels, H W picture, L embedding.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.shape.get3d.config import DiscriminatorConfig
from polyglyph.shape.get3d.layers import GAIN, Convolution, FullyConnected, Mapping, activate, downsample

__all__ = ["Discriminator", "Discriminators", "Judge", "camera_code"]


def camera_code(angles: Float[Tensor, "B 2"]) -> Float[Tensor, "B 14"]:
    """(azimuth, elevation) in degrees as sines and cosines at 3 frequencies, then the angles.

    The angles are azimuth in 0..2π and the polar angle from +Y. The order is that of the published
    model; its azimuth is ours less 180° (`scene.camera.angles_to_get3d`).
    """
    theta = torch.remainder(angles[:, 0], 360.0) * (math.pi / 180)
    phi = (90.0 - angles[:, 1]) * (math.pi / 180)
    both = torch.stack((theta, phi), dim=1)
    parts = [part for f in (1, 2, 4) for part in ((f * both).sin(), (f * both).cos())]
    return torch.cat([*parts, both], dim=1)


class DiscriminatorBlock(nn.Module):
    """One resolution above 4 × 4: read the picture, convolve, halve."""

    def __init__(self, config: DiscriminatorConfig, resolution: int, picture_channels: int) -> None:
        super().__init__()
        here, below = config.channels(resolution), config.channels(resolution // 2)
        self.fromrgb = Convolution(picture_channels, here, 1, clamp=config.clamp)
        self.conv0 = Convolution(here, here, 3, clamp=config.clamp)
        self.conv1 = Convolution(here, below, 3, down=True, clamp=config.clamp)

    def forward(self, x: Tensor | None, picture: Tensor) -> Tensor:
        seen = self.fromrgb(picture)
        return self.conv1(self.conv0(seen if x is None else x + seen))


class LastBlock(nn.Module):
    """The 4 × 4 block: minibatch standard deviation, one convolution, two fully connected layers."""

    def __init__(self, config: DiscriminatorConfig, picture_channels: int) -> None:
        super().__init__()
        channels = config.channels(4)
        self.fromrgb = Convolution(picture_channels, channels, 1, clamp=None)
        self.conv = Convolution(channels + 1, channels, 3, clamp=config.clamp)
        self.fc = FullyConnected(channels * 16, channels, gain=GAIN)
        self.out = FullyConnected(channels, config.embedding if config.camera else 1)
        self.group = config.minibatch_group

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        x = x + self.fromrgb(picture)
        x = self.conv(torch.cat((x, minibatch_deviation(x, self.group)), dim=1))
        return self.out(activate(self.fc(x.flatten(1))))


def minibatch_deviation(x: Float[Tensor, "B I H W"], group: int) -> Float[Tensor, "B 1 H W"]:
    """The standard deviation over groups of samples, averaged over features, as one more channel.

    Sample i belongs to group i mod (B / g). Karras et al. 2018, section 3.
    """
    batch, _, height, width = x.shape
    size = min(group, batch)
    deviation = (x.unflatten(0, (size, -1)).var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return deviation.repeat(size).view(batch, 1, 1, 1).expand(-1, 1, height, width)


class Discriminator(nn.Module):
    """One number per picture: above 0 for real."""

    def __init__(self, config: DiscriminatorConfig, resolution: int, picture_channels: int) -> None:
        super().__init__()
        self.config = config
        self.resolutions = [resolution >> k for k in range((resolution // 4).bit_length() - 1)]
        for side in self.resolutions:
            self.add_module(f"b{side}", DiscriminatorBlock(config, side, picture_channels))
        self.b4 = LastBlock(config, picture_channels)
        self.mapping = (
            Mapping(14, config.embedding, config.mapping_depth, embed=True) if config.camera else None
        )

    def forward(self, picture: Float[Tensor, "B I H W"], angles: Float[Tensor, "B 2"]) -> Float[Tensor, " B"]:
        x = None
        picture = laid_out(picture)
        for side in self.resolutions:
            x = self.get_submodule(f"b{side}")(x, picture)
            picture = downsample(picture)
        assert x is not None  # noqa: S101  (the config refuses resolutions below 8)
        y = self.b4(x, picture)
        if self.mapping is None:
            return y[:, 0]
        return (y * self.mapping(camera_code(angles))).sum(dim=1) / math.sqrt(self.config.embedding)


def laid_out(picture: Float[Tensor, "B I H W"]) -> Float[Tensor, "B I H W"]:
    """The same, a pixel's channels side by side in memory, as convolutions like them."""
    return picture.contiguous(memory_format=torch.channels_last)


class Judge(NamedTuple):
    """One of the networks, and the channels of a picture that it is shown."""

    name: str
    network: Discriminator
    channels: slice


class Discriminators(nn.Module):
    """The pair, or a single one for both; pictures have four channels: colour in -1..1 and mask in 0..1."""

    def __init__(self, config: DiscriminatorConfig, resolution: int) -> None:
        super().__init__()
        self.config = config
        self._channels = (
            {"both": slice(0, 4)} if config.single else {"color": slice(0, 3), "mask": slice(3, 4)}
        )
        for name, channels in self._channels.items():
            self.add_module(name, Discriminator(config, resolution, channels.stop - channels.start))

    def judges(self) -> Iterator[Judge]:
        """The networks, in the order of their logits."""
        for name, channels in self._channels.items():
            network = self.get_submodule(name)
            assert isinstance(network, Discriminator)  # noqa: S101  (for the type checker)
            yield Judge(name, network, channels)

    def forward(
        self, pictures: Float[Tensor, "B 4 H W"], angles: Float[Tensor, "B 2"]
    ) -> tuple[Float[Tensor, " B"], ...]:
        """One logit for each picture from each of `judges`."""
        return tuple(judge.network(pictures[:, judge.channels], angles) for judge in self.judges())

    def compare(
        self, real: Float[Tensor, "B 4 H W"], fake: Float[Tensor, "B 4 H W"], angles: Float[Tensor, "B 2"]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Logits (by judge) of real and of generated pictures, in one pass.

        Real and generated pictures alternate, so that minibatch standard deviation, which groups
        every (2B / g)-th picture, never compares one kind with the other: the result is that of two
        passes, in fewer and larger operations.
        """
        if len(real) % self.config.minibatch_group:  # a group would hold both kinds
            return self(real, angles), self(fake, angles)
        both = torch.stack((real, fake), dim=1).flatten(0, 1)
        logits = self(both, angles.repeat_interleave(2, dim=0))
        return tuple(logit[0::2] for logit in logits), tuple(logit[1::2] for logit in logits)
