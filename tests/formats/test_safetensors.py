"""Tensor files: exact bytes there and back, and agreement with the official library."""

import json

import numpy as np
import pytest
import safetensors.numpy

from polyglyph.base.errors import DataError, FormatError
from polyglyph.formats.safetensors import read_header, read_metadata, read_tensors, write_tensors

TENSORS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.array([1.5, -2.0], dtype=np.float16),
    "scalar": np.array(7, dtype=np.int64),
    "none": np.zeros((0, 3), dtype=np.float32),
    "flags": np.array([True, False, True]),
    "turned": np.arange(6, dtype=np.int32).reshape(2, 3).T,
}


def test_tensors_come_back_exactly(tmp_path):
    write_tensors(tmp_path / "a.safetensors", TENSORS, {"licence": "CC0-1.0"})
    found = read_tensors(tmp_path / "a.safetensors")
    assert set(found) == set(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
    assert read_metadata(tmp_path / "a.safetensors") == {"licence": "CC0-1.0"}


def test_the_official_library_reads_what_we_write(tmp_path):
    write_tensors(tmp_path / "a.safetensors", TENSORS)
    theirs = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(theirs["turned"], TENSORS["turned"])


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_bfloat16_becomes_float32(tmp_path):
    data = np.array([1.5, -2.0, 3e38], dtype=np.float32)
    bits = (data.view(np.uint32) >> 16).astype("<u2").tobytes()
    row = {"dtype": "BF16", "shape": [3], "data_offsets": [4, 10]}
    first = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    (tmp_path / "a.safetensors").write_bytes(raw({"b": row, "a": first}, b"\0" * 4 + bits))
    found = read_tensors(tmp_path / "a.safetensors")
    assert found["b"].dtype == np.float32
    np.testing.assert_allclose(found["b"], data, rtol=2**-8)


def row(start, end, shape=None, dtype="U8"):
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


HOSTILE = {
    "ask for a header of": b"\xff" * 8 + b"{}",
    "ask for a header of 3": b"\x03" + b"\0" * 7 + b"{}",
    "it has 3 bytes": b"\0\0\0",
    "is not a safetensors file": b"PK\x03\x04" + b"\0" * 400,
    "the header is not JSON": raw(b"{nope"),
    "the header is not JSON: .utf-8": raw(b'{"\xff": 1}'),
    "the header is list": raw([]),
    "`a` is there twice": raw(b'{"a": 1, "a": 2}'),
    "`__metadata__` is not a table of strings": raw({"__metadata__": {"a": 1}}),
    "not described by dtype, shape and data_offsets": raw({"a": {"dtype": "U8"}}),
    "unknown type 'Q4'": raw({"a": row(0, 4, dtype="Q4")}, b"1234"),
    "has the shape": raw({"a": row(0, 4, [-4])}, b"1234"),
    "has the shape .true.": raw(b'{"a": {"dtype": "U8", "shape": [true], "data_offsets": [0, 1]}}', b"1"),
    "has the offsets": raw({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4, 9]}}, b"1234"),
    "lies at bytes 0 to 400 of 4": raw({"a": row(0, 400)}, b"1234"),
    "lies at bytes 4 to 0": raw({"a": row(4, 0, [4])}, b"1234"),
    "needs 8 bytes and has 4": raw({"a": row(0, 4, [8])}, b"1234"),
    "needs 4611686018427387904 bytes": raw({"a": row(0, 4, [1 << 31, 1 << 31])}, b"1234"),
    "`b` overlaps `a`": raw({"a": row(0, 4), "b": row(2, 6)}, b"123456"),
    "`b` leaves a hole of 2 bytes after `a`": raw({"a": row(0, 2), "b": row(4, 6)}, b"123456"),
    "`a` leaves a hole of 1 bytes after the header": raw({"a": row(1, 6)}, b"123456"),
    "has 6 bytes of data, and its tensors use 4": raw({"a": row(0, 4)}, b"123456"),
    "the header is not JSON: maximum": raw(b"[" * 100_000),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_header_is_refused_by_name(words, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(HOSTILE[words])
    with pytest.raises(FormatError, match=words.replace("true", "True")) as caught:
        read_tensors(path)
    assert caught.value.fix


def test_a_type_numpy_cannot_hold_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(raw({"a": row(0, 4, dtype="F8_E4M3")}, b"1234"))
    with pytest.raises(FormatError, match="F8_E4M3, which numpy cannot hold"):
        read_tensors(tmp_path / "a")


def test_missing_and_empty_files_are_the_users_to_fix(tmp_path):
    with pytest.raises(DataError, match="there is no tensor file"):
        read_header(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_header(tmp_path / "a")


def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path):
    for wrong in (
        {"a": np.array(["text"])},
        {"__metadata__": np.zeros(3)},
        {"a": np.zeros(2, dtype=complex)},
    ):
        with pytest.raises(FormatError, match="cannot be stored"):
            write_tensors(tmp_path / "a", wrong)
    assert list(tmp_path.iterdir()) == []
