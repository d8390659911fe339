"""Boxes: validation, overlap and conversion at the edges.

Inside the project a box is ``(x, y, w, h)``, float, in 0-based continuous pixels: ``x = 0`` is the left edge of the
first pixel and the centre is ``x + w / 2``. Other conventions exist only in files and foreign libraries; the functions
named ``from_*`` and ``to_*`` convert at that edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.result import Box

Floats = NDArray[np.float64]


def validate_box(box: Iterable[float], width: int, height: int) -> Box:
    """Return `box` as four Python floats, or refuse it.

    Args:
        box: ``(x, y, w, h)`` in 0-based pixels.
        width: image width in pixels.
        height: image height in pixels.

    Raises:
        ValueError: not four finite numbers, a width or height that is not positive, or no overlap with the image.
    """
    try:
        if isinstance(box, (str, bytes)):  # "1234" is no box, though it can be taken apart into four numbers
            raise TypeError
        values = tuple(float(value) for value in box)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"box must be four numbers (x, y, w, h), got {box!r}") from error
    if len(values) != 4:
        raise ValueError(f"box must be four numbers (x, y, w, h), got {len(values)}: {values}")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"box must be finite, got {values}")
    x, y, w, h = values
    if w <= 0 or h <= 0:
        raise ValueError(f"box needs a positive width and height, got {values}")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(f"box {values} lies outside the {width}x{height} image")
    return x, y, w, h


def overlap(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of boxes, element by element with broadcasting.

    Args:
        a: (..., 4) boxes ``(x, y, w, h)``.
        b: (..., 4) boxes that broadcast against `a`.

    Returns:
        (...) float64 in [0, 1]; 0 where both boxes are empty.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    share = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.minimum(share, 1.0)  # far from 0 the sides of the shared part are rounded up at times


def centre_distance(a: ArrayLike, b: ArrayLike) -> Floats:
    """Euclidean distance in pixels between box centres: (..., 4) and (..., 4) → (...)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm((a[..., :2] + a[..., 2:] / 2) - (b[..., :2] + b[..., 2:] / 2), axis=-1)


def from_otb(boxes: ArrayLike) -> Floats:
    """(..., 4) boxes of OTB files (1-based top left) → ours (0-based)."""
    return np.asarray(boxes, np.float64) - (1, 1, 0, 0)


def to_otb(boxes: ArrayLike) -> Floats:
    """(..., 4) boxes of ours (0-based) → OTB files (1-based top left)."""
    return np.asarray(boxes, np.float64) + (1, 1, 0, 0)


from_mot, to_mot = from_otb, to_otb  # MOTChallenge text counts pixels from 1 as OTB does
from_got10k, to_got10k = from_otb, to_otb  # so do the got10k package's boxes


def from_corners(corners: ArrayLike) -> Floats:
    """(..., 4) boxes ``(x1, y1, x2, y2)``, x2 and y2 exclusive, 0-based → ours."""
    corners = np.asarray(corners, np.float64)
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def polygon_overlap(a: ArrayLike, b: ArrayLike) -> float:
    """Intersection over union of two simple polygons, (N, 2) and (M, 2) corner points, as in rotated ground truth.

    Raises:
        ValueError: fewer than three corners.
    """
    from shapely.geometry import Polygon  # here: only rotated ground truth needs it, and it costs start-up time

    p, q = (Polygon(np.asarray(points, np.float64).reshape(-1, 2)).buffer(0) for points in (a, b))
    union = p.union(q).area
    return float(p.intersection(q).area / union) if union > 0 else 0.0


def from_polygon(corners: ArrayLike) -> Floats:
    """(N, 2) corner points → the axis-aligned box around them."""
    points = np.asarray(corners, np.float64).reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    return np.concatenate([low, high - low])
