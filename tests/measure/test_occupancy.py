"""Occupied cells against solids whose inside is known, exact rays, and openings of known size."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure import depth_maps
from polyglyph.measure.occupancy import occupancy, volumetric_iou

LOWER, UPPER = torch.full((3,), -0.5), torch.full((3,), 0.5)
UNIT: dict[str, Any] = {"lower": LOWER, "upper": UPPER}


def tensors(mesh: trimesh.Trimesh) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.array(mesh.vertices)).float(), torch.from_numpy(np.array(mesh.faces)).long()


def box(*sides: float, at: tuple[float, ...] = (0, 0, 0)) -> tuple[torch.Tensor, torch.Tensor]:
    positions, faces = tensors(trimesh.creation.box(sides))
    return positions + torch.tensor(at), faces


def without_lid(*sides: float) -> tuple[torch.Tensor, torch.Tensor]:
    mesh = trimesh.creation.box(sides)
    mesh.update_faces(mesh.face_normals[:, 1] < 0.9)
    return tensors(mesh)


def joined(*meshes: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    starts = np.cumsum([0] + [len(positions) for positions, _ in meshes])
    faces = [rows + int(start) for (_, rows), start in zip(meshes, starts, strict=False)]
    return torch.cat([positions for positions, _ in meshes]), torch.cat(faces)


def sheet(side: float, z: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    a = side / 2
    return torch.tensor([[-a, -a, z], [a, -a, z], [a, a, z], [-a, a, z]]), torch.tensor(
        [[0, 1, 2], [0, 2, 3]]
    )


def centres(resolution: int) -> torch.Tensor:
    """[R, R, R, 3] of the unit grid."""
    line = (torch.arange(resolution) + 0.5) / resolution - 0.5
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)


def turn() -> torch.Tensor:
    return torch.from_numpy(trimesh.transformations.rotation_matrix(0.7, [1, 2, -1])[:3, :3]).float()


def test_a_sphere_holds_exactly_the_centres_inside_it():
    found = occupancy(*tensors(trimesh.creation.icosphere(subdivisions=5, radius=0.4)), **UNIT)
    assert found.shape == (64, 64, 64)
    wrong = found != (centres(64).norm(dim=-1) < 0.4)
    assert int(wrong.sum()) <= 10
    assert float(found.float().mean()) == pytest.approx(4 / 3 * math.pi * 0.4**3, rel=0.002)


def test_a_turned_box_holds_exactly_the_centres_inside_it():
    sides = torch.tensor([0.7, 0.5, 0.2])
    positions, faces = box(*sides.tolist())
    found = occupancy(positions @ turn().T, faces, **UNIT)
    inside = ((centres(64) @ turn()).abs() < sides / 2).all(dim=-1)
    assert int((found != inside).sum()) <= 0.002 * int(inside.sum())


def test_the_hole_of_a_ring_is_free():
    ring = trimesh.creation.torus(0.3, 0.1, major_sections=96, minor_sections=48)
    x, y, z = centres(64).unbind(dim=-1)
    inside = (torch.hypot(x, y) - 0.3) ** 2 + z**2 < 0.1**2
    found = occupancy(*tensors(ring), **UNIT)
    assert int((found != inside).sum()) <= 0.005 * int(inside.sum())


def test_axes_of_the_grid_are_x_y_z_and_cells_fill_its_box():
    frame: dict[str, Any] = {"lower": torch.tensor([0.5, 1.5, 2.5]), "upper": torch.tensor([1.5, 3.5, 3.5])}
    found = occupancy(*box(0.8, 0.4, 0.2, at=(1, 2, 3)), **frame, resolution=20)
    assert found.any(dim=2).any(dim=1).nonzero().flatten().tolist() == list(range(2, 18))
    assert found.any(dim=2).any(dim=0).nonzero().flatten().tolist() == list(range(3, 7))
    assert found.any(dim=1).any(dim=0).nonzero().flatten().tolist() == list(range(8, 12))


def hidden_by_rays(positions: torch.Tensor, faces: torch.Tensor, resolution: int, views: int) -> torch.Tensor:
    """Cells from whose centre every ray towards a camera hits a face, one face at a time in float64."""
    cells = centres(resolution).reshape(-1, 3).double()
    hidden = torch.ones(len(cells), dtype=torch.bool)
    for step in range(views):
        y, angle = 1 - (2 * step + 1) / views, math.pi * (3 - math.sqrt(5)) * step
        ring = math.sqrt(1 - y * y)
        ray = torch.tensor([ring * math.sin(angle), y, ring * math.cos(angle)], dtype=torch.float64)
        hit = torch.zeros(len(cells), dtype=torch.bool)
        for a, b, c in positions.double()[faces]:
            weights = torch.linalg.solve(torch.stack([b - a, c - a, -ray], dim=1), (cells - a).T)
            hit |= (weights >= 0).all(dim=0) & (weights[0] + weights[1] <= 1)
        hidden &= hit
    return hidden.reshape(resolution, resolution, resolution)


def test_cells_among_loose_faces_are_hidden_as_exact_rays_say():
    rng = torch.Generator().manual_seed(3)
    soup = torch.randn(40, 3, 3, generator=rng) * 0.4 + torch.randn(40, 1, 3, generator=rng) * 0.1
    mesh = soup.reshape(-1, 3), torch.arange(120).reshape(-1, 3)
    exact = hidden_by_rays(*mesh, 16, 24)
    found = occupancy(*mesh, **UNIT, resolution=16, views=24, picture=1024)
    assert 0.1 < float(exact.float().mean()) < 0.9
    assert float((exact != found).float().mean()) < 0.01


def test_with_one_view_everything_behind_a_sheet_is_hidden():
    found = occupancy(*sheet(0.5, z=0.1), **UNIT, views=1)  # the camera is on +Z
    x, y, z = centres(64).unbind(dim=-1)
    behind = (x.abs() < 0.25) & (y.abs() < 0.25) & (z < 0.1)
    assert found[behind].all()
    around = (x.abs() < 0.26) & (y.abs() < 0.26) & (z < 0.1)  # wider by a pixel
    assert not found[~around].any()


def test_winding_inner_faces_and_doubled_walls_do_not_matter():
    outer, inner = box(0.7, 0.5, 0.6), box(0.3, 0.2, 0.1)
    expected = occupancy(*outer, **UNIT, resolution=32, picture=256)
    positions, faces = outer
    assert torch.equal(occupancy(positions, faces.flip(1), **UNIT, resolution=32, picture=256), expected)
    assert torch.equal(occupancy(*joined(outer, outer), **UNIT, resolution=32, picture=256), expected)
    shell = joined(outer, (inner[0], inner[1].flip(1)))
    assert torch.equal(occupancy(*shell, **UNIT, resolution=32, picture=256), expected)


def test_a_cube_without_its_lid_is_hollow_and_a_deep_shaft_is_not():
    def hidden(*sides: float) -> float:
        """The share of the closed box that stays occupied without its lid."""
        opened, closed = (occupancy(*mesh(*sides), **UNIT, picture=256) for mesh in (without_lid, box))
        return int(opened.sum()) / int(closed.sum())

    assert hidden(0.8, 0.8, 0.8) < 0.02
    assert hidden(0.8, 0.2, 0.8) < 0.02
    assert 0.05 < hidden(0.2, 0.8, 0.2) < 0.2
    assert 0.7 < hidden(0.05, 0.8, 0.05) < 0.9


def test_through_a_small_hole_only_what_views_reach_is_free():
    found = []
    for half in (0.2, 0.1, 0.025):
        a = 0.4
        rim = [(-a, a, -a), (a, a, -a), (a, a, a), (-a, a, a)]
        rim += [(math.copysign(half, x), a, math.copysign(half, z)) for x, _, z in rim]
        quads = [(i, (i + 1) % 4, 4 + (i + 1) % 4, 4 + i) for i in range(4)]
        lid = [face for i, j, k, m in quads for face in ((i, j, k), (i, k, m))]
        holed = joined(without_lid(0.8, 0.8, 0.8), (torch.tensor(rim), torch.tensor(lid)))
        found.append(float(occupancy(*holed, **UNIT, picture=256).float().mean()) / 0.8**3)
    assert found[0] < 0.1
    assert found[1] == pytest.approx(0.37, abs=0.05)
    assert found[2] > 0.9


def test_a_plate_has_volume_where_it_holds_centres():
    thick = occupancy(*box(0.8, 0.6, 2.2 / 64), **UNIT)
    assert thick.any(dim=1).any(dim=0).nonzero().flatten().tolist() == [31, 32]
    assert int(thick.sum()) == pytest.approx(2 * 0.8 * 0.6 * 64**2, rel=0.03)
    assert not occupancy(*box(0.8, 0.6, 0.8 / 64), **UNIT).any()
    assert not occupancy(*sheet(0.8), **UNIT).any()


def test_a_mesh_may_be_larger_than_the_grid():
    assert occupancy(*box(9, 9, 9), **UNIT, resolution=8).all()
    found = occupancy(*box(9, 9, 9, at=(4.5, 0, 0)), **UNIT, resolution=8, picture=256)
    assert torch.equal(found, centres(8)[..., 0] > 0)


@pytest.mark.parametrize("at_once", [1, 1 << 17, 1 << 30])
def test_how_many_views_are_drawn_together_changes_nothing(at_once, monkeypatch):
    mesh = tensors(trimesh.creation.icosphere(subdivisions=2, radius=0.4))
    expected = occupancy(*mesh, **UNIT, resolution=16, picture=128)
    monkeypatch.setattr(depth_maps, "AT_ONCE", at_once)
    assert torch.equal(occupancy(*mesh, **UNIT, resolution=16, picture=128), expected)


def test_views_are_spread_evenly_and_their_frames_are_right_handed():
    frames = depth_maps.frames(100)
    torch.testing.assert_close(frames @ frames.mT, torch.eye(3).double().expand(100, 3, 3))
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(100).double())
    back = frames[:, 2]
    assert back.sum(dim=0).norm() < 0.5
    angle = (back @ back.T - 2 * torch.eye(100)).amax(dim=1).clamp(max=1).acos().rad2deg()
    assert 14 < float(angle.min()) < float(angle.max()) < 25


def test_overlapping_boxes_have_the_known_intersection_over_union():
    a, b = box(0.6, 0.6, 0.6), box(0.6, 0.6, 0.6, at=(0.2, 0.3, 0))
    shared = 0.4 * 0.3 * 0.6
    expected = shared / (2 * 0.6**3 - shared)
    found = volumetric_iou(*a, *b, picture=256)
    assert found == pytest.approx(expected, abs=0.01)
    assert volumetric_iou(*b, *a, picture=256) == found


def test_a_ball_in_its_cube_fills_pi_sixths():
    ball = tensors(trimesh.creation.icosphere(subdivisions=4, radius=0.5))
    assert volumetric_iou(*ball, *box(1, 1, 1), picture=256) == pytest.approx(math.pi / 6, abs=0.005)


def test_equal_meshes_have_one_and_meshes_apart_none_at_any_place_and_size():
    a = box(0.6, 0.3, 0.5)
    far = a[0] * 1000 + 5000, a[1]
    assert volumetric_iou(*a, *a, resolution=32, picture=256) == 1
    assert volumetric_iou(*far, *far, resolution=32, picture=256) == 1
    assert volumetric_iou(*a, *box(0.6, 0.3, 0.5, at=(2, 0, 0)), resolution=32, picture=256) == 0


def test_sheets_have_no_volume_to_compare():
    with pytest.raises(DataError, match="neither mesh hides a cell") as caught:
        volumetric_iou(*sheet(1), *sheet(1), resolution=16, picture=128)
    assert caught.value.fix
    assert volumetric_iou(*sheet(1), *box(1, 1, 1), resolution=16, picture=128) == 0


def with_nan() -> torch.Tensor:
    positions, _ = box(1, 1, 1)
    positions[3, 1] = math.nan
    return positions


@pytest.mark.parametrize(
    ("positions", "faces", "message"),
    [
        (box(1, 1, 1)[0], torch.zeros(0, 3, dtype=torch.int64), "has no faces"),
        (with_nan(), box(1, 1, 1)[1], "has a vertex that is not finite"),
    ],
)
def test_meshes_without_a_surface_are_refused(positions, faces, message):
    for measure in (
        lambda: occupancy(positions, faces, **UNIT),
        lambda: volumetric_iou(*box(1, 1, 1), positions, faces),
    ):
        with pytest.raises(DataError, match=message) as caught:
            measure()
        assert caught.value.fix


@pytest.mark.parametrize(
    "upper", [[0.5, -0.5, 0.5], [0.5, -0.7, 0.5], [0.5, math.nan, 0.5], [math.inf, 1, 1]]
)
def test_a_box_without_inside_is_refused(upper):
    with pytest.raises(DataError, match="has no inside") as caught:
        occupancy(*box(1, 1, 1), lower=LOWER, upper=torch.tensor(upper))
    assert caught.value.fix


def test_all_vertices_in_one_point_are_refused_by_the_comparison():
    positions, faces = box(1, 1, 1)
    with pytest.raises(DataError, match="has no inside"):
        volumetric_iou(positions * 0, faces, positions * 0, faces)


@pytest.mark.parametrize("setting", [{"resolution": 0}, {"views": 0}, {"picture": 3}])
def test_numbers_that_are_too_small_are_refused(setting):
    with pytest.raises(ConfigError, match="`resolution` is") as caught:
        occupancy(*box(1, 1, 1), **UNIT, **setting)
    assert caught.value.fix
