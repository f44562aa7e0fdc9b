"""`polyglyph doctor`: which backend serves each operation, and what would make it faster."""

import json

import pytest

from polyglyph import cli
from polyglyph.base.errors import BackendError
from polyglyph.cli import doctor
from polyglyph.kernels import library, native, nvrtc


def findings(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}


def test_every_operation_is_named_with_what_serves_it(capsys):
    found = findings(capsys)
    for name, compiled in doctor.OPERATIONS.items():
        assert found[name]["state"] == "ok"
        assert ("compiled" in found[name]["value"]) == compiled
    assert found["compiled kernels"]["value"].endswith(native.vector_units())
    assert "NVRTC" in found["cuda compiler"]["value"]


def test_every_folder_of_kernels_is_an_operation_of_the_report():
    folder = library.Path(library.__file__).parent
    assert {path.parent.name for path in folder.glob("*/reference.py")} == set(doctor.OPERATIONS)
    for name, compiled in doctor.OPERATIONS.items():
        assert (folder / name / "cpu.py").is_file() == compiled


def test_without_the_library_each_operation_names_the_fix(capsys, monkeypatch):
    monkeypatch.setattr(library, "library", lambda: None)
    found = findings(capsys)
    assert found["compiled kernels"]["state"] == found["rasterize"]["state"] == "absent"
    assert found["rasterize"]["value"] == "CPU: torch"
    assert "C++ compiler" in found["rasterize"]["fix"]
    assert found["marching_tets"]["state"] == "ok"


def test_a_broken_library_is_named_and_an_error(capsys, monkeypatch):
    def broken():
        raise BackendError("the compiled library does not open", fix="reinstall polyglyph")

    monkeypatch.setattr(library, "library", broken)
    assert cli.main(["doctor"]) == 2
    assert "does not open" in capsys.readouterr().err


def test_a_machine_without_nvrtc_is_told_so(capsys, monkeypatch):
    def missing():
        raise BackendError("there is no NVRTC on this machine", fix="install it")

    monkeypatch.setattr(nvrtc, "version", missing)
    assert findings(capsys)["cuda compiler"] | {"name": ""} == {
        "name": "", "state": "absent", "value": "there is no NVRTC on this machine", "fix": "install it",
    }  # fmt: skip


@pytest.mark.parametrize("name", list(doctor.OPERATIONS))
def test_operations_are_importable_by_their_names(name):
    module = __import__(f"polyglyph.kernels.{name}", fromlist=["*"])
    assert hasattr(module, name) or name in ("subdivide", "lightfield")
