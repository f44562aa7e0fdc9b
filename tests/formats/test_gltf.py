"""The glTF reader on files other programs write: transforms, strips, sparse and packed numbers, materials."""

import base64
import json

import numpy as np
import pytest
from parts import picture, quad

from polyglyph.base.errors import FormatError
from polyglyph.formats.glb import encode_glb
from polyglyph.formats.meshes import read_mesh, read_mesh_bytes
from polyglyph.formats.model import Material
from polyglyph.formats.png import encode_png
from polyglyph.formats.repair import transformed

TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")
KINDS = {"float32": 5126, "uint16": 5123, "uint8": 5121, "int16": 5122, "int8": 5120, "uint32": 5125}
WIDTHS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class Document:
    """A `.gltf` text built row by row, its buffer in a `data:` address."""

    def __init__(self):
        self.data = b""
        self.tables = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}

    def view(self, data, **more):
        self.tables["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)} | more
        )
        self.data += data + b"\0" * (-len(data) % 4)
        return len(self.tables["bufferViews"]) - 1

    def accessor(self, array, **more):
        array = np.asarray(array)
        array = array.reshape(len(array), -1)
        row = {
            "bufferView": self.view(array.tobytes()),
            "componentType": KINDS[array.dtype.name],
            "count": len(array),
            "type": WIDTHS[array.shape[1]],
        }
        self.tables["accessors"].append(row | more)
        return len(self.tables["accessors"]) - 1

    def mesh(self, primitive, node=None, **tables):
        attributes = {"POSITION": self.accessor(TRIANGLE)} | primitive.pop("attributes", {})
        self.tables |= {
            "meshes": [{"name": "m", "primitives": [{"attributes": attributes} | primitive]}],
            "nodes": [{"mesh": 0} | (node or {})],
            "scenes": [{"nodes": [0]}],
        } | tables
        return self

    def read(self):
        address = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        self.tables["buffers"] = [{"byteLength": len(self.data), "uri": address}]
        return read_mesh_bytes(json.dumps(self.tables).encode(), ".gltf")


def part_of(document):
    (part,) = document.read().parts
    return part


def test_node_transforms_are_applied_down_the_tree():
    document = Document().mesh(
        {},
        nodes=[
            {"translation": [10, 0, 0], "children": [1]},
            {"rotation": [0, 0, 0.5**0.5, 0.5**0.5], "scale": [2, 2, 2], "children": [2]},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 5, 1]},
        ],
    )
    np.testing.assert_allclose(part_of(document).positions, [[10, 0, 10], [10, 2, 10], [8, 0, 10]], atol=1e-5)


def test_a_mirroring_node_turns_the_faces_over():
    normals = np.tile(np.array([0, 0, 1], dtype="<f4"), (3, 1))
    document = Document()
    document.mesh({"attributes": {"NORMAL": document.accessor(normals)}}, {"scale": [-1, 1, 1]})
    part = part_of(document)
    a, b, c = part.positions[part.faces[0]]
    assert np.cross(b - a, c - a)[2] > 0
    np.testing.assert_array_equal(part.normals, normals)


