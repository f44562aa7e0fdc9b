"""Pictures of meshes.

The frame is rasterised at `supersample` times the asked-for size, each covered sample is shaded once, and
squares of samples are averaged, colours weighted by their opacity.

Legend: B cameras, H W the picture, S samples along one side of a pixel, N covered samples, V vertices,
F faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from polyglyph.base.errors import ConfigError
from polyglyph.kernels.rasterize import rasterize
from polyglyph.scene.camera import Cameras
from polyglyph.scene.light import STUDIO, Light
from polyglyph.scene.material import srgb_to_linear, to_srgb_uint8
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.surface import Samples, Surface, texel_density, transparent_faces

__all__ = ["Picture", "Shading", "render"]

Shading = Literal["shaded", "albedo", "normal", "depth", "mask"]

SAMPLES_AT_ONCE = 6_000_000
VERTICES_AT_ONCE = 3_000_000
TRANSPARENT_LAYERS = 3


@dataclass
class Picture:
    """What `render` returns. Row 0 is the top; colours are linear, alpha is straight (not multiplied in)."""

    rgba: Float[Tensor, "B H W 4"]
    """Colour by the `shading` asked for; alpha is the opacity, averaged over the pixel."""
    mask: Float[Tensor, "B H W"]
    """The share of the pixel that any surface covers, glass included."""
    depth: Float[Tensor, "B H W"]
    """Metres along the viewing axis to the nearest sample's first surface; infinity where there is none."""
    normal: Float[Tensor, "B H W 3"]
    """World normal of the first surface, facing the camera, unit length; 0 where there is none."""
    albedo: Float[Tensor, "B H W 3"]
    """Base colour of the first surface, linear; 0 where there is none."""

    def to_uint8(self) -> UInt8[Tensor, "B H W 4"]:
        """The pictures as files hold them: 8-bit sRGB with straight alpha."""
        return to_srgb_uint8(self.rgba)

    def over(self, background: Sequence[float] | Tensor) -> Float[Tensor, "B H W 3"]:
        """The pictures before an even background (linear colour)."""
        alpha = self.rgba[..., 3:]
        return self.rgba[..., :3] * alpha + torch.as_tensor(background).to(self.rgba) * (1 - alpha)


class _Layer(NamedTuple):
    """Shaded samples and their places in the raster. `color` is multiplied by opacity."""

    place: Tensor  # [N]
    color: Tensor  # [N, 3]
    opacity: Tensor  # [N, 1]
    depth: Tensor  # [N, 1]
    normal: Tensor  # [N, 3]
    albedo: Tensor  # [N, 3]


def render(
    mesh: Mesh,
    cameras: Cameras,
    resolution: int | tuple[int, int],
    *,
    lights: Sequence[Light] | None = None,
    supersample: int = 2,
    shading: Shading = "shaded",
    background: Sequence[float] | None = None,
) -> Picture:
    """Pictures of `mesh` from every camera.

    `resolution` is one side or (H, W) in pixels; `supersample` samples along each side of a pixel are
    averaged. `shading` chooses what `rgba` shows: `shaded` (metallic-roughness under `lights`, which default
    to `STUDIO`), `albedo` (base colour and vertex colour, unlit), `normal` (world normal, (n + 1) / 2 in the
    written file), `depth` (near is white, far dark grey, over the range seen from each camera) or `mask`.
    `background` is a linear colour to put behind; without it the pictures are transparent.

    Surfaces are lit on both sides. Textures are sampled bilinearly at the level of a mip pyramid that fits
    each face's size in each view. MASK materials are cut at their cut-off; BLEND materials are composited,
    the nearest three layers of them: the second and later layers leave out faces that some nearer layer
    already showed, so a face that is partly behind other glass can lose the hidden part.

    Differentiable in positions, normals, material tensors and lights (no visibility gradients: those are
    `kernels.antialias`' work). Without gradients, memory is bounded: views are rendered in chunks.
    Raises ConfigError for an unknown shading or sizes below 1.
    """
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    if height < 1 or width < 1 or supersample < 1:
        raise ConfigError(
            f"the picture is {height}×{width} pixels with supersampling {supersample}",
            fix="give numbers above 0",
        )
    if shading not in ("shaded", "albedo", "normal", "depth", "mask"):
        raise ConfigError(
            f"there is no shading called `{shading}`",
            fix="use `shaded`, `albedo`, `normal`, `depth` or `mask`",
        )
    cameras = cameras.to(mesh.device)
    lights = STUDIO if lights is None else lights
    size = (height * supersample, width * supersample)
    step = max(
        1, min(SAMPLES_AT_ONCE // (size[0] * size[1]), VERTICES_AT_ONCE // max(1, len(mesh.positions)))
    )
    surface = Surface(mesh, lights if shading == "shaded" else None)
    chunks = []
    for first in range(0, len(cameras), step):
        some = cameras[first : first + step]
        chunks.append(_averaged(_seen(surface, some, size), (len(some), height, width), supersample))
    picture = Picture(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))
    picture.rgba = _shown(picture, shading)
    if background is not None:
        color = picture.over(background)
        picture.rgba = torch.cat([color, torch.ones_like(color[..., :1])], -1)
    return picture


