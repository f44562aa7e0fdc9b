import json
import subprocess
import sys

import pytest

from polyglyph.base.errors import ConfigError
from polyglyph.shape.data.config import CAMERAS, DatasetConfig, ImportConfig, camera_distribution


def test_the_presets_are_get3ds_cameras():
    assert {name: camera.elevation[1] for name, camera in CAMERAS.items()} == {
        "shapenet": 30.0,
        "animal": 45.0,
        "human": 20.0,
    }
    assert {(c.azimuth, c.radius, c.fov) for c in CAMERAS.values()} == {((0.0, 360.0), 1.2, 49.134)}


def test_a_camera_file_is_read_and_its_unknown_key_refused(tmp_path):
    path = tmp_path / "cam.json"
    path.write_text(json.dumps({"elevation": [-10, 80], "radius": 2}))
    lens = camera_distribution(str(path))
    assert (lens.elevation, lens.radius, lens.fov) == ((-10.0, 80.0), 2.0, 49.134)
    path.write_text(json.dumps({"elevatoin": [0, 1]}))
    with pytest.raises(ConfigError, match="elevatoin") as caught:
        camera_distribution(str(path))
    assert "elevation" in caught.value.fix


def test_a_misspelled_camera_names_the_nearest_preset():
    with pytest.raises(ConfigError) as caught:
        camera_distribution("shapnet")
    assert "shapenet" in caught.value.fix


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (ImportConfig, {"match": "chair("}),
        (ImportConfig, {"limit": 0}),
        (ImportConfig, {"max_faces": 1}),
        (DatasetConfig, {"views": 0}),
        (DatasetConfig, {"resolution": 4}),
        (DatasetConfig, {"object_size": 0.0}),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(config, settings):
    name = next(iter(settings)).replace("_", "-")
    with pytest.raises(ConfigError, match=name):
        config(**settings)


def test_importing_meshes_and_reading_datasets_never_loads_torch():
    code = (
        "import sys, polyglyph.shape.data.importing, polyglyph.shape.data.dataset,"
        " polyglyph.shape.data.inspect,"
        " polyglyph.shape.data.shards, polyglyph.shape.data.procedural.make; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
