"""Several processes training one model: who they are, and what they add up, compare and agree on.

Gradients are averaged by one explicit step between `backward` and the optimiser
(`World.average_gradients`), and not by wrapping networks in `DistributedDataParallel`. An adversarial
step runs two networks in turn, turns the gradients of one of them off for half of it, differentiates twice
for R1 and calls them by other methods than `forward`: each of these needs an exception from a wrapper's
hooks, and none of them matters to a sum that is taken once a backward pass has ended. What is given up is
the overlap of adding up with the backward pass.

Process r of n holds samples r, r + n, r + 2n ... of every batch (`World.share`). Random numbers are drawn for
the whole batch by every process, so a run does not depend on how many processes it is divided among.

Tensors on a GPU go through NCCL, those on the CPU through gloo: decisions never wait for the GPU.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from polyglyph.base.errors import BackendError, ConfigError, PolyglyphError
from polyglyph.base.progress import say
from polyglyph.learn.checkpoint import Checkpoint
from polyglyph.learn.device import rank_and_world

__all__ = ["World", "interruptible", "joined"]

T = TypeVar("T")

TIMEOUT = timedelta(minutes=15)
"""How long a process waits for the others: longer than process 0 takes to write a checkpoint or a model."""

BUCKET = 64 << 20
"""Bytes added up at once: large enough that the network's latency does not count, small beside a network."""


