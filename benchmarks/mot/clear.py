"""CLEAR: MOTA, MOTP, identity switches, fragments, objects mostly tracked or lost.

Frame by frame, objects and results are matched one to one at an overlap of at least 0.5. Pairs that were matched in the
frame before are kept, and beyond that the overlap is as high as it can be. An identity switch is a match with another
track than the object's last one, however long ago that was; a fragment is each time that a track of an object begins
again. An object is mostly tracked if more than 80 % of its boxes are matched, mostly lost below 20 %.

Where the definitions of the literature and of toolkits differ, this is TrackEval's: "the frame before" is the last one
that has both objects and results, and an object's absence between two matches is a fragment too.

Sources: Bernardin, Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008; Li,
Huang, Nevatia, "Learning to Associate", 2009 (mostly tracked and lost, fragments); TrackEval.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import log10

import numpy as np

from benchmarks.mot.pairs import EPSILON, Booleans, Comparison, Frames, Integers, Pairs, contested

MATCHED = 0.5
MOSTLY_TRACKED, MOSTLY_LOST = 0.8, 0.2
CONTINUED = 1000.0  # a match that goes on outweighs any sum of overlaps


@dataclass(frozen=True)
class Clear:
    """Counts of one sequence or several, from which everything else follows.

    Attributes:
        tp: matches.
        fn: objects without a match.
        fp: results without a match.
        switches: identity switches.
        fragments: interruptions.
        mostly_tracked: objects.
        partly_tracked: objects.
        mostly_lost: objects.
        overlap: sum over the matches.
        frames: of the sequences that have both objects and results.
        one_sided: whether this is one sequence without objects or without results: TrackEval scores it with 0.
    """

    tp: int = 0
    fn: int = 0
    fp: int = 0
    switches: int = 0
    fragments: int = 0
    mostly_tracked: int = 0
    partly_tracked: int = 0
    mostly_lost: int = 0
    overlap: float = 0.0
    frames: int = 0
    one_sided: bool = False

    @classmethod
    def pooled(cls, parts: Iterable[Clear]) -> Clear:
        """Sums over sequences."""
        parts = list(parts)
        names = [field.name for field in fields(cls) if field.name != "one_sided"]
        return cls(**{name: sum(getattr(part, name) for part in parts) for name in names})

    def scores(self) -> dict[str, float]:
        """By TrackEval's names; shares, not percent."""
        objects, results = max(1, self.tp + self.fn), max(1, self.tp + self.fp)
        tracks = max(1, self.mostly_tracked + self.partly_tracked + self.mostly_lost)
        right = self.tp - self.fp
        rates = {
            "MOTA": (right - self.switches) / objects,
            "MOTP": self.overlap / max(1, self.tp),
            "MODA": right / objects,
            "sMOTA": (self.overlap - self.fp - self.switches) / objects,
            "MOTAL": (right - (log10(self.switches) if self.switches else 0)) / objects,
            "CLR_Re": self.tp / objects,
            "CLR_Pr": self.tp / results,
            "CLR_F1": self.tp / max(1, self.tp + (self.fn + self.fp) / 2),
            "MTR": self.mostly_tracked / tracks,
            "PTR": self.partly_tracked / tracks,
            "MLR": self.mostly_lost / tracks,
            "FP_per_frame": self.fp / max(1, self.frames),
        }
        if self.one_sided:
            rates = dict.fromkeys(rates, 0.0) | {"MLR": 1.0}
        return rates | {
            "CLR_TP": self.tp,
            "CLR_FN": self.fn,
            "CLR_FP": self.fp,
            "IDSW": self.switches,
            "Frag": self.fragments,
            "MT": self.mostly_tracked,
            "PT": self.partly_tracked,
            "ML": self.mostly_lost,
            "CLR_Frames": self.frames,
            "MOTP_sum": self.overlap,
        }


def clear(comparison: Comparison) -> Clear:
    """CLEAR of one sequence."""
    boxes, results = len(comparison.truth_frame), len(comparison.result_frame)
    counts = comparison.truth_count
    if not boxes or not results:
        return Clear(fn=boxes, fp=results, mostly_lost=len(counts), one_sided=True)
    frames = Frames.of(comparison.truth_frame, comparison.result_frame)
    both = (np.diff(frames.truth) > 0) & (np.diff(frames.result) > 0)
    order: Integers = np.cumsum(both, dtype=np.intp)
    matched = match(comparison, frames, order)
    objects, tracks = comparison.truth_id[matched.truth], comparison.result_id[matched.result]
    switches, fragments = _changes(objects, tracks, order[comparison.truth_frame[matched.truth]])
    share = np.bincount(objects, minlength=len(counts)) / counts
    most = int(np.count_nonzero(share > MOSTLY_TRACKED))
    part = int(np.count_nonzero(share >= MOSTLY_LOST)) - most
    hits = len(objects)
    return Clear(
        tp=hits,
        fn=boxes - hits,
        fp=results - hits,
        switches=switches,
        fragments=fragments,
        mostly_tracked=most,
        partly_tracked=part,
        mostly_lost=len(counts) - most - part,
        overlap=float(matched.overlap.sum()),
        frames=comparison.frames,
    )


def match(comparison: Comparison, frames: Frames, order: Integers) -> Pairs:
    """The pairs that are matched.

    Only frames in which a box could have two partners depend on the frame before.

    Args:
        comparison: a sequence.
        frames: where the rows of each frame begin.
        order: (F,) how many frames that have both objects and results there are up to each frame.
    """
    near = comparison.pairs.where(comparison.pairs.overlap >= MATCHED - EPSILON)
    frame = comparison.truth_frame[near.truth]
    objects, tracks = comparison.truth_id[near.truth], comparison.result_id[near.result]
    matched = np.ones(len(frame), np.bool_)
    partner = np.full(len(comparison.truth_count), -1)
    turn = order[frame]
    for part in contested(near.truth, near.result, frame):
        before = slice(*np.searchsorted(turn, [turn[part.start] - 1, turn[part.start]]))
        last = objects[before][matched[before]]
        partner[last] = tracks[before][matched[before]]
        scores = near.overlap[part] + CONTINUED * (partner[objects[part]] == tracks[part])
        partner[last] = -1
        matched[part] = frames.assign(near.where(part), scores, int(frame[part.start]))
    return near.where(matched)


def _changes(objects: Integers, tracks: Integers, turn: Integers) -> tuple[int, int]:
    """Identity switches and fragments of matches that are in the order of time.

    Args:
        objects: (M,) identities of the ground truth.
        tracks: (M,) identities of the results.
        turn: (M,) when, counted in frames that have both objects and results.
    """
    order = np.argsort(objects, kind="stable")
    objects, tracks, turn = objects[order], tracks[order], turn[order]
    same: Booleans = objects[1:] == objects[:-1]
    switches = same & (tracks[1:] != tracks[:-1])
    return int(switches.sum()), int((same & (np.diff(turn) > 1)).sum())
