from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import one_pass as module
from benchmarks.frames import ImageFrames
from benchmarks.one_pass import Chance, one_pass, read_ahead, stretches
from benchmarks.sequence import Sequence
from benchmarks.trackers import TrackerSpec
from tracker.result import Box, TrackResult, TrackState


@dataclass
class Counted:
    """Small frames that hold their own index; counts how often they are decoded."""

    count: int
    decoded: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(self.count):
            self.decoded.append(index)
            yield np.full((4, 4, 3), index, np.uint8)


class Sliding:
    """Moves its box by a step each frame; LOST in frame 2. Remembers which frames it saw."""

    def __init__(self, step: float = 1.25) -> None:
        self.step = step
        self.seen: list[int] = []
        self.box: Box = (0.0, 0.0, 0.0, 0.0)

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.seen.append(int(frame[0, 0, 0]))
        self.box = box

    def update(self, frame: np.ndarray) -> TrackResult:
        self.seen.append(int(frame[0, 0, 0]))
        x, y, w, h = self.box
        self.box = (x + self.step, y, w, h)
        state = TrackState.LOST if frame[0, 0, 0] == 2 else TrackState.TRACKING
        return TrackResult(self.box, 0.75, state)


def clip(frames: int = 5, name: str = "Ball") -> Sequence:
    boxes = np.array([(10.0 + index, 20.0, 8.0, 6.0) for index in range(frames)])
    return Sequence(name, boxes, Counted(frames))


def test_a_tracker_starts_on_the_ground_truth_and_sees_each_frame_once():
    sliding = Sliding()
    runs, failures = one_pass({"sliding": sliding}, clip())
    run = runs["sliding"]
    assert failures == []
    assert sliding.seen == [0, 1, 2, 3, 4]
    assert run.boxes.tolist() == [[10 + 1.25 * index, 20, 8, 6] for index in range(5)]
    assert run.states == ["tracking", "tracking", "lost", "tracking", "tracking"]
    assert run.scores.tolist() == [1, 0.75, 0.75, 0.75, 0.75]
    assert len(run.seconds) == 5
    assert (run.seconds > 0).all()


def test_a_disturbed_start_is_what_the_tracker_gets_and_what_is_stored():
    sequence = Sequence("Ball@left", clip().boxes, Counted(5), start=(9.0, 20.0, 8.0, 6.0))
    runs, _ = one_pass({"sliding": Sliding(0)}, sequence)
    assert runs["sliding"].boxes.tolist() == [[9, 20, 8, 6]] * 5


def test_trackers_share_the_decoded_frames_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STRETCH", 2 * 48)
    sequence = clip(7)
    trackers = {"slow": Sliding(0.5), "fast": Sliding(2.0)}
    together, _ = one_pass(trackers, sequence)
    assert sequence.frames.decoded == list(range(7))
    for name, tracker in trackers.items():
        assert tracker.seen == list(range(7))
        alone, _ = one_pass({name: Sliding(tracker.step)}, clip(7))
        np.testing.assert_array_equal(together[name].boxes, alone[name].boxes)


def test_trackers_take_turns_over_stretches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STRETCH", 2 * 48)
    order = []

    class Noting(Sliding):
        def update(self, frame: np.ndarray) -> TrackResult:
            order.append((self.step, int(frame[0, 0, 0])))
            return super().update(frame)

    one_pass({"a": Noting(1), "b": Noting(2)}, clip(7))
    assert order == [(1, 1), (1, 2), (2, 1), (2, 2), *[(s, f) for s in (1, 2) for f in (3, 4, 5)], (1, 6), (2, 6)]


class Drawing(Sliding):
    """Takes its steps from every generator of random numbers whose state can be read."""

    def update(self, frame: np.ndarray) -> TrackResult:
        self.step = random.random() + np.random.rand() + float(torch.rand(1))  # noqa: NPY002
        return super().update(frame)


def test_random_numbers_depend_neither_on_what_ran_before_nor_on_what_runs_beside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STRETCH", 48)
    alone, _ = one_pass({"a": Drawing()}, clip(9))
    random.random()
    together, _ = one_pass({"b": Drawing(), "a": Drawing()}, clip(9))
    np.testing.assert_array_equal(together["a"].boxes, alone["a"].boxes)
    np.testing.assert_array_equal(together["b"].boxes, alone["a"].boxes)
    assert len(np.unique(np.diff(alone["a"].boxes[:, 0]))) == 8


def test_chance_goes_on_where_it_was():
    chance, other = Chance(), Chance()
    with chance:
        first = [random.random(), random.random()]
    with other:
        assert random.random() == first[0]
    with chance:
        third = random.random()
    with Chance():
        assert [random.random() for _ in range(3)] == [*first, third]


def test_opencvs_mil_repeats_itself_in_one_process():
    """Its features come from the C library's generator, which nothing in Python sets."""
    rng = np.random.default_rng(0)
    frames = [cv2.GaussianBlur(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8), (0, 0), 3) for _ in range(4)]

    sequence = Sequence("Noise", np.tile([20.0, 20, 24, 24], (4, 1)), frames)
    first, second = (one_pass({"mil": TrackerSpec.parse("opencv:mil").load()}, sequence)[0]["mil"] for _ in range(2))
    np.testing.assert_array_equal(first.boxes, second.boxes)


