import numpy as np
import pytest
import torch

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.model import Material, Part
from polyglyph.scene.camera import orbit
from polyglyph.scene.export import ExportOptions, Textures, textured, textured_part
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render
from polyglyph.scene.tangents import tangents

QUICK = ExportOptions(unwrap="box")


def colours(points: torch.Tensor) -> torch.Tensor:
    return (points * 0.5 + 0.5).clamp(0, 1)


def test_a_baked_part_looks_like_its_field(shapes):
    positions, faces = shapes["sphere"](24, 0.4)
    part = textured_part(positions, faces, colours, texture_resolution=256, options=QUICK)
    picture = render(Mesh.from_parts([part]), orbit(30.0, 20.0), 192, shading="albedo", supersample=1)
    hit = torch.isfinite(picture.depth)[0]
    surface = picture.normal[0][hit] * 0.4
    error = (picture.albedo[0][hit] - colours(surface)).abs()
    assert float(error.mean()) < 0.005
    assert float(error.max()) < 0.03


def test_srgb_fields_are_written_as_they_are_and_linear_ones_encoded(shapes):
    positions, faces = shapes["box"]()

    def grey(points):
        return torch.full((len(points), 3), 0.5)

    plain = textured_part(positions, faces, grey, texture_resolution=16, options=QUICK)
    coded = textured_part(
        positions, faces, Textures(color=grey, color_encoding="srgb"), texture_resolution=16, options=QUICK
    )
    assert np.unique(plain.material.base_color_image).tolist() == [188]
    assert np.unique(coded.material.base_color_image).tolist() == [128]


def test_crumbs_are_dropped_and_faces_limited(shapes):
    positions, faces = shapes["torus"](64, 32)
    crumb, its_faces = shapes["box"](0.05)
    both = np.concatenate([positions, crumb + 2])
    all_faces = np.concatenate([faces, its_faces + len(positions)]).astype(np.int32)
    done = textured(both, all_faces, colours, faces_limit=1000, texture_resolution=64, options=QUICK)
    assert done.faces_before == len(all_faces)
    assert len(done.part.faces) <= 1000
    assert done.part.positions.max() < 1.5
    assert done.atlas.method == "box"
    assert np.abs(np.linalg.norm(done.part.normals, axis=1) - 1).max() < 1e-5


def test_the_given_material_is_kept_where_nothing_is_baked(shapes):
    positions, faces = shapes["box"]()
    given = Material(name="steel", metallic=0.9, roughness=0.2, base_color=(0.1, 0.2, 0.3, 1.0))
    part = textured_part(positions, faces, colours, texture_resolution=16, material=given, options=QUICK)
    assert (part.material.name, part.material.metallic, part.material.roughness) == ("steel", 0.9, 0.2)
    assert part.material.base_color == (1, 1, 1, 1)
    assert given.base_color == (0.1, 0.2, 0.3, 1.0)


def test_orm_is_baked_linearly_and_its_factors_become_one(shapes):
    positions, faces = shapes["box"]()
    fields = Textures(color=colours, orm=lambda points: torch.tensor([1.0, 0.5, 0.25]).expand(len(points), 3))
    part = textured_part(positions, faces, fields, texture_resolution=16, options=QUICK)
    assert part.material.orm_image[8, 8].tolist() == [255, 128, 64]
    assert part.material.roughness == part.material.metallic == 1


def test_a_baked_normal_map_makes_a_coarse_ball_shade_like_a_fine_one(shapes):
    positions, faces = shapes["sphere"](8, 0.4)
    fields = Textures(color=colours, normal=lambda points: points)
    part = textured_part(positions, faces, fields, texture_resolution=256, options=QUICK)
    assert part.tangents is not None
    picture = render(Mesh.from_parts([part]), orbit(30.0, 20.0), 48, supersample=1)
    hit = torch.isfinite(picture.depth)[0]
    # where each pixel's surface point is, from its depth
    camera = orbit(30.0, 20.0)
    row, column = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    x, y = (column + 0.5) / 24 - 1, 1 - (row + 0.5) / 24
    depth = picture.depth[0][hit]
    local = torch.stack(
        [x[hit] * depth * 16 / 35, y[hit] * depth * 16 / 35, -depth, torch.ones_like(depth)], 1
    )
    point = (torch.linalg.inv(camera.view[0]) @ local.T).T[:, :3]
    direction = torch.nn.functional.normalize(point, dim=1)
    cosine = (picture.normal[0][hit] * direction).sum(1)
    assert float(cosine.mean()) > 0.9998
    assert float(cosine.quantile(0.01)) > 0.998


