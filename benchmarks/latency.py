"""How long one update takes, from a frame in memory to its result: trackers × runtimes × precisions × threads.

All of them live in one process and take turns over the same frames, A B A B, so that none has the quiet minutes for
itself and ratios hold on a machine that does other things, too. What the forward pass reaches of the machine's own
ceiling is in the same table.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.budget import Budget, measure_budget
from benchmarks.ceiling import BYTES, Ceiling, measure_ceiling, work_of
from benchmarks.clip import Clip
from benchmarks.soak import Soak, soak
from benchmarks.trackers import OurSpec, StillSpec, Tracker, TrackerSpec
from tracker import MultiTracker, SiamTracker
from tracker.network import find_weights, load_network
from tracker.processor import has_bf16

WARM_UP = 3  # updates after each start that do not count
ON_CPU = ["onnxruntime-int8", "openvino-int8", "openvino-bf16", "torch-bf16"]  # in this order, if they are there
ON_CPU += ["onnxruntime-fp32", "openvino-fp32", "torch-fp32"]
PEERS = ("opencv:nano", "opencv:vit", "opencv:csrt", "opencv:kcf")


@dataclass
class Entry:
    """One tracker as it takes part.

    Attributes:
        spec: which tracker.
        threads: of everything that it runs on.
        tracker: itself; `None` if it cannot be had here.
        failure: why not; empty if it can.
        rounds: the times of its updates in seconds, a list for each turn.
        budget: of one frame, if it is ours.
        gflop: 1e9 operations of its forward pass, if it is ours.
        reached: share of the machine's ceiling that its forward pass reaches, likewise.
    """

    spec: TrackerSpec
    threads: int
    tracker: Tracker | None = None
    failure: str = ""
    rounds: list[list[float]] = field(default_factory=list)
    budget: Budget | None = None
    gflop: float | None = None
    reached: float | None = None

    @property
    def runtime(self) -> str:
        """What runs the network; as it was asked for, if there is none."""
        return self.tracker.runtime if isinstance(self.tracker, SiamTracker) else _asked(self.spec)

    @property
    def precision(self) -> str:
        """Of the network, if the runtime says it."""
        runtime = self.tracker.model.runtime if isinstance(self.tracker, SiamTracker) else None
        return str(getattr(runtime, "precision", ""))

    @property
    def rate(self) -> float:
        """Frames a second: their number by the sum of their times, in the median turn."""
        return float(np.median([len(times) / sum(times) for times in self.rounds]))

    def percentile(self, share: float) -> float:
        """Milliseconds that `share` per cent of the updates stay below."""
        return 1e3 * float(np.percentile(np.concatenate(self.rounds), share))

    def ratio(self, other: Entry) -> float:
        """How many times as fast as another: the median over the turns, each by the other's turn beside it."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return float(np.median([len(a) / sum(a) * sum(b) / len(b) for a, b in pairs]))


@dataclass(frozen=True)
class Targets:
    """What many targets cost.

    Attributes:
        targets: how many.
        one_ms, all_ms: median time of an update of `MultiTracker` with one target and with all.
        ratio: the median over the turns of the quotient of their medians.
    """

    targets: int
    one_ms: float
    all_ms: float
    ratio: float


@dataclass(frozen=True)
class Speeds:
    """All that was measured.

    Attributes:
        entries: in the order they were asked for.
        ceilings: of the machine, by number of threads.
        clip: what was tracked.
        load: how many other processes wanted a processor when it began; `None` where the system does not say.
        soak, targets: if they were asked for; of the first entry that is ours.
    """

    entries: list[Entry]
    ceilings: dict[int, Ceiling]
    clip: Clip
    load: float | None
    soak: Soak | None = None
    targets: Targets | None = None

    @property
    def first(self) -> Entry | None:
        """The first of our trackers that runs."""
        return next((entry for entry in self.entries if isinstance(entry.tracker, SiamTracker)), None)