def test_normals_follow_a_stretch_by_the_inverse_transpose():
    part = quad()
    part.normals = np.tile(np.array([1, 0, 1], dtype=np.float32) / np.sqrt(np.float32(2)), (4, 1))
    moved = transformed(part, np.diag([2.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(moved.normals, np.tile(np.array([1, 0, 2]) / 5**0.5, (4, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "faces"),
    [(4, [[0, 1, 2]]), (5, [[0, 1, 2], [1, 3, 2]]), (6, [[1, 2, 0], [2, 3, 0]])],
)
def test_strips_and_fans_become_triangles(mode, faces):
    document = Document()
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype="<f4")
    indices = document.accessor(np.arange(4, dtype="<u2"))
    document.mesh({"mode": mode, "indices": indices, "attributes": {"POSITION": document.accessor(square)}})
    assert part_of(document).faces.tolist() == faces


def test_normalised_integers_are_scaled():
    document = Document()
    colors = document.accessor(np.array([[255, 0, 51]] * 3, dtype="u1"), normalized=True)
    uvs = document.accessor(np.array([[0, 65535]] * 3, dtype="<u2"), normalized=True)
    document.mesh({"attributes": {"COLOR_0": colors, "TEXCOORD_0": uvs}})
    part = part_of(document)
    np.testing.assert_allclose(part.colors[0], [1, 0, 0.2, 1], atol=1e-6)
    np.testing.assert_allclose(part.uvs[0], [0, 1])


def test_sparse_accessors_replace_rows():
    document = Document()
    rows, values = document.view(np.array([2], dtype="<u2").tobytes()), document.view(TRIANGLE[1:2].tobytes())
    document.mesh({})
    document.tables["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": rows, "componentType": 5123},
        "values": {"bufferView": values},
    }
    np.testing.assert_array_equal(part_of(document).positions[2], TRIANGLE[1])


def test_interleaved_vertices_are_taken_apart():
    document = Document()
    both = np.concatenate([TRIANGLE, TRIANGLE + 5], axis=1)
    view = document.view(both.tobytes(), byteStride=24)
    document.mesh({})
    document.tables["accessors"][0] |= {"bufferView": view, "byteOffset": 12}
    np.testing.assert_array_equal(part_of(document).positions, TRIANGLE + 5)


def textured(document, material, **attributes):
    image = document.view(encode_png(picture()))
    document.mesh(
        {"material": 0, "attributes": attributes},
        materials=[material],
        textures=[{"source": 0}],
        images=[{"bufferView": image, "mimeType": "image/png"}],
    )
    return document


def test_the_material_uses_its_own_coordinates_and_their_transform():
    document = Document()
    first = document.accessor(np.zeros((3, 2), dtype="<f4"))
    second = document.accessor(np.array([[0, 0], [1, 0], [0, 1]], dtype="<f4"))
    move = {"KHR_texture_transform": {"offset": [0.5, 0], "scale": [2, 3], "rotation": np.pi / 2}}
    info = {"index": 0, "texCoord": 1, "extensions": move}
    textured(
        document, {"pbrMetallicRoughness": {"baseColorTexture": info}}, TEXCOORD_0=first, TEXCOORD_1=second
    )
    # a quarter turn counter-clockwise: growing U runs up the picture, which is falling V
    np.testing.assert_allclose(part_of(document).uvs, [[0.5, 0], [0.5, -2], [3.5, 0]], atol=1e-6)


def test_missing_factors_are_those_of_the_specification():
    document = Document().mesh({"material": 0}, materials=[{}])
    material = part_of(document).material
    assert (material.metallic, material.roughness, material.double_sided) == (1.0, 1.0, False)
    assert material.base_color == (1.0, 1.0, 1.0, 1.0)


def test_occlusion_and_roughness_pictures_meet_in_one():
    document = Document()
    uvs = document.accessor(np.zeros((3, 2), dtype="<f4"))
    shade = document.view(encode_png(np.full((4, 4, 3), 9, dtype=np.uint8)))
    textured(document, {"pbrMetallicRoughness": {"metallicRoughnessTexture": {"index": 0}}}, TEXCOORD_0=uvs)
    document.tables["textures"].append({"source": 1})
    document.tables["images"].append({"bufferView": shade, "mimeType": "image/png"})
    document.tables["materials"][0]["occlusionTexture"] = {"index": 1}
    orm = part_of(document).material.orm_image
    np.testing.assert_array_equal(orm[:, :, 1:], picture()[:, :, 1:])
    assert (orm[:, :, 0] == 9).all()


def test_a_normal_picture_without_tangents_gets_them():
    document = Document()
    uvs = document.accessor(np.array([[0, 1], [1, 1], [0, 0]], dtype="<f4"))
    part = part_of(textured(document, {"normalTexture": {"index": 0}}, TEXCOORD_0=uvs))
    np.testing.assert_allclose(part.tangents, np.tile([1, 0, 0, 1], (3, 1)), atol=1e-6)


WARNED = {
    "has an emissive picture": {"emissiveTexture": {"index": 0}},
    "is specular-glossiness": {
        "extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [1, 0, 0, 1]}}
    },
    "places its pictures differently": {
        "normalTexture": {"index": 0},
        "occlusionTexture": {"index": 0, "texCoord": 1},
    },
    "has the alpha mode 'GLASS'": {"alphaMode": "GLASS"},
}


@pytest.mark.parametrize("words", WARNED)
def test_what_a_material_cannot_hold_is_said(words):
    document = Document()
    uvs = document.accessor(np.zeros((3, 2), dtype="<f4"))
    found = textured(document, WARNED[words], TEXCOORD_0=uvs).read()
    assert any(words in warning for warning in found.warnings), found.warnings


def test_skins_morphs_and_lines_are_said():
    document = Document().mesh({"targets": [{}]}, {"skin": 0, "translation": [5, 0, 0]})
    document.tables["meshes"][0]["primitives"].append({"mode": 1, "attributes": {"POSITION": 0}})
    found = document.read()
    assert found.warnings == [
        "mesh `m` is skinned: it is read in its rest pose",
        "mesh `m` has morph targets: they are left out",
        "mesh `m` has points or lines: they are left out",
    ]
    assert found.parts[0].positions.max() == 1  # a skinned mesh ignores its node


@pytest.mark.parametrize("extension", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_new"])
def test_a_required_extension_we_do_not_read_is_named(extension):
    document = Document().mesh({})
    document.tables["extensionsRequired"] = [extension]
    with pytest.raises(FormatError, match=f"needs `{extension}`"):
        document.read()


def test_a_node_that_is_its_own_ancestor_is_refused():
    document = Document().mesh({}, nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}])
    with pytest.raises(FormatError, match="its own ancestor"):
        document.read()


def test_text_gltf_with_files_beside_it(tmp_path):
    document = Document()
    uvs = document.accessor(np.zeros((3, 2), dtype="<f4"))
    textured(document, {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}, TEXCOORD_0=uvs)
    document.tables["images"] = [{"uri": "my%20wood.png"}]
    document.tables["buffers"] = [{"byteLength": len(document.data), "uri": "a.bin"}]
    (tmp_path / "a.gltf").write_text(json.dumps(document.tables))
    (tmp_path / "a.bin").write_bytes(document.data)
    found = read_mesh(tmp_path / "a.gltf")
    assert found.warnings == [
        "picture `my%20wood.png` of material `material_0` is missing: its plain colour is used"
    ]
    (tmp_path / "my wood.png").write_bytes(encode_png(picture()))
    assert read_mesh(tmp_path / "a.gltf").textured
    (tmp_path / "a.bin").unlink()
    with pytest.raises(FormatError, match=r"names `a\.bin`, which is missing"):
        read_mesh(tmp_path / "a.gltf")


def test_every_part_of_a_written_scene_comes_back_with_its_name():
    found = read_mesh_bytes(
        encode_glb([quad(name="seat"), quad(Material("b"), name="leg")], name="chair"), ".glb"
    )
    assert [part.name for part in found.parts] == ["seat", "leg"]
