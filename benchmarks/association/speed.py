"""What association costs beside its peers, and how that grows: ours and theirs in processes that take turns.

Each runs in its own environment, pinned to one thread and one processor; seconds are processor time from arrays in
memory to identities, so reading files, and what else the machine does, are not in them. Ratios are medians over turns
side by side.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.association.files import length
from benchmarks.association.peers import PEERS, PYTHON, Peer, Worker, worker

OUR_WORKER = Path(__file__).with_name("our_worker.py")
WINDOW = 4.0  # seconds; the shortest that a longest gap of 2 s allows
OURS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "online": ("online", {}),
    "flow": ("flow", {}),
    "window": ("flow", {"window": WINDOW}),
}
TITLES = {"online": "online (ours)", "flow": "flow (ours)", "window": f"flow, window of {WINDOW:g} s (ours)"}
WEIGHTS = "association"
REFERENCE = "bytetrack"
SHORT, FEW = 300, 10  # frames of a crowd whose people grow in number, people of one that grows in length

Task = Callable[[], dict[str, Any]]


@dataclass
class Timing:
    """One tracker on one file.

    Attributes:
        title: for readers.
        seconds: of each turn.
        frames: of the file.
        peak_mib: most memory of its process; of ours only.
        start_mib: before it began.
    """

    title: str
    frames: int
    seconds: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    start_mib: float | None = None

    @property
    def rate(self) -> float:
        """Frames a second, in the median turn."""
        return self.frames / statistics.median(self.seconds)

    def ratio(self, other: Timing) -> float:
        """How many times as fast as another, the median over turns side by side."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def measure_speed(
    root: Path,
    sequence: str,
    ours: Sequence[str],
    peers: Sequence[str],
    rounds: int,
    python: Path = PYTHON,
    weights: str = WEIGHTS,
) -> dict[str, Timing]:
    """Time trackers on the detections of one sequence, in turns A B C A B C.

    Args:
        root: ``<sequence>/det/det.txt`` and ``seqinfo.ini``.
        sequence: name of its folder.
        ours: keys of `OURS`.
        peers: keys of `PEERS`.
        rounds: turns that count, after one that does not.
        python: interpreter of the peers' environment.
        weights: of ours.

    Raises:
        OSError, ValueError: files are missing or wrong.
        WorkerError: a tracker stopped, or an environment is not there.
    """
    frames = length(root, sequence)
    where = {"detections": str(root / sequence / "det" / "det.txt"), "frames": frames}
    timings = {name: Timing(TITLES[name], frames) for name in ours}
    timings |= {name: Timing(PEERS[name].title, frames) for name in peers}
    with contextlib.ExitStack() as stack:
        tasks: dict[str, Task] = {}
        for name in ours:  # a process each, so that each has its own peak of memory
            tasks[name] = partial(stack.enter_context(_our_worker()).ask, our_task(name, weights) | where)
        theirs = stack.enter_context(worker(python)) if peers else None
        for name in peers:
            assert theirs is not None
            tasks[name] = partial(theirs.ask, peer_task(PEERS[name]) | where)
        for turn in range(-1, rounds):
            for name, task in tasks.items():
                answer = task()
                if turn < 0:
                    timings[name].start_mib = answer.get("start_mib")
                else:
                    timings[name].seconds.append(answer["seconds"])
                    timings[name].peak_mib = answer.get("peak_mib")
    return timings


@dataclass(frozen=True)
class Point:
    """What one crowd cost one tracker.

    Attributes:
        tracker: key of `OURS`.
        people: in each frame.
        frames: of the crowd.
        seconds: of processor time.
        peak_mib: most memory of the process.
    """

    tracker: str
    people: int
    frames: int
    seconds: float
    peak_mib: float


def measure_growth(
    trackers: Sequence[str],
    people: Sequence[int],
    frames: Sequence[int],
    weights: str = WEIGHTS,
    known: Sequence[Point] = (),
) -> Iterator[Point]:
    """Cost of crowds: every number of people with every number of frames.

    Args:
        trackers: keys of `OURS`.
        people, frames: sizes and lengths.
        weights: of ours.
        known: what was measured before, which is given again.

    Raises:
        WorkerError: a tracker stopped.
    """
    before = {(point.tracker, point.people, point.frames): point for point in known}
    for name, count, duration in itertools.product(trackers, people, frames):
        if (name, count, duration) in before:
            yield before[name, count, duration]
            continue
        with _our_worker() as process:  # its own, for the peak of memory
            task = our_task(name, weights) | {"people": count, "seed": 0}
            process.ask(task | {"people": 4, "frames": 120})  # compiled and loaded
            answer = process.ask(task | {"frames": duration})
        yield Point(name, count, duration, answer["seconds"], answer["peak_mib"])


def doublings(points: Sequence[Point], by: str) -> dict[tuple[str, int], list[tuple[int, int, float]]]:
    """How cost grows from each point to the next one.

    Args:
        points: of several crowds.
        by: "people" or "frames", whichever grows.

    Returns:
        (tracker, the other number) → a list of (from, to, cost relative to the doublings between them): the factor that
        one doubling costs.
    """
    other = "frames" if by == "people" else "people"
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in sorted(points, key=lambda point: getattr(point, by)):
        groups.setdefault((point.tracker, getattr(point, other)), []).append(point)
    found = {}
    for key, line in groups.items():
        found[key] = [
            (a, b, float((q.seconds / p.seconds) ** (1 / math.log2(b / a))))
            for p, q in itertools.pairwise(line)
            for a, b in [(getattr(p, by), getattr(q, by))]
        ]
    return found


def our_task(name: str, weights: str = WEIGHTS) -> dict[str, Any]:
    """Of ours by its key, for ``our_worker.py``."""
    kind, settings = OURS[name]
    return {"tracker": kind, "settings": settings | {"name": weights}}


def peer_task(peer: Peer) -> dict[str, Any]:
    """Of a peer, for ``worker.py``."""
    return {"tracker": peer.kind, "settings": dict(peer.settings)}


@contextlib.contextmanager
def _our_worker() -> Iterator[Worker]:
    with worker(Path(sys.executable), OUR_WORKER) as process:
        yield process


def pin(cpu: int = 0) -> None:
    """Keep this process, and those that it starts, on one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {available[cpu % len(available)]})