def default_runtimes(device: str = "cpu") -> list[str]:
    """The runtimes that are installed, each in every precision that this processor has."""
    if device.startswith("cuda"):
        return ["tensorrt-fp16", "torch-fp32"]
    names = [name for name in ON_CPU if importlib.util.find_spec(name.partition("-")[0])]
    return [name for name in names if "bf16" not in name or has_bf16()]


def default_threads() -> list[int]:
    """One and two, or one where there is one processor."""
    return [1, 2][: os.cpu_count() or 1]


def enter(
    trackers: Iterable[str], runtimes: Sequence[str], threads: Iterable[int], device: str = "cpu", **options: Any
) -> list[Entry]:
    """Load every tracker with every runtime, if it is ours and does not name its own, and every number of threads.

    Args:
        trackers: lines as `benchmarks.trackers` has them.
        runtimes: of ours.
        threads: numbers of them.
        device: of ours.
        options: more for `TrackerSpec.parse`.

    Raises:
        ValueError: a line that names no tracker.
    """
    entries, counts = [], list(threads)
    for text in trackers:
        ours = isinstance(TrackerSpec.parse(text), OurSpec) and ",runtime=" not in text
        for runtime in runtimes if ours else ["auto"]:
            for count in counts:
                spec = TrackerSpec.parse(text, runtime=runtime, device=device, threads=count, **options)
                entries.append(_loaded(Entry(spec, spec.threads or count)))
    return entries


def compare(
    entries: Sequence[Entry], clip: Clip, rounds: int, updates: int, seconds: float, say: Callable[[str], None]
) -> None:
    """Let all that run take turns; their times are added to them.

    Args:
        entries: see `enter`.
        clip: frames and box; every turn starts from its first frame.
        rounds: turns of each.
        updates: of a turn.
        seconds: after which a turn ends early, but not before two updates.
        say: told what is going on.
    """
    running = [entry for entry in entries if entry.tracker]
    for number in range(rounds):
        for entry in running:
            if entry.tracker is None:
                continue  # failed in a turn before
            say(f"round {number + 1} of {rounds}: {entry.spec.name} {entry.runtime} {entry.precision}")
            try:
                with threads_of(entry.threads):
                    entry.rounds.append(time_updates(entry.tracker, clip, updates, seconds))
            except (RuntimeError, ValueError, cv2.error) as error:
                entry.tracker, entry.failure = None, f"failed while tracking: {' '.join(str(error).split())}"


def time_updates(tracker: Tracker, clip: Clip, updates: int, seconds: float = float("inf")) -> list[float]:
    """Seconds of each update from the clip's first frame on, after some that do not count."""
    tracker.init(clip.frames[0], clip.box)
    frames, times, spent = clip.onwards(), [], 0.0
    for index in range(WARM_UP + updates):
        frame = next(frames)
        since = perf_counter()
        tracker.update(frame)
        if index >= WARM_UP:
            times.append(perf_counter() - since)
            spent += times[-1]
        if spent > seconds and len(times) > 1:
            break
    return times


