from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tracker.frame import Frame, Image
from tracker.result import Box, TrackResult, TrackState
from tracker.sources import SourceError

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "control_loop.py"
IMAGE = np.zeros((40, 100, 3), np.uint8)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("control_loop", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Follower:
    """SiamTracker's interface: moves one pixel a frame and is in the states it was told."""

    def __init__(self, states: list[TrackState] | None = None) -> None:
        self.calls: list[tuple[str, float | None]] = []
        self._states = states or []

    def init(self, frame: Image, box: Box) -> TrackResult:
        self.calls = [("init", None)]
        self._box = box
        return TrackResult(box, 1.0, TrackState.TRACKING)

    def update(self, frame: Image, timestamp: float | None = None) -> TrackResult:
        self.calls.append(("update", timestamp))
        x, y, w, h = self._box
        self._box = (x + 1, y, w, h)
        step = len(self.calls) - 1
        state = self._states[step] if step < len(self._states) else TrackState.TRACKING
        return TrackResult(self._box, 0.5, state, timestamp=timestamp)


def frames(count: int, period: float = 0.0) -> Iterator[Frame]:
    for index in range(count):
        yield Frame(index, index * period, IMAGE)


def test_the_newest_frame_is_handed_out_and_the_others_are_counted(example: ModuleType) -> None:
    taken, read = threading.Event(), threading.Event()

    def source() -> Iterator[Frame]:
        yield from frames(5)
        read.set()  # all five were put forward
        taken.wait(30)
        yield Frame(5, 0.0, IMAGE)

    with example.NewestFrame(source()) as newest:
        assert read.wait(30)
        assert next(newest).index == 4
        assert newest.dropped == 4
        taken.set()
        assert [frame.index for frame in newest] == [5]
        assert newest.dropped == 4


def test_an_error_of_the_source_reaches_the_loop_after_the_last_frame(example: ModuleType) -> None:
    def source() -> Iterator[Frame]:
        yield from frames(1)
        raise SourceError("the camera was unplugged")

    with example.NewestFrame(source()) as newest:
        assert next(newest).index == 0
        with pytest.raises(SourceError, match="unplugged"):
            next(newest)


def test_leaving_early_stops_the_capture_thread(example: ModuleType) -> None:
    def endless() -> Iterator[Frame]:
        index = 0
        while True:
            yield Frame(index, 0.0, IMAGE)
            index += 1

    with example.NewestFrame(endless()) as newest:
        next(newest)
    assert "capture" not in [thread.name for thread in threading.enumerate()]


def test_a_file_is_not_played_faster_than_its_clock(example: ModuleType) -> None:
    began = time.monotonic()
    with example.NewestFrame(frames(4, period=0.05), paced=True) as newest:
        last = list(newest)[-1]
    assert last.index == 3
    assert time.monotonic() - began >= 0.15


def test_the_loop_starts_once_passes_timestamps_and_stops_in_time(example: ModuleType) -> None:
    follower, seen = Follower(), []
    handled = example.control_loop(
        frames(10, period=0.5),
        follower,
        (1, 2, 3, 4),
        lambda frame, result: seen.append((frame.index, result.box)),
        2.0,
    )
    assert follower.calls == [("init", None), ("update", 0.5), ("update", 1.0), ("update", 1.5), ("update", 2.0)]
    assert handled == 5
    assert seen == [(index, (1 + index, 2, 3, 4)) for index in range(5)]


def test_the_robot_slows_down_when_unsure_and_stops_to_search_when_lost(
    example: ModuleType, capsys: pytest.CaptureFixture
) -> None:
    robot = example.Robot()

    def after(state: TrackState, x: float) -> tuple[float, float]:
        robot.react(Frame(0, 0.0, IMAGE), TrackResult((x, 10, 20, 20), 0.5, state))
        return robot.speed, robot.turn

    assert after(TrackState.TRACKING, 40) == (1.0, 0.0)  # in the middle of 100 pixels: straight on
    assert after(TrackState.TRACKING, 80) == (1.0, pytest.approx(0.8))
    speed, turn = after(TrackState.UNCERTAIN, 0)
    assert 0 < speed < 1
    assert -1 < turn < 0
    assert after(TrackState.LOST, 90) == (0.0, -0.5)  # to the left, where it was seen last, whatever the box says
    assert after(TrackState.LOST, 90) == (0.0, -0.5)
    assert after(TrackState.TRACKING, 40) == (1.0, 0.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["tracking", "uncertain", "lost", "tracking"]  # changes only


def test_every_frame_of_a_recording_is_handled_or_counted_as_dropped(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for index in range(6):
        cv2.imwrite(str(tmp_path / f"{index}.png"), IMAGE)
    follower = Follower([TrackState.TRACKING] + [TrackState.LOST] * 9)
    handled, dropped = example.run(str(tmp_path), (10, 10, 20, 20), float("inf"), follower)
    assert handled + dropped == 6
    assert handled == len(follower.calls)
    assert "stop and search" in capsys.readouterr().out


def test_a_missing_video_is_one_line(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["control_loop.py", "--video", "missing.mp4", "--box", "1,2,3,4"])
    monkeypatch.setattr(example.SiamTracker, "from_pretrained", lambda name: Follower())
    assert example.main() == 2
    assert capsys.readouterr().err == "control_loop: error: no such file or folder: missing.mp4\n"
