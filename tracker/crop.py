"""Context-padded, sub-pixel crops: the exemplar and search regions of SiamFC (Bertinetto et al. 2016, section 2.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.jit import compiled
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
    """Cut a square region and resample it bilinearly: (size, size, 3) uint8; see `crops`."""
    return crops(image, centre, (side,), size, border)[0]


def crops(
    image: NDArray[np.uint8],
    centre: tuple[float, float],
    sides: Sequence[float] | NDArray[np.floating],
    size: int,
    border: tuple[float, ...],
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Cut square regions around one place and resample them bilinearly.

    Args:
        image: (H, W, 3) uint8, contiguous.
        centre: (x, y) in continuous image pixels.
        sides: of the S regions in image pixels.
        size: of each crop in pixels.
        border: B, G, R in [0, 255] beyond the image's border.
        out: where to put them; memory that is new in each frame costs as much as half a crop.

    Returns:
        (S, size, size, 3) uint8.
    """
    height, width = image.shape[:2]
    cuts = np.empty((len(sides), size, size, 3), np.uint8) if out is None else out
    colour = np.array(border, np.float32)
    for side, cut in zip(sides, cuts, strict=True):
        matrix = crop_matrix(centre, side, size)
        rows, down = _taps(matrix[1, 1], matrix[1, 2], size, height)
        columns, across = _taps(matrix[0, 0], matrix[0, 2], size, width)
        _resample(image, rows, down, columns, across, colour, cut)
    return cuts


def _taps(step: float, first: float, size: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Where the pixels of a crop fall along one axis of the image: the pixel before, and the share of the one behind.

    Beyond the border all is one colour, so that two pixels of it are enough, on either side.
    """
    places = np.arange(size) * step + first
    before = np.floor(places)
    within = np.fmin(np.fmax(before, -2), length)  # unlike `clip`, these leave no NaN, which would be a wild address
    return within.astype(np.int64), (places - before).astype(np.float32)


@compiled
def _resample(
    image: NDArray[np.uint8],
    rows: NDArray[np.int64],
    down: NDArray[np.float32],
    columns: NDArray[np.int64],
    across: NDArray[np.float32],
    border: NDArray[np.float32],
    cut: NDArray[np.uint8],
) -> None:
    """Fill `cut`: first two rows of the image make one line, which is contiguous work; then the line's pixels mix.

    An affine warp, which allows rotation, reads four pixels from anywhere for each it writes, and takes 2.5 times as
    long.
    """
    height, width = image.shape[:2]
    left, right = columns.min(), columns.max() + 2  # of any order: what is no number must not lead out of the line
    colour = np.empty(3 * (right - left), np.float32)
    for value in range(len(colour)):
        colour[value] = border[value % 3]
    line = colour.copy()
    inside = slice(3 * (max(left, 0) - left), 3 * (min(right, width) - left))
    inner, beyond = line[inside], colour[inside]
    values = image.reshape(height, 3 * width)[:, 3 * max(left, 0) :]
    for row in range(len(rows)):
        upper, lower = rows[row], rows[row] + 1
        of_upper = np.float32(1 - down[row] if 0 <= upper < height else 0)
        of_lower = np.float32(down[row] if 0 <= lower < height else 0)
        of_border = np.float32(1 - of_upper - of_lower)
        above, below = values[min(max(upper, 0), height - 1)], values[min(max(lower, 0), height - 1)]
        for value in range(len(inner)):
            shown = of_upper * np.float32(above[value]) + of_lower * np.float32(below[value])
            inner[value] = shown + of_border * beyond[value]
        for column in range(len(columns)):
            # unsigned: numba would ask of a signed index whether it counts from the end
            first, share = np.uint64(3 * (columns[column] - left)), across[column]
            for channel in range(np.uint64(3)):
                here, there = line[first + channel], line[first + channel + np.uint64(3)]
                cut[row, column, channel] = np.uint8(np.int32(here + (there - here) * share + np.float32(0.5)))


def centre_of(box: Box) -> tuple[float, float]:
    """Centre of ``(x, y, w, h)``."""
    x, y, w, h = box
    return x + w / 2, y + h / 2
