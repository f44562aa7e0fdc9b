"""The compiled library's texture look-up."""

from torch import Tensor

from polyglyph.kernels.native import run, suffix, zeros_like
from polyglyph.kernels.texture import binding
from polyglyph.kernels.texture.request import Request

__all__ = ["look_up"]


def look_up(request: Request) -> Tensor:
    """The result (S, C); the façade defines it."""
    return binding.look_up(binding.Engine(_forward, _backward, zeros_like), request)


def _forward(call: binding.Call, out_SC: Tensor) -> None:
    run(f"texture_{suffix(out_SC.dtype)}", *call, out_SC)


def _backward(call: binding.Call, grad_SC: Tensor, gradients: binding.Gradients) -> None:
    run(f"texture_backward_{suffix(grad_SC.dtype)}", *call, grad_SC, *gradients)
