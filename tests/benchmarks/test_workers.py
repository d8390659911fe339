from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.workers import Died, here, in_processes

JOBS = """
import os, signal, time
from pathlib import Path

def work(task):
    what, value = task
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "raise":
        raise LookupError(f"no {value}")
    if what == "sleep":
        time.sleep(value)
    if what == "pid":
        time.sleep(0.2)
        return os.getpid()
    return value * value

class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(a + b)

def hard_to_send(task):
    raise TwoArguments("cannot be ", "read back")

def noted(task):
    folder, value = task
    Path(folder, f"{value}.started").touch()
    time.sleep(0.3)
    Path(folder, f"{value}.done").touch()
"""
posix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "jobs_of_workers.py").write_text(textwrap.dedent(JOBS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jobs_of_workers", raising=False)
    return __import__("jobs_of_workers")


def test_tasks_run_here_in_their_order(jobs):
    assert list(here(jobs.work, [("square", 2), ("square", 3)])) == [(("square", 2), 4), (("square", 3), 9)]


def test_processes_answer_every_task(jobs):
    tasks = [("square", value) for value in range(7)]
    answers = dict(in_processes(jobs.work, tasks, 2))
    assert answers == {task: task[1] ** 2 for task in tasks}


def test_processes_are_used_again(jobs):
    pids = [pid for _, pid in in_processes(jobs.work, [("pid", value) for value in range(6)], 2)]
    assert len(set(pids)) == 2
    assert os.getpid() not in pids


def test_no_tasks_need_no_process(jobs):
    assert list(in_processes(jobs.work, [], 2)) == []


@posix
def test_a_process_that_is_killed_costs_its_own_task_only(jobs):
    tasks = [("square", 1), ("die", 0), ("square", 2), ("die", 1), ("square", 3)]
    answers = dict(in_processes(jobs.work, tasks, 2))
    assert [answers[task] for task in tasks if task[0] == "square"] == [1, 4, 9]
    assert answers["die", 0] == answers["die", 1] == Died("its process ended with code -9")


@posix
def test_a_process_that_dies_while_it_is_idle_is_replaced(jobs):
    results = in_processes(jobs.work, [("pid", 0), ("square", 5), ("square", 6)], 1)
    _, pid = next(results)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    assert [answer for _, answer in results] == [25, 36]


def test_an_exception_ends_the_whole(jobs):
    results = in_processes(jobs.work, [("raise", "place"), ("sleep", 60)], 2)
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="LookupError: no place"):
        list(results)
    assert time.monotonic() - begin < 50  # nobody waits for the sleeper


def test_an_exception_that_cannot_be_read_back_is_told(jobs):
    with pytest.raises(RuntimeError, match="TwoArguments: cannot be read back"):
        list(in_processes(jobs.hard_to_send, [0], 1))


@posix
def test_who_stops_asking_stops_the_processes(jobs):
    results = in_processes(jobs.work, [("pid", 0), ("sleep", 60)], 2)
    _, pid = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@posix
def test_processes_whose_parent_is_killed_finish_their_task_and_go(jobs, tmp_path: Path):
    program = (
        "from benchmarks.workers import in_processes\nimport jobs_of_workers\n"
        f"list(in_processes(jobs_of_workers.noted, [({str(tmp_path)!r}, value) for value in range(40)], 2))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, start_new_session=True)
    try:
        wait_for(lambda: len(list(tmp_path.glob("*.started"))) >= 2)
        parent.kill()
        parent.wait()
        wait_for(lambda: gone(parent.pid))
    finally:
        if not gone(parent.pid):
            os.killpg(parent.pid, signal.SIGKILL)
    started, done = (len(list(tmp_path.glob(f"*.{what}"))) for what in ("started", "done"))
    assert started == done < 40


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
