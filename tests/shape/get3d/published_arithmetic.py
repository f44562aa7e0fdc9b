"""What the numbers of a GET3D checkpoint mean, written out: the slow way, from the description of the layout.

Nothing here is shared with the package. Weights are modulated per sample and convolved in groups, zeros are
inserted and filtered, points are looked up texel by texel. `slip` names a mistake to make: each looks right
and changes the result, so a comparison that does not see it proves little.

Legend: B batch, C channels, R resolution, K points, L latent, S slots.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PLANES, HEADS = "synthesis.generator.tri_plane_synthesis.", "synthesis.generator.mlp_synthesis_"
TEXTURE_HEAD = HEADS + "tex"

GENERATOR_SLIPS = (
    "align corners",
    "border padding",
    "second plane as (z, y)",
    "third plane as (z, x)",
    "coordinates not clamped",
    "kernel not flipped",
    "zeros before the samples",
    "no root of two",
    "clamp before the gain",
    "no clamp",
    "noise forgotten",
    "noise after the activation",
    "slot shared with the next block",
    "texture before geometry",
    "last layer not demodulated",
    "colour by the head's first slot",
    "no multiplier on the mapping's bias",
    "code not normalised",
    "averages exchanged",
    "styles plus one",
    "displacements grow with the box",
    "points not divided by the box",
)
DISCRIMINATOR_SLIPS = (
    "no root of two",
    "clamp before the gain",
    "no clamp",
    "contiguous groups",
    "no minibatch deviation",
    "minibatch deviation first",
    "raw angles first",
    "camera not normalised",
    "no multiplier on the mapping's bias",
    "clamp on b4.fromrgb",
    "average pooling",
    "not divided by the root of the length",
    "azimuth as ours",
    "logits exchanged",
)


class Arithmetic:
    """The functions, over one state dict in float64."""

    def __init__(self, state: dict[str, Tensor], clamp: float | None, slip: str = "") -> None:
        self.state = {name: value.double() for name, value in state.items()}
        self.clamp, self.slip = clamp, slip
        self.clamped: list[float] = []
        """Which part of the numbers reached the bound, at every clamp."""

    def full(self, x: Tensor, name: str, multiplier: float = 1.0) -> Tensor:
        """A fully connected layer; the multiplier is that of the learning rate."""
        weight, bias = self.state[name + ".weight"], self.state[name + ".bias"]
        on_bias = 1.0 if self.slip == "no multiplier on the mapping's bias" else multiplier
        return x @ (weight * multiplier / math.sqrt(weight.shape[1])).T + on_bias * bias

    def leaky(self, x: Tensor) -> Tensor:
        root = 1.0 if self.slip == "no root of two" else math.sqrt(2)
        return torch.where(x >= 0, x, 0.2 * x) * root

    def bounded(self, x: Tensor, clamp: float | None) -> Tensor:
        if clamp is None or self.slip == "no clamp":
            return x
        self.clamped.append(float((x.abs() > clamp).double().mean()))
        return x.clamp(-clamp, clamp)

    def activated(self, x: Tensor, clamp: float | None) -> Tensor:
        if self.slip == "clamp before the gain":
            return self.bounded(self.leaky(x) / math.sqrt(2), clamp) * math.sqrt(2)
        return self.bounded(self.leaky(x), clamp)

    def normalised(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()

    def deep(self, x: Tensor, name: str) -> Tensor:
        """The fully connected layers of a mapping network."""
        for k in range(sum(key.startswith(f"{name}.fc") and key.endswith("weight") for key in self.state)):
            x = self.leaky(self.full(x, f"{name}.fc{k}", 0.01))
        return x

    def filtered(self, x: Tensor, gain: float = 1.0) -> Tensor:
        tap = x.new_tensor([1, 3, 3, 1])
        kernel = torch.outer(tap, tap)[None, None] / 64 * gain
        return F.conv2d(x, kernel.expand(x.shape[1], 1, 4, 4), groups=x.shape[1])

    def with_zeros(self, x: Tensor) -> Tensor:
        out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        first = 1 if self.slip == "zeros before the samples" else 0
        out[:, :, first::2, first::2] = x
        return out


class GeneratorArithmetic(Arithmetic):
    """Codes to planes to SDF, displacement and colour."""

    @property
    def sides(self) -> list[int]:
        return sorted({int(name.removeprefix(PLANES)[1:].split(".")[0])
                       for name in self.state if name.startswith(PLANES)})  # fmt: skip

    def latent(self, z: Tensor, name: str, truncation: float) -> Tensor:
        """z [B, L] to w [B, L]."""
        w = self.deep(z if self.slip == "code not normalised" else self.normalised(z), name)
        other = {"mapping": "mapping_geo", "mapping_geo": "mapping"}
        average = self.state[f"{other[name] if self.slip == 'averages exchanged' else name}.w_avg"]
        return average + truncation * (w - average)

    def style(self, w: Tensor, name: str) -> Tensor:
        return self.full(w, name + ".affine") + (1.0 if self.slip == "styles plus one" else 0.0)

    def convolved(self, x: Tensor, name: str, w: Tensor, up: bool) -> Tensor:
        """A modulated 3×3 convolution of x [B, C, R, R]."""
        batch = len(x)
        weight = self.state[name + ".weight"][None] * self.style(w, name)[:, None, :, None, None]
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
        if up:
            if self.slip != "kernel not flipped":
                weight = weight.flip((3, 4))
            x = F.pad(self.with_zeros(x), (2, 1, 2, 1))
        else:
            x = F.pad(x, (1, 1, 1, 1))
        y = F.conv2d(x.flatten(0, 1)[None], weight.flatten(0, 1), groups=batch)[0].unflatten(0, (batch, -1))
        if up:
            y = self.filtered(F.pad(y, (1, 1, 1, 1)), 4.0)
        noise = self.state[name + ".noise_const"] * self.state[name + ".noise_strength"]
        bias = self.state[name + ".bias"][:, None, None]
        if self.slip == "noise forgotten":
            noise = torch.zeros_like(noise)
        if self.slip == "noise after the activation":
            return self.bounded(self.leaky(y + bias) + noise, self.clamp)
        return self.activated(y + noise + bias, self.clamp)

    def head(self, x: Tensor, name: str, w: Tensor, clamp: float | None) -> Tensor:
        """A modulated 1×1 convolution, not demodulated."""
        weight = self.state[name + ".weight"][:, :, 0, 0]
        weight = weight[None] * self.style(w, name)[:, None, :] / math.sqrt(weight.shape[1])
        y = torch.einsum("boi,bihw->bohw", weight, x) + self.state[name + ".bias"][:, None, None]
        return self.bounded(y, clamp)

    def planes(self, w_geometry: Tensor, w_texture: Tensor) -> tuple[Tensor, Tensor]:
        """Geometry and texture planes [B, 3, C, R, R], from w [B, S, L] of both kinds."""
        slot, x, picture = 0, None, None
        for level, side in enumerate(self.sides):
            block = f"{PLANES}b{side}."
            if x is None:
                x = self.state[block + "const"].expand(len(w_geometry), -1, -1, -1)
            else:
                x = self.convolved(x, block + "conv0", w_geometry[:, slot], up=True)
                slot += 1
            x = self.convolved(x, block + "conv1", w_geometry[:, slot], up=False)
            geometry = self.head(x, block + "togeo", w_geometry[:, slot + 1], self.clamp)
            slot += 1 if self.slip == "slot shared with the next block" else 2
            texture = self.head(x, block + "totex", w_texture[:, level], self.clamp)
            both = torch.cat([geometry, texture], dim=1)
            if picture is None:
                picture = both
            else:
                picture = self.filtered(F.pad(self.with_zeros(picture), (2, 1, 2, 1)), 4.0) + both
        first, second = picture.chunk(2, dim=1)
        if self.slip == "texture before geometry":
            first, second = second, first
        return first.unflatten(1, (3, -1)), second.unflatten(1, (3, -1))

    def features(self, planes: Tensor, points: Tensor, scale: float) -> Tensor:
        """The sum of three planes at points [B, K, 3] in scene units: [B, K, C]."""
        side = 1.0 if self.slip == "points not divided by the box" else scale
        u = (points + scale / 2) / side
        u = 2 * (u if self.slip == "coordinates not clamped" else u.clamp(0, 1)) - 1
        x, y, z = u.unbind(dim=2)
        second = (z, y) if self.slip == "second plane as (z, y)" else (y, z)
        third = (z, x) if self.slip == "third plane as (z, x)" else (x, z)
        return sum(self.bilinear(planes[:, k], *at) for k, at in enumerate(((x, y), second, third)))  # pyright: ignore[reportReturnType]

    def bilinear(self, plane: Tensor, column: Tensor, row: Tensor) -> Tensor:
        """A plane [B, C, R, R] at columns and rows [B, K] in -1..1."""
        side, total = plane.shape[-1], 0
        where = [(v + 1) / 2 * (side - 1) if self.slip == "align corners" else (v + 1) * side / 2 - 0.5
                 for v in (column, row)]  # fmt: skip
        batch = torch.arange(len(plane))[:, None]
        for across in (0, 1):
            for down in (0, 1):
                c, r = where[0].floor() + across, where[1].floor() + down
                weight = (1 - (where[0] - c).abs()) * (1 - (where[1] - r).abs())
                if self.slip != "border padding":
                    weight = weight * ((c >= 0) & (c < side) & (r >= 0) & (r < side))
                c, r = c.clamp(0, side - 1).long(), r.clamp(0, side - 1).long()
                total = total + weight[..., None] * plane[batch, :, r, c]
        return total

    def perceptron(self, x: Tensor, name: str, w: Tensor) -> Tensor:
        """A head on points: x [B, K, C], w [B, layers, L]."""
        count = w.shape[1]
        for k in range(count):
            layer, last = f"{name}.layers.{k}", k == count - 1
            weight = self.state[layer + ".weight"][None] * self.style(w[:, k], layer)[:, None, :]
            if not (last and self.slip == "last layer not demodulated"):
                weight = weight / (weight.square().sum(dim=2, keepdim=True) + 1e-8).sqrt()
            x = torch.einsum("boi,bki->bko", weight, x) + self.state[layer + ".bias"]
            x = x if last else self.leaky(x)
        return x

    def layers(self, name: str) -> int:
        return sum(key.startswith(f"{name}.layers.") and key.endswith("affine.bias") for key in self.state)

    def geometry(
        self, planes: Tensor, w_geometry: Tensor, points: Tensor, scale: float, cells: int, multiplier: float
    ) -> tuple[Tensor, Tensor]:
        """SDF [B, K] and displacement [B, K, 3] in scene units at points of the grid."""
        features, w = self.features(planes, points, scale), w_geometry[:, -self.layers(HEADS + "sdf") :]
        bound = 1 / (cells * multiplier) * (scale if self.slip == "displacements grow with the box" else 1)
        moved = self.perceptron(features, HEADS + "def", w).tanh() * bound
        return self.perceptron(features, HEADS + "sdf", w)[..., 0], moved

    def colour(self, planes: Tensor, w_texture: Tensor, points: Tensor, scale: float) -> Tensor:
        """Colours [B, K, 3] at points in scene units."""
        layers = self.layers(TEXTURE_HEAD)
        x = self.perceptron(self.features(planes, points, scale), TEXTURE_HEAD, w_texture[:, -layers:])
        w = w_texture[:, -layers if self.slip == "colour by the head's first slot" else -1]
        return self.head(x.transpose(1, 2)[..., None], "synthesis.to_rgb", w, 256.0)[..., 0].transpose(1, 2)


class DiscriminatorArithmetic(Arithmetic):
    """Pictures and the camera to one number each."""

    def logits(self, pictures: Tensor, azimuth: Tensor, elevation: Tensor) -> tuple[Tensor, Tensor]:
        """(colour, mask) [B] each, of pictures [B, 4, R, R] from our azimuths and elevations in degrees."""
        # Their camera at angle 0 stands on -Z, ours on +Z; both turn the same way.
        theta = torch.deg2rad((azimuth if self.slip == "azimuth as ours" else azimuth - 180) % 360)
        phi = torch.deg2rad(90 - elevation)
        color = self.network(pictures[:, :3], "", theta, phi)
        mask = self.network(pictures[:, 3:], "mask_", theta, phi)
        return (mask, color) if self.slip == "logits exchanged" else (color, mask)

    def camera(self, prefix: str, theta: Tensor, phi: Tensor) -> Tensor:
        code = []
        for f in (1, 2, 4):
            code += [(f * theta).sin(), (f * phi).sin(), (f * theta).cos(), (f * phi).cos()]
        code = [theta, phi, *code] if self.slip == "raw angles first" else [*code, theta, phi]
        x = self.full(torch.stack(code, dim=1), f"{prefix}mapping.embed")
        return self.deep(
            x if self.slip == "camera not normalised" else self.normalised(x), f"{prefix}mapping"
        )

    def convolved(self, x: Tensor, name: str, clamp: float | None, down: bool = False) -> Tensor:
        weight = self.state[name + ".weight"]
        weight = weight / math.sqrt(weight.shape[1] * weight.shape[2] ** 2)
        bias = self.state[name + ".bias"]
        if down:
            y = F.conv2d(self.filtered(F.pad(x, (2, 2, 2, 2))), weight, bias, stride=2)
        else:
            y = F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
        return self.activated(y, clamp)

    def network(self, picture: Tensor, prefix: str, theta: Tensor, phi: Tensor) -> Tensor:
        sides = {int(name.removeprefix(prefix)[1:].split(".")[0]) for name in self.state
                 if name.startswith(prefix + "b") and name.endswith("fromrgb.weight")}  # fmt: skip
        x = None
        for side in sorted(sides - {4}, reverse=True):
            block = f"{prefix}b{side}."
            seen = self.convolved(picture, block + "fromrgb", self.clamp)
            x = seen if x is None else x + seen
            if self.slip == "average pooling":
                picture = F.avg_pool2d(picture, 2)
            else:
                picture = self.filtered(F.pad(picture, (1, 1, 1, 1)))[:, :, ::2, ::2]
            x = self.convolved(
                self.convolved(x, block + "conv0", self.clamp), block + "conv1", self.clamp, True
            )
        block = f"{prefix}b4."
        x = x + self.convolved(
            picture, block + "fromrgb", self.clamp if self.slip == "clamp on b4.fromrgb" else None
        )
        spread = self.minibatch_deviation(x)
        x = torch.cat([spread, x] if self.slip == "minibatch deviation first" else [x, spread], dim=1)
        x = self.convolved(x, block + "conv", self.clamp)
        x = self.full(self.leaky(self.full(x.flatten(1), block + "fc")), block + "out")
        if f"{prefix}mapping.embed.weight" not in self.state:
            return x[:, 0]
        length = 1.0 if self.slip == "not divided by the root of the length" else math.sqrt(x.shape[1])
        return (x * self.camera(prefix, theta, phi)).sum(dim=1) / length

    def minibatch_deviation(self, x: Tensor) -> Tensor:
        batch, group = len(x), min(4, len(x))
        out = x.new_zeros(batch, 1, *x.shape[2:])
        if self.slip == "no minibatch deviation":
            return out
        count = batch // group
        for k in range(count):
            members = [
                i
                for i in range(batch)
                if (i // group if self.slip == "contiguous groups" else i % count) == k
            ]
            mean = x[members].mean(dim=0)
            out[members] = ((x[members] - mean).square().mean(dim=0) + 1e-8).sqrt().mean()
        return out
