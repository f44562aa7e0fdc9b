"""`read_mesh`: one return type for every format, and a sentence for everything that could not be used."""

import dataclasses
import io
import logging
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from parts import picture, quad

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.color import linear_to_srgb, srgb_to_linear
from polyglyph.formats.glb import encode_glb
from polyglyph.formats.meshes import read_mesh, read_mesh_bytes
from polyglyph.formats.model import Material
from polyglyph.formats.obj import write_obj
from polyglyph.formats.png import encode_png, write_image
from polyglyph.formats.siblings import ZipSiblings

MESHES = Path(__file__).parents[1] / "data" / "meshes"
OBJS = sorted(MESHES.glob("*/*.obj"))


@pytest.mark.parametrize("path", OBJS, ids=lambda path: path.stem)
def test_obj_positions_and_pictures_agree_with_trimesh(path):
    """Differential: each corner of each triangle has the same position, coordinate and picture there."""
    import trimesh

    ours = read_mesh(path)
    assert ours.warnings == []
    scene = trimesh.load_scene(path, process=False, group_material=True)
    rows = []
    for mesh in scene.geometry.values():
        uvs = (
            mesh.visual.uv
            if getattr(mesh.visual, "uv", None) is not None
            else np.zeros((len(mesh.vertices), 2))
        )
        uvs = uvs * [1, -1] + [0, 1] if getattr(mesh.visual, "uv", None) is not None else uvs
        rows.append(np.concatenate([mesh.vertices, uvs], axis=1)[mesh.faces.reshape(-1)])
    theirs = np.concatenate(rows)
    mine = np.concatenate(
        [
            np.concatenate(
                [p.positions, p.uvs if p.uvs is not None else np.zeros((len(p.positions), 2))], axis=1
            )[p.faces.reshape(-1)]
            for p in ours.parts
        ]
    )
    assert len(mine) == len(theirs)
    for column in range(5):
        np.testing.assert_allclose(np.sort(mine[:, column]), np.sort(theirs[:, column]), atol=2e-5, rtol=1e-5)
    pictures = {str(m.visual.material.image.size) for m in scene.geometry.values() if m.visual.material.image}
    found = [p.material.base_color_image for p in ours.parts if p.material.base_color_image is not None]
    assert {str((image.shape[1], image.shape[0])) for image in found} == pictures


@pytest.mark.parametrize(
    ("name", "faces", "colored"),
    [("chair2.ply", 464, True), ("crate.stl", 864, False), ("stoneLantern.off", 736, False)],
)
def test_other_formats_come_through_trimesh_without_a_word_on_any_stream(name, faces, colored, caplog, capfd):
    caplog.set_level(logging.DEBUG, logger="trimesh")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_mesh(MESHES / name)
    assert found.face_count == faces
    assert found.warnings == []
    assert (found.parts[0].colors is not None) == colored
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger("trimesh").level == logging.DEBUG  # as it was before


def test_stl_corners_are_welded():
    (part,) = read_mesh(MESHES / "crate.stl").parts
    assert len(part.positions) < 864 * 3 / 4
    assert len(np.unique(part.positions, axis=0)) == len(part.positions)


def test_ply_colours_become_linear():
    data = (
        b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        b"property uchar red\nproperty uchar green\nproperty uchar blue\nelement face 1\n"
        b"property list uchar int vertex_indices\nend_header\n"
        b"0 0 0 188 0 255\n1 0 0 188 0 255\n0 1 0 188 0 255\n3 0 1 2\n"
    )
    (part,) = read_mesh_bytes(data, ".ply").parts
    np.testing.assert_allclose(part.colors[0], [0.5029, 0, 1, 1], atol=1e-4)


def test_srgb_and_linear_are_inverse():
    values = np.linspace(0, 1, 256)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-12)
    assert abs(float(srgb_to_linear(np.array(0.5))) - 0.21404) < 1e-5


# --- what an MTL line becomes ---


def with_mtl(folder, mtl, obj="usemtl m\nf 1/1 2/2 3/3\n"):
    (folder / "a.mtl").write_text(mtl)
    head = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (folder / "a.obj").write_text(head + obj)
    return read_mesh(folder / "a.obj")


