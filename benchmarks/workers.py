"""Where tasks run: here, in processes of this machine, or on a Ray cluster. The same function, the same tasks.

Each way yields the tasks with their answers as they are finished. A worker that dies (native code crashed, the system
ran out of memory) costs its own task only: a process is replaced and its task given up, Ray tries the task again. An
exception of the function ends the whole, and stops the other workers.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

RETRIES = 3  # of a task whose Ray worker died
PATIENCE = 10.0  # seconds for an idle process to end


@dataclass(frozen=True)
class Died:
    """In place of an answer: the worker died over the task."""

    reason: str


@dataclass(frozen=True)
class _Raised:
    """What a process sends in place of an exception, as not every exception can be pickled and read back."""

    message: str


def here(
    function: Callable[[Task], Answer], tasks: Iterable[Task]
) -> Generator[tuple[Task, Answer | Died], None, None]:
    """Run tasks one after another in this process."""
    for task in tasks:
        yield task, function(task)


def in_processes(
    function: Callable[[Task], Answer], tasks: Iterable[Task], workers: int
) -> Generator[tuple[Task, Answer | Died], None, None]:
    """Run tasks in fresh processes (spawned: nothing is inherited), `workers` at a time.

    Raises:
        RuntimeError: the function raised.
    """
    waiting = deque(tasks)
    every: list[_Process] = []  # Ctrl-C may come anywhere: one that is neither idle nor busy yet is ended, too
    idle: list[_Process] = []
    busy: dict[Connection, tuple[_Process, Task]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                task = waiting.popleft()
                process = idle.pop() if idle else _Process(function, every)
                if not process.take(task):  # it died while it was idle
                    process = _Process(function, every)
                    process.take(task)  # where this fails too, reading the answer says so
                busy[process.connection] = process, task
            for connection in wait(list(busy)):
                process, task = busy.pop(connection)  # type: ignore[call-overload]  # one of those it was given
                answer = process.answer()
                if isinstance(answer, _Raised):
                    raise RuntimeError(answer.message)
                if not isinstance(answer, Died):
                    idle.append(process)
                yield task, answer
    finally:
        for process in every:
            if process in idle:
                process.end()
            else:
                process.stop()


def on_ray(
    function: Callable[[Task], Answer], tasks: Iterable[Task], workers: int, cpus: int = 1, gpus: int = 0
) -> Generator[tuple[Task, Answer | Died], None, None]:
    """Run tasks on the Ray cluster that ``RAY_ADDRESS`` names, otherwise on one of this machine that is started for it.

    Args:
        function: importable on every machine of the cluster.
        tasks: name files by paths that mean the same on every machine.
        workers: tasks at a time on the cluster that is started here; another one runs as many as it can.
        cpus, gpus: what one task takes.

    Raises:
        ImportError: Ray is not installed.
        RuntimeError: the function raised.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise ImportError("Ray is not installed: pip install 'siamtrack[ray]'") from error
    started = not ray.is_initialized()
    if started:
        _start_ray(ray, workers * cpus)
    remote = ray.remote(function).options(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)
    waiting = deque(tasks)
    running: dict[Any, Task] = {}
    try:
        while waiting or running:
            at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus)  # machines may join; none waits
            while waiting and len(running) < at_once:
                task = waiting.popleft()
                running[remote.remote(task)] = task
            for reference in ray.wait(list(running), num_returns=1)[0]:
                yield running.pop(reference), _fetched(ray, reference)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()


def _start_ray(ray: Any, cpus: int) -> None:
    """Connect to the cluster that the environment names, or start one that reports to nobody."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    ray.init(**options)


def _fetched(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise RuntimeError(f"{type(error.cause).__name__}: {error.cause}") from error
    except ray.exceptions.RayError as error:
        return Died(f"its Ray worker died, as did {RETRIES} others: {str(error).splitlines()[0]}")


class _Process:
    """A process that answers tasks until its connection is closed; it enters a list before it starts."""

    def __init__(self, function: Callable[[Any], Any], every: list[_Process]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function))
        every.append(self)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the connection

    def take(self, task: Any) -> bool:
        """Send a task; False if the process died since its last one."""
        try:
            self.connection.send(task)
        except OSError:
            return False
        return True

    def answer(self) -> Any:
        """What became of the task."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.stop()
            return Died(f"its process ended with code {self._process.exitcode}")

    def end(self) -> None:
        """Let an idle process go."""
        self.connection.close()
        self._process.join(PATIENCE)
        self.stop()

    def stop(self) -> None:
        """End the process now; files are written in one step, so nothing is left by halves."""
        if self._process.pid is not None:  # it has started
            self._process.terminate()
            self._process.join()
        self.connection.close()


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent sees to it
    while True:
        try:
            task = connection.recv()
        except EOFError:  # the parent is done, or gone
            return
        try:
            answer = function(task)
        except Exception as error:
            answer = _Raised(f"{type(error).__name__}: {error}")
        try:
            connection.send(answer)
        except OSError:
            return
