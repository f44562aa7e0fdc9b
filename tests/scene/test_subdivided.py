"""Subdivision around the surface: finer where asked, closed whatever the field says."""

import pytest
import torch
import trimesh

from polyglyph.kernels.marching_tets import kuhn_lattice
from polyglyph.scene.isosurface import deform, extract


def lattice(cells: int):
    return kuhn_lattice(cells).to("cpu", torch.float64)


def balls(radii: list[float]):
    """SDFs of balls as `at` wants them, and on a lattice."""
    radius = torch.tensor(radii, dtype=torch.float64)[:, None]

    def at(u):
        return radius - u.norm(dim=-1) / 2, torch.zeros_like(u)

    return at


def closed(surface, index: int) -> trimesh.Trimesh:
    vertices, faces = surface.mesh(index)
    mesh = trimesh.Trimesh(vertices.detach().numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert len(mesh.referenced_vertices) == len(vertices)
    assert mesh.referenced_vertices.all()
    return mesh


def test_each_level_brings_balls_closer_to_their_radius():
    grid, at = lattice(8), balls([0.31, 0.4])
    sdf, raw = at((grid.positions * 2).expand(2, -1, -1))
    errors = []
    for levels in range(3):
        surface = extract(sdf, raw, grid, subdivisions=levels, at=at).surface
        for index, radius in enumerate((0.31, 0.4)):
            mesh = closed(surface, index)
            middles = torch.tensor(mesh.triangles_center).norm(dim=1)
            errors.append(float((middles - radius).abs().amax()))
    for coarse, fine in zip(errors[:-2], errors[2:], strict=True):
        assert fine < 0.4 * coarse  # a quarter, for linear pieces of a smooth surface


def test_without_a_field_the_surface_stays_where_it_was_and_gets_more_faces():
    grid = lattice(6)
    sdf, raw = balls([0.3])((grid.positions * 2)[None])
    plain = closed(extract(sdf, raw, grid).surface, 0)
    finer = closed(extract(sdf, raw, grid, subdivisions=1).surface, 0)
    assert len(finer.faces) > 2.5 * len(plain.faces)
    assert abs(finer.volume - plain.volume) < 1e-9 * plain.volume


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_a_rough_field_with_pieces_everywhere_stays_closed(seed, levels):
    """New vertices take any sign: free ones would open the surface where tetrahedra were left out."""
    grid = lattice(5)
    rng = torch.Generator().manual_seed(seed)
    sdf = torch.randn(3, grid.vertex_count, generator=rng, dtype=torch.float64) - 1.2
    raw = torch.randn(3, grid.vertex_count, 3, generator=rng, dtype=torch.float64)

    def at(u):
        wild = torch.sin(u @ torch.tensor([31.0, 57.0, 83.0], dtype=torch.float64) * (seed + 1))
        return wild, u * 0.1

    surface = extract(sdf, raw, grid, subdivisions=levels, at=at).surface
    for index in range(3):
        closed(surface, index)


def test_meshes_come_in_the_order_of_the_batch_and_alone_they_are_the_same():
    grid, at = lattice(6), balls([0.2, 0.35, 0.27])
    sdf, raw = at((grid.positions * 2).expand(3, -1, -1))
    together = extract(sdf, raw, grid, subdivisions=1, at=at).surface
    for index, radius in enumerate((0.2, 0.35, 0.27)):
        alone = extract(
            sdf[index : index + 1], raw[index : index + 1], grid, subdivisions=1, at=balls([radius])
        ).surface
        vertices, faces = together.mesh(index)
        torch.testing.assert_close(vertices, alone.vertices)
        assert torch.equal(faces, alone.faces)


def test_new_vertices_are_asked_where_they_lie_and_move_by_what_they_are_told():
    grid = lattice(6)
    push = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)
    ball = balls([0.3])

    def at(u):
        return ball(u)[0], push.expand_as(u)

    sdf, _ = ball((grid.positions * 2)[None])
    still = extract(sdf, None, grid, subdivisions=1, at=ball).surface.vertices
    moved = extract(sdf, push.expand(1, grid.vertex_count, 3), grid, subdivisions=1, at=at).surface.vertices
    zero = torch.zeros(1, 3, dtype=torch.float64)
    by = deform(zero, push[None, None], grid.resolution)[0]
    torch.testing.assert_close(moved - still, by.expand_as(still))


def test_gradients_reach_the_values_of_old_and_new_vertices():
    grid, scale = lattice(4), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    sdf = (0.3 - grid.positions.norm(dim=1))[None].requires_grad_()

    def at(u):
        return scale - u.norm(dim=-1) / 2, torch.zeros_like(u)

    vertices = extract(sdf, None, grid, subdivisions=1, at=at).surface.vertices
    old, new = torch.autograd.grad(vertices.norm(dim=1).sum(), (sdf, scale))
    assert old.any()
    assert new > 0
