"""Furniture catalogues: the table, the licences, the rotation and the real size."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from polyglyph.base.errors import FormatError
from polyglyph.formats.sh3f import parse_properties, read_catalogue, read_entry_mesh, spdx_of

MESHES = Path(__file__).parents[1] / "data" / "meshes"
CATALOGUE = r"""# a comment
id=Test#Set
license=Creative Commons Attribution 3.0 Unported license  \u00a9 Somebody

id#1=Test#table
name#1=Table \u201cOak\u201d
category#1=Living room
tags#1=Blend Swap, , Dining
creator#1=MZiemys
icon#1=/set/table.png
model#1=/set/table/table.obj
width#1=120.5
depth#1=80
height#1=70
information#1=two \
   lines

id#2=Test#turned
name#2=Turned table
model#2=/set/table/table.obj
width#2=10
depth#2=20
height#2=40
modelRotation#2=1 0 0 0 0 -1 0 1 0
license#2=Public domain

model#7=set/table/table.obj
width#7=wide
modelRotation#7=1 2 3
dropOnTopElevation#-1=4
"""


@pytest.fixture
def catalogue(tmp_path):
    def make(text=CATALOGUE, **members):
        path = tmp_path / "set.sh3f"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("PluginFurnitureCatalog.properties", text.encode("latin-1"))
            for file in (MESHES / "table").iterdir():
                archive.write(file, f"set/table/{file.name}")
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return make


def test_a_catalogue_row_has_all_its_words(catalogue):
    entry = read_catalogue(catalogue())[0]
    assert (entry.index, entry.id, entry.name, entry.category) == (
        1,
        "Test#table",
        "Table “Oak”",
        "Living room",
    )
    assert entry.tags == ("Blend Swap", "Dining")
    assert entry.creator == "MZiemys"
    assert entry.licence == "CC-BY-3.0"
    assert entry.model == "set/table/table.obj"
    assert entry.icon == "set/table.png"
    assert entry.size_cm == (120.5, 80.0, 70.0)
    assert entry.rotation is None
    assert entry.information == "two lines"
    assert entry.attribution == "“Table “Oak”” by MZiemys, CC-BY-3.0"


def test_rows_with_little_in_them_are_read_too(catalogue):
    _, turned, bare = read_catalogue(catalogue())
    assert turned.rotation == ((1, 0, 0), (0, 0, -1), (0, 1, 0))
    assert turned.licence == "CC0-1.0"
    assert (bare.index, bare.id, bare.name) == (7, "entry7", "table")
    assert bare.size_cm is None
    assert bare.rotation is None


def box(found):
    points = np.concatenate([part.positions for part in found.parts])
    return points.min(axis=0), points.max(axis=0)


def test_a_mesh_has_its_real_size_in_metres_on_the_floor(catalogue):
    path = catalogue()
    entry, turned, bare = read_catalogue(path)
    found = read_entry_mesh(path, entry)
    assert found.textured
    assert found.warnings == []
    low, high = box(found)
    np.testing.assert_allclose(low, [-0.6025, 0, -0.4], atol=1e-6)
    np.testing.assert_allclose(high, [0.6025, 0.7, 0.4], atol=1e-6)
    low, high = box(read_entry_mesh(path, turned))
    np.testing.assert_allclose(high - low, [0.1, 0.4, 0.2], atol=1e-6)
    low, high = box(read_entry_mesh(path, bare))
    assert low[1] == 0


def test_a_rotation_is_applied_by_rows_before_the_size(catalogue):
    """Rows (1 0 0)(0 0 -1)(0 1 0) take y to z: what was up points to the front."""
    path = catalogue()
    entry, turned, _ = read_catalogue(path)
    upright, lying = read_entry_mesh(path, entry), read_entry_mesh(path, turned)
    height = (upright.parts[0].positions[:, 1] / 0.7).astype(float)
    depth = ((lying.parts[0].positions[:, 2] + 0.1) / 0.2).astype(float)
    np.testing.assert_allclose(depth, height, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "spdx"),
    [
        ("Public domain", "CC0-1.0"),
        ("under the Creative Commons Zero (Public Domain) license", "CC0-1.0"),
        ("Creative Commons Attribution 3.0 United States license  Copyright © 2008", "CC-BY-3.0-US"),
        ("Creative Commons Attribution 3.0 Unported license", "CC-BY-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution-NonCommercial 3.0", "CC-BY-NC-3.0"),
        ("Free Art License 1.3", "LAL-1.3"),
        ("GNU General Public License", "GPL-2.0-or-later"),
        ("ask my uncle", "NOASSERTION"),
        ("", "NOASSERTION"),
    ],
)
def test_licences_in_words_become_spdx_identifiers(words, spdx):
    assert spdx_of(words) == spdx


def test_the_licence_file_is_asked_when_the_catalogue_says_nothing(catalogue):
    path = catalogue("model#1=set/table/table.obj\n", **{"LICENSE.TXT": "Creative Commons Zero"})
    assert read_catalogue(path)[0].licence == "CC0-1.0"


def test_properties_are_read_as_java_reads_them():
    text = "a=1\n  b : 2\nc 3\nd\n! no\n#no\ne=x\\\n   y\\\n z\nf\\=g=h\\\\\n\\u0061\\u00e9=\\t|\\n\n"
    assert parse_properties(text.encode()) == {
        "a": "1", "b": "2", "c": "3", "d": "", "e": "xyz", "f=g": "h\\", "aé": "\t|\n",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../../etc/passwd", "set/../../x.obj", "C:/x.obj", "..\\x.obj"])
def test_a_model_outside_the_archive_is_refused(name, catalogue):
    with pytest.raises(FormatError, match="outside the archive") as caught:
        read_catalogue(catalogue(f"model#1={name}\n".replace("\\", "\\\\")))
    assert caught.value.fix


def test_an_archive_without_a_catalogue_says_what_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.sh3f", "w") as archive:
        archive.writestr("chair.obj", "v 0 0 0")
    with pytest.raises(FormatError, match=r"it holds chair\.obj"):
        read_catalogue(tmp_path / "a.sh3f")


def test_a_catalogue_without_models_is_refused(catalogue):
    with pytest.raises(FormatError, match="without models"):
        read_catalogue(catalogue("name=empty\n"))


def test_a_model_that_is_not_in_the_archive_is_named(catalogue):
    path = catalogue("model#1=set/gone.obj\n")
    with pytest.raises(FormatError, match=r"no member `set/gone\.obj`"):
        read_entry_mesh(path, read_catalogue(path)[0])
