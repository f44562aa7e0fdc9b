"""`polyglyph completions SHELL`: a script that completes verbs and their options."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from polyglyph.cli import VERBS
from polyglyph.cli.common import HELP_ALL, Options, Positional, Result, run_verb

__all__ = ["main"]


@dataclass(frozen=True, kw_only=True)
class Completions(Options):
    """Print a completion script.

    Example, for bash: polyglyph completions bash > ~/.local/share/bash-completion/completions/polyglyph
    """

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """The shell it is for."""


def main(arguments: Sequence[str]) -> int:
    """Parse, write the script, print it."""
    return run_verb("completions", Completions, work, arguments)


def work(options: Completions) -> Result:
    """The script of the chosen shell."""
    words = {verb: _options(verb) for verb in VERBS}
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](words)
    return Result({"shell": options.shell, "script": script}, script)


def _options(verb: str) -> list[str]:
    """Every option that `polyglyph VERB --help-all` names: the help is the one list of them."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        import_module(VERBS[verb].module).main([HELP_ALL])
    found = re.findall(r"^\W*(?:-h, )?(--[a-z][\w.-]*)", text.getvalue(), flags=re.MULTILINE)
    return list(dict.fromkeys(found))


def _bash(words: dict[str, list[str]]) -> str:
    cases = "\n".join(f'    {verb}) words="{" ".join(options)}" ;;' for verb, options in words.items())
    return f"""_polyglyph() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(words)} --help --version" -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}}
complete -o filenames -F _polyglyph polyglyph"""


def _zsh(words: dict[str, list[str]]) -> str:
    return f"#compdef polyglyph\nautoload -U +X bashcompinit && bashcompinit\n{_bash(words)}"


def _fish(words: dict[str, list[str]]) -> str:
    lines = [
        f"complete -c polyglyph -n __fish_use_subcommand -f -a {verb} -d '{VERBS[verb].help}'"
        for verb in words
    ]
    for verb, options in words.items():
        seen = f"'__fish_seen_subcommand_from {verb}'"
        lines += [f"complete -c polyglyph -n {seen} -l {option.removeprefix('--')}" for option in options]
    return "\n".join(lines)
