"""What is in GET3D's published checkpoints: `docs/formats/get3d-checkpoint.md`, as code.

Sizes are read off the shapes of the tensors; what is not in the file is a setting (`PublishedConfig`).
Tensors keep their float32 values and get new names. *Ours* and *theirs* below are the two namings.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyglyph.base.errors import ConfigError, FormatError
from polyglyph.shape.get3d.config import DiscriminatorConfig, GeneratorConfig, IsosurfaceConfig
from polyglyph.shape.get3d.discriminator import Discriminators
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.published_config import PublishedConfig

__all__ = ["LAYOUTS", "Layout", "Networks", "read_published", "recognises"]

Tensors = Mapping[str, Tensor]
Names = Mapping[str, str]
"""Beginnings of our names → beginnings of theirs."""

FILTER = "resample_filter"
"""The last part of the names of constants that every layer keeps; they are checked and dropped."""

PLANES, HEADS = "synthesis.generator.tri_plane_synthesis.", "synthesis.generator.mlp_synthesis_"
FIX = "give one of GET3D's own checkpoints, as its training writes them"


class Layout(NamedTuple):
    """One of GET3D's generators, as it is saved."""

    name: str
    mark: str
    """A beginning of names that the layouts after it have not."""
    names: Names
    settings: Callable[[Source, PublishedConfig], GeneratorConfig] | None
    """What its tensors say about its sizes; None for a layout that is not converted."""


class Networks(NamedTuple):
    """What a checkpoint holds, under our names, in float32."""

    layout: str
    generator: dict[str, Tensor]
    config: GeneratorConfig
    isosurface: IsosurfaceConfig
    """Our multiplier carries the scale, because the published bound on displacements does not."""
    discriminators: dict[str, Tensor] | None
    discriminator: DiscriminatorConfig
    resolution: int
    """Side of the pictures that the discriminators see."""
    left_out: list[str]
    """Entries of the file that were not used."""


class Source:
    """The tensors of one entry of a checkpoint, and how to speak of them."""

    def __init__(self, tensors: Tensors, entry: str, path: Path) -> None:
        self.tensors, self.entry, self.path = tensors, entry, path

    def refuse(self, what: str, fix: str = FIX) -> FormatError:
        """An error about this entry."""
        return FormatError(f"`{self.path}`: in `{self.entry}`, {what}", fix=fix)

    def size(self, name: str, axis: int, axes: int) -> int:
        """The length of an axis of a tensor that must have `axes` of them."""
        if name not in self.tensors:
            raise self.refuse(f"tensor `{name}` is missing")
        shape = tuple(self.tensors[name].shape)
        if len(shape) != axes or 0 in shape:
            raise self.refuse(f"tensor `{name}` has shape {shape}, and must have {axes} axes")
        return shape[axis]

    def expect(self, name: str, *shape: int) -> Tensor:
        """The tensor, which must have this shape."""
        if name not in self.tensors:
            raise self.refuse(f"tensor `{name}` is missing")
        found = self.tensors[name]
        if tuple(found.shape) != shape:
            raise self.refuse(f"tensor `{name}` has shape {tuple(found.shape)}, not {shape}")
        return found

    def count(self, pattern: str, what: str) -> int:
        """How many different numbers, from 0 on, stand in the group of `pattern`."""
        found = self.numbers(pattern)
        if not found or found != list(range(len(found))):
            raise self.refuse(f"the {what} are numbered {found or 'not at all'}")
        return len(found)

    def numbers(self, pattern: str) -> list[int]:
        """The different numbers that stand in the group of `pattern` at the start of names, sorted."""
        matches = (re.match(pattern, name) for name in self.tensors)
        return sorted({int(match[1]) for match in matches if match})

    def sides(self, pattern: str, least: int) -> list[int]:
        """The resolutions 4, 8, ... of a network; at least up to `least`."""
        found = self.numbers(pattern)
        if found != [4 << k for k in range(len(found))] or not found or found[-1] < least:
            raise self.refuse(f"there are blocks of the resolutions {found}, not 4, 8, 16, ...")
        return found

    def take(self, wanted: Tensors, names: Names) -> dict[str, Tensor]:
        """The tensors with the names and shapes of `wanted` (ours), all of them and nothing else.

        Raises FormatError naming the first that is missing, misshapen, not finite, or not wanted.
        """
        theirs = {_renamed(name, names): name for name in wanted}
        for name in self.tensors:
            if name not in theirs and not name.endswith(FILTER):
                raise self.refuse(f"tensor `{name}` is not part of these networks")
        taken = {}
        for name, ours in theirs.items():
            taken[ours] = self.expect(name, *wanted[ours].shape).detach().float().contiguous()
            if not taken[ours].isfinite().all():
                raise self.refuse(f"tensor `{name}` has numbers that are not finite")
        return taken

    def check_filters(self) -> None:
        """Raise FormatError where a resampling filter is not outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64."""
        tap = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        for name, found in self.tensors.items():
            if name.endswith(FILTER) and (
                found.shape != (4, 4) or not torch.allclose(found.float(), torch.outer(tap, tap), atol=1e-6)
            ):
                raise self.refuse(
                    f"`{name}` is not the filter [1, 3, 3, 1] of GET3D, and other filters are not supported"
                )


