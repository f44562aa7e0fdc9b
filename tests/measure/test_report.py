"""The page: what is on it, in which order, and that it asks nothing of the network."""

import base64
import re

import numpy as np
import torch

from polyglyph.formats.png import decode_image
from polyglyph.measure.report import SIDE, Matrices, Portraits, report_html, thumbnails
from polyglyph.measure.shapes import Shape

CROSS = np.array([[9.0, 1.0, 8.0], [2.0, 5.0, 7.0]])
RESULT = {
    "polyglyph": "0",
    "config": {"protocol": {"name": "quick", "points": 64}, "seed": 0},
    "generated": {"source": "ours", "names": ["g0", "g1"], "shapes": 2, "skipped": []},
    "reference": {
        "source": "<theirs>",
        "names": ["r0", "r1", "r2"],
        "shapes": 3,
        "skipped": [{"name": "bad.glb", "reason": "it is <empty>"}],
    },
    "metrics": {
        "cd": {
            "coverage": 2 / 3,
            "minimum_matching_distance": 3.25,
            "minimum_matching_distance_interval": [1.5, 7.0],
            "one_nearest_neighbour_accuracy": 0.75,
            "one_nearest_neighbour_shapes": 2,
        },
        "jsd": 0.125,
    },
}


def page() -> str:
    pictures = [[f"{side}{n}".encode() for n in range(count)] for side, count in (("g", 2), ("r", 3))]
    return report_html(RESULT, {"cd": Matrices(CROSS, np.zeros((3, 3)))}, *pictures)


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def test_numbers_pairs_coverage_and_what_was_skipped_are_told():
    told = text_of(page())
    for words in (
        "ours against &lt;theirs&gt;",
        "COV CD 66.7 %",
        "MMD CD 3.25, 95 % from 1.5 to 7",
        "1-NNA CD 75.0 % 50 % is best, of 2 shapes a side",
        "JSD 0.1250 bits",
        "g0 · r1 · 1 g1 · r0 · 2",  # the nearest pair first
        "r0 · 1 r1 · 1 r2 · 0",
        "bad.glb: it is &lt;empty&gt;",
        "points 64",
    ):
        assert words in told, words


def test_numbers_of_pictures_and_their_protocol_are_told():
    counts = {"generated_pictures": 8, "reference_pictures": 12}
    result = {
        **RESULT,
        "config": {"protocol": {"name": "quick", "pictures": {"camera": {"fov": 49}}}, "seed": 0},
        "generated": {**RESULT["generated"], "pictures": {"light": "albedo"}},
        "reference": {**RESULT["reference"], "pictures": {"light": {"r0": "soft"}}},
        "extractor": {"extractor": "mobilenet_v2"},
        "metrics": {
            "FD-x": {"distance": 12.5, **counts, "dimensions": 9, "warning": "8 are <few>"},
            "KD-x": {"distance": 0.25, "deviation": 0.5, "subsets": 3, "subset_pictures": 4, **counts},
            "pr": {"precision": 0.5, "recall": 0.25, "density": 0.75, "coverage": 1.0, "shapes": 2, **counts},
        },
    }
    html = report_html(result, {}, [], [], portraits=Portraits(CROSS, [b"g0", b"g1"], [b"r0", b"r1", b"r2"]))
    for words in (
        "FD-x 12.5 0 is best; 8 pictures against 12",
        "KD-x 0.25 ± 0.5 0 is best; 8 pictures against 12, 3 subsets of 4",
        "Precision 50.0 %",
        "Recall 25.0 %",
        "Density 0.750",
        "Coverage 100.0 % of the reference; 2 shapes a side",
        "Warning: 8 are &lt;few&gt;.",
        "g0 · r1 · 1 g1 · r0 · 2",
        "camera.fov 49",
        "extractor mobilenet_v2",
        "light albedo",
        "light.r0 soft",
    ):
        assert words in text_of(html), words
    found = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]*)"', html)]
    assert found == [b"g0", b"r1", b"g1", b"r0"]


def test_pictures_stand_beside_their_names():
    found = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]*)"', page())]
    histogram = found.pop(4)
    assert found == [b"g0", b"r1", b"g1", b"r0", b"r0", b"r1", b"r2"]
    assert decode_image(histogram).shape[1] > 500
    assert page().count('<figure class="none">') == 1


def test_the_page_needs_no_network():
    assert "default-src 'none'" in page()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page())


def test_thumbnails_show_the_shape_and_are_kept(tmp_path):
    loads = []

    def load():
        loads.append(1)
        corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        return corners, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])

    def point():
        return torch.ones(3, 3), torch.tensor([[0, 1, 2]])

    shapes = [Shape("a", "a", load), Shape("b", "b", load), Shape("c", "c", point)]
    for _ in range(2):
        found = [decode_image(png) for png in thumbnails(shapes, ["b", "c"], tmp_path)]
        assert len(loads) == 1
    assert [picture.shape[:2] for picture in found] == [(SIDE, SIDE)] * 2
    dark = (found[0][..., :3] < 200).all(axis=-1)
    assert 0.1 < dark.mean() < 0.7
    assert not dark[0].any()
    assert (found[1] == 255).all()  # nothing to see, and no crash
