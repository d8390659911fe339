"""Run trackers on sequences and store what they say; scores are computed later, from the stored files only.

What `benchmarks.results` describes is written sequence by sequence, each when it is finished and in one step. Whatever
ends a run, the next one goes on with the sequences that are not stored, and its boxes are those of a run that nothing
ended.

In one process all trackers run on a sequence together and share its decoded frames; over several processes or machines
each task is one tracker on one sequence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from collections.abc import Sequence as ListOf
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2

from benchmarks.one_pass import Chance, Failure, one_pass, random_states, reason, set_random_states
from benchmarks.protocols import PROTOCOLS, variants
from benchmarks.provenance import commit, machine, settings_hash
from benchmarks.results import Run, claim, clean, is_stored, note, store
from benchmarks.sequence import Sequence
from benchmarks.trackers import Tracker, TrackerSpec, check_names
from benchmarks.workers import Died, here, in_processes, on_ray


@dataclass(frozen=True, eq=False)
class Task:
    """Trackers to run on one sequence.

    Attributes:
        specs: which trackers.
        settings: of each, as they were claimed.
        sequence: what to run them on.
        folder: of the benchmark's results.
    """

    specs: tuple[TrackerSpec, ...]
    settings: tuple[dict[str, Any], ...]
    sequence: Sequence
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        rates: tracker → updates a second of each run that was stored.
        failures: the others.
        facts: tracker → what else is worth a note: the machine it ran on, and what runs its network.
    """

    rates: dict[str, float]
    failures: tuple[Failure, ...]
    facts: dict[str, dict[str, str]]


