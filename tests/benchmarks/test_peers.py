from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peers import PEERS, OpenCVTracker, load_peer
from tracker.box import overlap
from tracker.result import TrackState

WEIGHTS = Path(__file__).parents[3] / "shared" / "peers"


class FakeOpenCV:
    """cv2.Tracker's interface with answers given beforehand."""

    def __init__(self, answers: list[tuple[bool, tuple[int, int, int, int]]], score: float = -1.0) -> None:
        self.answers = iter(answers)
        self.score = score
        self.started_with: tuple[int, ...] = ()

    def init(self, image: np.ndarray, box: tuple[int, ...]) -> None:
        self.started_with = box

    def update(self, image: np.ndarray) -> tuple[bool, tuple[int, int, int, int]]:
        return next(self.answers)

    def getTrackingScore(self) -> float:
        return self.score


FRAME = np.zeros((48, 64, 3), np.uint8)


def test_the_last_box_is_kept_when_opencv_reports_a_failure():
    tracker = OpenCVTracker(lambda: FakeOpenCV([(True, (5, 6, 7, 8)), (False, (0, 0, 0, 0)), (True, (9, 6, 7, 8))]))
    tracker.init(FRAME, (1.0, 2.0, 7.0, 8.0))
    results = [tracker.update(FRAME) for _ in range(3)]
    assert [result.box for result in results] == [(5, 6, 7, 8), (5, 6, 7, 8), (9, 6, 7, 8)]
    assert [result.state for result in results] == [TrackState.TRACKING, TrackState.LOST, TrackState.TRACKING]
    assert [result.score for result in results] == [1, 0, 1]


def test_a_failure_in_the_first_update_keeps_the_box_as_given():
    tracker = OpenCVTracker(lambda: FakeOpenCV([(False, (0, 0, 0, 0))]))
    tracker.init(FRAME, (1.5, 2.25, 7.0, 8.0))
    assert tracker.update(FRAME).box == (1.5, 2.25, 7.0, 8.0)


def test_a_score_is_passed_on_where_there_is_one():
    tracker = OpenCVTracker(lambda: FakeOpenCV([(True, (5, 6, 7, 8))], score=0.375))
    tracker.init(FRAME, (1, 2, 7, 8))
    assert tracker.update(FRAME).score == 0.375


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((10.4, 20.6, 8.0, 6.0), (10, 21, 8, 6)),
        ((-5.0, -3.0, 20.0, 20.0), (0, 0, 15, 17)),
        ((60.0, 40.0, 20.0, 20.0), (60, 40, 4, 8)),
        ((10.0, 10.0, 0.2, 0.2), (10, 10, 1, 1)),
        ((63.9, 47.9, 0.2, 0.2), (63, 47, 1, 1)),
    ],
)
def test_opencv_is_given_whole_pixels_inside_the_image(box: tuple, pixels: tuple):
    fake = FakeOpenCV([])
    OpenCVTracker(lambda: fake).init(FRAME, box)
    assert fake.started_with == pixels


def test_each_init_makes_a_fresh_tracker():
    made = []
    tracker = OpenCVTracker(lambda: made.append(FakeOpenCV([])) or made[-1])
    tracker.init(FRAME, (1, 2, 7, 8))
    tracker.init(FRAME, (1, 2, 7, 8))
    assert len(made) == 2


def test_update_before_init_is_refused():
    with pytest.raises(RuntimeError, match=r"update\(\) before init\(\)"):
        OpenCVTracker(lambda: FakeOpenCV([])).update(FRAME)


def test_an_opencv_without_the_tracker_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(cv2, "TrackerCSRT_create", raising=False)
    with pytest.raises(RuntimeError, match=r"make peers.*opencv-contrib-python-headless"):
        load_peer("csrt", WEIGHTS)


@pytest.mark.skipif(not hasattr(peers.OPENCV, "TrackerNano_create"), reason="this OpenCV has no TrackerNano")
def test_missing_weights_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no nanotrack_v2_backbone.onnx in .*--peer-weights"):
        load_peer("nanotrack", tmp_path)


def test_an_unknown_peer_is_refused():
    with pytest.raises(ValueError, match="no peer 'mosse'; there are nanotrack, vittrack, csrt, kcf"):
        load_peer("mosse", WEIGHTS)


def load_or_skip(name: str):
    if name in ("nanotrack", "vittrack") and not WEIGHTS.is_dir():
        pytest.skip("needs the weights in ../shared/peers")
    try:
        return load_peer(name, WEIGHTS)
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_follows_a_textured_square(name: str):
    tracker = load_or_skip(name)
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 90, (240, 320, 3), dtype=np.uint8), (0, 0), 3)
    patch = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC)
    for index in range(12):
        frame, x, y = scene.copy(), 100 + 3 * index, 80 + 2 * index
        frame[y : y + 48, x : x + 48] = patch
        if index == 0:
            tracker.init(frame, (x, y, 48, 48))
        else:
            result = tracker.update(frame)
    assert result.state is TrackState.TRACKING
    assert overlap(result.box, (x, y, 48, 48)) > 0.6
