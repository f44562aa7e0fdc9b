"""Devices, moving averages, run and model folders."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from polyglyph.base.errors import BackendError, DataError, FormatError
from polyglyph.learn.checkpoint import Checkpoint, load_checkpoint, load_into, save_checkpoint
from polyglyph.learn.device import pick_device, rank_and_world
from polyglyph.learn.ema import MovingAverage
from polyglyph.learn.model_folder import find_model, load_model, save_model
from polyglyph.learn.run import RunFolder


def test_devices_are_named_as_torch_names_them():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["cuda:99", "cuda:x", "gpu", ""])
def test_a_device_that_is_not_there_is_refused_with_a_fix(name):
    with pytest.raises(BackendError) as caught:
        pick_device(name)
    assert caught.value.fix


def test_rank_and_world_are_read_from_the_launcher(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert rank_and_world() == (2, 4)


def test_the_moving_average_closes_half_the_distance_in_its_half_life():
    net = nn.Linear(1, 1)
    average = MovingAverage(net, half_life_kimg=0.1, rampup=None)
    start = net.weight.detach().clone()
    with torch.no_grad():
        net.weight.add_(1.0)
    for step in range(25):
        average.update(net, batch=4, seen=4 * (step + 1))
    torch.testing.assert_close(average.module.weight.detach(), start + 0.5)


def test_the_rampup_forgets_the_random_start():
    net = nn.Linear(1, 1)
    average = MovingAverage(net, half_life_kimg=100.0, rampup=0.05)
    with torch.no_grad():
        net.weight.add_(1.0)
    average.update(net, batch=4, seen=4)
    torch.testing.assert_close(average.module.weight.detach(), net.weight.detach(), rtol=0, atol=1e-5)


def test_buffers_are_copied_not_averaged():
    net = nn.BatchNorm1d(2)
    average = MovingAverage(net, half_life_kimg=100.0, rampup=None)
    net.running_mean += 5
    average.update(net, batch=1, seen=1)
    torch.testing.assert_close(average.module.running_mean, net.running_mean)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    tensors = {"a": torch.randn(3), "b.c": torch.arange(4), "rng": torch.get_rng_state()}
    for step in (1, 2, 3):
        path = save_checkpoint(tmp_path, Checkpoint(step, tensors, tensors, {"x": 1 / 3}), keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000002", "00000003"]
    back = load_checkpoint(path)
    assert (back.step, back.state) == (3, {"x": 1 / 3})
    for name, tensor in tensors.items():
        assert torch.equal(back.model[name], tensor)
        assert back.model[name].dtype == tensor.dtype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("weight"), "`weight` in .* is missing"),
        (lambda t: t.update(more=torch.zeros(1)), "`more` in .* is not part"),
        (lambda t: t.update(weight=torch.zeros(7)), r"shape \(7,\), not \(2, 3\)"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(change, message, tmp_path):
    tensors = dict(nn.Linear(3, 2).state_dict())
    change(tensors)
    with pytest.raises(FormatError, match=message):
        load_into(nn.Linear(3, 2), tensors, prefix="", where=tmp_path)


def test_a_model_folder_is_half_precision_and_complete(tmp_path):
    path = tmp_path / "model"
    weight = torch.randn(5, 5)
    save_model(path, {"a": 1}, {"w": weight}, "# card\n")
    assert sorted(p.name for p in path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (path / "model.safetensors").stat().st_size < 25 * 2 + 200
    _, config, tensors = load_model(path)
    assert config == {"a": 1}
    torch.testing.assert_close(tensors["w"], weight.half().float())
    with pytest.raises(DataError, match="already exists"):
        save_model(path, {}, {}, "")


def test_weights_that_overflow_half_precision_are_refused(tmp_path):
    with pytest.raises(FormatError, match="not finite"):
        save_model(tmp_path / "model", {}, {"w": torch.tensor([1e6])}, "")
    assert not list(tmp_path.iterdir())


def test_a_missing_model_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match="no model folder"):
        find_model(tmp_path / "none")
    with pytest.raises(DataError, match=r"no config\.json"):
        load_model(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        find_model(tmp_path / "file")


def test_a_run_folder_logs_rewinds_and_shows_itself(tmp_path):
    run = RunFolder.create(tmp_path / "run", {"seed": 1})
    for step in (1, 2, 3):
        run.log({"step": step, "kimg": step / 1000, "loss": 1.0 / step})
    run.rewind(2)
    assert [line["step"] for line in run.metrics()] == [1, 2]
    run.preview(np.zeros((8, 8, 3), np.uint8), title="a run")
    page = (run.path / "index.html").read_text()
    assert "loss: 0.5" in page
    assert "<polyline" in page
    assert json.loads((run.path / "environment.json").read_text())["torch"] == torch.__version__
    with pytest.raises(DataError, match="already exists"):
        RunFolder.create(tmp_path / "run", {})
    with pytest.raises(DataError, match="not a run folder"):
        RunFolder.open(tmp_path)
