"""The camera's motion: found where it is, left alone where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracker.association.camera import Camera, detections_shift
from tracker.association.detections import Detections


def standing(count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.column_stack(
        [np.arange(count) * 90.0, rng.uniform(0, 300, count), np.full(count, 40.0), np.full(count, 100.0)]
    )


def test_a_shift_that_all_share_is_the_camera() -> None:
    boxes = standing()
    noise = np.random.default_rng(0).normal(0, 0.3, (12, 2))
    moved = boxes + np.c_[np.full((12, 2), (12.0, -7.0)) + noise, np.zeros((12, 2))]
    shift = detections_shift(boxes, moved)
    assert shift is not None
    np.testing.assert_allclose(shift, (12, -7), atol=2.5)
    assert (np.abs(shift) < (12.5, 7.5)).all()  # what could be noise is left out


def test_walkers_in_both_directions_are_not_the_camera() -> None:
    boxes = standing()
    moved = boxes.copy()
    moved[:, 0] += np.where(np.arange(12) % 2, 3.0, -3.0)
    shift = detections_shift(boxes, moved)
    assert shift is not None
    np.testing.assert_allclose(shift, 0, atol=1e-9)


def test_too_few_say_nothing() -> None:
    assert detections_shift(standing(3), standing(3) + (9, 0, 0, 0)) is None
    assert detections_shift(standing(0), standing(3)) is None


@pytest.mark.parametrize("scale", [1, 3])
def test_images_tell_it_without_detections(scale: int) -> None:
    rng = np.random.default_rng(1)
    coarse = cv2.resize(rng.integers(0, 255, (60, 80, 3), np.uint8), None, fx=5 * scale, fy=5 * scale)
    height, width = 240 * scale, 320 * scale
    camera = Camera()
    for k in range(4):
        x, y = 10 * scale + 3 * scale * k, 8 * scale + scale * k
        offset = camera.update(Detections(k, []), np.ascontiguousarray(coarse[y : y + height, x : x + width]))
    np.testing.assert_allclose(offset, (-9 * scale, -3 * scale), atol=0.6 * scale)


def test_a_frame_without_detections_forgets_nothing() -> None:
    camera, boxes = Camera(), standing()
    camera.update(Detections(0, boxes))
    camera.update(Detections(1, []))
    assert camera.update(Detections(2, boxes + (12, 0, 0, 0)))[0] > 8
