import numpy as np
import pytest
import torch

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.model import Material, Part
from polyglyph.scene.mesh import Mesh, face_normals, vertex_normals
from polyglyph.scene.normals import crease_normals, weld


def part(shape, **fields) -> Part:
    positions, faces = shape
    return Part(positions=positions, faces=faces, **fields)


def test_normals_of_a_sphere_point_outward(shapes):
    positions, faces = shapes["sphere"]()
    normals = vertex_normals(torch.tensor(positions), torch.tensor(faces))
    assert (normals * torch.tensor(positions)).sum(1).min() > 0.99


def test_face_normals_are_twice_the_area(shapes):
    positions, faces = shapes["box"]()
    assert torch.allclose(
        face_normals(torch.tensor(positions), torch.tensor(faces)).norm(dim=1), torch.ones(12)
    )


def test_vertex_normals_pass_gradcheck(shapes):
    positions, faces = shapes["box"]()
    points = (torch.tensor(positions).double() + 0.05 * torch.randn(8, 3).double()).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: vertex_normals(p, torch.tensor(faces)), (points,))


def test_a_vertex_without_faces_points_up():
    normals = vertex_normals(torch.zeros(1, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert normals.tolist() == [[0, 1, 0]]


def test_a_box_without_normals_gets_sharp_edges_and_a_sphere_stays_smooth(shapes):
    cube = Mesh.from_parts([part(shapes["box"]())])
    assert len(cube.positions) == 24
    flat = torch.nn.functional.normalize(face_normals(cube.positions, cube.faces), dim=1)
    torch.testing.assert_close(cube.normals[cube.faces], flat[:, None].expand(-1, 3, -1))
    positions, faces = shapes["sphere"]()
    assert len(Mesh.from_parts([part((positions, faces))]).positions) == len(positions)


def test_crease_normals_ignore_how_vertices_are_shared(shapes):
    positions, faces = shapes["sphere"](8)
    apart = positions[faces.reshape(-1)]
    loose = np.arange(len(apart), dtype=np.int32).reshape(-1, 3)
    together = crease_normals(positions, faces, 60.0)
    np.testing.assert_allclose(crease_normals(apart, loose, 60.0), together, atol=1e-6)


def test_a_crowded_point_still_gets_sensible_normals():
    count = 400  # a cone's tip has more faces than are compared pair by pair
    angle = np.arange(count) * 2 * np.pi / count
    ring = np.stack([np.cos(angle), np.full(count, -0.2), np.sin(angle)], 1)
    positions = np.concatenate([[[0, 0, 0]], ring]).astype(np.float32)
    faces = np.stack([np.zeros(count), (np.arange(count) + 1) % count + 1, np.arange(count) + 1], 1).astype(
        np.int32
    )
    normals = crease_normals(positions, faces, 40.0)
    np.testing.assert_allclose(normals[:, 0], np.broadcast_to([0, 1, 0], (count, 3)), atol=1e-3)
    sharp = crease_normals(positions * [1, 20, 1], faces, 40.0)
    assert np.abs(np.linalg.norm(sharp, axis=2) - 1).max() < 1e-5
    assert sharp[:, 0, 1].max() < 0.5


def test_given_normals_are_kept_and_broken_ones_replaced(shapes):
    positions, faces = shapes["box"]()
    given = np.broadcast_to(np.float32([0, 0, 2]), positions.shape).copy()
    mesh = Mesh.from_parts([part((positions, faces), normals=given)])
    torch.testing.assert_close(mesh.normals, torch.tensor([[0.0, 0, 1]]).expand(8, 3))
    given[3] = 0
    assert len(Mesh.from_parts([part((positions, faces), normals=given)]).positions) == 24


def test_parts_come_back_as_they_went_in(shapes, make_square):
    shared = Material(name="oak", base_color=(0.5, 0.4, 0.3, 1.0))
    image = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    first = make_square(material=Material(name="cloth", base_color_image=image))
    first.name = "seat"
    second, third = (part(shapes[name](), material=shared, name=name) for name in ("box", "torus"))
    mesh = Mesh.from_parts([first, second, third])
    assert mesh.materials[1] is mesh.materials[2]
    back = mesh.to_parts()
    assert [p.name for p in back] == ["seat", "box", "torus"]
    assert back[1].material is back[2].material is shared
    np.testing.assert_array_equal(back[0].positions[back[0].faces], first.positions[first.faces])
    np.testing.assert_array_equal(back[0].uvs[back[0].faces], first.uvs[first.faces])
    assert back[0].material.base_color_image is image
    assert back[1].uvs is None
    np.testing.assert_array_equal(back[2].positions[back[2].faces], third.positions[third.faces])


def test_a_picture_without_coordinates_is_left_out(shapes):
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    mesh = Mesh.from_parts([part(shapes["box"](), material=Material(base_color_image=image))])
    assert mesh.materials[0].base_color_image is None


@pytest.mark.parametrize(("mode", "expected"), [("box", 0.7), ("sphere", 0.7)])
def test_normalised_meshes_fit_and_are_centred(mode, expected, shapes):
    positions, faces = shapes["torus"]()
    mesh = Mesh.from_parts([part((positions * [1, 3, 2] + 5, faces))]).normalised(mode, 0.7)
    low, high = mesh.bounds()
    torch.testing.assert_close(low + high, torch.zeros(3), atol=1e-6, rtol=0)
    size = (high - low).max() if mode == "box" else 2 * mesh.positions.norm(dim=1).max()
    assert abs(float(size) - expected) < 1e-5


def test_a_stray_vertex_does_not_count_in_the_bounds():
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [99, 99, 99]], dtype=np.float32)
    mesh = Mesh.from_parts([Part(positions=positions, faces=np.array([[0, 1, 2]], dtype=np.int32))])
    assert mesh.bounds().max() == 1


