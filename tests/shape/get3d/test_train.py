"""Training: exact resume after kill -9, Ctrl-C, refusals, what a run folder holds."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shape.get3d.tiny import CONFIG, discs

from polyglyph.base.errors import ConfigError, DataError
from polyglyph.formats.safetensors import read_tensors
from polyglyph.learn.checkpoint import latest_checkpoint
from polyglyph.shape.get3d.config import Config
from polyglyph.shape.get3d.data import PictureStream, pictures_of, to_network
from polyglyph.shape.get3d.model import load_generator
from polyglyph.shape.get3d.train import train

HERE = Path(__file__).parent

CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import dataclasses
import torch
torch.set_num_threads(2)
from tiny import CONFIG, discs
from polyglyph.shape.get3d.train import train

def on_step(trainer):
    if trainer.step == {kill_at}:
        os.kill(os.getpid(), {signal})

schedule = dataclasses.replace(CONFIG.schedule, checkpoint_seconds={every})
train(discs(), Path({out!r}), dataclasses.replace(CONFIG, schedule=schedule), seed=3, device="cpu",
      resume="auto", on_step=on_step)
"""


def child(out: Path, *, kill_at: int, every: float, number: int) -> subprocess.CompletedProcess:
    code = CHILD.format(here=str(HERE), kill_at=kill_at, every=every, out=str(out), signal=number)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def weights(out: Path) -> dict[str, np.ndarray]:
    newest = latest_checkpoint(out / "checkpoints")
    assert newest is not None
    found = {f"m.{k}": v for k, v in read_tensors(newest / "model.safetensors").items()}
    return found | {f"o.{k}": v for k, v in read_tensors(newest / "optimiser.safetensors").items()}


