"""Bad files through the real command line: exit code 2, one `error:`, one `hint:`, nothing left behind."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from polyglyph.formats.glb import encode_glb
from polyglyph.formats.model import Material, Part


def snapshot(folder):
    """Every file below `folder`, hidden and temporary ones too, with its bytes."""
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def refused(polyglyph, tmp_path):
    """Run a command that must be refused; its message. Asserts the form, and that nothing was written."""

    def run(*arguments, folder=tmp_path, silent=True):
        before = snapshot(tmp_path)
        done = polyglyph(*arguments, folder=folder)
        assert done.returncode == 2, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        assert done.stdout == "" or not silent
        said, _, hint = done.stderr.rstrip("\n").partition("\n\nhint: ")
        message = said.splitlines()[-1]
        assert message.startswith("error: ")
        assert hint
        assert "\n" not in hint
        after = snapshot(tmp_path)
        assert after == before, f"left behind: {sorted(map(str, set(after) - set(before)))}"
        return message

    return run


def triangle():
    return Part(np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.int32([[0, 1, 2]]))


def textured():
    part = triangle()
    part.uvs = np.float32([[0, 0], [1, 0], [0, 1]])
    part.material = Material(base_color_image=np.full((4, 4, 3), 90, np.uint8))
    return part


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nmtllib mat.mtl\nusemtl wood\nf 1/1 2/2 3/3\n"


def write_nan_glb(path):
    data = bytearray(encode_glb([triangle()]))
    place = bytes(data).find(np.float32([1, 0, 0]).tobytes())
    assert place > 0
    data[place : place + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(bytes(data))


def write_bad(kind, folder):
    """One bad mesh file of a kind; its path."""
    path = folder / "mesh.glb"
    if kind == "truncated":
        path.write_bytes(encode_glb([textured()])[:-100])
    elif kind == "header only":
        path.write_bytes(encode_glb([triangle()])[:12])
    elif kind == "eleven bytes":
        path.write_bytes(encode_glb([triangle()])[:11])
    elif kind == "zero bytes":
        path.write_bytes(b"")
    elif kind == "text named glb":
        path.write_text("v 0 0 0\nv 1 0 0\n")
    elif kind == "NaN vertices":
        write_nan_glb(path)
    elif kind == "no faces":
        path = folder / "mesh.obj"
        path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    elif kind == "NaN in text":
        path = folder / "mesh.obj"
        path.write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    elif kind == "random bytes":
        path = folder / "mesh.ply"
        path.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)))
    elif kind == "unknown suffix":
        path = folder / "mesh.docx"
        path.write_text("hello")
    else:
        raise ValueError(kind)
    return path


BAD = [
    "truncated",
    "header only",
    "eleven bytes",
    "zero bytes",
    "text named glb",
    "NaN vertices",
    "no faces",
    "NaN in text",
    "random bytes",
    "unknown suffix",
]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_mesh_is_refused_by_every_verb_that_reads_one(refused, kind, tmp_path):
    path = write_bad(kind, tmp_path)
    assert path.name in refused("render", path.name, "--out", "picture.png")
    refused("import", path.name, "out")


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        ("import", ["out"]),
        ("dataset", ["out"]),
        ("train", ["--out", "out"]),
        ("sample", ["--out", "out"]),
        ("render", ["--out", "out.png"]),
        ("inspect", []),
    ],
)
def test_an_empty_folder_is_refused_and_named(refused, verb, rest, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(verb, "empty", *rest, silent=verb != "inspect")  # a report comes before


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        ("import", ["out"]),
        ("dataset", ["out"]),
        ("train", ["--out", "out"]),
        ("sample", ["--out", "out"]),
        ("render", ["--out", "out.png"]),
        ("inspect", []),
    ],
)
def test_a_path_that_is_not_there_is_refused_and_named(refused, verb, rest, tmp_path):
    assert "nowhere" in refused(verb, "nowhere", *rest)


@pytest.mark.parametrize("kind", BAD)
def test_inspect_says_what_is_wrong_with_a_bad_mesh(refused, kind, tmp_path):
    path = write_bad(kind, tmp_path)
    assert path.name in refused("inspect", path.name, silent=False)


def zipped(folder, names):
    path = folder / "meshes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "name", ["../evil.obj", "/tmp/evil.obj", "a/../../evil.obj", "..\\evil.obj", "C:\\evil.obj"]
)
def test_a_zip_that_points_outside_itself_is_refused_by_name(refused, name, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    zipped(inside, {"good.obj": OBJ, name: OBJ})
    assert "evil.obj" in refused("import", "meshes.zip", "out", folder=inside)


def test_a_zip_that_is_cut_short_is_refused(refused, tmp_path):
    path = zipped(tmp_path, {"good.obj": OBJ * 50})
    path.write_bytes(path.read_bytes()[:-30])
    refused("import", "meshes.zip", "out")


def good_beside(folder, name, text):
    (folder / "meshes").mkdir()
    (folder / "meshes" / "good.glb").write_bytes(encode_glb([textured()]))
    (folder / "meshes" / name).write_text(text)
    return folder / "meshes"


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "unknown suffix"])
def test_one_bad_mesh_among_good_ones_is_skipped_and_named_and_never_fatal(polyglyph, kind, tmp_path):
    folder = tmp_path / "meshes"
    folder.mkdir()
    (folder / "good.glb").write_bytes(encode_glb([textured()]))
    bad = write_bad(kind, tmp_path)
    bad.rename(folder / f"bad{bad.suffix}")
    done = polyglyph("import", "meshes", "out", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["kept"] == 1
    assert [row["name"] for row in answer["skipped"]] == ["bad"]
    assert answer["skipped"][0]["reason"]
    assert len(manifest(tmp_path / "out")) == 1


def test_a_mesh_without_its_mtl_is_kept_with_a_warning(polyglyph, tmp_path):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "chair.obj").write_text(OBJ)
    done = polyglyph("import", "meshes", "out")
    assert done.returncode == 0, done.stderr
    (row,) = manifest(tmp_path / "out")
    assert any("mat.mtl" in warning for warning in row["warnings"])
    assert not row["textured"]


def test_a_texture_of_zero_bytes_is_left_out_with_a_warning(polyglyph, tmp_path):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "chair.obj").write_text(OBJ)
    (tmp_path / "meshes" / "mat.mtl").write_text("newmtl wood\nKd 1 1 1\nmap_Kd wood.png\n")
    (tmp_path / "meshes" / "wood.png").write_bytes(b"")
    done = polyglyph("import", "meshes", "out")
    assert done.returncode == 0, done.stderr
    (row,) = manifest(tmp_path / "out")
    assert any("wood.png" in warning for warning in row["warnings"])
    assert not row["textured"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A copy of the shipped model, small enough to change."""
    import shutil

    import polyglyph.shape.get3d

    shipped = Path(polyglyph.shape.get3d.__file__).parent / "models" / "furniture"
    copy = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(shipped, copy)
    return copy


