"""The table of verbs, help, versions, exit codes and the shape of messages."""

import json
import re
import subprocess
import sys
import time

import pytest

from polyglyph import cli
from polyglyph.base.errors import ConfigError
from polyglyph.cli import VERBS

HEAVY = ("torch", "numpy", "scipy", "trimesh", "PIL", "matplotlib", "jaxtyping")


def modules_after(*arguments):
    """Top-level modules that the process has loaded when `polyglyph ARGUMENTS` ends, and its stdout."""
    code = (
        "import sys\n"
        "from polyglyph.cli import main\n"
        "main()\n"
        "print('\\nLOADED', *{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    text, _, loaded = done.stdout.partition("\nLOADED ")
    return set(loaded.split()), text


@pytest.mark.parametrize("option", ["--help", "--version", "-h", "-V", None])
def test_help_and_version_load_nothing_heavy(option):
    loaded, text = modules_after(*([option] if option else []))
    assert not loaded & {*HEAVY, "tyro", "rich"}
    assert "polyglyph" in text


def test_help_takes_a_tenth_of_a_second():
    def once():
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from polyglyph.cli import main; main(['--help'])"], capture_output=True
        )
        return time.perf_counter() - start

    assert min(once() for _ in range(5)) < 0.1 * 3  # three times the promise: tests share their cores


