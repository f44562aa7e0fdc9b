"""`compare`: known sets, the whole record, interruption, several processes, what is refused."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from polyglyph.base.errors import ConfigError, DataError, FormatError
from polyglyph.measure import compare as module
from polyglyph.measure import described as describing
from polyglyph.measure import matrices
from polyglyph.measure.compare import compare
from polyglyph.measure.protocol import METRICS, OF_PICTURES, PROTOCOLS, MeasureConfig, Protocol, protocol_of
from polyglyph.measure.shapes import shapes_of
from polyglyph.shape.get3d.model import SHIPPED_MODEL

QUICK = MeasureConfig(metrics=("cd", "jsd"), protocol=Protocol(name="quick", points=64, per_reference=2))


def boxes(folder, heights, suffix=".ply"):
    """A folder of boxes, one by one metre and as high as said."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, height in enumerate(heights):
        trimesh.creation.box((1, height, 1)).export(folder / f"{number:02d}{suffix}")
    return folder


def test_a_set_against_itself_and_against_another(tmp_path):
    low = boxes(tmp_path / "low", [0.1, 0.2, 0.3, 0.4])
    high = boxes(tmp_path / "high", [3.0, 4.0, 5.0])
    own = compare(low, low, tmp_path / "own", QUICK).result["metrics"]
    assert own["cd"]["coverage"] == 1
    assert own["cd"]["minimum_matching_distance"] == 0
    assert own["cd"]["one_nearest_neighbour_accuracy"] == 0  # each shape's nearest is its copy
    assert own["jsd"] == 0
    other = compare(low, high, tmp_path / "other", QUICK).result["metrics"]
    assert other["cd"]["coverage"] == pytest.approx(1 / 3)
    assert other["cd"]["one_nearest_neighbour_accuracy"] == 1
    assert other["cd"]["one_nearest_neighbour_shapes"] == 3
    assert other["cd"]["minimum_matching_distance"] > 100
    assert other["jsd"] > 0.5
    low_end, high_end = other["cd"]["minimum_matching_distance_interval"]
    assert low_end <= other["cd"]["minimum_matching_distance"] <= high_end


def test_the_result_holds_what_another_program_needs_to_repeat_it(tmp_path):
    low, high = boxes(tmp_path / "low", [0.1, 0.2]), boxes(tmp_path / "high", [3.0, 4.0])
    done = compare(low, high, tmp_path / "out", replace(QUICK, seed=5, limit=1))
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told == done.result
    assert told["config"]["protocol"]["points"] == 64
    assert told["config"]["protocol"]["chamfer"] == "squared_sum"
    assert told["config"]["seed"] == 5
    assert told["generated"]["names"] == ["00.ply"]
    assert told["reference"]["source"] == "high"
    assert str(tmp_path) not in json.dumps(told)
    assert told["metrics"]["cd"]["minimum_matching_distance_interval"] is None  # of one shape there is none


def test_chamfer_is_the_protocols(tmp_path):
    a, b = boxes(tmp_path / "a", [1.0]), boxes(tmp_path / "b", [0.5])
    found = {}
    for kind in ("squared_sum", "squared_mean", "unsquared_sum", "unsquared_mean"):
        config = replace(QUICK, metrics=("cd",), protocol=replace(QUICK.protocol, chamfer=kind))
        found[kind] = compare(a, b, tmp_path / kind, config).result["metrics"]["cd"][
            "minimum_matching_distance"
        ]
    assert found["squared_sum"] == pytest.approx(2 * found["squared_mean"])
    assert found["unsquared_sum"] == pytest.approx(2 * found["unsquared_mean"])
    assert found["unsquared_sum"] > found["squared_sum"]
    assert found["squared_sum"] > 1  # times 1000


def test_light_fields_of_a_model_and_of_meshes(tmp_path):
    reference = boxes(tmp_path / "boxes", [0.2, 2.0])
    config = replace(QUICK, metrics=("lfd",), protocol=replace(QUICK.protocol, per_reference=1))
    told = compare(SHIPPED_MODEL, reference, tmp_path / "out", config).result
    assert told["generated"]["kind"] == "model"
    assert told["generated"]["names"] == ["seed 0", "seed 1"]
    assert told["metrics"].keys() == {"lfd"}
    assert told["metrics"]["lfd"]["minimum_matching_distance"] > 1000


