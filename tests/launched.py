"""Several processes that talk to each other, as a launcher starts them, for tests."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(script: Path, *arguments: object, count: int = 2, timeout: float = 120) -> list[tuple[int, str]]:
    """Run `script` in `count` processes on one core each; exit codes and what they said, by rank.

    After `timeout` seconds they are killed.
    """
    common = {
        **os.environ,
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(TESTS),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(script), *map(str, arguments)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    deadline = threading.Timer(timeout, lambda: [process.kill() for process in processes])
    deadline.start()
    try:
        said = [process.communicate()[0] for process in processes]
    finally:
        deadline.cancel()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]
