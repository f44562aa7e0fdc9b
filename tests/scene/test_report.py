"""What is said about a mesh as written."""

import numpy as np
import pytest
import torch

from polyglyph.formats.model import Part
from polyglyph.scene.export import ExportOptions, textured_part
from polyglyph.scene.report import overlap_area, report


def test_seams_of_the_texture_do_not_open_a_mesh(shapes):
    positions, faces = shapes["torus"]()
    part = textured_part(
        positions,
        faces,
        lambda p: torch.zeros_like(p),
        texture_resolution=64,
        options=ExportOptions(unwrap="box"),
    )
    assert len(part.positions) > len(positions)
    found = report(part)
    assert found.closed
    assert found.manifold
    assert found.oriented
    assert (found.euler, found.genus, found.components) == (0, 1, 1)
    assert (found.self_intersections, found.uv_overlap, found.degenerate_faces) == (0, 0.0, 0)


def test_the_genus_is_that_of_all_components_together(shapes):
    ring, its_faces = shapes["torus"]()
    ball, balls_faces = shapes["sphere"]()
    part = Part(np.concatenate([ring, ball + 5]), np.concatenate([its_faces, balls_faces + len(ring)]))
    assert (report(part).components, report(part).genus) == (2, 1)


def test_faults_are_counted(shapes):
    positions, faces = shapes["sphere"]()
    opened = report(Part(positions, faces[1:]))
    assert (opened.closed, opened.boundary_edges, opened.genus) == (False, 3, None)
    turned = faces.copy()
    turned[0] = turned[0, ::-1]
    assert not report(Part(positions, turned)).oriented
    assert report(Part(positions, turned)).genus is None
    doubled = report(Part(positions, np.concatenate([faces, faces[:1]])))
    assert (doubled.duplicate_faces, doubled.nonmanifold_edges) == (1, 3)


@pytest.mark.parametrize(
    ("shift", "expected"), [((0.0, 0.0), 0.125), ((0.25, 0.0), 0.125 * 0.25), ((0.5, 0.0), 0.0)]
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_overlap_of_two_triangles_is_their_common_area(shift, expected, mirrored):
    corner = np.float32([[0, 0], [0.5, 0], [0, 0.5]])
    second = corner[::-1] if mirrored else corner
    uvs = np.concatenate([corner, second + np.float32(shift)])
    found = overlap_area(uvs.astype(np.float32), np.arange(6).reshape(2, 3))
    assert found == pytest.approx(expected, abs=1e-7)
