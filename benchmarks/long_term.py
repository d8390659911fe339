"""Precision, recall and F of long-term tracking, where a tracker must also say when the target is not there.

A tracker claims to see the target in the frames in which it is confident enough. Precision is the mean overlap of the
frames in which it claims that, recall that of the frames which show the target; both over all thresholds of the
confidence, as means over the sequences. F is taken at the threshold where it is highest.

Source: Lukežič, Čehovin Zajc, Vojíř, Matas, Kristan, "Now you see me: evaluating performance in long-term visual
tracking", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

THRESHOLDS = 100  # confidences at which precision and recall are taken, at most


class LongTerm(NamedTuple):
    """Long-term measures of S sequences at T thresholds of the confidence.

    Attributes:
        thresholds: (T,) rising.
        precision: (S, T) mean overlap of the frames in which the tracker is that confident; 1 where there are none.
        recall: (S, T) mean overlap of the frames that show the target, 0 where the tracker is less confident.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats


def long_term(
    overlaps: Sequence[Floats], present: Sequence[Booleans], scores: Sequence[Floats], thresholds: int | None = None
) -> LongTerm:
    """Precision and recall of long-term tracking (Lukežič et al. 2018) over thresholds of the confidence.

    The thresholds are confidences that occur in any of the sequences, evenly spaced in their order.

    Args:
        overlaps: for each sequence (N,) overlaps, 0 where the target is absent.
        present: for each sequence (N,) whether the frame shows the target.
        scores: for each sequence (N,) confidences; −∞ where the tracker said that the target is absent.
        thresholds: how many at most.

    Raises:
        ValueError: a sequence that never shows the target, or a confidence that is NaN.
    """
    for shown, confidence in zip(present, scores, strict=True):
        if not shown.any() or np.isnan(confidence).any():
            raise ValueError("each sequence must show the target at least once and have a confidence in each frame")
    levels = np.unique(np.concatenate(list(scores)))
    levels = levels[np.isfinite(levels)]
    if not len(levels):
        levels = np.array([np.inf])  # it never claimed to see the target
    wanted = min(thresholds or THRESHOLDS, len(levels))
    levels = levels[np.linspace(0, len(levels) - 1, wanted).round().astype(np.intp)]
    precision, recall = np.ones((len(scores), len(levels))), np.zeros((len(scores), len(levels)))
    for row, (values, shown, confidence) in enumerate(zip(overlaps, present, scores, strict=True)):
        order = np.argsort(-confidence)
        sums = np.concatenate([[0.0], np.cumsum(values[order])])
        claimed = np.searchsorted(-confidence[order], -levels, "right")  # frames with at least this confidence
        np.divide(sums[claimed], claimed, out=precision[row], where=claimed > 0)
        recall[row] = sums[claimed] / shown.sum()
    return LongTerm(levels, precision, recall)


def best_f(precision: Floats, recall: Floats) -> tuple[Floats, Floats, Floats]:
    """(…, T) means of precision and recall → those at the threshold with the highest F, and F."""
    total = precision + recall
    f = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    best = np.argmax(f, -1)[..., None]
    chosen = [np.take_along_axis(values, best, -1)[..., 0] for values in (precision, recall, f)]
    return chosen[0], chosen[1], chosen[2]
