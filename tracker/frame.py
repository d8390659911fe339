"""What every source delivers: one image in the project's one layout, with its index and its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
NOMINAL_FPS = 25.0  # of frames that come without a rate of their own

_ACCEPTED = "accepted are HxW, HxWx1, HxWx3 (BGR) and HxWx4 (BGRA) arrays of uint8, uint16, float in [0, 1] or bool"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        index: position in the source, 0-based; true even where frames before it were skipped or dropped.
        timestamp: seconds on the source's own clock, never decreasing.
        image: uint8 HxWx3, BGR, contiguous.
    """

    index: int
    timestamp: float
    image: Image


def to_bgr8(image: object) -> Image:
    """The one place that converts images to uint8 HxWx3 contiguous BGR.

    Grey is repeated over the three channels, alpha is dropped, uint16 is scaled from its full range (65535 → 255),
    float from [0, 1] and bool from {False, True}; values in between are rounded. An image that is right already is
    returned as it is, without a copy: the caller's array and the result are then the same memory.

    Args:
        image: HxW, HxWx1, HxWx3 (BGR) or HxWx4 (BGRA) array of uint8, uint16, float or bool, of any strides.

    Raises:
        ValueError: not an array, empty, another shape or type, or float values that are outside [0, 1] or NaN.
    """
    if (
        type(image) is np.ndarray
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size
        and image.flags.c_contiguous
    ):
        return image
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image is {_described(image)}; {_ACCEPTED}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise ValueError(f"image has shape {image.shape}; {_ACCEPTED}")
    if image.size == 0:
        raise ValueError(f"image is empty, shape {image.shape}; {_ACCEPTED}")
    return _three_channels(_eight_bits(np.asarray(image)))


def _described(image: object) -> str:
    """What arrived instead of an array: None is what OpenCV's readers return when they fail."""
    return "None (was it read successfully?)" if image is None else f"a {type(image).__name__}, not a numpy array"


def _eight_bits(image: NDArray[np.generic]) -> Image:
    """The same image with values 0…255 of type uint8."""
    if image.dtype == np.uint8:
        return image.view(np.uint8)
    if image.dtype == np.bool_:
        return np.multiply(image, 255, dtype=np.uint8)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:  # either byte order
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 257 * 255; adding 128 rounds
    if image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not (low >= 0.0 and high <= 1.0):  # so written, NaN fails too
            raise ValueError(f"float image must lie in [0, 1] without NaN, got values from {low:g} to {high:g}")
        return np.rint(image * image.dtype.type(255)).astype(np.uint8)
    raise ValueError(f"image has type {image.dtype}; {_ACCEPTED}")


def _three_channels(image: Image) -> Image:
    """uint8 HxW or HxWx{1, 3, 4} → contiguous uint8 HxWx3."""
    if image.ndim == 2 or image.shape[2] == 1:
        plane = image.reshape(image.shape[:2])
        return np.repeat(plane[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])
