"""`compare` on pictures: known sets, data sets on either side, what is told, interruption, refusals."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from measure.pictured import QUICK, Quarters, boxes, rendered

from polyglyph.base.errors import ConfigError, DataError, FormatError
from polyglyph.formats.color import srgb_to_linear
from polyglyph.formats.png import decode_image
from polyglyph.measure import described as describing
from polyglyph.measure import seen as seeing
from polyglyph.measure.compare import compare
from polyglyph.measure.protocol import MeasureConfig, PictureProtocol, Protocol
from polyglyph.measure.shapes import shapes_of
from polyglyph.measure.sight import sight_of
from polyglyph.shape.data.config import CameraDistribution
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.get3d.model import SHIPPED_MODEL

HEIGHTS = [0.2, 0.5, 0.8, 1.1, 1.6]


def with_pictures(config: MeasureConfig = QUICK, **settings) -> MeasureConfig:
    pictures = replace(config.protocol.pictures, **settings)
    return replace(config, protocol=replace(config.protocol, pictures=pictures))


def measured(generated, reference, out, config=QUICK, extractor=None):
    return compare(generated, reference, out, config, extractor=extractor or Quarters()).result


def sights(generated, reference, config=QUICK):
    config = replace(config, metrics=("fid",))
    target = shapes_of(reference, protocol=config.protocol)
    made = shapes_of(generated, drawn=1, protocol=config.protocol)
    return made, target, *sight_of(config, made, target)


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    return boxes(tmp_path_factory.mktemp("red") / "red", HEIGHTS)


@pytest.fixture(scope="module")
def blue(tmp_path_factory):
    return boxes(tmp_path_factory.mktemp("blue") / "blue", HEIGHTS, (0.1, 0.1, 0.8))


@pytest.fixture(scope="module")
def data(tmp_path_factory, red):
    return rendered(red, tmp_path_factory.mktemp("data") / "data")


def test_a_set_against_itself_and_against_another(tmp_path, red, blue):
    own = measured(red, red, tmp_path / "own")["metrics"]
    assert own.keys() == {"FD-quarters", "KD-quarters", "pr"}
    assert own["FD-quarters"]["distance"] == pytest.approx(0, abs=1e-6)
    assert own["KD-quarters"]["distance"] <= 0
    assert own["KD-quarters"]["deviation"] is None  # of one subset there is none
    assert [own["pr"][name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    other = measured(red, blue, tmp_path / "other")["metrics"]
    assert other["FD-quarters"]["distance"] > 0.1
    assert other["KD-quarters"]["distance"] > 0.1
    assert [other["pr"][name] for name in ("precision", "recall")] == [0, 0]
    assert other["pr"]["coverage"] < 0.2
    assert other["pr"]["density"] < 0.2
    for found in other.values():
        assert (found["generated_pictures"], found["reference_pictures"]) == (20, 20)


def test_too_few_pictures_for_the_features_are_told_in_the_result_and_on_the_page(tmp_path, red):
    few = measured(red, red, tmp_path / "few", replace(QUICK, limit=3))["metrics"]["FD-quarters"]
    assert few["warning"].startswith("12 pictures are too few for 12 features")
    assert few["warning"] in (tmp_path / "few" / "index.html").read_text()
    many = measured(red, red, tmp_path / "many")["metrics"]["FD-quarters"]
    assert many["warning"] is None
    assert "too few" not in (tmp_path / "many" / "index.html").read_text()


def test_the_result_holds_what_another_program_needs_to_repeat_it(tmp_path, red, blue):
    told = measured(red, blue, tmp_path / "out", with_pictures(replace(QUICK, seed=3), object_size=0.5))
    assert told == json.loads((tmp_path / "out" / "result.json").read_text())
    assert str(tmp_path) not in json.dumps(told)
    assert told["extractor"] == {"extractor": "quarters", "dimensions": 12}
    assert told["config"]["protocol"]["pictures"]["kernel_subsets"] == 100
    assert told["reference"]["pictures"] == {
        "count": 20,
        "resolution": 32,
        "background": "white",
        "renderer": f"polyglyph {told['polyglyph']}",
        "light": "soft",
        "views": 4,
        "camera": {"azimuth": [0.0, 360.0], "elevation": [0.0, 30.0], "radius": 1.2, "fov": 49.134},
        "supersample": 1,
        "object_size": 0.5,
        "keep_in_view": True,
    }


def test_pictures_of_one_shape_hang_on_it_and_the_seed_alone(tmp_path, red):
    few = boxes(tmp_path / "few", HEIGHTS[2:3])
    _, all_of_them, _, sight = sights(red, red)
    _, alone, _, same = sights(few, few)
    assert alone.shapes[0].key == all_of_them.shapes[2].key
    np.testing.assert_array_equal(same.pictures(alone.shapes[0]), sight.pictures(all_of_them.shapes[2]))
    _, _, _, seeded = sights(few, few, replace(QUICK, seed=1))
    assert not np.array_equal(sight.cameras("a"), seeded.cameras("a"))
    assert not np.array_equal(sight.cameras("a"), sight.cameras("b"))


def test_a_mesh_is_seen_as_a_data_set_of_it_shows_it(red, data):
    """Same place, light, colours and frame; cameras are drawn from the data set's own."""
    made, _, sight, _ = sights(red, data)
    whole = load_dataset(data)
    angles = whole.angles()
    for shape in made.shapes:
        pictures = sight.pictures(shape)
        for (azimuth, elevation), picture in zip(sight.cameras(shape.key), pictures[:-1], strict=True):
            row = np.abs(angles - np.array([azimuth, elevation], np.float32)).sum(axis=1).argmin()
            np.testing.assert_allclose(angles[row], (azimuth, elevation), atol=1e-4)
            identity, view = whole.index()[row]
            if identity.endswith(shape.name.removesuffix(".glb")):  # one of its own cameras
                np.testing.assert_array_equal(picture, whole.image(identity, view))
                return
    pytest.fail("no shape was seen from a camera of its own")


