"""The command line: `polyglyph VERB [ARGS] [--options]`.

One file per verb, imported only when that verb is chosen, so `polyglyph --help` and
`polyglyph --version` load neither numpy nor tyro, and nothing here ever loads torch by itself.

Exit codes: 0 done; 1 our fault (a traceback); 2 the user's mistake (`error:`, blank line,
`hint:`); 130 interrupted, after the verb saved what it had; 141 the reader of stdout went away.
"""

from __future__ import annotations

import io
import sys
from typing import NamedTuple

__all__ = ["VERBS", "Verb", "main"]


class Verb(NamedTuple):
    """One line of the table of verbs: which module runs it, and what it is for."""

    module: str
    help: str
    group: str


VERBS: dict[str, Verb] = {
    "demo": Verb(
        "polyglyph.cli.demo", "four textured meshes from the shipped model, in one minute", "start here"
    ),
    "doctor": Verb(
        "polyglyph.cli.doctor", "what this machine has, what is missing and how to add it", "start here"
    ),
    "sample": Verb("polyglyph.cli.sample", "textured meshes (GLB) from a trained generator", "make meshes"),
    "convert": Verb(
        "polyglyph.cli.convert", "a checkpoint of another project to a model folder", "make meshes"
    ),
    "procedural": Verb("polyglyph.cli.procedural", "parametric textured meshes with captions", "make meshes"),
    "fetch": Verb(
        "polyglyph.cli.fetch", "a known free set of meshes, by the system's package tool", "prepare data"
    ),
    "import": Verb(
        "polyglyph.cli.import_", "a folder, zip or archive of meshes into a mesh folder", "prepare data"
    ),
    "dataset": Verb("polyglyph.cli.dataset", "many pictures of every mesh, to train from", "prepare data"),
    "inspect": Verb(
        "polyglyph.cli.inspect", "what a file or folder holds, and what is wrong with it", "look"
    ),
    "render": Verb("polyglyph.cli.render", "pictures, a contact sheet or a turntable of a mesh", "look"),
    "train": Verb("polyglyph.cli.train", "a generator of textured meshes from a dataset", "train"),
    "measure": Verb(
        "polyglyph.cli.measure", "how well one set of shapes stands for another, under a protocol", "measure"
    ),
    "ablate": Verb(
        "polyglyph.cli.ablate", "what each setting is worth: a grid of trainings, measured alike", "measure"
    ),
    "completions": Verb("polyglyph.cli.completions", "a completion script for bash, zsh or fish", "the rest"),
}

INTERRUPTED, BROKEN_PIPE = 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit code. `arguments` default to those of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without `²` shows `?`, not a traceback
    try:
        try:
            code = _dispatch(arguments)
        except SystemExit as stop:  # the parser, after `VERB --help`
            code = int(stop.code or 0)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _close_quietly()
        return BROKEN_PIPE


def _dispatch(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help", "help"):
        print(overview())
        return 0
    if verb in ("-V", "--version"):
        from polyglyph import __version__

        print(f"polyglyph {__version__}")
        return 0
    if verb not in VERBS:
        return complain(*_unknown(verb))
    return _run(verb, arguments[1:])


def _run(verb: str, arguments: list[str]) -> int:
    from importlib import import_module

    from polyglyph.base.errors import PolyglyphError

    try:
        return import_module(VERBS[verb].module).main(arguments)
    except PolyglyphError as error:
        return complain(str(error), error.fix)
    except OSError as error:
        fix = _fix_for(error)
        if fix is None:
            raise
        return complain(f"`{error.filename}`: {(error.strerror or '').lower()}", fix)


def complain(message: str, fix: str) -> int:
    """Say what is wrong and what to do about it, on stderr; the exit code of a user's mistake."""
    print(f"error: {message}\n\nhint: {fix}", file=sys.stderr)
    return 2


def overview() -> str:
    """The text of `polyglyph --help`."""
    lines = ["polyglyph: words to textured meshes, and back", "", "usage: polyglyph VERB [ARGS] [--options]"]
    width = max(map(len, VERBS)) + 2
    for group in dict.fromkeys(verb.group for verb in VERBS.values()):
        lines += ["", f"{group}:"]
        lines += [f"  {name:<{width}}{verb.help}" for name, verb in VERBS.items() if verb.group == group]
    lines += ["", "`polyglyph VERB --help` explains a verb; `polyglyph --version` prints the version."]
    return "\n".join(lines)


def _unknown(verb: str) -> tuple[str, str]:
    from polyglyph.base.config import nearest_name

    if verb.startswith("-"):
        return (
            f"there is no option `{verb}` before the verb",
            "`polyglyph VERB --help` lists a verb's options",
        )
    near = nearest_name(verb, VERBS)
    fix = f"did you mean `polyglyph {near}`?" if near else "`polyglyph --help` lists the verbs"
    return f"there is no verb `{verb}`", fix


def _fix_for(error: OSError) -> str | None:
    """What to do about a machine's refusal; None for those that are our fault."""
    import errno

    if error.filename is None:
        return None
    return {
        errno.EACCES: "choose a place you may read and write, or change its permissions",
        errno.EPERM: "choose a place you may read and write, or change its permissions",
        errno.EROFS: "choose a place that can be written",
        errno.ENOSPC: "make room on the disk, or choose another one",
        errno.EEXIST: "a part of this path is a file, not a folder: choose another path",
        errno.ENOTDIR: "a part of this path is a file, not a folder: choose another path",
        errno.EISDIR: "this is a folder where a file is expected: choose another path",
        errno.ENAMETOOLONG: "choose a shorter name",
    }.get(error.errno or 0)


def _close_quietly() -> None:
    """Point stdout at nothing, so that the interpreter's last flush has nothing to complain about."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
