"""The camera's motion between two frames: from the images where there are any, else from the detections.

People walk each in a direction of their own; what most of them share is the camera. Only the shift of the image is
estimated (a camera that pans, tilts or shakes); what zooming and driving do to a box remains in its own velocity.
"""

from __future__ import annotations

import cv2
import numpy as np

from tracker.association.detections import Detections
from tracker.association.trail import Floats, Integers
from tracker.frame import Image
from tracker.jit import compiled

NEAR = 0.7  # body heights between two frames within which detections are partners
SIZES = 0.3  # log ratio of heights of partners
QUORUM = 4  # partners from which on their median is believed
NOISE = 0.02  # body heights: shifts below are the detector's noise
LARGEST_SIDE = 320  # pixels: images are reduced to it
CORNERS = 200
CORNER_DISTANCE = 7  # pixels of the reduced image
FEWEST_CORNERS = 12


class Camera:
    """Where the first frame's origin is in the newest one.

    Attributes:
        offset: (2,) pixels.
    """

    def __init__(self) -> None:
        self.offset: Floats = np.zeros(2)
        self._before: Detections | None = None
        self._grey: Image | None = None

    def update(self, detections: Detections, image: Image | None = None) -> Floats:
        """Take the next frame; returns the new `offset`."""
        shift = None
        grey = None if image is None else _reduced(image)
        if grey is not None and self._grey is not None and grey.shape == self._grey.shape:
            shift = _image_shift(self._grey, grey, detections.xywh, image.shape[1] / grey.shape[1])  # type: ignore[union-attr]
        if shift is None and image is None and self._before is not None:
            shift = detections_shift(self._before.xywh, detections.xywh)
        if shift is not None:
            self.offset = self.offset + shift
        self._grey = grey
        if len(detections) or image is not None:
            self._before = detections
        return self.offset


def detections_shift(before: Floats, after: Floats) -> Floats | None:
    """Median shift (2,) in pixels of detections that are each other's nearest; ``None`` where they are too few.

    Args:
        before, after: (N, 4) and (M, 4) boxes of two frames.
    """
    shifts, bodies = _partners(before, after)
    if len(shifts) < QUORUM:
        return None
    shift = np.median(shifts, axis=0)
    spread = np.median(np.abs(shifts - shift), axis=0) * 1.5 / np.sqrt(len(shifts))
    doubt = np.maximum(spread, NOISE * np.median(bodies))
    return np.sign(shift) * np.maximum(np.abs(shift) - doubt, 0)  # what could be chance is left out


def _partners(before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """Shifts (P, 2) and heights (P,) of mutually nearest boxes."""
    if not len(before) or not len(after):
        return np.empty((0, 2)), np.empty(0)
    a, b = _nearest(before, after), _nearest(after, before)
    found = np.flatnonzero((a >= 0) & (b[a] == np.arange(len(a))))
    centre = [boxes[:, :2] + boxes[:, 2:] / 2 for boxes in (before, after)]
    return centre[1][a[found]] - centre[0][found], before[found, 3]


@compiled
def _nearest(a: Floats, b: Floats) -> Integers:
    """Of each box in `a` the nearest in `b` within reach, (N,); −1: none."""
    out = np.full(len(a), -1, np.int64)
    for i in range(len(a)):
        best = NEAR * a[i, 3]
        x, y = a[i, 0] + a[i, 2] / 2, a[i, 1] + a[i, 3] / 2
        for j in range(len(b)):
            dx = b[j, 0] + b[j, 2] / 2 - x
            if abs(dx) >= best:
                continue
            d = np.hypot(dx, b[j, 1] + b[j, 3] / 2 - y)
            if d < best and abs(np.log(b[j, 3] / a[i, 3])) < SIZES:
                best, out[i] = d, j
    return out


def _reduced(image: Image) -> Image:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    scale = min(1.0, LARGEST_SIDE / max(grey.shape))
    return grey if scale == 1 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _image_shift(before: Image, after: Image, xywh: Floats, scale: float) -> Floats | None:
    """Median shift (2,) of corners of the background in pixels of the full image; ``None`` where there are too few."""
    background = np.full(before.shape, 255, np.uint8)
    for x, y, w, h in xywh / scale:
        cv2.rectangle(background, (int(x), int(y)), (int(x + w), int(y + h)), 0, -1)
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, CORNER_DISTANCE, mask=background)
    if corners is None or len(corners) < FEWEST_CORNERS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, np.empty_like(corners))
    shifts = (moved - corners)[found.reshape(-1) == 1].reshape(-1, 2)
    if len(shifts) < FEWEST_CORNERS:
        return None
    return np.median(shifts, axis=0).astype(np.float64) * scale
