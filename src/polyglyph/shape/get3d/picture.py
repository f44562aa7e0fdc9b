"""Generated meshes as pictures, differentiable down to the codes.

Legend: B batch, H W picture, K most covered pixels of a picture, V vertices of the whole batch.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from polyglyph.kernels.antialias import Topology, antialias
from polyglyph.kernels.flexicubes import activate, regular_grid
from polyglyph.kernels.interpolate import interpolate
from polyglyph.kernels.marching_tets import Surface, kuhn_lattice
from polyglyph.kernels.rasterize import rasterize
from polyglyph.scene.camera import Cameras
from polyglyph.scene.isosurface import Isosurface, extract, extract_cubes
from polyglyph.shape.get3d.codes import Codes, Field, Planes
from polyglyph.shape.get3d.generator import Generator

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
) -> Drawing:
    """Pictures of generated shapes, one camera each.

    The silhouette's gradient reaches SDF and deformation through the antialiased mask and, with
    `antialias_color`, through colour. With `position_gradient` colour also moves the surface inside the
    silhouette, through the points where it is looked up; the paper detaches them.
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
    )
    return Drawing(pictures, isosurface, None if field.weights is None else _mean_square(field.weights))


def _mean_square(weights: Float[Tensor, "B Q 21"]) -> Float[Tensor, ""]:
    used = (weights.detach() != 0).any(dim=2).sum() * weights.shape[2]
    return weights.square().sum() / used.clamp(min=1)


def paint(
    generator: Generator,
    planes: Planes,
    codes: Codes,
    surface: Surface,
    cameras: Cameras,
    resolution: int,
    *,
    antialias_color: bool = True,
    position_gradient: bool = False,
) -> Float[Tensor, "B 4 H W"]:
    """Pictures of surfaces coloured by the texture planes."""
    vertices, faces, ranges = surface.vertices, surface.faces, surface.face_ranges
    clip = clip_ragged(vertices, surface.vertex_ranges, cameras)
    fragments = rasterize(clip, faces, (resolution, resolution), ranges=ranges)
    with torch.set_grad_enabled(position_gradient and torch.is_grad_enabled()):
        points = interpolate(vertices, faces, fragments.face_id, fragments.barycentric)
    hit = fragments.face_id >= 0
    color = _color_covered(generator, planes, codes, points.flatten(1, 2), hit.flatten(1)).unflatten(
        1, hit.shape[1:]
    )
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


def _color_covered(
    generator: Generator,
    planes: Planes,
    codes: Codes,
    points: Float[Tensor, "B P 3"],
    hit: Tensor,
) -> Float[Tensor, "B P 3"]:
    """Colours where something was hit, -1 (black) elsewhere; only covered pixels ask the network."""
    most = max(int(hit.sum(dim=1).max()), 1)
    order = hit.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most, None]
    chosen = hit.gather(1, order[..., 0])
    colors = generator.colors(planes, codes, points.gather(1, order.expand(-1, -1, 3)))
    colors = torch.where(chosen[..., None], colors, -1.0)
    return torch.full_like(points, -1.0).scatter(1, order.expand(-1, -1, 3), colors)
