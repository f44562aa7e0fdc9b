"""`ablate`: every cell trained and measured alike, interruption, several processes, what is refused."""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from measure.pictured import Quarters
from small_dataset import write_dataset

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.measure import ablate as module
from polyglyph.measure import ablation_judge
from polyglyph.measure.ablate import ablate
from polyglyph.measure.ablation import Ablation, AblationMeasure
from polyglyph.measure.extractors import load_extractor
from polyglyph.measure.frechet import frechet_distance, mean_pairwise_distance
from polyglyph.measure.pictures import features, sample_pictures
from polyglyph.shape.data.dataset import load_dataset
from polyglyph.shape.get3d.data import on_white, to_network
from polyglyph.shape.get3d.model import load_generator

SMALL = {
    "generator.latent": 8,
    "generator.plane_resolution": 8,
    "generator.plane_channels": 4,
    "generator.channel_base": 64,
    "generator.channel_max": 8,
    "isosurface.resolution": 8,
    "discriminator.channel_base": 64,
    "discriminator.channel_max": 8,
    "discriminator.embedding": 8,
    "schedule.kimg": 0.016,
    "schedule.log_every": 2,
}
"""Four steps."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    split = {"train": ["0000_a", "0001_b", "0002_c"], "val": ["0003_d"], "test": ["0004_e"]}
    return write_dataset(tmp_path_factory.mktemp("data") / "noise", split)


def study_of(folder, **changes) -> Ablation:
    wanted = {
        "dataset": str(folder),
        "seeds": (0, 1),
        "set": SMALL | {"resolution": 16},
        "grid": {"discriminator.camera": [True, False]},
        "measure": AblationMeasure(pictures=6, extractor="quarters"),
    }
    return Ablation(**(wanted | changes))


@pytest.fixture(scope="module", autouse=True)
def quarters():
    """An extractor of twelve features in place of a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation_judge, "load_extractor", small)
        yield


def small(name, weights, *, device):
    return Quarters() if name == "quarters" else load_extractor(name, weights, device=device)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    return ablate(study_of(folder), tmp_path_factory.mktemp("ablate") / "whole")


@pytest.fixture
def trained(monkeypatch):
    """The runs that are trained, as they are begun."""
    found, real = [], module.train

    def train(data, path, *rest, **options):
        found.append(f"{path.parent.name}/{path.name}")
        return real(data, path, *rest, **options)

    monkeypatch.setattr(module, "train", train)
    return found


def numbers(result):
    return {(run["cell"], run["seed"]): run["numbers"] for run in result["runs"]}


YES, NO = "discriminator.camera=true", "discriminator.camera=false"


def test_every_run_is_measured_as_by_hand(folder, whole):
    assert list(numbers(whole.result)) == [(YES, 0), (YES, 1), (NO, 0), (NO, 1)]
    assert whole.result["missing"] == []
    data, extractor = load_dataset(folder), Quarters()
    renders = on_white(to_network(torch.from_numpy(data.images("train"))))
    real = extractor.features_of(renders).numpy()
    for cell, seed in numbers(whole.result):
        generator = load_generator(whole.out / "runs" / cell / f"seed-{seed}").generator
        found = features(extractor, sample_pictures(generator, data, 6, seed=0), label="test")
        told = numbers(whole.result)[cell, seed]
        assert told["FD-quarters"] == pytest.approx(frechet_distance(found, real), rel=1e-4)
        assert told["mean pairwise feature distance"] == pytest.approx(mean_pairwise_distance(found))
        assert set(told) >= {"KD-quarters", "precision", "recall"}
    held = extractor.features_of(
        on_white(to_network(torch.from_numpy(np.concatenate([data.images("val"), data.images("test")]))))
    )
    assert whole.result["held_out"]["FD-quarters"] == pytest.approx(
        frechet_distance(held.numpy(), real), rel=1e-4
    )


def test_the_cells_have_the_mean_and_the_samples_deviation_of_their_runs(whole):
    first, second = whole.result["cells"]
    assert (first["changes"], second["changes"]) == (
        {"discriminator.camera": True},
        {"discriminator.camera": False},
    )
    for cell in (first, second):
        for metric, told in cell["numbers"].items():
            values = [own[metric] for (name, _), own in numbers(whole.result).items() if name == cell["cell"]]
            assert told["mean"] == pytest.approx(statistics.fmean(values))
            assert told["deviation"] == pytest.approx(statistics.stdev(values))
            assert told["runs"] == 2
    assert first["numbers"] != second["numbers"]