def measure(
    entries: list[Entry],
    clip: Clip,
    rounds: int = 3,
    updates: int = 100,
    seconds: float = 5.0,
    soak_updates: int = 0,
    targets: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Speeds:
    """All of it: turns, budgets, the machine's ceiling before and after, and what else was asked for.

    Args:
        entries: see `enter`.
        clip: frames and box.
        rounds, updates, seconds: see `compare`.
        soak_updates: of a long run, see `benchmarks.soak`; 0: none.
        targets: of a `MultiTracker`, see `many_targets`; 0: none.
        say: told what is going on.
    """
    load = _load()
    ours = [entry for entry in entries if isinstance(entry.tracker, SiamTracker)]
    devices = {entry.threads: _device(entry) for entry in ours}
    say("what the machine can do")
    ceilings = {count: measure_ceiling(BYTES, count, device) for count, device in devices.items()}
    compare(entries, clip, rounds, updates, seconds, say)
    for entry in ours:
        if isinstance(entry.tracker, SiamTracker):
            say(f"budget: {entry.spec.name} {entry.runtime} {entry.precision}")
            with threads_of(entry.threads):
                entry.budget = measure_budget(entry.tracker, clip, min(updates, int(seconds * entry.rate) + 2))
    ceilings = {
        count: ceiling.best(measure_ceiling(BYTES, count, devices[count])) for count, ceiling in ceilings.items()
    }
    for entry in ours:
        _relate(entry, ceilings[entry.threads], clip)
    speeds = Speeds(entries, ceilings, clip, load)
    return _with_more(speeds, rounds, updates, soak_updates, targets, say)


def many_targets(tracker: SiamTracker, clip: Clip, count: int, rounds: int, updates: int) -> Targets:
    """`MultiTracker` with one target and with many, in turns.

    All of them are the same target, as what is seen has no say in the cost as long as it is seen.

    Args:
        tracker: whose model and configuration it is.
        clip: frames and box.
        count: of the many.
        rounds: turns of each.
        updates: of a turn.
    """
    times: dict[int, list[list[float]]] = {1: [], count: []}
    for _ in range(rounds):
        for number, turns in times.items():
            turns.append(time_updates(_Several(tracker, number), clip, updates))
    one, every = ([float(np.median(turn)) for turn in turns] for turns in (times[1], times[count]))
    ratio = float(np.median(np.divide(every, one)))
    return Targets(count, 1e3 * float(np.median(one)), 1e3 * float(np.median(every)), ratio)


class _Several:
    """`MultiTracker` behind `init` and `update`."""

    def __init__(self, tracker: SiamTracker, count: int) -> None:
        self._model, self._count = tracker.model, count
        self._config = {key: getattr(tracker.config, key) for key in vars(tracker.config)}

    def init(self, frame: Any, box: Any) -> None:
        self._tracker = MultiTracker(self._model, **self._config)
        for _ in range(self._count):
            self._tracker.add(frame, box)

    def update(self, frame: Any) -> Any:
        return self._tracker.update(frame)


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """OpenCV's and torch's threads, which are the whole process's, while it is one tracker's turn."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(count)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def _loaded(entry: Entry) -> Entry:
    try:
        with threads_of(entry.threads):
            entry.tracker = entry.spec.load()
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        entry.failure = " ".join(str(error).split())
    return entry


def _asked(spec: TrackerSpec) -> str:
    if isinstance(spec, OurSpec):
        return spec.runtime
    return "" if isinstance(spec, StillSpec) else spec.source.partition(":")[0]


def _device(entry: Entry) -> str:
    device = entry.spec.device
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _relate(entry: Entry, ceiling: Ceiling, clip: Clip) -> None:
    """Say what share of the ceiling the forward pass reaches."""
    if not isinstance(entry.tracker, SiamTracker) or entry.budget is None:
        return
    entry.tracker.init(clip.frames[0], clip.box)
    assert entry.tracker.target is not None
    crops, kernels = entry.tracker.search_crops(clip.frames[0]), entry.tracker.target.kernel
    work = work_of(load_network(find_weights(entry.spec.source)), crops, kernels, entry.precision)
    entry.gflop = work.gflop
    entry.reached = ceiling.reached(work, entry.precision, 1e-3 * entry.budget.forward)


def _with_more(
    speeds: Speeds, rounds: int, updates: int, soak_updates: int, targets: int, say: Callable[[str], None]
) -> Speeds:
    """The same with the long run and the many targets, of the first of our trackers."""
    entry, long_run, many = speeds.first, None, None
    if entry is None or not isinstance(entry.tracker, SiamTracker):
        return speeds
    with threads_of(entry.threads):
        if soak_updates:
            say(f"{soak_updates} updates")
            long_run = soak(entry.tracker, speeds.clip, soak_updates)
        if targets:
            say(f"{targets} targets")
            many = many_targets(entry.tracker, speeds.clip, targets, rounds, updates)
    return Speeds(speeds.entries, speeds.ceilings, speeds.clip, speeds.load, long_run, many)


def _load() -> float | None:
    """Processes of the last minute that ran or wanted to."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
