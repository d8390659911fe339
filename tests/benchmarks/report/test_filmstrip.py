from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.frames import VideoFrames
from benchmarks.report import filmstrip
from benchmarks.report.filmstrip import choose, decode, draw, frame_overlaps, outline, view
from benchmarks.report.style import styles
from benchmarks.results import Run

YELLOW = np.array(filmstrip.bgr(filmstrip.MAIN))
BLUE = np.array([0xB2, 0x72, 0x00])  # the first colour after the main tracker's


def near(image: np.ndarray, colour: np.ndarray, within: float = 60) -> np.ndarray:
    return np.abs(image.astype(int) - colour).sum(-1) < within


@settings(deadline=None)
@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=120))
def test_chosen_frames_are_apart_and_the_extremes_of_what_counts(values):
    overlaps = np.array(values)
    chosen = choose(overlaps)
    frames = [frame for frame, _ in chosen]
    assert 0 not in frames
    assert not np.isnan(overlaps[frames]).any()
    apart = max(1, len(values) // 20)
    assert all(abs(a - b) >= apart for index, a in enumerate(frames) for b in frames[:index])
    counted = overlaps[1:][~np.isnan(overlaps[1:])]
    if len(counted):
        assert overlaps[frames[0]] == counted.max()
    if len(counted) > 200:
        assert len(chosen) == 5


def test_the_best_come_first_and_a_lost_target_shows_the_frame_that_lost_it():
    overlaps = np.array([1.0] * 10 + [0.9] * 30 + [0.0] * 60)
    assert choose(overlaps) == [(1, "best"), (6, "best"), (40, "worst"), (45, "worst"), (50, "worst")]


def test_absent_and_unanswered_frames_are_never_chosen(sequence):
    ball = sequence("Ball", 6)
    ball.boxes[3] = np.nan
    overlaps = frame_overlaps(Run(ball.boxes[:5].copy()), ball)
    assert np.isnan(overlaps[[3, 5]]).all()
    assert overlaps[[1, 2, 4]] == pytest.approx(1)


def video(path: Path, count: int = 30) -> VideoFrames:
    """Frame i is as grey as 8 · i."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(count):
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    return VideoFrames(path, count)


def test_a_video_is_decoded_once_and_no_further_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frames = video(tmp_path / "clip.avi")
    opened = []
    real = cv2.VideoCapture

    class Counted:
        def __init__(self, path: str) -> None:
            self.capture, self.reads = real(path), 0
            opened.append(self)

        def read(self):
            self.reads += 1
            return self.capture.read()

        def __getattr__(self, name: str):
            return getattr(self.capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Counted)
    pictures = decode(frames, [20, 3, 11])
    assert {index: round(float(image.mean()) / 8) for index, image in pictures.items()} == {3: 3, 11: 11, 20: 20}
    assert [each.reads for each in opened] == [21]
    assert decode(frames, []) == {}


def test_a_damaged_video_is_told_from_mistakes_in_the_code(tmp_path: Path):
    frames = video(tmp_path / "clip.avi", 5)
    with pytest.raises(filmstrip.DecodeError, match=r"clip.avi: expected 9 frames"):
        decode(VideoFrames(frames.path, 9), [2, 8])


def test_a_view_keeps_the_boxes_and_the_proportions():
    image = np.zeros((480, 640, 3), np.uint8)
    image[100:140, 500:520] = 255
    picture, scale, corner = view(image, [np.array([500.0, 100, 20, 40]), np.full(4, np.nan)])
    assert picture.shape[:2] == (300, 400)
    x, y, w, h = (np.array([500.0, 100, 20, 40]) - corner) * scale
    lit = np.argwhere(picture[..., 0] > 127)
    assert lit.min(0) == pytest.approx([y, x], abs=1)
    assert lit.max(0) + 1 == pytest.approx([y + h, x + w], abs=1)
    assert scale == pytest.approx(400 / (640 * filmstrip.SMALLEST))
    whole, scale, corner = view(image, [np.array([-50.0, -50, 900, 900])])  # more than there is
    assert whole.shape[:2] == (300, 400)
    assert (scale, corner.tolist()) == (400 / 640, [0, 0, 0, 0])


@settings(deadline=None)
@given(
    st.tuples(st.floats(-500, 1500), st.floats(-500, 1500), st.floats(0, 2000), st.floats(0, 2000)),
    st.tuples(st.integers(1, 700), st.integers(1, 700)),
)
def test_a_view_lies_in_the_image_whatever_the_box(box, size):
    width, height = size
    picture, scale, corner = view(np.zeros((height, width, 3), np.uint8), [np.array(box)])
    assert picture.shape[1] == 400
    assert (corner[:2] >= 0).all()
    assert (corner[:2] + np.array([400, 0]) / scale <= (width + 1, height)).all()


def test_a_still_shows_everybody_and_dashes_who_says_lost(sequence, run):
    ball = sequence("Ball", 4)
    looks = styles(["ours", "other"], "ours")
    tracking, lost = ["tracking"] * 4, ["tracking"] * 2 + ["lost"] * 2

    def shown(states: list[str]) -> np.ndarray:
        runs = {"ours": Run(run(ball, 8).boxes, None, None, states), "other": run(ball, 4)}
        jpeg, size = filmstrip.draw_still(ball.frames.at(2), 2, ball.boxes[2], runs, looks)
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (size[1], size[0], 3)
        return image

    solid, dashed = shown(tracking), shown(lost)
    assert near(solid, YELLOW).sum() > 1.4 * near(dashed, YELLOW).sum() > 50
    assert near(solid, BLUE, 90).sum() > 50
    assert near(solid, np.array([255, 255, 255]), 30).sum() > 100  # the truth


def test_a_box_is_drawn_where_it_is_and_an_absent_one_not_at_all():
    canvas = np.zeros((60, 80, 3), np.uint8)
    draw(canvas, np.full(4, np.nan), (255, 255, 255), 2, rim=True)
    assert not canvas.any()
    draw(canvas, np.array([20.0, 10, 30, 40]), (255, 255, 255), 2, rim=False)
    weights = canvas[..., 0] / canvas.sum() * 3
    ys, xs = np.mgrid[:60, :80] + 0.5
    assert ((weights * xs).sum(), (weights * ys).sum()) == pytest.approx((35, 30), abs=0.2)
    draw(canvas, np.array([-1e9, 1e12, 1e300, 0]), (255, 255, 255), 2, rim=True, dashed=True)  # no overflow


def test_dashes_begin_and_end_at_the_corners():
    strokes = list(outline(np.array([0.0, 0, 90, 50]), dash=6))
    corners = {(0, 0), (90, 0), (90, 50), (0, 50)}
    assert corners <= {start for start, _ in strokes}
    assert corners <= {tuple(np.round(end, 9)) for _, end in strokes}
    length = sum(np.hypot(x2 - x1, y2 - y1) for (x1, y1), (x2, y2) in strokes)
    assert 0.45 < length / 280 < 0.6
    assert len(list(outline(np.array([0.0, 0, 90, 50]), dash=np.inf))) == 4


def test_numbers_name_the_trackers_where_colours_do_not_suffice(sequence, run, monkeypatch):
    ball = sequence("Ball", 4)
    written: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda _, text, *rest: written.append(text))
    for count in (6, 7):
        written.clear()
        looks = styles([f"tracker {number}" for number in range(count)], "tracker 0")
        filmstrip.draw_still(ball.frames.at(1), 1, ball.boxes[1], {name: run(ball, 1) for name in looks}, looks)
        assert sorted(set(written)) == ([] if count == 6 else list("1234567"))
