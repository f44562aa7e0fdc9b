"""Shared by all tests: the command line as a person meets it, a process with two streams and an exit code."""

import os
import subprocess
import sys

import pytest

MAIN = "import sys; from polyglyph.cli import main; sys.exit(main())"


@pytest.fixture
def polyglyph(tmp_path):
    """Run `polyglyph ARGUMENTS` in `tmp_path` (or `folder`); the finished process, with text streams."""

    def run(*arguments, folder=tmp_path, timeout=300, **environment):
        return subprocess.run(
            [sys.executable, "-c", MAIN, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
