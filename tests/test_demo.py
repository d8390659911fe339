"""The bundled clip: what it weighs, that its ground truth fits, and that the script still renders it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[1] / "examples"
CLIP = EXAMPLES / "demo.mp4"


@pytest.fixture(scope="module")
def clip() -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(CLIP))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


@pytest.fixture(scope="module")
def groundtruth() -> NDArray[np.float64]:
    return np.genfromtxt(EXAMPLES / "demo_groundtruth.txt", delimiter=",")


def test_clip_is_small_and_of_the_promised_form(clip: list[NDArray[np.uint8]]) -> None:
    assert CLIP.stat().st_size <= 2 * 2**20
    assert len(clip) == 300
    assert {frame.shape for frame in clip} == {(360, 640, 3)}
    assert cv2.VideoCapture(str(CLIP)).get(cv2.CAP_PROP_FPS) == 25


def test_groundtruth_has_one_box_a_frame_inside_the_picture(
    clip: list[NDArray[np.uint8]], groundtruth: NDArray[np.float64]
) -> None:
    assert groundtruth.shape == (len(clip), 4)
    x, y, w, h = groundtruth[np.isfinite(groundtruth).all(axis=1)].T
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (w > 0).all()
    assert (h > 0).all()
    assert (x + w <= 640).all()
    assert (y + h <= 360).all()


def test_story_has_one_occlusion_of_most_of_a_second_and_a_change_of_scale(groundtruth: NDArray[np.float64]) -> None:
    hidden = np.flatnonzero(np.isnan(groundtruth[:, 0]))
    assert 0.6 <= len(hidden) / 25 <= 1.0
    assert hidden[-1] - hidden[0] + 1 == len(hidden)
    size = np.hypot(groundtruth[:, 2], groundtruth[:, 3])
    assert np.nanmax(size) / size[0] >= 1.6
    centre = groundtruth[:, :2] + groundtruth[:, 2:] / 2
    jump = np.linalg.norm(centre[hidden[-1] + 1] - centre[hidden[0] - 1])
    assert jump <= 2 * size[hidden[0] - 1]  # it comes back within reach of a search around where it vanished


def test_first_box_is_the_one_of_the_groundtruth(groundtruth: NDArray[np.float64]) -> None:
    assert json.loads((EXAMPLES / "demo_box.json").read_text()) == [groundtruth[0].tolist()]


@pytest.mark.parametrize("index", [0, 1, 183, 299])
def test_script_renders_the_bundled_frames(
    render_demo: ModuleType, clip: list[NDArray[np.uint8]], groundtruth: NDArray[np.float64], index: int
) -> None:
    scenario = render_demo.SCENARIOS["demo"]
    frame = render_demo.render_frame(index, scenario)
    difference = np.abs(frame.astype(float) - clip[index]).mean()
    neighbour = np.abs(frame.astype(float) - clip[index - 10 if index > 10 else index + 10]).mean()
    assert difference < 6  # the codec's loss, in grey levels
    assert difference < neighbour / 2
    box = render_demo.true_box(index, scenario)
    np.testing.assert_allclose((np.nan,) * 4 if box is None else box, groundtruth[index], atol=0.006)


def test_groundtruth_is_where_the_red_car_is(clip: list[NDArray[np.uint8]], groundtruth: NDArray[np.float64]) -> None:
    """The box found by colour alone agrees with the one from geometry."""
    for index in (0, 120, 150, 215, 240):
        blue, green, red = clip[index].astype(int).transpose(2, 0, 1)
        mask = ((red > 60) & (red > 2.2 * green) & (red > 1.8 * blue)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(mask, np.ones((9, 9), np.uint8)))
        x, y, w, h, _ = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])]
        assert count > 1
        np.testing.assert_allclose((x + 4, y + 4, w - 8, h - 8), groundtruth[index], atol=5)


def test_leaving_target_is_gone_for_good(render_demo: ModuleType) -> None:
    scenario = render_demo.SCENARIOS["leaves"]
    seen = np.array([render_demo.true_box(index, scenario) is not None for index in range(0, scenario.frames, 4)])
    last = int(np.flatnonzero(seen)[-1])
    assert seen[: last + 1].all()
    assert (len(seen) - last) * 4 >= 2 * render_demo.FPS
