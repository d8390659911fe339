"""Behind other libraries' interfaces: the same boxes, in their conventions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracker import SiamTracker, as_got10k, as_opencv
from tracker.box import overlap

SIZE = (200, 150)
BOX = (70.0, 50.0, 40.0, 30.0)


def path(step: int) -> tuple[float, float, float, float]:
    return 70.0 + 2.5 * step, 50.0 - 1.25 * step, 40.0, 30.0


def test_opencv_s_interface(seeing, draw):
    adapter, plain = as_opencv(SiamTracker(seeing)), SiamTracker(seeing)
    assert adapter.getTrackingScore() == 0
    assert adapter.init(draw(SIZE, BOX), (70, 50, 40, 30)) is None
    assert adapter.getTrackingScore() == 1
    plain.init(draw(SIZE, BOX), BOX)
    for step in range(1, 6):
        ok, box = adapter.update(draw(SIZE, path(step)))
        result = plain.update(draw(SIZE, path(step)))
        assert ok is True
        assert [type(value) for value in box] == [int] * 4
        assert np.abs(np.subtract(box, result.box)).max() <= 0.5
        assert adapter.getTrackingScore() == result.score
    cv2.rectangle(draw(SIZE), box, (0, 255, 0))  # OpenCV takes it as it is


def test_opencv_s_ok_means_not_lost(seeing, draw):
    adapter = as_opencv(SiamTracker(seeing))
    adapter.init(draw(SIZE, BOX), BOX)
    answers = [adapter.update(draw(SIZE))[0] for _ in range(25)]
    assert answers[0] is True
    assert answers[-1] is False


class Colours:
    """A runtime that keeps the crops that it is shown."""

    name = "colours"

    def __init__(self):
        self.seen = []

    def template(self, crops):
        self.seen.append(crops)
        return np.zeros((len(crops), 1, 1, 1), np.float32)

    def search(self, crops, kernels):
        self.seen.append(crops)
        return np.ones((len(crops), 5, 17, 17), np.float32), np.zeros((len(crops), 1, 21, 21), np.float32)


def test_got10k_s_images_are_rgb_and_its_boxes_count_from_1(seeing, draw):
    image_module = pytest.importorskip("PIL.Image", reason="got10k's interface is made of PIL images")
    adapter, plain = as_got10k(SiamTracker(seeing)), SiamTracker(seeing)
    adapter.init(image_module.fromarray(draw(SIZE, BOX)[..., ::-1]), np.add(BOX, (1, 1, 0, 0)))
    plain.init(draw(SIZE, BOX), BOX)
    for step in range(1, 5):
        box = adapter.update(image_module.fromarray(draw(SIZE, path(step))[..., ::-1]))
        assert box == pytest.approx(np.add(plain.update(draw(SIZE, path(step))).box, (1, 1, 0, 0)))
        assert overlap(box - (1, 1, 0, 0), path(step)) > 0.9


@pytest.mark.parametrize("alpha", [False, True])
def test_got10k_s_colours_arrive_as_bgr(fake_model, seeing, alpha):
    if seeing.card.head != "box":
        pytest.skip("the head has no say in colours")
    red = np.zeros((60, 80, 3 + alpha), np.uint8)
    red[..., 0] = 200
    if alpha:
        red[..., 3] = 99
    runtime = Colours()
    adapter = as_got10k(SiamTracker(fake_model(seeing.card, runtime)))
    adapter.init(red, (30, 20, 10, 10))
    adapter.update(red)
    assert len(runtime.seen) >= 2
    assert all(crops[0, 60, 60].tolist() == [0, 0, 200] for crops in runtime.seen)


def test_got10k_s_experiments_can_run_it(seeing, draw, tmp_path):
    trackers = pytest.importorskip("got10k.trackers", reason="the got10k package is an extra")
    adapter = as_got10k(SiamTracker(seeing))
    for name in ("init", "update", "track"):
        assert callable(getattr(adapter, name))
        assert hasattr(trackers.Tracker, name)
    assert (adapter.name, adapter.is_deterministic) == ("fake", True)
    assert as_got10k(SiamTracker(seeing), "mine").name == "mine"

    files, truth = [], [path(step) for step in range(6)]
    for step, box in enumerate(truth):
        files.append(str(tmp_path / f"{step:04d}.png"))
        assert cv2.imwrite(files[-1], draw(SIZE, box))
    boxes, seconds = adapter.track(files, np.add(truth[0], (1, 1, 0, 0)), visualize=False)
    assert boxes.shape == (6, 4)
    assert seconds.shape == (6,)
    assert (seconds > 0).all()
    assert boxes[0].tolist() == [71, 51, 40, 30]
    assert (overlap(boxes - (1, 1, 0, 0), truth) > 0.9).all()


def test_a_model_s_name_is_no_path(weights):
    # got10k joins it to the folder of results
    assert as_got10k(SiamTracker.from_pretrained(weights["compact"])).name == "compact"
