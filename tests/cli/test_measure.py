"""`polyglyph measure`: the table, the JSON, mistakes."""

import json

import pytest
import trimesh
from measure.pictured import Quarters

from polyglyph.base.errors import ConfigError, DataError, FormatError
from polyglyph.cli.measure import main
from polyglyph.measure import extractors


@pytest.fixture
def sets(tmp_path):
    for name, heights in (("low", (0.1, 0.2)), ("high", (2.0, 3.0))):
        (tmp_path / name).mkdir()
        for height in heights:
            trimesh.creation.box((1, height, 1)).export(tmp_path / name / f"{height}.ply")
    return tmp_path


def run(sets, *options):
    return main([str(sets / "low"), str(sets / "high"), "--out", str(sets / "out"), *options])


def test_the_table_and_the_json_tell_the_same(sets, capsys):
    assert run(sets, "--metrics", "cd", "jsd") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 shapes of low against 2 of high"
    assert [line.split()[0] for line in lines[1:]] == ["COV", "MMD", "1-NNA", "JSD"]
    assert run(sets, "--metrics", "cd", "jsd", "--json") == 0  # again: read from the cache
    told = json.loads(capsys.readouterr().out)
    assert told["metrics"]["cd"]["coverage"] == 0.5
    assert "50 %" in lines[1]
    assert f"{told['metrics']['cd']['minimum_matching_distance']:.4g}" in lines[2]
    assert told["metrics"]["cd"]["one_nearest_neighbour_accuracy"] == 1


def test_other_alignments_have_another_name(sets, capsys):
    assert run(sets, "--metrics", "lfd", "--alignments", "2") == 0
    assert "LFD-2" in capsys.readouterr().out
    told = json.loads((sets / "out" / "result.json").read_text())
    assert told["metrics"].keys() == {"lfd-2"}
    assert told["config"]["protocol"]["light_fields"] == 2


def test_a_skipped_mesh_is_told(sets, capsys):
    (sets / "low" / "broken.glb").write_text("not a mesh")
    assert run(sets, "--metrics", "cd") == 0
    assert "skipped broken.glb: " in capsys.readouterr().out


def test_pictures_are_compared_and_told(sets, capsys, monkeypatch):
    asked = []

    def loaded(name, weights, device):
        asked.append((name, weights))
        return Quarters()

    monkeypatch.setattr(extractors, "load_extractor", loaded)
    options = ("--metrics", "fid", "kid", "pr", "--resolution", "16", "--views", "3")
    options += ("--extractor", "efficientnet_lite0", "--object-size", "0.5", "--camera", "animal")
    options += ("--generated-light", "flat")
    assert run(sets, *options) == 0
    assert asked == [("efficientnet_lite0", None)]
    lines = capsys.readouterr().out.splitlines()
    words = ["2", "FD-quarters", "warning:", "KD-quarters", "precision", "recall", "density", "coverage"]
    assert [line.split()[0] for line in lines] == words
    assert lines[1].endswith("6 pictures against 6")
    told = json.loads((sets / "out" / "result.json").read_text())
    assert f"{told['metrics']['FD-quarters']['distance']:.4g}" in lines[1]
    assert f"{told['metrics']['pr']['density']:.4g}" in lines[6]
    seen = told["generated"]["pictures"]
    assert (seen["resolution"], seen["views"], seen["object_size"], seen["light"]) == (16, 3, 0.5, "flat")
    assert told["reference"]["pictures"]["camera"]["elevation"] == [0, 45]
    assert told["reference"]["pictures"]["light"] == "soft"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--protocol", "get4d"), ConfigError, "no protocol `get4d`"),
        (("--metrics", "is"), ConfigError, "`is`"),
        (("--metrics", "fid", "--extractor", "vgg"), ConfigError, "`--extractor` cannot be `vgg`"),
        (("--metrics", "cd", "--weights", "a.pth"), ConfigError, "no picture is looked at"),
        (("--metrics", "fid", "--weights", "nowhere.pth"), DataError, "no file"),
        (("--metrics", "fid", "--weights", __file__), FormatError, "test_measure.py"),
        (("--metrics", "fid", "--extractor", "inception_v3"), DataError, "none is installed"),
        (("--metrics", "fid", "--views", "0"), ConfigError, "views` is 0"),
        (("--metrics", "fid", "--resolution", "4"), ConfigError, "`resolution` is 4"),
        (("--metrics", "fid", "--camera", "shapenot"), ConfigError, "neither a camera preset nor a file"),
        (("--metrics", "fid", "--split", "train"), ConfigError, "neither side is a data set"),
        (("--split", "trian"), ConfigError, "trian"),
        (("--limit", "0"), ConfigError, "`limit` is 0"),
        (("--alignments", "0"), ConfigError, "light_fields` is 0"),
    ],
)
def test_mistakes_are_refused(sets, options, error, message):
    with pytest.raises(error, match=message) as caught:
        run(sets, *options)
    assert caught.value.fix
    assert not (sets / "out").exists()


def test_a_place_that_is_taken_is_refused(sets):
    (sets / "out").mkdir()
    (sets / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else"):
        run(sets)
    assert (sets / "out" / "mine.txt").read_text() == "mine"
