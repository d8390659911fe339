"""A target that is lost, or long in doubt, is looked for over the whole frame, by the network that tracks it.

Coarse to fine: the frame is covered by search regions that are `zoom` times as wide in the image as those of tracking,
and compared with an exemplar cut equally wide. The best places are looked at as tracking does it: in an ordinary search
region, for a target of the size that it had last, with the exemplar and all that was learned in this video. A place
that passes is followed and looked at again in the next frame; what passes several times in a row is believed (see
`ConfidenceConfig.passing`).

The work is spread: a look costs `WORK` search regions, whatever the frame's size. Every other look, one of them is for
the best place that was seen lately; one that does not pass is left alone for a while, so that the next best has its
turn. No threshold on coarse looks is needed, whose level differs from scene to scene.

A tracker that follows something else need not be LOST: it may stay in doubt. What it follows then is held, and another
place has to score higher, several times in a row, to be believed instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.crop import exemplar_side
from tracker.result import TrackState

Array = NDArray[np.float32]
Point = tuple[float, float]  # (x, y) in image pixels
Size = tuple[float, float]  # (w, h) in image pixels

WORK = 2  # search regions a look
ROUND = 24  # of them that a round through the frame should need
ZOOMS = (1.5, 3.0)  # limits of how much wider than in tracking they are
FRESH = 8  # frames for which a place waits: the target does not stay where it was seen
REST = 20  # frames for which a place that did not pass is left alone
HILLS = 3  # places that a coarse look reports
MOST = 10_000  # search regions of a round: a target of a pixel in a huge image is not looked for everywhere


@dataclass(frozen=True)
class RedetectionConfig:
    """When a target is looked for over the whole frame.

    Attributes:
        redetect_every: frames between two looks; 0: never.
        redetect_after: frames in a row, not LOST but not TRACKING either, from which on it is looked for, too, as what
            is followed may be something else; 0: only when LOST.
    """

    redetect_every: int = 1
    redetect_after: int = 0


class SearchConfig(Protocol):
    """What the search needs to know of a tracker's configuration: `RedetectionConfig`, and of `ConfidenceConfig` the
    score that a place needs in an ordinary look (`passing`) and the looks in a row that it has to pass (`looks`).
    """

    @property
    def redetect_every(self) -> int: ...
    @property
    def redetect_after(self) -> int: ...
    @property
    def passing(self) -> float: ...
    @property
    def looks(self) -> int: ...


@dataclass(frozen=True)
class Sighting:
    """What an ordinary look at a place says.

    Attributes:
        centre, size: of the target, should it be there.
        score: that it is, in [0, 1].
    """

    centre: Point
    size: Size
    score: float


@dataclass(frozen=True, order=True)
class Place:
    """Where a coarse look saw something.

    Attributes:
        logit: that it is the target.
        frame: in which lost frame.
        centre: where.
    """

    logit: float
    frame: int
    centre: Point


@dataclass
class Redetection:
    """The search for one target over the whole frame, from when it is missed until it is found.

    Attributes:
        config: the tracker's.
        kernel: (1, K, k, k) of the first exemplar, cut `zoom` times as wide.
        zoom: how much wider than in tracking the regions of coarse looks are.
        doubtful: frames in a row in which it was not TRACKING.
        searching: whether the last frame was looked at.
        frames: since the search began.
        ahead: centres of the round's regions that are still to come.
        places: that wait for an ordinary look.
        failed: that did not pass lately.
        followed: the last sighting of the place that is followed, if there is one.
        passed: how often it passed in a row.
    """

    config: SearchConfig
    kernel: Array
    zoom: float
    doubtful: int = 0
    searching: bool = False
    frames: int = 0
    ahead: list[Point] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    failed: list[Place] = field(default_factory=list)
    followed: Sighting | None = None
    passed: int = 0

    def start(self) -> None:
        """The target is missed: forget what was seen when it was missed before."""
        self.frames, self.passed, self.followed = 0, 0, None
        self.ahead, self.places, self.failed = [], [], []

    def wanted(self, state: TrackState) -> bool:
        """Whether to look at a frame after which the target is in `state`; to be called once a frame."""
        self.doubtful = 0 if state is TrackState.TRACKING else self.doubtful + 1
        wanted = state is TrackState.LOST or 0 < self.config.redetect_after <= self.doubtful
        if wanted and not self.searching:
            self.start()
        self.searching = wanted
        return wanted

    def look(
        self,
        size: Size,
        cover: Callable[[], list[Point]],
        scan: Callable[[Point], list[tuple[float, Point]]],
        sight: Callable[[Point, Size], Sighting],
        held: Sighting | None = None,
    ) -> Sighting | None:
        """Look at the next frame, if a look is due.

        Args:
            size: that the target had last.
            cover: centres of the regions of a round, in order.
            scan: a coarse look around a centre → logits and places.
            sight: an ordinary look around a place, for a target of that size.
            held: what is followed in doubt, if it is not given up: no other place, and another must score higher.

        Returns:
            The sighting of what is believed to be the target, if there is one.
        """
        self.frames += 1
        if self.frames % self.config.redetect_every:
            return None
        work, found = WORK, None
        if self.followed is not None:
            found = self._judge(sight(self.followed.centre, self.followed.size), held)
            work -= 1
        elif self.frames // self.config.redetect_every % 2 and (place := self._best(size, held)) is not None:
            found = self._judge(sight(place.centre, size), held)
            if self.followed is None:
                self.failed.append(Place(place.logit, self.frames, place.centre))
            work -= 1
        for _ in range(work):
            self.ahead = self.ahead or cover()
            self.places += [Place(logit, self.frames, centre) for logit, centre in scan(self.ahead.pop(0))]
        if found is not None:
            self.doubtful, self.searching = 0, False
        return found

    def _best(self, size: Size, held: Sighting | None) -> Place | None:
        """The best place that waits, unless it was seen too long ago, did not pass lately, or is held."""
        self.failed = [place for place in self.failed if self.frames - place.frame <= REST]
        taken = [place.centre for place in self.failed] + ([held.centre] if held else [])
        self.places = [
            place
            for place in self.places
            if self.frames - place.frame <= FRESH and all(_apart(place.centre, other, size) for other in taken)
        ]
        return max(self.places, default=None)

    def _judge(self, sighting: Sighting, held: Sighting | None) -> Sighting | None:
        """Follow what passes, and return it when it has passed often enough."""
        passes = sighting.score >= self.config.passing
        if held is not None:
            passes = passes and sighting.score > held.score and _apart(sighting.centre, held.centre, held.size)
        self.followed, self.passed = (sighting, self.passed + 1) if passes else (None, 0)
        return sighting if self.passed >= self.config.looks else None


def _apart(one: Point, other: Point, size: Size) -> bool:
    """Whether two places are too far from each other to be the same target of a size."""
    return math.dist(one, other) > math.sqrt(size[0] * size[1]) / 2


def zoom_for(image: tuple[int, int], size: Size, reach: float) -> float:
    """How much wider than in tracking the regions must be, for a round of about `ROUND` of them.

    Args:
        image: (width, height) in pixels.
        size: of the target.
        reach: side, in sides of the exemplar's region, of the square in which a search region finds a target.
    """
    side = reach * exemplar_side(*size)
    regions = max(image[0] / side, 1.0) * max(image[1] / side, 1.0)
    return min(max(math.sqrt(regions / ROUND), ZOOMS[0]), ZOOMS[1])


def tiles(image: tuple[int, int], side: float, start: Point) -> list[Point]:
    """Centres of squares that cover an image, those near `start` first; `start` alone if they were more than `MOST`.

    Args:
        image: (width, height) in pixels.
        side: of the squares in image pixels.
        start: where to begin.
    """
    columns, rows = (max(math.ceil(length / side), 1) for length in image)
    if columns * rows > MOST:
        return [start]
    xs, ys = (
        length / 2 + (np.arange(count) - (count - 1) / 2) * side
        for length, count in zip(image, (columns, rows), strict=True)
    )
    return sorted(((float(x), float(y)) for y in ys for x in xs), key=lambda centre: math.dist(centre, start))


def hills(response: Array, centre: Point, step: float, stride: int) -> list[tuple[float, Point]]:
    """The highest places of a coarse look, at most `HILLS`.

    Args:
        response: (C, R, R): logits, then the distances to a box's sides where the head has them.
        centre: of the region.
        step: image pixels in a pixel of the region.
        stride: pixels of the region between cells.

    Returns:
        logits and places, the best first.
    """
    logits = np.where(np.isfinite(response).all(0), response[0], -np.inf)
    tops = np.argwhere((logits >= cv2.dilate(logits, np.ones((3, 3), np.uint8))) & (logits > -np.inf))
    shifts = (np.arange(len(logits)) - (len(logits) - 1) / 2) * stride
    found = []
    for row, column in tops[np.argsort(-logits[tuple(tops.T)], kind="stable")][:HILLS]:
        x, y = float(shifts[column]), float(shifts[row])
        if len(response) == 5:
            left, top, right, bottom = map(float, response[1:, row, column])
            x, y = x + (right - left) / 2, y + (bottom - top) / 2
        found.append((float(logits[row, column]), (centre[0] + x * step, centre[1] + y * step)))
    return found
