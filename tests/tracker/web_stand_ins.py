"""What stands in for a tracker and a video where the browser's page is tested; loaded by its path."""

from __future__ import annotations

import numpy as np

from tracker.frame import Frame, Image
from tracker.result import Box, TrackResult, TrackState

BOX = (10.0, 12.0, 20.0, 16.0)


class Standing:
    """MultiTracker's interface over targets that never move."""

    def __init__(self) -> None:
        self.results: dict[int, TrackResult] = {}
        self._last = 0

    def add(self, frame: Image, box: Box, id: int | None = None) -> int:
        self._last = max(self._last, id or self._last + 1)
        self.results[id or self._last] = TrackResult(box, 1.0, TrackState.TRACKING)
        return id or self._last

    def remove(self, id: int) -> None:
        del self.results[id]


def picture(index: int, size: tuple[int, int] = (64, 48)) -> Frame:
    """A grey frame whose brightness is its index."""
    return Frame(index, index / 25, np.full((size[1], size[0], 3), index % 256, np.uint8))