def test_help_names_every_verb_with_its_purpose(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert re.search(rf"^  {name} +{re.escape(verb.help)}$", text, flags=re.MULTILINE)


def test_the_version_is_that_of_the_installed_package(polyglyph):
    from importlib.metadata import version

    assert polyglyph("--version").stdout == f"polyglyph {version('polyglyph')}\n"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("option", ["--help", "--help-all"])
def test_the_help_of_a_verb_loads_no_torch(verb, option):
    loaded, text = modules_after(verb, option)
    assert text.startswith(f"usage: polyglyph {verb}")
    assert "torch" not in loaded
    for everywhere in ("--json", "--seed", "--device"):
        assert everywhere in text
    assert "Example" in text


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_help_of_a_verb_stays_short(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    options = re.findall(r"^\W*--[a-z]", capsys.readouterr().out, flags=re.MULTILINE)
    assert 3 <= len(options) <= 20


def test_an_unknown_verb_is_answered_with_the_nearest(polyglyph):
    done = polyglyph("smaple")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: there is no verb `smaple`\n\nhint: did you mean `polyglyph sample`?\n"


def test_a_word_like_no_verb_is_sent_to_the_list(polyglyph):
    done = polyglyph("xyzzy")
    assert done.returncode == 2
    assert done.stderr.endswith("hint: `polyglyph --help` lists the verbs\n")


def test_an_option_in_place_of_a_verb_is_refused(polyglyph):
    done = polyglyph("--seed", "3")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no option `--seed` before the verb")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["doctor", "--sede", "3"], "unknown option `--sede`", "did you mean `--seed`?"),
        (
            ["doctor", "--seed", "x"],
            "`--seed` cannot be `x`",
            "`polyglyph doctor --help` lists what it takes",
        ),
        (["doctor", "--seed"], "`--seed` needs a value", "`polyglyph doctor --help` lists what it takes"),
        (["doctor", "--seed", "-1"], "`--seed` is -1", "pass `--seed 0`"),
        (["doctor", "extra"], "unknown argument `extra`", "`polyglyph doctor --help` lists what it takes"),
        (["doctor", "--device", "tpu"], "there is no device `tpu`", "pass `auto`, `cpu`, `cuda` or `cuda:0`"),
        (["completions"], "`SHELL` is missing", "`polyglyph completions --help` lists what it takes"),
        (["completions", "bush"], "`shell` cannot be `bush`", "did you mean `bash`?"),
        (["import"], "`SOURCE` is missing", "`polyglyph import --help` lists what it takes"),
        (["import", "a", "b", "--limit", "0"], "`limit` is 0", "pass `--limit 1`"),
        (["train"], "`DATASET` is missing", "`polyglyph train --help` lists what it takes"),
        (
            ["train", "a", "--out", "b", "--preset", "smal"],
            "there is no preset `smal`",
            "did you mean `small`?",
        ),
        (
            ["train", "a", "--out", "b", "--schedul.kimg", "1"],
            "unknown option `--schedul.kimg`",
            "did you mean `--schedule.kimg`?",
        ),
    ],
)
def test_a_refused_option_is_one_error_and_one_hint(polyglyph, arguments, message, hint):
    done = polyglyph(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    error, blank, last = done.stderr.rstrip("\n").split("\n")
    assert error.startswith("error: ")
    assert message in error
    assert blank == ""
    assert last == f"hint: {hint}"


def test_our_own_errors_are_exit_code_2_with_their_fix(monkeypatch, capsys):
    def fail(arguments):
        raise ConfigError("`x` is 1", fix="pass 2")

    monkeypatch.setattr("polyglyph.cli.doctor.main", fail)
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "error: `x` is 1\n\nhint: pass 2\n"


def test_an_interrupt_is_exit_code_130(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("polyglyph.cli.doctor.main", interrupted)
    assert cli.main(["doctor"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_of_ours_is_a_traceback(monkeypatch):
    def broken(arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("polyglyph.cli.doctor.main", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


@pytest.mark.parametrize(("problem", "known"), [(PermissionError, True), (FileNotFoundError, False)])
def test_a_place_that_may_not_be_written_is_the_users_to_mend_but_a_lost_file_is_ours(
    monkeypatch, capsys, problem, known
):
    import errno

    def refused(arguments):
        number = errno.EACCES if problem is PermissionError else errno.ENOENT
        raise OSError(number, "Permission denied", "/there")

    monkeypatch.setattr("polyglyph.cli.doctor.main", refused)
    if known:
        assert cli.main(["doctor"]) == 2
        assert capsys.readouterr().err.startswith("error: `/there`: permission denied\n\nhint: ")
    else:
        with pytest.raises(problem):
            cli.main(["doctor"])


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["completions", "fish"]])
def test_a_reader_that_goes_away_is_not_a_traceback(arguments):
    code = "import sys; from polyglyph.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert errors == b""


def test_json_is_one_object_and_nothing_else(polyglyph):
    done = polyglyph("completions", "bash", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert isinstance(json.loads(done.stdout), dict)


def test_what_a_library_prints_never_reaches_stdout():
    code = """
import os, sys
from dataclasses import dataclass
from polyglyph.cli.common import Options, Result, run_verb
@dataclass(frozen=True, kw_only=True)
class Loud(Options):
    "Loud."
def work(options):
    print("from python")
    os.write(1, b"from C\\n")
    return Result({"answer": 42}, "text")
sys.exit(run_verb("loud", Loud, work, ["--json"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == '{"answer": 42}\n'
    assert sorted(done.stderr.split("\n")) == ["", "from C", "from python"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_verbs_and_their_options(polyglyph, shell):
    done = polyglyph("completions", shell)
    assert done.returncode == 0
    for verb in VERBS:
        assert verb in done.stdout
    assert "dry-run" in done.stdout
    assert "generator.channel-max" in done.stdout


def test_the_bash_script_completes_a_verb_and_an_option(polyglyph, tmp_path):
    script = tmp_path / "complete.sh"
    script.write_text(polyglyph("completions", "bash").stdout)
    ask = (
        f'source {script}; COMP_WORDS=(polyglyph do); COMP_CWORD=1; _polyglyph; echo "${{COMPREPLY[@]}}";'
        'COMP_WORDS=(polyglyph doctor --js); COMP_CWORD=2; _polyglyph; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["doctor", "--json"]


def test_errors_read_the_same_in_a_terminal_that_knows_only_ascii(polyglyph):
    plain = polyglyph("doctor", "--sede", "3", PYTHONIOENCODING="ascii")
    assert plain.stderr == polyglyph("doctor", "--sede", "3", PYTHONIOENCODING="utf-8").stderr
    assert plain.stderr == "error: unknown option `--sede`\n\nhint: did you mean `--seed`?\n"


def test_help_is_readable_in_a_terminal_that_knows_only_ascii(polyglyph):
    done = polyglyph("train", "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "--preset {tiny,small,paper}" in done.stdout


def test_no_color_means_no_escape_codes(polyglyph):
    for arguments in (["doctor", "--help"], ["doctor", "--sede", "1"], ["smaple"]):
        done = polyglyph(*arguments, NO_COLOR="1")
        assert "\x1b" not in done.stdout + done.stderr


def test_doctor_says_what_is_here_and_that_nothing_needed_is_missing(polyglyph):
    done = polyglyph("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    report = json.loads(done.stdout)
    assert report["ok"]
    states = {finding["name"]: finding["state"] for finding in report["findings"]}
    assert states["torch"] == "ok"
    assert states["shipped model"] == "ok"
    assert all(finding["fix"] for finding in report["findings"] if finding["state"] == "bad")


def test_doctor_names_a_device_that_is_not_here(polyglyph):
    done = polyglyph("doctor", "--device", "cuda:7", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "cuda:7" in done.stderr
    assert re.search(r"^bad +device", done.stdout, flags=re.MULTILINE)
