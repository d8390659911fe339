"""The most that association can reach with given detections: each is told whose it is."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.mot import Rows, Rules
from benchmarks.mot.pairs import assign_frames, overlapping_pairs

MATCHED = 0.5


def with_true_identities(detections: Rows, truth: Rows, rules: Rules, matched: float = MATCHED) -> Rows:
    """Give each detection the identity of the object that it overlaps with; no box is added, moved or left out.

    In each frame detections and objects are paired so that the sum of their overlaps is as large as it can be. A
    detection without a partner gets an identity of its own, as nothing is known of it.

    Args:
        detections: of one sequence; their identities are not read.
        truth: ground truth of the sequence.
        rules: which boxes of the ground truth count.
        matched: overlap from which on a pair may be.
    """
    counts = np.trunc(truth.score) != 0
    if rules.classes:
        counts &= np.isin(truth.category, rules.classes)
    frame, known = truth.frame[counts], truth.id[counts]
    pairs = overlapping_pairs(frame, truth.box[counts], detections.frame, detections.box)
    pairs = pairs.where(pairs.overlap >= matched)
    pairs = pairs.where(assign_frames(pairs, pairs.overlap, frame, detections.frame))
    ids = known.max(initial=-1) + 1 + np.arange(len(detections))
    ids[pairs.result] = known[pairs.truth]
    return dataclasses.replace(detections, id=ids)
