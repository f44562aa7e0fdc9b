"""Image values at texture coordinates.

Legend: B images, h w texels, H W pixels, N free-standing samples, C channels.
"""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.backend import Backend, choose
from polyglyph.kernels.texture import reference, vectorised

__all__ = ["Filter", "Wrap", "texture"]

Filter = Literal["bilinear", "nearest"]
Wrap = Literal["repeat", "clamp", "zero"]


def texture(
    image: Float[Tensor, "h w C"] | Float[Tensor, "B h w C"],
    uv: Float[Tensor, "B H W 2"] | Float[Tensor, "N 2"],
    *,
    filter: Filter = "bilinear",  # noqa: A002 - the field's word
    wrap: Wrap = "repeat",
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"] | Float[Tensor, "N C"]:
    """Look `image` up at `uv`; the result has the shape of `uv` with C in place of 2.

    An image [h, w, C] is shared by all samples; [B, h, w, C] gives each image of `uv` its own.

    Convention (glTF): uv (0, 0) is the top-left corner of the image, (1, 1) the bottom-right one, u
    runs along a row. The centre of texel (row i, column j) is at u = (j + 0.5) / w, v = (i + 0.5) / h.

    - `bilinear` blends the four texels whose centres surround the point; `nearest` takes the texel
      that the point lies in, [j / w, (j + 1) / w) by [i / h, (i + 1) / h).
    - `wrap` says what a texel outside the image is: `repeat` the image tiled, `clamp` the texel of
      the border, `zero` 0 (so `bilinear` fades out over the last half texel and beyond).

    `uv` must be finite. The result has the promoted type of both.

    Differentiable in `image` and, with `bilinear`, in `uv` (from the right where the blend has a kink,
    on the lines through texel centres). With `nearest` there is no gradient to `uv`.

    Raises ConfigError for shapes that do not fit together and unknown filters and wraps.
    """
    if filter not in get_args(Filter):
        raise ConfigError(f"`texture` has no filter `{filter}`", fix="use `bilinear` or `nearest`")
    if wrap not in get_args(Wrap):
        raise ConfigError(f"`texture` has no wrap `{wrap}`", fix="use `repeat`, `clamp` or `zero`")
    _check(image, uv)
    module = reference if choose(backend, "texture") == "reference" else vectorised
    return module.texture(image, uv, filter, wrap)


def _check(image: Tensor, uv: Tensor) -> None:
    if uv.ndim not in (2, 4) or uv.shape[-1] != 2:
        raise ConfigError(f"`uv` has shape {tuple(uv.shape)}", fix="pass [B, H, W, 2] or [N, 2]")
    if image.ndim not in (3, 4) or 0 in image.shape[-3:-1]:
        raise ConfigError(f"`image` has shape {tuple(image.shape)}", fix="pass [h, w, C] or [B, h, w, C]")
    if image.ndim == 4 and (uv.ndim != 4 or uv.shape[0] != image.shape[0]):
        raise ConfigError(
            f"{image.shape[0]} images do not go with `uv` of shape {tuple(uv.shape)}",
            fix="pass one image [h, w, C], or as many as `uv` has",
        )
