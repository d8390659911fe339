"""IDF1: how many boxes carry the right identity, when each object has one track and each track one object.

Objects and tracks of the whole sequence are matched one to one so that the number of frames in which a pair overlaps
by at least 0.5 is as high as it can be (IDTP). Boxes besides are false negatives and false positives.

Source: Ristani, Solera, Zou, Cucchiara, Tomasi, "Performance Measures and a Data Set for Multi-Target, Multi-Camera
Tracking", 2016.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.mot.pairs import Comparison, assign

MATCHED = 0.5  # exactly: TrackEval's threshold gives way in CLEAR and HOTA, not here


@dataclass(frozen=True)
class Identity:
    """Counts of one sequence or several.

    Attributes:
        tp: boxes of objects with the right identity.
        fn: boxes of objects without it.
        fp: boxes of tracks without it.
    """

    tp: int = 0
    fn: int = 0
    fp: int = 0

    @classmethod
    def pooled(cls, parts: Iterable[Identity]) -> Identity:
        """Sums over sequences."""
        parts = list(parts)
        return cls(sum(part.tp for part in parts), sum(part.fn for part in parts), sum(part.fp for part in parts))

    def scores(self) -> dict[str, float]:
        """By TrackEval's names; shares, not percent."""
        return {
            "IDF1": self.tp / max(1, self.tp + (self.fn + self.fp) / 2),
            "IDR": self.tp / max(1, self.tp + self.fn),
            "IDP": self.tp / max(1, self.tp + self.fp),
            "IDTP": self.tp,
            "IDFN": self.fn,
            "IDFP": self.fp,
        }


def identity(comparison: Comparison) -> Identity:
    """Identity measures of one sequence."""
    near = comparison.pairs.where(comparison.pairs.overlap >= MATCHED)
    objects, tracks = comparison.truth_id[near.truth], comparison.result_id[near.result]
    width = max(1, len(comparison.result_count))
    couples, frames = np.unique(objects * width + tracks, return_counts=True)
    objects, tracks = np.divmod(couples, width)
    shape = len(comparison.truth_count), width
    # the fewest false negatives and positives together: each frame that a couple shares is one less of both
    tp = int(frames[assign(objects, tracks, frames.astype(np.float64), shape)].sum()) if len(couples) else 0
    return Identity(tp, len(comparison.truth_id) - tp, len(comparison.result_id) - tp)
