"""The single-object tracker across missed detections: who is followed, for how long, and what becomes of the boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tracker import MultiTracker, TrackResult, TrackState
from tracker.association.detections import Detections
from tracker.association.motion_target import TargetBridge

IMAGE = np.zeros((100, 200, 3), np.uint8)
LEFT, RIGHT = (20.0, 30.0, 20.0, 40.0), (120.0, 30.0, 20.0, 40.0)


@dataclass
class Shifting:
    """Stands for a `MultiTracker`: each target moves two pixels to the right a frame."""

    state: TrackState = TrackState.TRACKING
    score: float = 0.9
    boxes: dict[int, tuple[float, ...]] = field(default_factory=dict)
    updates: int = 0

    def add(self, frame: Any, box: tuple[float, ...], id: int) -> int:
        self.boxes[id] = box
        return id

    def remove(self, id: int) -> None:
        del self.boxes[id]

    def update(self, frame: Any) -> dict[int, TrackResult]:
        self.updates += 1
        self.boxes = {id: (x + 2, y, w, h) for id, (x, y, w, h) in self.boxes.items()}
        return {id: TrackResult((x, y, w, h), self.score, self.state) for id, (x, y, w, h) in self.boxes.items()}


def seen(frame: int, *boxes: tuple[float, ...]) -> Detections:
    return Detections(frame, np.array(boxes).reshape(-1, 4), np.full(len(boxes), 0.7), np.full(len(boxes), 3))


def bridge_with(tracker: Shifting, **settings: float) -> TargetBridge:
    """A bridge that has seen targets 1 and 2 in frame 0."""
    bridge = TargetBridge(tracker, fps=10, **settings)  # type: ignore[arg-type]
    first = bridge.fill(seen(0, LEFT, RIGHT), IMAGE)
    assert first.followed.tolist() == [-1, -1]
    assert bridge.take(first, [1, 2]).tolist() == [1, 2]
    return bridge


def test_the_tracker_sleeps_while_everyone_is_detected() -> None:
    tracker = Shifting()
    bridge = bridge_with(tracker)
    for frame in range(1, 5):
        filled = bridge.fill(seen(frame, LEFT, RIGHT), IMAGE)
        assert len(filled) == 2
        bridge.take(filled, [1, 2])
    assert tracker.updates == 0


def test_who_is_missed_is_followed_from_the_frame_before() -> None:
    tracker = Shifting()
    bridge = bridge_with(tracker)
    filled = bridge.fill(seen(1, LEFT), IMAGE)
    np.testing.assert_allclose(filled.xywh, [LEFT, (122, 30, 20, 40)])
    assert filled.followed.tolist() == [-1, 2]
    assert filled.score.tolist() == [0.7, 0.7]
    assert filled.class_id.tolist() == [3, 3]
    assert bridge.take(filled, [1, 2]).tolist() == [1, 2]
    filled = bridge.fill(seen(2), IMAGE)  # nobody is detected: the other one joins in, the first goes on
    found = dict(zip(filled.followed.tolist(), filled.xywh[:, 0].tolist(), strict=True))
    assert found == {1: 22.0, 2: 124.0}
    bridge.take(filled, filled.followed)
    filled = bridge.fill(seen(3, LEFT, (126.0, 30, 20, 40)), IMAGE)  # both are back, where they were followed to
    assert filled.followed.tolist() == [-1, -1]
    assert tracker.boxes == {}


def test_one_detection_is_not_two_targets() -> None:
    bridge = TargetBridge(Shifting(), fps=10)  # type: ignore[arg-type]
    bridge.take(bridge.fill(seen(1, LEFT, (25.0, 30.0, 20.0, 40.0)), IMAGE), [1, 2])
    filled = bridge.fill(seen(2, LEFT), IMAGE)
    assert filled.followed.tolist() == [-1, 2]


@pytest.mark.parametrize("tracker", [Shifting(TrackState.LOST), Shifting(score=0.4)])
def test_who_is_lost_is_given_up(tracker: Shifting) -> None:
    bridge = bridge_with(tracker)
    assert len(bridge.fill(seen(1, LEFT), IMAGE)) == 1
    assert tracker.boxes == {}
    assert len(bridge.fill(seen(2, LEFT), IMAGE)) == 1
    assert tracker.updates == 1


def test_nobody_is_followed_for_longer_than_allowed_or_out_of_the_image() -> None:
    bridge = bridge_with(Shifting(), longest=0.3)
    counts = []
    for frame in range(1, 6):
        filled = bridge.fill(seen(frame, LEFT), IMAGE)
        bridge.take(filled, [1, *filled.followed[1:]])
        counts.append(len(filled))
    assert counts == [2, 2, 2, 1, 1]
    bridge = TargetBridge(Shifting(), fps=10)  # type: ignore[arg-type]
    bridge.take(bridge.fill(seen(0, (185.0, 30.0, 20.0, 40.0)), IMAGE), [1])  # 15 of 20 pixels are inside
    assert len(bridge.fill(seen(1), IMAGE)) == 0


def test_a_followed_box_that_becomes_another_one_is_no_observation() -> None:
    tracker = Shifting()
    bridge = bridge_with(tracker)
    filled = bridge.fill(seen(1, LEFT), IMAGE)
    assert bridge.take(filled, [1, 9]).tolist() == [1, -1]
    assert tracker.boxes == {}
    assert len(bridge.fill(seen(2, LEFT), IMAGE)) == 1


def test_what_has_no_identity_is_not_followed() -> None:
    bridge = TargetBridge(Shifting(), fps=10)  # type: ignore[arg-type]
    bridge.take(bridge.fill(seen(0, LEFT), IMAGE), [-1])
    assert len(bridge.fill(seen(1), IMAGE)) == 0


def test_a_frame_of_another_size_begins_anew() -> None:
    bridge = bridge_with(Shifting())
    assert len(bridge.fill(seen(1), np.zeros((50, 100, 3), np.uint8))) == 0


def test_settings_out_of_range_are_refused() -> None:
    for settings in ({"fps": 0.0}, {"longest": 0.0}, {"near": 0.0}, {"least": 2.0}, {"inside": -1.0}):
        with pytest.raises(ValueError, match="must be positive"):
            TargetBridge(Shifting(), **({"fps": 10.0} | settings))  # type: ignore[arg-type]


def test_the_real_tracker_carries_a_target_over_missed_frames() -> None:
    random = np.random.default_rng(0)
    background = random.integers(60, 120, (120, 240, 3)).astype(np.uint8)
    patch = random.integers(0, 256, (40, 24, 3)).astype(np.uint8)

    def frame(index: int) -> np.ndarray:
        image = background.copy()
        image[40:80, 40 + 3 * index : 64 + 3 * index] = patch
        return image

    bridge = TargetBridge(MultiTracker.from_pretrained("compact", runtime="torch", threads=1), fps=10, least=0.0)
    bridge.take(bridge.fill(seen(0, (40.0, 40.0, 24.0, 40.0)), frame(0)), [1])
    for index in range(1, 6):
        filled = bridge.fill(seen(index), frame(index))
        assert filled.followed.tolist() == [1]
        assert abs(filled.xywh[0, 0] - (40 + 3 * index)) < 3
        bridge.take(filled, [1])
