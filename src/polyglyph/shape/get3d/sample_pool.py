"""Jobs on several cores that may ask this process questions, each with a time limit.

A worker process is spawned, so it works on every system, and is killed when its job takes too long: nothing
else stops a call that holds the interpreter. Questions are answered here, where the network is: it is in
memory once, and what it says does not hang on how many workers there are.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from polyglyph.base.errors import BackendError, PolyglyphError

__all__ = ["Outcome", "Task", "run_tasks"]

Ask = Callable[..., Any]
Watch = Callable[[str], None]
START_SECONDS = 120.0
FOREVER = float("inf")


class Task(NamedTuple):
    """Something to work on."""

    name: str
    payload: Any
    """Goes to the worker; must be picklable when there are several."""
    answer: Ask
    """What the work's `ask(...)` gives; called in this process."""


class Outcome(NamedTuple):
    """What became of a task."""

    name: str
    result: Any
    """None if it failed."""
    reason: str = ""


class _OverdueError(Exception):
    """Raised between two stages of work in this process."""


def run_tasks(
    tasks: Iterable[Task],
    work: str,
    *,
    workers: int,
    seconds: float,
    stages: Mapping[str, float] | None = None,
    again: Callable[[Any, str, str], Any] | None = None,
) -> Generator[Outcome, None, None]:
    """Yield what `work(payload, ask, watch)` makes of every task, in the order in which they finish.

    `work` is "module:function"; it calls `watch(stage)` as each stage begins. `tasks` is asked for the next
    one only when there is room for it. A task that takes more than `seconds`, ends with a PolyglyphError or a
    MemoryError, or whose process dies has an outcome without a result. Stages in `stages` have limits of
    their own: at their end, or if the process dies in one, the task is tried once more with
    `again(payload, stage, reason)`, unless that gives None.

    With one worker all happens here, in order; the limit is then looked at as each stage begins.
    Raises BackendError if a worker does not start, and for a mistake in `work` what it raises (here) or
    RuntimeError below its traceback.
    """
    if workers == 1:
        yield from _run_here(tasks, _found(work), seconds)
    else:
        with _Pool(work, workers, seconds, stages or {}, again) as pool:
            yield from pool.run(iter(tasks))


def _found(work: str) -> Callable[[Any, Ask, Watch], Any]:
    module, _, name = work.partition(":")
    return getattr(importlib.import_module(module), name)


def _run_here(tasks: Iterable[Task], function: Callable, seconds: float) -> Iterator[Outcome]:
    for task in tasks:
        end = time.monotonic() + seconds

        def watch(stage: str, end: float = end) -> None:
            if time.monotonic() > end:
                raise _OverdueError(stage)

        try:
            outcome = Outcome(task.name, function(task.payload, task.answer, watch))
        except _OverdueError as late:
            outcome = Outcome(task.name, None, f"it took longer than {seconds:g} s (before `{late}`)")
        except (PolyglyphError, MemoryError) as problem:
            outcome = Outcome(task.name, None, str(problem) or "memory ran out")
        yield outcome


@dataclass
class _Worker:
    """A process, and where it stands."""

    process: Any
    line: Connection
    start_end: float
    """When it should have started."""
    ready: bool = False
    task: Task | None = None
    end: float = FOREVER
    """When the task is overdue."""
    stage: str = ""
    stage_end: float = FOREVER
    retried: set[str] = field(default_factory=set)
    """Stages of the task after which it was begun again."""

    @property
    def next_end(self) -> float:
        """When something is overdue, if nothing is heard before."""
        return min(self.end, self.stage_end, FOREVER if self.ready else self.start_end)