@dataclass(frozen=True)
class World:
    """The processes of one training. Alone, every method is free and gives back what it was given."""

    device: torch.device
    """Where this process computes."""
    rank: int = 0
    size: int = 1
    neighbours: int = 1
    """Processes on this machine, this one among them."""

    @property
    def first(self) -> bool:
        """Whether this is process 0, which alone writes files and speaks."""
        return self.rank == 0

    def share(self, values: Tensor, dim: int = 0) -> Tensor:
        """This process's samples of a whole batch: every `size`-th along `dim`."""
        if self.size == 1:
            return values
        return values[(slice(None),) * dim + (slice(self.rank, None, self.size),)]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, a new tensor."""
        if self.size == 1:
            return values
        total = values.clone()
        with _collective(self.rank):
            dist.all_reduce(total)
        return total

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes: the same bits in all of them.

        Every process gives tensors of the same shapes and types in the same order.
        """
        if self.size == 1:
            return
        pending = []
        for members in _buckets(tensors):
            flat = torch.cat([member.reshape(-1) for member in members])
            with _collective(self.rank):
                pending.append((members, flat, dist.all_reduce(flat, async_op=True)))
        for members, flat, work in pending:
            with _collective(self.rank):
                work.wait()
            flat /= self.size
            for member, part in zip(members, flat.split([m.numel() for m in members]), strict=True):
                member.copy_(part.view_as(member))

    def average_gradients(self, module: nn.Module) -> None:
        """Average the gradients of a module's trained parameters.

        A parameter that only some processes have a gradient for counts as zero in the others; one that
        none has stays without, and the optimiser passes it over as it does in one process.
        """
        if self.size == 1:
            return
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        used = self.any(*(parameter.grad is not None for parameter in parameters))
        gradients = []
        for parameter, is_used in zip(parameters, used, strict=True):
            if is_used:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        self.average(gradients)

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        values = torch.tensor(flags, dtype=torch.uint8)
        with _collective(self.rank):
            dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return [bool(value) for value in values.tolist()]

    def together(self, work: Callable[[], T]) -> T:
        """`work()`; an error that it raises in one process is raised in all, so that none waits for ever.

        Raises what `work` raises: the other processes raise a PolyglyphError of the same kind, or
        BackendError for an error of any other kind.
        """
        if self.size == 1:
            return work()
        try:
            result = work()
        except Exception as problem:
            self.raise_together(problem)
            raise
        self.raise_together(None)
        return result

    def raise_together(self, problem: Exception | None) -> None:
        """Raise `problem` here, and its like in the processes that have none; return if none has one."""
        if self.size > 1:
            told = None
            if isinstance(problem, PolyglyphError):
                told = (type(problem), str(problem), problem.fix)
            elif problem is not None:
                told = (BackendError, f"{type(problem).__name__}: {problem}", "see what that process says")
            for rank, found in enumerate(self._gather(told)):
                if found is not None and problem is None:
                    kind, message, fix = found
                    raise kind(f"process {rank}: {message}", fix=fix)
        if problem is not None:
            raise problem

    def require_same(self, value: Any, what: str) -> None:
        """Raise ConfigError in all processes unless `value` (JSON) is the same in all; `what` names it."""
        if self.size == 1:
            return
        texts = self._gather(json.dumps(value, sort_keys=True))
        for rank, text in enumerate(texts):
            if text != texts[0]:
                raise ConfigError(
                    f"process {rank} has other {what} than process 0",
                    fix="start all processes with the same command, and with the same files on every machine",
                )

    def require_equal_tensors(self, tensors: Iterable[Tensor], what: str) -> None:
        """Raise BackendError in all processes unless they hold the same bits. Reads every tensor once."""
        if self.size == 1:
            return
        total = torch.zeros((), dtype=torch.int64, device=self.device)
        for tensor in tensors:
            whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
            bits = tensor.detach().reshape(-1).view(whole).to(self.device)
            total = total * 31 + bits.sum(dtype=torch.int64)
        sums = self._gather(int(total))
        for rank, found in enumerate(sums):
            if found != sums[0]:
                raise BackendError(
                    f"the {what} of process {rank} are no longer those of process 0",
                    fix="a device may be faulty: continue from the newest checkpoint on others",
                )

    def broadcast(self, checkpoint: Checkpoint | None) -> Checkpoint:
        """The checkpoint of process 0, in all processes, on the CPU; the others' argument is not read."""
        if checkpoint is None and self.first:
            raise ValueError("process 0 has no checkpoint to give")
        if self.size == 1:
            assert checkpoint is not None  # noqa: S101  (for the type checker)
            return checkpoint
        parts: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        about: list[Any] = [None]
        if self.first:
            assert checkpoint is not None  # noqa: S101  (for the type checker)
            for part, source in zip(parts, (checkpoint.model, checkpoint.optimiser), strict=True):
                part.update((name, tensor.detach().cpu().contiguous()) for name, tensor in source.items())
            shapes = [{name: (t.shape, t.dtype) for name, t in part.items()} for part in parts]
            about = [(checkpoint.step, checkpoint.state, shapes)]
        with _collective(self.rank):
            dist.broadcast_object_list(about, src=0, device=torch.device("cpu"))
        step, state, shapes = about[0]
        for part, described in zip(parts, shapes, strict=True):
            for name, (shape, dtype) in described.items():
                tensor = part[name] if self.first else torch.zeros(shape, dtype=dtype)
                with _collective(self.rank):
                    dist.broadcast(tensor.view(-1).view(torch.uint8), src=0)
                part[name] = tensor
        return Checkpoint(step, *parts, state)

    def _gather(self, value: Any) -> list[Any]:
        """Every process's value, in all processes."""
        found: list[Any] = [None] * self.size
        with _collective(self.rank):
            dist.all_gather_object(found, value)
        return found


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """This process among those that a launcher started, as RANK, WORLD_SIZE and MASTER_ADDR say.

    `device` is `cpu` or any GPU; with several processes, each takes the GPU of its LOCAL_RANK. A process
    group that the caller has already made is used, and left.

    Raises ConfigError when the launcher's variables do not fit together, and BackendError when a machine has
    fewer GPUs than processes or the processes cannot reach each other.
    """
    if dist.is_available() and dist.is_initialized():
        yield _world(dist.get_rank(), dist.get_world_size(), device)
        return
    rank, size = rank_and_world()
    if size == 1:
        yield World(device)
        return
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise ConfigError(
                f"WORLD_SIZE is {size}, but {name} is not set",
                fix="start with `torchrun --nproc-per-node N -m polyglyph ...`, or unset WORLD_SIZE",
            )
    if not dist.is_available():
        raise BackendError("this torch has no `torch.distributed`", fix="train with one process")
    world = _world(rank, size, device)
    backend = "gloo" if world.device.type == "cpu" else f"cpu:gloo,{world.device.type}:nccl"
    with _collective(rank):
        dist.init_process_group(backend, rank=rank, world_size=size, timeout=TIMEOUT)
    try:
        yield world
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def interruptible(world: World) -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying, for a training that saves first.

    Alone, a second one is final. With several processes it is not, for launchers pass on what the terminal
    has sent already; their own way to insist is SIGKILL.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def handler(number: int, _frame: Any) -> None:
        received.append(number)
        if world.size > 1:
            if world.first and len(received) == 1:
                say("\nsaving a checkpoint")
            return
        say("\nsaving a checkpoint; press Ctrl-C again to stop without it")
        for signal_number, old in previous.items():
            signal.signal(signal_number, old)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not in the main thread: the caller handles signals
        pass
    try:
        yield received
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _world(rank: int, size: int, device: torch.device) -> World:
    """The world of a process that is one of `size`, with its own GPU where `device` is one."""
    neighbours = _number("LOCAL_WORLD_SIZE", 1)
    if device.type == "cuda" and size > 1:
        count, local = torch.cuda.device_count(), _number("LOCAL_RANK", 0)
        if count == 1 and "LOCAL_WORLD_SIZE" not in os.environ:
            local = 0  # SLURM shows each task its own GPU only
        if local >= count:
            raise BackendError(
                f"process {local} of this machine has no GPU: torch sees {count} CUDA devices",
                fix=f"start {count} processes on each machine, or pass `--device cpu`",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return World(device, rank, size, neighbours)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise ConfigError(f"{name}={text} is not a number", fix="set it as a launcher does, or unset it")
    return int(text)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in order, in runs of one type and device that take at most `BUCKET` bytes together."""
    members: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        fits = not members or (
            filled + size <= BUCKET and (tensor.dtype, tensor.device) == (members[0].dtype, members[0].device)
        )
        if not fits:
            yield members
            members, filled = [], 0
        members.append(tensor)
        filled += size
    if members:
        yield members


@contextlib.contextmanager
def _collective(rank: int) -> Iterator[None]:
    """Turns the library's errors, which mean that another process is gone, into one that says so."""
    try:
        yield
    except RuntimeError as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise BackendError(
            f"process {rank} cannot reach the others: {reason}",
            fix="see what the others said first; `--resume auto` continues from the newest checkpoint",
        ) from problem
