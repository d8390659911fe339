"""Bearings are held against points in space, projected by OpenCV into a camera of the same intrinsics."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tracker.camera import Camera

K = np.array([[520.0, 0, 318.5], [0, 510.0, 242.25], [0, 0, 1]])
LENSES = {
    "none": ("plumb_bob", ()),
    "four": ("plumb_bob", (-0.28, 0.07, 0.001, -0.002)),
    "plumb_bob": ("plumb_bob", (-0.28, 0.07, 0.001, -0.002, 0.01)),
    "rational": ("rational_polynomial", (0.4, 0.1, 0.001, 0.0005, 0.01, 0.7, 0.2, 0.02)),
    "fisheye": ("equidistant", (0.02, -0.01, 0.003, -0.001)),
}
POINTS = [(0, 0, 2), (1, 0, 2), (-0.8, 0.5, 2), (0.3, -0.6, 1.5), (0.9, 0.7, 2)]  # right, down, ahead, in metres


def camera(lens: str) -> Camera:
    model, coefficients = LENSES[lens]
    return Camera(K[0, 0], K[1, 1], K[0, 2], K[1, 2], coefficients, model)


def seen(lens: str, point) -> tuple[float, float]:
    """Where OpenCV projects a point, in this package's continuous pixels."""
    model, coefficients = LENSES[lens]
    zero, where = np.zeros(3), np.array([[point]], float)
    if model == "equidistant":
        pixels, _ = cv2.fisheye.projectPoints(where, zero, zero, K, np.array(coefficients))
    else:
        pixels, _ = cv2.projectPoints(where, zero, zero, K, np.array(coefficients or (0.0,) * 4))
    x, y = pixels.ravel()
    return x + 0.5, y + 0.5


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("lens", LENSES)
def test_a_point_in_space_is_seen_where_it_is(lens, point):
    x, y, z = point
    pixel = seen(lens, point)
    azimuth, elevation = camera(lens).bearing(pixel)
    assert azimuth == pytest.approx(math.atan2(x, z), abs=1e-6)
    assert elevation == pytest.approx(math.atan2(-y, math.hypot(x, z)), abs=1e-6)
    assert camera(lens).ray(pixel) == pytest.approx(np.array(point) / np.linalg.norm(point), abs=1e-6)


def test_right_and_up_are_positive():
    azimuth, elevation = camera("none").bearing((600, 50))
    assert azimuth > 0
    assert elevation > 0
    assert camera("none").bearing((K[0, 2] + 0.5, K[1, 2] + 0.5)) == pytest.approx((0, 0))


@pytest.mark.parametrize("lens", LENSES)
def test_camera_info_of_both_ros_generations(lens):
    model, coefficients = LENSES[lens]
    ros2 = SimpleNamespace(k=K.ravel(), d=list(coefficients), distortion_model=model)
    ros1 = SimpleNamespace(K=tuple(K.ravel()), D=coefficients, distortion_model=model)
    assert Camera.from_info(ros2) == Camera.from_info(ros1) == camera(lens)


def test_an_uncalibrated_camera_is_refused():
    with pytest.raises(ValueError, match="focal lengths positive"):
        Camera.from_info(SimpleNamespace(k=np.zeros(9), d=[], distortion_model=""))


ROS_FILE = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [520., 0., 318.5, 0., 510., 242.25,
         0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.28, 0.07, 0.001, -0.002, 0.01]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""


def test_calibration_files(tmp_path):
    (tmp_path / "ros.yaml").write_text(ROS_FILE)
    assert Camera.from_file(tmp_path / "ros.yaml") == camera("plumb_bob")
    for suffix in ("yml", "xml", "json"):
        path = tmp_path / f"opencv.{suffix}"
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
        storage.write("camera_matrix", K)
        storage.write("distortion_coefficients", np.array([LENSES["plumb_bob"][1]]).T)
        storage.release()
        assert Camera.from_file(path) == camera("plumb_bob")


@pytest.mark.parametrize("text", ["", "camera_matrix: none", "%YAML:1.0\n---\nother: 1\n", "{}", "<a"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"file\.yaml is not a camera's calibration"):
        Camera.from_file(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 500, 300, 200), "positive"),
        ((500, 500, math.nan, 200), "finite"),
        ((500, 500, 300, 200, (0.1, 0.2)), "coefficients"),
        ((500, 500, 300, 200, (0.1,) * 5, "equidistant"), "coefficients"),
        ((500, 500, 300, 200, (), "omni"), "omni"),
    ],
)
def test_wrong_intrinsics_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Camera(*arguments)
