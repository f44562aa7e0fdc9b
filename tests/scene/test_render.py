import math

import numpy as np
import pytest
import torch

from polyglyph.base.errors import ConfigError
from polyglyph.formats.model import Material, Part
from polyglyph.scene import render as module
from polyglyph.scene.camera import DEFAULT_FOV, orbit, turntable
from polyglyph.scene.light import FLAT, Ambient, Directional, SphericalHarmonics
from polyglyph.scene.material import srgb_to_linear
from polyglyph.scene.mesh import Mesh
from polyglyph.scene.render import render

FOCAL = 35 / 16


def quarters() -> np.ndarray:
    """Red top left, green top right, blue bottom left, white bottom right; 8 × 8."""
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:4, :4, 0] = image[:4, 4:, 1] = image[4:, :4, 2] = 255
    image[4:, 4:] = 255
    return image


def test_a_textured_square_shows_its_picture_upright_and_the_right_way_round(make_square):
    mesh = Mesh.from_parts([make_square(material=Material(base_color_image=quarters()))])
    picture = render(mesh, orbit(0.0, 0.0), 32, shading="albedo")
    seen = picture.to_uint8()[0]
    for row, column, color in (
        (8, 8, (255, 0, 0)),
        (8, 23, (0, 255, 0)),
        (23, 8, (0, 0, 255)),
        (23, 23, (255,) * 3),
    ):
        assert tuple(seen[row, column].tolist()) == (*color, 255)
    mirrored = render(mesh, orbit(180.0, 0.0), 32, shading="albedo").to_uint8()[0]
    assert mirrored[8, 8, :3].tolist() == [0, 255, 0]


def test_the_mask_has_the_area_of_the_projected_square(make_square):
    mesh = Mesh.from_parts([make_square(half=0.3)])
    picture = render(mesh, orbit(0.0, 0.0), 101, supersample=4)
    side = 0.3 / 1.2 * FOCAL
    assert abs(float(picture.mask.mean()) - side**2) < 0.003
    torch.testing.assert_close(picture.rgba[..., 3], picture.mask)


def test_a_sphere_covers_the_disc_that_optics_says(shapes):
    positions, faces = shapes["sphere"](48, 0.4)
    picture = render(Mesh.from_parts([Part(positions=positions, faces=faces)]), orbit(40.0, 20.0), 96)
    radius = FOCAL * math.tan(math.asin(0.4 / 1.2))
    assert abs(float(picture.mask.sum()) / (math.pi * (radius * 48) ** 2) - 1) < 0.01


def test_depth_and_normals_are_those_of_the_surface(make_square):
    mesh = Mesh.from_parts([make_square(z=0.2, half=0.3)])
    front = render(mesh, orbit(0.0, 0.0), 16)
    torch.testing.assert_close(front.depth[0, 8, 8], torch.tensor(1.0), atol=1e-5, rtol=0)
    assert torch.isinf(front.depth[0, 0, 0])
    torch.testing.assert_close(front.normal[0, 8, 8], torch.tensor([0.0, 0.0, 1.0]))
    assert front.normal[0, 0, 0].eq(0).all()
    back = render(mesh, orbit(180.0, 0.0), 16)
    torch.testing.assert_close(back.depth[0, 8, 8], torch.tensor(1.4), atol=1e-5, rtol=0)
    torch.testing.assert_close(back.normal[0, 8, 8], torch.tensor([0.0, 0.0, -1.0]))


def test_both_sides_of_a_surface_are_lit_alike(make_square):
    mesh = Mesh.from_parts([make_square()])
    lights = [Directional((0.0, 0.0, 1.0)), Directional((0.0, 0.0, -1.0))]
    front, back = (render(mesh, orbit(angle, 0.0), 8, lights=lights).rgba[0, 4, 4] for angle in (0.0, 180.0))
    torch.testing.assert_close(front, back, atol=1e-3, rtol=0)
    assert front[0] > 0.9


def test_normals_that_disagree_with_the_winding_do_not_darken_the_surface(make_square):
    part = make_square()
    good = render(Mesh.from_parts([part]), orbit(20.0, 20.0), 16)
    part.normals = -part.normals
    torch.testing.assert_close(render(Mesh.from_parts([part]), orbit(20.0, 20.0), 16).rgba, good.rgba)
    part.faces = part.faces[:, ::-1].copy()
    torch.testing.assert_close(render(Mesh.from_parts([part]), orbit(20.0, 20.0), 16).rgba, good.rgba)