def _seen(surface: Surface, cameras: Cameras, size: tuple[int, int]) -> _Layer:
    """Every covered sample of one chunk: the opaque surface, with the transparent layers over it."""
    mesh = surface.mesh
    clip = cameras.clip(mesh.positions)
    density = texel_density(clip, mesh, size)
    clear = transparent_faces(mesh)
    if not bool(clear.any()):
        return _shaded(surface, _samples(clip, mesh.faces, None, cameras, size), density)
    layers = _peel(surface, clip, clear, cameras, size, density)
    solid = (~clear).nonzero().squeeze(1)
    if len(solid):
        layers.append(_shaded(surface, _samples(clip, mesh.faces[solid], solid, cameras, size), density))
    return _composited(layers, mesh)


def _samples(
    clip: Float[Tensor, "B V 4"],
    faces: Int[Tensor, "F 3"],
    names: Int[Tensor, " F"] | None,
    cameras: Cameras,
    size: tuple[int, int],
) -> Samples:
    """The covered samples of instanced faces; `names` turns rows of `faces` into faces of the mesh."""
    hit = rasterize(clip, faces, size)
    place = (hit.face_id.reshape(-1) >= 0).nonzero().squeeze(1)
    face = hit.face_id.reshape(-1)[place].long()
    return Samples(
        place=place,
        camera=place // (size[0] * size[1]),
        face=face if names is None else names[face],
        barycentric=hit.barycentric.reshape(-1, 3)[place],
        eye=cameras.position,
        view=cameras.view,
    )


def _peel(
    surface: Surface,
    clip: Tensor,
    clear: Bool[Tensor, " F"],
    cameras: Cameras,
    size: tuple[int, int],
    density: Tensor,
) -> list[_Layer]:
    """Transparent layers, nearest first; each view drops the faces it has already shown."""
    mesh, (count, vertices) = surface.mesh, clip.shape[:2]
    left = clear.expand(count, -1).clone()
    layers = []
    for _ in range(TRANSPARENT_LAYERS):
        view, face = left.nonzero(as_tuple=True)
        if not len(view):
            break
        number = torch.bincount(view, minlength=count)
        ranges = torch.stack([number.cumsum(0) - number, number], 1)
        packed = mesh.faces[face] + view[:, None] * vertices
        hit = rasterize(clip.reshape(-1, 4), packed, size, ranges=ranges)
        rows = hit.face_id.reshape(-1)
        place = (rows >= 0).nonzero().squeeze(1)
        if not len(place):
            break
        row = rows[place].long()
        samples = Samples(
            place=place,
            camera=view[row],
            face=face[row],
            barycentric=hit.barycentric.reshape(-1, 3)[place],
            eye=cameras.position,
            view=cameras.view,
        )
        layers.append(_shaded(surface, samples, density))
        left[view[row], face[row]] = False
    return layers