class Failing(Sliding):
    """Goes wrong in a frame."""

    def __init__(self, frame: int, answer: object = None) -> None:
        super().__init__()
        self.frame, self.answer = frame, answer

    def init(self, frame: np.ndarray, box: Box) -> None:
        super().init(frame, box)
        if self.frame == 0:
            raise RuntimeError("cannot\nstart")

    def update(self, frame: np.ndarray) -> TrackResult:
        if len(self.seen) == self.frame:
            if self.answer is None:
                raise IndexError("list index out of range")
            return self.answer
        return super().update(frame)


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        (Failing(0), r"x failed on Ball, frame 0: RuntimeError: cannot start \(test_one_pass\.py, line \d+\)"),
        (Failing(3), r"x failed on Ball, frame 3: IndexError: list index out of range \(test_one_pass\.py, line \d+\)"),
        (Failing(4, "a box"), r"x failed on Ball, frame 4: AttributeError: 'str' object has no attribute 'elapsed'"),
    ],
)
def test_a_failing_tracker_is_named_and_leaves_the_others_alone(tracker: Sliding, message: str):
    sliding = Sliding()
    runs, (failure,) = one_pass({"x": tracker, "sliding": sliding}, clip())
    assert list(runs) == ["sliding"]
    assert sliding.seen == [0, 1, 2, 3, 4]
    assert re.match(message, str(failure))


def test_nothing_is_decoded_for_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STRETCH", 48)
    sequence = clip(50)
    _, failures = one_pass({"a": Failing(1), "b": Failing(2)}, sequence)
    assert [failure.frame for failure in failures] == [1, 2]
    assert len(sequence.frames.decoded) < 20


def image_files(folder: Path, count: int) -> ImageFrames:
    files = tuple(folder / f"{index:04d}.jpg" for index in range(count))
    for file in files:
        cv2.imwrite(str(file), np.zeros((32, 32, 3), np.uint8))
    return ImageFrames(files)


def damage(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: {"truncated": 100, "empty": 0}[how]])


@pytest.mark.parametrize("how", ["missing", "truncated", "empty"])
@pytest.mark.parametrize("trackers", [1, 2])
def test_a_frame_that_cannot_be_decoded_fails_the_sequence_and_is_named(tmp_path: Path, how: str, trackers: int):
    frames = image_files(tmp_path, 6)
    damage(frames.files[3], how)
    sequence = Sequence("Ball", np.tile([3.0, 4, 5, 6], (6, 1)), frames)
    runs, failures = one_pass({str(index): Sliding() for index in range(trackers)}, sequence)
    assert runs == {}
    assert len(failures) == trackers
    for failure in failures:
        assert str(failure).startswith(f"{failure.tracker} failed on Ball: its frames cannot be decoded: {tmp_path}")
        assert "0003.jpg" in failure.reason


class Short(Counted):
    """Has fewer frames than it says."""

    def __len__(self) -> int:
        return self.count + 2


def test_frames_that_end_early_are_no_run():
    sequence = Sequence("Ball", np.tile([3.0, 4, 5, 6], (7, 1)), Short(5))
    runs, (failure,) = one_pass({"sliding": Sliding()}, sequence)
    assert runs == {}
    assert failure.reason == "expected 7 frames, found 5"


def test_decoding_is_not_in_the_trackers_time():
    class Slow(Counted):
        def __iter__(self) -> Iterator[np.ndarray]:
            for frame in super().__iter__():
                threading.Event().wait(0.02)
                yield frame

    sequence = Sequence("Ball", np.tile([3.0, 4, 5, 6], (6, 1)), Slow(6))
    runs, _ = one_pass({"sliding": Sliding()}, sequence)
    assert runs["sliding"].seconds.max() < 0.02


def test_a_trackers_own_time_counts_where_it_gives_one():
    class Timed(Sliding):
        def update(self, frame: np.ndarray) -> TrackResult:
            result = super().update(frame)
            return TrackResult(result.box, result.score, result.state, elapsed=0.125)

    runs, _ = one_pass({"timed": Timed()}, clip())
    assert runs["timed"].seconds[1:].tolist() == [0.125] * 4


def test_each_tracker_has_its_threads(monkeypatch: pytest.MonkeyPatch):
    before = cv2.getNumThreads()
    seen = []

    class Noting(Sliding):
        def update(self, frame: np.ndarray) -> TrackResult:
            seen.append(cv2.getNumThreads())
            return super().update(frame)

    try:
        one_pass({"a": Noting(), "b": Noting()}, clip(2), {"a": 1, "b": 2})
    finally:
        cv2.setNumThreads(before)
    assert seen == [1, 2]


def test_frames_are_decoded_ahead_but_not_far():
    frames = Counted(50)
    ahead = read_ahead(frames, depth=3)
    assert int(next(ahead)[0, 0, 0]) == 0
    assert int(next(ahead)[0, 0, 0]) == 1
    ahead.close()
    assert len(frames.decoded) <= 2 + 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]


def test_reading_ahead_changes_nothing():
    assert [int(frame[0, 0, 0]) for frame in read_ahead(Counted(20))] == list(range(20))
    assert list(read_ahead(Counted(0))) == []


def test_stretches_hold_as_many_frames_as_fit():
    frames = [np.zeros((4, 4, 3), np.uint8)] * 7
    assert [len(stretch) for stretch in stretches(iter(frames), 2 * 48)] == [3, 3, 1]
    assert [len(stretch) for stretch in stretches(iter(frames), 1)] == [1] * 7
