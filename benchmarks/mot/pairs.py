"""Which boxes of ground truth and results overlap in the same frame, and one-to-one choices among them.

Boxes of all frames are compared at once and only pairs that overlap are kept: a crowd of G × R boxes has few of them.
Most choices need no solver: where no box has two partners, all pairs are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from tracker.box import to_mot

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]

TOGETHER = 1 << 18  # pairs compared in one go: what the processor's cache holds
DENSE = 1 << 22  # larger matrices of scores are solved as sparse ones
EPSILON = float(np.finfo(np.float64).eps)  # thresholds give way by so much, as TrackEval's do


class Pairs(NamedTuple):
    """P pairs of boxes that overlap, by rising frame, then by row of the truth, then of the results.

    Attributes:
        truth: (P,) rows of the ground truth.
        result: (P,) rows of the results.
        overlap: (P,) intersection over union, in (0, 1].
    """

    truth: Integers
    result: Integers
    overlap: Floats

    def where(self, kept: Booleans | Integers | slice) -> Pairs:
        """Some of the pairs, or all in another order."""
        return Pairs(self.truth[kept], self.result[kept], self.overlap[kept])


def overlapping_pairs(truth_frame: Integers, truth_box: Floats, result_frame: Integers, result_box: Floats) -> Pairs:
    """Pairs of boxes of one frame that share an area.

    The boxes are compared in the coordinates of MOTChallenge files, so that overlaps round as TrackEval's do: some are
    exactly at a threshold.

    Args:
        truth_frame: (G,) rising; from 0, without large gaps.
        truth_box: (G, 4) ``(x, y, w, h)``, 0-based.
        result_frame: (R,) rising.
        result_box: (R, 4).
    """
    truth, result = _edges(truth_box), _edges(result_box)
    order, begin, count = _beside(truth, truth_frame, result, result_frame)
    ends = np.cumsum(count)
    found = [Pairs(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0))]
    row = 0
    while row < len(ends):
        before = ends[row] - count[row]
        stop = max(row + 1, int(np.searchsorted(ends, before + TOGETHER, "right")))
        some = count[row:stop]
        a = np.repeat(np.arange(row, stop), some)
        b = np.arange(len(a)) + np.repeat(begin[row:stop] - (ends[row:stop] - some - before), some)
        found.append(_compared(truth, result, a, order[b]))
        row = stop
    pairs = Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    return pairs.where(np.argsort(pairs.truth * len(result_frame) + pairs.result))


def _beside(
    truth: Floats, truth_frame: Integers, result: Floats, result_frame: Integers
) -> tuple[Integers, Integers, Integers]:
    """Results that may overlap with each box of the truth, by where their left edges are.

    Returns:
        Results sorted by frame and left edge, and for each box of the truth where its candidates begin among them and
        how many they are.
    """
    widest = np.zeros(max((int(frame[-1]) + 1 for frame in (truth_frame, result_frame) if len(frame)), default=0))
    np.maximum.at(widest, result_frame, result[2] - result[0])
    low = truth[0] - widest[truth_frame] - 1.0  # a pixel to spare for rounding
    edges = np.concatenate([result[0], low, truth[2]])
    rank = np.empty(len(edges), np.intp)
    rank[np.argsort(edges)] = np.arange(len(edges))  # whole numbers, so that frame and edge make one exact key
    of_result, of_low, of_high = np.split(rank, [len(result_frame), len(result_frame) + len(truth_frame)])
    keys = result_frame * len(edges) + of_result
    order = np.argsort(keys)
    begin = np.searchsorted(keys[order], truth_frame * len(edges) + of_low)
    end = np.searchsorted(keys[order], truth_frame * len(edges) + of_high)
    return order, begin, np.maximum(end - begin, 0)


def _edges(box: Floats) -> Floats:
    """(5, N): left, top, right, bottom, area."""
    x, y, w, h = to_mot(box).T
    right, bottom = x + w, y + h
    return np.stack([x, y, right, bottom, (right - x) * (bottom - y)])


def _compared(truth: Floats, result: Floats, a: Integers, b: Integers) -> Pairs:
    """Those of the pairs (a, b) that overlap; boxes without an area overlap with nothing."""
    width = np.minimum(truth[2, a], result[2, b]) - np.maximum(truth[0, a], result[0, b])
    beside = width > 0
    a, b, width = a[beside], b[beside], width[beside]
    height = np.minimum(truth[3, a], result[3, b]) - np.maximum(truth[1, a], result[1, b])
    shared = width * np.maximum(height, 0)
    areas = truth[4, a], result[4, b]
    union = areas[0] + areas[1] - shared
    real = (shared > 0) & (areas[0] > EPSILON) & (areas[1] > EPSILON) & (union > EPSILON)
    return Pairs(a[real], b[real], shared[real] / union[real])


def contested(truth: Integers, result: Integers, group: Integers) -> Iterator[slice]:
    """Groups of pairs, side by side in their arrays, in which a box has more than one partner.

    Args:
        truth: (P,) rows of the ground truth.
        result: (P,) rows of the results.
        group: (P,) rising, e.g. the frame.
    """
    if not len(truth):
        return
    several = (np.bincount(truth)[truth] > 1) | (np.bincount(result)[result] > 1)
    groups = np.unique(group[several])
    for begin, end in zip(np.searchsorted(group, groups), np.searchsorted(group, groups, "right"), strict=True):
        yield slice(int(begin), int(end))


def assign(rows: Integers, columns: Integers, scores: Floats, shape: tuple[int, int]) -> Booleans:
    """Choose one-to-one among pairs so that the sum of their scores is as high as it can be.

    Args:
        rows: (P,) in [0, shape[0]).
        columns: (P,) in [0, shape[1]); no pair twice.
        scores: (P,) above 0.
        shape: number of rows and columns; those without a pair count too, as they decide between equally good choices.

    Returns:
        (P,) which are chosen.
    """
    partner = np.full(shape[0], -1)
    if shape[0] * shape[1] <= DENSE:
        matrix = np.zeros(shape)
        matrix[rows, columns] = scores
        chosen, partners = linear_sum_assignment(matrix, maximize=True)
    else:
        chosen, partners = _sparse_assignment(rows, columns, scores, shape)
    partner[chosen] = partners
    return partner[rows] == columns


def _sparse_assignment(
    rows: Integers, columns: Integers, scores: Floats, shape: tuple[int, int]
) -> tuple[Integers, Integers]:
    """The same for large shapes. Each row has a column of its own besides, which stands for no partner."""
    alone = np.arange(shape[0])
    values = np.concatenate([scores, np.zeros(shape[0])]) + 1.0  # zeros would not be edges
    where = np.concatenate([rows, alone]), np.concatenate([columns, shape[1] + alone])
    graph = csr_array((values, where), shape=(shape[0], shape[1] + shape[0]))
    return min_weight_full_bipartite_matching(graph, maximize=True)


class Comparison(NamedTuple):
    """Results beside the ground truth of a sequence: G boxes against R, after the rules have been applied.

    Frames without boxes are left out of the counting of `truth_frame` and `result_frame`.

    Attributes:
        frames: of the sequence, all of them.
        truth_frame: (G,) rising.
        truth_id: (G,) identities, counted from 0 without gaps.
        result_frame: (R,) rising.
        result_id: (R,) identities, counted from 0 without gaps.
        pairs: boxes that overlap.
    """

    frames: int
    truth_frame: Integers
    truth_id: Integers
    result_frame: Integers
    result_id: Integers
    pairs: Pairs

    @property
    def truth_count(self) -> Integers:
        """(identities,) boxes of each object."""
        return np.bincount(self.truth_id)

    @property
    def result_count(self) -> Integers:
        """(identities,) boxes of each track."""
        return np.bincount(self.result_id)


class Frames(NamedTuple):
    """Where the rows of each frame begin: those of frame f are ``[f]`` to ``[f + 1]``.

    Attributes:
        truth: (F + 1,) in the ground truth.
        result: (F + 1,) in the results.
    """

    truth: Integers
    result: Integers

    @classmethod
    def of(cls, truth_frame: Integers, result_frame: Integers) -> Frames:
        """Frames of rows that are sorted by frame."""
        last = max((int(frame[-1]) for frame in (truth_frame, result_frame) if len(frame)), default=-1)
        numbers = np.arange(last + 2)
        return cls(np.searchsorted(truth_frame, numbers), np.searchsorted(result_frame, numbers))

    def assign(self, pairs: Pairs, scores: Floats, frame: int) -> Booleans:
        """Choose among all pairs of one frame; see `assign`."""
        truth, result = self.truth[frame], self.result[frame]
        shape = int(self.truth[frame + 1] - truth), int(self.result[frame + 1] - result)
        return assign(pairs.truth - truth, pairs.result - result, scores, shape)


def assign_frames(pairs: Pairs, scores: Floats, truth_frame: Integers, result_frame: Integers) -> Booleans:
    """`assign` in each frame.

    Args:
        pairs: P pairs.
        scores: (P,) above 0.
        truth_frame: (G,) rising.
        result_frame: (R,) rising.

    Returns:
        (P,) which pairs are chosen.
    """
    frames, frame = Frames.of(truth_frame, result_frame), truth_frame[pairs.truth]
    chosen = np.ones(len(scores), np.bool_)
    for part in contested(pairs.truth, pairs.result, frame):
        chosen[part] = frames.assign(pairs.where(part), scores[part], int(frame[part.start]))
    return chosen