class _Pool:
    """So many workers; killed on the way out, whatever the reason."""

    def __init__(
        self,
        work: str,
        workers: int,
        seconds: float,
        stages: Mapping[str, float],
        again: Callable[[Any, str, str], Any] | None,
    ) -> None:
        self.work, self.seconds, self.stages, self.again = work, seconds, stages, again
        self.size = workers
        self.workers: list[_Worker] = []
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            self._buried(worker)

    def run(self, tasks: Iterator[Task]) -> Iterator[Outcome]:
        ahead = next(tasks, None)  # one task is made while the workers work
        while ahead is not None or any(worker.task for worker in self.workers):
            while ahead is not None and len(self.workers) < self.size:
                self.workers.append(self._started())
            for worker in self.workers:
                if ahead is not None and worker.ready and worker.task is None:
                    worker.task, worker.end, worker.retried = ahead, time.monotonic() + self.seconds, set()
                    self._send(worker)
                    ahead = next(tasks, None)
            if any(worker.task or not worker.ready for worker in self.workers):
                self._listen()
            yield from self.outcomes
            self.outcomes.clear()

    def _listen(self) -> None:
        """Wait for words of the workers, or until one is overdue, and act on them."""
        waiting = [worker for worker in self.workers if worker.task or not worker.ready]
        end = min(worker.next_end for worker in waiting)
        wait([worker.line for worker in waiting], timeout=min(max(0.0, end - time.monotonic()), 60.0))
        for worker in waiting:
            while worker in self.workers and (worker.task or not worker.ready) and worker.line.poll():
                self._hear(worker)
        for worker in [worker for worker in waiting if worker in self.workers]:
            now = time.monotonic()
            if not worker.ready and now > worker.start_end:
                raise _did_not_start(f"nothing was heard of it for {START_SECONDS:g} s")
            if now > worker.end:
                self._failed(worker, f"it took longer than {self.seconds:g} s", final=True)
            elif now > worker.stage_end:
                self._failed(worker, f"it took longer than {self.stages[worker.stage]:g} s")

    def _hear(self, worker: _Worker) -> None:
        """One message of a worker."""
        try:
            kind, value = worker.line.recv()
            if kind == "ask":
                assert worker.task is not None  # noqa: S101  (only a task asks)
                worker.line.send(worker.task.answer(*value))
        except (EOFError, OSError):  # the process is gone
            self._gone(worker)
            return
        if kind == "ready":
            worker.ready = True
            self._send(worker)
        elif kind == "stage":
            worker.stage = value
            worker.stage_end = time.monotonic() + self.stages.get(value, FOREVER)
        elif kind in ("done", "failed"):
            assert worker.task is not None  # noqa: S101
            result, reason = (value, "") if kind == "done" else (None, value)
            self.outcomes.append(Outcome(worker.task.name, result, reason))
            worker.task, worker.stage, worker.stage_end, worker.end = None, "", FOREVER, FOREVER

    def _gone(self, worker: _Worker) -> None:
        """A process ended by itself: killed by the system, or by a mistake of ours."""
        worker.process.join(timeout=10)
        code = worker.process.exitcode
        if not worker.ready:
            raise _did_not_start(f"it ended with {code}")
        if code == 1:
            raise RuntimeError("a worker process ended with an error; its traceback is above")
        self._failed(worker, f"its process ended with {code}")

    def _failed(self, worker: _Worker, reason: str, *, final: bool = False) -> None:
        """End a worker's process; begin its task once more in a new one, or give the task up."""
        task, stage = worker.task, worker.stage
        assert task is not None  # noqa: S101  (only a task has limits)
        self.workers.remove(worker)
        self._buried(worker)
        payload = None
        if not final and self.again is not None and stage in self.stages and stage not in worker.retried:
            payload = self.again(task.payload, stage, reason)
        if payload is None:
            told = f"{reason} (in `{stage}`)" if stage else reason
            self.outcomes.append(Outcome(task.name, None, told))
            return
        anew = self._started()
        anew.task, anew.end = task._replace(payload=payload), worker.end
        anew.retried = {*worker.retried, stage}
        self.workers.append(anew)

    def _started(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.work), daemon=True)
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        return _Worker(process, ours, time.monotonic() + START_SECONDS)

    def _send(self, worker: _Worker) -> None:
        if worker.task is not None:
            with contextlib.suppress(OSError):  # a process that is gone is noticed when it is listened to
                worker.line.send(worker.task.payload)

    def _buried(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.line.close()


def _did_not_start(reason: str) -> BackendError:
    return BackendError(
        f"a worker process did not start: {reason}",
        fix="pass `--workers 1`, or call from below `if __name__ == '__main__':`",
    )


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A process that is started inside never hears Ctrl-C: stopping it is its parent's business.

    The signal is held back, not ignored: one that comes meanwhile reaches the parent afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would let the signal through when it starts with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(line: Connection, work: str) -> None:
    """What a worker process does: tasks in, results out, until the line is closed."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # the processes are the parallelism
    with contextlib.suppress(EOFError, OSError):  # the parent is gone, or has closed the line
        function = _found(work)
        line.send(("ready", None))

        def ask(*question: Any) -> Any:
            line.send(("ask", question))
            return line.recv()

        def watch(stage: str) -> None:
            line.send(("stage", stage))

        while True:
            payload = line.recv()
            try:
                reply = ("done", function(payload, ask, watch))
            except (PolyglyphError, MemoryError) as problem:
                reply = ("failed", str(problem) or "memory ran out")
            line.send(reply)
