"""Training on two processes gives what one gives, and they start, stop and fail together."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from launched import free_port, launch
from shape.get3d.test_train import weights, without_seconds
from shape.get3d.tiny import discs
from shape.get3d.trained_alone import LONG, VARIANTS, curve
from small_dataset import write_dataset

from polyglyph.base.errors import ConfigError
from polyglyph.learn.distributed import World
from polyglyph.shape.get3d.train import train
from polyglyph.shape.get3d.trainer import Trainer, View

ALONE = World(torch.device("cpu"))
HALF = dataclasses.replace(LONG, schedule=dataclasses.replace(LONG.schedule, kimg=0.072))


@pytest.fixture(scope="module", autouse=True)
def double():
    """Everything in float64, where 20 steps of an adversarial training do not blow rounding up."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, double):
    """The folder that two processes left, what each found, and how it ended."""
    folder = tmp_path_factory.mktemp("pair")
    train(discs(), folder / "resumed", HALF, seed=3, device="cpu", world=ALONE)
    ended = launch(Path(__file__).with_name("two_processes.py"), folder)
    assert ended[0][0] == 0, ended[0][1]
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return folder, found, ended


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_give_every_loss_and_weight_of_one(pair, name):
    _, found, _ = pair
    alone = curve(name, ALONE)
    assert found[0][name] == found[1][name]
    for step, (one, two) in enumerate(zip(alone, found[0][name], strict=True)):
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert two[key] == pytest.approx(value, rel=1e-6, abs=1e-8), (step, key)


def test_the_comparison_covers_what_must_be_counted_over_all_processes(pair):
    _, found, _ = pair
    curves = found[0]
    assert any(line["empty"] > 0 for line in curves["empty"][:-1])
    assert {"deviation", "cube_weights"} <= curves["flexicubes"][0].keys()
    assert len({line["augment_probability"] for line in curves["dmtet"][:-1]}) > 3
    assert {"r1", "r1_mask"} <= curves["dmtet"][0].keys()


def test_a_run_goes_on_with_another_number_of_processes_and_back(pair, tmp_path):
    folder, found, _ = pair
    assert [result["resumed"] for result in found] == [[], []]
    whole = dataclasses.replace(LONG, schedule=dataclasses.replace(LONG.schedule, kimg=0.184))
    train(discs(), tmp_path / "whole", whole, seed=3, device="cpu", world=ALONE)
    resumed = folder / "resumed"
    train(discs(), resumed, whole, seed=3, device="cpu", resume="auto", world=ALONE)
    expected = without_seconds(tmp_path / "whole")
    lines = without_seconds(resumed)
    assert [line["step"] for line in lines] == list(range(1, 24))
    for line, other in zip(lines, expected, strict=True):
        assert line == pytest.approx(other, rel=1e-6, abs=1e-8)
    for name, value in weights(tmp_path / "whole").items():
        np.testing.assert_allclose(weights(resumed)[name], value, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("case", "kind", "first", "second"),
    [
        ("taken", "DataError", "already exists", "process 0: .* already exists"),
        ("seeds", "ConfigError", "process 1 has other settings", "process 1 has other settings"),
        ("torn", "DataError", "process 1: the picture is torn", "^the picture is torn"),
        ("terminated", "KeyboardInterrupt", "", ""),
        ("diverged", "DivergedError", "`loss_d` is not finite at step 2", "`loss_d` is not finite at step 2"),
        ("drifted", "BackendError", "weights of process 1", "weights of process 1"),
    ],
)
def test_processes_fail_together(pair, case, kind, first, second):
    import re

    _, found, _ = pair
    for result, message in zip(found, (first, second), strict=True):
        assert result[case][0] == kind
        assert re.search(message, result[case][1])


def test_a_signal_to_one_process_saves_once_for_all(pair):
    folder, _, _ = pair
    steps = [path.name for path in (folder / "terminated" / "checkpoints").iterdir()]
    assert steps == ["00000003"]
    assert (folder / "terminated" / "model" / "model.safetensors").is_file()


def test_nothing_that_has_drifted_apart_is_saved(pair):
    folder, _, _ = pair
    assert not list((folder / "drifted" / "checkpoints").iterdir())


def test_a_process_that_dies_does_not_leave_the_others_waiting(pair):
    _, found, ended = pair
    assert ended[1][0] == 9
    kind, message = found[0]["crashed"]
    assert kind == "BackendError"
    assert "process 0 cannot reach the others" in message


@pytest.mark.parametrize(("batch", "group", "processes"), [(4, 4, 2), (8, 4, 4), (24, 4, 4), (2, 4, 2)])
def test_a_batch_whose_groups_would_be_torn_is_refused_with_what_fits(batch, group, processes):
    config = dataclasses.replace(
        LONG,
        schedule=dataclasses.replace(LONG.schedule, batch=batch),
        discriminator=dataclasses.replace(LONG.discriminator, minibatch_group=group),
    )
    world = World(torch.device("cpu"), 0, processes)
    with pytest.raises(ConfigError, match="cannot share") as caught:
        Trainer(config, View(1.2, 49.1), device=world.device, seed=0, world=world)
    advised = int(caught.value.fix.split()[2].rstrip("`,"))
    advised_config = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, batch=advised))
    Trainer(advised_config, View(1.2, 49.1), device=world.device, seed=0, world=world)


def test_torchrun_starts_the_verb_on_two_processes(tmp_path):
    data = write_dataset(tmp_path / "data", {"train": ["0000_a", "0001_b"], "val": [], "test": []})
    options = (
        "--resolution 16 --schedule.kimg 0.016 --schedule.batch 8 --schedule.log-every 1"
        " --isosurface.resolution 8 --generator.latent 8 --generator.plane-resolution 8"
        " --generator.channel-base 64 --discriminator.channel-base 64 --device cpu"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-port", str(free_port()), "-m", "polyglyph"]
    done = subprocess.run(
        [*launcher, "train", str(data), "--out", str(tmp_path / "run"), *options.split()],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in without_seconds(tmp_path / "run")] == [1, 2]
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
