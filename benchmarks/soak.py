"""What a tracker does over many frames: how even its times are, and whether its memory grows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.clip import Clip
from benchmarks.trackers import Tracker

WARM_UP = 0.1  # share of the updates after which memory has to stay as it is
READINGS = 50  # of the memory


@dataclass(frozen=True)
class Soak:
    """One long run.

    Attributes:
        updates: how many.
        p50_ms, p99_ms: percentiles of their times.
        jitter_ms: p99 − p50 of an empty loop about as long as an update, which took turns with them.
        growth_mib: resident memory at the end, less that after the first tenth; `None` where it cannot be read.
        spread_mib: largest less smallest resident memory after the first tenth.
    """

    updates: int
    p50_ms: float
    p99_ms: float
    jitter_ms: float
    growth_mib: float | None
    spread_mib: float | None

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
    for index in range(updates):
        times[index] = _seconds(lambda: tracker.update(next(frames))), _seconds(lambda: _empty(steps))
        if index == updates - 1 or (index >= WARM_UP * updates and index % max(updates // READINGS, 1) == 0):
            memory.append(resident())
    p50, p99 = 1e3 * np.percentile(times[:, 0], [50, 99])
    low, high = 1e3 * np.percentile(times[:, 1], [50, 99])
    known = [value for value in memory if value is not None]
    growth, spread = (known[-1] - known[0], max(known) - min(known)) if known else (None, None)
    return Soak(updates, float(p50), float(p99), float(high - low), growth, spread)


def resident_mib() -> float | None:
    """Memory of this process in MiB, where the system has /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


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