def test_supersampling_is_the_average_of_the_finer_picture(shapes):
    positions, faces = shapes["torus"](24, 12, 0.35, 0.15)
    mesh = Mesh.from_parts(
        [Part(positions=positions, faces=faces, material=Material(base_color=(0.8, 0.2, 0.1, 1)))]
    )
    fine = render(mesh, orbit(30.0, 25.0), 60, supersample=1)
    coarse = render(mesh, orbit(30.0, 25.0), 20, supersample=3)

    def squares(value):
        return value.reshape(20, 3, 20, 3, -1).mean((1, 3))

    mask = squares(fine.mask[0])
    torch.testing.assert_close(coarse.mask[0], mask[..., 0])
    color = squares(fine.rgba[0, ..., :3] * fine.rgba[0, ..., 3:])
    torch.testing.assert_close(coarse.rgba[0, ..., :3] * coarse.rgba[0, ..., 3:], color, atol=1e-5, rtol=1e-4)


def test_colours_at_the_outline_are_not_mixed_with_the_background(make_square):
    mesh = Mesh.from_parts([make_square(half=0.31, material=Material(base_color=(0.5, 0.25, 0.125, 1)))])
    picture = render(mesh, orbit(0.0, 0.0), 24, shading="albedo", supersample=3)
    edge = (picture.mask > 0) & (picture.mask < 1)
    assert edge.any()
    torch.testing.assert_close(
        picture.rgba[edge][:, :3], torch.tensor([[0.5, 0.25, 0.125]]).expand(int(edge.sum()), 3)
    )
    white = picture.over([1.0, 1.0, 1.0])[edge]
    alpha = picture.mask[edge][:, None]
    torch.testing.assert_close(white, torch.tensor([0.5, 0.25, 0.125]) * alpha + 1 - alpha)


def test_a_background_fills_what_is_empty(make_square):
    picture = render(
        Mesh.from_parts([make_square(half=0.1)]), orbit(0.0, 0.0), 16, background=[0.1, 0.2, 0.3]
    )
    torch.testing.assert_close(picture.rgba[0, 0, 0], torch.tensor([0.1, 0.2, 0.3, 1.0]))
    assert picture.mask[0, 0, 0] == 0


def test_many_materials_each_colour_their_own_faces(make_square):
    colors = [(1.0, 0, 0, 1), (0, 1.0, 0, 1), (0, 0, 1.0, 1)]
    parts = []
    for index, color in enumerate(colors):
        part = make_square(half=0.15, material=Material(base_color=color))
        part.positions = part.positions + np.float32([(index - 1) * 0.32, 0, 0])
        parts.append(part)
    seen = render(Mesh.from_parts(parts), orbit(0.0, 0.0), 33, shading="albedo").rgba[0, 16]
    for column, color in zip((7, 16, 26), colors, strict=True):
        assert seen[column].tolist() == list(color)


def test_vertex_colours_multiply_the_base_colour(make_square):
    part = make_square(material=Material(base_color=(0.5, 1, 1, 1)))
    part.colors = np.broadcast_to(np.float32([0.5, 0.25, 1, 1]), (4, 4)).copy()
    picture = render(Mesh.from_parts([part]), orbit(0.0, 0.0), 8, shading="albedo")
    torch.testing.assert_close(picture.albedo[0, 4, 4], torch.tensor([0.25, 0.25, 1.0]))


def test_glass_shows_what_is_behind_it_layer_by_layer(make_square):
    def pane(z, color, alpha):
        return make_square(z, 0.5, Material(base_color=(*color, alpha), alpha_mode="BLEND"))

    wall = make_square(-0.2, 0.5, Material(base_color=(0, 0, 1.0, 1)))
    parts = [wall, pane(0.0, (0, 1.0, 0), 0.5), pane(0.2, (1.0, 0, 0), 0.25)]
    seen = render(Mesh.from_parts(parts), orbit(0.0, 0.0), 8, shading="albedo").rgba[0, 4, 4]
    assert seen.tolist() == [1.0, 0.0, 0.0, 1.0]  # `albedo` is the first surface's
    seen = render(Mesh.from_parts(parts), orbit(0.0, 0.0), 8, lights=FLAT).rgba[0, 4, 4]
    mixed = torch.tensor([0.25, 0.75 * 0.5, 0.75 * 0.5])
    torch.testing.assert_close(seen[:3], mixed, atol=0.05, rtol=0)  # the panes also mirror about 4 %
    alone = render(Mesh.from_parts(parts[1:]), orbit(180.0, 0.0), 8)
    torch.testing.assert_close(alone.rgba[0, 4, 4, 3], torch.tensor(1 - 0.5 * 0.75))
    assert alone.mask[0, 4, 4] == 1


