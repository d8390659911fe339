"""Optical flow between two frames, by OpenCV's dense inverse search (Kroeger et al. 2016)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.frame import Image

FLOW_SIDE = 288  # pixels: larger images are halved until their shorter side is below twice this


class FlowField:
    """Dense motion from frame to frame, without that of the camera.

    Args:
        subtract_camera: take the field's median off: the camera's motion, where most of the image is background.
    """

    def __init__(self, subtract_camera: bool = True) -> None:
        self.subtract_camera = subtract_camera
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(self, previous: Image | None, image: Image) -> NDArray[np.float32]:
        """Where the pixels of `image` came from, reversed: their motion since `previous`.

        Args:
            previous: (H, W, 3) uint8 BGR, or ``None`` before the first frame.
            image: (H, W, 3) uint8 BGR.

        Returns:
            (h, w, 2) float32 x and y in pixels of `image` (not of the smaller field) a frame; zeros without `previous`,
            or if it has another size. The field is `image` scaled down by a power of two.
        """
        grey = _small_grey(image)
        if previous is None or previous.shape != image.shape:
            return np.zeros((*grey.shape, 2), np.float32)
        # from this frame to the one before: so the field lies on this frame's pixels, where the detections are
        back = np.asarray(self._search.calc(grey, _small_grey(previous), None))  # type: ignore[call-overload]
        flow = -back * np.float32(image.shape[1] / grey.shape[1])
        if self.subtract_camera:
            flow -= np.median(flow.reshape(-1, 2), axis=0)
        return flow


def _small_grey(image: Image) -> Image:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    while min(grey.shape) >= 2 * FLOW_SIDE:
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(grey, np.uint8)
