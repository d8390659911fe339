"""Labels: tracks that close are kept, drift is dropped, proposals lie on what moves, and training reads the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.datasets import read_sequence
from learning import labels
from learning.calibration import Video
from learning.labels import LabelConfig
from learning.readers import read_sequences
from tracker import TrackResult, TrackState
from tracker.box import overlap
from tracker.result import Box

SIZE = (120, 160)
PATCH = (24, 20)  # width and height


def _scene(count: int, speed: float = 2.0, camera: float = 0.0, gone: range = range(0)) -> tuple[list, np.ndarray]:
    """A textured patch that moves to the right over a textured scene which moves to the left; frames and boxes."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (SIZE[0], 400, 3), dtype=np.uint8), (0, 0), 2)
    patch = cv2.GaussianBlur(rng.integers(0, 256, (PATCH[1], PATCH[0], 3), dtype=np.uint8), (0, 0), 1)
    frames, boxes = [], []
    for index in range(count):
        frame = wide[:, round(100 + camera * index) :][:, : SIZE[1]].copy()
        x, y = round(20 + speed * index), 40
        if index not in gone:
            frame[y : y + PATCH[1], x : x + PATCH[0]] = patch
        frames.append(frame)
        boxes.append((float(x), float(y), *map(float, PATCH)))
    return frames, np.array(boxes)


class Matcher:
    """Template matching near the last place: follows the patch, and stays where it was where the patch is gone.

    Args:
        says: what it says of its best match, in [−1, 1]; the state of the frame.
    """

    def __init__(self, says: Callable[[float], TrackState] = lambda score: TrackState.TRACKING) -> None:
        self.says, self.starts = says, 0

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.starts += 1
        x, y, w, h = (round(value) for value in box)
        if x < 0 or y < 0 or x + w > frame.shape[1] or y + h > frame.shape[0]:
            raise ValueError(f"box {box} lies outside of the image")
        self.box, self.template = (x, y, w, h), frame[y : y + h, x : x + w].copy()

    def update(self, frame: np.ndarray) -> TrackResult:
        x, y, w, h = self.box
        left, top = max(x - 8, 0), max(y - 8, 0)
        region = frame[top : y + h + 8, left : x + w + 8]
        scores = cv2.matchTemplate(region, self.template, cv2.TM_CCOEFF_NORMED)
        _, best, _, (column, row) = cv2.minMaxLoc(scores)
        if best > 0.8:
            self.box = (left + column, top + row, w, h)
        return TrackResult(tuple(map(float, self.box)), 0.5, self.says(best))  # type: ignore[arg-type]


# ---------------------------------------------------------------- there and back


def test_a_track_that_closes_is_kept_and_right() -> None:
    frames, boxes = _scene(30)
    found = labels.label(Matcher(), frames, boxes[0])
    assert found.reason == ""
    assert found.kept.all()
    assert found.closing == 1
    assert found.boxes == pytest.approx(boxes)


def test_a_track_that_loses_the_target_on_the_way_is_dropped() -> None:
    frames, boxes = _scene(30, gone=range(15, 30))
    found = labels.label(Matcher(), frames, boxes[0])
    assert found.reason == "the way back ends elsewhere"
    assert not found.kept.any()
    assert found.closing < 0.1, "the scene behind the target stands still, and so does the way back"


def test_the_way_ends_where_the_tracker_is_lost() -> None:
    frames, boxes = _scene(30, gone=range(20, 30))
    tracker = Matcher(lambda score: TrackState.TRACKING if score > 0.8 else TrackState.LOST)
    found = labels.label(tracker, frames, boxes[0])
    assert len(found.forward) == 20
    assert found.reason == ""
    assert found.boxes == pytest.approx(boxes[:20])


def test_a_way_back_that_gets_lost_does_not_close() -> None:
    frames, boxes = _scene(30, gone=range(5, 12))
    tracker = Matcher(lambda score: TrackState.TRACKING if score > 0.8 or tracker.starts == 1 else TrackState.LOST)
    found = labels.label(tracker, frames, boxes[0])
    assert found.closing == 0
    assert found.reason


