"""The same function over many items on several cores, with progress and a clean Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from polyglyph.base.errors import DataError
from polyglyph.base.progress import Progress

__all__ = ["core_count", "run_over"]

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALL_JOB = 6
"""With no more items than this, starting processes (each loads the libraries) costs more than it saves."""


def core_count() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_over(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int | None, label: str
) -> Iterator[tuple[int, Result]]:
    """Yield (position in `items`, `function(item)`) in the order in which they finish.

    `function` and the items must be picklable when `workers` is not 1. `workers=None` means one
    process per core, or none but this one for a small job. An error in `function` ends the run.
    Raises DataError if a worker process dies (most often: out of memory).
    """
    if workers is None:
        workers = 1 if len(items) <= SMALL_JOB else min(core_count(), len(items))
    with Progress(label, len(items)) as bar:
        if workers == 1:
            for index, item in enumerate(items):
                yield index, function(item)
                bar.advance()
            return
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
        try:
            futures = {pool.submit(function, item): index for index, item in enumerate(items)}
            for future in as_completed(futures):
                yield futures[future], future.result()
                bar.advance()
        except BrokenProcessPool:
            raise DataError(
                "a worker process died, most often because memory ran out",
                fix="run the same command with `--workers 1`",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """One thread per process (the processes are the parallelism); Ctrl-C is the parent's business."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