def test_a_data_set_lends_its_lens_place_and_light(tmp_path, red):
    (tmp_path / "lens.json").write_text('{"radius": 2.0, "fov": 30.0, "elevation": [10, 20]}')
    flat = rendered(red, tmp_path / "data", light="flat", object_size=0.4, camera=str(tmp_path / "lens.json"))
    for told in (
        measured(red, flat, tmp_path / "reference")["generated"]["pictures"],
        measured(flat, red, tmp_path / "generated")["reference"]["pictures"],
    ):
        assert (told["light"], told["object_size"]) == ("flat", 0.4)
        assert told["camera"] == {"angles_of": "data", "angles": 30, "radius": 2.0, "fov": 30.0}
    _, _, sight, _ = sights(red, flat)
    _, _, seeded, _ = sights(red, flat, replace(QUICK, seed=1))
    assert (sight.cameras("x")[:, 1] >= 10).all()
    for other in (seeded.cameras("x"), sight.cameras("y")):
        assert not np.array_equal(sight.cameras("x"), other)


def test_data_sets_on_both_sides(tmp_path, red, blue, data):
    other = rendered(blue, tmp_path / "blue", resolution=64, views=3)
    told = measured(other, data, tmp_path / "out")
    assert told["generated"]["kind"] == told["reference"]["kind"] == "dataset"
    assert told["generated"]["pictures"]["count"] == told["reference"]["pictures"]["count"] == 15
    assert told["generated"]["pictures"]["own_resolution"] == 64
    _, _, sight, _ = sights(other, data)
    assert sight.pictures(shapes_of(other, protocol=QUICK.protocol).shapes[0]).shape == (4, 32, 32, 4)
    assert told["generated"]["pictures"]["checksum"] == load_dataset(other).info.checksum
    assert told["generated"]["pictures"]["renderer"] == f"polyglyph {told['polyglyph']}"
    assert told["metrics"]["FD-quarters"]["distance"] > 0.1
    same = measured(data, data, tmp_path / "same")["metrics"]
    assert same["FD-quarters"]["distance"] == pytest.approx(0, abs=1e-6)
    assert measured(red, data, tmp_path / "red")["metrics"]["FD-quarters"]["distance"] < 0.05