def _shaded(surface: Surface, samples: Samples, density: Tensor) -> _Layer:
    """The samples as they are seen, without those that are wholly transparent."""
    samples, seen = surface.shade(samples, density)
    layer = _Layer(
        samples.place, seen.color * seen.opacity, seen.opacity, seen.depth, seen.normal, seen.albedo
    )
    shown = (seen.opacity > 0).squeeze(1)
    if bool(shown.all()):
        return layer
    return _Layer(*(value[shown] for value in layer))


def _composited(layers: list[_Layer], mesh: Mesh) -> _Layer:
    """One layer out of many: each place's samples sorted by depth, nearer over farther."""
    places = torch.unique(torch.cat([layer.place for layer in layers])) if layers else mesh.faces.new_zeros(0)
    zero = mesh.positions.new_zeros(len(places), 3)
    if not len(places):
        return _Layer(places, zero, zero[:, :1], zero[:, :1], zero, zero)

    def spread(name: str, empty: float = 0.0) -> Tensor:
        columns = []
        for layer in layers:
            value = getattr(layer, name)
            row = torch.searchsorted(places, layer.place)
            columns.append(value.new_full((len(places), value.shape[1]), empty).index_copy(0, row, value))
        return torch.stack(columns)

    depth = spread("depth", torch.inf)
    order = depth.squeeze(-1).argsort(dim=0, stable=True)

    def ordered(name: str) -> Tensor:
        values = spread(name)
        return values.gather(0, order[..., None].expand(-1, -1, values.shape[2]))

    color, opacity = ordered("color"), ordered("opacity")
    through, total = torch.ones_like(opacity[0]), zero
    for layer in range(len(layers)):
        total = total + through * color[layer]
        through = through * (1 - opacity[layer])
    return _Layer(places, total, 1 - through, depth.amin(0), ordered("normal")[0], ordered("albedo")[0])


def _averaged(layer: _Layer, shape: tuple[int, int, int], samples: int) -> tuple[Tensor, ...]:
    """Squares of samples to pixels: rgba, mask, depth, normal, albedo."""
    _, height, width = shape
    row, column = layer.place // (width * samples), layer.place % (width * samples)
    pixel = row // samples * width + column // samples  # rows of all pictures run on: H·S rows to each
    count = shape[0] * height * width
    values = torch.cat(
        [layer.color, layer.opacity, torch.ones_like(layer.opacity), layer.albedo, layer.normal], 1
    )
    if samples == 1:
        total = values.new_zeros(count, 11).index_copy(0, pixel, values)
        depth = values.new_full((count,), torch.inf).index_copy(0, pixel, layer.depth[:, 0])
    else:
        total = values.new_zeros(count, 11).index_add(0, pixel, values) / samples**2
        depth = values.new_full((count,), torch.inf).scatter_reduce(0, pixel, layer.depth[:, 0], "amin")
    color, opacity, mask, albedo, normal = total.reshape(*shape, 11).split([3, 1, 1, 3, 3], -1)
    rgba = torch.cat([color / opacity.clamp(min=1e-8), opacity], -1)
    albedo = albedo / mask.clamp(min=1e-8)
    return rgba, mask.squeeze(-1), depth.reshape(shape), F.normalize(normal, dim=-1), albedo


def _shown(picture: Picture, shading: Shading) -> Tensor:
    """`rgba` for the asked-for shading."""
    if shading == "shaded":
        return picture.rgba
    mask = picture.mask[..., None]
    if shading == "albedo":
        return torch.cat([picture.albedo, picture.rgba[..., 3:]], -1)
    if shading == "normal":
        return torch.cat([srgb_to_linear((picture.normal + 1) / 2) * (mask > 0), mask], -1)
    if shading == "mask":
        return torch.cat([(mask > 0).to(mask).expand_as(picture.normal), mask], -1)
    seen = torch.isfinite(picture.depth)
    far = torch.where(seen, picture.depth, -torch.inf).amax((1, 2), keepdim=True)
    near = picture.depth.amin((1, 2), keepdim=True)
    share = torch.where(seen, (picture.depth - near) / (far - near).clamp(min=1e-6), 1.0)
    grey = srgb_to_linear(1 - 0.8 * share)
    return torch.cat([(grey * seen)[..., None].expand(-1, -1, -1, 3), mask], -1)
