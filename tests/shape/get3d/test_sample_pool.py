"""Work in other processes: questions are answered, and nothing that goes wrong there stops the rest."""

import os
import time

import pytest

from polyglyph.base.errors import BackendError
from polyglyph.shape.get3d.sample_pool import Task, run_tasks

WORK = "shape.get3d.pool_work:work"


def answer(name, number):
    assert name == "square"
    return number * number


def tasks(*payloads):
    return [Task(str(number), payload, answer) for number, payload in enumerate(payloads)]


def run(*payloads, workers=2, seconds=60.0, **options):
    outcomes = run_tasks(tasks(*payloads), WORK, workers=workers, seconds=seconds, **options)
    return {int(outcome.name): outcome for outcome in outcomes}


@pytest.mark.parametrize("workers", [1, 2])
def test_all_tasks_are_done_and_their_questions_answered(workers):
    found = run(*[("square", [k, k + 1]) for k in range(7)], workers=workers)
    assert {k: found[k].result[0] for k in found} == {k: [k**2, (k + 1) ** 2] for k in range(7)}
    here = {found[k].result[1] == os.getpid() for k in found}
    assert here == {workers == 1}


def test_a_task_that_takes_too_long_is_left_out_and_named_and_the_others_are_done():
    start = time.monotonic()
    found = run(("sleep later", 100.0), *[("square", [k]) for k in range(4)], seconds=3.0)
    assert time.monotonic() - start < 60
    assert found[0].result is None
    assert found[0].reason == "it took longer than 3 s (in `bake`)"
    assert all(found[k].result[0] == [(k - 1) ** 2] for k in range(1, 5))


def test_in_one_process_the_limit_is_looked_at_between_stages():
    found = run(("sleep", 0.3), ("square", [3]), workers=1, seconds=0.1)
    assert found[0].result is None
    assert found[0].reason == "it took longer than 0.1 s (before `bake`)"
    assert found[1].result[0] == [9]


def test_a_stage_that_takes_too_long_or_kills_its_process_is_tried_otherwise_once():
    heard = []

    def again(payload, stage, reason):
        heard.append((payload[0], stage, reason))
        return ("sleep later", 0) if payload == ("sleep", 100) else payload

    found = run(("sleep", 100), ("die", 7), stages={"unwrap": 1.5}, again=again)
    assert found[0].result[0] == 0
    assert found[1].result is None
    assert found[1].reason == "its process ended with 7 (in `unwrap`)"
    assert sorted(heard) == [
        ("die", "unwrap", "its process ended with 7"),
        ("sleep", "unwrap", "it took longer than 1.5 s"),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_made_has_a_reason_and_our_own_mistakes_are_raised(workers, capfd):
    found = run(("refuse", "no faces at all"), ("square", [2]), workers=workers)
    assert (found[0].result, found[0].reason) == (None, "no faces at all")
    assert found[1].result[0] == [4]
    with pytest.raises(ZeroDivisionError if workers == 1 else RuntimeError):
        run(("mistake", "ours"), ("square", [2]), workers=workers)
    if workers == 2:
        assert "ZeroDivisionError: ours" in capfd.readouterr().err


def test_work_that_is_not_there_is_a_worker_that_does_not_start(capfd):
    with pytest.raises(BackendError, match="did not start"):
        list(run_tasks(tasks(("square", [1])), "shape.get3d.no_such_module:work", workers=2, seconds=60))
    assert "no_such_module" in capfd.readouterr().err


def test_processes_are_gone_when_nobody_listens_any_more():
    outcomes = run_tasks(tasks(("square", [1]), *[("sleep", 100)] * 3), WORK, workers=2, seconds=200)
    pid = next(outcomes).result[1]
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
