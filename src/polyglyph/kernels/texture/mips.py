"""Smaller and smaller versions of an image.

Legend: h w texels, C channels.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError

__all__ = ["build_mips", "check_mips"]


def build_mips(
    image: Float[Tensor, "*batch h w C"], levels: int | None = None
) -> list[Float[Tensor, "*batch h2 w2 C"]]:
    """Levels 1, 2, … of `image`, each half as high and wide as the one before. The image itself is level 0
    and not in the list.

    A texel is the mean of the 2 × 2 texels under it (box filter). An extent of 1 stays 1, and then the mean
    is of 2 texels. Works for images and cube maps alike. `levels` is how many to build at most; None is all,
    down to 1 × 1.

    Differentiable in `image`.

    Raises ConfigError where an odd extent above 1 would have to be halved.
    """
    built: list[Tensor] = []
    current = image
    while max(current.shape[-3:-1]) > 1 and (levels is None or len(built) < levels):
        for axis in (-3, -2):
            if current.shape[axis] % 2 and current.shape[axis] > 1:
                raise ConfigError(
                    f"level {len(built)} of the image has {current.shape[-3]} × {current.shape[-2]} texels, "
                    "and an odd extent has no half",
                    fix=f"use extents that are powers of 2, or `mips=build_mips(image, levels={len(built)})`",
                )
        current = _halved(current)
        built.append(current)
    return built


def _halved(image: Tensor) -> Tensor:
    if image.shape[-3] == 1:
        return (image[..., 0::2, :] + image[..., 1::2, :]) / 2
    if image.shape[-2] == 1:
        return (image[..., 0::2, :, :] + image[..., 1::2, :, :]) / 2
    upper, lower = image[..., 0::2, :, :], image[..., 1::2, :, :]
    return (upper[..., 0::2, :] + upper[..., 1::2, :] + lower[..., 0::2, :] + lower[..., 1::2, :]) / 4


def check_mips(image: Tensor, mips: Sequence[Tensor]) -> None:
    """Refuse with ConfigError a stack whose levels do not halve."""
    before = image
    for index, level in enumerate(mips, start=1):
        *batch, height, width, channels = before.shape
        even = all(extent == 1 or extent % 2 == 0 for extent in (height, width)) and max(height, width) > 1
        wanted = (*batch, max(height // 2, 1), max(width // 2, 1), channels)
        if not even or tuple(level.shape) != wanted:
            expected = f"not {wanted}" if even else f"but level {index - 1} has no half"
            raise ConfigError(
                f"level {index} of `mips` has shape {tuple(level.shape)}, {expected}",
                fix="pass what `build_mips(image)` returns, or tensors of the same shapes",
            )
        before = level
