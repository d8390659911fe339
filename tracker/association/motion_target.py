"""The single-object tracker as motion model: it follows a target through frames in which the detector missed it.

    bridge = TargetBridge(MultiTracker.from_pretrained("compact"), fps=25)
    for detections, image in frames:
        detections = bridge.fill(detections, image)     # what the detector missed, from pixels
        ids = associator.update(detections, image)
        bridge.take(detections, ids)                    # who is where now

Tracking while the detector fails, association when it is back: a target that no detection lies on is followed by its
pixels from the frame before, and the tracker's box joins the detections of this frame. So any associator takes it, and
the target is where the next detection of it will be. The tracker runs only for those that are missed, all in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from tracker.association.detections import Detections
from tracker.box import overlap
from tracker.frame import Image
from tracker.multi import MultiTracker
from tracker.result import Box, TrackResult, TrackState


@dataclass
class Target:
    """One identity: where it was seen last and how.

    Attributes:
        box: ``(x, y, w, h)`` in the frame before.
        score: of its last detection.
        class_id: of it.
        detected: number of the frame of it.
    """

    box: Box
    score: float
    class_id: int
    detected: int


@dataclass(frozen=True, eq=False)
class FilledDetections(Detections):
    """Detections, and behind them boxes from the tracker.

    Attributes:
        followed: (N,) id of the target whose box the tracker gave; −1 for what a detector found.
    """

    followed: NDArray[np.int64] = None  # type: ignore[assignment]  # always an array once made

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.followed is None:
            object.__setattr__(self, "followed", np.full(len(self), -1, np.int64))


class TargetBridge:
    """Bridges missed detections by a tracker.

    Args:
        tracker: without targets yet.
        fps: frames per second.
        longest: seconds that a target is followed without a detection.
        near: overlap (IoU) of a detection with where a target was a frame ago, from which it counts as seen.
        least: score of the tracker below which its box is not used, in [0, 1].
        inside: share of a box that must lie in the image for it to be followed.

    Raises:
        ValueError: a number out of its range.
    """

    def __init__(
        self,
        tracker: MultiTracker,
        fps: float,
        longest: float = 2.0,
        near: float = 0.3,
        least: float = 0.5,
        inside: float = 0.7,
    ) -> None:
        if not (fps > 0 and longest > 0 and 0 < near <= 1 and 0 <= least <= 1 and 0 <= inside <= 1):
            raise ValueError("fps and longest must be positive, near in (0, 1], least and inside in [0, 1]")
        self.tracker = tracker
        self.longest = max(1, round(longest * fps))
        self.near, self.least, self.inside = near, least, inside
        self._targets: dict[int, Target] = {}
        self._previous: Image | None = None
        self._following: set[int] = set()

    def fill(self, detections: Detections, image: Image) -> FilledDetections:
        """Add boxes of the targets that the detector missed.

        Args:
            detections: of this frame; may be none.
            image: the frame, uint8 HxWx3 BGR; frames come one after another, none left out.

        Returns:
            The detections, and behind them those boxes.
        """
        self._forget(detections.frame)
        missed = self._missed(detections)
        for id in self._following - missed:
            self._stop(id)
        if self._previous is not None:
            for id in missed - self._following:
                self._start(id, self._previous, image)
        results = self.tracker.update(image) if self._following else {}
        self._previous = image
        found = {id: result for id, result in results.items() if self._usable(result, image)}
        for id in self._following - found.keys():
            self._stop(id)
            del self._targets[id]
        for id, result in found.items():
            self._targets[id].box = result.box
        return self._joined(detections, list(found), image)

    def take(self, detections: FilledDetections, ids: ArrayLike) -> NDArray[np.int64]:
        """Learn who is where, from what an associator made of the filled detections.

        Args:
            detections: of `fill`.
            ids: (N,) identities, −1 for none.

        Returns:
            (N,) the same, but −1 for a box from the tracker that got another identity than its target's: it was not
            seen, so it shows nobody new.
        """
        numbers = np.array(ids, np.int64)
        strange = (detections.followed >= 0) & (numbers != detections.followed)
        for id in detections.followed[strange].tolist():
            self._stop(id)
            self._targets.pop(id, None)
        numbers[strange] = -1
        columns = zip(numbers.tolist(), detections.followed.tolist(), range(len(numbers)), strict=True)
        for id, followed, row in columns:
            if id >= 0 and followed < 0:
                x, y, w, h = detections.xywh[row].tolist()
                score, class_id = float(detections.score[row]), int(detections.class_id[row])
                self._targets[id] = Target((x, y, w, h), score, class_id, detections.frame)
        return numbers

    def _forget(self, frame: int) -> None:
        """Give up targets that were not detected for too long."""
        for id, target in list(self._targets.items()):
            if frame - target.detected > self.longest:
                self._stop(id)
                del self._targets[id]

    def _missed(self, detections: Detections) -> set[int]:
        """Targets on which no detection lies, one for one by the most overlap in all."""
        ids = list(self._targets)
        boxes = np.array([self._targets[id].box for id in ids]).reshape(-1, 4)
        shared = overlap(boxes[:, None], detections.xywh[None]).reshape(len(ids), len(detections))
        shared[shared < self.near] = 0
        rows, columns = linear_sum_assignment(shared, maximize=True)
        return set(ids) - {ids[row] for row, column in zip(rows, columns, strict=True) if shared[row, column] > 0}

    def _start(self, id: int, previous: Image, image: Image) -> None:
        box = self._targets[id].box
        if previous.shape != image.shape or _share_inside(box, previous) <= 0:
            del self._targets[id]
            return
        self.tracker.add(previous, box, id)
        self._following.add(id)

    def _stop(self, id: int) -> None:
        if id in self._following:
            self.tracker.remove(id)
            self._following.remove(id)

    def _usable(self, result: TrackResult, image: Image) -> bool:
        seen = result.state is not TrackState.LOST and result.score >= self.least
        return seen and _share_inside(result.box, image) >= self.inside

    def _joined(self, detections: Detections, ids: Sequence[int], image: Image) -> FilledDetections:
        targets = [self._targets[id] for id in ids]
        boxes = np.array([target.box for target in targets]).reshape(-1, 4)
        return FilledDetections(
            detections.frame,
            np.concatenate([detections.xywh, boxes]),
            np.concatenate([detections.score, [target.score for target in targets]]),
            np.concatenate([detections.class_id, np.array([target.class_id for target in targets], np.int64)]),
            image,
            np.concatenate([np.full(len(detections), -1, np.int64), np.array(ids, np.int64)]),
        )


def _share_inside(box: Box, image: Image) -> float:
    """Share of a box's area that lies in the image, in [0, 1]."""
    x, y, w, h = box
    height, width = image.shape[:2]
    across, down = min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)
    return max(across, 0) * max(down, 0) / (w * h)