def recognises(contents: Any) -> bool:
    """Whether this is a GET3D checkpoint, or a part of one, whichever layout it has."""
    if not isinstance(contents, Mapping):
        return False
    marks = tuple(layout.mark for layout in LAYOUTS)
    return bool({"G", "G_ema"} & contents.keys()) or any(str(name).startswith(marks) for name in contents)


def read_published(contents: Any, path: Path, config: PublishedConfig, *, scale: float) -> Networks:
    """The networks in what `read_pickle` gave for `path`; `scale` is the side of the box.

    Raises FormatError naming the entry or tensor that is missing, unknown, misshapen, not finite, or of a
    layout that is not converted.
    """
    source = _entry(contents, config.network, path)
    layout = _layout(source)
    if layout.settings is None:
        raise source.refuse(
            f"the tensors are those of GET3D's {layout.name}, which is not converted yet",
            fix="only its unified generator with DMTet is: the one of the published checkpoints",
        )
    source.check_filters()
    isosurface = IsosurfaceConfig(
        resolution=config.resolution,
        scale=scale,
        deformation_multiplier=scale * config.deformation_multiplier,
        initial_radius=0.0,
        close_boundary=False,
    )
    with _sizes_of(source):
        settings = layout.settings(source, config)
        wanted = make_generator(settings, isosurface).state_dict()
    generator = source.take(wanted, layout.names)
    used, found = {config.network}, None
    discriminator, resolution = DiscriminatorConfig(), config.picture_resolution
    if contents.get("D") and not config.generator_only:
        pair = _entry(contents, "D", path)
        found, discriminator, resolution = _discriminators(pair, config)
        used.add("D")
    left_out = [str(name) for name in contents if name not in used]
    return Networks(layout.name, generator, settings, isosurface, found, discriminator, resolution, left_out)


def _entry(contents: Any, name: str, path: Path) -> Source:
    """One state dict of a checkpoint, after a look at its form."""
    if not isinstance(contents, Mapping):
        raise FormatError(f"`{path}` holds a {type(contents).__name__}, not a table of networks", fix=FIX)
    if name not in contents:
        has = ", ".join(f"`{key}`" for key in list(contents)[:4])
        fix = "pass `--network G` for the generator that it does hold" if "G" in contents else FIX
        raise FormatError(f"`{path}` has no `{name}`; it begins with {has or 'nothing'}", fix=fix)
    tensors = contents[name]
    if not isinstance(tensors, Mapping):
        raise FormatError(
            f"`{path}`: `{name}` is a {type(tensors).__name__}, not a table of tensors", fix=FIX
        )
    source = Source({}, name, path)
    for key, value in tensors.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise source.refuse(f"`{key}` is a {type(value).__name__}, not a named tensor")
        if value.layout != torch.strided or value.is_meta or not value.is_floating_point():
            raise source.refuse(f"tensor `{key}` is not a plain tensor of floats")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise source.refuse(f"tensor `{key}` has fewer numbers than its shape {tuple(value.shape)} says")
    return Source(tensors, name, path)


def _layout(source: Source) -> Layout:
    for layout in LAYOUTS:
        if any(name.startswith(layout.mark) for name in source.tensors):
            return layout
    has = ", ".join(f"`{name}`" for name in list(source.tensors)[:3])
    raise source.refuse(f"the tensors are of no generator of GET3D; they begin with {has or 'nothing'}")


@contextlib.contextmanager
def _sizes_of(source: Source) -> Iterator[None]:
    """Sizes that settings refuse are the file's fault."""
    try:
        yield
    except ConfigError as problem:
        raise source.refuse(f"the sizes make no network: {problem}") from None


