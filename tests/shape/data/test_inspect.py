import zipfile

import pytest

from polyglyph.base.errors import DataError
from polyglyph.shape.data.get3d_layout import write_get3d
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.inspect import inspect_path


def test_a_good_mesh_folder_is_counted(mesh_source, tmp_path):
    import_meshes(mesh_source, tmp_path / "m")
    report = inspect_path(tmp_path / "m")
    assert (report.kind, report.ok, report.facts["meshes"]) == ("mesh folder", True, 3)
    assert report.lines()[-1].strip() == "nothing is wrong"


def test_a_broken_mesh_in_a_folder_is_named_with_its_fix(mesh_source, tmp_path):
    import_meshes(mesh_source, tmp_path / "m")
    victim = sorted((tmp_path / "m").glob("*/mesh.glb"))[0]
    victim.write_bytes(victim.read_bytes()[:50])
    report = inspect_path(tmp_path / "m")
    assert [problem.where for problem in report.problems] == [f"{victim.parent.name}/mesh.glb"]
    assert report.problems[0].fix


def test_a_good_dataset_and_get3ds_layout_are_counted(dataset_folder, tmp_path):
    report = inspect_path(dataset_folder)
    assert (report.kind, report.ok, report.facts["pictures"]) == ("dataset", True, 6)
    assert report.facts["split"] == {"train": 1, "val": 1, "test": 1}
    write_get3d(dataset_folder, tmp_path / "g")
    assert (inspect_path(tmp_path / "g").kind, inspect_path(tmp_path / "g").ok) == ("GET3D layout", True)


def test_pictures_without_cameras_in_get3ds_layout_are_named(dataset_folder, tmp_path):
    write_get3d(dataset_folder, tmp_path / "g")
    (tmp_path / "g" / "camera" / "03001627" / "0001_b" / "rotation.npy").unlink()
    report = inspect_path(tmp_path / "g")
    assert "0001_b" in report.problems[0].message
    assert "img" in report.problems[0].fix


def test_files_and_folders_of_every_kind_are_recognised(mesh_source, dataset_folder, tmp_path):
    assert inspect_path(mesh_source).kind == "folder of meshes"
    assert inspect_path(mesh_source / "red chair.glb").facts["faces"] == 12
    assert inspect_path(dataset_folder / "images").kind == "folder of pictures"
    assert inspect_path(dataset_folder / "images" / "0000_a" / "00.png").facts["size"] == "16x16"
    (tmp_path / "empty").mkdir()
    assert inspect_path(tmp_path / "empty").kind == "empty folder"
    (tmp_path / "notes.txt").write_text("hello")
    assert inspect_path(tmp_path / "notes.txt").kind == "unknown"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.obj", "v 0 0 0")
    report = inspect_path(tmp_path / "a.zip")
    assert report.kind == "zip archive"
    assert "outside" in report.problems[0].message
    with pytest.raises(DataError, match="nothing at"):
        inspect_path(tmp_path / "nowhere")
