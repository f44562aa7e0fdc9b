"""The GLB writer: what it stores, that others read it, and what it refuses."""

import json
import struct

import numpy as np
import pytest
from parts import grid, picture, quad

import polyglyph
from polyglyph.base.errors import FormatError
from polyglyph.formats.glb import encode_glb, write_glb
from polyglyph.formats.meshes import read_mesh, read_mesh_bytes
from polyglyph.formats.model import Material
from polyglyph.formats.png import decode_image
from polyglyph.formats.repair import with_tangents


def document(data):
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def full_quad():
    return with_tangents(
        quad(
            Material(
                "wood",
                base_color=(1.0, 0.5, 0.25, 0.75),
                base_color_image=picture(channels=4),
                metallic=0.25,
                roughness=0.625,
                orm_image=picture(seed=1),
                normal_image=picture(seed=2),
                emissive=(0.0, 0.5, 0.0),
                alpha_mode="MASK",
                alpha_cutoff=0.25,
                double_sided=False,
            ),
            colors=np.linspace(0, 1, 16).reshape(4, 4),
        )
    )


def test_everything_comes_back_as_it_was_written():
    part = full_quad()
    (again,) = read_mesh_bytes(encode_glb([part]), ".glb").parts
    for field in ("positions", "faces", "normals", "uvs", "tangents"):
        np.testing.assert_array_equal(getattr(again, field), getattr(part, field), err_msg=field)
    np.testing.assert_allclose(again.colors, part.colors, atol=0.6 / 65535)
    for field in ("name", "base_color", "metallic", "roughness", "emissive", "alpha_mode", "alpha_cutoff"):
        assert getattr(again.material, field) == getattr(part.material, field), field
    assert again.material.double_sided is False
    for field in ("base_color_image", "orm_image", "normal_image"):
        np.testing.assert_array_equal(getattr(again.material, field), getattr(part.material, field))


def test_pygltflib_reads_the_same_file(tmp_path):
    import pygltflib

    write_glb(tmp_path / "a.glb", [full_quad(), grid(3)], name="set")
    found = pygltflib.GLTF2().load_binary(str(tmp_path / "a.glb"))
    assert found.asset.generator == f"polyglyph {polyglyph.__version__}"
    assert [node.name for node in found.nodes] == ["quad", "grid", "set"]
    assert found.materials[0].pbrMetallicRoughness.roughnessFactor == 0.625
    assert found.materials[0].occlusionTexture.index == (
        found.materials[0].pbrMetallicRoughness.metallicRoughnessTexture.index
    )
    accessor = found.accessors[found.meshes[0].primitives[0].attributes.POSITION]
    view = found.bufferViews[accessor.bufferView]
    data = found.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    np.testing.assert_array_equal(np.frombuffer(data, "<f4").reshape(-1, 3), full_quad().positions)


def test_trimesh_reads_the_same_file(tmp_path):
    import trimesh

    write_glb(tmp_path / "a.glb", [full_quad()], name="set")
    (mesh,) = trimesh.load_scene(tmp_path / "a.glb", process=False).geometry.values()
    np.testing.assert_array_equal(mesh.vertices, full_quad().positions)
    np.testing.assert_array_equal(mesh.faces, full_quad().faces)
    np.testing.assert_allclose(mesh.visual.uv[:, 1], 1 - full_quad().uvs[:, 1])
    assert mesh.visual.material.metallicFactor == 0.25


def test_the_roughness_picture_is_stored_once_for_two_uses():
    part = full_quad()
    part.material.normal_image = None
    table, _ = document(encode_glb([part]))
    material = table["materials"][0]
    assert (
        material["occlusionTexture"]["index"]
        == (material["pbrMetallicRoughness"]["metallicRoughnessTexture"]["index"])
    )
    assert [image["name"] for image in table["images"]] == ["wood_base_color", "wood_orm"]


def test_equal_pictures_and_materials_of_many_parts_are_stored_once():
    parts = [quad(Material("wood", base_color_image=picture())) for _ in range(3)]
    table, _ = document(encode_glb(parts))
    assert len(table["images"]) == len(table["materials"]) == len(table["textures"]) == 1


def test_two_pictures_of_one_name_get_two_names():
    parts = [quad(Material("wood", base_color_image=picture(seed=seed))) for seed in (1, 2)]
    table, _ = document(encode_glb(parts))
    assert [image["name"] for image in table["images"]] == ["wood_base_color", "wood_base_color_2"]


