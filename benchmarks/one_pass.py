"""One pass of trackers over a sequence: decode each frame once, time each tracker alone.

Frames are decoded by a thread ahead of the trackers, which take turns over stretches of them, so that each runs with
warm caches. Every tracker starts the sequence with the same random numbers, and its own: what ran before or runs beside
it changes nothing of what it says.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
import threading
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Run
from benchmarks.sequence import Sequence
from benchmarks.trackers import Tracker
from tracker.result import TrackResult, TrackState

Image = NDArray[np.uint8]

AHEAD = 4  # frames decoded before they are asked for; more than the cache holds make decoding itself slower
YIELDING = 10  # by how much decoding is nicer than tracking
STRETCH = 64 * 2**20  # bytes of frames that trackers take turns over: 70 frames of 640×480, 24 of 1280×720
SEED = 0


@dataclass(frozen=True)
class Failure:
    """A tracker did not get through a sequence.

    Attributes:
        tracker, sequence: names.
        frame: in which frame, 0-based; ``None`` if in none.
        reason: what happened.
    """

    tracker: str
    sequence: str
    frame: int | None
    reason: str

    def __str__(self) -> str:
        where = "" if self.frame is None else f", frame {self.frame}"
        return f"{self.tracker} failed on {self.sequence}{where}: {self.reason}"


def one_pass(
    trackers: Mapping[str, Tracker], sequence: Sequence, threads: Mapping[str, int | None] | None = None
) -> tuple[dict[str, Run], list[Failure]]:
    """Run trackers through a sequence, decoding each frame once.

    A tracker that fails leaves the others alone; frames that cannot be decoded fail all.

    Args:
        trackers: by name.
        sequence: what to run them on.
        threads: of each tracker, set for the whole process; ``None`` leaves the number alone.

    Returns:
        The runs that came to the end, and what happened to the others.
    """
    passes = [_Pass(name, tracker, sequence, (threads or {}).get(name)) for name, tracker in trackers.items()]
    frames = read_ahead(sequence.frames)
    turns: Iterable[Iterable[Image]] = [frames] if len(passes) == 1 else stretches(frames, STRETCH)
    try:
        for turn in turns:
            for each in passes:
                each.follow(turn)
            if all(each.failure for each in passes):
                break
    except Exception as error:  # of decoding: a tracker's own ends its pass and no other
        for each in passes:
            each.fail(None, f"its frames cannot be decoded: {error}")
    finally:
        frames.close()
    for each in passes:
        if len(each.results) != len(sequence):
            each.fail(None, f"expected {len(sequence)} frames, found {len(each.results)}")
    failures = [each.failure for each in passes if each.failure]
    return {each.name: each.run() for each in passes if not each.failure}, failures


def read_ahead(frames: Iterable[Image], depth: int = AHEAD) -> Generator[Image, None, None]:
    """The same frames, decoded by a thread, `depth` of them before they are asked for."""
    decoder = iter(frames)
    with ThreadPoolExecutor(1, initializer=_give_way) as thread:
        ahead: deque[Future[Image | None]] = deque(thread.submit(next, decoder, None) for _ in range(depth))
        try:
            while (frame := ahead.popleft().result()) is not None:
                ahead.append(thread.submit(next, decoder, None))
                yield frame
        finally:
            for future in ahead:
                future.cancel()


def _give_way() -> None:
    """Let trackers have the processor first, where threads have priorities: decoding would slow them down otherwise."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(os.nice(0) + YIELDING, 19))


def stretches(frames: Iterator[Image], size: int) -> Iterator[list[Image]]:
    """Frames in lists of about `size` bytes, of one frame at least."""
    for first in frames:
        yield [first, *islice(frames, size // max(first.nbytes, 1))]


class Chance:
    """Random numbers of one tracker in one sequence: seeded when it starts, kept while others take turns.

    Of generators whose state cannot be read (OpenCV's, and the C library's, which OpenCV's MIL uses) only the seed is
    set.
    """

    def __init__(self) -> None:
        self._states: tuple[Any, ...] | None = None

    def __enter__(self) -> None:
        if self._states is None:
            seed()
        else:
            set_random_states(self._states)

    def __exit__(self, *_: object) -> None:
        self._states = random_states()


@dataclass
class _Pass:
    """One tracker on its way through a sequence."""

    name: str
    tracker: Tracker
    sequence: Sequence
    threads: int | None
    failure: Failure | None = None
    results: list[TrackResult] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    chance: Chance = field(default_factory=Chance)

    def follow(self, frames: Iterable[Image]) -> None:
        """Go on over some frames, unless the tracker has failed."""
        if self.failure:
            return
        _use_threads(self.threads)
        with self.chance:
            for frame in frames:
                try:
                    self._step(frame)
                except Exception as error:
                    return self.fail(len(self.results), reason(error))

    def fail(self, frame: int | None, why: str) -> None:
        """Note what happened, if it is the first thing that did."""
        self.failure = self.failure or Failure(self.name, self.sequence.name, frame, why)

    def _step(self, frame: Image) -> None:
        begin = perf_counter()
        if self.results:
            result = self.tracker.update(frame)  # a box on the host: work queued on a device is finished by then
            seconds = perf_counter() - begin
        else:
            started = self.tracker.init(frame, self.sequence.first_box)
            seconds = perf_counter() - begin
            elapsed = started.elapsed if isinstance(started, TrackResult) else 0.0
            result = TrackResult(self.sequence.first_box, 1.0, TrackState.TRACKING, elapsed)
        self.seconds.append(result.elapsed or seconds)
        self.results.append(result)

    def run(self) -> Run:
        """What the tracker said."""
        return Run(
            boxes=np.array([result.box for result in self.results]),
            seconds=np.array(self.seconds),
            scores=np.array([result.score for result in self.results]),
            states=[result.state.value for result in self.results],
        )


def seed() -> None:
    """Start every random number generator that a tracker may use from the same place."""
    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  # trackers that are not ours use it
    cv2.setRNGSeed(SEED)
    ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).srand(SEED)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(SEED)


def random_states() -> tuple[Any, ...]:
    """Where the generators of Python, numpy and torch are."""
    torch = sys.modules.get("torch")
    return random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None  # noqa: NPY002


def set_random_states(states: tuple[Any, ...]) -> None:
    """Put the generators back where they were."""
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    if states[2] is not None:
        sys.modules["torch"].set_rng_state(states[2])


def _use_threads(threads: int | None) -> None:
    if threads is None:
        return
    cv2.setNumThreads(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def reason(error: Exception) -> str:
    """An exception in one line, with the place that it was raised at."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})"