def test_kd_is_a_display_colour_and_becomes_linear(tmp_path):
    (part,) = with_mtl(tmp_path, "newmtl m\nKd 0.5 0.0 1.0\n").parts
    np.testing.assert_allclose(part.material.base_color, [0.21404, 0, 1, 1], atol=1e-5)
    assert part.material.alpha_mode == "OPAQUE"


def test_coordinates_have_their_origin_at_the_top_left(tmp_path):
    write_image(tmp_path / "wood.png", picture())
    (part,) = with_mtl(tmp_path, "newmtl m\nmap_Kd wood.png\n").parts
    np.testing.assert_array_equal(part.uvs, [[0, 1], [1, 1], [0, 0]])


def test_a_picture_replaces_kd(tmp_path):
    write_image(tmp_path / "wood.png", picture())
    (part,) = with_mtl(tmp_path, "newmtl m\nKd 0 0 0\nmap_Kd wood.png\n").parts
    assert part.material.base_color == (1.0, 1.0, 1.0, 1.0)
    np.testing.assert_array_equal(part.material.base_color_image, picture())


def test_a_picture_without_coordinates_leaves_kd(tmp_path):
    write_image(tmp_path / "wood.png", picture())
    found = with_mtl(tmp_path, "newmtl m\nKd 1 0 0\nmap_Kd wood.png\n", "usemtl m\nf 1 2 3\n")
    assert found.parts[0].material.base_color == (1.0, 0.0, 0.0, 1.0)
    assert found.parts[0].material.base_color_image is None
    assert found.warnings == [
        "material `m` has a picture, and its faces no coordinates: its plain colour is used"
    ]


@pytest.mark.parametrize(
    ("line", "alpha"), [("d 0.25", 0.25), ("Tr 0.25", 0.75), ("d 0.5\nTr 0.9", 0.5), ("d -halo 0.5", 0.5)]
)
def test_opacity_is_d_or_one_minus_tr(line, alpha, tmp_path):
    (part,) = with_mtl(tmp_path, f"newmtl m\nKd 1 1 1\n{line}\n").parts
    assert part.material.base_color[3] == alpha
    assert part.material.alpha_mode == "BLEND"


def test_a_picture_with_holes_is_masked_and_a_soft_one_blended(tmp_path):
    image = picture(16, 16, 4)
    image[:, :, 3] = 255
    image[:8, :, 3] = 0
    write_image(tmp_path / "leaf.png", image)
    assert with_mtl(tmp_path, "newmtl m\nmap_Kd leaf.png\n").parts[0].material.alpha_mode == "MASK"
    image[:, :, 3] = 128
    write_image(tmp_path / "leaf.png", image)
    assert with_mtl(tmp_path, "newmtl m\nmap_Kd leaf.png\n").parts[0].material.alpha_mode == "BLEND"


def test_an_opacity_picture_becomes_the_alpha_channel(tmp_path):
    write_image(tmp_path / "wood.png", picture())
    mask = np.zeros((4, 4, 3), dtype=np.uint8)
    write_image(tmp_path / "holes.png", mask)
    (part,) = with_mtl(tmp_path, "newmtl m\nmap_Kd wood.png\nmap_d holes.png\n").parts
    assert part.material.base_color_image.shape == (8, 8, 4)
    assert not part.material.base_color_image[:, :, 3].any()


def test_gloss_becomes_roughness_only_where_there_is_a_highlight(tmp_path):
    assert with_mtl(tmp_path, "newmtl m\nKs 0 0 0\nNs 200\n").parts[0].material.roughness == 1.0
    shiny = with_mtl(tmp_path, "newmtl m\nKs 1 1 1\nNs 798\n").parts[0].material.roughness
    assert abs(shiny - 0.05**0.5) < 1e-6
    assert with_mtl(tmp_path, "newmtl m\nKs 1 1 1\nNs 798\nPr 0.75\n").parts[0].material.roughness == 0.75


