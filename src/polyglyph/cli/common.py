"""What every verb shares: options, parsing, and printing of results.

A verb is a frozen dataclass of options and one function from them to a `Result`; `run_verb`
does the rest. Nothing here imports torch: `--help` must stay quick.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import tyro

from polyglyph.base.config import nearest_name
from polyglyph.base.errors import ConfigError, PolyglyphError

__all__ = ["Options", "Positional", "Result", "WritingOptions", "narrow", "parse", "ready", "run_verb"]

T = TypeVar("T")
Chosen = TypeVar("Chosen", bound="Options")
Positional = tyro.conf.Positional

MARKERS = (
    tyro.conf.CascadeSubcommandArgs,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.PositionalMetavarFromFieldName,
)
HELP_ALL = "--help-all"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every verb has."""

    json: bool = False
    """Print one JSON object on stdout, and nothing else there."""

    seed: int = 0
    """Seed of every random choice."""

    device: Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute; `auto` takes a GPU when there is one."""


@dataclass(frozen=True, kw_only=True)
class WritingOptions(Options):
    """The options of a verb that writes files."""

    force: bool = False
    """Replace what is already at the place written to."""

    dry_run: bool = False
    """Say what would be read and written, and stop."""


@dataclass(frozen=True)
class Result:
    """What a verb found or made: `data` for machines (`--json`), `text` for people."""

    data: dict[str, Any]
    text: str = ""
    problem: PolyglyphError | None = None
    """What is wrong with what was looked at, said after the result; the exit code is then 2."""


def check(options: Options) -> None:
    """Raise ConfigError for a seed or a device that cannot be."""
    if not 0 <= options.seed < 2**63:
        raise ConfigError(f"`--seed` is {options.seed}, outside 0 to 2^63", fix="pass `--seed 0`")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device):
        raise ConfigError(
            f"there is no device `{options.device}`", fix="pass `auto`, `cpu`, `cuda` or `cuda:0`"
        )


def narrow(options: Any, kind: type[T]) -> T:
    """The settings `kind` out of a verb's options, which have the same fields and more."""
    return kind(**{item.name: getattr(options, item.name) for item in fields(cast(Any, kind))})


def run_verb(
    verb: str,
    kind: type[Chosen],
    work: Callable[[Chosen], Result],
    arguments: Sequence[str],
    *,
    short: type | None = None,
    none: bool = False,
) -> int:
    """Parse `arguments` into `kind`, do the `work`, print its result; the exit code.

    `short` is the part of `kind` that `--help` shows when `kind` has too many settings
    (`--help-all` shows them all).
    `none` lets an optional setting be given as `None`.
    """
    options = parse(verb, kind, arguments, short=short, none=none)
    check(options)
    with _stdout_for_results():
        result = work(options)
    if options.json:
        print(json.dumps(result.data, default=_plain, allow_nan=False, ensure_ascii=False))
    elif result.text:
        print(result.text)
    if result.problem is not None:
        raise result.problem
    return 0


def parse(
    verb: str,
    kind: type[T],
    arguments: Sequence[str],
    *,
    short: type | None = None,
    none: bool = False,
) -> T:
    """The options of a verb. Raises ConfigError for what the parser refuses; exits after `--help`."""
    help_asked = {"-h", "--help"} & set(arguments)
    shown: type = short if short is not None and help_asked else kind
    words = ["--help" if word == HELP_ALL else word for word in arguments]
    markers = MARKERS if none else (*MARKERS, tyro.conf.DisallowNone)
    if "--help" in words or help_asked:
        try:
            return tyro.cli(shown, args=words, prog=f"polyglyph {verb}", config=markers)
        finally:
            if shown is not kind:
                print(f"`polyglyph {verb} {HELP_ALL}` shows every setting.")
    complaint = io.StringIO()
    try:
        # A stdout without an encoding makes the parser draw its boxes in ASCII, whatever the terminal.
        with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(io.StringIO()):
            return tyro.cli(kind, args=words, prog=f"polyglyph {verb}", config=markers)
    except SystemExit:
        raise _refusal(verb, complaint.getvalue()) from None


def ready(options: Options) -> Any:
    """The torch device to compute on, with the process prepared for it. Imports torch."""
    from polyglyph.learn.device import pick_device, tune_allocator

    tune_allocator()
    return pick_device(options.device)


@contextlib.contextmanager
def _stdout_for_results() -> Iterator[None]:
    """Send what any library prints to stdout, from Python or from C, to stderr instead."""
    sys.stdout.flush()
    try:
        stdout, stderr = sys.stdout.fileno(), sys.stderr.fileno()
    except (OSError, ValueError):  # no real files behind the streams, as in some tests
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    kept = os.dup(stdout)
    os.dup2(stderr, stdout)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, stdout)
        os.close(kept)


def _plain(value: Any) -> Any:
    """JSON for the few types that results carry besides the usual."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in a result is not JSON")


def _paragraphs(box: str) -> list[str]:
    """The parser's message, one string per part between rules: the title first."""
    parts: list[list[str]] = [[]]
    for line in map(str.strip, box.splitlines()):
        if line and set(line) == {"-"}:
            parts.append([])
        else:
            parts[-1].append(line)
    return [" ".join(filter(None, part)) for part in parts]


def _refusal(verb: str, box: str) -> ConfigError:
    """What the parser said in its box, as one message and one hint in our form."""
    _, first, *rest = [*_paragraphs(box), "the options were refused"]
    everything = " ".join([first, *rest])
    hint = f"`polyglyph {verb} --help` lists what it takes"
    if unknown := re.match(r"Unrecognized options?: (.*)", first):
        words = unknown[1].split(", ")
        options = [word for word in words if word.startswith("-")]
        offered = re.findall(r"--[\w.-]+", everything.partition("Perhaps you meant:")[2])
        near = nearest_name((options or words)[0], offered) or next(iter(offered), None)
        message = f"unknown {'option' if options else 'argument'} `{(options or words)[0]}`"
        return ConfigError(message, fix=f"did you mean `{near}`?" if near else hint)
    if missing := re.match(r"Missing from [^:]*: *(\S+)", first):
        return ConfigError(f"`{missing[1]}` is missing", fix=hint)
    if choice := re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", first):
        choices = re.findall(r"'([^']*)'", choice[3])
        near = nearest_name(choice[1], choices)
        fix = f"did you mean `{near}`?" if near else f"choose one of {', '.join(choices)}"
        return ConfigError(f"`{choice[2]}` cannot be `{choice[1]}`", fix=fix)
    if value := re.match(r"Error parsing (\S+): .*'(.*)'", first):
        return ConfigError(f"`{value[1]}` cannot be `{value[2]}`", fix=hint)
    if nothing := re.match(r"Missing value for argument '(.*)'", first):
        return ConfigError(f"`{nothing[1]}` needs a value", fix=hint)
    return ConfigError(first[:1].lower() + first[1:].rstrip("."), fix=hint)
