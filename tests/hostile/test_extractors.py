"""Bad weights files of every kind: a typed error that names the file, and nothing in the file is run."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from polyglyph.base.errors import DataError, FormatError, PolyglyphError
from polyglyph.formats.safetensors import write_tensors
from polyglyph.measure.extractors import EXTRACTORS, load_extractor
from polyglyph.vision.inception import InceptionV3, load_inception


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


class Trap:
    """Makes a file when it is unpickled with code allowed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


STATE = {"fc.weight": torch.zeros(1008, 8), "fc.bias": torch.zeros(1008)}
WHOLE = saved(STATE)
OLD = saved(STATE, _use_new_zipfile_serialization=False)

BAD = {
    # bytes, what the message must say
    "nothing": (b"", r"0 bytes that start with b''$"),
    "a text": (b"these are not the weights you are looking for\n" * 9, "cannot be read as weights"),
    "a web page": (b"<!DOCTYPE html><html><body>404</body></html>", r"start with b'<!DOCTYPE ht'$"),
    "half a file": (WHOLE[: len(WHOLE) // 2], "cannot be read as weights"),
    "a file one byte short": (WHOLE[:-1], "cannot be read as weights"),
    "half an old file": (OLD[: len(OLD) // 2], "cannot be read as weights"),
    "a zip without tensors": (b"PK\x05\x06" + b"\0" * 18, "cannot be read as weights"),
    "a list": (saved([torch.zeros(3)]), "is not a table of tensors"),
    "one tensor": (saved(torch.zeros(3)), "is not a table of tensors"),
    "a checkpoint around the tensors": (saved({"model": STATE, "step": 3}), "is not a table of tensors"),
    "numbers for names": (saved({1: torch.zeros(3)}), "is not a table of tensors"),
    "sparse tensors": (saved({"fc.bias": torch.eye(3).to_sparse()}), "is not a table of tensors"),
    "tensors without values": (
        saved({"fc.bias": torch.zeros(3, device="meta")}),
        "is not a table of tensors",
    ),
    "no tensors": (saved({}), "lacks tensors of Inception-v3"),
    "another network": (saved({"features.0.weight": torch.zeros(3)}), "lacks tensors of Inception-v3"),
    "a part": (WHOLE, "lacks tensors of Inception-v3"),
}


@pytest.mark.parametrize("title", BAD)
def test_a_bad_file_is_refused_and_what_it_is_is_said(title, tmp_path, capfd):
    data, words = BAD[title]
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=words) as caught:
        load_inception(path)
    assert "weights.pth" in str(caught.value)
    assert caught.value.fix
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_file_is_not_run(old, tmp_path):
    trap = tmp_path / "sprung"
    data = saved({"fc.bias": Trap(trap)}, _use_new_zipfile_serialization=not old)
    (tmp_path / "saved.pth").write_bytes(data)
    with pytest.raises(FormatError, match="it asks to run `getattr`") as caught:
        load_inception(tmp_path / "saved.pth")
    assert "state_dict" in caught.value.fix
    for protocol in (2, 4):
        (tmp_path / "bare.pth").write_bytes(pickle.dumps(Trap(trap), protocol))
        with pytest.raises(FormatError, match="cannot be read as weights"):
            load_inception(tmp_path / "bare.pth")
    assert not trap.exists()


def test_a_safetensors_file_with_wrong_shapes_is_refused_by_name(tmp_path):
    path = tmp_path / "a.safetensors"
    with torch.device("meta"):
        names = InceptionV3().state_dict()
    write_tensors(path, {name: np.zeros(3, np.float32) for name in names})
    with pytest.raises(FormatError, match=r"tensor `Conv2d_1a_3x3\.conv\.weight` has shape \[3\], not"):
        load_inception(path)


@pytest.mark.parametrize("data", [b"\xff" * 64, b"some text that is long enough", WHOLE])
def test_what_is_not_safetensors_is_refused(data, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"not a safetensors file|header"):
        load_inception(path)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_no_extractor_takes_a_text_a_folder_or_code(name, tmp_path):
    (tmp_path / "text.pth").write_bytes(b"weights")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for file in ("text.pth", "code.pth"):
        with pytest.raises(FormatError):
            load_extractor(name, tmp_path / file)
    with pytest.raises(DataError, match="no file"):
        load_extractor(name, tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("data", [WHOLE, OLD])
def test_a_file_cut_anywhere_or_with_flipped_bytes_never_surprises(data, tmp_path):
    """Always a `PolyglyphError`, for these two tensors are never the whole network."""
    rng = np.random.default_rng(0)
    path = tmp_path / "broken.pth"
    head = min(len(data), 1500)
    for turn in range(120):
        broken = bytearray(data if turn % 2 else data[: rng.integers(1, len(data))])
        for at in rng.integers(0, min(head, len(broken)), 3):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        with pytest.raises(PolyglyphError) as caught:
            load_inception(path)
        assert caught.value.fix
