"""The Khronos validator has nothing to say about what we write: no error, warning, info or hint."""

from pathlib import Path

import numpy as np
import pytest
from khronos import validate
from parts import grid, picture, quad

from polyglyph.formats.glb import encode_glb
from polyglyph.formats.meshes import read_mesh
from polyglyph.formats.model import Material, Part
from polyglyph.formats.repair import vertex_normals, with_tangents

MESHES = Path(__file__).parents[1] / "data" / "meshes"


def sphere(material):
    """A sphere whose positions equal its normals (trimesh shares the buffers and gets an error)."""
    part = grid(16, material)
    u, v = part.uvs.T.astype(np.float64)
    around, down = 2 * np.pi * u, np.pi * (0.02 + 0.96 * v)
    part.positions = np.stack(
        [np.sin(down) * np.sin(around), np.cos(down), np.sin(down) * np.cos(around)], axis=1
    ).astype(np.float32)
    part.normals = part.positions.copy()
    return part


def full():
    return Material(
        "full",
        base_color_image=picture(),
        orm_image=picture(seed=1),
        normal_image=picture(seed=2),
        metallic=1.0,
        emissive=(0.1, 0.0, 0.0),
    )


FILES = {
    "plain": lambda: [quad()],
    "textured": lambda: [quad(Material("wood", base_color_image=picture()))],
    "transparent picture": lambda: [
        quad(Material("leaf", base_color_image=picture(channels=4), alpha_mode="MASK"))
    ],
    "odd picture sizes": lambda: [quad(Material("wood", base_color_image=picture(5, 300)))],
    "base, ORM and normal pictures with tangents": lambda: [with_tangents(sphere(full()))],
    "coordinates and tangents nobody needs": lambda: [with_tangents(sphere(Material("bare")))],
    "vertex colours": lambda: [quad(colors=np.random.default_rng(0).random((4, 4)))],
    "glass": lambda: [quad(Material("glass", base_color=(1.0, 1.0, 1.0, 0.3), alpha_mode="BLEND"))],
    "many parts": lambda: [quad(name="one"), quad(full_uv(), name="one"), with_tangents(sphere(full()))],
    "no normals": lambda: [grid(4)],
    "zero and long normals": lambda: [quad_with_normals([[0, 0, 0], [0, 0, 9], [0, 0, 1], [0, 0, 1e-20]])],
    "zero tangents": lambda: [quad(full(), tangents=np.zeros((4, 4)))],
    "degenerate triangles": lambda: [with_degenerate_faces()],
    "32-bit indices": lambda: [grid(256)],
    "65 535 vertices": lambda: [with_vertices(65_535)],
    "65 536 vertices": lambda: [with_vertices(65_536)],
}


def full_uv():
    return Material("tiles", base_color_image=picture())


def quad_with_normals(rows):
    part = quad()
    part.normals = np.array(rows, dtype=np.float32)
    return part


def with_degenerate_faces():
    part = quad()
    part.faces = np.array([[0, 1, 2], [0, 0, 1], [0, 2, 3], [3, 3, 3]], dtype=np.int32)
    return part


def with_vertices(count):
    angles = np.linspace(0, 6, count)
    positions = np.stack([np.cos(angles), np.sin(angles), angles], axis=1)
    faces = np.stack([np.arange(count - 2), np.arange(1, count - 1), np.arange(2, count)], axis=1)
    return Part(positions.astype(np.float32), faces.astype(np.int32), "strip")


@pytest.mark.parametrize("title", FILES)
def test_the_validator_says_nothing(title):
    assert validate(encode_glb(FILES[title](), name=title, extras={"licence": "CC0-1.0"})) == []


@pytest.mark.parametrize("name", ["deckChair", "glassDoorCabinet", "chair2", "tatami"])
def test_the_validator_says_nothing_about_meshes_people_made(name):
    found = read_mesh(MESHES / name / f"{name}.obj")
    assert found.textured
    assert validate(encode_glb(found.parts, name=name)) == []


@pytest.mark.parametrize("file", sorted(MESHES.glob("*.glb")), ids=lambda path: path.name)
def test_the_validator_says_nothing_about_the_test_files(file):
    assert validate(file.read_bytes()) == []


def test_the_validator_is_really_asked():
    data = bytearray(encode_glb([quad()]))
    at = data.index(b'"max":[1.0')
    data[at : at + 10] = b'"max":[2.0'
    assert [line.split(":")[0] for line in validate(bytes(data))] == ["error ACCESSOR_MAX_MISMATCH"]


def test_computed_normals_are_unit_and_tell_the_validator_nothing():
    part = grid(4)
    part.normals = vertex_normals(part.positions, part.faces)
    np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, rtol=1e-6)
    assert (part.normals[:, 1] > 0.5).all()
    assert validate(encode_glb([part])) == []
