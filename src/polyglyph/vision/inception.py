"""Inception-v3 (Szegedy et al. 2015) as FID uses it, tensor names as torchvision saves them.

Two networks share these names. The one of the Fréchet Inception Distance (TensorFlow's of 2015-12-05, 1008
outputs) leaves the border out of its average pools and takes a maximum in the last block; torchvision's
(1000 outputs) counts the border and averages everywhere.

Legend: B batch, I O channels, H W picture, P Q another size of picture, K classes.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.safetensors import read_tensors

__all__ = ["FID_SHA256", "INPUT", "InceptionV3", "Pooling", "load_inception", "resize_bilinear_tf1"]

INPUT = 299
"""Side of the pictures it learned from."""

FID_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""The file behind every published FID in PyTorch: `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid,
`weights-inception-2015-12-05-6726825d.pth` of torch-fidelity. Only these bytes may be called FID."""

KNOWN = ("6726825d", "0cc3c7bd", "1a9a5a14")
"""First digits of the SHA-256 that published file names carry: FID's, and torchvision's two of ImageNet."""

MALFORMED = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, MemoryError, OverflowError, struct.error,
)  # fmt: skip
"""What torch raises for damaged weights files, found by damaging some at random."""

Pooling = Literal["fid", "torchvision"]


class Pool(Enum):
    """A pool of 3×3 positions: two that keep the size, and one that halves it."""

    AVERAGE = 0
    LAST = 1  # a maximum for FID, an average for torchvision
    HALVE = 2


class Conv(NamedTuple):
    """A row of the tables below: the tensor's name, channels out, kernel, stride.

    Stride 1 keeps the size (zero padding); stride 2 has no padding.
    """

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Step = Pool | Conv | tuple[Conv, Conv]
"""One step of a branch; a pair of convolutions sees the same input and is joined."""


def _chain(prefix: str, first: int, *rest: tuple[int, tuple[int, int]], stride: int = 1) -> list[Step]:
    """1×1 to `first` channels, then (channels, kernel) each, numbered from 1; the last has the stride."""
    rows = [(first, (1, 1)), *rest]
    return [
        Conv(f"{prefix}_{index}", outputs, kernel, stride if index == len(rows) else 1)
        for index, (outputs, kernel) in enumerate(rows, 1)
    ]


WIDE, TALL, SQUARE = (1, 7), (7, 1), (3, 3)


def _grid35(pool: int) -> list[list[Step]]:
    """Figure 5 of the paper, at 35×35, with a 5×5 convolution left whole."""
    return [
        [Conv("branch1x1", 64)],
        _chain("branch5x5", 48, (64, (5, 5))),
        _chain("branch3x3dbl", 64, (96, SQUARE), (96, SQUARE)),
        [Pool.AVERAGE, Conv("branch_pool", pool)],
    ]


def _grid17(width: int) -> list[list[Step]]:
    """Figure 6, at 17×17: 7×7 convolutions as 1×7 and 7×1."""
    return [
        [Conv("branch1x1", 192)],
        _chain("branch7x7", width, (width, WIDE), (192, TALL)),
        _chain("branch7x7dbl", width, (width, TALL), (width, WIDE), (width, TALL), (192, WIDE)),
        [Pool.AVERAGE, Conv("branch_pool", 192)],
    ]


def _grid8(pool: Pool) -> list[list[Step]]:
    """Figure 7, at 8×8: the last convolutions side by side."""

    def fork(prefix: str) -> Step:
        return Conv(f"{prefix}a", 384, (1, 3)), Conv(f"{prefix}b", 384, (3, 1))

    return [
        [Conv("branch1x1", 320)],
        [Conv("branch3x3_1", 384), fork("branch3x3_2")],
        [Conv("branch3x3dbl_1", 448), Conv("branch3x3dbl_2", 384, SQUARE), fork("branch3x3dbl_3")],
        [pool, Conv("branch_pool", 192)],
    ]


STEM = (
    ("Conv2d_1a_3x3", 32, 3, 2, 0),
    ("Conv2d_2a_3x3", 32, 3, 1, 0),
    ("Conv2d_2b_3x3", 64, 3, 1, 1),
    None,
    ("Conv2d_3b_1x1", 80, 1, 1, 0),
    ("Conv2d_4a_3x3", 192, 3, 1, 0),
    None,
)
"""Name, channels, kernel, stride and padding; `None` is a maximum of 3×3 positions with stride 2."""

