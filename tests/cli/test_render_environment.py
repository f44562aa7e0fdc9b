"""`polyglyph render --environment`: the panorama lights the object from its own side."""

import numpy as np
import pytest

from polyglyph import cli
from polyglyph.formats.glb import write_glb
from polyglyph.formats.hdr import write_hdr
from polyglyph.formats.model import Material, Part
from polyglyph.formats.png import read_image


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A white board facing +Z, and a panorama whose only light is at its border: at +Z."""
    corners = np.float32([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    board = Part(positions=corners, faces=np.int32([[0, 1, 2], [0, 2, 3]]), material=Material(roughness=1.0))
    write_glb(tmp_path / "board.glb", [board])
    panorama = np.zeros((16, 32, 3))
    panorama[4:12, :4] = panorama[4:12, -4:] = (2.0, 1.0, 0.0)
    write_hdr(tmp_path / "room.hdr", panorama)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def render(*options):
    return cli.main(["render", "board.glb", *map(str, options)])


def middle(path):
    return read_image(path)[16, 16].astype(int)


def test_the_light_comes_from_where_the_panorama_is_bright(files, capfd):
    view = ["--azimuth", 0, "--elevation", 0, "--resolution", 32, "--environment", "room.hdr"]
    for name, turn in (("front.png", 0), ("back.png", 180)):
        assert render("--out", name, *view, "--environment-rotation", turn) == 0, capfd.readouterr().err
    front, back = middle(files / "front.png"), middle(files / "back.png")
    assert front[0] > front[1] > 60 > front[2]
    assert back[0] < front[0] / 4


def test_a_bad_panorama_is_refused_before_anything_is_written(files, capfd):
    write_hdr(files / "square.hdr", np.ones((8, 8, 3)))
    for options, words in (
        (["--environment", "gone.hdr"], "there is no picture `gone.hdr`"),
        (["--environment", "square.hdr", "--dry-run"], "twice as wide as high"),
        (["--environment-rotation", 30], "turns nothing"),
        (["--environment", "room.hdr", "--environment-rotation", 1000], "is 1000.0"),
    ):
        assert render("--out", "a.png", *options) == 2
        said = capfd.readouterr().err
        assert words in said
        assert "hint: " in said
    assert not (files / "a.png").exists()
