"""The CUDA texture look-up. Nothing here waits for the GPU."""

import torch
from torch import Tensor

from polyglyph.kernels.device import launch
from polyglyph.kernels.native import suffix
from polyglyph.kernels.texture import binding
from polyglyph.kernels.texture.request import Request

__all__ = ["look_up"]


def look_up(request: Request) -> Tensor:
    """The result (S, C); the façade defines it."""
    return binding.look_up(binding.Engine(_forward, _backward, torch.zeros_like), request)


def _forward(call: binding.Call, out_SC: Tensor) -> None:
    launch("texture", f"texture_{suffix(out_SC.dtype)}", *call, out_SC)


def _backward(call: binding.Call, grad_SC: Tensor, gradients: binding.Gradients) -> None:
    kind = suffix(grad_SC.dtype)
    base, coarse, *rest = gradients
    if base is None or not torch.are_deterministic_algorithms_enabled():
        launch("texture", f"texture_backward_{kind}", *call, grad_SC, *gradients)
        return
    launch("texture", f"texture_backward_{kind}", *call, grad_SC, None, None, *rest)
    sums = _summed(call, grad_SC, base.numel(), 0 if coarse is None else coarse.numel())
    base.copy_(sums[: base.numel()].view_as(base))
    if coarse is not None:
        coarse.copy_(sums[base.numel() :])


def _summed(call: binding.Call, grad_SC: Tensor, base: int, coarse: int) -> Tensor:
    """Gradients of texels, `base` and then `coarse` numbers, by torch's deterministic index_add."""
    channels = call.channels
    none = (base + coarse) // max(channels, 1)  # a row behind all texels takes what is not there
    rows = torch.empty((call.samples, 8), dtype=torch.int64, device=grad_SC.device)
    weights = grad_SC.new_empty((call.samples, 8))
    launch("texture", f"texture_taps_{suffix(grad_SC.dtype)}", *call, none, rows, weights)
    parts = (weights[:, :, None] * grad_SC[:, None]).reshape(-1, channels)
    sums = grad_SC.new_zeros((none + 1, channels)).index_add_(0, rows.reshape(-1), parts)
    return sums[:none].reshape(-1)