def evaluate(
    specs: ListOf[TrackerSpec],
    sequences: Iterable[Sequence],
    folder: Path,
    protocol: str = "ope",
    workers: int = 1,
    ray: bool = False,
    announce: Callable[[str], None] = lambda message: None,
) -> list[Failure]:
    """Run every tracker on every sequence that its results folder does not hold yet.

    Args:
        specs: trackers with different names.
        sequences: what to run on.
        folder: of the benchmark's results: ``<results>/<benchmark.folder>``, for SRE and TRE another one.
        protocol: "ope", "sre" or "tre".
        workers: processes; with `ray`, of the cluster that is started here if ``RAY_ADDRESS`` names none.
        ray: on a Ray cluster; all paths must mean the same on each machine.
        announce: called with a line of text for what is stored already and for each task when it is finished.

    Returns:
        What failed; it is not stored, and tried again by the next call.

    Raises:
        ValueError, ImportError, OSError, RuntimeError: a tracker cannot be had, a folder holds results of other
            settings or other lengths, or results cannot be written.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    check_names(specs)
    folder = folder.absolute()
    settings = {spec.name: spec.settings() for spec in specs}
    for spec in specs:
        claim(folder / spec.name, settings[spec.name])
        clean(folder / spec.name)
        note(folder / spec.name, config=settings_hash(settings[spec.name]))
    every, failures = _variants(specs, sequences, protocol)
    tasks = plan(specs, settings, every, folder, apart=workers > 1 or ray)
    runs, waiting = len(specs) * len(every), sum(len(task.specs) for task in tasks)
    if waiting < runs:
        announce(f"{runs - waiting} of {runs} runs are stored already")
    for failure in failures:
        announce(str(failure))
    with closing(_execute(tasks, workers, ray)) as finished:
        for number, (task, outcome) in enumerate(finished, start=1):
            for name, facts in outcome.facts.items():
                note(folder / name, **facts, commit=commit() or "unknown")  # of what ran, not of who only looked
            failures += outcome.failures
            announce(f"[{number}/{len(tasks)}] {_line(task, outcome)}")
    return failures


def _variants(
    specs: ListOf[TrackerSpec], sequences: Iterable[Sequence], protocol: str
) -> tuple[list[Sequence], list[Failure]]:
    """What a protocol makes of the sequences; one whose first frame cannot be decoded fails, the others do not."""
    every: list[Sequence] = []
    failures: list[Failure] = []
    for sequence in sequences:
        try:
            every += variants(sequence, protocol)
        except ValueError as error:
            failures += [Failure(spec.name, sequence.name, 0, str(error)) for spec in specs]
    return every, failures


def _line(task: Task, outcome: Outcome) -> str:
    rates = ", ".join(f"{name} {rate:.1f} frames/s" for name, rate in outcome.rates.items())
    return f"{task.sequence.name}: {'; '.join([*filter(None, [rates]), *map(str, outcome.failures)])}"


def plan(
    specs: ListOf[TrackerSpec],
    settings: Mapping[str, dict[str, Any]],
    sequences: ListOf[Sequence],
    folder: Path,
    apart: bool,
) -> list[Task]:
    """What is not stored yet.

    Args:
        apart: a task for each tracker, the longest first, instead of one for all trackers on a sequence.

    Raises:
        ValueError: a stored run has another length than its sequence.
    """
    tasks = []
    for sequence in sequences:
        waiting = [spec for spec in specs if not is_stored(folder / spec.name, sequence.name, len(sequence))]
        for group in [[spec] for spec in waiting] if apart else [waiting] if waiting else []:
            tasks.append(Task(tuple(group), tuple(settings[spec.name] for spec in group), sequence, folder))
    return sorted(tasks, key=lambda task: -len(task.sequence)) if apart else tasks


def run_task(task: Task) -> Outcome:
    """Run a task in whatever process this is, and store what came of it.

    Raises:
        OSError: results cannot be written.
    """
    trackers: dict[str, Tracker] = {}
    failures: list[Failure] = []
    for spec, settings in zip(task.specs, task.settings, strict=True):
        try:
            _check_settings(spec, settings)
            trackers[spec.name] = _loaded(spec)
        except Exception as error:
            failures.append(Failure(spec.name, task.sequence.name, None, f"cannot be loaded: {reason(error)}"))
    if not trackers:
        return Outcome({}, tuple(failures), {})
    runs, failed = one_pass(trackers, task.sequence, {spec.name: spec.threads for spec in task.specs})
    for name, run in runs.items():
        store(task.folder / name, task.sequence.name, run)
    if failed:
        _loaded.cache_clear()  # who failed is not trusted with another sequence
    facts = {name: _facts(trackers[name], str(task.settings[0]["device"])) for name in runs}
    return Outcome({name: _rate(run) for name, run in runs.items()}, (*failures, *failed), facts)


def _execute(tasks: ListOf[Task], workers: int, ray: bool) -> Generator[tuple[Task, Outcome], None, None]:
    """Run tasks where they are to run; a task whose worker died has failed for its trackers."""
    finished: Generator[tuple[Task, Outcome | Died], None, None]
    if ray:
        cpus = max((spec.threads or 1 for task in tasks for spec in task.specs), default=1)
        gpus = int(any(str(each["device"]).startswith("cuda") for task in tasks for each in task.settings))
        finished = on_ray(run_task, tasks, workers, cpus, gpus)
    elif workers > 1:
        finished = in_processes(run_task, tasks, workers)
    else:
        finished = here(run_task, tasks)
    with _left_alone(), closing(finished):
        for task, outcome in finished:
            yield task, _given_up(task, outcome) if isinstance(outcome, Died) else outcome


@contextmanager
def _left_alone() -> Iterator[None]:
    """Afterwards this process has the threads and random numbers that it had before, and no tracker in memory."""
    torch = sys.modules.get("torch")
    states, threads, torch_threads = random_states(), cv2.getNumThreads(), torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        _loaded.cache_clear()
        set_random_states(states)
        cv2.setNumThreads(threads)
        if torch:
            torch.set_num_threads(torch_threads)


def _given_up(task: Task, died: Died) -> Outcome:
    failures = tuple(Failure(spec.name, task.sequence.name, None, died.reason) for spec in task.specs)
    return Outcome({}, failures, {})


@lru_cache(maxsize=16)
def _loaded(spec: TrackerSpec) -> Tracker:
    """A tracker that goes from sequence to sequence within a process."""
    with Chance():
        return spec.load()


def _facts(tracker: Tracker, device: str) -> dict[str, str]:
    runtime = getattr(tracker, "runtime", None)  # "auto" takes what is installed: say what it took
    return {"machine": machine(device)} | ({"runtime": runtime} if isinstance(runtime, str) else {})


def _check_settings(spec: TrackerSpec, claimed: Mapping[str, Any]) -> None:
    """Refuse to mix results: on another machine the same name may stand for other weights or versions."""
    found = spec.settings()
    if other := sorted(key for key in found.keys() | claimed.keys() if found.get(key) != claimed.get(key)):
        differences = ", ".join(f"{key} = {found.get(key)!r} instead of {claimed.get(key)!r}" for key in other)
        raise ValueError(f"here it has other settings than where the run was started: {differences}")


def _rate(run: Run) -> float:
    """Updates a second, or 0 where there were none."""
    assert run.seconds is not None
    total = float(run.seconds[1:].sum())
    return (len(run.seconds) - 1) / total if total else 0.0