def test_cut_out_texels_are_holes_one_sees_through(make_square):
    image = np.full((8, 8, 4), 255, dtype=np.uint8)
    image[:, 4:, 3] = 0
    leaf = make_square(0.1, 0.5, Material(base_color_image=image, alpha_mode="MASK"))
    wall = make_square(-0.1, 0.5, Material(base_color=(1.0, 0, 0, 1)))
    seen = render(Mesh.from_parts([leaf, wall]), orbit(0.0, 0.0), 16, shading="albedo").rgba[0, 8]
    assert seen[4].tolist() == [1, 1, 1, 1]
    assert seen[11].tolist() == [1, 0, 0, 1]
    hole = render(Mesh.from_parts([leaf]), orbit(0.0, 0.0), 16)
    assert hole.mask[0, 8, 11] == 0
    assert hole.rgba[0, 8, 11, 3] == 0
    assert torch.isinf(hole.depth[0, 8, 11])


def test_a_fine_texture_seen_from_afar_is_its_mean_not_noise(make_square):
    board = np.indices((256, 256)).sum(0) % 2 * 255
    image = np.repeat(board[..., None], 3, 2).astype(np.uint8)
    mesh = Mesh.from_parts([make_square(half=0.5, material=Material(base_color_image=image))])
    seen = render(mesh, orbit(10.0, 5.0), 24, shading="albedo", supersample=1)
    inside = seen.rgba[seen.mask == 1][:, 0]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5), atol=0.02, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_normal_map_tilts_the_light_the_way_it_says(make_square, mirrored):
    def seen(code):
        part = make_square(material=Material(normal_image=np.broadcast_to(np.uint8(code), (4, 4, 3)).copy()))
        if mirrored:
            part.uvs = part.uvs * np.float32([-1, 1]) + np.float32([1, 0])
        return render(Mesh.from_parts([part]), orbit(0.0, 0.0), 8).normal[0, 4, 4]

    side = -0.7071 if mirrored else 0.7071
    torch.testing.assert_close(seen([128, 128, 255]), torch.tensor([0.0, 0.0, 1.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(seen([218, 128, 218]), torch.tensor([side, 0.0, 0.7071]), atol=0.01, rtol=0)
    torch.testing.assert_close(seen([128, 218, 218]), torch.tensor([0.0, 0.7071, 0.7071]), atol=0.01, rtol=0)


def test_the_orm_picture_multiplies_the_factors(make_square):
    image = np.broadcast_to(np.uint8([0, 255, 255]), (4, 4, 3)).copy()  # closed, rough, metal
    material = Material(base_color=(1.0, 0.5, 0.25, 1), metallic=1.0, roughness=0.5, orm_image=image)
    mesh = Mesh.from_parts([make_square(material=material)])
    dark = render(mesh, orbit(0.0, 0.0), 8, lights=[Ambient()]).rgba[0, 4, 4, :3]
    assert dark.eq(0).all()
    lit = render(mesh, orbit(0.0, 0.0), 8, lights=[Directional((0.0, 0.0, 1.0))]).rgba[0, 4, 4, :3]
    torch.testing.assert_close(lit / lit[0], torch.tensor([1.0, 0.5, 0.25]), atol=0.01, rtol=0)


def test_emissive_surfaces_shine_in_the_dark(make_square):
    mesh = Mesh.from_parts([make_square(material=Material(emissive=(0.5, 0.25, 0.0)))])
    seen = render(mesh, orbit(0.0, 0.0), 8, lights=[]).rgba[0, 4, 4]
    assert seen.tolist() == [0.5, 0.25, 0.0, 1.0]


@pytest.mark.parametrize("shading", ["albedo", "normal", "depth", "mask"])
def test_other_shadings_show_their_channel(shading, shapes):
    positions, faces = shapes["sphere"](12, 0.4)
    mesh = Mesh.from_parts([Part(positions=positions, faces=faces)])
    picture = render(mesh, orbit(0.0, 0.0), 32, shading=shading)
    middle = picture.to_uint8()[0, 16, 16]
    assert middle[3] == 255
    if shading == "normal":
        torch.testing.assert_close(
            middle[:3].float(), (picture.normal[0, 16, 16] + 1) * 127.5, atol=1, rtol=0
        )
    else:
        assert middle[:3].tolist() == [255, 255, 255] or shading == "depth"
    if shading == "depth":
        assert middle[0] > picture.to_uint8()[0, 16, 6][0]
    assert picture.to_uint8()[0, 0, 0].eq(0).all()


def test_views_rendered_in_chunks_are_the_views_rendered_at_once(shapes, monkeypatch):
    positions, faces = shapes["torus"](12, 8, 0.3, 0.1)
    mesh = Mesh.from_parts([Part(positions=positions, faces=faces)])
    together = render(mesh, turntable(5), (12, 20))
    monkeypatch.setattr(module, "SAMPLES_AT_ONCE", 12 * 20 * 4 * 2)
    apart = render(mesh, turntable(5), (12, 20))
    for name in ("rgba", "mask", "depth", "normal", "albedo"):
        torch.testing.assert_close(getattr(apart, name), getattr(together, name))


def test_an_empty_view_is_empty(make_square):
    part = make_square()
    part.positions = part.positions + np.float32([50, 0, 0])
    for material in (Material(), Material(base_color=(1, 1, 1, 0.5), alpha_mode="BLEND")):
        part.material = material
        picture = render(Mesh.from_parts([part]), orbit(0.0, 0.0), 8)
        assert picture.rgba.eq(0).all()
        assert picture.mask.eq(0).all()
        assert torch.isinf(picture.depth).all()


def test_gradients_reach_light_colour_and_vertices(shapes):
    positions, faces = shapes["sphere"](8, 0.4)
    mesh = Mesh.from_parts([Part(positions=positions, faces=faces)])
    mesh.positions.requires_grad_()
    mesh.materials[0].base_color = torch.tensor([0.5, 0.5, 0.5, 1.0], requires_grad=True)
    light = SphericalHarmonics(torch.full((9, 3), 0.5, requires_grad=True))
    render(mesh, orbit(0.0, 0.0), 16, lights=[light]).rgba.square().sum().backward()
    for tensor in (mesh.positions, mesh.materials[0].base_color, light.coefficients):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 0


def test_the_default_camera_sees_the_whole_of_a_ball_of_diameter_point_98(shapes):
    positions, faces = shapes["box"]()
    mesh = Mesh.from_parts([Part(positions=positions, faces=faces)]).normalised("sphere", 0.98)
    picture = render(mesh, turntable(6, elevation=30.0, fov=DEFAULT_FOV), 32)
    border = torch.cat(
        [picture.mask[:, 0], picture.mask[:, -1], picture.mask[:, :, 0], picture.mask[:, :, -1]], 1
    )
    assert border.eq(0).all()


def test_impossible_pictures_are_refused(make_square, unchecked):
    mesh = Mesh.from_parts([make_square()])
    with pytest.raises(ConfigError, match="0×8"):
        render(mesh, orbit(0.0, 0.0), (0, 8))
    with pytest.raises(ConfigError, match="supersampling 0"):
        render(mesh, orbit(0.0, 0.0), 8, supersample=0)
    with pytest.raises(ConfigError, match="toon"):
        render(mesh, orbit(0.0, 0.0), 8, shading="toon")  # type: ignore[arg-type]


def test_files_hold_srgb(make_square):
    mesh = Mesh.from_parts([make_square(material=Material(base_color=(0.2140411, 0.2140411, 0.2140411, 1)))])
    code = render(mesh, orbit(0.0, 0.0), 8, shading="albedo").to_uint8()[0, 4, 4]
    assert code[0] in (127, 128)
    assert abs(float(srgb_to_linear(code[0] / 255)) - 0.214) < 0.003
