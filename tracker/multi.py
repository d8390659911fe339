"""`MultiTracker`: several targets in one video, their search regions in one batch."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tracker.exclusive import Exclusive
from tracker.frame import to_bgr8
from tracker.model import Model, refuse_name
from tracker.result import TrackResult
from tracker.siam import SiamTracker, TrackerConfig


class MultiTracker:
    """Follows any number of targets with one network; one thread at a time may use it.

    Args:
        model: the weights.
        config: overrides of the model's configuration, for all targets.

    Raises:
        TypeError: a model's name instead of the model, see `from_pretrained`.
        ValueError: an unknown configuration key, or a value that makes no sense.

    Attributes:
        results: the last result of each target by its id.
    """

    def __init__(self, model: Model, **config: Any) -> None:
        refuse_name(model, type(self))
        TrackerConfig.of(model.card, **config)  # fail here, not at the first target
        self.model = model
        self.config = config
        self.results: dict[int, TrackResult] = {}
        self._trackers: dict[int, SiamTracker] = {}
        self._last_id = self._turn = 0
        self._exclusive = Exclusive()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "compact",
        *,
        runtime: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        **config: Any,
    ) -> MultiTracker:
        """See `SiamTracker.from_pretrained`."""
        first = SiamTracker.from_pretrained(name_or_path, runtime=runtime, device=device, threads=threads, **config)
        return cls(first.model, **config)

    def add(self, frame: Any, box: Iterable[float], id: int | None = None, timestamp: float | None = None) -> int:
        """Start on another target.

        Args:
            frame: (H, W, 3) uint8 BGR, or what `to_bgr8` takes.
            box: ``(x, y, w, h)`` in 0-based pixels.
            id: for the target; the next free one, from 1, if not given.
            timestamp: see `SiamTracker.init`.

        Returns:
            The id.

        Raises:
            ValueError: a bad frame or box, or an id that is in use.
            TypeError: an id that is not an integer.
            RuntimeError: another thread is using this tracker.
        """
        with self._exclusive:
            number = self._last_id + 1 if id is None else operator.index(id)
            if number in self._trackers:
                raise ValueError(f"target {number} is being tracked already; remove it first or take another id")
            tracker = SiamTracker(self.model, **self.config)
            self.results[number] = tracker.init(frame, box, timestamp)
            self._trackers[number] = tracker
            self._last_id = max(self._last_id, number)
            return number

    def remove(self, id: int) -> None:
        """Stop following a target.

        Raises:
            KeyError: no such target.
            RuntimeError: another thread is using this tracker.
        """
        with self._exclusive:
            if id not in self._trackers:
                raise KeyError(f"no target {id}; there are {sorted(self._trackers) or 'none'}")
            del self._trackers[id], self.results[id]

    def update(self, frame: Any, timestamp: float | None = None) -> dict[int, TrackResult]:
        """Find all targets in the next frame.

        Returns:
            The result of each target by its id; `elapsed` counts from the start of the whole batch.

        Raises:
            ValueError: a bad frame.
            RuntimeError: another thread is using this tracker.
        """
        with self._exclusive:
            since = time.perf_counter()
            image = to_bgr8(frame)
            if not self._trackers:
                return {}
            trackers = list(self._trackers.values())
            crops = [tracker.search_crops(image) for tracker in trackers]
            kernels = np.concatenate([tracker.target.kernel for tracker in trackers if tracker.target])
            both = self.model.runtime.search(np.concatenate(crops), kernels)
            responses, features = (np.split(array, len(crops)) for array in both)  # all targets have as many
            found = list(zip(self._trackers, trackers, responses, features, strict=True))
            self._turn = (self._turn + 1) % len(found)  # each is first in its turn: a budget may not last for the last
            for number, tracker, response, seen in found[self._turn :] + found[: self._turn]:
                self.results[number] = tracker.take(response, seen, image, since, timestamp, len(found))
            return dict(self.results)