def test_a_mirrored_mesh_still_faces_outward(shapes):
    mesh = Mesh.from_parts([part(shapes["sphere"]())])
    mirrored = mesh.transformed(torch.diag(torch.tensor([-1.0, 2.0, 1.0])), torch.tensor([3.0, 0.0, 0.0]))
    centred = mirrored.positions - torch.tensor([3.0, 0.0, 0.0])
    assert ((mirrored.normals * centred).sum(1) > 0).all()
    flat = face_normals(mirrored.positions, mirrored.faces)
    assert ((flat * mirrored.normals[mirrored.faces].mean(1)).sum(1) > 0).all()


def test_joined_meshes_keep_their_materials(shapes, make_square):
    one = Mesh.from_parts([make_square(material=Material(name="a"))])
    two = Mesh.from_parts([part(shapes["box"](), material=Material(name="b"))])
    both = Mesh.concatenated([one, two])
    assert both.names == ["part", "part"]
    assert [m.name for m in both.materials] == ["a", "b"]
    assert both.material_id.tolist() == [0, 0] + [1] * 12
    torch.testing.assert_close(both.positions[both.faces[2:]], two.positions[two.faces])
    assert both.uvs is not None
    assert both.uvs[4:].eq(0).all()


def test_weld_finds_equal_rows_and_takes_both_zeros_for_one():
    rows = np.array([[0.0, 1], [2, 3], [-0.0, 1], [2, 4]])
    label = weld(rows)
    assert label[0] == label[2]
    assert len(set(label.tolist())) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"faces": np.zeros((0, 3), np.int32)}, "no faces"),
        ({"positions": np.full((8, 3), np.nan, np.float32)}, "not finite"),
        ({"faces": np.array([[0, 1, 8]], np.int32)}, "not there"),
        ({"faces": np.array([[0, 1, -1]], np.int32)}, "not there"),
    ],
)
def test_broken_parts_are_refused_by_name(fields, words, shapes):
    positions, faces = shapes["box"]()
    with pytest.raises(DataError, match=words):
        Mesh.from_parts([Part(**{"positions": positions, "faces": faces, **fields})])


def test_a_mesh_without_extent_and_an_unknown_mode_are_refused(shapes, unchecked):
    positions, faces = shapes["box"]()
    with pytest.raises(DataError, match="extent"):
        Mesh.from_parts([part((positions * 0, faces))]).normalised()
    with pytest.raises(ConfigError, match="normalise"):
        Mesh.from_parts([part((positions, faces))]).normalised("cube")  # type: ignore[arg-type]
