"""The CUDA sources compile for the GPUs people have, on any machine, and are kept on disk."""

import shutil

import pytest

from polyglyph.base.errors import BackendError
from polyglyph.kernels import nvrtc

UNITS = sorted(path.stem for path in nvrtc.source_folder().glob("*.cu"))


def test_there_are_units():
    assert {"antialias", "interpolate", "rasterize"} <= set(UNITS)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_compiles_for(unit, architecture):
    assert nvrtc.compile_unit(unit, architecture)[:4] == b"\x7fELF"


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of csrc/ and an empty cache."""
    folder = tmp_path / "csrc"
    shutil.copytree(nvrtc.source_folder(), folder)
    monkeypatch.setattr(nvrtc, "source_folder", lambda: folder)
    monkeypatch.setenv("POLYGLYPH_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_unit_is_compiled_once_and_again_when_a_source_changes(sources, monkeypatch):
    calls = []
    monkeypatch.setattr(nvrtc, "compile_unit", lambda *unit: calls.append(unit) or b"code")
    for _ in range(3):
        assert nvrtc.compiled("rasterize", "sm_90") == b"code"
    assert calls == [("rasterize", "sm_90")]
    nvrtc.compiled("rasterize", "sm_80")
    (sources / "common.h").write_text("// changed\n")
    nvrtc.compiled("rasterize", "sm_90")
    assert calls[1:] == [("rasterize", "sm_80"), ("rasterize", "sm_90")]


def test_a_cache_that_cannot_be_written_is_not_an_error(sources, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setattr(nvrtc, "compile_unit", lambda *unit: b"code")
    assert nvrtc.compiled("rasterize", "sm_90") == b"code"


def test_a_source_that_does_not_compile_says_where(sources):
    (sources / "rasterize.cu").write_text("__global__ void broken( {}\n")
    with pytest.raises(BackendError, match=r"rasterize\.cu\(1\): error") as caught:
        nvrtc.compile_unit("rasterize", "sm_90")
    assert "vectorised" in caught.value.fix