def test_a_split_takes_its_objects_alone(tmp_path, data):
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    ids = list(load_dataset(copy).ids)
    (copy / "split.json").write_text(json.dumps({"train": ids[:3], "val": ids[3:], "test": []}))
    told = measured(copy, copy, tmp_path / "out", replace(QUICK, split="train"))
    assert told["generated"]["names"] == told["reference"]["names"] == ids[:3]
    assert told["generated"]["pictures"]["split"] == "train"
    with pytest.raises(DataError, match="split `test` of `copy` is empty") as caught:
        measured(copy, copy, tmp_path / "test", replace(QUICK, split="test"))
    assert "--split all" in caught.value.fix


def test_what_a_model_made_is_shown_without_another_light(tmp_path, red):
    color, few = (0.25, 0.5, 0.75), replace(QUICK, metrics=("kid",))
    baked = boxes(tmp_path / "baked", [1.0], color, {"model": "m", "codes": "seed 0"})
    boxes(tmp_path / "plain", [1.0], color, {"model": "m"})  # no mark of ours
    for folder, light in ((baked, "albedo"), (tmp_path / "plain", "soft")):
        told = measured(folder, red, tmp_path / f"{folder.name} out", few)
        assert told["generated"]["pictures"]["light"] == light
        assert told["reference"]["pictures"]["light"] == "soft"
    made, _, sight, _ = sights(baked, red)
    pixels = sight.pictures(made.shapes[0])
    assert 0.1 < (pixels[..., 3] == 255).mean() < 0.6
    inside = pixels[pixels[..., 3] == 255][:, :3] / 255
    np.testing.assert_allclose(srgb_to_linear(inside), np.tile(color, (len(inside), 1)), atol=0.01)
    shutil.copy(tmp_path / "plain" / "00.glb", baked / "plain.glb")
    mixed = measured(baked, red, tmp_path / "mixed", few)["generated"]["pictures"]["light"]
    assert mixed == {"00.glb": "albedo", "plain.glb": "soft"}
    said = measured(baked, red, tmp_path / "said", with_pictures(few, generated_light="studio"))
    assert said["generated"]["pictures"]["light"] == "studio"


def test_a_model_is_measured_by_its_exported_meshes(tmp_path, red):
    told = measured(SHIPPED_MODEL, red, tmp_path / "out", replace(QUICK, limit=2))
    assert told["generated"]["names"] == ["seed 0", "seed 1"]
    assert told["generated"]["pictures"]["light"] == "albedo"
    made, _, sight, _ = sights(SHIPPED_MODEL, red)
    (part,) = made.shapes[0].parts()
    assert part.material.base_color_image.shape == (64, 64, 3)
    assert 100 < len(part.faces) <= 600
    pixels = sight.pictures(made.shapes[0]).astype(float)
    opaque = pixels[..., 3] > 128
    assert 0.05 < opaque.mean() < 0.6
    assert pixels[opaque][:, :3].std() > 5  # a picture, not one colour
    rows, columns = np.nonzero(opaque.any(axis=0))
    assert abs(rows.min() + rows.max() - 31) <= 8  # in the middle
    assert abs(columns.min() + columns.max() - 31) <= 8


