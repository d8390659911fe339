"""OnlineAssociator: identities frame by frame, as detections come.

Each frame's detections are given to the tracks by the assignment with the lowest sum of link costs (the Hungarian
method's optimum), which are the flow's costs of the flow's features, but for what lies in the future. A track is

    tentative   from its first detection; without an id, as it may be a false alarm
    confirmed   once it is a target with probability `Costs.confirm`, judged by all of its detections
    lost        while it is confirmed and has no detection; it keeps its id, and is confirmed again with the next one

and ends after `Costs.longest_gap` seconds without a detection; a tentative one after a frame or a fifth of a second.
"""

from __future__ import annotations

import math
import os
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tracker.association.appearance_cue import AppearanceCue
from tracker.association.camera import Camera
from tracker.association.candidates import SIZES, SLACK, SPEED, distance
from tracker.association.costs import Costs
from tracker.association.detections import Detections
from tracker.association.features import pair_features
from tracker.association.graph import longest
from tracker.association.model import AssociationModel
from tracker.association.scene import points_of
from tracker.association.trail import AT_X, CONTEXT, TRAIL, V_X, Floats, Integers, describe, extend
from tracker.frame import Image
from tracker.jit import compiled

TENTATIVE_GAP = 0.2  # seconds; at least one frame
SMALL = 64**2  # pairs of tracks and detections up to which they are assigned all at once


class TrackStatus(Enum):
    """What the online associator holds of a track."""

    TENTATIVE = "tentative"
    CONFIRMED = "confirmed"
    LOST = "lost"


class OnlineAssociator:
    """Identities frame by frame.

    One video for one object, from one thread; `reset` begins another video. Frame numbers may have gaps, in which
    nothing was detected, but must rise.

    Args:
        model: what was learned.
        frame_rate: frames per second of the video.
        appearance: compares pixels, where there are images and the model was trained with it.
        costs: of the model, some of them changed by name (see `Costs`).

    Raises:
        ValueError: a frame rate that is not positive, an unknown cost.
    """

    def __init__(
        self,
        model: AssociationModel,
        frame_rate: float = 25.0,
        appearance: AppearanceCue | None = None,
        **costs: float,
    ) -> None:
        if not 0 < frame_rate < math.inf:
            raise ValueError(f"frame_rate must be a positive number of frames per second, got {frame_rate}")
        self.model = model
        self.frame_rate = float(frame_rate)
        self.costs = Costs.of(vars(model.costs), **costs)
        self._cue = model.check_cue(appearance)
        self.reset()

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "association",
        frame_rate: float = 25.0,
        appearance: AppearanceCue | None = None,
        **costs: float,
    ) -> OnlineAssociator:
        """With a shipped model by name, or one's own by the path of its card.

        Raises:
            ModelError: it cannot be used.
            ValueError: as above.
        """
        return cls(AssociationModel.read(name), frame_rate, appearance, **costs)

    def reset(self) -> None:
        """Forget all tracks; ids begin at 1 again."""
        self._camera = Camera()
        self._last_frame = -1
        self._image: Image | None = None
        self._next_id = 1
        self._id = np.empty(0, np.int64)  # 0: tentative
        self._frame = np.empty(0, np.int64)  # of the last detection
        self._category = np.empty(0, np.int64)
        self._point = np.empty((0, 6))
        self._trail = np.empty((0, TRAIL))
        self._known = np.empty((0, CONTEXT))
        self._patch: NDArray[Any] | None = None

    def tracks(self) -> dict[int, TrackStatus]:
        """Id → what is held of the confirmed tracks after the newest frame."""
        seen = self._frame == self._last_frame
        return {
            int(number): TrackStatus.CONFIRMED if now else TrackStatus.LOST
            for number, now in zip(self._id, seen, strict=True)
            if number > 0
        }

    def update(self, detections: Detections, image: Image | None = None) -> Integers:
        """Take the next frame.

        Args:
            detections: of the frame, perhaps none.
            image: the frame, uint8 HxWx3 BGR; by default the one in `detections`, if there is one.

        Returns:
            (N,) ids from 1, aligned with the detections; −1: no (confirmed) track's.

        Raises:
            ValueError: the frame does not come after the one before it.
        """
        if detections.frame <= self._last_frame:
            raise ValueError(f"frames must rise, got {detections.frame} after {self._last_frame}; reset() begins anew")
        image = detections.image if image is None else image
        offset = self._camera.update(detections, image)
        patches = None
        if self._cue is not None and image is not None:
            patches = self._cue.patches(image, self._image, detections.xywh)
        self._last_frame, self._image = detections.frame, image if self._cue is not None else None
        self._forget()
        time = np.full(len(detections), detections.frame / self.frame_rate)
        points = points_of(detections.xywh, detections.score, time)
        points[:, 1:3] -= offset
        track, row = self._assign(points, detections.class_id, patches)
        self._carry_on(track, row, points, patches)
        fresh = np.ones(len(points), np.bool_)
        fresh[row] = False
        owner = np.empty(len(points), np.int64)
        owner[row] = track
        owner[fresh] = len(self._id) + np.arange(np.count_nonzero(fresh))
        self._begin(points[fresh], detections.class_id[fresh], None if patches is None else patches[fresh])
        self._confirm(owner)
        ids = self._id[owner]
        return np.where(ids > 0, ids, -1)

    def _forget(self) -> None:
        """End what has been without a detection for too long."""
        gap = self._last_frame - self._frame
        allowed = longest(self.costs, self.frame_rate)
        tentative = min(allowed, max(1, round(TENTATIVE_GAP * self.frame_rate)))
        kept = gap <= np.where(self._id > 0, allowed, tentative)
        if kept.all():
            return
        self._id, self._frame, self._category = self._id[kept], self._frame[kept], self._category[kept]
        self._point, self._trail, self._known = self._point[kept], self._trail[kept], self._known[kept]
        if self._patch is not None:
            self._patch = self._patch[kept]

    def _assign(self, points: Floats, category: Integers, patches: NDArray[Any] | None) -> tuple[Integers, Integers]:
        """Tracks and the detections that carry them on."""
        track, row = _near(self._point, self._known, self._category, points, category)
        if not len(track):
            return track, row
        nothing = np.zeros((len(points), CONTEXT))
        context = pair_features(self._point, self._known, points, nothing, track, row, self.frame_rate)
        appearance = None
        if self._cue is not None and patches is not None and self._patch is not None:
            appearance = self._cue.compare(self._patch[track], patches[row])
        odds = self.model.pair_log_odds(context, appearance)
        gap = self._last_frame - self._frame[track]
        gain = -self.costs.of_link(odds, gap, self.frame_rate) - self.costs.link
        worth = gain > 0
        return assign(track[worth], row[worth], gain[worth], len(self._id), len(points))

    def _carry_on(self, track: Integers, row: Integers, points: Floats, patches: NDArray[Any] | None) -> None:
        _extend_all(self._trail, self._known, track, points, row)
        self._point[track] = points[row]
        self._frame[track] = self._last_frame
        if self._patch is not None and patches is not None:
            self._patch[track] = patches[row]

    def _begin(self, points: Floats, category: Integers, patches: NDArray[Any] | None) -> None:
        n, old = len(points), len(self._id)
        self._id = np.concatenate([self._id, np.zeros(n, np.int64)])
        self._frame = np.concatenate([self._frame, np.full(n, self._last_frame)])
        self._category = np.concatenate([self._category, category])
        self._point = np.concatenate([self._point, points])
        self._trail = np.concatenate([self._trail, np.zeros((n, TRAIL))])
        self._known = np.concatenate([self._known, np.zeros((n, CONTEXT))])
        _extend_all(self._trail, self._known, old + np.arange(n), points, np.arange(n))
        if patches is not None:
            self._patch = patches if self._patch is None else np.concatenate([self._patch, patches])
        else:
            self._patch = None  # rows must stay aligned; without an image this once there is nothing to compare

    def _confirm(self, owner: Integers) -> None:
        """Give ids to those of the tracks that were just seen which are targets by now."""
        waiting = owner[self._id[owner] == 0]
        if not len(waiting):
            return
        odds = self.model.detection_log_odds(self._point[waiting, 5], self._known[waiting]) - self.costs.doubt
        chosen = waiting[odds >= math.log(self.costs.confirm / (1 - self.costs.confirm))]
        self._id[chosen] = self._next_id + np.arange(len(chosen))
        self._next_id += len(chosen)


