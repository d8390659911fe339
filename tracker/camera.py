"""A camera's intrinsics: pixel → direction, so that a result becomes a bearing.

camera = Camera.from_file("front.yaml")
azimuth, elevation = camera.bearing(result.at(now).centre)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

MODELS = ("plumb_bob", "rational_polynomial", "equidistant")  # as ROS names them; the last is OpenCV's fisheye


@dataclass(frozen=True)
class Camera:
    """A pinhole with lens distortion.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point, in OpenCV's and ROS's coordinates, where the middle of the first pixel is 0: half a
            pixel less than in this package's, which begin at that pixel's edge. Conversion happens here.
        distortion: OpenCV's coefficients: none; k1 k2 p1 p2 [k3 [k4 k5 k6]]; for "equidistant" k1 k2 k3 k4.
        model: one of `MODELS`.

    Raises:
        ValueError: a focal length that is not positive, a number that is not finite, an unknown model, or a number of
            coefficients that it does not have.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    model: str = "plumb_bob"

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(map(math.isfinite, numbers)) or min(self.fx, self.fy) <= 0:
            raise ValueError(f"intrinsics must be finite, focal lengths positive, got {numbers}")
        if self.model not in MODELS:
            raise ValueError(f"unknown distortion model {self.model!r}; there are {', '.join(MODELS)}")
        counts = (0, 4) if self.model == "equidistant" else (0, 4, 5, 8)
        if len(self.distortion) not in counts:
            raise ValueError(f"{self.model} has {' or '.join(map(str, counts))} coefficients, got {self.distortion}")

    @classmethod
    def from_info(cls, info: Any) -> Camera:
        """The camera of a `sensor_msgs/CameraInfo` message, of ROS 1 (``K``, ``D``) or ROS 2 (``k``, ``d``).

        Raises:
            ValueError: as above: an uncalibrated camera publishes zeros.
        """
        k, d = (info.k, info.d) if hasattr(info, "k") else (info.K, info.D)
        return cls(float(k[0]), float(k[4]), float(k[2]), float(k[5]), _coefficients(d), _model(info.distortion_model))

    @classmethod
    def from_file(cls, path: str | Path) -> Camera:
        """The camera of a calibration file: ROS's camera_calibration (YAML), or OpenCV's samples (YAML, XML, JSON; the
        entries ``camera_matrix`` and ``distortion_coefficients``).

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is no calibration, or as above.
        """
        path = Path(path)
        text = path.read_text("utf-8")
        if text.startswith("%YAML") or text.lstrip().startswith(("<", "{")):
            return cls._from_opencv(path, text)
        try:
            matrix, d = _entry(text, "camera_matrix"), _entry(text, "distortion_coefficients")
            return cls(matrix[0], matrix[4], matrix[2], matrix[5], _coefficients(d), _model(_word(text)))
        except (IndexError, ValueError) as error:
            raise ValueError(f"{path} is not a camera's calibration: {error}") from error

    @classmethod
    def _from_opencv(cls, path: Path, text: str) -> Camera:
        try:
            storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
            matrix, d = (storage.getNode(name).mat() for name in ("camera_matrix", "distortion_coefficients"))
        except (cv2.error, SystemError) as error:
            raise ValueError(f"{path} is not a camera's calibration: it is no YAML, XML or JSON") from error
        if matrix is None or matrix.shape != (3, 3) or d is None:
            raise ValueError(f"{path} is not a camera's calibration: no camera_matrix or distortion_coefficients")
        fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
        return cls(fx, fy, cx, cy, _coefficients(d.ravel()))

    def ray(self, point: tuple[float, float]) -> tuple[float, float, float]:
        """Unit vector to what is seen at a place: right, down, ahead (OpenCV's and ROS's optical frame).

        Args:
            point: (x, y) in continuous pixels; may lie outside the image.
        """
        matrix = np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])
        seen = np.array([[[point[0] - 0.5, point[1] - 0.5]]])
        coefficients = np.array(self.distortion or (0.0,) * 4)
        if self.model == "equidistant":
            straight = cv2.fisheye.undistortPoints(seen, matrix, coefficients)
        else:
            until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)  # the default stops after 5 steps
            undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # OpenCV 5 made them one
            straight = undistort(seen, matrix, coefficients, R=np.eye(3), P=np.eye(3), criteria=until)
        x, y = (float(value) for value in straight.ravel())
        length = math.sqrt(x * x + y * y + 1)
        return x / length, y / length, 1 / length

    def bearing(self, point: tuple[float, float]) -> tuple[float, float]:
        """(azimuth, elevation) in radians: how far to turn to the right, then up, from the optical axis.

        Args:
            point: as for `ray`.
        """
        x, y, z = self.ray(point)
        return math.atan2(x, z), math.atan2(-y, math.hypot(x, z))


def _coefficients(values: Any) -> tuple[float, ...]:
    """Trailing zeros that say nothing are left out: ROS writes 5 where 4 or 8 are meant, and 0 where there are none."""
    found = tuple(float(value) for value in values)
    return found if any(found) else ()


def _model(name: str) -> str:
    return "equidistant" if name == "fisheye" else name or "plumb_bob"


def _entry(text: str, name: str) -> list[float]:
    """The numbers of ``name: {rows: …, cols: …, data: [...]}`` in YAML's block style."""
    _, found, after = text.partition(f"{name}:")
    if not found:
        raise ValueError(f"no {name}")
    data = after.partition("data:")[2].partition("[")[2].partition("]")[0]
    return [float(number) for number in data.replace("\n", " ").split(",") if number.strip()]


def _word(text: str) -> str:
    return text.partition("distortion_model:")[2].partition("\n")[0].strip().strip("'\"")
