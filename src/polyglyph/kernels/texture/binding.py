"""What the compiled backends share: a request in the kernels' terms, and its gradients.

Legend as in request.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyglyph.kernels.texture.request import Request

__all__ = ["Call", "Engine", "Gradients", "look_up"]

# The numbers in csrc/texture.h.
_FILTERS = ("nearest", "bilinear", "bilinear-mipmap", "trilinear")
_WRAPS = ("repeat", "clamp", "zero", "cube")


class Call(NamedTuple):
    """The kernels' first parameters, in their order."""

    samples: int
    base: Tensor
    coarse: Tensor | None
    """Levels 1, 2, … one after another."""
    images: int
    height: int
    width: int
    channels: int
    levels: int
    filter: int
    wrap: int
    coordinate: Tensor
    derivative: Tensor | None
    level: Tensor | None


class Gradients(NamedTuple):
    """What to fill: `base` and `coarse` hold zeros. None where nothing is asked for."""

    base: Tensor | None
    coarse: Tensor | None
    coordinate: Tensor | None
    derivative: Tensor | None
    level: Tensor | None


class Engine(NamedTuple):
    """A compiled backend; the first two fill their last argument, the second from the result's gradient."""

    forward: Callable[[Call, Tensor], None]
    backward: Callable[[Call, Tensor, Gradients], None]
    zeros_like: Callable[[Tensor], Tensor]


def look_up(engine: Engine, request: Request) -> Tensor:
    """The result (S, C), differentiable."""
    base, *coarse = request.levels
    packed = torch.cat([texels.reshape(-1) for texels in coarse]) if coarse else None
    images, _, height, width, channels = base.shape
    numbers = (_FILTERS.index(request.filter), _WRAPS.index(request.wrap))
    shape = (images, height, width, channels, len(request.levels), *numbers)
    where = (request.coordinate, request.derivative, request.level)
    return _LookUp.apply(engine, shape, base, packed, *where)  # pyright: ignore[reportReturnType]


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        engine: Engine,
        shape: tuple[int, ...],
        base: Tensor,
        coarse: Tensor | None,
        *where: Any,
    ) -> Tensor:
        base, where = base.contiguous(), tuple(None if t is None else t.contiguous() for t in where)
        ctx.engine, ctx.shape = engine, shape
        ctx.save_for_backward(base, coarse, *where)
        out = base.new_empty((len(where[0]), base.shape[-1]))
        engine.forward(Call(len(where[0]), base, coarse, *shape, *where), out)  # pyright: ignore[reportArgumentType]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        base, coarse, *where = ctx.saved_tensors
        texels, smooth = any(ctx.needs_input_grad[2:4]), ctx.shape[5] > 0
        gradients = Gradients(
            ctx.engine.zeros_like(base) if texels else None,
            ctx.engine.zeros_like(coarse) if texels and coarse is not None else None,
            *(
                torch.empty_like(value) if value is not None and asked and smooth else None
                for value, asked in zip(where, ctx.needs_input_grad[4:], strict=True)
            ),
        )
        call = Call(len(where[0]), base, coarse, *ctx.shape, *where)
        ctx.engine.backward(call, grad.contiguous(), gradients)
        return None, None, *gradients
