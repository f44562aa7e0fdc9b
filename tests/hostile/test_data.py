"""Bad sources, mesh folders, datasets: a typed error with a fix, a named skip, nothing half-written."""

import json
import zipfile

import numpy as np
import pytest

from polyglyph.base.errors import ConfigError, DataError, FormatError, PolyglyphError
from polyglyph.formats.glb import write_glb
from polyglyph.formats.model import Part
from polyglyph.formats.png import encode_png
from polyglyph.shape.data import importing
from polyglyph.shape.data.cameras import Placement, sample_angles, write_cameras
from polyglyph.shape.data.config import CameraDistribution, DatasetConfig, ImportConfig
from polyglyph.shape.data.dataset import DatasetInfo, load_dataset
from polyglyph.shape.data.get3d_layout import read_get3d, write_get3d
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.inspect import inspect_path
from polyglyph.shape.data.manifest import read_manifest
from polyglyph.shape.data.rendering import render_dataset
from polyglyph.shape.data.shards import write_shards
from polyglyph.shape.data.split import write_split

OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
IDS = ["0000_a", "0001_b"]


@pytest.fixture
def source(tmp_path):
    """A folder with one good mesh, to which each test adds a bad one."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "good.obj").write_text(OBJ)
    return folder


@pytest.fixture
def data(tmp_path):
    """A small whole dataset."""
    folder, lens = tmp_path / "data", CameraDistribution()
    for identity in IDS:
        (folder / "images" / identity).mkdir(parents=True)
        for view in range(2):
            picture = np.full((8, 8, 4), 100 + view, dtype=np.uint8)
            (folder / "images" / identity / f"{view:02d}.png").write_bytes(encode_png(picture))
    angles = {identity: sample_angles(lens, identity, 2, 0) for identity in IDS}
    write_cameras(folder / "cameras.json", lens, angles, {i: Placement((0.0, 0.0, 0.0), 1.0) for i in IDS})
    write_split(folder / "split.json", {"train": IDS[:1], "val": [], "test": IDS[1:]})
    info = {"views": 2, "resolution": 8, "objects": 2, "pictures": 4}
    assert set(info) <= set(DatasetInfo.__dataclass_fields__)
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


def leftovers(folder):
    """Everything beside what the test put there."""
    return sorted(path.name for path in folder.iterdir() if path.name not in ("source", "data"))


def truncated_glb(folder):
    triangle = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    part = Part(positions=triangle, faces=np.array([[0, 1, 2]], dtype=np.int32))
    write_glb(folder / "bad.glb", [part])
    path = folder / "bad.glb"
    path.write_bytes(path.read_bytes()[:-30])


BAD = {
    "truncated GLB": truncated_glb,
    "NaN vertices": lambda folder: (folder / "bad.obj").write_text(
        OBJ.replace("1 0 0", "nan 0 0").replace("0 0 1", "nan 0 1").replace("0 1 0", "0 inf 0")
    ),
    "no faces": lambda folder: (folder / "bad.obj").write_text("v 0 0 0\nv 1 0 0\n"),
    "0 bytes": lambda folder: (folder / "bad.glb").write_bytes(b""),
    "text named .glb": lambda folder: (folder / "bad.glb").write_text("hello, I am no mesh at all"),
    "one point": lambda folder: (folder / "bad.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n"),
    "one line": lambda folder: (folder / "bad.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n"),
    "faces beyond the vertices": lambda folder: (folder / "bad.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"
    ),
    "a PNG named .ply": lambda folder: (folder / "bad.ply").write_bytes(
        encode_png(np.zeros((2, 2, 3), np.uint8))
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_mesh_is_skipped_and_named_and_the_good_one_kept(source, tmp_path, kind):
    BAD[kind](source)
    result = import_meshes(source, tmp_path / "out", ImportConfig(workers=1))
    assert [row.name for row in result.kept] == ["good"]
    assert [row.name for row in result.skipped] == ["bad"]
    assert result.skipped[0].reason
    assert "bad" in (tmp_path / "out" / "skipped.jsonl").read_text()
    folders = [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert folders == [result.kept[0].id]
    assert "bad" in str(inspect_path(source).problems)


@pytest.mark.parametrize("kind", BAD)
def test_a_source_of_bad_meshes_only_is_an_error_and_leaves_nothing(source, tmp_path, kind):
    (source / "good.obj").unlink()
    BAD[kind](source)
    with pytest.raises(DataError, match="none of 1") as caught:
        import_meshes(source, tmp_path / "out", ImportConfig(workers=1))
    assert caught.value.fix
    assert leftovers(tmp_path) == []


def test_a_missing_mtl_and_an_empty_texture_are_warnings_not_losses(source, tmp_path):
    (source / "lost.obj").write_text("mtllib gone.mtl\nusemtl a\n" + OBJ)
    textured = (
        "mtllib m.mtl\n"
        + OBJ.split("f ")[0]
        + "vt 0 0\nvt 1 0\nvt 0 1\nusemtl a\nf 1/1 3/3 2/2\nf 1/1 2/2 4/3\n"
    )
    (source / "empty.obj").write_text(textured)
    (source / "m.mtl").write_text("newmtl a\nKd 1 0 0\nmap_Kd zero.png\n")
    (source / "zero.png").write_bytes(b"")
    result = import_meshes(source, tmp_path / "out", ImportConfig(workers=1))
    rows = {row.name: row for row in result.kept}
    assert any("gone.mtl" in warning for warning in rows["lost"].warnings)
    assert any("zero.png" in warning for warning in rows["empty"].warnings)
    assert not rows["empty"].textured


@pytest.mark.parametrize(
    "name", ["../evil.obj", "/tmp/evil.obj", "a/../../evil.obj", "..\\evil.obj", "C:/evil.obj"]
)
def test_a_zip_with_a_name_that_points_outside_is_refused(tmp_path, name):
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.obj", OBJ)
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, OBJ)
    with pytest.raises(DataError, match="outside"):
        import_meshes(path, tmp_path / "out")
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "evil.obj").exists()


def test_a_zip_with_a_link_in_it_is_refused(tmp_path):
    path = tmp_path / "source"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link.obj")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="outside"):
        import_meshes(path, tmp_path / "out")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a zip"])
def test_a_damaged_zip_is_refused(tmp_path, content):
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    with pytest.raises(PolyglyphError) as caught:
        import_meshes(path, tmp_path / "out")
    assert caught.value.fix
    assert leftovers(tmp_path) == ["bad.zip"]


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match="no mesh"):
        import_meshes(tmp_path / "source", tmp_path / "out")
    with pytest.raises(DataError, match="nothing at"):
        import_meshes(tmp_path / "nowhere", tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_a_mesh_that_cannot_be_written_leaves_no_folder_behind(source, tmp_path, monkeypatch):
    def refuse(path, parts, *, name, extras):
        path.write_bytes(b"half")
        if name == "second":
            raise FormatError("it has too many faces", fix="simplify it")

    (source / "second.obj").write_text(OBJ)
    monkeypatch.setattr(importing, "write_glb", refuse)
    result = import_meshes(source, tmp_path / "out", ImportConfig(workers=1))
    assert [row.reason for row in result.skipped] == ["it has too many faces"]
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["0000_good"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_import_leaves_nothing(source, tmp_path, monkeypatch, interruption):
    def stop(*arguments, **options):
        raise interruption

    (source / "second.obj").write_text(OBJ)
    monkeypatch.setattr(importing, "signature", stop)  # after the first mesh was written
    with pytest.raises(interruption):
        import_meshes(source, tmp_path / "out", ImportConfig(workers=1))
    assert leftovers(tmp_path) == []


def test_an_interrupted_import_with_force_leaves_the_old_folder(source, tmp_path, monkeypatch):
    first = import_meshes(source, tmp_path / "out", ImportConfig(workers=1))

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "signature", stop)
    with pytest.raises(KeyboardInterrupt):
        import_meshes(source, tmp_path / "out", ImportConfig(workers=1, force=True))
    assert tuple(read_manifest(tmp_path / "out")) == first.kept


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", DataError, "lists no mesh"),
        ("{", DataError, "line 1"),
        (
            '{"id": "a", "key": "a", "name": "a", "caption": "", "category": "", "colour": 1}',
            ConfigError,
            "colour",
        ),
        ('{"id": "../a", "key": "a", "name": "a", "caption": "", "category": ""}', DataError, "as a path"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path, text, error, words):
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(error, match=words):
        read_manifest(tmp_path)
    with pytest.raises(error, match=words):
        render_dataset(tmp_path, tmp_path / "data", DatasetConfig(workers=1))
    assert not (tmp_path / "data").exists()


def test_rendering_something_that_is_no_mesh_folder_says_how_to_make_one(tmp_path):
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError) as caught:
        render_dataset(tmp_path / "source", tmp_path / "out")
    assert "polyglyph import" in caught.value.fix
    assert leftovers(tmp_path) == []


def remove_picture(data):
    (data / "images" / "0001_b" / "01.png").unlink()


def remove_object(data):
    for path in (data / "images" / "0001_b").iterdir():
        path.unlink()
    (data / "images" / "0001_b").rmdir()


def edit(name, old, new):
    def change(data):
        text = (data / name).read_text()
        assert old in text
        (data / name).write_text(text.replace(old, new, 1))

    return change


DAMAGE = {
    "a missing picture": (remove_picture, DataError, "lacks 1 of 2 pictures, such as `01.png`"),
    "a missing object": (remove_object, DataError, "0001_b"),
    "cut cameras.json": (lambda d: (d / "cameras.json").write_text('{"radius": 1.2'), DataError, "not JSON"),
    "cameras.json of a wrong kind": (lambda d: (d / "cameras.json").write_text("[]"), DataError, "damaged"),
    "an angle that is text": (
        edit("cameras.json", '    {"azimuth": ', '    {"azimuth": "x", "y": '),
        DataError,
        "0000_a",
    ),
    "an angle that is NaN": (
        edit("cameras.json", '    {"azimuth": ', '    {"azimuth": NaN, "y": '),
        DataError,
        "finite",
    ),
    "an object without cameras": (edit("cameras.json", "0001_b", "0009_z"), DataError, "lacks"),
    "no split": (lambda d: (d / "split.json").unlink(), DataError, "split.json"),
    "an unknown key": (edit("dataset.json", '"views"', '"veiws": 2, "views"'), ConfigError, "veiws"),
    "a later version": (edit("dataset.json", '"views"', '"version": 9, "views"'), DataError, "version 9"),
    "a text for a number": (edit("dataset.json", '"views": 2', '"views": "2"'), ConfigError, "views"),
    "another number of views": (edit("dataset.json", '"views": 2', '"views": 3'), DataError, "2 views"),
    "nothing in the split": (
        lambda d: write_split(d / "split.json", {"train": [], "val": [], "test": []}),
        DataError,
        "lacks",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_dataset_is_refused_with_a_fix_and_explained(data, kind):
    damage, error, words = DAMAGE[kind]
    assert inspect_path(data).ok
    damage(data)
    with pytest.raises(error, match=words) as caught:
        load_dataset(data)
    assert caught.value.fix
    report = inspect_path(data)
    assert words.split("`")[0].strip() in report.problems[0].message


def test_a_picture_of_the_wrong_size_or_cut_short_is_named_when_read(data):
    path = data / "images" / "0001_b" / "01.png"
    whole = path.read_bytes()
    path.write_bytes(encode_png(np.zeros((4, 4, 4), np.uint8)))
    with pytest.raises(DataError, match=r"0001_b/01\.png` is 4x4"):
        load_dataset(data).images("test")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"0001_b/01\.png"):
        load_dataset(data).images("test")
    problems = inspect_path(data).problems
    assert [problem.where for problem in problems] == ["0001_b view 1"]


def test_cut_shards_are_refused(data, tmp_path):
    write_shards(data, tmp_path / "tars")
    path = next((tmp_path / "tars" / "shards").iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[:1300])
    with pytest.raises(DataError, match=r"shard|damaged|ends inside"):
        load_dataset(tmp_path / "tars").images()
    path.unlink()
    with pytest.raises(DataError, match="no tar"):
        load_dataset(tmp_path / "tars")


def test_get3ds_layout_names_what_does_not_fit(data, tmp_path):
    write_get3d(data, tmp_path / "g")
    camera = tmp_path / "g" / "camera" / "03001627" / "0000_a"
    good = (camera / "rotation.npy").read_bytes()
    np.save(camera / "rotation.npy", np.array([1.0]))
    with pytest.raises(DataError, match="1 angles, and there is a picture number 1"):
        read_get3d(tmp_path / "g")
    np.save(camera / "rotation.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a numpy array"):
        read_get3d(tmp_path / "g")
    (camera / "rotation.npy").write_bytes(b"")
    with pytest.raises(DataError, match="not a numpy array"):
        read_get3d(tmp_path / "g")
    (camera / "rotation.npy").write_bytes(good)
    (tmp_path / "g" / "split" / "train.txt").write_text("someone else\n")
    (tmp_path / "g" / "split" / "test.txt").write_text("")
    with pytest.raises(DataError, match="none of the 2"):
        read_get3d(tmp_path / "g")
    (tmp_path / "g" / "split" / "train.txt").write_text("0000_a\n")
    (tmp_path / "g" / "split" / "val.txt").write_text("0000_a\n")
    with pytest.raises(DataError, match="two split lists"):
        read_get3d(tmp_path / "g")


def test_a_folder_that_is_something_else_says_what_it_is(data, tmp_path):
    with pytest.raises(DataError, match="no folder"):
        load_dataset(tmp_path / "nowhere")
    (data / "dataset.json").unlink()
    (data / ".settings.json").write_text("{}")
    with pytest.raises(DataError, match="not finished"):
        load_dataset(data)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "manifest.jsonl").write_text("")
    with pytest.raises(DataError, match="mesh folder"):
        load_dataset(tmp_path / "source")