def without_seconds(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    finished = child(out, kill_at=-1, every=1e9, number=signal.SIGKILL)
    assert finished.returncode == 0, finished.stderr
    return out


def test_five_steps_kill_resume_five_steps_equal_ten_steps_bit_for_bit(tmp_path, uninterrupted):
    out = tmp_path / "killed"
    killed = child(out, kill_at=5, every=0.0, number=signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in sorted((out / "checkpoints").glob("0*"))][-1] == "00000005"
    resumed = child(out, kill_at=-1, every=1e9, number=signal.SIGKILL)
    assert resumed.returncode == 0, resumed.stderr
    expected, found = weights(uninterrupted), weights(out)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name
    state = [
        json.loads((latest_checkpoint(o / "checkpoints") / "state.json").read_text())
        for o in (out, uninterrupted)
    ]
    assert state[0] == state[1]
    assert state[0]["step"] == 10


def test_ctrl_c_saves_a_checkpoint_and_resumes(tmp_path, uninterrupted):
    out = tmp_path / "stopped"
    stopped = child(out, kill_at=4, every=1e9, number=signal.SIGINT)
    assert stopped.returncode != 0
    assert "KeyboardInterrupt" in stopped.stderr
    assert "saving a checkpoint" in stopped.stderr
    assert (out / "checkpoints" / "00000004").is_dir()
    assert child(out, kill_at=-1, every=1e9, number=signal.SIGINT).returncode == 0
    for name, value in weights(uninterrupted).items():
        assert np.array_equal(weights(out)[name], value), name


def test_a_run_folder_holds_what_it_promises(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert names == {
        "config.json", "command.txt", "environment.json", "metrics.jsonl", "preview.png", "index.html",
        "checkpoints", "model",
    }  # fmt: skip
    lines = without_seconds(uninterrupted)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10]
    assert {"loss_g", "loss_d", "r1", "sdf_bce", "augment"} <= lines[-1].keys()
    with Image.open(uninterrupted / "preview.png") as picture:
        assert picture.width > 8 * 16
    model = load_generator(uninterrupted / "model")
    assert load_generator(uninterrupted).path == model.path
    assert model.config.kimg == pytest.approx(0.04)
    with torch.no_grad():
        assert torch.isfinite(model.generator.codes(torch.randn(1, 8), torch.randn(1, 8)).geometry).all()


def test_metrics_after_the_checkpoint_are_done_again_not_twice(tmp_path, uninterrupted):
    out = tmp_path / "killed"
    child(out, kill_at=6, every=0.0, number=signal.SIGKILL)
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "kimg": 0.032, "loss_g": 1.0}\n{"step": 10, "ki')
    assert child(out, kill_at=-1, every=1e9, number=signal.SIGKILL).returncode == 0
    assert without_seconds(out) == without_seconds(uninterrupted)


def test_a_half_written_checkpoint_is_ignored_and_removed(tmp_path):
    folder = tmp_path / "checkpoints"
    (folder / "00000004").mkdir(parents=True)
    (folder / "00000004" / "state.json").write_text("{}")
    (folder / ".00000006.abcd").mkdir()
    (folder / "00000005").mkdir()
    assert latest_checkpoint(folder) == folder / "00000004"
    assert not (folder / ".00000006.abcd").exists()


def test_resuming_with_other_settings_is_refused_by_name(tmp_path, uninterrupted):
    other = dataclasses.replace(CONFIG, loss=dataclasses.replace(CONFIG.loss, r1_gamma=9.0))
    with pytest.raises(ConfigError, match=r"loss\.r1_gamma"):
        train(discs(), uninterrupted, other, seed=3, device="cpu", resume="auto")
    with pytest.raises(ConfigError, match="seed"):
        train(discs(), uninterrupted, CONFIG, seed=4, device="cpu", resume="auto")


def test_the_learning_rates_fall_to_zero_over_the_last_part_and_a_run_may_be_resumed_so(tmp_path):
    out, seen = tmp_path / "run", []

    def note(trainer) -> None:
        optimisers = (trainer.generator_optimiser, trainer.discriminator_optimiser)
        seen.append([optimiser.param_groups[0]["lr"] for optimiser in optimisers])

    half = dataclasses.replace(CONFIG, schedule=dataclasses.replace(CONFIG.schedule, kimg=0.02))
    train(discs(), out, half, device="cpu", on_step=note)
    cooling = dataclasses.replace(CONFIG, schedule=dataclasses.replace(CONFIG.schedule, cooldown=0.5))
    train(discs(), out, cooling, device="cpu", resume="auto", on_step=note)
    # Ten steps in all; from the sixth on the rates are 5/5, 4/5 … 1/5 of the first.
    expected = [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]
    for column in zip(*seen, strict=True):
        assert [rate / column[0] for rate in column] == pytest.approx(expected)
    assert seen[0][1] < seen[0][0] == CONFIG.optimiser.generator_rate


def test_a_cooldown_of_more_than_all_is_refused():
    with pytest.raises(ConfigError, match=r"`schedule.cooldown` is 1.5") as caught:
        dataclasses.replace(CONFIG.schedule, cooldown=1.5)
    assert "--schedule.cooldown" in caught.value.fix


def test_an_existing_run_is_not_overwritten_unasked(uninterrupted):
    with pytest.raises(DataError, match="already exists"):
        train(discs(), uninterrupted, CONFIG, seed=3, device="cpu")


def test_a_diverged_run_stops_with_advice(tmp_path):
    def poison(trainer) -> None:
        with torch.no_grad():
            trainer.discriminators.color.b4.out.bias.fill_(float("nan"))

    schedule = dataclasses.replace(CONFIG.schedule, checkpoint_seconds=0.0, log_every=1000)
    config = dataclasses.replace(CONFIG, schedule=schedule)
    with pytest.raises(DataError, match="not finite") as caught:
        train(discs(), tmp_path / "run", config, device="cpu", on_step=poison)
    assert "r1-gamma" in caught.value.fix
    for name, value in weights(tmp_path / "run").items():
        assert np.isfinite(value).all(), name


def test_an_empty_training_split_is_refused():
    data = discs()
    empty = dataclasses.replace(data, split={"train": [], "val": list(data.ids), "test": []})
    with pytest.raises(DataError, match="no pictures"):
        train(empty, Path("never"), CONFIG, device="cpu")
    assert not Path("never").exists()


def test_the_stream_shows_every_picture_once_an_epoch_and_its_mirror_image():
    data = discs()
    images, angles = data.images("train"), data.angles("train")
    stream = PictureStream(images, angles, mirror=True, seed=0)
    pictures, seen = stream.batch(0, stream.length, torch.device("cpu"))
    for k in range(len(images)):
        plain = to_network(torch.from_numpy(images[k : k + 1]))[0]
        turned = torch.tensor([(360 - angles[k, 0]) % 360, angles[k, 1]])
        assert any(
            torch.equal(p, plain) and torch.allclose(a, torch.from_numpy(angles[k]))
            for p, a in zip(pictures, seen, strict=True)
        )
        assert any(
            torch.equal(p, plain.flip(2)) and torch.allclose(a, turned)
            for p, a in zip(pictures, seen, strict=True)
        )
    again, _ = stream.batch(5, 3, torch.device("cpu"))
    assert torch.equal(again, pictures[5:8])
    other, _ = stream.batch(stream.length, stream.length, torch.device("cpu"))
    assert not torch.equal(other, pictures)


def test_a_set_too_large_for_memory_gives_the_same_pictures():
    data = discs()
    in_memory, on_demand = pictures_of(data, "train"), pictures_of(data, "train", limit=100)
    assert not isinstance(on_demand, np.ndarray)
    assert len(on_demand) == len(in_memory)
    np.testing.assert_array_equal(on_demand[[5, 0, 3]], in_memory[[5, 0, 3]])


class Counted:
    """A source that is not in memory, and notes the order in which it is read."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.asked = images, []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: list[int], /) -> np.ndarray:
        self.asked.append(rows)
        if 13 in rows:
            raise DataError("picture 13 is torn", fix="mend it")
        return self.images[rows]


@pytest.mark.parametrize("mirror", [True, False])
def test_reading_ahead_changes_nothing_over_the_ends_of_epochs_and_after_a_jump(mirror):
    data, cpu = discs(), torch.device("cpu")
    images, angles = data.images("train")[:13], data.angles("train")[:13]
    plain = PictureStream(images, angles, mirror=mirror, seed=2)
    source = Counted(images)
    with closing(PictureStream(source, angles, mirror=mirror, seed=2)) as ahead:
        for first in (0, 4, 8, 12, 16, 20, 24, 100, 104, 52, 52):
            for one, other in zip(plain.batch(first, 4, cpu), ahead.batch(first, 4, cpu), strict=True):
                assert torch.equal(one, other)
    assert len(source.asked) <= 11 + 6  # two batches ahead, and two thrown away at each of two jumps


def test_pictures_are_read_while_the_batch_before_them_is_used():
    data = discs()
    source = Counted(data.images("train"))
    source.images = source.images[:13]
    with closing(PictureStream(source, data.angles("train")[:13], mirror=False, seed=0)) as stream:
        stream.batch(0, 2, torch.device("cpu"))
        deadline = time.monotonic() + 20
        while len(source.asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(source.asked) == 3


def test_what_is_wrong_with_a_picture_is_said_when_its_batch_is_due_not_before():
    data, cpu = discs(), torch.device("cpu")
    with closing(
        PictureStream(Counted(data.images("train")), data.angles("train"), mirror=False, seed=0)
    ) as s:
        place = [s._number(k) for k in range(16)].index(13)
        for first in range(place):
            s.batch(first, 1, cpu)
        with pytest.raises(DataError, match="picture 13"):
            s.batch(place, 1, cpu)


def test_processes_share_out_the_samples_of_one():
    data, cpu = discs(), torch.device("cpu")
    source = pictures_of(data, "train", limit=100)
    with closing(PictureStream(source, data.angles("train"), mirror=True, seed=0)) as stream:
        whole = stream.batch(24, 12, cpu)
        for rank in range(3):
            for all_of_it, part in zip(whole, stream.batch(24 + rank, 4, cpu, step=3), strict=True):
                assert torch.equal(part, all_of_it[rank::3])


def test_the_network_sees_colour_over_black():
    picture = torch.tensor([[[[200, 100, 50, 128]]]], dtype=torch.uint8)
    alpha = 128 / 255
    expected = torch.tensor([200 / 255, 100 / 255, 50 / 255]) * alpha * 2 - 1
    torch.testing.assert_close(to_network(picture)[0, :, 0, 0], torch.cat((expected, torch.tensor([alpha]))))


def test_presets_read_back_from_json():
    from polyglyph.base.config import from_dict, to_dict
    from polyglyph.shape.get3d.config import PRESETS

    for name, preset in PRESETS.items():
        assert from_dict(Config, json.loads(json.dumps(to_dict(preset))), where=name) == preset


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("discriminator", {"single": True}),
        ("isosurface", {"method": "flexicubes"}),
        ("isosurface", {"subdivisions": 1}),
        ("generator", {"architecture": "separate", "volume_resolution": 8, "volume_base": 64}),
        ("generator", {"material": "pbr"}),
        ("loss", {"position_gradient": True}),
    ],
)
def test_every_kind_of_generator_and_discriminator_trains_and_goes_on_bit_for_bit(section, change, tmp_path):
    config = dataclasses.replace(CONFIG, **{section: dataclasses.replace(getattr(CONFIG, section), **change)})
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(discs(), whole, config, device="cpu")
    train(
        discs(),
        part,
        dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, kimg=0.02)),
        device="cpu",
    )
    train(discs(), part, config, device="cpu", resume="auto")
    once, twice = (load_generator(path).generator.state_dict() for path in (whole, part))
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[name], twice[name]) for name in once)
