from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import opencv
from benchmarks.one_pass import seed
from benchmarks.opencv import OPENCV_TRACKERS, OpenCVTracker
from benchmarks.trackers import TrackerSpec
from tracker.box import overlap
from tracker.result import TrackState

WEIGHTS = Path(__file__).parents[3] / "shared" / "peers"
FRAME = np.zeros((48, 64, 3), np.uint8)


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


def test_an_init_that_opencv_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FakeOpenCV, "init", lambda *_: False)
    with pytest.raises(RuntimeError, match=r"OpenCV could not start on \(1, 2, 7, 8\)"):
        OpenCVTracker(lambda: FakeOpenCV([])).init(FRAME, (1, 2, 7, 8))


def test_update_before_init_is_refused():
    with pytest.raises(RuntimeError, match=r"update\(\) before init\(\)"):
        OpenCVTracker(lambda: FakeOpenCV([])).update(FRAME)


@pytest.mark.parametrize(("name", "attribute"), [("csrt", "TrackerCSRT_create"), ("mosse", "legacy")])
def test_an_opencv_without_the_tracker_says_what_to_install(name: str, attribute: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(cv2, attribute, raising=False)
    with pytest.raises(RuntimeError, match=r"make peers.*\.venv-peers.*pip install 'opencv-contrib-python-headless'"):
        TrackerSpec.parse(f"opencv:{name}").settings()


def needs(attribute: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not hasattr(opencv.OPENCV, attribute), reason=f"this OpenCV has no {attribute}")


@needs("TrackerNano_create")
def test_missing_weights_are_named_with_what_to_type(tmp_path: Path):
    message = r"needs .*nanotrack_v2_backbone\.onnx or .*nanotrack_backbone_sim\.onnx, .*opencv:nano,backbone=PATH"
    with pytest.raises(FileNotFoundError, match=message):
        TrackerSpec.parse("opencv:nano", peers=tmp_path).settings()
    with pytest.raises(FileNotFoundError, match=r"needs .*none\.onnx, not there"):
        TrackerSpec.parse(f"opencv:nano,backbone={tmp_path}/none.onnx").settings()


@needs("TrackerNano_create")
def test_weights_are_found_by_path_or_by_name_in_a_folder(tmp_path: Path):
    (tmp_path / "x.onnx").write_bytes(b"head")
    (tmp_path / "nanotrack_backbone_sim.onnx").write_bytes(b"backbone")
    by_both = TrackerSpec.parse(f"opencv:nano,folder={tmp_path},neckhead={tmp_path}/x.onnx").settings()
    (tmp_path / "nanotrack_head_sim.onnx").write_bytes(b"head")
    assert TrackerSpec.parse("opencv:nano", peers=tmp_path).settings() == by_both  # hashed, not named
    (tmp_path / "nanotrack_head_sim.onnx").write_bytes(b"another")
    assert TrackerSpec.parse("opencv:nano", peers=tmp_path).settings() != by_both


def test_options_that_opencvs_tracker_does_not_have_are_refused():
    with pytest.raises(ValueError, match="opencv:mil has no option net; there are folder, threads"):
        TrackerSpec.parse("opencv:mil,net=x").settings()
    with pytest.raises(ValueError, match="no tracker opencv:tld; there are mil, kcf, csrt, mosse"):
        TrackerSpec.parse("opencv:tld").settings()


def load_or_skip(name: str):
    try:
        return TrackerSpec.parse(f"opencv:{name}", peers=WEIGHTS).load()
    except FileNotFoundError as error:
        pytest.skip(f"its weights are not at hand: {error}")
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", OPENCV_TRACKERS)
def test_each_of_opencvs_trackers_follows_a_textured_square(name: str):
    tracker = load_or_skip(name)
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 90, (240, 320, 3), dtype=np.uint8), (0, 0), 3)
    patch = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC)
    dx, dy = (0, 0) if name == "mosse" else (3, 2)  # MOSSE loses it where it moves
    seed()  # MIL chooses its features at random
    for index in range(12):
        frame, x, y = scene.copy(), 100 + dx * index, 80 + dy * index
        frame[y : y + 48, x : x + 48] = patch
        if index == 0:
            tracker.init(frame, (x, y, 48, 48))
        else:
            result = tracker.update(frame)
    assert result.state is TrackState.TRACKING
    assert overlap(result.box, (x, y, 48, 48)) > (0.3 if name == "mil" else 0.6)
