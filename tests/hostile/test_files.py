"""Bad files of every kind: a typed error that names what was found and says what to do, nothing half-written.

Nothing here may raise outside `PolyglyphError`, warn, or print.
"""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from parts import picture, quad

from polyglyph.base.errors import DataError, FormatError, PolyglyphError
from polyglyph.formats import siblings
from polyglyph.formats.glb import encode_glb, write_glb
from polyglyph.formats.meshes import MESH_SUFFIXES, read_mesh, read_mesh_bytes
from polyglyph.formats.model import Material
from polyglyph.formats.obj import write_obj
from polyglyph.formats.png import decode_image, encode_png, write_animation, write_image
from polyglyph.formats.safetensors import read_tensors, write_tensors
from polyglyph.formats.sh3f import open_archive, read_catalogue, read_entry_mesh

MESHES = Path(__file__).parents[1] / "data" / "meshes"
GLB = encode_glb([quad(Material("wood", base_color_image=picture()))])
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"


def glb_with(change):
    """GLB with its JSON changed."""
    (length,) = struct.unpack_from("<I", GLB, 12)
    table = json.loads(GLB[20 : 20 + length])
    change(table)
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 4)
    rest = GLB[20 + length :]
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


def put(*path, value):
    def change(table):
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value

    return glb_with(change)


