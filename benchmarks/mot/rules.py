"""By which rules boxes count, and a sequence prepared for the metrics by them.

MOTChallenge 2016, 2017 and 2020 score pedestrians: results that fall onto what looks like one but is none (a statue, a
reflection, a person on a vehicle) are neither right nor wrong. They are matched with all of the ground truth, whatever
its class and flag, at an overlap of 0.5, and taken out where the partner is such a distractor; after that only
pedestrians whose flag is set stay in the ground truth.

Sources: Milan et al., "MOT16: A Benchmark for Multi-Object Tracking", 2016; Dendorfer et al., "MOT20", 2020; TrackEval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.mot.pairs import EPSILON, Booleans, Comparison, Integers, Pairs, assign_frames, overlapping_pairs
from benchmarks.mot.text import Rows

MATCHED = 0.5  # overlap with a distractor


@dataclass(frozen=True)
class Rules:
    """What counts. Boxes of the ground truth that are marked with a 0 never do.

    Attributes:
        classes: of the ground truth that count, none: all. Results that name a class count only if it is one of them;
            results that name none (below 1) always do.
        distractors: classes of the ground truth that take a result with them.
    """

    classes: tuple[int, ...] = ()
    distractors: tuple[int, ...] = ()


PEDESTRIAN, PERSON_ON_VEHICLE, NON_MOT_VEHICLE, STATIC_PERSON, DISTRACTOR, REFLECTION = 1, 2, 6, 7, 8, 12
ANY = Rules()
MOT16 = Rules((PEDESTRIAN,), (PERSON_ON_VEHICLE, STATIC_PERSON, DISTRACTOR, REFLECTION))
MOT20 = Rules((PEDESTRIAN,), (*MOT16.distractors, NON_MOT_VEHICLE))
RULES = {"any": ANY, "mot15": ANY, "mot16": MOT16, "mot17": MOT16, "mot20": MOT20}


def compare(truth: Rows, results: Rows, rules: Rules = ANY, frames: int | None = None) -> Comparison:
    """Results beside ground truth, by the rules.

    Args:
        truth: ground truth of the sequence.
        results: what a tracker said of it.
        rules: what counts.
        frames: of the sequence; by default up to the last one with a box.

    Raises:
        ValueError: the rules ask for classes and the ground truth has none.
    """
    last = max((int(rows.frame[-1]) + 1 for rows in (truth, results) if len(rows)), default=0)
    counts, distracts = _of_truth(truth, rules)
    answers = _of_results(results, rules)
    present = np.unique(np.concatenate([truth.frame, results.frame]))  # numbers of frames may be huge
    truth_frame = np.searchsorted(present, truth.frame)
    result_frame = np.searchsorted(present, results.frame[answers])
    pairs = overlapping_pairs(truth_frame, truth.box, result_frame, results.box[answers])
    taken = _taken(pairs, truth_frame, result_frame, distracts)
    pairs = _kept(pairs, counts, ~taken)
    return Comparison(
        last if frames is None else frames,
        truth_frame[counts],
        _renumbered(truth.id[counts]),
        result_frame[~taken],
        _renumbered(results.id[answers][~taken]),
        pairs,
    )


def _of_truth(truth: Rows, rules: Rules) -> tuple[Booleans, Booleans]:
    """Which boxes of the ground truth count, and which take a result with them."""
    counts = np.trunc(truth.score) != 0
    if not rules.classes:
        return counts, np.isin(truth.category, rules.distractors)
    unknown = truth.category < 1
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"{truth.source}: line {truth.line[row]} has no class (column 8 is {truth.category[row]}), and the rules "
            f"ask for {', '.join(map(str, rules.classes))}; the rules 'any' count every box"
        )
    return counts & np.isin(truth.category, rules.classes), np.isin(truth.category, rules.distractors)


def _of_results(results: Rows, rules: Rules) -> Booleans:
    """Which results count."""
    if not rules.classes:
        return np.ones(len(results), np.bool_)
    return (results.category < 1) | np.isin(results.category, rules.classes)


def _taken(pairs: Pairs, truth_frame: Integers, result_frame: Integers, distracts: Booleans) -> Booleans:
    """(R,) which results are matched with a distractor."""
    taken = np.zeros(len(result_frame), np.bool_)
    if distracts.any():
        near = pairs.where(pairs.overlap >= MATCHED - EPSILON)
        matched = near.where(assign_frames(near, near.overlap, truth_frame, result_frame))
        taken[matched.result[distracts[matched.truth]]] = True
    return taken


def _kept(pairs: Pairs, truth: Booleans, result: Booleans) -> Pairs:
    """Pairs of rows that stay, by the rows' new numbers."""
    pairs = pairs.where(truth[pairs.truth] & result[pairs.result])
    return Pairs((np.cumsum(truth) - 1)[pairs.truth], (np.cumsum(result) - 1)[pairs.result], pairs.overlap)


def _renumbered(ids: NDArray[np.int64]) -> Integers:
    """The same identities, counted from 0 without gaps."""
    return np.unique(ids, return_inverse=True)[1].reshape(-1).astype(np.intp)
