"""The programs of examples/, fewer steps than they take by themselves: they run, and come closer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
NUMBER = re.compile(r"-?\d+\.\d+")


def told(name, *options):
    """The numbers that an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, options)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in NUMBER.findall(done.stdout)]


def test_every_example_is_listed_and_tried_here():
    programs = {path.stem for path in EXAMPLES.glob("*.py")} - {"scene"}
    assert programs == {"triangle", "cube", "sphere_texture", "environment", "pose"}
    assert all(f"[{name}.py]" in (EXAMPLES / "README.md").read_text() for name in programs)


def test_triangle(tmp_path):
    covered, *_, expected = told("triangle", "--out", tmp_path / "triangle.png")
    assert covered == pytest.approx(expected, rel=0.02)
    with Image.open(tmp_path / "triangle.png") as picture:
        assert picture.size == (256, 256)


def test_cube():
    before, after, shade = told("cube", "--steps", 200)
    assert after < before / 5
    assert shade < 0.1


def test_sphere_texture():
    before, after = told("sphere_texture", "--steps", 40)
    assert after > before + 5


def test_environment():
    before, after = told("environment", "--steps", 60)
    assert after > before + 5


def test_pose():
    before, after = told("pose", "--steps", 120)
    assert before > 10
    assert after < 2