BAD_MESHES = {
    # suffix, bytes, what the message must say
    "a text mesh named .glb": (".glb", OBJ, r"starts with b'v 0 '"),
    "a web page named .glb": (".glb", b"<!DOCTYPE html><html>", "a web page"),
    "a Git LFS pointer": (".glb", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "a zip named .obj": (".obj", b"PK\x03\x04" + b"\0" * 50, "a zip archive"),
    "a binary glTF named .obj": (".obj", GLB, "binary glTF"),
    "a picture named .stl": (".stl", encode_png(picture()), "a PNG picture"),
    "a Blender file named .ply": (".ply", b"BLENDER-v300", "a Blender file"),
    "four bytes": (".glb", b"glTF", "4 bytes, fewer than a .glb header"),
    "half a file": (".glb", GLB[: len(GLB) // 2], "is cut short"),
    "a file one byte short": (".glb", GLB[:-1], "is cut short"),
    "glTF version 1": (".glb", b"glTF" + struct.pack("<II", 1, 20) + b"\0" * 8, "glTF version 1"),
    "a chunk longer than the file": (".glb", GLB[:12] + b"\xff\xff\xff\x7f" + GLB[16:], "runs past the end"),
    "no JSON chunk": (".glb", GLB[:16] + b"BIN\0" + GLB[20:], "first chunk is not JSON"),
    "damaged JSON": (".glb", GLB[:20] + b"nope" + GLB[24:], "its JSON is damaged"),
    "JSON without an asset": (".gltf", b'{"a": 1}', "it has no `asset`"),
    "deep JSON": (".gltf", b"[" * 100_000, r"starts with b'\[\[\[\['"),
    "JSON too deep": (".gltf", b'{"a":' * 100_000, "its JSON is damaged"),
    "no meshes": (".gltf", b'{"asset": {"version": "2.0"}}', "has no usable faces"),
    "a scene that is not there": (".glb", put("scene", value=7), "breaks the glTF rules: IndexError"),
    "a table that is text": (".glb", put("meshes", value="x"), "breaks the glTF rules"),
    "no attributes": (".glb", put("meshes", 0, "primitives", 0, value={}), "KeyError: 'attributes'"),
    "a node beyond the list": (".glb", put("nodes", 0, "children", value=[99]), "node 99 is missing"),
    "a mesh below the list": (".glb", put("nodes", 0, "mesh", value=-1), "IndexError: index -1"),
    "an accessor past its view": (".glb", put("accessors", 0, "count", value=10**6), r"needs 12000000 bytes"),
    "a huge accessor": (".glb", put("accessors", 0, "count", value=10**12), "counts 1000000000000"),
    "a negative count": (".glb", put("accessors", 0, "count", value=-4), "counts -4"),
    "a view past its buffer": (".glb", put("bufferViews", 0, "byteLength", value=10**9), "ends at byte"),
    "a view before its buffer": (".glb", put("bufferViews", 0, "byteOffset", value=-8), "buffer view 0"),
    "a stride of one byte": (".glb", put("bufferViews", 1, "byteStride", value=1), "accessor 0 needs"),
    "a buffer longer than the file": (".glb", put("buffers", 0, "byteLength", value=10**9), "buffer 0 has"),
    "a component type of its own": (".glb", put("accessors", 0, "componentType", value=1), "breaks the glTF"),
    "positions of two numbers": (".glb", put("accessors", 0, "type", value="VEC2"), "accessor 0 has shape"),
    "a matrix of three numbers": (".glb", put("nodes", 0, "matrix", value=[1, 2, 3]), "breaks the glTF"),
    "a buffer elsewhere": (
        ".glb",
        put("buffers", 0, "uri", value="gone.bin"),
        r"`gone\.bin`, which is missing",
    ),
    "a damaged data address": (".glb", put("buffers", 0, "uri", value="data:;base64,@@@"), "is damaged"),
    "points only": (".obj", OBJ, "has no faces: 3 vertices"),
    "a poem": (".obj", b"Shall I compare thee\nto a summer's day?\n", "starts with b'Shall I comp'"),
    "binary noise named .obj": (".obj", bytes(range(256)) * 8, "has no faces"),
    "a face that names vertex 99": (".obj", OBJ + b"f 1 2 99\n", "from line 4 on: a face names `v` 99"),
    "a face that names vertex 0": (".obj", OBJ + b"f 0 1 2\n", "a face names `v` 0"),
    "a negative index too far back": (".obj", OBJ + b"f -1 -2 -9\n", "a face names `v` -5"),
    "a coordinate that is not there": (
        ".obj",
        OBJ + b"f 1/1 2/1 3/1\n",
        "a face names `vt` 1, and there are 0",
    ),
    "a corner of letters": (".obj", OBJ + b"f a b c\n", "`a` is not a corner"),
    "a corner of letters with a minus": (".obj", OBJ + b"f -a 1 2\n", "line 4: `-a` is not a corner"),
    "words for numbers": (
        ".obj",
        b"v 0 0 0\nv 1 zero 0\nv 0 1 0\nf 1 2 3\n",
        "the 2. `v` line is `1 zero 0`",
    ),
    "positions of two numbers in OBJ": (".obj", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "has 2 numbers"),
    "an index of 400 digits": (".obj", OBJ + b"f 1 2 " + b"9" * 400 + b"\n", "is not a corner|a face names"),
    "only NaN vertices": (".obj", b"v nan 0 0\nv 1 inf 0\nv 0 1 nan\nf 1 2 3\n", "has no usable faces"),
    "all vertices on one point": (".obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "lie on one point"),
    "half a PLY": (".ply", (MESHES / "chair2.ply").read_bytes()[:3000], "cannot be read as PLY"),
    "a PLY header alone": (
        ".ply",
        b"ply\nformat ascii 1.0\nend_header\n",
        "chair|no usable faces|cannot be read",
    ),
    "half an STL": (
        ".stl",
        (MESHES / "crate.stl").read_bytes()[:3000],
        "cannot be read as STL|no usable faces",
    ),
    "text named .stl": (".stl", b"hello", "cannot be read as STL|no usable faces"),
    "half an OFF": (".off", (MESHES / "stoneLantern.off").read_bytes()[:3000], "cannot be read as OFF"),
    "text named .off": (".off", b"hello world\n", "cannot be read as OFF|no usable faces"),
    "a suffix we do not read": (".fbx", b"Kaydara FBX Binary", r"not read from `\.fbx`"),
    "no suffix": ("", OBJ, "files without a suffix"),
}


@pytest.mark.parametrize("title", BAD_MESHES)
def test_a_bad_mesh_is_refused_and_what_it_is_is_said(title, tmp_path, capfd):
    suffix, data, words = BAD_MESHES[title]
    path = tmp_path / f"mesh{suffix}"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=words) as caught:
        read_mesh(path)
    assert caught.value.fix
    assert "mesh" in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_an_empty_file_of_any_format_is_called_empty(suffix, tmp_path):
    (tmp_path / f"a{suffix}").write_bytes(b"")
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)") as caught:
        read_mesh(tmp_path / f"a{suffix}")
    assert caught.value.fix


def attempt(data, suffix):
    """The mesh, or the error of ours that reading it raised."""
    try:
        return read_mesh_bytes(data, suffix)
    except PolyglyphError as problem:
        return problem


@pytest.mark.parametrize(
    "name", ["glassDoorCabinet.glb", "chair2.ply", "crate.stl", "stoneLantern.off", "table/table.obj"]
)
def test_a_file_cut_anywhere_or_with_a_flipped_byte_never_surprises(name):
    """Either a mesh or a `PolyglyphError`; anything else escapes and fails."""
    data = (MESHES / name).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        broken = bytearray(data[: rng.integers(1, len(data))])
        for at in rng.integers(0, len(broken), 3):
            broken[at] = rng.integers(0, 256)
        found = attempt(bytes(broken), Path(name).suffix)
        refused += isinstance(found, PolyglyphError)
        if isinstance(found, PolyglyphError):
            assert found.fix
            continue
        for part in found.parts:
            assert np.isfinite(part.positions).all()
            assert part.faces.min() >= 0
            assert part.faces.max() < len(part.positions)
    assert refused


def test_flipped_bytes_in_the_json_of_a_glb_never_surprise():
    rng = np.random.default_rng(1)
    (length,) = struct.unpack_from("<I", GLB, 12)
    for _ in range(300):
        broken = bytearray(GLB)
        for at in rng.integers(20, 20 + length, 2):
            broken[at] = rng.choice(list(b'0123456789-{}[]",:e'))
        found = attempt(bytes(broken), ".glb")
        assert not isinstance(found, PolyglyphError) or found.fix


def test_some_nan_vertices_cost_only_their_faces():
    data = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv nan 0 0\nf 1 2 3\nf 1 2 4\n"
    found = read_mesh_bytes(data, ".obj")
    assert found.face_count == 1
    assert found.warnings == ["part `part`: 1 vertices are NaN or infinite: 1 faces left out"]


def test_positions_too_large_for_a_float_are_infinite():
    found = read_mesh_bytes(OBJ + b"v 1e300 0 0\nf 1 2 3\nf 1 2 4\n", ".obj")
    assert found.face_count == 1
    assert "1 vertices are NaN or infinite" in found.warnings[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"GIF", "is not a picture: it starts with b'GIF'"),
        (encode_png(picture(64, 64))[:900], "is damaged"),
    ],
)
def test_a_bad_picture_is_a_sentence_and_the_mesh_is_read(data, words, tmp_path):
    (tmp_path / "wood.png").write_bytes(data)
    (tmp_path / "a.mtl").write_text("newmtl m\nKd 1 0 0\nmap_Kd wood.png\n")
    (tmp_path / "a.obj").write_bytes(b"mtllib a.mtl\nusemtl m\nvt 0 0\n" + OBJ + b"f 1/1 2/1 3/1\n")
    found = read_mesh(tmp_path / "a.obj")
    assert found.parts[0].material.base_color == (1.0, 0.0, 0.0, 1.0)
    assert len(found.warnings) == 1
    assert "`wood.png`" in found.warnings[0]
    assert words in found.warnings[0]


