"""Differentiable augmentation of what the discriminators see, for collections of a hundred shapes.

The operations are DiffAugment's (Zhao et al. 2020): brightness, saturation, contrast, translation,
cutout. Each is applied to each picture with a probability that ADA's rule adapts (Karras et al.
2020): it rises while the discriminators' signs on real pictures say that they overfit.
The mask moves and is cut with the colour; colour operations leave it, and the background, alone.

Legend: B batch, H W picture.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.learn.distributed import World
from polyglyph.shape.get3d.config import AugmentConfig

__all__ = ["Augment"]

_INTERVAL = 4
"""Steps between adaptations, as in ADA."""


class Augment:
    """Holds the probability; call it on real and generated pictures alike.

    With several processes each passes its share of the pictures (`World.share`), and all of them draw the
    random numbers of the whole batch.
    """

    def __init__(self, config: AugmentConfig, world: World | None = None) -> None:
        self.config = config
        self.world = World(torch.device("cpu")) if world is None else world
        self.probability = config.probability
        self.sign_sum: float | Tensor = 0.0
        self.sign_count = 0

    def __call__(self, pictures: Float[Tensor, "B 4 H W"], rng: torch.Generator) -> Float[Tensor, "B 4 H W"]:
        """Colour in -1..1, mask in 0..1. Random numbers come from `rng`, a CPU generator."""
        if self.probability <= 0:
            return pictures
        config = self.config
        if config.color:
            pictures = self._color(pictures, rng)
        if config.translation > 0:
            pictures = self._translate(pictures, rng)
        if config.cutout > 0:
            pictures = self._cut(pictures, rng)
        return pictures

    def adapt(self, signs: Float[Tensor, " n"], batch: int, step: int) -> None:
        """Take in the discriminators' signs on real pictures; every few steps move the probability.

        `signs` are those of this process's share of the `batch` pictures of all.
        """
        if self.config.target is None:
            return
        total = self.world.sum(signs.sum())
        self.sign_sum = self.sign_sum + total  # stays on the device: reading it would wait for the GPU
        self.sign_count += signs.numel() * self.world.size
        if (step + 1) % _INTERVAL == 0:
            mean = float(self.sign_sum) / self.sign_count
            change = batch * _INTERVAL / (self.config.speed_kimg * 1000)
            moved = self.probability + (change if mean > self.config.target else -change)
            self.probability = min(max(moved, 0.0), self.config.limit)
            self.sign_sum, self.sign_count = 0.0, 0

    def state(self) -> dict[str, float | int]:
        """What a checkpoint keeps."""
        return {
            "probability": self.probability,
            "sign_sum": float(self.sign_sum),
            "sign_count": self.sign_count,
        }

    def restore(self, state: dict[str, float | int]) -> None:
        """Put back what `state` gave."""
        self.probability = float(state["probability"])
        self.sign_sum, self.sign_count = float(state["sign_sum"]), int(state["sign_count"])

    def _uniform(self, like: Tensor, low: float, high: float, neutral: float, rng: torch.Generator) -> Tensor:
        """[B, 1, 1, 1] uniform numbers, `neutral` where the operation is not applied."""
        drawn = self._draw(2, len(like), rng).to(like.device)
        value = torch.where(drawn[0] < self.probability, low + (high - low) * drawn[1], neutral)
        return value.to(like.dtype).view(-1, 1, 1, 1)

    def _draw(self, rows: int, count: int, rng: torch.Generator) -> Tensor:
        """[rows, count] uniform numbers: this process's columns of those of all."""
        return self.world.share(torch.rand(rows, count * self.world.size, generator=rng), dim=1)

    def _color(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        color, mask = pictures[:, :3], pictures[:, 3:]
        shifted = color + self._uniform(pictures, -0.5, 0.5, 0.0, rng)
        grey = shifted.mean(dim=1, keepdim=True)
        shifted = torch.lerp(grey, shifted, self._uniform(pictures, 0.0, 2.0, 1.0, rng))
        mean = shifted.mean(dim=(1, 2, 3), keepdim=True)
        shifted = torch.lerp(mean, shifted, self._uniform(pictures, 0.5, 1.5, 1.0, rng))
        # The background is -1 in real and generated pictures and stays so: mix by coverage.
        return torch.cat((color + (shifted - color) * mask, mask), dim=1)

    def _translate(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        batch, _, height, width = pictures.shape
        part = self.config.translation
        rows = (self._uniform(pictures, -part, part, 0.0, rng) * height).round().long().view(batch, 1)
        columns = (self._uniform(pictures, -part, part, 0.0, rng) * width).round().long().view(batch, 1)
        device = pictures.device
        row = torch.arange(height, device=device) - rows
        column = torch.arange(width, device=device) - columns
        inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None]
        flat = row.clamp(0, height - 1)[:, :, None] * width + column.clamp(0, width - 1)[:, None]
        moved = pictures.flatten(2).gather(2, flat.flatten(1)[:, None].expand(-1, 4, -1)).view_as(pictures)
        return torch.where(inside[:, None], moved, _background(pictures))

    def _cut(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        _, _, height, width = pictures.shape
        applied = self._uniform(pictures, 1.0, 1.0, 0.0, rng) > 0
        centre_y = self._draw(1, len(pictures), rng).to(pictures).view(-1, 1, 1, 1) * height
        centre_x = self._draw(1, len(pictures), rng).to(pictures).view(-1, 1, 1, 1) * width
        y = torch.arange(height, device=pictures.device).view(1, 1, -1, 1) + 0.5
        x = torch.arange(width, device=pictures.device).view(1, 1, 1, -1) + 0.5
        half = self.config.cutout / 2
        cut = applied & ((y - centre_y).abs() < half * height) & ((x - centre_x).abs() < half * width)
        return torch.where(cut, _background(pictures), pictures)


def _background(pictures: Tensor) -> Tensor:
    """Black colour, empty mask."""
    return pictures.new_tensor([-1.0, -1.0, -1.0, 0.0]).view(1, 4, 1, 1)