def _unified(source: Source, told: PublishedConfig) -> GeneratorConfig:
    """The sizes of the unified generator."""
    sides = source.sides(re.escape(PLANES) + r"b(\d{1,5})\.", 4)
    channels = {side: source.size(f"{PLANES}b{side}.conv1.weight", 0, 4) for side in sides}
    base, most = channel_law(channels, source)
    planes = source.size(f"{PLANES}b4.togeo.weight", 0, 4)
    if planes % 3:
        raise source.refuse(f"tensor `{PLANES}b4.togeo.weight` has {planes} rows, not those of three planes")
    config = GeneratorConfig(
        latent=source.size("mapping.fc0.weight", 1, 2),
        mapping_depth=source.count(r"mapping\.fc(\d{1,4})\.", "layers of the mapping network"),
        plane_resolution=sides[-1],
        plane_channels=planes // 3,
        channel_base=base,
        channel_max=most,
        head_depth=source.count(re.escape(HEADS) + r"sdf\.layers\.(\d{1,4})\.", "layers of the SDF head") - 1,
        head_width=source.size(f"{HEADS}sdf.layers.0.weight", 0, 2),
        texture_features=source.size("synthesis.to_rgb.weight", 1, 4),
        clamp=None if told.fp32 else told.clamp,
    )
    # What is largest is looked at before a network is built: a small file must not ask for a huge one.
    for side in sides:
        source.expect(f"{PLANES}b{side}.conv1.weight", channels[side], channels[side], 3, 3)
        source.expect(f"{PLANES}b{side}.conv1.noise_const", side, side)
    for k in range(config.mapping_depth):
        for mapping in ("mapping", "mapping_geo"):
            source.expect(f"{mapping}.fc{k}.weight", config.latent, config.latent)
    for name, outputs in (("sdf", 1), ("def", 3), ("tex", config.texture_features)):
        widths = [config.plane_channels, *[config.head_width] * config.head_depth, outputs]
        for k in range(len(widths) - 1):
            source.expect(f"{HEADS}{name}.layers.{k}.weight", widths[k + 1], widths[k])
            source.expect(f"{HEADS}{name}.layers.{k}.affine.weight", widths[k], config.latent)
    source.expect("synthesis.to_rgb.affine.weight", config.texture_features, config.latent)
    return config


def _discriminators(
    source: Source, told: PublishedConfig
) -> tuple[dict[str, Tensor], DiscriminatorConfig, int]:
    """The tensors, sizes and resolution of the pair."""
    source.check_filters()
    sides = source.sides(r"b(\d{1,5})\.", 8)
    channels = {side: source.size(f"b{side}.fromrgb.weight", 0, 4) for side in sides}
    base, most = channel_law(channels, source)
    config = DiscriminatorConfig(
        channel_base=base,
        channel_max=most,
        camera="mapping.embed.weight" in source.tensors,
        clamp=None if told.fp32 else told.clamp,
    )
    if config.camera:
        config = replace(
            config,
            embedding=source.size("mapping.embed.weight", 0, 2),
            mapping_depth=source.count(r"mapping\.fc(\d{1,4})\.", "layers of the camera network"),
        )
        for k in range(config.mapping_depth):
            source.expect(f"mapping.fc{k}.weight", config.embedding, config.embedding)
    for side in sides[1:]:
        source.expect(f"b{side}.conv0.weight", channels[side], channels[side], 3, 3)
    wanted = Discriminators(config, sides[-1]).state_dict()
    return source.take(wanted, {"color.": "", "mask.": "mask_"}), config, sides[-1]


def channel_law(channels: Mapping[int, int], source: Source) -> tuple[int, int]:
    """`channel_base` and `channel_max` such that every resolution R has min(base // R, max) channels."""
    most = max(channels.values())
    base = max(side * count for side, count in channels.items())
    if any(min(base // side, most) != count for side, count in channels.items()):
        raise source.refuse(f"the channels at each resolution R, {channels}, are not min(base / R, max)")
    return base, most


def _renamed(name: str, names: Names) -> str:
    """Our name as theirs."""
    for ours, theirs in names.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


LAYOUTS: Sequence[Layout] = (
    Layout("FlexiCubes generator", HEADS + "weight.", {}, None),
    Layout("separate generator", "synthesis.geometry_synthesis_sdf.", {}, None),
    Layout(
        "unified generator",
        "synthesis.generator.",
        {
            "planes.": PLANES,
            "sdf.": HEADS + "sdf.",
            "deformation.": HEADS + "def.",
            "texture.": HEADS + "tex.",
            "to_rgb.": "synthesis.to_rgb.",
        },
        _unified,
    ),
)
"""Every layout by its keys. To convert one more, give it its names and a function for its sizes."""
