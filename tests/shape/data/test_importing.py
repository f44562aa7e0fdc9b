import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from polyglyph.base.errors import BackendError, DataError
from polyglyph.formats.glb import write_glb
from polyglyph.formats.meshes import read_mesh
from polyglyph.formats.png import encode_png
from polyglyph.shape.data import furniture
from polyglyph.shape.data.config import ImportConfig
from polyglyph.shape.data.importing import import_meshes
from polyglyph.shape.data.manifest import read_manifest, read_rows, slug
from polyglyph.shape.data.sources import find_candidates

CATALOGUE = """id=test
license=CC-0
id#1=Test#chair
name#1=Red chair
tags#1=Blend Swap, Seat
category#1=Office
creator#1=Ann
model#1=/m/chair.obj
width#1=50
depth#1=60
height#1=90
id#2=Test#lamp
name#2=Lamp
category#2=Lights
creator#2=Bob
model#2=/m/lamp.obj
width#2=20
depth#2=20
height#2=40
id#3=Test#gone
name#3=Gone stool
category#3=Office
creator#3=Bob
model#3=/m/gone.obj
width#3=20
depth#3=20
height#3=40
"""
BOX = """mtllib m.mtl
v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1
usemtl skin\nf 1/1 3/3 2/2\nf 1/1 2/2 4/3\nf 1/1 4/3 3/2\nf 2/1 3/2 4/3
"""


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "Test.sh3f"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("PluginFurnitureCatalog.properties", CATALOGUE)
        for name in ("chair", "lamp"):
            z.writestr(f"m/{name}.obj", BOX)
        z.writestr("m/m.mtl", "newmtl skin\nKd 1 1 1\nmap_Kd t.png\n")
        z.writestr("m/t.png", encode_png(np.full((4, 4, 3), 200, np.uint8)))
    return path


def test_a_folder_becomes_a_mesh_folder_with_real_sizes(mesh_source, tmp_path):
    result = import_meshes(mesh_source, tmp_path / "out", ImportConfig(category="things"))
    rows = read_manifest(tmp_path / "out")
    assert [row.name for row in rows] == ["corner", "red chair", "blue table"]
    assert [row.key for row in rows] == ["corner.obj", "red chair.glb", "sub/blue_table.glb"]
    assert rows[1].size == (1.0, 2.0, 3.0)
    assert rows[1].caption == "red chair, things"
    assert result.kept == tuple(rows)
    assert result.skipped == ()
    mesh = read_mesh(tmp_path / "out" / rows[1].id / "mesh.glb")
    assert mesh.face_count == rows[1].faces == 12


def test_a_furniture_archive_keeps_captions_creators_licences_and_textures(archive, tmp_path):
    result = import_meshes(archive, tmp_path / "out")
    first = read_manifest(tmp_path / "out")[0]
    assert (first.name, first.key, first.creator, first.source) == (
        "Red chair",
        "Test#chair",
        "Ann",
        "Test.sh3f",
    )
    assert first.caption == "red chair, office, seat"
    assert first.licence
    assert first.textured
    assert first.size == pytest.approx((0.5, 0.9, 0.6), abs=1e-4)
    assert [(row.name, "gone" in row.reason) for row in result.skipped] == [("Gone stool", True)]
    assert read_rows(tmp_path / "out" / "skipped.jsonl")[0]["key"] == "Test#gone"
    glb = (tmp_path / "out" / first.id / "mesh.glb").read_bytes()
    assert b'"creator":"Ann"' in glb.replace(b": ", b":")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"match": "SEAT"}, ["Red chair"]),
        ({"match": "chair|lamp", "exclude": "red"}, ["Lamp"]),
        ({"category": "lights"}, ["Lamp"]),
        ({"limit": 1}, ["Red chair"]),
    ],
)
def test_options_choose_meshes(archive, tmp_path, options, names):
    result = import_meshes(archive, tmp_path / "out", ImportConfig(**options))
    assert [row.name for row in result.kept] == names


def test_no_match_says_which_categories_there_are(archive, tmp_path):
    with pytest.raises(DataError) as caught:
        import_meshes(archive, tmp_path / "out", ImportConfig(match="spaceship"))
    assert "Lights" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_a_zip_of_a_folder_and_a_folder_of_archives_are_read(mesh_source, archive, tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as z:
        for file in mesh_source.rglob("*.*"):
            z.write(file, file.relative_to(mesh_source))
    assert len(import_meshes(path, tmp_path / "a").kept) == 3
    assert {row.source for row in read_manifest(tmp_path / "a")} == {"all.zip"}
    (tmp_path / "folder").mkdir()
    archive.rename(tmp_path / "folder" / "Test.sh3f")
    assert len(import_meshes(tmp_path / "folder", tmp_path / "b").kept) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_shapenet_layout_gives_categories_and_model_names(tmp_path):
    for model in ("03001627/abc/models/model_normalized.obj", "02691156/xyz/model.obj"):
        path = tmp_path / "ShapeNet" / model
        path.parent.mkdir(parents=True)
        path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "ShapeNet" / "taxonomy.json").write_text(
        json.dumps([{"synsetId": "02691156", "name": "plane,jet"}])
    )
    found = find_candidates(tmp_path / "ShapeNet", source="ShapeNet")
    assert [(c.key, c.category) for c in found] == [("02691156/xyz", "airplane"), ("03001627/abc", "chair")]
    inside = find_candidates(tmp_path / "ShapeNet" / "03001627", source="x")
    assert [(c.key, c.category) for c in inside] == [("03001627/abc", "chair")]


