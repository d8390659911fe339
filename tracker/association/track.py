"""What association gives back: one identity through the frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Track:
    """One identity, N boxes.

    Attributes:
        id: from 1.
        frames: (N,) numbers of the frames, 0-based, rising.
        xywh: (N, 4) boxes ``(x, y, w, h)`` in 0-based pixels.
        score: (N,) the detections' scores; between two detections interpolated as the boxes are.
        interpolated: (N,) whether a box fills a gap between two detections.
        class_id: of the detections; −1: none.

    Raises:
        ValueError: shapes that do not fit, frames that do not rise, or an id that is not from 1 to 2^63 − 1.
    """

    id: int
    frames: NDArray[np.int64]
    xywh: NDArray[np.float64]
    score: NDArray[np.float64]
    interpolated: NDArray[np.bool_]
    class_id: int = -1

    def __post_init__(self) -> None:
        n = len(self.frames)
        found = (self.frames.shape, self.xywh.shape, self.score.shape, self.interpolated.shape)
        if found != ((n,), (n, 4), (n,), (n,)):
            raise ValueError(
                f"a track of {n} frames needs frames ({n},), xywh ({n}, 4), score ({n},) and interpolated ({n},), "
                f"got {', '.join(map(str, found))}"
            )
        if (np.diff(self.frames) <= 0).any():
            raise ValueError("the frames of a track must rise")
        if not 1 <= self.id <= LARGEST_ID:
            raise ValueError(f"the id of a track must be from 1 to 2^63 - 1, got {self.id}")

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, rows: NDArray[np.bool_]) -> Track:
        """The track with some of its boxes."""
        return Track(
            self.id, self.frames[rows], self.xywh[rows], self.score[rows], self.interpolated[rows], self.class_id
        )
