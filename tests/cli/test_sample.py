"""`polyglyph sample` as a person meets it, with the shipped model."""

import json

import pytest

from polyglyph import cli
from polyglyph.cli.sample import _line
from polyglyph.shape.get3d.sample_folder import Sampled

SOUND = {
    "name": "chair_0003", "recipe": "seed 3", "truncation": 0.7, "file": "chair_0003.glb", "faces": 10000,
    "vertices": 7000, "faces_cut": 12000, "faces_dropped_by_cleaning": 500,
    "faces_dropped_by_decimation": 1500, "closed": True, "manifold": True, "oriented": True, "components": 1,
    "euler": 2, "genus": 0, "degenerate_faces": 0, "duplicate_faces": 0, "boundary_edges": 0,
    "nonmanifold_edges": 0, "self_intersections": 0, "uv_overlap": 0.0, "texture_resolution": 1024,
    "texture_coverage": 0.6, "atlas": "xatlas", "atlas_reason": "", "seconds": 1.54,
}  # fmt: skip


@pytest.fixture
def polyglyph(tmp_path, monkeypatch, capfd):
    """Run `polyglyph ARGUMENTS` in `tmp_path`: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NO_COLOR", "1")
        capfd.readouterr()
        return cli.main([str(argument) for argument in arguments]), *capfd.readouterr()

    return run


def test_a_dry_run_says_which_meshes_with_how_many_triangles_and_texels(polyglyph, tmp_path):
    options = ["--count", 4, "--truncations", 0, 0.5, "--lods", 9000, 800, "--dry-run"]
    code, out, _ = polyglyph("sample", "--out", "a", *options)
    assert code == 0
    assert "8 meshes" in out
    assert "at most 9000 triangles with 1024x1024 texels, at most 800 triangles with 512x512 texels" in out
    assert "chair_0000_truncation_0_5.glb: seed 0, truncation 0.5" in out
    assert out.rstrip().endswith("and 2 more")
    told = json.loads(polyglyph("sample", "--out", "a", *options, "--json")[1])
    assert len(told["meshes"]) == 8
    assert told["config"]["lods"] == [9000, 800]
    assert list(tmp_path.iterdir()) == []


def test_a_mesh_that_is_left_out_is_named_and_no_failure(polyglyph, tmp_path, monkeypatch):
    from polyglyph.shape.get3d import sample_pool

    true_run = sample_pool._run_here

    def first_is_late(tasks, function, seconds):
        for number, outcome in enumerate(true_run(tasks, function, seconds)):
            yield outcome if number else outcome._replace(result=None, reason="it took longer than 1 s")

    monkeypatch.setattr(sample_pool, "_run_here", first_is_late)
    small = ["--texture-resolution", 32, "--view-resolution", 32, "--faces", 500, "--workers", 1]
    code, out, _ = polyglyph("sample", "--out", "a", "--count", 2, *small)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("chair_0001.glb: 500 triangles, closed, ")
    assert lines[1] == "left out chair_0000: it took longer than 1 s"
    assert lines[2] == "1 of 2 meshes, sheet.png and index.html in a"
    assert polyglyph("sample", "--out", "a", "--count", 1)[0] == 2  # there already
    code, out, _ = polyglyph("sample", "--out", "a", "--count", 2, *small, "--force", "--json")
    assert [row["name"] for row in json.loads(out)["left_out"]] == ["chair_0000"]
    assert json.loads(out)["meshes"][0]["closed"] is True


def test_all_meshes_too_slow_is_a_mistake_with_a_way_out(polyglyph):
    code, out, said = polyglyph("sample", "--out", "a", "--count", 1, "--mesh-seconds", "1e-9")
    assert (code, out) == (2, "")
    assert "none of the 1 meshes could be made" in said
    assert "--mesh-seconds" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "chair_0003.glb: 10000 triangles, closed, xatlas atlas, 1.5 s"),
        ({"closed": False}, "triangles, open, xatlas"),
        ({"manifold": False, "degenerate_faces": 2}, "closed, not manifold, 2 faces without area,"),
        (
            {"self_intersections": 4, "uv_overlap": 0.01},
            "4 self-intersections, 1.00% of the texture overlaps",
        ),
        ({"lods": [{"faces": 900}, {"faces": 90}]}, "xatlas atlas, levels of 900, 90, 1.5 s"),
    ],
)
def test_a_line_says_what_is_wrong_with_a_mesh(change, words):
    assert words in _line(Sampled(**(SOUND | change)))
