"""What each of two processes does in `test_distributed.py`; writes FOLDER/RANK.json."""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from polyglyph.base.errors import DataError, PolyglyphError
from polyglyph.learn import distributed
from polyglyph.learn.checkpoint import Checkpoint
from polyglyph.learn.distributed import World, joined


def refusal(work) -> list[str]:
    try:
        work()
    except (PolyglyphError, ValueError) as problem:
        return [type(problem).__name__, str(problem)]
    return []


def averaged(world: World) -> list[list[float]]:
    """Tensors of several sizes, types and layouts, in buckets of 64 bytes."""
    distributed.BUCKET = 64
    pictures = torch.arange(48.0).view(2, 3, 2, 4).contiguous(memory_format=torch.channels_last)
    tensors = [
        torch.full((3,), float(world.rank)),
        torch.arange(100.0) * (world.rank + 1),
        torch.tensor(5.0 + world.rank, dtype=torch.float64),
        pictures + world.rank,
        torch.full((5, 1), 2.0 * world.rank).T,
    ]
    world.average(tensors)
    return [tensor.flatten().tolist() for tensor in tensors]


def gradients(world: World) -> dict[str, list[float] | None]:
    """One layer that both use, one that the second alone uses, one that is not used, one not trained."""
    layers = nn.ModuleDict({name: nn.Linear(2, 1, bias=False) for name in ("both", "one", "none", "fixed")})
    layers["fixed"].requires_grad_(False)
    loss = layers["both"](torch.tensor([1.0, 2.0]) * (world.rank + 1)).sum()
    if world.rank == 1:
        loss = loss + layers["one"](torch.tensor([4.0, 8.0])).sum()
    loss.backward()
    world.average_gradients(layers)
    return {
        name: None if parameter.grad is None else parameter.grad.flatten().tolist()
        for name, parameter in layers.named_parameters()
    }


def received(world: World) -> dict[str, object]:
    model = {"w": torch.tensor([[1.5, -2.0]]).T, "flag": torch.tensor([True, False])}
    optimiser = {"step": torch.tensor(7.0, dtype=torch.float64), "rng": torch.arange(5, dtype=torch.uint8)}
    first = Checkpoint(9, model, optimiser, {"seen": 3, "augment": {"sum": 1 / 3}})
    got = world.broadcast(first if world.first else None)

    def told(tensors: dict[str, Tensor]) -> dict[str, list[object]]:
        return {name: [list(t.shape), str(t.dtype), t.flatten().tolist()] for name, t in tensors.items()}

    return {"step": got.step, "model": told(got.model), "optimiser": told(got.optimiser), "state": got.state}


def fail(world: World, rank: int, problem: Exception) -> int:
    if world.rank == rank:
        raise problem
    return world.rank


def main(folder: Path) -> None:
    with joined(torch.device("cpu")) as world:
        last_bit = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)) if world.rank else torch.tensor(1.0)
        swapped = torch.tensor([2.0, 1.0]) if world.rank else torch.tensor([1.0, 2.0])
        found = {
            "world": [world.rank, world.size, world.neighbours, world.first],
            "share": world.share(torch.arange(12).view(2, 6), dim=1).tolist(),
            "sum": world.sum(torch.tensor([1, 10]) * (world.rank + 1)).tolist(),
            "any": world.any(False, world.rank == 0, world.rank == 1, True),
            "averaged": averaged(world),
            "gradients": gradients(world),
            "received": received(world),
            "both well": world.together(lambda: world.rank * 2),
            "ours": refusal(lambda: world.together(lambda: fail(world, 1, DataError("torn", fix="mend")))),
            "a bug": refusal(lambda: world.together(lambda: fail(world, 0, ValueError("odd")))),
            "same": refusal(lambda: world.require_same({"b": 1, "a": 2.0}, "words")),
            "other": refusal(lambda: world.require_same({"a": world.rank}, "words")),
            "equal": refusal(lambda: world.require_equal_tensors([torch.ones(3)], "weights")),
            "drifted": refusal(lambda: world.require_equal_tensors([last_bit], "weights")),
            "exchanged": refusal(lambda: world.require_equal_tensors(swapped.unbind(), "weights")),
        }
    (folder / f"{world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
