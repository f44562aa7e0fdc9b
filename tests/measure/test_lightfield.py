"""Light Field Distance against the program that defined it, and what leaves it alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.meshes import read_mesh
from polyglyph.measure.light_field_cameras import alignments, light_fields
from polyglyph.measure.lightfield import features, light_field_distances, silhouettes
from polyglyph.scene.mesh import Mesh

MESHES = Path(__file__).parents[1] / "data" / "meshes"
RECORDED = json.loads(Path(__file__).with_name("light_field_distances.json").read_text())
"""What "3DAlignment v1.8" (as `light-field-distance` 507a8dd carries it, drawn by Mesa 22.3 with llvmpipe)
says of ten models, with the eccentricities of both meshes read: row i is the distances of model i to those
after it."""


@pytest.fixture(scope="module")
def described() -> torch.Tensor:
    return torch.stack([features(*geometry(name)) for name in RECORDED["models"]])


def geometry(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    mesh = Mesh.from_parts(read_mesh(MESHES / name).parts)
    return mesh.positions, mesh.faces


def test_distances_are_those_of_the_original_program(described):
    found = light_field_distances(described, described).double().numpy()
    upper = np.triu_indices(len(found), 1)
    expected = np.concatenate(RECORDED["rows"])
    assert len(expected) == 45
    np.testing.assert_allclose(found[upper], expected, rtol=0.005)
    assert spearmanr(found[upper], expected)[0] > 0.999
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()


def test_size_place_and_subdivision_change_nothing(described):
    name = "chair2.ply"
    positions, faces = geometry(name)
    own = described[RECORDED["models"].index(name)]
    moved = positions.double() * 0.037 + torch.tensor([5.0, -3.0, 0.2])
    corners = positions[faces]
    middles = (corners + corners.roll(-1, dims=1)) / 2
    (a, b, c), (ab, bc, ca) = corners.unbind(1), middles.unbind(1)
    finer = torch.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], dim=1).reshape(-1, 3)
    others = [features(moved, faces), features(finer, torch.arange(len(finer)).view(-1, 3))]
    assert light_field_distances([own], others).tolist() == [[0, 0]]


def test_more_light_fields_see_less_of_a_turn(described):
    name = "chair2.ply"
    positions, faces = geometry(name)
    own = {10: described[RECORDED["models"].index(name)], 80: features(positions, faces, count=80)}
    assert own[80].shape == (80, 10, 47)
    for degrees in (5.0, 33.0):
        angle = torch.tensor(degrees).deg2rad()
        x, y, z = positions.unbind(1)
        turned = torch.stack([x * angle.cos() + z * angle.sin(), y, z * angle.cos() - x * angle.sin()], dim=1)
        seen = {
            count: int(light_field_distances([own[count]], [features(turned, faces, count=count)]))
            for count in own
        }
        assert 500 < seen[10] < 4000
        assert 0 < seen[80] < 0.6 * seen[10]


def test_any_number_of_light_fields_is_spread_evenly():
    towards = light_fields(60)
    assert towards.shape == (60, 10, 3)
    some = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    directions = torch.nn.functional.normalize(some)
    nearest = (directions.double() @ towards.reshape(-1, 3).T).abs().amax(dim=1)
    assert torch.acos(nearest.clamp(max=1)).rad2deg().max() < 8
    with pytest.raises(ConfigError, match="needs a light field") as caught:
        light_fields(0)
    assert caught.value.fix


def test_cameras_stand_on_ten_dodecahedra():
    towards = light_fields()
    torch.testing.assert_close(towards.norm(dim=-1), torch.ones(10, 10, dtype=torch.float64))
    within = (towards @ towards.transpose(1, 2)).abs()
    off = within[:, ~torch.eye(10, dtype=torch.bool)]
    assert torch.acos(off.max()).rad2deg().item() == pytest.approx(41.81, abs=0.01)
    everything = (towards.reshape(-1, 3) @ towards.reshape(-1, 3).T).abs().fill_diagonal_(0)
    nearest = torch.acos(everything.amax(dim=1)).rad2deg()
    assert nearest.min().item() == pytest.approx(4.2, abs=0.05)
    assert nearest.max().item() == pytest.approx(15.9, abs=0.05)


def test_alignments_are_a_group_that_keeps_angles():
    rows = {tuple(row) for row in alignments().tolist()}
    assert len(rows) == 60
    assert tuple(range(10)) in rows
    assert all(tuple(p[q[v]] for v in range(10)) in rows for p in rows for q in list(rows)[:7])
    cosine = (light_fields()[0] @ light_fields()[0].T).abs()
    for row in rows:
        assert torch.allclose(cosine[list(row)][:, list(row)], cosine, atol=1e-5)


def test_silhouettes_stand_upright_and_half_fill_the_picture():
    column = torch.tensor([[0.0, 0, 0], [0.2, 0, 0], [0, 0, 0.2], [0.1, 2, 0.1]])
    seen = silhouettes(column, torch.tensor([[0, 1, 3], [1, 2, 3], [2, 0, 3], [0, 2, 1]]))
    assert seen.shape == (10, 10, 256, 256)
    view = int(light_fields()[0, :, 1].abs().argmin())  # nearest to the horizon
    rows = seen[0, view].any(dim=1).nonzero()[:, 0]
    assert 120 <= len(rows) <= 132
    width = seen[0, view].sum(dim=1)
    assert width[rows[5]] < width[rows[-10]]  # the point is at the top
    unused = torch.cat([column, torch.full((1, 3), float("nan"))])
    faces = torch.tensor([[0, 1, 3], [1, 2, 3], [2, 0, 3], [0, 2, 1]])
    assert torch.equal(silhouettes(unused, faces), seen)


@pytest.mark.parametrize(
    ("positions", "faces", "message"),
    [
        (torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64), "no faces"),
        (torch.ones(3, 3), torch.tensor([[0, 1, 2]]), "one point"),
        (
            torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, float("inf"), 0]]),
            torch.tensor([[0, 1, 2]]),
            "not finite",
        ),
    ],
)
def test_meshes_without_a_shape_are_refused(positions, faces, message):
    with pytest.raises(DataError, match=message) as caught:
        features(positions, faces)
    assert caught.value.fix


def test_a_flat_shape_has_an_edge_on_view():
    flat = torch.tensor([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    told = features(flat, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    assert light_field_distances([told], [told]).item() == 0
