"""The networks whose features pictures are compared by, and what a distance between those may be called.

Only Inception-v3 with the weights of 2015 gives "FID" and "KID". Every other extractor's distances carry
its name (`FD-mobilenet_v2`, `KD-mobilenet_v2`) and are comparable only with others of the same protocol.

Legend: N pictures, H W picture, D features.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.vision import efficientnet, inception, mobilenet

__all__ = ["EXTRACTORS", "Kind", "LoadedExtractor", "load_extractor"]

ANTIALIASED = "antialiased bilinear"
TENSORFLOW_1 = "bilinear without antialiasing, TensorFlow 1 (align_corners=False)"


Network = mobilenet.MobileNetV2 | efficientnet.EfficientNetLite0 | inception.InceptionV3


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One extractor: how it is loaded, and how it sees a picture."""

    load: Callable[[Path], Network]
    """From a weights file. Raises DataError or FormatError."""

    find: Callable[[], Path]
    """The installed weights file. Raises DataError where there is none."""

    dimensions: int
    """D."""

    side: int
    """Pixels on a side after resizing."""

    resize: str
    """The rule of that resizing."""

    bits: int | None
    """Bits per channel that pictures are rounded to first; None if they are not."""


def _no_inception() -> Path:
    raise DataError(
        "Inception-v3 needs a weights file, and none is installed",
        fix="download pt_inception-2015-12-05-6726825d.pth from the releases (fid_weights) of"
        " github.com/mseitzer/pytorch-fid, and give its path",
    )


EXTRACTORS: dict[str, Kind] = {
    "mobilenet_v2": Kind(
        load=mobilenet.load_mobilenet_v2,
        find=mobilenet.find_weights,
        dimensions=1280,
        side=224,
        resize=ANTIALIASED,
        bits=None,
    ),
    "efficientnet_lite0": Kind(
        load=efficientnet.load_efficientnet_lite0,
        find=efficientnet.find_weights,
        dimensions=1280,
        side=224,
        resize=ANTIALIASED,
        bits=None,
    ),
    "inception_v3": Kind(
        load=inception.load_inception,
        find=_no_inception,
        dimensions=2048,
        side=inception.INPUT,
        resize=TENSORFLOW_1,
        bits=8,
    ),
}
"""By name."""


@dataclass(frozen=True, kw_only=True)
class LoadedExtractor:
    """A network with its weights, and everything a result must say about it."""

    name: str
    kind: Kind
    network: Network
    weights_sha256: str

    @property
    def is_published(self) -> bool:
        """Whether its distances may carry the published names."""
        return self.name == "inception_v3" and self.weights_sha256 == inception.FID_SHA256

    @property
    def frechet_name(self) -> str:
        """What its Fréchet distance is called."""
        return "FID" if self.is_published else f"FD-{self.name}"

    @property
    def kernel_name(self) -> str:
        """What its kernel distance is called."""
        return "KID" if self.is_published else f"KD-{self.name}"

    @property
    def protocol(self) -> dict[str, Any]:
        """What a result records, as plain JSON. `pooling` says which of two graphs Inception-v3 is."""
        pooling = {"pooling": self.network.pooling} if isinstance(self.network, inception.InceptionV3) else {}
        return {
            "extractor": self.name,
            "weights_sha256": self.weights_sha256,
            "dimensions": self.kind.dimensions,
            "side": self.kind.side,
            "resize": self.kind.resize,
            "bits": self.kind.bits,
            **pooling,
        }

    def features_of(self, pictures: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N D"]:
        """Features of sRGB pictures in 0..1, on the pictures' device."""
        return self.network.features_of(pictures)


def load_extractor(
    name: str = "mobilenet_v2", weights: Path | str | None = None, *, device: torch.device | str = "cpu"
) -> LoadedExtractor:
    """The extractor called `name`, from the file `weights` or from its installed package.

    Raises ConfigError for an unknown name, DataError for a missing file, FormatError for a wrong one.
    """
    if name not in EXTRACTORS:
        near = difflib.get_close_matches(name, EXTRACTORS, n=1, cutoff=0.3) or list(EXTRACTORS)
        raise ConfigError(
            f"there is no extractor `{name}`", fix=f"use `{near[0]}`; there are: {', '.join(EXTRACTORS)}"
        )
    kind = EXTRACTORS[name]
    path = kind.find() if weights is None else Path(weights)
    network = kind.load(path).to(device)
    # Inception's loader hashes the bytes it read; the others refuse any bytes but one file's.
    digest = network.weights_sha256 if isinstance(network, inception.InceptionV3) else _digest(path)
    return LoadedExtractor(name=name, kind=kind, network=network, weights_sha256=digest)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
