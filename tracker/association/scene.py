"""All detections of a stretch of video in arrays, with the camera's motion taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tracker.association.detections import Detections
from tracker.association.trail import CONTEXT, TRAIL, Floats, Integers, contexts


@dataclass(frozen=True, eq=False)
class Scene:
    """N detections by rising frame.

    Attributes:
        frame: (N,) frame numbers.
        points: (N, 6) time in seconds, centre in pixels of the first frame, log width, log height, score.
        category: (N,) classes.
        rate: frames per second.
        heads: (K, TRAIL) of tracks that go on: the first K detections are their last ones.
    """

    frame: Integers
    points: Floats
    category: Integers
    rate: float
    heads: Floats = field(default_factory=lambda: np.empty((0, TRAIL)))

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(cls, frames: Sequence[Detections], rate: float, offsets: Sequence[Floats] | None = None) -> Scene:
        """Put the detections of several frames together.

        Args:
            frames: by rising frame number.
            rate: frames per second.
            offsets: (2,) for each of them: where the first frame's origin is in it; by default the camera stands still.
        """
        counts = [len(part) for part in frames]
        frame = np.repeat(np.array([part.frame for part in frames], np.int64), counts)
        xywh, score = np.empty((0, 4)), np.empty(0)
        category = np.empty(0, np.int64)
        if frames:
            xywh = np.concatenate([part.xywh for part in frames])
            score = np.concatenate([part.score for part in frames])
            category = np.concatenate([part.class_id for part in frames])
        points = points_of(xywh, score, frame / rate)
        if offsets is not None and frames:
            points[:, 1:3] -= np.repeat(np.array(offsets), counts, axis=0)
        return cls(frame, points, category, rate)

    def known(self, chain: Integers) -> tuple[Floats, Floats]:
        """What each detection's chain says of it up to it, and from it on: two (N, CONTEXT).

        Args:
            chain: (N,) number of the chain that each belongs to.
        """
        order = np.lexsort((self.frame, chain))
        past = contexts(self.points, order, chain, self.heads)
        return past, contexts(self.points, order[::-1].copy(), chain, np.empty((0, TRAIL)))

    def nothing(self) -> Floats:
        """(N, CONTEXT): nothing is known."""
        return np.zeros((len(self), CONTEXT))


def points_of(xywh: Floats, score: Floats, time: Floats) -> Floats:
    """(N, 6) rows for `tracker.association.features` of boxes (N, 4), scores (N,) and seconds (N,)."""
    return np.column_stack([time, xywh[:, :2] + xywh[:, 2:] / 2, np.log(xywh[:, 2:]), score])
