"""GET3D's published checkpoints into model folders, with their discriminators beside the generator.

`published_layout` reads the file, `published_config` holds what the file does not say.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph import __version__
from polyglyph.base.config import from_dict, to_dict
from polyglyph.base.errors import DataError
from polyglyph.base.files import new_folder, read_json, refuse_overwrite, write_json
from polyglyph.base.progress import Progress
from polyglyph.formats.safetensors import read_tensors, write_tensors
from polyglyph.learn.checkpoint import load_into
from polyglyph.learn.model_folder import find_model, save_model
from polyglyph.learn.pickled import read_pickle
from polyglyph.scene.camera import DEFAULT_FOV, DEFAULT_RADIUS
from polyglyph.shape.data.config import camera_distribution
from polyglyph.shape.get3d.config import ModelConfig
from polyglyph.shape.get3d.discriminator import Discriminator, Discriminators
from polyglyph.shape.get3d.generator import make_generator
from polyglyph.shape.get3d.published_config import PUBLISHED, DiscriminatorsConfig, PublishedConfig
from polyglyph.shape.get3d.published_layout import Networks, read_published, recognises

__all__ = ["Converted", "convert_checkpoint", "load_discriminators", "recognises"]

AZIMUTH_ZERO = 180.0
"""Our azimuth in degrees of the published camera whose angle is 0: it stands on −Z."""

LICENCE = "https://creativecommons.org/licenses/by-nc-sa/4.0/"

DISCRIMINATORS = """
`discriminators.safetensors` holds the two networks it was trained against;
`polyglyph.shape.get3d.published.load_discriminators` reads them.
"""
"""What the card says of them."""


@dataclass(frozen=True)
class Converted:
    """What was made, or with `dry_run` would be."""

    out: Path
    kind: str
    sha256: str
    """Of the checkpoint."""
    network: str
    config: ModelConfig
    parameters: int
    """Numbers in the generator that training changes."""
    discriminators: DiscriminatorsConfig | None
    left_out: list[str]
    """Entries of the checkpoint that were not used."""
    average_is_zero: bool
    """The file's average codes are all 0, as before the first step of training."""

    def summary(self) -> str:
        """What a person should check."""
        box, made = self.config.isosurface, self.config.generator
        lines = [
            f"{self.kind}, `{self.network}`: {self.parameters:,} parameters,"
            f" planes of {made.plane_resolution}² texels",
            f"taken as told: box of side {box.scale:g}, lattice of {box.resolution}³ cells,"
            f" displacements up to {box.scale / (box.resolution * box.deformation_multiplier):.4g},"
            f" activations {'unbounded' if made.clamp is None else f'up to {made.clamp:g}'}",
        ]
        if self.discriminators is not None:
            lines.append(f"discriminators of {self.discriminators.resolution}² pictures")
        if self.left_out:
            lines.append("left out: " + ", ".join(f"`{name}`" for name in self.left_out))
        if self.average_is_zero:
            lines.append("its average codes are 0; `--estimate-average` finds them, for truncation below 1")
        return "\n".join(lines)


def convert_checkpoint(
    path: Path | str,
    out: Path | str,
    config: PublishedConfig | None = None,
    *,
    contents: Any = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    force: bool = False,
    dry_run: bool = False,
) -> Converted:
    """Write the networks of a GET3D checkpoint (`.pt`) as the model folder `out`.

    The folder has the generator in full float32, so that it gives the numbers of the original, and
    `discriminators.safetensors` and `.json` if the checkpoint has them. `contents` is what `read_pickle` gave
    for `path`, if it was read already. `seed` and `device` are for `config.estimate_average`. With `dry_run`
    everything is read and checked, and nothing written.

    Raises DataError if `out` exists and `force` is false, FormatError if `path` is no such checkpoint.
    """
    path, out, config = Path(path), Path(out), config or PublishedConfig()
    refuse_overwrite(out, force=force)
    if path.resolve().is_relative_to(out.resolve()):
        raise DataError(f"`{path}` lies in `{out}`, which would be replaced", fix="choose another folder")
    known = PUBLISHED.get(path.stem)
    scale = config.scale if config.scale is not None else known.scale if known else 1.0
    subject = config.subject if config.subject is not None else known.subject if known else ""
    with Progress("converting", total=3) as bar:
        if contents is None:
            contents = read_pickle(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        bar.advance(note="checking")
        networks = read_published(contents, path, config, scale=scale)
        bar.advance(note="averaging" if config.estimate_average else "writing")
        converted = _described(networks, out, config, subject, digest)
        if not dry_run:
            if config.estimate_average:
                _estimate_average(networks, seed, device)
            card = _card(converted, path.name, estimated=config.estimate_average)
            _write(converted, networks, card, force=force)
        bar.advance(note="")
    return converted


def load_discriminators(folder: Path | str) -> Discriminators:
    """The discriminators of a converted checkpoint, to train on or to measure with.

    They take our angles (azimuth and elevation in degrees) and are told the published ones.

    Raises DataError if there are none, ConfigError or FormatError if their files are not right.
    """
    folder = find_model(folder)
    settings, weights = folder / "discriminators.json", folder / "discriminators.safetensors"
    if not settings.is_file():
        raise DataError(
            f"`{folder}` has no discriminators",
            fix="convert a checkpoint that has `D`, without `--generator-only`",
        )
    config = from_dict(DiscriminatorsConfig, read_json(settings), where=str(settings))
    arrays = read_tensors(weights)
    tensors = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in arrays.items()}
    networks = Discriminators(config.discriminator, config.resolution)
    networks.color, networks.mask = TurnedDiscriminator(config, 3), TurnedDiscriminator(config, 1)
    load_into(networks, tensors, prefix="", where=weights)
    return networks


