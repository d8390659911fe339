"""Our trackers behind other libraries' interfaces; each converts at its own edge."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.box import from_got10k, to_got10k
from tracker.result import TrackState
from tracker.siam import SiamTracker


class OpenCVTracker:
    """`cv2.Tracker`'s interface: integer boxes, and ok unless LOST."""

    def __init__(self, tracker: SiamTracker) -> None:
        self.tracker = tracker

    def init(self, image: Any, bounding_box: Any) -> None:
        """Start on ``(x, y, w, h)`` in a BGR image."""
        self.tracker.init(image, bounding_box)

    def update(self, image: Any) -> tuple[bool, tuple[int, int, int, int]]:
        """Whether the target is in the image, and its box rounded to integers."""
        result = self.tracker.update(image)
        x, y, w, h = (round(value) for value in result.box)
        return result.state is not TrackState.LOST, (x, y, w, h)

    def getTrackingScore(self) -> float:
        """Score of the last update in [0, 1]; 1 after `init`, 0 before."""
        return self.tracker.target.confidence.score if self.tracker.target else 0.0


class Got10kTracker:
    """The got10k package's interface: RGB PIL images or arrays, 1-based boxes."""

    is_deterministic = True

    def __init__(self, tracker: SiamTracker, name: str) -> None:
        self.tracker, self.name = tracker, name

    def init(self, image: Any, box: Any) -> None:
        """Start on a 1-based ``(x, y, w, h)`` in an RGB image."""
        self.tracker.init(self._bgr(image), from_got10k(np.asarray(box, np.float64)))

    def update(self, image: Any) -> NDArray[np.float64]:
        """The 1-based box in the next RGB image."""
        return to_got10k(self.tracker.update(self._bgr(image)).box)

    def track(self, img_files: list[str], box: Any, visualize: bool = False) -> tuple[Any, Any]:
        """Run over image files; (N, 4) 1-based boxes and (N,) seconds. `visualize` is accepted and ignored."""
        from PIL import Image  # here: only the got10k package, which brings it, calls this

        boxes, times = np.zeros((len(img_files), 4)), np.zeros(len(img_files))
        boxes[0] = box
        for row, file in enumerate(img_files):
            with Image.open(file) as opened:
                image = opened.convert("RGB")
            since = time.perf_counter()
            if row == 0:
                self.init(image, box)
            else:
                boxes[row] = self.update(image)
            times[row] = time.perf_counter() - since
        return boxes, times

    @staticmethod
    def _bgr(image: Any) -> Any:
        pixels = np.asarray(image)
        return pixels[..., 2::-1] if pixels.ndim == 3 else pixels  # alpha is left out


def as_opencv(tracker: SiamTracker) -> OpenCVTracker:
    """`tracker` with the interface of `cv2.Tracker`."""
    return OpenCVTracker(tracker)


def as_got10k(tracker: SiamTracker, name: str | None = None) -> Got10kTracker:
    """`tracker` with the interface of `got10k.trackers.Tracker`, for its experiments."""
    return Got10kTracker(tracker, name or tracker.model.name)