@pytest.mark.parametrize(
    "line",
    [
        "map_Kd -s 1 1 1 -o 0 0 0 -clamp on my wood.png",
        "map_Kd C:\\textures\\my wood.png",
        "map_Kd ./MY WOOD.PNG",
        "map_kd sub/my wood.png",
    ],
)
def test_pictures_are_found_behind_options_foreign_paths_and_cases(line, tmp_path):
    write_image(tmp_path / "my wood.png", picture())
    found = with_mtl(tmp_path, f"newmtl m\n{line}\n")
    assert found.warnings == []
    assert found.textured


def test_a_normal_picture_comes_with_tangents_and_can_be_written(tmp_path):
    write_image(tmp_path / "bumps.png", picture())
    (part,) = with_mtl(tmp_path, "newmtl m\nnorm bumps.png\n").parts
    np.testing.assert_allclose(part.tangents, np.tile([1, 0, 0, 1], (3, 1)), atol=1e-6)
    assert encode_glb([part])


USE = "mtllib a.mtl\nusemtl m\n"
MISSING = {
    "material file `a.mtl` is missing: plain grey is used": (None, USE),
    "material `m` is not defined in `a.mtl`: plain grey is used": ("newmtl other\n", USE),
    "material `m`: the file names no `mtllib`: plain grey is used": (None, "usemtl m\n"),
    "picture `w.jpg` of material `m` is missing: its plain colour is used": ("newmtl m\nmap_Kd w.jpg\n", USE),
    "`a.mtl` defines no materials": ("<html>", USE),
    "`Kd` of `m` is `red`, not a colour": ("newmtl m\nKd red\n", USE),
    "material `m` is fully transparent": ("newmtl m\nd 0\n", USE),
}  # fmt: skip


