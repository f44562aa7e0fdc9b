"""Progress with time left, on stderr, silent when stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

__all__ = ["Progress", "say", "track"]

T = TypeVar("T")


def say(message: str) -> None:
    """One line for the person, on stderr (stdout is for results)."""
    print(message, file=sys.stderr, flush=True)


class Progress:
    """A bar with time left.

    >>> with Progress("rendering", total=3) as bar:
    ...     for _ in range(3):
    ...         bar.advance()
    """

    def __init__(self, label: str, total: float | None = None, *, done: float = 0) -> None:
        self._label, self._total, self._done = label, total, done
        self._bar = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            done = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            time = (TimeElapsedColumn(), TimeRemainingColumn())
            console = Console(stderr=True)
            self._bar = Bar(*done, *time, TextColumn("{task.fields[note]}"), console=console)
            self._task = self._bar.add_task(self._label, total=self._total, note="")
            self._bar.update(self._task, completed=self._done)
            self._bar.start()
        return self

    def advance(self, amount: float = 1, *, note: str | None = None) -> None:
        """Move the bar by `amount`; `note` replaces the short text at its end."""
        if self._bar is None:
            return
        self._bar.advance(self._task, amount)
        if note is not None:
            self._bar.update(self._task, note=note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def track(items: Sequence[T] | Iterable[T], label: str, *, total: int | None = None) -> Iterator[T]:
    """Yield `items` while a bar shows how far and how long."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    with Progress(label, total) as bar:
        for item in items:
            yield item
            bar.advance()
