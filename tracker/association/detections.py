"""Detections in: the boxes of one frame, checked; and what is wrong in other people's, repaired and said.

`Detections` refuses what is not a box. `repair` takes arrays as they come out of detectors and files, leaves out what
cannot be used and says what it left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.box import from_corners
from tracker.frame import Image

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

UNKNOWN_CLASS = -1
LARGEST_FRAME = 2**40  # beyond any video; times of neighbouring frames still differ as floats
SMALLEST_PIXEL = 1e-6  # areas are above 0
LARGEST_PIXEL = 1e9  # far beyond any image, and areas are finite
DUPLICATE_DIGITS = 3  # boxes that agree to 1/1000 pixel are the same box
MOST_IN_A_FRAME = 100_000


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one frame: N boxes, perhaps none.

    Attributes:
        frame: number of the frame, 0-based.
        xywh: (N, 4) float64 ``(x, y, w, h)`` in 0-based pixels, w and h positive.
        score: (N,) float64, any range; higher is surer. By default 1.
        class_id: (N,) int64; by default −1: none. Detections of different classes are never joined.
        image: the frame itself, uint8 HxWx3 BGR, for camera motion and appearance; may be missing.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, boxes without a positive size, a frame below 0;
            the message says which, and `repair` leaves such boxes out.
    """

    frame: int
    xywh: Floats
    score: Floats = field(default=None)  # type: ignore[arg-type]  # an array once made
    class_id: Integers = field(default=None)  # type: ignore[arg-type]
    image: Image | None = None

    def __post_init__(self) -> None:
        xywh = _boxes(self.xywh)
        n = len(xywh)
        score = _column(self.score, n, "score", 1.0).astype(np.float64)
        class_id = _whole(_column(self.class_id, n, "class_id", UNKNOWN_CLASS))
        if not 0 <= int(self.frame) == self.frame <= LARGEST_FRAME:
            raise ValueError(f"frame must be a whole number from 0 to 2^40, got {self.frame}")
        if self.image is not None and (self.image.ndim != 3 or self.image.shape[2] != 3):
            raise ValueError(f"image must be HxWx3 BGR (see tracker.to_bgr8), got shape {self.image.shape}")
        wrong = _unusable(xywh, score)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"detection {row} of frame {self.frame} is not a box with a finite score, got xywh "
                f"{xywh[row].tolist()}, score {score[row]}; repair() leaves out such ones"
            )
        for name, value in {"frame": int(self.frame), "xywh": xywh, "score": score, "class_id": class_id}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.xywh)

    def select(self, kept: NDArray[Any]) -> Detections:
        """Those that a mask or an index picks; the image stays."""
        return Detections(self.frame, self.xywh[kept], self.score[kept], self.class_id[kept], self.image)

    @classmethod
    def from_supervision(cls, detections: Any, frame: int, image: Image | None = None) -> Detections:
        """From a `supervision.Detections` (xyxy, confidence, class_id), which needs not be installed here.

        Raises:
            ValueError: as above.
        """
        return cls(frame, from_corners(detections.xyxy), detections.confidence, detections.class_id, image)

    def to_supervision(self, ids: ArrayLike | None = None) -> Any:
        """To a `supervision.Detections`.

        Args:
            ids: (N,) what `OnlineAssociator.update` gave; they become `tracker_id`.

        Raises:
            ModuleNotFoundError: the package is not installed; the message says how to.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("supervision is not installed: pip install supervision") from error
        corners = np.concatenate([self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]], axis=1)
        tracker_id = None if ids is None else np.asarray(ids, np.int64)
        return supervision.Detections(
            xyxy=corners, confidence=self.score, class_id=self.class_id.astype(int), tracker_id=tracker_id
        )


def repair(
    frame: int,
    xywh: ArrayLike,
    score: ArrayLike | None = None,
    class_id: ArrayLike | None = None,
    image: Image | None = None,
) -> tuple[Detections, list[str]]:
    """Detections of arrays as they come, and what had to be left out.

    Left out are boxes and scores that are not finite, boxes without a positive width and height, boxes beyond 10^9
    pixels, and all but the surest of boxes of a class that are the same to 1/1000 pixel.

    Args:
        frame, xywh, score, class_id, image: as in `Detections`.

    Returns:
        The detections, and a message for each kind of repair, with how many there were; none where all was right.

    Raises:
        ValueError: what cannot be repaired: shapes that do not fit, a frame below 0, classes that are not whole
            numbers, more than 100,000 boxes.
    """
    boxes = _boxes(xywh)
    n = len(boxes)
    if n > MOST_IN_A_FRAME:
        raise ValueError(
            f"frame {frame} has {n} detections, at most {MOST_IN_A_FRAME} can be told apart; raise the "
            "detector's threshold"
        )
    scores = _column(score, n, "score", 1.0).astype(np.float64)
    classes = _whole(_column(class_id, n, "class_id", UNKNOWN_CLASS))
    finite = np.isfinite(boxes).all(1) & np.isfinite(scores)
    sized = ~finite | (boxes[:, 2:] >= SMALLEST_PIXEL).all(1)
    near = ~finite | ~sized | (np.abs(boxes) <= LARGEST_PIXEL).all(1)
    kept = finite & sized & near
    first = kept.copy()
    first[kept] = _first_of_each(boxes[kept], scores[kept], classes[kept])
    reasons = {
        "not finite": ~finite,
        "without a positive width and height": ~sized,
        f"beyond {LARGEST_PIXEL:g} pixels": ~near,
        "the same as another": kept & ~first,
    }
    notes = [
        f"frame {frame}: left out {np.count_nonzero(wrong)} of {n} boxes, {reason} (first: number {np.argmax(wrong)})"
        for reason, wrong in reasons.items()
        if wrong.any()
    ]
    return Detections(frame, boxes[first], scores[first], classes[first], image), notes


def _first_of_each(boxes: Floats, score: Floats, class_id: Integers) -> NDArray[np.bool_]:
    """Which boxes are the surest of those that are the same, (N,)."""
    order = np.argsort(-score, kind="stable")
    keys = np.column_stack([np.round(boxes, DUPLICATE_DIGITS), class_id])[order]
    chosen = np.zeros(len(boxes), np.bool_)
    chosen[order[np.unique(keys, axis=0, return_index=True)[1]]] = True
    return chosen


def _boxes(xywh: ArrayLike) -> Floats:
    boxes = np.array(xywh, np.float64)  # a copy: what was checked must not change afterwards
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"xywh must be (N, 4), got {boxes.shape}")
    return boxes


def _column(values: ArrayLike | None, n: int, name: str, default: float) -> NDArray[Any]:
    if values is None:
        return np.full(n, default)
    column = np.array(values)
    if column.size == 0 and n == 0:
        return np.full(0, default)
    if column.shape != (n,):
        raise ValueError(f"{name} must be ({n},) as there are {n} boxes, got {column.shape}")
    return column


def _whole(values: NDArray[Any]) -> Integers:
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    if (whole != values).any():
        raise ValueError(f"class_id must be whole numbers of 64 bits, got {values[whole != values][0]}")
    return whole


def _unusable(boxes: Floats, score: Floats) -> NDArray[np.bool_]:
    good = np.isfinite(boxes).all(1) & np.isfinite(score)
    good[good] = (boxes[good, 2:] >= SMALLEST_PIXEL).all(1) & (np.abs(boxes[good]) <= LARGEST_PIXEL).all(1)
    return ~good