def test_tangents_run_along_u_and_their_sign_makes_v_up(make_square):
    part = make_square()
    found = tangents(part.positions, part.faces, part.normals, part.uvs)
    np.testing.assert_allclose(found, np.broadcast_to([1, 0, 0, 1], (4, 4)), atol=1e-6)
    mirrored = tangents(part.positions, part.faces, part.normals, part.uvs * [-1, 1] + [1, 0])
    np.testing.assert_allclose(mirrored, np.broadcast_to([-1, 0, 0, -1], (4, 4)), atol=1e-6)


def test_tangents_are_unit_and_at_right_angles_even_without_texture_area(shapes):
    positions, faces = shapes["torus"]()
    mesh = Mesh.from_parts([Part(positions=positions, faces=faces)])
    normals = mesh.normals.numpy()
    for uvs in (
        np.zeros((len(normals), 2), np.float32),
        np.random.default_rng(0).random((len(normals), 2), np.float32),
    ):
        found = tangents(mesh.positions.numpy(), mesh.faces.numpy(), normals, uvs)
        np.testing.assert_allclose(np.linalg.norm(found[:, :3], axis=1), 1, atol=1e-5)
        assert np.abs((found[:, :3] * normals).sum(1)).max() < 1e-5
        assert set(np.unique(found[:, 3]).tolist()) <= {-1.0, 1.0}


def test_doubled_vertices_share_their_tangent(make_square):
    part = make_square()
    soup = part.faces.reshape(-1)
    loose = np.arange(6, dtype=np.int32).reshape(-1, 3)
    tilted = part.uvs @ np.float32([[1, 0.3], [0, 1]])
    whole = tangents(part.positions, part.faces, part.normals, tilted)
    apart = tangents(part.positions[soup], loose, part.normals[soup], tilted[soup])
    np.testing.assert_allclose(apart, whole[soup], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"faces": np.zeros((0, 3), np.int32)}, DataError, "no faces"),
        ({"positions": np.full((8, 3), np.nan, np.float32)}, DataError, "not finite"),
        ({"textures": lambda points: points * float("nan")}, DataError, "not finite"),
        ({"textures": lambda points: points[:, :2]}, DataError, "2 channels"),
        ({"faces_limit": 2}, ConfigError, "limit is 2"),
    ],
)
def test_what_cannot_be_exported_is_refused(change, error, words, shapes):
    positions, faces = shapes["box"]()
    arguments = {"positions": positions, "faces": faces, "textures": colours, "options": QUICK, **change}
    with pytest.raises(error, match=words):
        textured_part(texture_resolution=16, **arguments)


def test_an_unknown_encoding_is_refused(unchecked):
    with pytest.raises(ConfigError, match="gamma"):
        Textures(color=colours, color_encoding="gamma")  # type: ignore[arg-type]


def test_the_account_says_what_was_dropped_covered_and_how_long_it_took(shapes):
    positions, faces = shapes["torus"](48, 24)
    crumb, its_faces = shapes["box"](0.05)
    both = np.concatenate([positions, crumb + 2])
    all_faces = np.concatenate([faces, its_faces + len(positions)]).astype(np.int32)
    heard = []
    options = ExportOptions(unwrap="box", watch=heard.append)
    done = textured(both, all_faces, colours, faces_limit=500, texture_resolution=64, options=options)
    assert (done.faces_before, done.faces_clean) == (len(all_faces), len(faces))
    assert heard == ["clean", "decimate", "unwrap", "layout", "bake", "assemble"]
    assert list(done.seconds) == heard
    assert all(seconds >= 0 for seconds in done.seconds.values())
    flat = done.atlas.uvs[done.atlas.faces].astype(float)
    a, b = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2
    assert done.coverage == pytest.approx(area, abs=0.02)


def test_whoever_watches_may_end_the_work(shapes):
    def enough(stage):
        if stage == "bake":
            raise TimeoutError(stage)

    asked = []
    with pytest.raises(TimeoutError, match="bake"):
        textured(
            *shapes["box"](),
            asked.append,
            texture_resolution=16,
            options=ExportOptions(watch=enough, unwrap="box"),
        )
    assert asked == []
