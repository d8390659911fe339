"""The same as ``worker.py`` for this project: one task a line, one answer a line.

``{"tracker": "online" | "flow" | "window", "settings": {…}, "detections": "det.txt", "frames": 524}`` tracks a file and
``{…, "people": 20, "frames": 1000, "seed": 0}`` a made-up crowd. Answers have ``seconds`` of processor time, and
``peak_mib`` and ``start_mib``, the most memory that this process ever took and what it took before the task. For
``window`` the settings have the window's length in seconds.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.association.crowd import RATE, Crowd
from tracker.association import Detections, FlowAssociator, OnlineAssociator, read_detections, read_frame_rate

PAGE = os.sysconf("SC_PAGE_SIZE")


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task; see the module."""
    settings = dict(task.get("settings", {}))
    if "people" in task:
        frames: Iterable[Detections] = _Generated(Crowd(task["people"], task["frames"], task.get("seed", 0)))
        rate = RATE
    else:
        path = Path(task["detections"])
        stored = read_detections(path)
        frames = [stored.get(frame, Detections(frame, np.empty((0, 4)))) for frame in range(task["frames"])]
        rate = read_frame_rate(path.parent.parent / "seqinfo.ini")
    start = _resident()
    seconds, boxes = (_online if task["tracker"] == "online" else _flow)(frames, rate, settings)
    return {
        "seconds": seconds,
        "frames": task["frames"],
        "boxes": boxes,
        "start_mib": start,
        # the kernel counts the two a little apart
        "peak_mib": max(start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


class _Generated:
    """Frames of a crowd, made as they are asked for, with the time that it takes put aside."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Detections]:
        frames = iter(self._crowd)
        while True:
            begin = time.process_time()
            try:
                detections, _ = next(frames)
            except StopIteration:
                return
            finally:
                self.seconds += time.process_time() - begin
            yield detections


def _online(frames: Iterable[Detections], rate: float, settings: dict[str, Any]) -> tuple[float, int]:
    associator = OnlineAssociator.from_pretrained(frame_rate=rate, **settings)
    begin = time.process_time()
    boxes = sum(int(np.count_nonzero(associator.update(detections) >= 0)) for detections in frames)
    return time.process_time() - begin - getattr(frames, "seconds", 0.0), boxes


def _flow(frames: Iterable[Detections], rate: float, settings: dict[str, Any]) -> tuple[float, int]:
    """Graph, solution and filled gaps of everything at once, or of a window that moves."""
    associator = FlowAssociator.from_pretrained(frame_rate=rate, **settings)
    begin = time.process_time()
    if associator.window is None:
        boxes = sum(map(len, associator.run({detections.frame: detections for detections in frames})))
    else:
        boxes = sum(int(np.count_nonzero(ids >= 0)) for _, ids in associator.stream(frames))
    return time.process_time() - begin - getattr(frames, "seconds", 0.0), boxes


def _resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        try:
            answer = run(json.loads(line))
        except (OSError, ValueError, RuntimeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
