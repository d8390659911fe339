"""Boxes that tremble, made steady by the track that they are part of.

A detector places each box by itself, and errs by a few pixels, now to the left, now to the right. The others of its
track know better: the centre is read off a line that is fitted to those nearby in time, the sides are their weighted
geometric mean (local regression with a Gaussian kernel: Fan and Gijbels 1996, *Local Polynomial Modelling and Its
Applications*, section 2.3; for tracks: Du et al. 2022, StrongSORT, section 3.4).

How wide the kernel is, is asked of the tracks themselves: it is the width that predicts each box best from the others
of its track (leave-one-out cross-validation). So boxes of a steady detector stay where they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from tracker.association.track import Track

Floats = NDArray[np.float64]
WIDTHS = tuple(0.35 * 2 ** (step / 2) for step in range(13))  # frames: deviations of the kernel, up to 22
REACH = 4  # deviations from a kernel's middle to its end
OUTLIER = 0.5  # heights, or powers of e: what is farther off is no tremor, and counts as if it were no farther
ALONE = 1e-6  # weight of all others below which a box has no neighbours


def smooth(tracks: Sequence[Track]) -> list[Track]:
    """The tracks with steady boxes, and between them what fills a gap; frames, scores and flags stay.

    Args:
        tracks: of one video. One kernel is chosen for the centres of all detections in them, one for the sides.
    """
    seen = [track.select(~track.interpolated) for track in tracks]
    if not any(len(track) > 2 for track in seen):
        return list(tracks)
    line = _Timeline.of(seen)
    (x, y), (w, h) = _chosen(line, line.centres, True) * line.unit, np.exp(_chosen(line, line.sides, False))
    boxes = np.split(np.column_stack([x - w / 2, y - h / 2, w, h]), np.cumsum([len(track) for track in seen])[:-1])
    return [
        dataclasses.replace(
            track, xywh=np.column_stack([np.interp(track.frames, part.frames, column) for column in steady.T])
        )
        for track, part, steady in zip(tracks, seen, boxes, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Timeline:
    """All tracks, one behind the other, so far apart that no kernel reaches from one to the next.

    Attributes:
        place: (N,) of each box.
        unit: (N,) pixels: the median height of its track.
        centres: (2, N) x and y in these units.
        sides: (2, N) logarithms of width and height.
    """

    place: NDArray[np.int64]
    unit: Floats
    centres: Floats
    sides: Floats

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> _Timeline:
        apart, end, places = int(np.ceil(REACH * max(WIDTHS))) + 1, 0, []
        for track in tracks:
            places.append(track.frames - track.frames[0] + end)
            end = int(places[-1][-1]) + apart
        boxes = np.concatenate([track.xywh for track in tracks])
        unit = np.concatenate([np.full(len(track), np.median(track.xywh[:, 3])) for track in tracks])
        return cls(np.concatenate(places), unit, (boxes[:, :2] + boxes[:, 2:] / 2).T / unit, np.log(boxes[:, 2:]).T)

    def estimates(self, values: Floats, width: float, straight: bool, itself: bool) -> tuple[Floats, Floats]:
        """(2, N) values as the kernel has them, and (N,) the weight of what they come from.

        Args:
            values: (2, N).
            width: of the kernel.
            straight: a line is fitted, otherwise a constant.
            itself: each box has a say in its own estimate.
        """
        reach = int(np.ceil(REACH * width))
        offset = np.arange(-reach, reach + 1)
        kernel = np.exp(-0.5 * (offset / width) ** 2)
        kernel[reach] *= itself
        on = np.zeros((3, int(self.place[-1]) + 1))  # along the timeline: whether there is a box, and its values
        on[0, self.place], on[1:, self.place] = 1, values
        total, *sums = (correlate1d(row, kernel, mode="constant")[self.place] for row in on)
        weight = np.maximum(total, ALONE)
        means = np.stack(sums) / weight
        if not straight:
            return means, total
        shift, *moments = (correlate1d(row, kernel * offset, mode="constant")[self.place] for row in on)
        spread = correlate1d(on[0], kernel * offset * offset, mode="constant")[self.place]
        shift = shift / weight
        variance = spread / weight - shift * shift  # of the times
        slopes = (np.stack(moments) / weight - shift * means) / np.maximum(variance, ALONE)
        return means - np.where(variance > ALONE, slopes, 0.0) * shift, total


def _chosen(line: _Timeline, values: Floats, straight: bool) -> Floats:
    """(2, N) estimates by the kernel that predicts best; wider ones are tried until they are worse.

    All are judged on the same boxes, those that have neighbours for the first: others are harder to predict.
    """
    best, least, judged = WIDTHS[0], np.inf, np.zeros(len(line.place), np.bool_)
    for width in WIDTHS:
        found, weight = line.estimates(values, width, straight, itself=False)
        if not judged.any():
            judged = weight > ALONE
        error = np.minimum((found - values)[:, judged] ** 2, OUTLIER**2).mean() if judged.any() else np.inf
        if error > least:
            break
        best, least = width, float(error)
    return line.estimates(values, best, straight, itself=True)[0]
