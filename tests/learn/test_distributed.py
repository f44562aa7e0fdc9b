"""What several processes add up and agree on, by two that really run; and launchers that ask too much."""

import json
from pathlib import Path

import pytest
import torch
from launched import launch
from torch import nn

from polyglyph.base.errors import BackendError, ConfigError
from polyglyph.learn.checkpoint import Checkpoint
from polyglyph.learn.distributed import World, joined

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    for code, said in launch(Path(__file__).with_name("two_processes.py"), folder):
        assert code == 0, said
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_processes_know_their_place_and_take_every_second_sample(pair):
    assert [found["world"] for found in pair] == [[0, 2, 2, True], [1, 2, 2, False]]
    assert pair[0]["share"] == [[0, 2, 4], [6, 8, 10]]
    assert pair[1]["share"] == [[1, 3, 5], [7, 9, 11]]


@pytest.mark.parametrize("rank", [0, 1])
def test_sums_and_flags_are_those_of_all(pair, rank):
    assert pair[rank]["sum"] == [3, 30]
    assert pair[rank]["any"] == [False, True, True, True]


@pytest.mark.parametrize("rank", [0, 1])
def test_averages_do_not_depend_on_buckets_types_or_layout(pair, rank):
    small, long, double, pictures, turned = pair[rank]["averaged"]
    assert small == [0.5] * 3
    assert long == [1.5 * k for k in range(100)]
    assert double == [5.5]
    assert pictures == [k + 0.5 for k in range(48)]
    assert turned == [1.0] * 5


@pytest.mark.parametrize("rank", [0, 1])
def test_a_gradient_that_one_process_lacks_counts_as_zero_and_one_that_all_lack_stays_away(pair, rank):
    assert pair[rank]["gradients"] == {
        "both.weight": [1.5, 3.0],
        "one.weight": [2.0, 4.0],
        "none.weight": None,
        "fixed.weight": None,
    }


@pytest.mark.parametrize("rank", [0, 1])
def test_a_checkpoint_arrives_with_its_types_and_shapes(pair, rank):
    assert pair[rank]["received"] == {
        "step": 9,
        "model": {"w": [[2, 1], "torch.float32", [1.5, -2.0]], "flag": [[2], "torch.bool", [True, False]]},
        "optimiser": {"step": [[], "torch.float64", [7.0]], "rng": [[5], "torch.uint8", [0, 1, 2, 3, 4]]},
        "state": {"seen": 3, "augment": {"sum": 1 / 3}},
    }


def test_an_error_in_one_process_is_raised_in_all(pair):
    assert [found["both well"] for found in pair] == [0, 2]
    assert [found["ours"] for found in pair] == [["DataError", "process 1: torn"], ["DataError", "torn"]]
    assert [found["a bug"] for found in pair] == [
        ["ValueError", "odd"],
        ["BackendError", "process 0: ValueError: odd"],
    ]


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_that_disagree_are_told(pair, rank):
    assert pair[rank]["same"] == pair[rank]["equal"] == []
    assert pair[rank]["other"] == ["ConfigError", "process 1 has other words than process 0"]
    for case in ("drifted", "exchanged"):
        assert pair[rank][case][0] == "BackendError"
        assert "weights of process 1" in pair[rank][case][1]


def test_alone_everything_is_what_it_was(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    values, layer = torch.arange(4.0), nn.Linear(2, 1)
    checkpoint = Checkpoint(1, {}, {}, {})
    with joined(CPU) as world:
        assert world == World(CPU)
        assert world.share(values) is values
        assert world.sum(values) is values
        world.average([values])
        world.average_gradients(layer)
        assert layer.weight.grad is None
        assert world.any(True, False) == [True, False]
        assert world.together(lambda: 3) == 3
        assert world.broadcast(checkpoint) is checkpoint
        with pytest.raises(ZeroDivisionError):
            world.together(lambda: 1 / 0)
    assert values.tolist() == [0, 1, 2, 3]


def test_ranks_without_an_address_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ConfigError, match="MASTER_ADDR") as caught, joined(CPU):
        pass
    assert "torchrun" in caught.value.fix


def start_on_gpus(monkeypatch, count, **variables):
    """The device that a process of four gets where torch sees `count` GPUs."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    place = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in (place | variables).items():
        monkeypatch.setenv(name, value)
    with joined(torch.device("cuda")) as world:
        assert chosen == [world.device]
        return world.device


def test_every_process_takes_the_gpu_of_its_place_on_the_machine(monkeypatch):
    device = start_on_gpus(monkeypatch, 4, LOCAL_RANK="1", LOCAL_WORLD_SIZE="2")
    assert device == torch.device("cuda", 1)


def test_a_task_that_is_shown_one_gpu_takes_it(monkeypatch):
    assert start_on_gpus(monkeypatch, 1, LOCAL_RANK="3") == torch.device("cuda", 0)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    with pytest.raises(BackendError, match="process 2 of this machine has no GPU") as caught:
        start_on_gpus(monkeypatch, 2, LOCAL_RANK="2", LOCAL_WORLD_SIZE="4")
    assert "start 2 processes" in caught.value.fix


def test_a_place_that_is_no_number_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="LOCAL_RANK=first"):
        start_on_gpus(monkeypatch, 2, LOCAL_RANK="first", LOCAL_WORLD_SIZE="2")
