"""One-pass evaluation: start a tracker on the first frame's ground truth, let it run, store what it says.

A results folder has one folder a tracker, readable by the tools of OTB and got10k::

    <results>/<tracker>/<sequence>.txt               x,y,w,h for each frame, 1-based; the first row is the ground truth
    <results>/<tracker>/times/<sequence>_time.txt    seconds for each frame, decoding excluded; the first row is init
    <results>/<tracker>/states/<sequence>.csv        frame,score,state
    <results>/<tracker>/settings.json                what the numbers depend on

A sequence is stored when it is finished, its boxes last and in one step, so that a run that was interrupted goes on
where it stopped. Scores are computed from the stored files only, by `benchmarks.report`.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Sequence
from tracker.box import from_otb, to_otb
from tracker.result import Box, TrackResult, TrackState

Floats = NDArray[np.float64]
Image = NDArray[np.uint8]
T = TypeVar("T")

FRAMES_IN_MEMORY = 100  # decoded once, then handed to each tracker in turn: 90 MB at 640×480


class Tracker(Protocol):
    """What every tracker here does; `tracker.SiamTracker` and `benchmarks.peers` are two."""

    def init(self, frame: Image, box: Box) -> object:
        """Start to follow what `box` encloses in `frame`."""

    def update(self, frame: Image) -> TrackResult:
        """Find it in the next frame."""


@dataclass(frozen=True, eq=False)
class Run:
    """What one tracker said on one sequence of N frames.

    Attributes:
        boxes: (N, 4) boxes, 0-based pixels; the first is the ground truth.
        seconds: (N,) time for each frame; the first is `init`.
        scores: (N,) the tracker's own confidence.
        states: N names of `tracker.TrackState`.
    """

    boxes: Floats
    seconds: Floats
    scores: Floats
    states: list[str]


@dataclass(frozen=True)
class Speed:
    """Time for an update, `init` and decoding excluded.

    Attributes:
        fps: updates a second, N/Σt: the rate a user sees, unlike the mean of 1/t.
        p50_ms, p95_ms: percentiles of the time for one update in milliseconds.
    """

    fps: float
    p50_ms: float
    p95_ms: float


def speed(seconds: Floats) -> Speed:
    """Summarise the times of single updates, (N,) seconds.

    Raises:
        ValueError: no updates.
    """
    if not len(seconds):
        raise ValueError("no updates to measure: every sequence has a single frame")
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return Speed(fps=float(len(seconds) / np.sum(seconds)), p50_ms=float(p50), p95_ms=float(p95))


def one_pass(trackers: Mapping[str, Tracker], sequence: Sequence) -> dict[str, Run]:
    """Run trackers through a sequence, decoding each frame once.

    The trackers take turns over stretches of `FRAMES_IN_MEMORY` frames: memory stays bounded and each one runs with
    warm caches, as it would alone.

    Raises:
        ValueError: the sequence cannot be decoded to its end.
    """
    start = as_box(sequence.boxes[0])
    steps: dict[str, list[tuple[TrackResult, float]]] = {name: [] for name in trackers}
    for stretch in _stretches(sequence.frames(), FRAMES_IN_MEMORY):
        for name, tracker in trackers.items():
            for frame in stretch:
                steps[name].append(_update(tracker, frame) if steps[name] else _init(tracker, frame, start))
    return {name: _run(taken) for name, taken in steps.items()}


def evaluate(
    trackers: Mapping[str, Tracker],
    sequences: Iterable[Sequence],
    results: Path,
    announce: Callable[[str], None] = lambda message: None,
) -> None:
    """Run every tracker on every sequence that its results folder does not hold yet.

    Args:
        trackers: name of the results folder → tracker.
        sequences: what to run on.
        results: folder of the results.
        announce: called with a line of text for each sequence.

    Raises:
        ValueError: a sequence cannot be decoded, or a stored result does not belong to its sequence.
    """
    for sequence in sequences:
        waiting = {name: tracker for name, tracker in trackers.items() if not is_stored(results / name, sequence)}
        if not waiting:
            announce(f"{sequence.name}: stored")
            continue
        for name, run in one_pass(waiting, sequence).items():
            store(results / name, sequence.name, run)
        announce(f"{sequence.name}: {len(sequence)} frames, {', '.join(waiting)}")


def is_stored(folder: Path, sequence: Sequence) -> bool:
    """Whether a tracker's results folder holds this sequence.

    Raises:
        ValueError: it holds a run of another length.
    """
    path = folder / f"{sequence.name}.txt"
    if not path.exists():
        return False
    rows = len(path.read_text().splitlines())
    if rows != len(sequence):
        raise ValueError(f"{path} has {rows} rows for {len(sequence)} frames; remove it or choose another folder")
    return True


def store(folder: Path, name: str, run: Run) -> None:
    """Write one run; the boxes come last, since they say that the run is complete."""
    states = io.StringIO()
    writer = csv.writer(states, lineterminator="\n")
    writer.writerow(["frame", "score", "state"])
    for frame, (score, state) in enumerate(zip(run.scores, run.states, strict=True)):
        writer.writerow([frame, f"{score:.4f}", state])
    _replace(folder / "states" / f"{name}.csv", states.getvalue())
    _replace(folder / "times" / f"{name}_time.txt", "".join(f"{seconds:.8f}\n" for seconds in run.seconds))
    lines = (",".join(f"{value:.3f}" for value in box) for box in to_otb(run.boxes))
    _replace(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))


def load(folder: Path, name: str) -> Run:
    """Read one run back.

    Raises:
        FileNotFoundError: it was not stored.
    """
    boxes = from_otb(np.loadtxt(folder / f"{name}.txt", delimiter=",", ndmin=2))
    seconds = np.loadtxt(folder / "times" / f"{name}_time.txt", ndmin=1)
    with open(folder / "states" / f"{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return Run(boxes, seconds, np.array([float(row["score"]) for row in rows]), [row["state"] for row in rows])


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write down what a tracker's results depend on, or check that the stored ones depend on the same.

    Raises:
        ValueError: the folder holds results of other settings; the message names them.
    """
    path = folder / "settings.json"
    wanted = json.loads(json.dumps(settings))  # as it will be read back
    if not path.exists():
        _replace(path, json.dumps(wanted, indent=1) + "\n")
        return
    stored = json.loads(path.read_text())
    other = sorted(key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key))
    if other:
        found = ", ".join(f"{key} = {stored.get(key)!r}, now {wanted.get(key)!r}" for key in other)
        raise ValueError(f"{folder} holds results of other settings ({found}); choose another --results")


def as_box(row: Floats) -> Box:
    """(4,) array → four Python floats."""
    x, y, w, h = row.tolist()
    return x, y, w, h


def _init(tracker: Tracker, frame: Image, box: Box) -> tuple[TrackResult, float]:
    begin = perf_counter()
    tracker.init(frame, box)
    seconds = perf_counter() - begin
    return TrackResult(box, 1.0, TrackState.TRACKING), seconds


def _update(tracker: Tracker, frame: Image) -> tuple[TrackResult, float]:
    begin = perf_counter()
    result = tracker.update(frame)  # a box on the host: work queued on a device is finished by then
    return result, perf_counter() - begin


def _run(steps: list[tuple[TrackResult, float]]) -> Run:
    return Run(
        boxes=np.array([result.box for result, _ in steps]),
        seconds=np.array([seconds for _, seconds in steps]),
        scores=np.array([result.score for result, _ in steps]),
        states=[result.state.value for result, _ in steps],
    )


def _stretches(items: Iterator[T], length: int) -> Iterator[list[T]]:
    while stretch := list(islice(items, length)):
        yield stretch


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: it is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)
