import collections

import numpy as np
import pytest
from khronos import validate

from polyglyph.base.errors import DataError
from polyglyph.formats.glb import encode_glb
from polyglyph.formats.meshes import read_mesh
from polyglyph.shape.data.config import ProceduralConfig
from polyglyph.shape.data.manifest import read_manifest
from polyglyph.shape.data.procedural import solids
from polyglyph.shape.data.procedural.make import CATEGORIES, build, make_procedural


def open_edges(positions, faces):
    """Directed edges whose opposite is not there equally often, once equal positions are one vertex."""
    _, same = np.unique(np.round(positions, 5), axis=0, return_inverse=True)
    welded = same.reshape(-1)[faces]
    welded = welded[(welded != np.roll(welded, 1, axis=1)).all(axis=1)]
    edges = collections.Counter(
        (int(a), int(b)) for face in welded for a, b in zip(face, np.roll(face, -1), strict=True)
    )
    return [edge for edge in edges if edges[edge] != edges[edge[::-1]]]


def volume(positions, faces):
    corner = positions[faces].astype(np.float64)
    return np.einsum("fi,fi->", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])) / 6


def bent():
    u, v = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 5), indexing="ij")
    return solids.sheet(np.stack([v, -u, 0.1 * v * v], -1), 0.02)


SOLIDS = {
    "box": (solids.box((1, 2, 3), (1, 2, 3)), 6.0),
    "sphere": (solids.sphere((0, 0, 0), (1, 1, 1), around=60), 4 / 3 * np.pi),
    "cushion": (solids.cushion((0, 0, 0), (1, 1, 1), softness=0.05), 1.0),
    "rod": (solids.rod((0, 0, 0), (0, 2, 0), 0.5, sides=60), np.pi / 2),
    "square rod": (solids.rod((0, 0, 0), (0, 0, 2), 0.5, sides=4), 2.0),
    "lathe": (solids.lathe([(1, 0), (1, 2)], sides=80), 2 * np.pi),
    "ring": (solids.lathe([(1, 0), (2, 0), (2, 1), (1, 1), (1, 0)], sides=80), 3 * np.pi),
    "sheet": (bent(), 0.02),
    "extrude": (solids.extrude([(0, 0), (2, 0), (2, 2), (1, 1.2), (0, 2)], 0.5), 1.6),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_is_closed_with_faces_and_normals_outwards_and_the_right_volume(name):
    solid, expected = SOLIDS[name]
    assert not open_edges(solid.positions, solid.faces)
    assert volume(solid.positions, solid.faces) == pytest.approx(expected, rel=0.02)
    corner = solid.positions[solid.faces]
    outward = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert (np.einsum("fi,fki->fk", outward, solid.normals[solid.faces]) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(solid.normals, axis=1), 1, atol=1e-6)


def test_a_mirrored_solid_is_still_outside_out():
    solid = SOLIDS["extrude"][0].mirrored()
    assert volume(solid.positions, solid.faces) == pytest.approx(1.6)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_design_is_closed_stands_on_the_floor_and_says_what_it_is(category):
    captions = set()
    for number in range(12):
        parts, design = build(category, number, texture_resolution=8)
        for part in parts:
            assert not open_edges(part.positions, part.faces), (category, number, part.name)
            assert volume(part.positions, part.faces) > 0
            assert part.uvs is not None
            assert np.isfinite(part.uvs).all()
            assert part.material.base_color_image is not None
        assert min(part.positions[:, 1].min() for part in parts) == pytest.approx(0, abs=1e-6)
        captions.add(design.caption)
        assert design.caption.startswith(("a ", "an "))
    assert len(captions) >= 5


def test_the_same_seed_gives_the_same_mesh_and_another_seed_another():
    def data(**options):
        parts, design = build("chair", 3, texture_resolution=16, **options)
        return encode_glb(parts), design

    assert data() == data()
    assert data() != data(seed=1)


def test_chairs_have_the_sizes_of_chairs_and_labelled_parts():
    labels = collections.Counter()
    for number in range(40):
        parts, design = build("chair", number, texture_resolution=8)
        low = np.min([part.positions.min(axis=0) for part in parts], axis=0)
        high = np.max([part.positions.max(axis=0) for part in parts], axis=0)
        width, height, depth = high - low
        assert 0.3 < width < 1.1, design
        assert 0.4 < height < 1.3, design
        assert 0.3 < depth < 1.2, design
        labels.update({part.name for part in parts})
    assert labels["seat"] == 40
    assert {"back", "leg", "arm", "stretcher", "base", "wheel"} <= set(labels)


def test_pictures_repeat_without_a_seam():
    from polyglyph.shape.data.procedural.surfaces import Finish

    for kind, color in (("wood", "oak"), ("velvet", "red"), ("leather", "brown"), ("fabric", "blue")):
        image = Finish(kind, color, 0).material(64).base_color_image.astype(int)
        for axis in (0, 1):
            inside = np.abs(np.diff(image, axis=axis)).mean()
            seam = np.abs(np.take(image, 0, axis) - np.take(image, -1, axis)).mean()
            assert seam < 2.5 * inside + 2, (kind, axis)


def test_a_procedural_folder_is_a_mesh_folder_and_never_replaces_another(tmp_path):
    result = make_procedural(tmp_path / "out", ProceduralConfig(count=2, texture_resolution=8))
    rows = read_manifest(tmp_path / "out")
    assert tuple(rows) == result.rows
    assert rows[0].key == "procedural/chair/0/0"
    assert read_mesh(tmp_path / "out" / rows[0].id / "mesh.glb").face_count == rows[0].faces
    with pytest.raises(DataError, match="already exists"):
        make_procedural(tmp_path / "out", ProceduralConfig(count=1))


def test_procedural_files_pass_the_khronos_validator():
    for category in CATEGORIES:
        assert validate(encode_glb(build(category, 1, texture_resolution=16)[0])) == []
