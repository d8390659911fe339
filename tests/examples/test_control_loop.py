from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tracker.camera import Camera
from tracker.frame import Frame, Image
from tracker.kinematics import follow
from tracker.result import Box, TrackResult, TrackState

IMAGE = np.zeros((40, 100, 3), np.uint8)


@pytest.fixture(scope="module")
def example(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("control_loop")


class Follower:
    """SiamTracker's interface: moves one pixel a frame and is in the states it was told."""

    def __init__(self, states: list[TrackState] | None = None) -> None:
        self.calls: list[tuple[str, float | None]] = []
        self._states = states or []

    def init(self, frame: Image, box: Box, timestamp: float | None = None) -> TrackResult:
        self.calls = [("init", timestamp)]
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


def test_the_loop_starts_once_passes_timestamps_and_stops_in_time(example: ModuleType) -> None:
    follower, seen = Follower(), []
    handled = example.control_loop(
        frames(10, period=0.5),
        follower,
        (1, 2, 3, 4),
        lambda frame, result: seen.append((frame.index, result.box)),
        2.0,
    )
    assert follower.calls == [("init", 0.0), ("update", 0.5), ("update", 1.0), ("update", 1.5), ("update", 2.0)]
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


def test_the_robot_aims_where_the_target_will_be(example: ModuleType) -> None:
    """50 pixels a second to the right: 0.4 s later the target is 20 pixels further, of 100."""
    motion = None
    for index in range(100):
        box = (10 + 50 * index * 0.01 - 5, 10.0, 10.0, 10.0)
        motion = follow(motion, TrackState.TRACKING, box, 0.9, TrackState.TRACKING, index * 0.01)
    result = TrackResult(box, 0.9, TrackState.TRACKING, 0.0, 0.99, motion)
    turns = []
    for delay in (0.0, 0.4):
        robot = example.Robot(delay)
        robot.react(Frame(99, 0.99, IMAGE), result)
        turns.append(robot.turn)
    assert turns[1] - turns[0] == pytest.approx(2 * 20 / 100, abs=0.01)


def test_the_robot_turns_by_angles_where_it_knows_its_camera(example: ModuleType) -> None:
    robot = example.Robot(camera=Camera(50.0, 50.0, 49.5, 19.5))
    robot.react(Frame(0, 0.0, IMAGE), TrackResult((90, 10, 20, 20), 0.9, TrackState.TRACKING))
    assert robot.turn == pytest.approx(math.atan2(50, 50) / (math.pi / 2))  # 45 degrees of 90


def test_every_frame_of_a_recording_is_handled_or_counted_as_dropped(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for index in range(6):
        cv2.imwrite(str(tmp_path / f"{index}.png"), IMAGE)
    follower = Follower([TrackState.TRACKING] + [TrackState.LOST] * 9)
    handled, dropped = example.run(str(tmp_path), (10, 10, 20, 20), float("inf"), follower, example.Robot())
    assert handled + dropped == 6
    assert handled == len(follower.calls)
    assert "stop and search" in capsys.readouterr().out


def test_a_missing_video_is_one_line(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["control_loop.py", "--video", "missing.mp4", "--box", "1,2,3,4"])
    monkeypatch.setattr(example.SiamTracker, "from_pretrained", lambda name, **options: Follower())
    assert example.main() == 2
    assert capsys.readouterr().err == "control_loop: error: no such file or folder: missing.mp4\n"