def assign(track: Integers, row: Integers, gain: Floats, tracks: int, rows: int) -> tuple[Integers, Integers]:
    """The pairs with the largest sum of gains in which no track and no row occurs twice.

    Large problems fall into parts that share nothing, which are solved one by one.

    Args:
        track, row: (P,) of each pair, no pair twice.
        gain: (P,) positive.
        tracks, rows: how many there are.
    """
    if tracks * rows <= SMALL:
        return _assign_dense(track, row, gain)
    part = connected_components(coo_array((gain, (track, tracks + row)), shape=(tracks + rows,) * 2), False)[1][track]
    order = np.argsort(part, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
    found = [_assign_dense(track[piece], row[piece], gain[piece]) for piece in pieces]
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def _assign_dense(track: Integers, row: Integers, gain: Floats) -> tuple[Integers, Integers]:
    if len(track) == 1:
        return track, row
    a, i = np.unique(track, return_inverse=True)
    b, j = np.unique(row, return_inverse=True)
    table = np.zeros((len(a), len(b)))
    table[i, j] = gain
    chosen = linear_sum_assignment(table, maximize=True)
    real = table[chosen] > 0
    return a[chosen[0][real]], b[chosen[1][real]]


@compiled
def _near(
    points: Floats, known: Floats, category: Integers, others: Floats, other_category: Integers
) -> tuple[Integers, Integers]:
    """Pairs of tracks and detections that are near enough to be one target."""
    nothing = np.zeros(known.shape[1])
    track, row = [np.int64(0) for _ in range(0)], [np.int64(0) for _ in range(0)]
    for i in range(len(points)):
        dt = others[0, 0] - points[i, 0] if len(others) else 0.0
        reach = np.exp(points[i, 4] + SIZES / 2) * (SLACK + SPEED * dt)  # at most, so that few are looked at closely
        ahead = known[i, AT_X] + known[i, V_X] * dt
        for j in range(len(others)):
            if min(abs(others[j, 1] - points[i, 1]), abs(others[j, 1] - ahead)) > reach:
                continue
            if category[i] == other_category[j] and distance(points[i], known[i], others[j], nothing) <= 1:
                track.append(i)
                row.append(j)
    return np.array(track), np.array(row)


@compiled
def _extend_all(trail: Floats, known: Floats, track: Integers, points: Floats, row: Integers) -> None:
    """Add a detection to each of some tracks, and say what is known of them now."""
    for k in range(len(track)):
        i, p = track[k], points[row[k]]
        extend(trail[i], p[0], p[1], p[2], p[3], p[4], p[5])
        describe(trail[i], known[i])