class TurnedDiscriminator(Discriminator):
    """A discriminator that counts azimuths from another side than we do."""

    def __init__(self, config: DiscriminatorsConfig, picture_channels: int) -> None:
        super().__init__(config.discriminator, config.resolution, picture_channels)
        self.azimuth_zero = config.azimuth_zero

    def forward(self, picture: Float[Tensor, "B I H W"], angles: Float[Tensor, "B 2"]) -> Float[Tensor, " B"]:
        return super().forward(picture, angles - angles.new_tensor([self.azimuth_zero, 0.0]))


def _described(
    networks: Networks, out: Path, config: PublishedConfig, subject: str, digest: str
) -> Converted:
    """What the networks are, and what was told about them."""
    camera = camera_distribution(config.camera)
    preset = config.camera in ("shapenet", "animal", "human")
    pair = None
    if networks.discriminators is not None:
        pair = DiscriminatorsConfig(
            discriminator=networks.discriminator, resolution=networks.resolution, azimuth_zero=AZIMUTH_ZERO
        )
    settings = ModelConfig(
        generator=networks.config,
        isosurface=networks.isosurface,
        resolution=networks.resolution,
        radius=DEFAULT_RADIUS if preset else camera.radius,
        fov=DEFAULT_FOV if preset else camera.fov,
        azimuth=camera.azimuth,
        elevation=config.elevation or camera.elevation,
        subject=subject,
    )
    buffers = ("noise_const", "w_avg")
    counted = (value for name, value in networks.generator.items() if not name.endswith(buffers))
    averages = (value for name, value in networks.generator.items() if name.endswith("w_avg"))
    return Converted(
        out=out,
        kind=f"GET3D's {networks.layout}",
        sha256=digest,
        network=config.network,
        config=settings,
        parameters=sum(value.numel() for value in counted),
        discriminators=pair,
        left_out=networks.left_out,
        average_is_zero=not config.estimate_average and not any(value.any() for value in averages),
    )


def _estimate_average(networks: Networks, seed: int, device: torch.device | str) -> None:
    """Replace both average codes."""
    generator = make_generator(networks.config, networks.isosurface)
    generator.load_state_dict(networks.generator)
    generator.to(device).estimate_averages(seed=seed)
    state = generator.state_dict()
    networks.generator.update({name: state[name].cpu() for name in state if name.endswith("w_avg")})


def _write(converted: Converted, networks: Networks, card: str, *, force: bool) -> None:
    with new_folder(converted.out, force=force) as folder:
        save_model(folder, to_dict(converted.config), networks.generator, card, half=False)
        if networks.discriminators is not None:
            arrays = {name: tensor.numpy() for name, tensor in networks.discriminators.items()}
            write_tensors(folder / "discriminators.safetensors", arrays, metadata={"format": "pt"})
            write_json(folder / "discriminators.json", to_dict(converted.discriminators))


def _card(converted: Converted, name: str, *, estimated: bool) -> str:
    """Markdown: where the weights come from, whose they are, and what had to be told."""
    box, clamp = converted.config.isosurface, converted.config.generator.clamp
    low, high = converted.config.elevation
    average = "were found again from 100,000 codes" if estimated else "are those of the file"
    beside = "" if converted.discriminators is None else DISCRIMINATORS
    return f"""---
library_name: polyglyph
pipeline_tag: unconditional-generation
license: other
tags: [3d, mesh, get3d]
---

# A GET3D generator of textured meshes, converted

Converted by polyglyph {__version__} from `{name}`, network `{converted.network}`
(SHA-256 `{converted.sha256}`).

## Licence

Converting renames tensors; it gives no rights. The checkpoints that NVIDIA published with GET3D
(`shapenet_*.pt`) are under [CC BY-NC-SA 4.0]({LICENCE}):
give credit, no commercial use, and copies, of which this folder is one, stay under the same licence. Do not
ship them in a product. If `{name}` is another checkpoint, its own licence holds; state it here before you
publish this folder.

## What the file does not say

| taken as | |
|---|---|
| side of the box | {box.scale:g} |
| cells along an edge of the lattice | {box.resolution} |
| largest displacement | {box.scale / (box.resolution * box.deformation_multiplier):g} |
| bound on activations | {"none" if clamp is None else f"{clamp:g}"} |
| elevation of the training cameras | {low:g} to {high:g} degrees |

Weights are in full precision; the average codes {average}.
{beside}"""