def test_an_interrupted_run_goes_on_and_processes_share_the_work(tmp_path, red, blue, monkeypatch):
    expected = measured(red, blue, tmp_path / "whole")
    made, whole = [], seeing._made

    def stopping(shape, *rest):
        made.append(shape.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return whole(shape, *rest)

    monkeypatch.setattr(seeing, "_made", stopping)
    with pytest.raises(KeyboardInterrupt):
        measured(red, blue, tmp_path / "out")
    extractor = Quarters()
    assert measured(red, blue, tmp_path / "out", extractor=extractor) == expected
    assert extractor.seen == 4 * (3 + 5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    made.clear()
    made.extend("abc")  # no more stopping
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert measured(red, blue, tmp_path / "two") == expected
    assert made[3:8] == ["01.glb", "03.glb", "00.glb", "02.glb", "04.glb"]  # its share first
    assert len(made) == 3 + 10


def test_another_extractor_in_the_same_place_is_refused(tmp_path, red):
    measured(red, red, tmp_path / "out")
    other = Quarters()
    other.protocol = {"extractor": "quarters", "weights_sha256": "other"}
    with pytest.raises(DataError, match="begun with other shapes or settings"):
        measured(red, red, tmp_path / "out", extractor=other)


def test_another_texture_beside_an_obj_is_another_picture(tmp_path):
    folder = tmp_path / "obj"
    folder.mkdir()
    trimesh.creation.box((1, 1, 1)).export(folder / "a.obj", include_normals=False)
    looks = []
    for color in (b"Kd 1 0 0", b"Kd 0 1 0"):
        (folder / "a.mtl").write_bytes(b"newmtl m\n" + color)
        (shape,) = shapes_of(folder).shapes
        looks.append((shape.key, shape.look))
    assert looks[0][0] == looks[1][0]  # points and cameras stay
    assert looks[0][1] != looks[1][1]


def test_a_mesh_that_cannot_be_seen_or_measured_is_left_out_of_everything(tmp_path, red):
    folder = tmp_path / "some"
    shutil.copytree(red, folder)
    (folder / "01.glb").write_bytes(b"glTF broken")
    trimesh.Trimesh([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 1, 2]], process=False).export(folder / "02.ply")
    told = measured(folder, red, tmp_path / "out", replace(QUICK, metrics=("cd", "fid", "pr")))
    assert told["generated"]["names"] == ["00.glb", "02.glb", "03.glb", "04.glb"]
    assert {one["name"] for one in told["generated"]["skipped"]} == {"01.glb", "02.ply"}
    assert told["generated"]["pictures"]["count"] == 16
    turned = measured(red, folder, tmp_path / "turned", replace(QUICK, metrics=("kid", "pr")))["metrics"]
    assert turned["KD-quarters"]["subsets"] == 100
    assert turned["KD-quarters"]["deviation"] >= 0
    for found in (told["metrics"]["pr"], turned["pr"]):
        counts = [found[name] for name in ("shapes", "generated_pictures", "reference_pictures")]
        assert counts in ([4, 16, 16], [5, 20, 20])
    assert told["metrics"].keys() == {"cd", "FD-quarters", "pr"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("nearest reference of each shape") == 2


def test_the_page_shows_textured_portraits_and_asks_nothing_of_the_network(tmp_path, red, blue):
    measured(red, blue, tmp_path / "out", replace(QUICK, metrics=("fid",)))
    page = (tmp_path / "out" / "index.html").read_text()
    assert "http" not in page.replace('http-equiv="', "")
    assert page.count("<figure>") == 5
    assert "camera.radius" in page
    _, target, _, sight = sights(red, red)
    found = seeing.see_shapes(target, tmp_path / "cache", sight, Quarters(), label="x")
    portrait = decode_image(found.portraits[0]).astype(int)
    assert portrait.shape == (96, 96, 3)
    assert (portrait[0] == 255).all()
    assert portrait[48, 48, 0] > portrait[48, 48, 2] + 80  # red
    _, _, _, seeded = sights(red, red, replace(QUICK, seed=1))
    again = seeing.see_shapes(target, tmp_path / "cache", seeded, Quarters(), label="x")
    assert not np.array_equal(again.features, found.features)
    assert again.portraits == found.portraits  # always from the same side


@pytest.mark.parametrize("side", [0, 1])
def test_geometry_is_not_asked_of_a_data_set(tmp_path, red, data, side):
    sets = (data, red) if side == 0 else (red, data)
    for metrics in (("cd",), ("fid", "jsd")):
        with pytest.raises(ConfigError, match="needs meshes, and") as caught:
            measured(*sets, tmp_path / "out", replace(QUICK, metrics=metrics))
        assert "fid kid pr" in caught.value.fix
        assert not (tmp_path / "out").exists()


def test_pictures_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, red, data):
    for generated, reference, config, error, message, fix in (
        (red, data, with_pictures(resolution=24), ConfigError, "32x32: no average gives 24x24", "32"),
        (data, red, with_pictures(resolution=64), ConfigError, "no average gives 64x64", "--resolution 32"),
        (red, data, with_pictures(reference_light="soft"), ConfigError, "pictures are there already", "out"),
        (red, red, replace(QUICK, split="train"), ConfigError, "neither side is a data set", "--split"),
        (red, red, replace(QUICK, limit=1), DataError, "has 4 pictures, and .* needs 6", "--views"),
        (
            red,
            red,
            replace(with_pictures(views=1), limit=1, metrics=("kid",)),
            DataError,
            "1 pictures",
            "--v",
        ),
    ):
        with pytest.raises(error, match=message) as caught:
            measured(generated, reference, tmp_path / "out", config)
        assert fix in caught.value.fix
        assert not (tmp_path / "out").exists()


def test_an_unfinished_data_set_is_refused(tmp_path, red, data):
    begun = tmp_path / "begun"
    shutil.copytree(data, begun)
    (begun / "dataset.json").unlink()
    with pytest.raises(DataError, match="not finished"):
        measured(red, begun, tmp_path / "out")


def test_a_damaged_picture_of_a_data_set_is_an_error_that_names_it(tmp_path, red, data):
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    identity = load_dataset(broken).ids[1]
    path = broken / "images" / identity / "02.png"
    for content in (path.read_bytes()[:60], b"", b"not a picture"):
        path.write_bytes(content)
        with pytest.raises((FormatError, DataError), match=f"{identity}/02.png") as caught:
            measured(red, broken, tmp_path / f"out{len(content)}")
        assert caught.value.fix


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PictureProtocol(views=0),
        lambda: PictureProtocol(resolution=4),
        lambda: PictureProtocol(object_size=0),
        lambda: PictureProtocol(supersample=0),
        lambda: PictureProtocol(kernel_size=1),
        lambda: PictureProtocol(nearest=0),
        lambda: PictureProtocol(nearest_density=0),
        lambda: Protocol(pictures=PictureProtocol(texture_resolution=1)),
        lambda: Protocol(pictures=PictureProtocol(faces=2)),
        lambda: PictureProtocol(camera=CameraDistribution(radius=0)),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert caught.value.fix


def test_every_number_is_of_the_same_shapes(tmp_path, red, monkeypatch):
    """One shape that only its pictures fail, one that only its points do."""

    def failing(whole, name):
        def made(shape, *rest):
            if shape.name == name:
                raise DataError(f"{name} is odd", fix="none")
            return whole(shape, *rest)

        return made

    monkeypatch.setattr(seeing, "_made", failing(seeing._made, "01.glb"))
    monkeypatch.setattr(describing, "_made", failing(describing._made, "03.glb"))
    told = measured(red, red, tmp_path / "out", replace(QUICK, metrics=("cd", "fid")))
    assert told["generated"]["names"] == ["00.glb", "02.glb", "04.glb"]
    assert [one["name"] for one in told["generated"]["skipped"]] == ["01.glb", "03.glb"]
    assert told["metrics"]["FD-quarters"]["generated_pictures"] == 12
    assert told["metrics"]["cd"]["one_nearest_neighbour_shapes"] == 3