def test_factors_are_written_even_when_they_are_the_default():
    table, _ = document(encode_glb([quad(Material("m"))]))
    assert table["materials"][0] == {
        "name": "m",
        "pbrMetallicRoughness": {
            "baseColorFactor": [1.0, 1.0, 1.0, 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        },
        "emissiveFactor": [0.0, 0.0, 0.0],
        "alphaMode": "OPAQUE",
        "doubleSided": True,
    }


@pytest.mark.parametrize(("scale", "wrap"), [(1.0, 33071), (2.5, 10497)])
def test_pictures_are_clamped_unless_coordinates_leave_the_unit_square(scale, wrap):
    part = quad(Material("wood", base_color_image=picture()))
    part.uvs = part.uvs * np.float32(scale)
    table, _ = document(encode_glb([part]))
    assert table["samplers"] == [{"magFilter": 9729, "minFilter": 9987, "wrapS": wrap, "wrapT": wrap}]


def test_a_material_used_inside_and_outside_the_unit_square_repeats():
    material = Material("wood", base_color_image=picture())
    far = quad(material)
    far.uvs = far.uvs + np.float32(3)
    for parts in ([quad(material), far], [far, quad(material)]):
        table, _ = document(encode_glb(parts))
        assert [row["wrapS"] for row in table["samplers"]] == [10497]


def test_odd_picture_sizes_are_enlarged_to_powers_of_two():
    table, data = document(encode_glb([quad(Material("wood", base_color_image=picture(5, 300)))]))
    view = table["bufferViews"][table["images"][0]["bufferView"]]
    stored = decode_image(data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])
    assert stored.shape == (8, 512, 3)


def test_vertices_beyond_16_bits_get_32_bit_indices():
    for side, component in ((254, 5123), (255, 5125)):  # 65 025 and 65 536 vertices
        table, _ = document(encode_glb([grid(side)]))
        assert (
            table["accessors"][table["meshes"][0]["primitives"][0]["indices"]]["componentType"] == component
        )


def test_the_credit_is_where_viewers_look_for_it():
    table, _ = document(encode_glb([quad()], extras={"attribution": "“Bed” by Ann, CC-BY-3.0", "faces": 2}))
    assert table["asset"]["copyright"] == "“Bed” by Ann, CC-BY-3.0"
    assert table["asset"]["extras"]["faces"] == 2


def test_the_same_mesh_gives_the_same_bytes():
    assert encode_glb([full_quad()]) == encode_glb([full_quad()])


def test_tangents_point_along_growing_u_and_bitangents_up_the_picture():
    part = with_tangents(quad())
    np.testing.assert_allclose(part.tangents, np.tile([1, 0, 0, 1], (4, 1)), atol=1e-6)
    mirrored = quad()
    mirrored.uvs = mirrored.uvs * np.array([-1, 1], dtype=np.float32)
    np.testing.assert_allclose(with_tangents(mirrored).tangents, np.tile([-1, 0, 0, -1], (4, 1)), atol=1e-6)


def broken(**fields):
    part = quad()
    for field, value in fields.items():
        setattr(part, field, np.asarray(value))
    return part


NAN = float("nan")
REFUSED = {
    "there is nothing to write": lambda: [],
    "positions are not finite, first at vertex 1": lambda: [
        broken(positions=[[0, 0, 0], [NAN, 0, 0], [0, 1, 0], [1, 1, 1.0]])
    ],
    "uvs are not finite": lambda: [textured(uvs=np.full((4, 2), np.inf))],
    "faces name vertices 0 to 9, and there are 4": lambda: [broken(faces=[[0, 1, 9]])],
    "faces name vertices -1": lambda: [broken(faces=[[0, 1, -1]])],
    "faces are float64": lambda: [broken(faces=[[0.0, 1.0, 2.0]])],
    "has no triangles": lambda: [broken(faces=[[0, 0, 1]])],
    "normals have 2 rows for 4 vertices": lambda: [broken(normals=[[0, 0, 1], [0, 0, 1]])],
    "has a picture, and the part has no UV": lambda: [textured(uvs=None)],
    "needs normals and tangents": lambda: [quad(Material("n", normal_image=picture()))],
    "a factor is outside": lambda: [quad(Material("n", roughness=1.5))],
    "a factor is outside .0, 1.": lambda: [quad(Material("n", metallic=NAN))],
    "there is no alpha mode `GLASS`": lambda: [with_material(alpha_mode="GLASS")],
    "`base_color_image` is float64": lambda: [quad(Material("n", base_color_image=np.zeros((4, 4, 3))))],
    "`orm_image` is uint8": lambda: [quad(Material("n", orm_image=picture(channels=4)))],
    "vertex colours run from": lambda: [quad(colors=np.full((4, 4), 200.0))],
}


def with_material(**fields):
    part = quad()
    for field, value in fields.items():
        setattr(part.material, field, value)
    return part


def textured(uvs):
    part = quad(Material("wood", base_color_image=picture()))
    part.uvs = uvs
    return part


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_make_a_broken_file_is_refused_and_named(words, tmp_path):
    with pytest.raises(FormatError, match=words) as caught:
        write_glb(tmp_path / "a.glb", REFUSED[words]())
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_extras_that_are_not_json_are_refused():
    for value in (float("inf"), object()):
        with pytest.raises(FormatError, match="cannot be stored"):
            encode_glb([quad()], extras={"x": value})


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"`a\.gltf` would hold binary glTF"):
        write_glb(tmp_path / "a.gltf", [quad()])


def test_a_file_in_place_survives_a_refused_write(tmp_path):
    write_glb(tmp_path / "a.glb", [quad()])
    before = (tmp_path / "a.glb").read_bytes()
    with pytest.raises(FormatError):
        write_glb(tmp_path / "a.glb", [])
    assert (tmp_path / "a.glb").read_bytes() == before
    assert read_mesh(tmp_path / "a.glb").face_count == 2