BLOCKS: dict[str, list[list[Step]]] = {
    "Mixed_5b": _grid35(32),
    "Mixed_5c": _grid35(64),
    "Mixed_5d": _grid35(64),
    "Mixed_6a": [
        [Conv("branch3x3", 384, SQUARE, 2)],
        _chain("branch3x3dbl", 64, (96, SQUARE), (96, SQUARE), stride=2),
        [Pool.HALVE],
    ],
    "Mixed_6b": _grid17(128),
    "Mixed_6c": _grid17(160),
    "Mixed_6d": _grid17(160),
    "Mixed_6e": _grid17(192),
    "Mixed_7a": [
        _chain("branch3x3", 192, (320, SQUARE), stride=2),
        _chain("branch7x7x3", 192, (192, WIDE), (192, TALL), (192, SQUARE), stride=2),
        [Pool.HALVE],
    ],
    "Mixed_7b": _grid8(Pool.AVERAGE),
    "Mixed_7c": _grid8(Pool.LAST),
}


class ConvNormRelu(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int,
        padding: int | tuple[int, int],
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O P Q"]:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Branches over one input, joined by channel."""

    def __init__(self, inputs: int, branches: list[list[Step]], pooling: Pooling) -> None:
        super().__init__()
        self.branches, self.pooling, self.outputs = branches, pooling, 0
        for branch in branches:
            channels = inputs
            for step in branch:
                if isinstance(step, Pool):
                    continue
                convs = (step,) if isinstance(step, Conv) else step
                for conv in convs:
                    padding = (conv.kernel[0] // 2, conv.kernel[1] // 2) if conv.stride == 1 else 0
                    layer = ConvNormRelu(channels, conv.outputs, conv.kernel, conv.stride, padding)
                    self.add_module(conv.name, layer)
                channels = sum(conv.outputs for conv in convs)
            self.outputs += channels

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O P Q"]:
        return torch.cat([self._follow(branch, x) for branch in self.branches], dim=1)

    def _follow(self, branch: list[Step], x: Tensor) -> Tensor:
        for step in branch:
            if isinstance(step, Pool):
                x = self._pool(step, x)
            elif isinstance(step, Conv):
                x = self.get_submodule(step.name)(x)
            else:
                x = torch.cat([self.get_submodule(conv.name)(x) for conv in step], dim=1)
        return x

    def _pool(self, pool: Pool, x: Tensor) -> Tensor:
        if pool is Pool.HALVE:
            return F.max_pool2d(x, 3, stride=2)
        if pool is Pool.LAST and self.pooling == "fid":
            return F.max_pool2d(x, 3, stride=1, padding=1)
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=self.pooling == "torchvision")


class InceptionV3(nn.Module):
    """The classifier and its 2048 pooled features. Its input is sRGB in 0..255, at least 75 pixels a side."""

    weights_sha256 = ""
    """SHA-256 of the file that its weights came from; empty for weights from nowhere."""

    def __init__(self, classes: int = 1008, pooling: Pooling = "fid") -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        channels = 3
        for row in STEM:
            if row is not None:
                name, outputs, kernel, stride, padding = row
                self.add_module(name, ConvNormRelu(channels, outputs, kernel, stride, padding))
                channels = outputs
        for name, branches in BLOCKS.items():
            block = Mixed(channels, branches, pooling)
            self.add_module(name, block)
            channels = block.outputs
        self.fc = nn.Linear(channels, classes)

    def pooled(self, levels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 2048"]:
        """Features averaged over positions. The network sees (level - 128) / 128."""
        x = (levels - 128) / 128
        for row in STEM:
            x = F.max_pool2d(x, 3, stride=2) if row is None else self.get_submodule(row[0])(x)
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))

    def forward(self, levels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B K"]:
        """Class logits."""
        return self.fc(self.pooled(levels))

    @torch.no_grad()
    def features_of(
        self, pictures: Float[Tensor, "B 3 H W"], *, quantise: bool = True
    ) -> Float[Tensor, "B 2048"]:
        """`pooled` of sRGB pictures in 0..1 under FID's protocol.

        Pictures are rounded to 8 bits first, as if they had been saved (published FIDs come from picture
        files; `quantise=False` leaves that out), then resized to 299² by `resize_bilinear_tf1`. Values
        outside 0..1 are clamped when rounding.
        """
        levels = pictures * 255
        if quantise:
            levels = (levels + 0.5).floor().clamp(0, 255)
        return self.pooled(resize_bilinear_tf1(levels, INPUT, INPUT))


def resize_bilinear_tf1(
    pictures: Float[Tensor, "B I H W"], height: int, width: int
) -> Float[Tensor, "B I P Q"]:
    """Bilinear resizing as TensorFlow 1 did it (`align_corners=False`), which FID's graph contains.

    Convention: output pixel i reads the input at i · (input size / output size), from pixel *corners*: no
    half-pixel shift, and no antialiasing when it shrinks. The last pixel is repeated at the far border.
    Positions are computed in float32, as there.
    """

    def taps(inputs: int, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
        scale = torch.tensor(inputs / outputs, dtype=torch.float32)
        at = torch.arange(outputs, dtype=torch.float32) * scale
        low = at.long().clamp_max(inputs - 1)
        high = (low + 1).clamp_max(inputs - 1)
        weight = (at - low).to(pictures.dtype)
        return low.to(pictures.device), high.to(pictures.device), weight.to(pictures.device)

    left, right, across = taps(pictures.shape[3], width)
    top, bottom, down = taps(pictures.shape[2], height)

    def row(index: Tensor) -> Tensor:
        picked = pictures[:, :, index]
        start = picked[..., left]
        return start + (picked[..., right] - start) * across

    upper = row(top)
    return upper + (row(bottom) - upper) * down[:, None]


def load_inception(path: Path | str) -> InceptionV3:
    """Inception-v3 from a `.pth` or `.safetensors` file, ready for features.

    The layout is told by the tensors: 1008 outputs are FID's graph, any other count (torchvision's 1000) is
    torchvision's, whose auxiliary classifier (`AuxLogits.*`) is left out. `weights_sha256` of the result
    says which file it was; compare it with `FID_SHA256` before calling a distance FID.

    Raises DataError if the file is missing; FormatError if it is no such file, has missing, unknown,
    misshapen or non-finite tensors, or is named like a published file and has other bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"there is no file `{path}`",
            fix="download pt_inception-2015-12-05-6726825d.pth from the releases (fid_weights) of"
            " github.com/mseitzer/pytorch-fid, and give its path",
        )
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    promised = re.search(rf"-({'|'.join(KNOWN)})\.pth$", path.name)
    if promised is not None and not digest.startswith(promised[1]):
        raise FormatError(
            f"`{path}` has SHA-256 {digest[:8]}, and its name says {promised[1]}",
            fix="download it again, or rename it if these are other weights",
        )
    if path.suffix == ".safetensors":
        found = {name: torch.from_numpy(array) for name, array in read_tensors(path).items()}
    else:
        found = _unpickled(data, path)
    model = _filled(found, path)
    model.weights_sha256 = digest
    return model.eval().requires_grad_(False)


def _unpickled(data: bytes, path: Path) -> Mapping[str, Tensor]:
    """The tensors of a `.pth`. Nothing in the file is run: only tensors and plain containers are made."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's note on the old zip-less format
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251  (no code)
    except MALFORMED as problem:
        asked = re.search(r"GLOBAL ([\w.]+)", str(problem))
        if asked is not None:
            raise FormatError(
                f"`{path}` cannot be read as weights: it asks to run `{asked[1]}`",
                fix="files that hold code are refused: give one that holds a state_dict alone",
            ) from None
        raise FormatError(
            f"`{path}` cannot be read as weights: {len(data)} bytes that start with {data[:12]!r}",
            fix="it is damaged or another kind of file: download it again",
        ) from None
    plain = isinstance(state, Mapping) and all(
        isinstance(name, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_meta
        for name, value in state.items()
    )
    if not plain:
        raise FormatError(
            f"`{path}` is not a table of tensors", fix="give a state_dict, not a checkpoint or a whole model"
        )
    return state


def _filled(found: Mapping[str, Tensor], path: Path) -> InceptionV3:
    """A network with the tensors of `found`, after every name, shape and value was looked at."""
    counter = "num_batches_tracked"  # of training; old files lack it
    found = {
        name: tensor
        for name, tensor in found.items()
        if not name.startswith("AuxLogits.") and not name.endswith(counter)
    }
    bias = found.get("fc.bias")
    classes = len(bias) if bias is not None and bias.ndim == 1 else 1008
    with torch.device("meta"):
        model = InceptionV3(classes, "fid" if classes == 1008 else "torchvision")
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(counter)}
    fix = "give pytorch-fid's pt_inception-2015-12-05-6726825d.pth or torchvision's inception_v3_google-*.pth"
    for what, names in (("lacks", wanted.keys() - found.keys()), ("has", found.keys() - wanted.keys())):
        if names:
            first = ", ".join(f"`{name}`" for name in sorted(names)[:3])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            tensors = "tensors of Inception-v3" if what == "lacks" else "tensors that Inception-v3 has not"
            raise FormatError(f"`{path}` {what} {tensors}: {first}{more}", fix=fix)
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            shapes = f"{list(found[name].shape)}, not {list(tensor.shape)}"
            raise FormatError(f"`{path}`: tensor `{name}` has shape {shapes}", fix=fix)
        if not found[name].is_floating_point() or not found[name].isfinite().all():
            raise FormatError(f"`{path}`: tensor `{name}` is not of finite floats", fix="download it again")
    model = model.to_empty(device="cpu")
    model.load_state_dict({name: tensor.float() for name, tensor in found.items()}, strict=False)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.num_batches_tracked is not None:
            layer.num_batches_tracked.zero_()
    return model
