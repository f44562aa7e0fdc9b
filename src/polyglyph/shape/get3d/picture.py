"""Generated meshes as pictures, differentiable down to the codes.

Legend: B batch, H W picture, K most covered pixels of a picture, V vertices of the whole batch.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from polyglyph.kernels.antialias import Topology, antialias
from polyglyph.kernels.flexicubes import activate, regular_grid
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.marching_tets import Surface, kuhn_lattice
from polyglyph.kernels.rasterize import rasterize
from polyglyph.scene.camera import Cameras
from polyglyph.scene.isosurface import Isosurface, extract, extract_cubes
from polyglyph.scene.mesh import vertex_normals
from polyglyph.shape.get3d.codes import Codes, Field, Planes
from polyglyph.shape.get3d.generator import Generator
from polyglyph.shape.get3d.shading import Lighting, even_lighting, shaded

__all__ = ["Drawing", "cut_surface", "draw", "paint"]


class Drawing(NamedTuple):
    """Pictures, and what the regularisers need."""

    pictures: Float[Tensor, "B 4 H W"]
    """Colour in -1..1 over black, and the antialiased mask in 0..1."""
    isosurface: Isosurface
    weight_penalty: Float[Tensor, ""] | None = None
    """FlexiCubes: mean square of the weights before activation, over the cubes that the surface cuts."""


def cut_surface(generator: Generator, field: Field, resolution: int | None = None) -> Isosurface:
    """The meshes of a field, closed and guarded as the generator's config says.

    `resolution` is the field's lattice when it is not the trained one; vertices are displaced as far
    as on the trained one, because the displacement belongs to the field.
    """
    config = generator.isosurface
    cells = config.resolution if resolution is None else resolution
    device, dtype = field.sdf.device, field.sdf.dtype
    multiplier = config.deformation_multiplier * config.resolution / cells
    if config.method == "flexicubes":
        return extract_cubes(
            field.sdf,
            field.deformation,
            None if field.weights is None else activate(field.weights),
            regular_grid(cells).to(device, dtype),
            scale=config.scale,
            multiplier=multiplier,
            closed=config.close_boundary,
            training=generator.training,
        )
    return extract(
        field.sdf,
        field.deformation,
        kuhn_lattice(cells).to(device, dtype),
        scale=config.scale,
        multiplier=multiplier,
        closed=config.close_boundary,
        subdivisions=config.subdivisions,
        at=field.at,
    )


def draw(
    generator: Generator,
    codes: Codes,
    cameras: Cameras,
    resolution: int,
    *,
    antialias_color: bool = True,
    position_gradient: bool = False,
    lighting: Lighting | None = None,
) -> Drawing:
    """Pictures of generated shapes, one camera each.

    The silhouette's gradient reaches SDF and deformation through the antialiased mask and, with
    `antialias_color`, through colour. With `position_gradient` colour also moves the surface inside the
    silhouette, through the points where it is looked up; the paper detaches them. `lighting` lights
    generators with a material (evenly when left out), and its shading moves the surface through normals.
    """
    planes = generator.planes(codes)
    field = generator.field(planes, codes)
    isosurface = cut_surface(generator, field)
    pictures = paint(
        generator,
        planes,
        codes,
        isosurface.surface,
        cameras,
        resolution,
        antialias_color=antialias_color,
        position_gradient=position_gradient,
        lighting=lighting,
    )
    return Drawing(pictures, isosurface, None if field.weights is None else _mean_square(field.weights))


def _mean_square(weights: Float[Tensor, "B Q 21"]) -> Float[Tensor, ""]:
    used = (weights.detach() != 0).any(dim=2).sum() * weights.shape[2]
    return weights.square().sum() / used.clamp(min=1)


def paint(  # noqa: PLR0913 - what is drawn, from where, and how
    generator: Generator,
    planes: Planes,
    codes: Codes,
    surface: Surface,
    cameras: Cameras,
    resolution: int,
    *,
    antialias_color: bool = True,
    position_gradient: bool = False,
    lighting: Lighting | None = None,
) -> Float[Tensor, "B 4 H W"]:
    """Pictures of surfaces coloured by the texture planes."""
    vertices, faces, ranges = surface.vertices, surface.faces, surface.face_ranges
    clip = clip_ragged(vertices, surface.vertex_ranges, cameras)
    fragments = rasterize(clip, faces, (resolution, resolution), ranges=ranges)
    with torch.set_grad_enabled(position_gradient and torch.is_grad_enabled()):
        points = interpolate(vertices, faces, fragments.face_id, fragments.barycentric)
    hit = fragments.face_id >= 0
    covered = Covered.of(hit.flatten(1))
    values = generator.surface_values(planes, codes, covered.taken(points.flatten(1, 2)))
    if generator.config.material == "pbr":
        normals = interpolate(
            vertex_normals(vertices, faces), faces, fragments.face_id, fragments.barycentric
        )
        lighting = even_lighting(len(hit), vertices) if lighting is None else lighting
        view = cameras.position.to(points)[:, None] - covered.taken(points.flatten(1, 2))
        values = _lit(values, covered.taken(normals.flatten(1, 2)), view, lighting)
    color = covered.spread(values, -1.0).unflatten(1, hit.shape[1:])
    mask = hit[..., None].to(color.dtype)
    topology = Topology.of(faces)  # marching shares the vertices of neighbours
    if antialias_color:
        both = torch.cat((color, mask), dim=-1)
        both = antialias(both, fragments, clip, faces, ranges=ranges, topology=topology)
    else:
        softened = antialias(mask, fragments, clip, faces, ranges=ranges, topology=topology)
        both = torch.cat((color, softened), dim=-1)
    return both.permute(0, 3, 1, 2).contiguous()


def clip_ragged(
    vertices: Float[Tensor, "V 3"], vertex_ranges: Tensor, cameras: Cameras
) -> Float[Tensor, "V 4"]:
    """Packed vertices to clip space, each mesh by its own camera."""
    matrices = (cameras.projection @ cameras.view).to(vertices.dtype)
    parts = [
        vertices[first : first + count] @ matrix[:, :3].T + matrix[:, 3]
        for (first, count), matrix in zip(vertex_ranges.tolist(), matrices, strict=True)
    ]
    return torch.cat(parts)


class Covered(NamedTuple):
    """The covered pixels of each picture, in front of enough others that every picture has as many."""

    order: Tensor
    """Pixel numbers [B, K]."""
    real: Tensor
    """Which of them are covered [B, K]."""
    pixels: int

    @classmethod
    def of(cls, hit: Bool[Tensor, "B P"]) -> "Covered":
        """K is the largest number of covered pixels in a picture."""
        most = max(int(hit.sum(dim=1).max()), 1)
        order = hit.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        return cls(order, hit.gather(1, order), hit.shape[1])

    def taken(self, values: Float[Tensor, "B P C"]) -> Float[Tensor, "B K C"]:
        """The values at these pixels."""
        return values.gather(1, self.order[..., None].expand(-1, -1, values.shape[2]))

    def spread(self, values: Float[Tensor, "B K C"], background: float) -> Float[Tensor, "B P C"]:
        """Values back in their places, `background` where nothing was covered."""
        values = torch.where(self.real[..., None], values, background)
        empty = values.new_full((len(values), self.pixels, values.shape[2]), background)
        return empty.scatter(1, self.order[..., None].expand_as(values), values)


def _lit(values: Tensor, normals: Tensor, view: Tensor, lighting: Lighting) -> Float[Tensor, "B K 3"]:
    """Shaded colours of covered pixels; picture b under light b."""
    batch, most = values.shape[:2]
    index = torch.arange(batch, device=values.device).repeat_interleave(most)
    flat = (
        values.flatten(0, 1),
        F.normalize(normals.flatten(0, 1), dim=1),
        F.normalize(view.flatten(0, 1), dim=1),
    )
    return shaded(*flat, lighting, index).unflatten(0, (batch, most))