@pytest.mark.parametrize("sentence", MISSING)
def test_nothing_turns_grey_without_a_sentence(sentence, tmp_path):
    mtl, head = MISSING[sentence]
    if mtl is not None:
        (tmp_path / "a.mtl").write_text(mtl)
    (tmp_path / "a.obj").write_text(head + "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    found = read_mesh(tmp_path / "a.obj")
    assert any(warning.startswith(sentence) for warning in found.warnings), found.warnings
    assert found.face_count == 1


# --- OBJ geometry ---


def test_negative_indices_count_back_from_where_they_stand():
    data = b"v 9 9 9\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 5 5\n"
    (part,) = read_mesh_bytes(data, ".obj").parts
    np.testing.assert_array_equal(part.positions[part.faces[0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]])


def area(part):
    a, b, c = part.positions.astype(float)[part.faces].transpose(1, 0, 2)
    return 0.5 * np.cross(b - a, c - a)


@pytest.mark.parametrize("turn", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_polygons_that_are_not_convex_are_covered_once(turn):
    corners = [(0, 0, 0), (2, 0, 0), (2, 2, 0), (1, 0.5, 0), (0, 2, 0)]  # an M, area 2.5
    lines = ["v {} {} {}".format(*(corner[axis] for axis in turn)) for corner in corners]
    for start in range(5):
        order = " ".join(str((start + step) % 5 + 1) for step in range(5))
        (part,) = read_mesh_bytes("\n".join([*lines, f"f {order}"]).encode(), ".obj").parts
        pieces = area(part)
        assert len(pieces) == 3
        axis = int(np.abs(pieces.sum(axis=0)).argmax())
        assert (pieces[:, axis] > 0).all() or (pieces[:, axis] < 0).all()
        assert abs(np.abs(pieces.sum(axis=0)[axis]) - 2.5) < 1e-6


def test_quads_and_lines_and_continued_lines_are_read():
    data = b"v 0 0 0\nv 1 0 0 \\\n\nv 1 1 0\nv 0 1 0\nl 1 2\np 1\ng side\ns off\nf 1 2 \\\n3 4 # end\n"
    (part,) = read_mesh_bytes(data, ".obj").parts
    assert part.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_vertex_colours_of_an_obj_become_linear():
    data = b"v 0 0 0 0.5 0 1\nv 1 0 0 0.5 0 1\nv 0 1 0 0.5 0 1\nf 1 2 3\n"
    (part,) = read_mesh_bytes(data, ".obj").parts
    np.testing.assert_allclose(part.colors[0], [0.21404, 0, 1, 1], atol=1e-5)


def test_corners_without_a_normal_get_their_faces():
    data = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 -5\nf 1//1 2 3\n"
    (part,) = read_mesh_bytes(data, ".obj").parts
    np.testing.assert_array_equal(part.normals, [[0, 0, -1], [0, 0, 1], [0, 0, 1]])


def test_one_part_per_material_in_order_of_use():
    data = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl b\nf 1 2 3\nusemtl a\nf 1 2 3\nusemtl b\nf 3 2 1\n"
    found = read_mesh_bytes(data, ".obj")
    assert [(part.name, len(part.faces)) for part in found.parts] == [("b", 2), ("a", 1)]


def test_a_mesh_inside_a_zip_finds_its_materials():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "set/a.obj", "mtllib A.MTL\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
        )
        archive.writestr("set/a.mtl", "newmtl m\nmap_Kd ../pictures/w.png\n")
        archive.writestr("pictures/w.png", encode_png(picture()))
    with zipfile.ZipFile(buffer) as archive:
        found = read_mesh_bytes(archive.read("set/a.obj"), ".obj", ZipSiblings(archive, "set/a.obj"))
    assert found.textured
    assert found.warnings == []


# --- writing OBJ ---


def test_an_obj_we_write_comes_back(tmp_path):
    material = Material(
        "oak wood",
        base_color=(0.5, 1.0, 0.25, 0.5),
        base_color_image=picture(8, 8, 4),
        metallic=0.25,
        roughness=0.75,
        emissive=(0.25, 0.0, 0.0),
        alpha_mode="BLEND",
    )
    plain = Material("red", base_color=(0.5, 0.0, 0.0, 1.0))
    write_obj(tmp_path / "set" / "a.obj", [quad(material), quad(plain, name="other")])
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "a.mtl",
        "a.obj",
        "a_oak_wood_base_color.png",
    ]
    found = read_mesh(tmp_path / "set" / "a.obj")
    assert found.warnings == []
    first, second = found.parts
    for part in (first, second):
        np.testing.assert_array_equal(part.positions[part.faces], quad().positions[quad().faces])
        np.testing.assert_array_equal(part.normals, quad().normals)
    np.testing.assert_array_equal(first.uvs[first.faces], quad().uvs[quad().faces])
    assert (first.material.metallic, first.material.roughness) == (0.25, 0.75)
    assert first.material.base_color == (1.0, 1.0, 1.0, 0.5)  # the tint went into the picture
    tinted = srgb_to_linear(picture(8, 8, 4)[:, :, :3] / 255) * [0.5, 1.0, 0.25]
    np.testing.assert_allclose(
        first.material.base_color_image[:, :, :3] / 255, linear_to_srgb(tinted), atol=0.5 / 255
    )
    np.testing.assert_allclose(second.material.base_color, plain.base_color, atol=1e-5)
    np.testing.assert_allclose(first.material.emissive, material.emissive, atol=1e-5)


def test_an_obj_with_many_pictures_and_colours_is_read_by_trimesh(tmp_path):
    import trimesh

    part = quad(
        Material("m", base_color_image=picture(), orm_image=picture(seed=1), normal_image=picture(seed=2))
    )
    write_obj(tmp_path / "a.obj", [dataclasses.replace(part, colors=np.full((4, 4), 0.5, dtype=np.float32))])
    (mesh,) = trimesh.load_scene(tmp_path / "a.obj", process=False).geometry.values()
    assert mesh.faces.shape == (2, 3)
    assert mesh.visual.material.image.size == (8, 8)
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_an_obj_is_refused_before_anything_is_written(tmp_path):
    part = quad()
    part.positions[0] = np.nan
    with pytest.raises(FormatError, match="not finite"):
        write_obj(tmp_path / "a.obj", [quad(), part])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_folder_are_the_users_to_fix(tmp_path):
    with pytest.raises(DataError, match="there is no mesh"):
        read_mesh(tmp_path / "a.glb")
    with pytest.raises(DataError, match="is a folder"):
        read_mesh(tmp_path)
