"""Optical flow: known shifts come out in pixels of the image, and the camera's are taken off."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracker.association.flow_field import FlowField


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1.0, 0, x], [0, 1, y]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("side", [240, 600, 1200])
def test_a_shift_comes_out_in_pixels_of_the_image(side: int) -> None:
    before = cv2.GaussianBlur(texture(side, side + 80), (0, 0), max(2, side / 200))
    flow = FlowField(subtract_camera=False)(before, shifted(before, 4, -3))
    assert flow.dtype == np.float32
    assert min(flow.shape[:2]) < 576
    middle = flow[flow.shape[0] // 4 : -flow.shape[0] // 4, flow.shape[1] // 4 : -flow.shape[1] // 4]
    pixel = (side + 80) / flow.shape[1]  # of the field, in image pixels
    assert np.abs(np.median(middle.reshape(-1, 2), axis=0) - (4, -3)).max() < 0.2 * pixel


def test_what_moves_against_the_camera_is_left_over() -> None:
    background, thing = texture(240, 320), texture(60, 60, 1)
    before, after = background.copy(), shifted(background, 2, 1)
    before[90:150, 100:160] = thing
    after[90:150, 105:165] = thing
    flow = FlowField()(before, after)
    assert np.abs(np.median(flow.reshape(-1, 2), axis=0)).max() < 1e-5
    inside = np.median(flow[100:140, 115:155].reshape(-1, 2), axis=0)
    assert np.abs(inside - (5 - 2, 0 - 1)).max() < 0.4


def test_without_a_frame_before_nothing_moves() -> None:
    image = texture(120, 160)
    assert not FlowField()(None, image).any()
    assert not FlowField()(texture(100, 160), image).any()
    assert FlowField()(None, image).shape == (120, 160, 2)
