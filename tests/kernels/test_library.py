"""The loader of the compiled library: what it finds, and what it refuses."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from polyglyph.base.errors import BackendError
from polyglyph.kernels.library import ABI_VERSION, find_library, library, open_library

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def compiled(folder: Path, source: str) -> Path:
    code, built = folder / "code.cpp", folder / "code.so"
    code.write_text(source)
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", str(built), str(code)], check=True)
    return built


def test_the_library_of_this_installation_opens_or_there_is_none():
    path = find_library()
    opened = library()
    assert (opened is None) == (path is None)
    if opened is not None:
        assert opened.polyglyph_abi_version() == ABI_VERSION


def test_the_loader_and_the_source_agree_on_the_abi_version():
    source = (ROOT / "csrc" / "abi.cpp").read_text()
    numbers = re.findall(r"polyglyph_abi_version\(\) *\{ *return (\d+);", source)
    assert [int(number) for number in numbers] == [ABI_VERSION]


def test_an_installation_without_a_library_is_not_an_error(tmp_path):
    assert find_library([tmp_path]) is None


def test_the_library_is_found_in_the_second_folder_of_an_editable_installation(tmp_path):
    path = find_library()
    if path is None:
        pytest.skip("this installation was built without a compiler")
    built = tmp_path / "site" / "lib" / path.name
    built.parent.mkdir(parents=True)
    built.touch()
    assert find_library([tmp_path / "source", tmp_path / "site"]) == built


def test_a_text_file_named_like_the_library_is_refused(tmp_path):
    fake = tmp_path / "polyglyph_kernels.so"
    fake.write_text("not a library")
    with pytest.raises(BackendError, match="does not open") as caught:
        open_library(fake)
    assert "reinstall" in caught.value.fix


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
def test_another_library_is_refused(tmp_path):
    with pytest.raises(BackendError, match="not polyglyph's compiled library"):
        open_library(compiled(tmp_path, 'extern "C" int something_else() { return 1; }'))


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
def test_a_library_of_another_abi_version_is_refused_with_both_numbers(tmp_path):
    source = f'extern "C" int polyglyph_abi_version() {{ return {ABI_VERSION + 41}; }}'
    with pytest.raises(BackendError, match=rf"version {ABI_VERSION + 41}.*needs {ABI_VERSION}"):
        open_library(compiled(tmp_path, source))