def test_a_broken_mesh_is_skipped_and_named(tmp_path):
    folder = boxes(tmp_path / "meshes", [0.1, 0.2])
    (folder / "01.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\n")
    trimesh.Trimesh(np.ones((3, 3)), [[0, 1, 2]], process=False).export(folder / "02.ply")
    told = compare(folder, boxes(tmp_path / "other", [1.0]), tmp_path / "out", QUICK).result["generated"]
    assert told["names"] == ["00.ply"]
    assert [one["name"] for one in told["skipped"]] == ["01.ply", "02.ply"]
    assert all(one["reason"] for one in told["skipped"])


def test_an_interrupted_run_goes_on_without_working_anything_out_again(tmp_path, monkeypatch):
    low, high = boxes(tmp_path / "low", [0.1, 0.2, 0.3]), boxes(tmp_path / "high", [3.0, 4.0])
    expected = compare(low, high, tmp_path / "whole", QUICK).result
    monkeypatch.setattr(matrices, "ROWS", 1)
    made, worked = [], []
    whole, rows = describing._made, matrices.chamfer_row

    def stopping(shape, *rest):
        if len(made) == 3:
            made.append("stop")
            raise KeyboardInterrupt
        made.append(shape.name)
        return whole(shape, *rest)

    def counted(*arguments, **options):
        worked.append(1)
        if len(worked) == 4:
            raise KeyboardInterrupt
        return rows(*arguments, **options)

    monkeypatch.setattr(describing, "_made", stopping)
    monkeypatch.setattr(matrices, "chamfer_row", counted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            compare(low, high, tmp_path / "out", QUICK)
    assert compare(low, high, tmp_path / "out", QUICK).result == expected
    assert made == ["00.ply", "01.ply", "02.ply", "stop", "00.ply", "01.ply"]
    assert len(worked) == 3 + 2 + 2 + 1  # each row once, and once more the one that was interrupted
    compare(low, high, tmp_path / "out", QUICK)
    assert len(worked) == 8


def test_two_processes_come_to_what_one_does(tmp_path, monkeypatch):
    low, high = boxes(tmp_path / "low", [0.1, 0.2, 0.3, 0.5]), boxes(tmp_path / "high", [3.0, 4.0])
    expected = compare(low, high, tmp_path / "one", QUICK).result
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert compare(low, high, tmp_path / "two", QUICK).result == expected
        assert (tmp_path / "two" / "result.json").is_file() == (rank == "0")


def test_two_processes_at_once_come_to_the_same(tmp_path):
    low, high = boxes(tmp_path / "low", [0.1, 0.2, 0.3, 0.5]), boxes(tmp_path / "high", [3.0, 4.0])
    program = "from polyglyph.cli import main; raise SystemExit(main())"
    words = [sys.executable, "-c", program, "measure", str(low), str(high), "--metrics", "cd", "--json"]
    started = [
        subprocess.Popen(
            [*words, "--out", str(tmp_path / "out")],
            env=os.environ | {"RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )
        for rank in "01"
    ]
    told = [json.loads(process.communicate()[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert told[0] == told[1]
    assert json.loads((tmp_path / "out" / "result.json").read_text())["metrics"] == told[0]["metrics"]


@pytest.mark.parametrize(("rank", "world"), [("2", "2"), ("first", "2"), ("0", "0")])
def test_a_launcher_that_makes_no_sense_is_refused(tmp_path, monkeypatch, rank, world):
    low = boxes(tmp_path / "low", [0.1])
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(ConfigError, match="do not fit") as caught:
        compare(low, low, tmp_path / "out", QUICK)
    assert caught.value.fix


def test_a_model_is_known_by_its_settings_too(tmp_path):
    keys = []
    for number in range(2):
        shutil.copytree(SHIPPED_MODEL, tmp_path / str(number))
        path = tmp_path / str(number) / "config.json"
        path.write_text(path.read_text() + " " * number)
        keys.append(shapes_of(tmp_path / str(number), drawn=1).shapes[0].key)
    assert keys[0] != keys[1]


def test_the_order_and_company_of_shapes_change_nothing_about_their_points(tmp_path):
    few, many = boxes(tmp_path / "few", [0.2]), boxes(tmp_path / "many", [0.1, 0.2, 0.3])
    first = describing.describe_shapes(
        shapes_of(few).shapes, tmp_path / "a", QUICK.protocol, light_fields=False, seed=0, label="x"
    )
    second = describing.describe_shapes(
        shapes_of(many).shapes, tmp_path / "b", QUICK.protocol, light_fields=False, seed=0, label="x"
    )
    assert torch.equal(first.points[0], second.points[1])
    assert not torch.equal(second.points[0], second.points[1])
    low, high = second.points.amin(dim=1), second.points.amax(dim=1)
    assert ((high - low).amax(dim=1) > 0.9).all()
    assert ((high - low).amax(dim=1) <= 1).all()


def test_a_shape_is_known_by_the_buffers_beside_it_too(tmp_path):
    (tmp_path / "a.gltf").write_text("{}")
    keys = []
    for content in (b"", b"one", b"two"):
        (tmp_path / "a.bin").write_bytes(content)
        keys.append(shapes_of(tmp_path).shapes[0].key)
    assert len(set(keys)) == 3


def test_another_run_in_the_same_place_is_refused(tmp_path):
    low, high = boxes(tmp_path / "low", [0.1, 0.2]), boxes(tmp_path / "high", [3.0])
    compare(low, high, tmp_path / "out", QUICK)
    with pytest.raises(DataError, match="begun with other shapes or settings") as caught:
        compare(low, high, tmp_path / "out", replace(QUICK, seed=1))
    assert caught.value.fix
    with pytest.raises(DataError, match="begun with other shapes or settings"):
        compare(high, low, tmp_path / "out", QUICK)
    with pytest.raises(DataError, match="holds something else"):
        compare(low, high, low, QUICK)
    assert len(list(low.iterdir())) == 2


def test_what_cannot_be_measured_is_refused_before_anything_is_written(tmp_path):
    low = boxes(tmp_path / "low", [0.1])
    (tmp_path / "empty").mkdir()
    for generated, reference, message in (
        (tmp_path / "nowhere", low, "no file or folder"),
        (low, tmp_path / "empty", "holds no meshes"),
        (low, SHIPPED_MODEL, "is a model"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            compare(generated, reference, tmp_path / "out", QUICK)
        assert caught.value.fix
        assert not (tmp_path / "out").exists()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.glb").write_text("not a mesh")
    with pytest.raises(DataError, match=r"no shape of `text` can be measured: a\.glb: "):
        compare(tmp_path / "text", low, tmp_path / "out", QUICK)


def test_a_broken_cache_file_is_named(tmp_path):
    low = boxes(tmp_path / "low", [0.1])
    compare(low, low, tmp_path / "out", QUICK)
    for path in (tmp_path / "out" / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(FormatError, match="cache") as caught:
        compare(low, low, tmp_path / "out", QUICK)
    assert caught.value.fix


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MeasureConfig(metrics=()),
        lambda: MeasureConfig(metrics=("cd", "cd")),
        lambda: MeasureConfig(limit=0),
        lambda: Protocol(points=0),
        lambda: Protocol(per_reference=0),
        lambda: Protocol(chamfer_factor=0),
        lambda: protocol_of("get4d"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert caught.value.fix


def test_protocols_are_known_by_their_names():
    assert all(protocol.name == name and protocol.source for name, protocol in PROTOCOLS.items())
    get3d = protocol_of("get3d")
    assert (get3d.points, get3d.normalisation, get3d.chamfer, get3d.chamfer_factor) == (
        2048,
        "box",
        "squared_sum",
        1000,
    )
    assert (get3d.per_reference, get3d.truncation) == (5, 1)
    assert (*MeasureConfig().metrics, *sorted(OF_PICTURES)) == METRICS
    assert not MeasureConfig().of_pictures
    assert module.RESULT == "result.json"


def test_only_the_outer_surface_is_compared_where_that_is_asked(tmp_path):
    """A box with another inside is the empty box, seen from outside."""
    empty, full = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((0.5, 0.5, 0.5))
    for name, mesh in (("empty", empty), ("full", trimesh.util.concatenate([empty, full]))):
        (tmp_path / name).mkdir()
        mesh.export(tmp_path / name / "box.ply")
    found, points = {}, {}
    shapes = shapes_of(tmp_path / "full").shapes
    for surface in ("all", "outer"):
        protocol = replace(QUICK.protocol, surface=surface, points=512)
        held = describing.describe_shapes(  # both kinds may share a cache
            shapes, tmp_path / "shared", protocol, light_fields=0, seed=0, label="shapes"
        )
        points[surface] = held.points
        config = replace(QUICK, metrics=("cd",), protocol=protocol)
        done = compare(tmp_path / "full", tmp_path / "empty", tmp_path / surface, config).result
        assert done["config"]["protocol"]["surface"] == surface
        found[surface] = done["metrics"]["cd"]["minimum_matching_distance"]
    assert found["outer"] < 0.5 * found["all"]
    assert points["all"].abs().amax(dim=2).min() < 0.3
    assert points["outer"].abs().amax(dim=2).min() > 0.45