def test_a_bad_picture_inside_a_glb_is_a_sentence_too():
    at = GLB.index(b"\x89PNG")
    found = read_mesh_bytes(GLB[:at] + b"\0PNG" + GLB[at + 4 :], ".glb")
    assert "is not a picture" in found.warnings[0]
    assert not found.textured


def test_a_picture_that_would_unpack_to_gigabytes_is_refused():
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    import zlib

    chunk = b"IHDR" + head
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(FormatError, match=r"60000x60000 pixels|unpacks to more than") as caught:
        decode_image(data + b"\0\0\0\0IDAT\x35\xaf\x06\x1e", "bomb.png")
    assert caught.value.fix


def test_a_mesh_cannot_name_files_with_odd_names(tmp_path):
    for name in ("a" * 5000 + ".mtl", "nul\0byte.mtl", "..", "/", "~", "//x/y.mtl", "."):
        (tmp_path / "a.obj").write_bytes(b"mtllib " + name.encode() + b"\n" + OBJ + b"f 1 2 3\n")
        assert read_mesh(tmp_path / "a.obj").face_count == 1


def test_an_absolute_name_is_only_looked_for_beside_the_mesh(tmp_path):
    secret = tmp_path / "elsewhere" / "secret.mtl"
    secret.parent.mkdir()
    secret.write_text("newmtl m\nKd 1 0 0\n")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.obj").write_bytes(f"mtllib {secret}\nusemtl m\n".encode() + OBJ + b"f 1 2 3\n")
    found = read_mesh(tmp_path / "set" / "a.obj")
    assert any("is missing" in warning for warning in found.warnings)


# --- archives ---


