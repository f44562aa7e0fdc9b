"""Bad checkpoints of every kind: a typed error that says what was found; nothing is run or left behind."""

import copy
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from shape.get3d.published_files import (
    HEADS,
    PLANES,
    discriminator_shapes,
    generator_shapes,
    random_state,
    saved,
)

from polyglyph.base.errors import DataError, FormatError, PolyglyphError
from polyglyph.formats.safetensors import write_tensors
from polyglyph.learn.pickled import read_pickle
from polyglyph.shape.get3d.published import convert_checkpoint, load_discriminators


def state():
    return random_state(generator_shapes(), 1)


def pair():
    return random_state(discriminator_shapes(), 2)


WHOLE = saved({"G_ema": state()})
OLD = saved({"G_ema": state()}, _use_new_zipfile_serialization=False)


def archive(*names, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name in names:
            file.writestr(name, b"\0" * 5000)
    return buffer.getvalue()


def repacked():
    """The checkpoint's archive with its members packed."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(WHOLE)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def overlapping():
    """An archive whose directory names the same data many times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a/data.pkl", b"\0" * 5000)
        for number in range(20):
            twin = copy.copy(file.getinfo("a/data.pkl"))
            twin.filename = f"a/data/{number}"
            file.filelist.append(twin)
    return buffer.getvalue()


STYLEGAN = b"\x80\x04ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R."
CODE = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."

BAD_FILES = {
    # bytes, what the message must say
    "a text": (b"these are not the weights you are looking for\n" * 9, r"starts with b'these are no'"),
    "a web page": (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    "a GGUF model": (b"GGUF\x03\0\0\0" + b"\0" * 40, "is a GGUF model"),
    "gzip data": (b"\x1f\x8b" + b"\0" * 40, "is gzip data"),
    "a safetensors file": ((24).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}   ', "is a safetensors file"),
    "half a file": (WHOLE[: len(WHOLE) // 2], "damaged or cut short"),
    "a file without its last kilobyte": (WHOLE[:-1024], "damaged or cut short"),
    "half an old file": (OLD[: len(OLD) // 2], "is damaged"),
    "an empty zip": (archive(), "damaged or cut short|without tensors"),
    "a zip of pictures": (archive("a/b.png"), "a zip archive without tensors"),
    "a TorchScript archive": (
        archive("a/data.pkl", "a/constants.pkl", "a/code/m.py"),
        "a TorchScript archive",
    ),
    "a packed archive": (repacked(), "a packed zip archive"),
    "an archive larger inside": (overlapping(), "a packed zip archive"),
    "a StyleGAN pickle": (STYLEGAN, "a StyleGAN pickle: it holds source code"),
    "a pickle that runs a program": (CODE, "damaged|asks to run"),
}


@pytest.mark.parametrize("title", BAD_FILES)
def test_a_file_of_another_kind_is_refused_and_named(title, tmp_path, capfd):
    data, words = BAD_FILES[title]
    path = tmp_path / "a.pt"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=words) as caught:
        convert_checkpoint(path, tmp_path / "out")
    assert "a.pt" in str(caught.value)
    assert caught.value.fix
    assert [item.name for item in tmp_path.iterdir()] == ["a.pt"]
    assert capfd.readouterr() == ("", "")


def test_a_missing_empty_or_folder_file_is_named(tmp_path):
    (tmp_path / "empty.pt").touch()
    for name, words in (("gone.pt", "no file"), ("empty.pt", r"is empty \(0 bytes\)"), ("", "is a folder")):
        with pytest.raises(DataError, match=words) as caught:
            read_pickle(tmp_path / name)
        assert caught.value.fix


class Trap:
    """Makes a file when it is unpickled with code allowed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_checkpoint_is_not_run(old, tmp_path):
    trap, path = tmp_path / "sprung", tmp_path / "a.pt"
    path.write_bytes(saved({"G_ema": Trap(trap)}, _use_new_zipfile_serialization=not old))
    with pytest.raises(FormatError, match="asks to run `getattr`") as caught:
        convert_checkpoint(path, tmp_path / "out")
    assert "state_dict" in caught.value.fix
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps(Trap(trap), protocol))
        with pytest.raises(FormatError):
            convert_checkpoint(path, tmp_path / "out")
    path.write_bytes(saved(torch.nn.Linear(2, 2)))
    with pytest.raises(FormatError, match=r"asks to run `torch\.nn"):
        convert_checkpoint(path, tmp_path / "out")
    assert not trap.exists()


def without(name):
    found = state()
    del found[name]
    return {"G_ema": found}


def with_tensor(name, value):
    return {"G_ema": state() | {name: value}}


def with_pair(name, value):
    found = pair() | {name: value}
    if value is None:
        del found[name]
    return {"G_ema": state(), "D": found}


def changed(name, change):
    """With one number of a tensor replaced."""
    found = state()
    value = found[name].double().flatten()
    value[-1] = change
    found[name] = value.view(found[name].shape)
    return {"G_ema": found}


def renamed(old, new):
    return {"G_ema": OrderedDict((name.replace(old, new), value) for name, value in state().items())}


def flexicubes():
    return {"G_ema": state() | {HEADS + "weight.layers.0.weight": torch.zeros(7, 24)}}


BOX = torch.ones(4, 4) / 16
CONV = PLANES + "b8.conv0.weight"

BAD_CONTENTS = {
    # contents, what the message must say
    "a list": ([torch.zeros(3)], "holds a list, not a table of networks"),
    "one tensor": (torch.zeros(3), "holds a Tensor"),
    "nothing": ({}, r"has no `G_ema`; it begins with nothing"),
    "a bare state dict": (state(), r"has no `G_ema`; it begins with `synthesis\.generator"),
    "only the other generator": ({"G": state()}, r"has no `G_ema`; it begins with `G`"),
    "another model": ({"model": {"a": torch.zeros(3)}}, "has no `G_ema`; it begins with `model`"),
    "no network": ({"G_ema": None}, "`G_ema` is a NoneType"),
    "a list of tensors": ({"G_ema": [torch.zeros(3)]}, "`G_ema` is a list"),
    "numbers for names": ({"G_ema": {1: torch.zeros(3)}}, "`1` is a Tensor, not a named tensor"),
    "words for tensors": (with_tensor("mapping.w_avg", "0.5"), r"`mapping\.w_avg` is a str"),
    "integers": (
        with_tensor("mapping.w_avg", torch.zeros(12, dtype=torch.int64)),
        "not a plain tensor of floats",
    ),
    "a sparse tensor": (
        with_tensor("mapping.w_avg", torch.ones(12).to_sparse()),
        "not a plain tensor of floats",
    ),
    "a tensor without numbers": (
        with_tensor("mapping.w_avg", torch.zeros(12, device="meta")),
        "not a plain tensor",
    ),
    "one number said to be many": (
        with_tensor("mapping.fc0.weight", torch.zeros(1).expand(10**6, 10**6)),
        r"tensor `mapping\.fc0\.weight` has fewer numbers",
    ),
    "no tensors": ({"G_ema": {}}, "of no generator of GET3D; they begin with nothing"),
    "another network": ({"G_ema": {"conv1.weight": torch.zeros(3)}}, "begin with `conv1.weight`"),
    "FlexiCubes": (flexicubes(), "those of GET3D's FlexiCubes generator, which is not converted yet"),
    "the separate generator": (
        renamed("synthesis.generator.", "synthesis.geometry_synthesis_sdf."),
        "those of GET3D's separate generator, which is not converted yet",
    ),
    "a tensor too few": (without(PLANES + "b8.conv1.bias"), r"b8\.conv1\.bias` is missing"),
    "no first layer": (
        without("mapping.fc0.weight"),
        r"mapping network are numbered \[0, 1, 2\]|fc0.weight` is missing",
    ),
    "a tensor too many": (with_tensor("synthesis.extra", torch.zeros(3)), r"`synthesis\.extra` is not part"),
    "a wrong shape": (
        with_tensor(CONV, torch.zeros(12, 12, 1, 1)),
        r"b8\.conv0\.weight` has shape \(12, 12, 1, 1\), not \(12, 12, 3, 3\)",
    ),
    "too few axes": (with_tensor(PLANES + "b8.conv1.weight", torch.zeros(12)), "must have 4 axes"),
    "no rows": (
        with_tensor(PLANES + "b8.conv1.weight", torch.zeros(0, 12, 3, 3)),
        r"has shape \(0, 12, 3, 3\)",
    ),
    "a NaN": (changed(CONV, float("nan")), r"b8\.conv0\.weight` has numbers that are not finite"),
    "an infinity": (changed("mapping_geo.w_avg", float("-inf")), r"mapping_geo\.w_avg` has numbers"),
    "a number beyond float32": (changed("synthesis.to_rgb.bias", 1e300), r"to_rgb\.bias` has numbers"),
    "a box filter": (
        with_tensor(PLANES + "b8.conv0.resample_filter", BOX),
        r"b8\.conv0\.resample_filter` is not the filter",
    ),
    "a longer filter": (with_tensor(PLANES + "b4.resample_filter", torch.ones(8, 8)), "is not the filter"),
    "a resolution left out": (renamed("b8.", "b9."), r"blocks of the resolutions \[4, 9, 16\]"),
    "no planes": ({"G_ema": {"synthesis.generator.x": torch.zeros(3)}}, r"blocks of the resolutions \[\]"),
    "planes of four": (
        with_tensor(PLANES + "b4.togeo.weight", torch.zeros(4, 12, 1, 1)),
        "has 4 rows, not those of three",
    ),
    "widths without a law": (
        with_tensor(PLANES + "b8.conv1.weight", torch.zeros(5, 5, 3, 3)),
        r"\{4: 12, 8: 5, 16: 6\}",
    ),
    "a head of one layer": (
        {"G_ema": {name: value for name, value in state().items() if ".layers.1." not in name}},
        "the sizes make no network",
    ),
    "heads of different widths": (
        with_tensor(HEADS + "def.layers.0.weight", torch.zeros(8, 3)),
        r"mlp_synthesis_def\.layers\.0\.weight` has shape \(8, 3\), not \(7, 3\)",
    ),
    "a hole in the layers": (
        renamed("mapping.fc1", "mapping.fc7"),
        r"mapping network are numbered \[0, 2, 7\]",
    ),
    "a layer of many digits": (
        with_tensor("mapping.fc" + "9" * 5000 + ".weight", torch.zeros(3)),
        "is not part",
    ),
    "discriminators of another kind": (
        {"G_ema": state(), "D": {"a": torch.zeros(3)}},
        r"in `D`, there are blocks of the resolutions \[\]",
    ),
    "discriminators that are a list": ({"G_ema": state(), "D": [1]}, "`D` is a list"),
    "one discriminator": (
        {"G_ema": state(), "D": {name: value for name, value in pair().items() if "mask" not in name}},
        r"in `D`, tensor `mask_b16\.fromrgb\.weight` is missing",
    ),
    "labels beside the camera": (
        with_pair("mapping.embed.weight", torch.zeros(9, 24)),
        r"embed\.weight` has shape \(9, 24\), not \(9, 14\)",
    ),
    "a wrong filter of a discriminator": (
        with_pair("mask_b8.conv1.resample_filter", BOX),
        r"in `D`, `mask_b8\.conv1\.resample_filter` is not",
    ),
    "a NaN in a discriminator": (
        with_pair("mask_b4.fc.bias", torch.full((10,), torch.nan)),
        r"mask_b4\.fc\.bias` has numbers",
    ),
    "a residual discriminator": (
        with_pair("b16.skip.weight", torch.zeros(3)),
        r"`b16\.skip\.weight` is not part",
    ),
    "a discriminator layer too few": (with_pair("b8.conv0.weight", None), r"`b8\.conv0\.weight` is missing"),
}


MANY = 10**6


def all_sides(name, rows):
    """Thin weights `name` for the blocks of the generator."""
    return {f"{PLANES}b{side}.{name}.weight": torch.zeros(rows, 1, 1, 1) for side in (4, 8, 16)}


def tall():
    """Blocks up to 65536², each with one channel and next to no noise."""
    found = {f"{PLANES}b{4 << k}.conv1.weight": torch.zeros(1, 1, 3, 3) for k in range(15)}
    return found | {f"{PLANES}b{4 << k}.conv1.noise_const": torch.zeros(1, 1) for k in range(1, 15)}


GREEDY = {
    # tensors of `G_ema` and of `D` to put in, what the message must say
    "long codes": (
        {"mapping.fc0.weight": torch.zeros(1, MANY)},
        {},
        r"mapping\.fc0\.weight` has shape \(1, ",
    ),
    "wide blocks": (all_sides("conv1", MANY), {}, r"b4\.conv1\.weight` has shape \(1000000, 1, 1, 1\)"),
    "wide heads": (
        {HEADS + "sdf.layers.0.weight": torch.zeros(MANY, 3)},
        {},
        r"sdf\.layers\.1\.weight` has shape \(1, 7\), not \(1, 1000000\)",
    ),
    "many texture features": (
        {"synthesis.to_rgb.weight": torch.zeros(3, MANY, 1, 1)},
        {},
        r"tex\.layers\.1\.weight` has shape \(5, 7\), not \(1000000, 7\)",
    ),
    "large planes": (tall(), {}, r"b8\.conv1\.noise_const` has shape \(1, 1\), not \(8, 8\)"),
    "wide discriminators": (
        {},
        {f"b{side}.fromrgb.weight": torch.zeros(MANY, 1, 1, 1) for side in (4, 8, 16)},
        r"b8\.conv0\.weight` has shape \(10, 10, 3, 3\), not \(1000000",
    ),
    "long embeddings": (
        {},
        {"mapping.embed.weight": torch.zeros(MANY, 14)},
        r"mapping\.fc0\.weight` has shape \(9, 9\), not \(1000000",
    ),
}


@pytest.mark.parametrize("title", GREEDY)
def test_a_small_file_cannot_ask_for_a_huge_network(title, tmp_path):
    """Refused by the shapes, before terabytes are asked for."""
    ours, beside, words = GREEDY[title]
    path = tmp_path / "a.pt"
    path.write_bytes(saved({"G_ema": state() | ours, "D": pair() | beside}))
    with pytest.raises(FormatError, match=words):
        convert_checkpoint(path, tmp_path / "out")


@pytest.mark.parametrize("title", BAD_CONTENTS)
def test_a_checkpoint_that_is_not_right_is_refused_and_what_is_wrong_is_named(title, tmp_path):
    contents, words = BAD_CONTENTS[title]
    path = tmp_path / "a.pt"
    path.write_bytes(saved(contents))
    with pytest.raises(FormatError, match=words) as caught:
        convert_checkpoint(path, tmp_path / "out")
    assert "a.pt" in str(caught.value)
    assert caught.value.fix
    assert [item.name for item in tmp_path.iterdir()] == ["a.pt"]


def test_the_generator_that_a_file_does_have_is_offered(tmp_path):
    (tmp_path / "a.pt").write_bytes(saved({"G": state()}))
    with pytest.raises(FormatError) as caught:
        convert_checkpoint(tmp_path / "a.pt", tmp_path / "out")
    assert "--network G" in caught.value.fix


@pytest.mark.parametrize("data", [WHOLE, OLD])
def test_a_file_with_flipped_bytes_never_surprises(data, tmp_path):
    """A `PolyglyphError`, or a checkpoint whose numbers are others."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.pt"
    refused = []
    for turn in range(80):
        broken = bytearray(data if turn % 2 else data[: rng.integers(1, len(data))])
        for at in rng.integers(0, min(3000, len(broken)), 4):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            convert_checkpoint(path, tmp_path / "out", dry_run=True)
        except PolyglyphError as problem:
            refused.append(problem.fix)
    assert len(refused) > 40
    assert all(refused)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("discriminators.json", b"{", "is not JSON"),
        ("discriminators.json", b'{"resolution": 16}', "`discriminator` is missing"),
        ("discriminators.safetensors", b"nothing much", "not a safetensors file"),
        ("discriminators.safetensors", None, "no tensor file"),
    ],
)
def test_damaged_discriminators_are_refused(name, data, words, tmp_path):
    (tmp_path / "a.pt").write_bytes(saved({"G_ema": state(), "D": pair()}))
    convert_checkpoint(tmp_path / "a.pt", tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    if data is not None:
        (tmp_path / "out" / name).write_bytes(data)
    with pytest.raises(PolyglyphError, match=words) as caught:
        load_discriminators(tmp_path / "out")
    assert caught.value.fix


def test_discriminators_of_other_shapes_are_refused_by_name(tmp_path):
    (tmp_path / "a.pt").write_bytes(saved({"G_ema": state(), "D": pair()}))
    convert_checkpoint(tmp_path / "a.pt", tmp_path / "out")
    write_tensors(
        tmp_path / "out" / "discriminators.safetensors", {"color.b4.fc.bias": np.zeros(3, np.float32)}
    )
    with pytest.raises(FormatError, match=r"tensor `color\.b16\.fromrgb\.weight` in"):
        load_discriminators(tmp_path / "out")
