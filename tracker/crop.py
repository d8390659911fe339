"""Context-padded, sub-pixel crops: the exemplar and search regions of SiamFC (Bertinetto et al. 2016, section 2.3)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.result import Box

CONTEXT = 0.5  # share of the mean of width and height that is added on each side's length


def exemplar_side(w: float, h: float) -> float:
    """Side in image pixels of the square exemplar region of a w×h box: √((w + p)(h + p)), p = (w + h) / 2."""
    padding = CONTEXT * (w + h)
    return math.sqrt((w + padding) * (h + padding))


def crop_matrix(centre: tuple[float, float], side: float, size: int, mirror: bool = False) -> NDArray[np.float64]:
    """(2, 3) affine map from pixel indices of a size×size crop to pixel indices of the image.

    Coordinates are continuous (a pixel's index is the coordinate of its centre minus 0.5), so that the crop's middle
    ``size / 2`` falls exactly on `centre`, wherever between pixels that is.

    Args:
        centre: (x, y) in image pixels.
        side: of the square region in image pixels.
        size: of the crop in pixels.
        mirror: flip left and right.
    """
    step = side / size
    step_x = -step if mirror else step
    shift_x = centre[0] + (0.5 - size / 2) * step_x - 0.5
    shift_y = centre[1] + (0.5 - size / 2) * step - 0.5
    return np.array([[step_x, 0.0, shift_x], [0.0, step, shift_y]])


def mean_colour(image: NDArray[np.uint8]) -> tuple[float, ...]:
    """The image's mean B, G and R, in [0, 255]: what stands beyond its border."""
    return cv2.mean(image)[:3]


def crop(
    image: NDArray[np.uint8], centre: tuple[float, float], side: float, size: int, border: tuple[float, ...]
) -> NDArray[np.uint8]:
    """Cut a square region and resample it bilinearly.

    Args:
        image: (H, W, 3) uint8.
        centre: (x, y) in continuous image pixels.
        side: of the region in image pixels.
        size: of the crop in pixels.
        border: B, G, R in [0, 255] beyond the image's border.

    Returns:
        (size, size, 3) uint8.
    """
    return cv2.warpAffine(  # type: ignore[return-value]
        image,
        crop_matrix(centre, side, size),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )


def centre_of(box: Box) -> tuple[float, float]:
    """Centre of ``(x, y, w, h)``."""
    x, y, w, h = box
    return x + w / 2, y + h / 2
