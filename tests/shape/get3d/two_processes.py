"""What each of two processes does in `test_distributed.py`; writes FOLDER/RANK.json.

Everything is done by one pair of processes, because starting a pair takes longer than all it does here.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import torch
from shape.get3d.tiny import Discs, discs
from shape.get3d.trained_alone import LONG, VARIANTS, curve

from polyglyph.base.errors import DataError, PolyglyphError
from polyglyph.learn.distributed import World, joined
from polyglyph.shape.get3d.train import train


class Torn(Discs):
    """Discs, of which the first object's pictures cannot be read."""

    def read(self, identity: str, view: int) -> bytes:
        if identity == "0000":
            raise DataError("the picture is torn", fix="mend it")
        return super().read(identity, view)


def refusal(work, kind=PolyglyphError) -> list[str]:
    """The kind and message of the error that `work` ends in."""
    try:
        work()
    except kind as problem:
        return [type(problem).__name__, str(problem)]
    return []


def trained(world: World, out: Path, **changes) -> list[str]:
    """A short run into `out`; how it ended."""
    settings = {"config": LONG, "seed": 3, "device": "cpu", "world": world, **changes}
    data = settings.pop("data", discs())
    return refusal(lambda: train(data, out, settings.pop("config"), **settings), BaseException)


def terminated(world: World, out: Path) -> list[str]:
    """Only the second process is told to stop, after its third step, and twice, as launchers do."""

    def on_step(trainer) -> None:
        if world.rank == 1 and trainer.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    return trained(world, out, on_step=on_step)


def diverged(world: World, out: Path) -> list[str]:
    """Only the second process has a loss that is not finite."""

    def on_step(trainer) -> None:
        if trainer.step == 1 and world.rank == 1:
            step = trainer.train_step
            trainer.train_step = lambda batch: step(batch) | {"loss_d": torch.tensor(float("nan"))}

    return trained(world, out, on_step=on_step)


def drifted(world: World, out: Path) -> list[str]:
    """One weight of the second process's changes by its last bit."""

    def on_step(trainer) -> None:
        if trainer.step == 2 and world.rank == 1:
            with torch.no_grad():
                bias = trainer.average.module.sdf.layers[0].bias
                bias[0] = torch.nextafter(bias[0], bias[0] + 1)

    schedule = dataclasses.replace(LONG.schedule, kimg=0.016)
    return trained(world, out, config=dataclasses.replace(LONG, schedule=schedule), on_step=on_step)


def crashed(world: World, out: Path) -> list[str]:
    """The second process dies without a word."""

    def on_step(trainer) -> None:
        if world.rank == 1 and trainer.step == 2:
            os._exit(9)

    return trained(world, out, on_step=on_step)


def main(folder: Path) -> None:
    torch.set_default_dtype(torch.float64)
    with joined(torch.device("cpu")) as world:
        found = {name: curve(name, world) for name in VARIANTS}
        found["resumed"] = trained(world, folder / "resumed", resume="auto")
        found["taken"] = trained(world, folder / "resumed")
        found["seeds"] = trained(world, folder / "seeds", seed=world.rank)
        torn = dataclasses.replace(discs(), pictures=Torn())
        found["torn"] = trained(world, folder / "torn", data=torn if world.rank else discs())
        found["terminated"] = terminated(world, folder / "terminated")
        found["diverged"] = diverged(world, folder / "diverged")
        found["drifted"] = drifted(world, folder / "drifted")
        write = (folder / f"{world.rank}.json").write_text
        write(json.dumps(found))
        found["crashed"] = crashed(world, folder / "crashed")
        write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