def test_the_record_says_what_the_numbers_depend_on(folder, whole):
    record = json.loads((whole.out / "result.json").read_text())
    assert record == json.loads(json.dumps(whole.result))
    assert record["protocol"]["extractor"] == "quarters"
    assert record["protocol"]["resolution"] == 16
    assert record["protocol"]["pictures"] == 6
    for run in record["runs"]:
        assert run["recipe"]["dataset"] == load_dataset(folder).info.checksum
        assert run["recipe"]["config"]["discriminator"]["camera"] == (run["cell"] == YES)
        assert run["kimg"] == 0.016
        trained = whole.out / "runs" / run["cell"] / f"seed-{run['seed']}" / "config.json"
        assert json.loads(trained.read_text())["seed"] == run["seed"]
        assert run["training_seconds"] > 0


def test_the_page_and_the_table_hold_every_cell_and_ask_the_network_for_nothing(whole):
    text = (whole.out / "index.html").read_text()
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("uncurated samples") == 4
    assert text.count("data:image/png;base64,") == 4 + 5  # previews, and a plot for each metric
    lines = (whole.out / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| yes", "| no", "| held-out renders"]
    assert "±" in lines[2]
    assert len(list((whole.out / "plots").glob("*.png"))) == 5


def test_an_interrupted_study_goes_on_without_repeating(folder, whole, tmp_path, monkeypatch, trained):
    begun = module.train

    def cut(data, path, *rest, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        return begun(data, path, *rest, **options)

    monkeypatch.setattr(module, "train", cut)
    with pytest.raises(KeyboardInterrupt):
        ablate(study_of(folder), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["missing"] == [
        f"{NO}, seed 0",
        f"{NO}, seed 1",
    ]
    monkeypatch.setattr(module, "train", begun)
    done = ablate(study_of(folder), tmp_path / "out")
    assert trained == [f"{YES}/seed-0", f"{YES}/seed-1", f"{NO}/seed-0", f"{NO}/seed-1"]
    assert numbers(done.result) == numbers(whole.result)
    assert (done.out / "table.md").read_text() == (whole.out / "table.md").read_text()
    ablate(study_of(folder), tmp_path / "out")
    assert len(trained) == 4


def test_time_runs_out_within_a_run_and_it_goes_on_from_there(folder, whole, tmp_path, monkeypatch, trained):
    study = study_of(folder, seeds=(0,), grid={"discriminator.camera": [True]})
    assert ablate(study, tmp_path / "out", stop_after=-1).result["missing"] == [f"{YES}, seed 0"]
    assert trained == []
    begun = module.train

    def one_step(*rest, **options):
        assert options["stop_after"] > 0
        return begun(*rest, **options | {"stop_after": 0})

    monkeypatch.setattr(module, "train", one_step)
    for steps in (1, 2):
        left = ablate(study, tmp_path / "out", stop_after=1e9).result["missing"]
        assert left == [f"{YES}, seed 0"]
        checkpoints = tmp_path / "out" / "runs" / YES / "seed-0" / "checkpoints"
        assert max(int(path.name) for path in checkpoints.glob("0*")) == steps
    monkeypatch.setattr(module, "train", begun)
    done = ablate(study, tmp_path / "out").result
    assert len(trained) == 3
    assert numbers(done)[YES, 0] == numbers(whole.result)[YES, 0]


def test_more_seeds_and_values_extend_a_study_and_other_settings_are_refused(folder, tmp_path, trained):
    few = study_of(folder, seeds=(0,), grid={"discriminator.camera": [True]})
    ablate(few, tmp_path / "out")
    ablate(study_of(folder, seeds=(0, 1)), tmp_path / "out")
    assert sorted(trained) == sorted([f"{YES}/seed-0", f"{YES}/seed-1", f"{NO}/seed-0", f"{NO}/seed-1"])
    for other in (
        replace(few, set=few.set | {"schedule.kimg": 0.02}),
        replace(few, measure=AblationMeasure(pictures=5, extractor="quarters")),
    ):
        with pytest.raises(DataError, match="other settings"):
            ablate(other, tmp_path / "out")
    assert len(trained) == 4


def test_two_processes_give_the_numbers_of_one(folder, whole, tmp_path):
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from polyglyph.base.config import from_dict\n"
        "from polyglyph.measure.ablate import ablate\n"
        "from polyglyph.measure.ablation import Ablation\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from measure import pictured\n"
        "from polyglyph.measure import ablation_judge\n"
        "ablation_judge.load_extractor = lambda *_, **__: pictured.Quarters()\n"
        "study = from_dict(Ablation, json.loads(Path(sys.argv[1]).read_text()), where='test')\n"
        "ablate(study, Path(sys.argv[2]))\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, str(whole.out / "study.json"), str(out)]
    both = [
        subprocess.Popen(
            command, env=os.environ | {"RANK": rank, "WORLD_SIZE": "2"}, stderr=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [text.count("run ") for text in said] == [2, 2]
    result = json.loads((out / "result.json").read_text())
    assert result["cells"] == json.loads(json.dumps(whole.result))["cells"]
    assert result["missing"] == []


def test_a_run_that_diverges_is_told_and_the_others_go_on(folder, tmp_path, monkeypatch):
    real = module.train

    def train(data, path, config, **options):
        if config.discriminator.camera:
            raise module.DivergedError("`loss_d` is not finite", fix="smaller")
        return real(data, path, config, **options)

    monkeypatch.setattr(module, "train", train)
    study = study_of(folder, seeds=(0,))
    done = ablate(study, tmp_path / "out")
    first, second = done.result["cells"]
    assert (first["numbers"], first["diverged"]) == ({}, 1)
    assert second["numbers"]
    assert "0, 1 diverged" in (done.out / "table.md").read_text()
    monkeypatch.setattr(module, "train", None)  # and nothing is tried again
    ablate(study, tmp_path / "out")


def test_shapes_are_measured_against_meshes(folder, tmp_path):
    (tmp_path / "meshes").mkdir()
    for number, height in enumerate((0.5, 2.0)):
        trimesh.creation.box((1, height, 1)).export(tmp_path / "meshes" / f"{number}.ply")
    measure = AblationMeasure(extractor="none", meshes=str(tmp_path / "meshes"), metrics=("cd", "jsd"))
    study = study_of(folder, seeds=(0,), grid={}, measure=measure)
    done = ablate(study, tmp_path / "out").result
    (run,) = done["runs"]
    assert set(run["numbers"]) == {"COV CD", "MMD CD", "1-NNA CD", "JSD"}
    assert run["numbers"]["COV CD"] in (0.5, 1)
    assert (done["protocol"], done["held_out"]) == ({}, {})
    trimesh.creation.box((1, 3, 1)).export(tmp_path / "meshes" / "2.ply")
    with pytest.raises(DataError, match="other settings"):  # these numbers are not those of three meshes
        ablate(study, tmp_path / "out")


def test_fewer_views_are_trained_on(folder, tmp_path):
    study = study_of(folder, seeds=(0,), grid={"data.views": [1, 2]})
    runs = ablate(study, tmp_path / "out").out / "runs"
    counts = [
        json.loads((runs / f"data.views={views}" / "seed-0" / "config.json").read_text())["data"]["pictures"]
        for views in (1, 2)
    ]
    assert counts == [3, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "nowhere"}, "nowhere"),
        ({"set": SMALL | {"resolution": 32}}, "32"),
        ({"measure": AblationMeasure(pictures=6, extractor="mobilenet")}, "no extractor"),
        ({"measure": AblationMeasure(resolution=7, extractor="none")}, "7"),
        ({"measure": AblationMeasure(pictures=3, extractor="quarters")}, "holds 3 samples"),
        ({"grid": {"data.views": [3]}}, "3 views"),
        ({"measure": AblationMeasure(meshes="nowhere", extractor="none")}, "nowhere"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(folder, tmp_path, trained, changes, message):
    with pytest.raises((ConfigError, DataError), match=message):
        ablate(study_of(folder, **changes), tmp_path / "out")
    assert trained == []


def test_a_folder_with_something_else_in_it_is_left_alone(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="something else"):
        ablate(study_of(folder), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["letter.txt"]
