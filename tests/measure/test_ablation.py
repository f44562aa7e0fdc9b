"""What a study is: its cells, their settings, and what cannot be one."""

import dataclasses

import pytest

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure.ablation import Ablation, read_ablation
from polyglyph.shape.get3d.config import PRESETS


def test_the_cells_are_every_combination_and_the_last_setting_changes_first():
    study = Ablation(
        dataset="d",
        set={"schedule.kimg": 20, "generator.clamp": "none"},
        grid={"resolution": [32, 64], "discriminator.camera": [True, False], "data.views": [3]},
    )
    cells = study.cells()
    assert [cell.name for cell in cells] == [
        f"resolution={side},discriminator.camera={told},data.views=3"
        for side in (32, 64)
        for told in ("true", "false")
    ]
    tiny = PRESETS["tiny"]
    expected = dataclasses.replace(
        tiny,
        resolution=64,
        discriminator=dataclasses.replace(tiny.discriminator, camera=False),
        schedule=dataclasses.replace(tiny.schedule, kimg=20.0),
        generator=dataclasses.replace(tiny.generator, clamp=None),
    )
    assert cells[3].config == expected
    assert [cell.views for cell in cells] == [3] * 4
    assert cells[1].changes == {"resolution": 32, "discriminator.camera": False, "data.views": 3}


def test_without_a_grid_there_is_one_cell():
    (cell,) = Ablation(dataset="d", preset="small").cells()
    assert (cell.name, cell.config, cell.views) == ("all", PRESETS["small"], None)


def test_a_file_gives_the_same_dotted_or_nested_and_paths_from_its_folder(tmp_path):
    body = (
        'dataset = "../chairs"\nseeds = [4, 5]\n{}\n[measure]\nmeshes = "meshes"\nmetrics = ["cd", "jsd"]\n'
    )
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(body.format("[set]\nschedule.kimg = 20\n[grid]\nloss.r1_gamma = [1, 2]"))
    second.write_text(body.format("[set.schedule]\nkimg = 20\n[grid]\n'loss.r1_gamma' = [1, 2]"))
    study = read_ablation(first)
    assert study == read_ablation(second)
    assert study.grid == {"loss.r1_gamma": [1, 2]}
    assert study.set == {"schedule.kimg": 20}
    assert (study.seeds, study.measure.metrics) == ((4, 5), ("cd", "jsd"))
    assert (study.dataset, study.measure.meshes) == (str(tmp_path / "../chairs"), str(tmp_path / "meshes"))
    assert study.measure.weights is None


@pytest.mark.parametrize(
    ("body", "message", "fix"),
    [
        ("", "`dataset` is missing", "add `dataset`"),
        ("seed = 3", "unknown key `seed`", "did you mean `seeds`"),
        ("seeds = []", "`seeds` names none", "seeds ="),
        ("seeds = [1, 1]", "one twice", "seeds ="),
        ("seeds = [-1]", "outside 0", "seeds ="),
        ("[grid]\nresolution = 64", "not a list", "resolution = "),
        ("[grid]\nresolution = []", "not a list", "resolution = "),
        ("[grid]\nresolution = [64, 64]", "a value twice", "once"),
        ("[grid]\nresolution = [48]", "not a power of two", "64"),
        ("[grid]\nresolutions = [64]", "unknown key `resolutions`", "`resolution`"),
        ("[grid]\nloss.r1_gama = [1]", "unknown key `loss.r1_gama`", "`loss.r1_gamma`"),
        ("[grid]\nresolution.x = [1]", "no setting `resolution.x`", "help-all"),
        ("[grid]\nlos.r1_gamma = [1]", "unknown key `los`", "`loss`"),
        ("[grid]\ndiscriminator.camera = ['yes']", "not of type bool", "bool"),
        ("[grid]\ndata.views = [0]", "`data.views` is 0", "at least 1"),
        ("[grid]\ndata.views = [true]", "`data.views` is True", "at least 1"),
        ("[set]\nresolution = 64\n[grid]\nresolution = [64]", "in `set` and in `grid`", "leave it out"),
        ("[measure]\npictures = 1", "`measure.pictures` is 1", "5000"),
        ("[measure]\nmetrics = ['cdd']", "'cdd'", "`cd`"),
        ("[grid", "is not TOML", "docs/guides/ablate.md"),
    ],
)
def test_what_cannot_be_a_study_is_refused_before_anything_is_trained(tmp_path, body, message, fix):
    path = tmp_path / "study.toml"
    path.write_text(body if not body or body == "[grid" else f'dataset = "d"\n{body}\n')
    with pytest.raises((ConfigError, DataError)) as refused:
        read_ablation(path)
    assert message in str(refused.value)
    assert fix in refused.value.fix


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_ablation(tmp_path / "none.toml")
    with pytest.raises(DataError, match="cannot be read"):
        read_ablation(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not TOML"):
        read_ablation(tmp_path / "b.toml")