def archive(tmp_path, members, name="a.sh3f"):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as file:
        for member, data in members.items():
            file.writestr(member, data)
    return tmp_path / name


def test_a_file_that_is_no_archive_says_how_it_starts(tmp_path):
    (tmp_path / "a.sh3f").write_bytes(b"hello world")
    with pytest.raises(FormatError, match=r"not a zip archive .* starts with b'hello wo'"):
        read_catalogue(tmp_path / "a.sh3f")
    (tmp_path / "b.sh3f").write_bytes(b"")
    with pytest.raises(FormatError, match="not a zip archive"):
        read_catalogue(tmp_path / "b.sh3f")
    with pytest.raises(DataError, match="there is no archive"):
        read_catalogue(tmp_path / "c.sh3f")


def test_half_an_archive_is_refused(tmp_path):
    path = archive(
        tmp_path, {"PluginFurnitureCatalog.properties": "model#1=a.obj\n" * 100, "a.obj": OBJ * 100}
    )
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="not a zip archive"):
        read_catalogue(path)


def test_a_damaged_member_is_named(tmp_path):
    path = archive(
        tmp_path, {"PluginFurnitureCatalog.properties": "model#1=a.obj\n", "a.obj": OBJ + b"f 1 2 3\n"}
    )
    (entry,) = read_catalogue(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"a.obj") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError, match=r"member `a\.obj` cannot be unpacked"):
        read_entry_mesh(path, entry)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = archive(tmp_path, {f"{index}.txt": b"\0" * 100_000 for index in range(3)})
    monkeypatch.setattr("polyglyph.formats.sh3f.MAX_UNPACKED", 200_000)
    with pytest.raises(FormatError, match="says it unpacks to"), open_archive(path):
        pass


def test_a_member_larger_than_its_limit_is_not_unpacked_further(tmp_path):
    path = archive(tmp_path, {"a.obj": b"\0" * 100_000})
    with zipfile.ZipFile(path) as file, pytest.raises(FormatError, match="unpacks to more than 1000 bytes"):
        siblings.read_member(file, "a.obj", limit=1000)


def test_an_encrypted_member_is_refused(tmp_path):
    path = archive(tmp_path, {"PluginFurnitureCatalog.properties": "model#1=a.obj\n"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError, match=r"cannot be unpacked: .*encrypted"):
        read_catalogue(path)


def test_a_mesh_in_an_archive_cannot_reach_out_of_it(tmp_path):
    (tmp_path / "secret.mtl").write_text("newmtl m\n")
    obj = b"mtllib ../../../secret.mtl\nusemtl m\n" + OBJ + b"f 1 2 3\n"
    path = archive(tmp_path, {"set/a.obj": obj})
    with zipfile.ZipFile(path) as file:
        found = read_mesh_bytes(obj, ".obj", siblings.ZipSiblings(file, "set/a.obj"))
    assert "is missing" in found.warnings[0]


# --- nothing half-written ---


class Interrupted(BaseException):
    """Stands for Ctrl-C in the middle of a write."""


@pytest.mark.parametrize("kind", ["glb", "obj", "png", "webp", "safetensors"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(kind, tmp_path, monkeypatch):
    writers = {
        "glb": lambda path, seed: write_glb(path, [quad(Material("m", roughness=seed / 10))]),
        "obj": lambda path, seed: write_obj(path, [quad(Material("m", roughness=seed / 10))]),
        "png": lambda path, seed: write_image(path, picture(seed=seed)),
        "webp": lambda path, seed: write_animation(path, [picture(seed=seed), picture(seed=seed + 1)]),
        "safetensors": lambda path, seed: write_tensors(path, {"a": np.full(3, seed)}),
    }
    path = tmp_path / f"a.{kind}"
    writers[kind](path, 1)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def stop(*_):
        raise Interrupted

    monkeypatch.setattr("os.replace", stop)
    with pytest.raises(Interrupted):
        writers[kind](path, 2)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_tensor_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": np.arange(100, dtype=np.float32), "b": np.arange(3)})
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(PolyglyphError) as caught:
            read_tensors(path)
        assert caught.value.fix


def test_bytes_that_look_like_an_archive_in_a_stream_are_left_alone():
    assert zipfile.is_zipfile(io.BytesIO(b"PK\x05\x06" + b"\0" * 18))
    with pytest.raises(FormatError):
        read_mesh_bytes(b"PK\x05\x06" + b"\0" * 18, ".obj")