def test_simplification_happens_on_request_only_and_keeps_the_texture(make_box, tmp_path):
    from polyglyph.formats.model import Material, Part
    from polyglyph.shape.data.procedural.solids import sphere

    ball = sphere((0, 0, 0), (1, 1, 1), around=64)
    part = Part(
        positions=ball.positions.astype(np.float32),
        faces=ball.faces.astype(np.int32),
        normals=ball.normals.astype(np.float32),
        uvs=ball.uvs.astype(np.float32),
        material=Material(base_color_image=np.full((4, 4, 3), 9, np.uint8)),
    )
    (tmp_path / "s").mkdir()
    write_glb(tmp_path / "s" / "ball.glb", [part])
    whole = import_meshes(tmp_path / "s", tmp_path / "a").kept[0]
    small = import_meshes(tmp_path / "s", tmp_path / "b", ImportConfig(max_faces=500)).kept[0]
    assert whole.faces == len(part.faces)
    assert small.faces <= 550
    assert small.textured
    assert "simplified" in small.warnings[-1]
    mesh = read_mesh(tmp_path / "b" / small.id / "mesh.glb").parts[0]
    assert np.abs(np.linalg.norm(mesh.positions, axis=1) - 1).max() < 0.1
    # texture coordinates still follow the surface: height gives v
    assert mesh.uvs is not None
    assert (
        np.abs(mesh.uvs[:, 1] - (-np.arcsin(np.clip(mesh.positions[:, 1], -1, 1)) / np.pi * 2)).max() < 0.15
    )


def test_several_processes_give_the_same_folder_as_one(mesh_source, tmp_path):
    one = import_meshes(mesh_source, tmp_path / "a", ImportConfig(workers=1))
    two = import_meshes(mesh_source, tmp_path / "b", ImportConfig(workers=2))
    assert one.kept == two.kept
    for row in one.kept:
        files = [(tmp_path / folder / row.id / "mesh.glb").read_bytes() for folder in "ab"]
        assert files[0] == files[1]


def test_an_output_inside_the_source_or_already_there_is_refused(mesh_source, tmp_path):
    with pytest.raises(DataError, match="inside"):
        import_meshes(mesh_source, mesh_source / "out")
    import_meshes(mesh_source, tmp_path / "out")
    with pytest.raises(DataError, match="already exists"):
        import_meshes(mesh_source, tmp_path / "out")
    assert len(import_meshes(mesh_source, tmp_path / "out", ImportConfig(force=True, limit=1)).kept) == 1


def test_slugs_are_safe_file_names():
    assert slug("Bücherregal / groß (2)") == "bucherregal_gro_2"
    assert slug("椅子") == "mesh"
    assert slug("../../etc") == "etc"


def test_fetch_without_apt_says_how_to_get_the_archives(monkeypatch, tmp_path):
    monkeypatch.setattr(furniture.shutil, "which", lambda name: None)
    with pytest.raises(BackendError) as caught:
        furniture.fetch_furniture(tmp_path / "out")
    assert "apt-get download sweethome3d-furniture" in caught.value.fix
    assert not (tmp_path / "out").exists()


def test_fetch_unpacks_what_the_package_tool_brings(monkeypatch, tmp_path):
    def run(command, folder):
        if command[1] == "download":
            (Path(folder) / "sweethome3d-furniture_1.8-1_all.deb").write_bytes(b"deb")
        else:
            assert (Path(folder) / command[2]).is_file()
            root = Path(folder) / command[3]
            (root / "usr/share/sweethome3d/furniture").mkdir(parents=True)
            (root / "usr/share/sweethome3d/furniture/A.sh3f").write_bytes(b"zip")
            (root / "usr/share/doc/sweethome3d-furniture").mkdir(parents=True)
            (root / "usr/share/doc/sweethome3d-furniture/copyright").write_text("CC")

    monkeypatch.setattr(furniture.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(furniture, "_run", run)
    monkeypatch.chdir(tmp_path)
    result = furniture.fetch_furniture(Path("out"))
    assert result.archives == ("A.sh3f",)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["A.sh3f", "copyright"]


def test_a_failing_download_is_a_data_error_with_the_tools_last_words(tmp_path):
    with pytest.raises(DataError, match="no such thing"):
        furniture._run(["/bin/sh", "-c", "echo no such thing >&2; exit 3"], str(tmp_path))
