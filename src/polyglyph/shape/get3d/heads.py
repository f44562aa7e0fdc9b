"""Small modulated networks that read feature planes or volumes at points.

Legend: B batch, L latent, S layers, C features, N points, G lattice vertices along one edge, h hidden
channels, o outputs.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.shape.get3d.lattice_head import lattice_head
from polyglyph.shape.get3d.layers import GAIN, ModulatedLinear, activate

__all__ = ["PointHead"]


class PointHead(nn.Module):
    """Modulated fully connected layers; the last one is linear."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, latent: int, *, sources: int = 1
    ) -> None:
        """`sources` is how many latents, side by side, steer each layer."""
        super().__init__()
        widths = [inputs, *hidden, outputs]
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            ModulatedLinear(widths[k], widths[k + 1], sources * latent, gain=1.0 if k == last else GAIN)
            for k in range(len(widths) - 1)
        )

    def forward(self, x_BNC: Float[Tensor, "B N C"], w_BSL: Float[Tensor, "B S L"]) -> Float[Tensor, "B N o"]:
        """`w_BSL` has one latent per layer."""
        return self.after_first(self.layers[0](x_BNC, w_BSL[:, 0]), w_BSL)

    def on_lattice(
        self, grid: Float[Tensor, "B 3 C G G"], w_BSL: Float[Tensor, "B S L"]
    ) -> Float[Tensor, "B N o"]:
        """At every vertex (x, y, z) of a lattice, given its planes: the first layer before the sum."""
        first = self.layers[0]
        assert isinstance(first, ModulatedLinear)  # noqa: S101  (for the type checker)
        yx, zy, zx = torch.einsum("bpcrs,bch->bpsrh", grid, first.styled(w_BSL[:, 0])).unbind(dim=1)
        zy = zy + first.bias * first.gain
        if grid.device.type == "cpu" and len(self.layers) == 2:
            last = self.layers[1]
            assert isinstance(last, ModulatedLinear)  # noqa: S101  (for the type checker)
            return lattice_head(yx, zy, zx, last.styled(w_BSL[:, 1]), last.bias * last.gain)
        hidden = yx[:, :, :, None] + zy[:, None]
        hidden += zx[:, :, None]
        return self.after_first(hidden.flatten(1, 3), w_BSL)

    def after_first(self, x: Float[Tensor, "B N h"], w_BSL: Float[Tensor, "B S L"]) -> Float[Tensor, "B N o"]:
        """The rest of the network, from the first layer's output before its activation."""
        for layer, w_BL in zip(list(self.layers)[1:], w_BSL.unbind(1)[1:], strict=True):
            x = layer(activate(x), w_BL)
        return x
