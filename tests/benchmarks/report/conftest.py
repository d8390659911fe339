"""Small scored benchmarks whose numbers follow from how far each tracker's boxes are off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pytest

from benchmarks.frames import Image
from benchmarks.metrics import Speed
from benchmarks.report import Report, build_report
from benchmarks.results import Run
from benchmarks.score import TrackerScore, score_runs
from benchmarks.sequence import Sequence

SIZE = (96, 64)  # of the images


@dataclass(frozen=True)
class Drawn:
    """`count` grey frames from `start` on, with a bright target, 20 × 20 at (30 + frame, 20)."""

    count: int
    start: int = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Image]:
        return (self.at(index) for index in range(self.count))

    def at(self, index: int) -> Image:
        image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        image[20:40, 30 + self.start + index : 50 + self.start + index] = 200
        return image

    def part(self, start: int, stop: int) -> Drawn:
        return Drawn(min(stop, self.count) - start, self.start + start)


def footage(name: str, frames: int = 20, attributes: str = "") -> Sequence:
    boxes = np.array([(30.0 + index, 20.0, 20.0, 20.0) for index in range(frames)])
    return Sequence(name, boxes, Drawn(frames), attributes=frozenset(attributes.split()))


def off_by(sequence: Sequence, pixels: float) -> Run:
    """The truth in the first frame, then so many pixels to the right of it."""
    shift = np.array([0.0] + [pixels] * (len(sequence) - 1))
    return Run(sequence.boxes + shift[:, None] * (1, 0, 0, 0))


@dataclass(frozen=True)
class Made:
    report: Report
    scores: list[TrackerScore]
    sequences: list[Sequence]
    runs: dict[str, dict[str, Run]]


class Make(Protocol):
    def __call__(
        self,
        errors: Mapping[str, float] = ...,
        sequences: list[Sequence] | None = None,
        fps: Mapping[str, float] = ...,
        skip: Mapping[str, str] = ...,
    ) -> Made: ...


@pytest.fixture
def make() -> Make:
    """Trackers by how many pixels they are off, on two sequences unless others are given."""

    def make(
        errors: Mapping[str, float] = {"ours": 4.0, "good": 0.0, "bad": 300.0},
        sequences: list[Sequence] | None = None,
        fps: Mapping[str, float] = {},
        skip: Mapping[str, str] = {},
    ) -> Made:
        sequences = sequences or [footage("Ball", attributes="OCC"), footage("Cup", 30, "OCC FM")]
        runs = {
            name: {each.name: off_by(each, error) for each in sequences if skip.get(name) != each.name}
            for name, error in errors.items()
        }
        scores = [score_runs(name, runs[name], sequences, "Toys") for name in errors]
        scores = [
            replace(score, speed=Speed(fps[score.tracker], 10, 20, 30)) if score.tracker in fps else score
            for score in scores
        ]
        attributes = {"OCC": "Occlusion", "FM": "Fast motion"}
        return Made(build_report(scores, sequences, "Toys", attributes), scores, sequences, runs)

    return make


@pytest.fixture
def sequence() -> Callable[..., Sequence]:
    return footage


@pytest.fixture
def run() -> Callable[[Sequence, float], Run]:
    return off_by
