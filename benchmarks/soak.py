"""What a tracker does over many frames: how even its times are, and whether its memory, threads or files grow.

    python -m benchmarks.soak compact --frames 500000
    python -m benchmarks.soak compact,runtime=torch --frames 20000 --json

The frames are synthetic: a square goes to and fro before a blurred scene and is away for a while in each round, so that
losing it, looking for it over the whole frame and finding it again are part of the run. The tracker is told nothing
about it but the first box.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable
from collections.abc import Sequence as ListOf
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.clip import Clip
from benchmarks.overhead import synthetic
from benchmarks.trackers import Tracker, TrackerSpec
from tracker.arguments import positive
from tracker.result import TrackState

WARM_UP = 0.1  # share of the updates after which memory has to stay as it is
READINGS = 50  # of the memory
SIZE = (640, 360)  # of the synthetic frames
ROUND, AWAY = 129, range(40, 60)  # frames of a round, and those of them without the target


def main(argv: ListOf[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("tracker", nargs="?", default="compact", help="as in tools/evaluate.py (default: %(default)s)")
    add("--frames", type=positive, default=20_000, metavar="N", help="20 or more (default: %(default)s)")
    add("--threads", type=positive, default=1, metavar="N", help="CPU threads of the tracker (default: %(default)s)")
    add("--json", action="store_true", help="print JSON instead of words")
    options = parser.parse_args(argv)
    if options.frames < 20:
        parser.error("argument --frames: 20 or more, or the percentiles say nothing")
    try:
        tracker = TrackerSpec.parse(options.tracker, threads=options.threads).load()
        found = soak(tracker, going_and_coming(), options.frames)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"soak: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(found)) if options.json else in_words(found))
    return 0


def going_and_coming() -> Clip:
    """The synthetic frames of one round, in which the square is away in those of `AWAY`."""
    frames = list(synthetic(SIZE, ROUND))
    side, shown = min(SIZE) // 4, (40, 200, 120)
    for index in AWAY:
        square = (frames[index] == shown).all(axis=2)
        frames[index][square] = np.roll(frames[index], 2 * side, axis=1)[square]  # scenery from beside it
    return Clip(frames, (side + 64.0, float(side), float(side), float(side)))


@dataclass(frozen=True)
class Soak:
    """One long run.

    Attributes:
        updates: how many.
        p50_ms, p99_ms: percentiles of their times.
        jitter_ms: p99 − p50 of an empty loop about as long as an update, which took turns with them.
        growth_mib: resident memory at the end, less that after the first tenth; `None` where it cannot be read.
        spread_mib: largest less smallest resident memory after the first tenth.
        drift: median time of the last tenth of the updates over that of the second tenth, each over the empty loop's,
            so that a machine that became slower is not the tracker's fault; 1 at best.
        threads, handles: (least, most) after the first tenth: threads of the process, as the system counts them where
            it tells, and open files; `None` where they cannot be read.
        lost: share of the updates in which the target was LOST.
        seconds: the whole run, the empty loops with it.
    """

    updates: int
    p50_ms: float
    p99_ms: float
    jitter_ms: float
    growth_mib: float | None
    spread_mib: float | None
    drift: float = 1.0
    threads: tuple[int, int] | None = None
    handles: tuple[int, int] | None = None
    lost: float = 0.0
    seconds: float = 0.0

    @property
    def evenness(self) -> float:
        """p99 / p50, the jitter of the empty loop taken off: what the tracker itself is to blame for; 1 at best."""
        return max(self.p99_ms - self.jitter_ms, self.p50_ms) / self.p50_ms


def soak(tracker: Tracker, clip: Clip, updates: int, resident: Callable[[], float | None] | None = None) -> Soak:
    """Update many times, each followed by an empty loop.

    Args:
        tracker: started anew.
        clip: frames and box.
        updates: 20 or more, or the percentiles say nothing.
        resident: MiB of this process; read from the system if not given.
    """
    resident = resident or resident_mib
    tracker.init(clip.frames[0], clip.box)
    frames = clip.onwards()
    first = [_seconds(lambda: tracker.update(next(frames))) for _ in range(min(updates, 10))]
    steps = _steps_in(float(np.median(first)))
    times = np.ones((updates, 2))  # ones are memory that is there from the start; zeros would come page by page
    memory: list[float | None] = []
    threads: list[int | None] = []
    handles: list[int | None] = []
    lost, began = 0, perf_counter()
    for index in range(updates):
        since = perf_counter()
        lost += tracker.update(next(frames)).state is TrackState.LOST
        times[index] = perf_counter() - since, _seconds(lambda: _empty(steps))
        if index == updates - 1 or (index >= WARM_UP * updates and index % max(updates // READINGS, 1) == 0):
            memory.append(resident())
            threads.append(running_threads())
            handles.append(open_handles())
    p50, p99 = 1e3 * np.percentile(times[:, 0], [50, 99])
    low, high = 1e3 * np.percentile(times[:, 1], [50, 99])
    known = [value for value in memory if value is not None]
    growth, spread = (known[-1] - known[0], max(known) - min(known)) if known else (None, None)
    return Soak(
        updates,
        float(p50),
        float(p99),
        float(high - low),
        growth,
        spread,
        drift_of(times),
        _range(threads),
        _range(handles),
        lost / updates,
        perf_counter() - began,
    )


def drift_of(times: NDArray[np.float64]) -> float:
    """The last tenth of the updates over the second, see `Soak.drift`.

    Args:
        times: (updates, 2) seconds of each update and of the empty loop after it.
    """
    tenth = max(len(times) // 10, 1)
    second, last = (np.median(part, axis=0) for part in (times[tenth : 2 * tenth], times[-tenth:]))
    return float((last[0] / last[1]) / (second[0] / second[1]))


def in_words(found: Soak) -> str:
    """The figures, one a line."""

    def span(numbers: tuple[int, int] | None) -> str:
        return "unknown" if numbers is None else f"{numbers[0]} to {numbers[1]}"

    memory = "unknown"
    if found.growth_mib is not None and found.spread_mib is not None:
        memory = f"{found.growth_mib:+.2f} MiB after the first tenth, all within {found.spread_mib:.2f} MiB"
    return "\n".join(
        [
            f"updates       {found.updates} in {found.seconds:.0f} s, {100 * found.lost:.1f} % of them LOST",
            f"time          p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms ({found.jitter_ms:.2f} ms of it the "
            "machine's)",
            f"drift         {found.drift:.3f} × from the second tenth to the last",
            f"memory        {memory}",
            f"threads       {span(found.threads)}",
            f"open files    {span(found.handles)}",
        ]
    )


def running_threads() -> int:
    """Threads of this process: the system's count, or Python's own where that is all there is."""
    return _entries("/proc/self/task") or threading.active_count()


def open_handles() -> int | None:
    """Files, sockets and pipes that this process holds open, where the system tells."""
    return _entries("/proc/self/fd")


def resident_mib() -> float | None:
    """Memory of this process in MiB, where the system has /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _entries(folder: str) -> int | None:
    try:
        return len(os.listdir(folder))
    except OSError:
        return None


def _range(numbers: ListOf[int | None]) -> tuple[int, int] | None:
    known = [number for number in numbers if number is not None]
    return (min(known), max(known)) if known else None


def _seconds(work: Callable[[], object]) -> float:
    since = perf_counter()
    work()
    return perf_counter() - since


def _empty(steps: int) -> None:
    for _ in range(steps):
        pass


def _steps_in(seconds: float) -> int:
    """Steps of an empty loop that take about so long."""
    trial = 100_000
    return max(int(trial * seconds / min(_seconds(lambda: _empty(trial)) for _ in range(5))), 1)


if __name__ == "__main__":
    sys.exit(main())
