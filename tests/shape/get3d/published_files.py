"""Checkpoints in GET3D's layout with random numbers, of any size; names and shapes by its description."""

import io
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor

PLANES, HEADS = "synthesis.generator.tri_plane_synthesis.", "synthesis.generator.mlp_synthesis_"
Shapes = dict[str, tuple[int, ...]]


class Sizes(NamedTuple):
    """What a checkpoint says through its shapes."""

    latent: int = 12
    depth: int = 3
    planes: int = 16
    channels: int = 3
    base: int = 96
    most: int = 12
    head_depth: int = 1
    head_width: int = 7
    features: int = 5
    pictures: int = 16
    d_base: int = 80
    d_most: int = 10
    embedding: int = 9
    d_depth: int = 2
    camera: bool = True

    def width(self, side: int) -> int:
        return min(self.base // side, self.most)

    def d_width(self, side: int) -> int:
        return min(self.d_base // side, self.d_most)


SMALL = Sizes()
PUBLISHED = Sizes(512, 8, 256, 32, 32768, 512, 1, 32, 16, 1024, 32768, 512, 512, 8)


def sides(last: int) -> list[int]:
    """4, 8, ... up to `last`."""
    return [4 << k for k in range((last // 4).bit_length())]


def generator_shapes(size: Sizes = SMALL) -> Shapes:
    """Every tensor of `G` and `G_ema`."""
    found: Shapes = {}

    def steered(name: str, weight: tuple[int, ...]) -> None:
        """A modulated layer: its weight, bias, and affine."""
        found[name + ".weight"], found[name + ".bias"] = weight, weight[:1]
        found[name + ".affine.weight"], found[name + ".affine.bias"] = (weight[1], size.latent), weight[1:2]

    def convolution(name: str, inputs: int, outputs: int, side: int) -> None:
        steered(name, (outputs, inputs, 3, 3))
        found[name + ".noise_strength"], found[name + ".noise_const"] = (), (side, side)
        found[name + ".resample_filter"] = (4, 4)

    for side in sides(size.planes):
        block, width = f"{PLANES}b{side}.", size.width(side)
        found[block + "resample_filter"] = (4, 4)
        if side == 4:
            found[block + "const"] = (width, 4, 4)
        else:
            convolution(block + "conv0", size.width(side // 2), width, side)
        convolution(block + "conv1", width, width, side)
        steered(block + "togeo", (3 * size.channels, width, 1, 1))
        steered(block + "totex", (3 * size.channels, width, 1, 1))
    for name, outputs in (("sdf", 1), ("def", 3), ("tex", size.features)):
        widths = [size.channels, *[size.head_width] * size.head_depth, outputs]
        for k in range(len(widths) - 1):
            steered(f"{HEADS}{name}.layers.{k}", (widths[k + 1], widths[k]))
    steered("synthesis.to_rgb", (3, size.features, 1, 1))
    for mapping in ("mapping", "mapping_geo"):
        for k in range(size.depth):
            found[f"{mapping}.fc{k}.weight"] = (size.latent, size.latent)
            found[f"{mapping}.fc{k}.bias"] = (size.latent,)
        found[f"{mapping}.w_avg"] = (size.latent,)
    return found


def discriminator_shapes(size: Sizes = SMALL) -> Shapes:
    """Every tensor of `D`: the colour network, and its twin for the mask."""
    found: Shapes = {}

    def layer(name: str, weight: tuple[int, ...]) -> None:
        found[name + ".weight"], found[name + ".bias"] = weight, weight[:1]

    for prefix, colours in (("", 3), ("mask_", 1)):
        for side in sides(size.pictures)[:0:-1]:
            block, width = f"{prefix}b{side}.", size.d_width(side)
            layer(block + "fromrgb", (width, colours, 1, 1))
            layer(block + "conv0", (width, width, 3, 3))
            layer(block + "conv1", (size.d_width(side // 2), width, 3, 3))
            for name in ("", "fromrgb.", "conv0.", "conv1."):
                found[block + name + "resample_filter"] = (4, 4)
        block, width = f"{prefix}b4.", size.d_width(4)
        layer(block + "fromrgb", (width, colours, 1, 1))
        layer(block + "conv", (width, width + 1, 3, 3))
        found[block + "fromrgb.resample_filter"] = found[block + "conv.resample_filter"] = (4, 4)
        layer(block + "fc", (width, width * 16))
        layer(block + "out", (size.embedding if size.camera else 1, width))
        if size.camera:
            layer(f"{prefix}mapping.embed", (size.embedding, 14))
            for k in range(size.d_depth):
                layer(f"{prefix}mapping.fc{k}", (size.embedding, size.embedding))
    return found


def is_buffer(name: str) -> bool:
    """Whether training leaves this tensor alone."""
    return name.endswith(("resample_filter", "noise_const", "w_avg"))


def random_state(shapes: Shapes, seed: int, *, strong: bool = False) -> "OrderedDict[str, Tensor]":
    """A state dict as torch saves it. Everything but the filters is random; `strong` reaches the clamp."""
    rng = torch.Generator().manual_seed(seed)
    tap = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, shape in shapes.items():
        if name.endswith("resample_filter"):
            state[name] = torch.outer(tap, tap)
            continue
        value = torch.randn(shape, generator=rng)
        if ".fc" in name and "mapping" in name:
            value = value * (100 if name.endswith("weight") else 30)
        elif name.endswith("affine.bias"):
            value = 1 + 0.3 * value
        elif strong and name.endswith(".bias"):
            value = value * 300
        elif strong and name.endswith("noise_strength"):
            value = value * 100
        elif strong and name.endswith(("togeo.weight", "totex.weight", "to_rgb.weight")):
            value = value * 3
        state[name] = value
    state._metadata = OrderedDict({"": {"version": 1}})  # as `Module.state_dict` leaves it
    return state


def random_checkpoint(size: Sizes = SMALL, seed: int = 0, *, strong: bool = False) -> dict[str, Tensor]:
    """What the official training saves: `G`, `G_ema`, `D`."""
    return {
        "G": random_state(generator_shapes(size), seed + 1, strong=strong),
        "G_ema": random_state(generator_shapes(size), seed + 2, strong=strong),
        "D": random_state(discriminator_shapes(size), seed + 3, strong=strong),
    }  # pyright: ignore[reportReturnType]


def saved(value, **options) -> bytes:
    """The bytes of `torch.save`."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()
