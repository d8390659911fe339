"""Runs one tracker of others over one file of detections at a time, in an environment where that tracker is installed.

A script of its own: it imports nothing of the project, so that an environment needs the peers and numpy only.

    .venv-mot/bin/python -I benchmarks/association/worker.py

It reads one JSON object a line and answers with one. ``{"tracker": "boxmot", "settings": {…}, "detections": "det.txt",
"frames": 795, "output": "tracks.txt"}`` is answered by ``{"seconds": …, "frames": …, "boxes": …, "dropped": …,
"versions": {…}}``, or by ``{"error": …}``. Without ``output`` nothing is written. Seconds are those that the tracker
spends, from arrays in memory to arrays in memory, as processor time of this process, so that other work on the machine
does not count; reading, writing and building the tracker are not in them.

Only boxes with finite coordinates and a positive width and height are handed on: norfair and boxmot stop at others.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

# (N, 4) left, top, right, bottom and (N,) scores of a frame → (M, 4) boxes, (M,) ids, (M,) scores
Step = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
NOTHING = np.empty((0, 4)), np.empty(0, np.int64), np.empty(0)


def sort(settings: dict[str, Any]) -> Step:
    """SORT as its author published it."""
    from sort_tracker import Sort  # type: ignore[import-not-found]
    from sort_tracker.sort import KalmanBoxTracker  # type: ignore[import-not-found]

    KalmanBoxTracker.count = 0  # ids go on from one object to the next otherwise
    tracker = Sort(**settings)

    def step(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = np.reshape(tracker.update(np.column_stack([boxes, scores])), (-1, 6))
        return found[:, :4], found[:, 5].astype(np.int64), found[:, 4]

    return step


def boxmot(settings: dict[str, Any]) -> Step:
    """A tracker of boxmot by the name of its class; those that are asked for here do not look at images."""
    import logging

    import boxmot as package  # type: ignore[import-not-found]

    logging.disable(logging.INFO)
    settings = dict(settings)
    tracker = getattr(package, settings.pop("name"))(**settings)

    def step(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = np.reshape(tracker.update(np.column_stack([boxes, scores, np.zeros(len(scores))])), (-1, 8))
        return found[:, :4], found[:, 4].astype(np.int64) + 1, found[:, 5]

    return step


def roboflow(settings: dict[str, Any]) -> Step:
    """A tracker of roboflow's `trackers` by the name of its class; what has no identity yet is left out."""
    import supervision
    import trackers  # type: ignore[import-not-found]

    settings = dict(settings)
    tracker = getattr(trackers, settings.pop("name"))(**settings)

    def step(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        classes = np.zeros(len(boxes), np.int64)
        found = tracker.update(supervision.Detections(xyxy=boxes, confidence=scores, class_id=classes))
        if found.tracker_id is None or not len(found):
            return NOTHING
        known = found.tracker_id >= 0
        return found.xyxy[known], found.tracker_id[known].astype(np.int64) + 1, found.confidence[known]

    return step


def norfair(settings: dict[str, Any]) -> Step:
    """norfair on two corners; objects that are only predicted in a frame are left out, as many are false alarms."""
    from norfair import Detection, Tracker  # type: ignore[import-not-found]

    tracker = Tracker(**settings)
    frame = 0

    def step(boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nonlocal frame
        frame += 1
        detections = [
            Detection(box.reshape(2, 2), np.full(2, score), (frame, score))
            for box, score in zip(boxes, scores, strict=True)
        ]
        seen = [thing for thing in tracker.update(detections) if thing.last_detection.data[0] == frame]
        if not seen:
            return NOTHING
        found = np.stack([thing.last_detection.points.ravel() for thing in seen])
        return found, np.array([thing.id for thing in seen]), np.array([thing.last_detection.data[1] for thing in seen])

    return step


KINDS = {"sort": sort, "boxmot": boxmot, "roboflow": roboflow, "norfair": norfair}
DISTRIBUTIONS = ("sort-tracker-py", "boxmot", "trackers", "supervision", "norfair", "filterpy", "numpy", "scipy", "lap")


def read_detections(path: str, frames: int) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Boxes ``(left, top, right, bottom)`` and scores of each frame, and how many boxes were left out.

    Args:
        path: MOTChallenge text.
        frames: of the sequence.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a table of numbers.
    """
    rows = np.loadtxt(path, delimiter=",", ndmin=2).reshape(-1, 10)[:, :7]
    good = np.isfinite(rows).all(1) & (rows[:, 4:6] > 0).all(1)
    rows = rows[good]
    frame = rows[:, 0].astype(np.int64)
    rows, frame = rows[np.argsort(frame, kind="stable")], np.sort(frame)
    parts = np.split(rows, np.searchsorted(frame, np.arange(2, frames + 1)))
    boxes = [np.column_stack([part[:, 2:4], part[:, 2:4] + part[:, 4:6]]) for part in parts]
    return boxes, [part[:, 6].copy() for part in parts], int(np.count_nonzero(~good))


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task; see the module."""
    boxes, scores, dropped = read_detections(task["detections"], task["frames"])
    step = KINDS[task["tracker"]](task["settings"])
    begin = time.process_time()
    found = [step(box, score) for box, score in zip(boxes, scores, strict=True)]
    seconds = time.process_time() - begin
    if task.get("output"):
        write(Path(task["output"]), found)
    return {
        "seconds": seconds,
        "frames": len(boxes),
        "boxes": sum(len(ids) for _, ids, _ in found),
        "dropped": dropped,
        "versions": versions(),
    }


def write(path: Path, found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """MOTChallenge text, complete or not at all."""
    lines = []
    for frame, (boxes, ids, scores) in enumerate(found, 1):
        for (left, top, right, bottom), id, score in zip(boxes, ids, scores, strict=True):
            lines.append(
                f"{frame},{id},{left:.3f},{top:.3f},{right - left:.3f},{bottom - top:.3f},{score:.6f},-1,-1,-1\n"
            )
    part = path.with_suffix(".part")
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(path)


def versions() -> dict[str, str]:
    """What of the peers is installed, and what they compute with."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Answer until the input ends. What peers print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = run(json.loads(line))
        except Exception as error:  # a peer may raise anything
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