def test_a_way_that_leaves_the_image_does_not_close() -> None:
    class Runaway(Matcher):
        def update(self, frame: np.ndarray) -> TrackResult:
            x, y, w, h = self.box
            self.box = (x - 50, y, w, h)
            return TrackResult(tuple(map(float, self.box)), 0.5, TrackState.TRACKING)  # type: ignore[arg-type]

    frames, boxes = _scene(12)
    found = labels.label(Runaway(), frames, boxes[0])
    assert found.closing == 0
    assert not found.kept.any()


def _moved(boxes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The boxes shifted to the right so far that they share so much with what they were."""
    moved = boxes.copy()
    moved[:, 0] += boxes[:, 2] * (1 - shares) / (1 + shares)
    return moved


def test_frames_are_kept_where_both_ways_agree() -> None:
    forward = np.array([(20.0 + 4 * t, 30.0, 40.0, 20.0) for t in range(30)])
    shares = np.linspace(0.75, 0.3, 30)
    found = labels.judge(forward, _moved(forward, shares), LabelConfig())
    assert found.kept.tolist() == (shares > 0.5).tolist()
    assert found.boxes[found.kept] == pytest.approx(forward[found.kept])


@pytest.mark.parametrize(
    ("first", "agreeing", "step", "reason"),
    [
        (0.71, 10, 4.0, ""),
        (0.69, 30, 4.0, "the way back ends elsewhere"),
        (0.71, 9, 4.0, "too few frames in which both ways agree"),
        (0.71, 30, 0.1, "it stands still"),
    ],
)
def test_a_track_is_dropped_for_a_reason(first: float, agreeing: int, step: float, reason: str) -> None:
    forward = np.array([(20.0 + step * t, 30.0, 40.0, 20.0) for t in range(30)])
    shares = np.where(np.arange(30) < agreeing, 0.9, 0.1)
    shares[0] = first
    found = labels.judge(forward, _moved(forward, shares), LabelConfig())
    assert found.reason == reason
    assert found.kept.sum() == (0 if reason else agreeing)


# ---------------------------------------------------------------- proposals


@pytest.mark.parametrize("camera", [0.0, 2.0])
def test_what_moves_against_the_camera_is_proposed_first(camera: float) -> None:
    frames, boxes = _scene(8, speed=3.0, camera=camera)
    assert float(overlap(labels.propose(frames, 3)[0], boxes[0])) > 0.4


def test_a_moving_camera_alone_moves_nothing() -> None:
    frames, _ = _scene(8, camera=3.0, gone=range(8))
    assert labels.moving_boxes(frames[0], frames[3]) == []


def test_proposals_are_as_many_as_asked_for_apart_and_inside() -> None:
    frames, _ = _scene(8)
    found = np.array(labels.propose(frames, 6))
    assert len(found) == 6
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] + found[:, 2:] <= (SIZE[1], SIZE[0])).all()
    shared = overlap(found[:, None], found)
    assert (shared[~np.eye(6, dtype=bool)] < 0.2).all()


def test_texture_is_found_where_it_is() -> None:
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[60:90, 100:130] = np.random.default_rng(0).integers(0, 256, (30, 30, 3))
    x, y, w, h = labels.textured_boxes(image)[0]
    assert 100 <= x + w / 2 <= 130
    assert 60 <= y + h / 2 <= 90
    assert labels.textured_boxes(np.full((*SIZE, 3), 90, np.uint8)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_short_or_empty_videos_have_no_motion(count: int) -> None:
    assert labels.moving_boxes(*[np.zeros((*SIZE, 3), np.uint8)] * 2) == []
    frames, _ = _scene(count)
    assert len(labels.propose(frames, 2)) == 2


# ---------------------------------------------------------------- files


def _video(folder: Path, frames: list) -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index}.png"), frame)
    return folder


def test_labels_are_sequences_that_training_and_benchmarks_read_alike(tmp_path: Path) -> None:
    frames, boxes = _scene(25)
    video = _video(tmp_path / "holiday" / "beach", frames)
    lines = list(labels.label_video(Matcher(), video, tmp_path / "out", "matcher", [tuple(boxes[0])]))
    assert [line["dropped"] for line in lines] == [""]
    assert lines[0]["sequence"] == "holiday-beach/000000_0"
    footage = read_sequences(tmp_path / "out")
    (track,) = footage.tracks
    assert track.boxes == pytest.approx(boxes, abs=0.01)
    assert np.abs(footage.images[3].astype(float) - frames[3]).mean() < 4, "JPEG"
    sequence = read_sequence(tmp_path / "out" / lines[0]["sequence"])
    assert sequence.boxes == pytest.approx(boxes, abs=0.01)
    note = json.loads((tmp_path / "out" / lines[0]["sequence"] / "sequence.json").read_text())
    assert note["video"] == str(video)
    assert note["tracker"] == "matcher"
    assert note["closing"] == 1.0


def test_frames_that_are_not_kept_have_no_label(tmp_path: Path) -> None:
    frames, boxes = _scene(6)
    kept = boxes.copy()
    kept[[2, 5]] = np.nan
    folder = tmp_path / "out" / "clip" / "000000_0"
    labels.write_sequence(folder, frames, labels.Label(boxes, kept, 1.0), {})
    assert len(list((folder / "img").iterdir())) == 5, "none after the last that is kept"
    (track,) = read_sequences(tmp_path / "out").tracks
    assert track.boxes == pytest.approx(boxes[[0, 1, 3, 4]])


def test_pieces_follow_each_other_are_proposed_for_and_labelled_once(tmp_path: Path) -> None:
    frames, boxes = _scene(47, speed=1.5)
    video, out = _video(tmp_path / "clip", frames), tmp_path / "out"
    first = list(labels.label_video(Matcher(), video, out, "matcher", count=1, length=20))
    assert {line["start"] for line in first} == {0, 20}, "seven frames are too few for a track"
    assert labels.read_record(out) == first
    kept = {line["start"]: line for line in first if not line["dropped"]}
    assert set(kept) == {0, 20}, "the moving patch of each piece"
    for start, line in kept.items():
        sequence = read_sequence(out / line["sequence"])
        assert float(overlap(sequence.boxes, boxes[start : start + len(sequence)]).mean()) > 0.4
    assert list(labels.label_video(Matcher(), video, out, "matcher", count=1, length=20)) == []
    assert labels.read_record(out) == first
    counts = labels.summary(first)
    assert counts["candidates"] == len(first)
    assert counts["kept"] + sum(counts["dropped"].values()) == len(first)
    assert counts["frames"] == sum(line["frames"] for line in first)


def test_sequences_of_a_piece_share_their_frames(tmp_path: Path) -> None:
    frames, boxes = _scene(12)
    found = labels.Label(boxes, boxes, 1.0)
    for number in range(2):
        labels.write_sequence(tmp_path / "clip" / f"000000_{number}", frames, found, {})
    one, two = (tmp_path / "clip" / f"000000_{number}" / "img" / "000003.jpg" for number in range(2))
    assert one.samefile(two)


def test_large_frames_are_scaled_down_with_the_given_box(tmp_path: Path) -> None:
    frames, boxes = _scene(20)
    video = _video(tmp_path / "clip", [cv2.resize(frame, None, fx=2, fy=2) for frame in frames])
    out = tmp_path / "out"
    (line,) = labels.label_video(Matcher(), video, out, "matcher", [tuple(boxes[0] * 2)], longest_side=160)
    assert line["box"] == boxes[0].tolist()
    assert read_sequence(out / line["sequence"]).boxes == pytest.approx(boxes, abs=0.01)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / labels.RECORD).write_text('{"video": "a"}\n{"vid')
    with pytest.raises(ValueError, match=r"labels\.jsonl: line 2 is not JSON"):
        labels.read_record(tmp_path)


# ---------------------------------------------------------------- how good they are


def test_precision_tells_kept_from_dropped() -> None:
    good, truth = _scene(20)
    bad, _ = _scene(20, gone=range(12, 20))
    absent = truth.copy()
    absent[12:] = np.nan
    videos = [Video("good", good, truth), Video("bad", bad, absent)]
    precision, tracks = labels.check(Matcher(), videos, length=20)
    assert tracks == {"kept": 1, "the way back ends elsewhere": 1}
    assert precision["kept"] == labels.Precision(19, 1.0, 1.0)
    assert precision["dropped"].boxes == 19
    assert precision["dropped"].right == round(11 / 19, 3), "where the target is absent every box is wrong"
    assert precision["all"] == labels.Precision(38, round(30 / 38, 3), round(30 / 38, 3))


def test_precision_of_nothing_is_no_number() -> None:
    precision, tracks = labels.check(Matcher(), [])
    assert precision["kept"].boxes == 0
    assert np.isnan(precision["kept"].overlap)
    assert tracks == {}
