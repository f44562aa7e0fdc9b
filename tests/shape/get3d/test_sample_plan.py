"""What is wanted, before any network is asked."""

import pytest

from polyglyph.base.errors import ConfigError
from polyglyph.shape.get3d.sample_config import SampleConfig
from polyglyph.shape.get3d.sample_plan import Mix, wanted


def test_a_run_of_seeds_has_one_shape_each():
    shapes = wanted("chair", SampleConfig(count=3, seed=7, truncation=0.6))
    assert [shape.name for shape in shapes] == ["chair_0007", "chair_0008", "chair_0009"]
    assert [shape.geometry for shape in shapes] == [Mix(7), Mix(8), Mix(9)]
    assert {shape.truncation for shape in shapes} == {0.6}
    assert wanted("", SampleConfig(count=1))[0].name == "mesh_0000"


def test_a_sweep_has_a_row_of_truncations_for_each_seed():
    shapes = wanted("chair", SampleConfig(count=2, truncations=(0, 0.5, 1)))
    assert [shape.recipe for shape in shapes[:3]] == [
        "seed 0, truncation 0",
        "seed 0, truncation 0.5",
        "seed 0, truncation 1",
    ]
    assert [(shape.geometry.seed, shape.truncation) for shape in shapes[3:]] == [(1, 0), (1, 0.5), (1, 1)]
    names = [shape.name for shape in shapes]
    assert names[1] == "chair_0000_truncation_0_5"
    assert len(set(names)) == 6


def test_a_walk_has_both_ends_and_even_steps():
    shapes = wanted("chair", SampleConfig(interpolate=(4, 2), frames=5, path="z"))
    assert [shape.geometry for shape in shapes] == [Mix(4, 2, share) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert all(shape.geometry == shape.texture and shape.path == "z" for shape in shapes)
    assert shapes[1].recipe == "0.25 of the way from seed 4 to 2, on the great circle in z"


def test_a_swap_has_each_geometry_with_each_texture():
    shapes = wanted("chair", SampleConfig(swap=(1, 5)))
    pairs = [(shape.geometry.seed, shape.texture.seed) for shape in shapes]
    assert pairs == [(1, 1), (1, 5), (5, 1), (5, 5)]


def test_levels_of_detail_have_textures_of_half_the_side_each():
    config = SampleConfig(lods=(5000, 900, 100), texture_resolution=512)
    assert config.levels == ((5000, 512), (900, 256), (100, 128))
    assert SampleConfig(faces=0, texture_resolution=64).levels == ((0, 64),)
    assert SampleConfig(lods=(9, 8, 7), texture_resolution=32).levels[2] == (7, 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"swap": (0, 1), "interpolate": (0, 1)}, "both given"),
        ({"swap": (0, 1), "truncations": (0.5,)}, "both given"),
        ({"truncations": (0.5, 0.5)}, "twice"),
        ({"truncations": (0.5, 3.0)}, "truncation` is 3"),
        ({"truncation": -0.1}, "truncation` is -0.1"),
        ({"lods": (100, 200)}, "levels of detail are 100, 200"),
        ({"lods": (100, 3)}, "levels of detail"),
        ({"mesh_seconds": 0.0}, "mesh_seconds"),
        ({"mesh_seconds": float("nan")}, "mesh_seconds"),
        ({"workers": 0}, "workers` is 0"),
        ({"frames": 1}, "frames` is 1"),
        ({"film_frames": 1}, "film_frames` is 1"),
        ({"turntable_frames": 1}, "turntable_frames` is 1"),
        ({"count": 0}, "count` is 0"),
        ({"texture_resolution": 8}, "texture_resolution"),
        ({"view_resolution": 4}, "view_resolution"),
        ({"isosurface_resolution": 1}, "isosurface_resolution"),
        ({"faces": 3}, "faces` is 3"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        SampleConfig(**settings)