def changed_model(model_folder, tmp_path, change):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    change(folder)
    return folder


def edit_config(**changes):
    def change(folder):
        path = folder / "config.json"
        config = json.loads(path.read_text())
        for name, value in changes.items():
            place = config
            *parents, last = name.split("__")
            for parent in parents:
                place = place[parent]
            place[last] = value
        path.write_text(json.dumps(config))

    return change


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def pickle_weights(folder):
    import pickle

    (folder / "model.safetensors").write_bytes(pickle.dumps({"weights": [1.0]}))


def huge_header(folder):
    (folder / "model.safetensors").write_bytes((2**40).to_bytes(8, "little") + b"{}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit_config(typpo=1), "typpo"),
        (cut_weights, "model.safetensors"),
        (pickle_weights, "model.safetensors"),
        (huge_header, "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json"),
    ],
)
def test_a_broken_model_folder_is_refused_and_the_file_named(refused, change, said, model_folder, tmp_path):
    changed_model(model_folder, tmp_path, change)
    assert said in refused("sample", "model", "--out", "out", "--count", "1")


def test_an_output_that_is_there_is_not_replaced_without_force(refused, tmp_path):
    (tmp_path / "mesh.glb").write_bytes(encode_glb([triangle()]))
    (tmp_path / "picture.png").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert "picture.png" in refused("render", "mesh.glb", "--out", "picture.png")
    for arguments in (
        ["import", "mesh.glb", "out"],
        ["procedural", "chair", "out", "--count", "1"],
        ["sample", "--out", "out", "--count", "1"],
        ["demo", "--out", "out"],
    ):
        assert "`out` already exists" in refused(*arguments)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(refused, tmp_path):
    (tmp_path / "mesh.glb").write_bytes(encode_glb([triangle()]))
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "locked" in refused("import", "mesh.glb", "locked/out")


def test_an_output_below_a_file_is_refused(refused, tmp_path):
    (tmp_path / "mesh.glb").write_bytes(encode_glb([triangle()]))
    refused("import", "mesh.glb", "mesh.glb/out")
    refused("render", "mesh.glb", "--out", "mesh.glb/picture.png")
