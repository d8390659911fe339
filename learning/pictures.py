"""Photographs that users give, as files: read upright and in colour, whatever they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tracker.frame import Image


def read_picture(path: str | Path) -> Image:
    """An image file as uint8 (H, W, 3) BGR, upright as its EXIF data says; grey and alpha images are converted.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such image: {path}")
    try:
        # the bytes are read here: given a name that is not UTF-8, OpenCV's own reader ends the process
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file
        image = None
    if image is None:
        raise ValueError(f"{path} is not an image that OpenCV can decode (damaged, empty, or of another kind?)")
    return np.asarray(image, np.uint8)
