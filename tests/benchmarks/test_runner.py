from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runner
from benchmarks.datasets import Sequence
from benchmarks.runner import claim, evaluate, load, one_pass, speed, store
from tracker.box import from_otb
from tracker.result import Box, TrackResult, TrackState


@dataclass(frozen=True, eq=False)
class Clip(Sequence):
    """Frames that hold their own index; counts how often they are decoded."""

    decoded: list[int] = field(default_factory=list)

    def frames(self) -> Iterator[np.ndarray]:
        for index in range(len(self)):
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


def clip(name: str = "Ball", frames: int = 5) -> Clip:
    boxes = np.array([(10.0 + index, 20.0, 8.0, 6.0) for index in range(frames)])
    return Clip(name, boxes, Path("nowhere"))


def test_one_pass_starts_on_the_ground_truth_and_shows_each_frame_once():
    sliding = Sliding()
    run = one_pass({"sliding": sliding}, clip())["sliding"]
    assert sliding.seen == [0, 1, 2, 3, 4]
    assert run.boxes.tolist() == [[10 + 1.25 * index, 20, 8, 6] for index in range(5)]
    assert run.states == ["tracking", "tracking", "lost", "tracking", "tracking"]
    assert run.scores.tolist() == [1, 0.75, 0.75, 0.75, 0.75]
    assert len(run.seconds) == 5
    assert (run.seconds > 0).all()


def test_trackers_share_the_decoded_frames_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "FRAMES_IN_MEMORY", 2)
    sequence = clip(frames=7)
    trackers = {"slow": Sliding(0.5), "fast": Sliding(2.0)}
    together = one_pass(trackers, sequence)
    assert sequence.decoded == list(range(7))
    for name, tracker in trackers.items():
        assert tracker.seen == list(range(7))
        alone = one_pass({name: Sliding(tracker.step)}, clip(frames=7))[name]
        np.testing.assert_array_equal(together[name].boxes, alone.boxes)


def test_a_tracker_is_started_anew_for_each_sequence(tmp_path: Path):
    evaluate({"sliding": Sliding()}, [clip("Ball"), clip("Cup")], tmp_path)
    for name in ("Ball", "Cup"):
        assert load(tmp_path / "sliding", name).boxes[0].tolist() == [10, 20, 8, 6]


def test_results_are_1_based_text_that_other_tools_read(tmp_path: Path):
    sequence = clip()
    evaluate({"sliding": Sliding()}, [sequence], tmp_path)
    lines = (tmp_path / "sliding" / "Ball.txt").read_text().splitlines()
    assert lines[0] == "11.000,21.000,8.000,6.000"
    assert lines[1] == "12.250,21.000,8.000,6.000"
    np.testing.assert_array_equal(from_otb(np.loadtxt(lines, delimiter=",")), load(tmp_path / "sliding", "Ball").boxes)
    times = np.loadtxt(tmp_path / "sliding" / "times" / "Ball_time.txt")
    assert times.shape == (5,)
    with open(tmp_path / "sliding" / "states" / "Ball.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["frame", "score", "state"]
    assert rows[3] == ["2", "0.7500", "lost"]


def test_what_is_stored_is_what_was_said(tmp_path: Path):
    run = one_pass({"sliding": Sliding(1 / 3)}, clip())["sliding"]
    store(tmp_path, "Ball", run)
    loaded = load(tmp_path, "Ball")
    np.testing.assert_allclose(loaded.boxes, run.boxes, atol=0.0005001)
    np.testing.assert_allclose(loaded.seconds, run.seconds, atol=1e-8)
    np.testing.assert_array_equal(loaded.scores, run.scores)
    assert loaded.states == run.states


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path):
    class Interrupted(Sliding):
        def init(self, frame: np.ndarray, box: Box) -> None:
            if box[3] == 7:  # only Cup has such a box
                raise KeyboardInterrupt
            super().init(frame, box)

    ball, cup, dice = clip("Ball"), clip("Cup"), clip("Dice")
    cup = replace(cup, boxes=np.add(cup.boxes, (0, 0, 0, 1)))
    with pytest.raises(KeyboardInterrupt):
        evaluate({"sliding": Interrupted()}, [ball, cup, dice], tmp_path / "resumed")
    ball.decoded.clear()
    evaluate({"sliding": Sliding()}, [ball, cup, dice], tmp_path / "resumed")
    evaluate({"sliding": Sliding()}, [clip("Ball"), cup, clip("Dice")], tmp_path / "straight")
    for name in ("Ball", "Cup", "Dice"):
        resumed, straight = (tmp_path / run / "sliding" / f"{name}.txt" for run in ("resumed", "straight"))
        assert resumed.read_bytes() == straight.read_bytes()
    assert ball.decoded == []  # it was stored: not even decoded again


def test_a_tracker_added_later_runs_alone(tmp_path: Path):
    first, second = Sliding(), Sliding(2.0)
    evaluate({"first": first}, [clip()], tmp_path)
    evaluate({"first": first, "second": second}, [clip()], tmp_path)
    assert first.seen == second.seen == [0, 1, 2, 3, 4]


def test_nothing_counts_as_stored_before_its_boxes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(source: Path, target: Path) -> None:
        if target.name == "Ball.txt":
            raise OSError(28, "No space left on device")
        replace_file(source, target)

    replace_file = runner.os.replace
    monkeypatch.setattr(runner.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        evaluate({"sliding": Sliding()}, [clip()], tmp_path)
    monkeypatch.undo()
    assert not runner.is_stored(tmp_path / "sliding", clip())
    evaluate({"sliding": Sliding()}, [clip()], tmp_path)
    assert runner.is_stored(tmp_path / "sliding", clip())


def test_results_of_another_length_are_refused(tmp_path: Path):
    evaluate({"sliding": Sliding()}, [clip(frames=5)], tmp_path)
    with pytest.raises(ValueError, match=r"Ball.txt has 5 rows for 7 frames"):
        evaluate({"sliding": Sliding()}, [clip(frames=7)], tmp_path)


def test_results_of_other_settings_are_refused(tmp_path: Path):
    claim(tmp_path, {"window": 0.4, "size": (1, 2)})
    claim(tmp_path, {"window": 0.4, "size": (1, 2)})
    with pytest.raises(ValueError, match=r"other settings \(window = 0.4, now 0.3\)"):
        claim(tmp_path, {"window": 0.3, "size": (1, 2)})


def test_speed_is_frames_over_time_not_the_mean_rate():
    measured = speed(np.array([0.01] * 9 + [0.11]))
    assert measured.fps == pytest.approx(10 / 0.2)
    assert measured.p50_ms == pytest.approx(10)
    assert measured.p95_ms == pytest.approx(np.percentile([10.0] * 9 + [110.0], 95))
    with pytest.raises(ValueError, match="no updates"):
        speed(np.empty(0))
