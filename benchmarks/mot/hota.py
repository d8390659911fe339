"""HOTA: detection and association weighed alike, over 19 thresholds of the overlap.

In each frame objects and results are matched one to one. A pair is worth its overlap times how well its object and its
track go together over the whole sequence, whatever they are matched with. At each threshold α of 0.05 … 0.95 the
matches that overlap by α at least are true positives; DetA = TP / (TP + FN + FP). For each true positive, the matches
of its object with its track, divided by all boxes of either, are its association; AssA is the mean. HOTA is the
geometric mean of both, LocA the mean overlap of the true positives. One number is the mean over the thresholds.

Source: Luiten, Ošep, Dendorfer, Torr, Geiger, Leal-Taixé, Leibe, "HOTA: A Higher Order Metric for Evaluating
Multi-Object Tracking", IJCV 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.mot.pairs import EPSILON, Comparison, Floats, Integers, Pairs, assign_frames

ALPHAS: Floats = np.arange(0.05, 0.99, 0.05)
TINY = 1e-10


@dataclass(frozen=True, eq=False)
class Hota:
    """Detections and associations of one sequence or several, each (19,) over the thresholds.

    Attributes:
        tp: matches.
        fn: objects without a match.
        fp: results without a match.
        association: mean over the matches of what object and track share, out of both (AssA).
        recall: the same out of the object's boxes (AssRe).
        precision: the same out of the track's boxes (AssPr).
        location: mean overlap of the matches (LocA).
    """

    tp: Floats
    fn: Floats
    fp: Floats
    association: Floats
    recall: Floats
    precision: Floats
    location: Floats

    @classmethod
    def pooled(cls, parts: Iterable[Hota]) -> Hota:
        """Counts are added up, means are weighed by the matches."""
        parts = list(parts)
        none = np.zeros(len(ALPHAS))
        tp = sum((part.tp for part in parts), none)
        each = np.maximum(1, tp)
        return cls(
            tp,
            sum((part.fn for part in parts), none),
            sum((part.fp for part in parts), none),
            sum((part.association * part.tp for part in parts), none) / each,
            sum((part.recall * part.tp for part in parts), none) / each,
            sum((part.precision * part.tp for part in parts), none) / each,
            _mean_overlap(sum((part.location * part.tp for part in parts), none), tp),
        )

    def curves(self) -> dict[str, Floats]:
        """By TrackEval's names, each (19,); shares, not percent."""
        detection = self.tp / np.maximum(1, self.tp + self.fn + self.fp)
        recall = self.tp / np.maximum(1, self.tp + self.fn)
        return {
            "HOTA": np.sqrt(detection * self.association),
            "DetA": detection,
            "AssA": self.association,
            "DetRe": recall,
            "DetPr": self.tp / np.maximum(1, self.tp + self.fp),
            "AssRe": self.recall,
            "AssPr": self.precision,
            "LocA": self.location,
            "OWTA": np.sqrt(recall * self.association),
            "HOTA_TP": self.tp,
            "HOTA_FN": self.fn,
            "HOTA_FP": self.fp,
        }

    def scores(self) -> dict[str, float]:
        """Means over the thresholds, and values at the first of them."""
        curves = self.curves()
        first = {"HOTA(0)": float(curves["HOTA"][0]), "LocA(0)": float(curves["LocA"][0])}
        return (
            {name: float(curve.mean()) for name, curve in curves.items()}
            | first
            | {"HOTALocA(0)": first["HOTA(0)"] * first["LocA(0)"]}
        )


def hota(comparison: Comparison) -> Hota:
    """HOTA of one sequence."""
    pairs, width = comparison.pairs, max(1, len(comparison.result_count))
    couples = comparison.truth_id[pairs.truth] * width + comparison.result_id[pairs.result]
    couples, couple = np.unique(couples, return_inverse=True)
    shared = np.bincount(couple, _share_of_frame(pairs), len(couples))
    of_object, of_track = _sizes(comparison, couples, width)
    alignment = shared / (of_object + of_track - shared)
    chosen = assign_frames(pairs, alignment[couple] * pairs.overlap, comparison.truth_frame, comparison.result_frame)
    return _counted(comparison, couples[couple[chosen]], pairs.overlap[chosen], width)


def _counted(comparison: Comparison, couples: Integers, overlap: Floats, width: int) -> Hota:
    """What M matches come to: (M,) couples of object and track, and their overlaps."""
    levels = len(ALPHAS) + 1
    level = np.searchsorted(ALPHAS - EPSILON, overlap, "right")  # how many thresholds a match reaches
    couples, couple = np.unique(couples, return_inverse=True)
    of_object, of_track = (sizes[:, None] for sizes in _sizes(comparison, couples, width))
    tp = _reaching(np.bincount(level, minlength=levels))
    matches = _reaching(np.bincount(couple * levels + level, minlength=len(couples) * levels).reshape(-1, levels))
    each = np.maximum(1, tp)
    return Hota(
        tp,
        len(comparison.truth_id) - tp,
        len(comparison.result_id) - tp,
        (matches * matches / (of_object + of_track - matches)).sum(0) / each,
        (matches * matches / of_object).sum(0) / each,
        (matches * matches / of_track).sum(0) / each,
        _mean_overlap(_reaching(np.bincount(level, overlap, levels)), tp),
    )


def _sizes(comparison: Comparison, couples: Integers, width: int) -> tuple[Integers, Integers]:
    """Boxes of the object and of the track of each couple, whose number is object × width + track."""
    objects, tracks = np.divmod(couples, width)
    return comparison.truth_count[objects], comparison.result_count[tracks]


def _share_of_frame(pairs: Pairs) -> Floats:
    """(P,) overlap of each pair, out of all overlaps that its two boxes have."""
    truth, result, overlap = pairs
    total = np.bincount(result, overlap)[result] + np.bincount(truth, overlap)[truth] - overlap
    return np.divide(overlap, total, out=np.zeros_like(overlap), where=total > EPSILON)


def _mean_overlap(total: Floats, tp: Floats) -> Floats:
    """LocA: 1 where nothing is matched."""
    return np.maximum(TINY, total) / np.maximum(TINY, tp)


def _reaching(at: Floats | Integers) -> Floats:
    """(…, 20) what is at each number of thresholds reached → (…, 19) what reaches each threshold."""
    return at[..., ::-1].cumsum(-1)[..., -2::-1].astype(np.float64)
