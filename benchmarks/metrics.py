"""How well predicted boxes follow the ground truth, as the Online Tracking Benchmark scores it.

Success: the share of frames whose overlap is **above** a threshold (strict ``>``), at 21 thresholds 0, 0.05 … 1; its
headline is the mean over the thresholds (AUC), so a perfect tracker scores 20/21. Precision: the share of frames whose
centre error is **at most** a threshold (``<=``), at 0 … 50 px; its headline is the value at 20 px. Each sequence weighs
the same, whatever its length. The first frame counts, as in the official toolkits.

Source: Wu, Lim, Yang, "Online Object Tracking: A Benchmark", CVPR 2013, and its toolkit. Values that toolkits treat
differently are treated as pytracking and the OTB toolkit do; `frame_errors` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.box import centre_distance, overlap

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rules:
    """By which rules a benchmark's frames count.

    Attributes:
        first_frame: whether the frame that the tracker was started in counts.
        absent: frames in which the target is absent are left out ("skip"), or count as an overlap of 1 where the
            tracker says LOST and of 0 where it does not ("answer", TLP).
        pooled: the mean is over the frames of all sequences together (GOT-10k), not over the sequences.
    """

    first_frame: bool = True
    absent: Literal["skip", "answer"] = "skip"
    pooled: bool = False


OTB_RULES = Rules()
TLP_RULES = Rules(absent="answer")
GOT10K_RULES = Rules(first_frame=False, pooled=True)

OVERLAP_THRESHOLDS: Floats = np.linspace(0, 1, 21)
DISTANCE_THRESHOLDS: Floats = np.arange(51, dtype=np.float64)  # pixels


def success_curve(overlaps: ArrayLike) -> Floats:
    """(N,) overlaps → (21,) shares of frames with an overlap above 0, 0.05 … 1."""
    return (_one_sequence(overlaps, "overlaps")[:, None] > OVERLAP_THRESHOLDS).mean(0)


def success_auc(overlaps: ArrayLike) -> float:
    """(N,) overlaps → mean of the success curve, in [0, 20/21]."""
    return float(success_curve(overlaps).mean())


def precision_curve(distances: ArrayLike) -> Floats:
    """(N,) centre errors in pixels → (51,) shares of frames with an error of at most 0, 1 … 50 px."""
    return (_one_sequence(distances, "distances")[:, None] <= DISTANCE_THRESHOLDS).mean(0)


def precision_at_20(distances: ArrayLike) -> float:
    """(N,) centre errors in pixels → share of frames with an error of at most 20 px."""
    return float(precision_curve(distances)[20])


def frame_errors(predicted: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    """Overlap and centre error of every frame in which the target is present.

    - Ground truth with a NaN means that the target is absent: the frame is left out.
    - Ground truth without a positive width and height is a miss that stays in the denominator: overlap −1, error ∞.
    - A prediction without area is replaced by the one before it, as trackers write ``0,0,0,0`` for "no answer".

    Args:
        predicted: (N, 4) boxes ``(x, y, w, h)``.
        truth: (N, 4) boxes in the same frame of reference.

    Returns:
        (M,) overlaps and (M,) centre errors in pixels, M ≤ N.

    Raises:
        ValueError: the shapes differ or are not (N, 4); a prediction is not finite or has a negative size.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.shape[1] != 4:
        raise ValueError(f"predictions and ground truth must both be (N, 4), got {predicted.shape} and {truth.shape}")
    if not np.isfinite(predicted).all() or (predicted[:, 2:] < 0).any():
        row = int(np.argmax(~np.isfinite(predicted).all(1) | (predicted[:, 2:] < 0).any(1)))
        raise ValueError(f"prediction {row} must be finite with no negative size, got {predicted[row].tolist()}")
    predicted = _repeat_over_empty(predicted)
    invalid = ~(truth[:, 2:] > 0).all(1)
    overlaps = np.where(invalid, -1.0, overlap(predicted, truth))
    distances = np.where(invalid, np.inf, centre_distance(predicted, truth))
    present = ~np.isnan(truth).any(1)
    return overlaps[present], distances[present]


@dataclass(frozen=True, eq=False)
class SequenceScore:
    """One tracker's score on one sequence.

    Attributes:
        success: (21,) success curve.
        precision: (51,) precision curve.
        frames: frames that were scored, absent ones not among them.
        absent: frames left out because the ground truth says that the target is absent.
        missing: predictions that were not there, counted as misses.
        surplus: predictions beyond the ground truth, ignored.
    """

    success: Floats
    precision: Floats
    frames: int
    absent: int = 0
    missing: int = 0
    surplus: int = 0

    @property
    def auc(self) -> float:
        return float(self.success.mean())

    @property
    def precision_20(self) -> float:
        return float(self.precision[20])


def score_sequence(
    predicted: ArrayLike, truth: ArrayLike, on_mismatch: Literal["raise", "fit"] = "raise"
) -> SequenceScore:
    """Score the boxes of one sequence by the rules of `frame_errors`.

    Args:
        predicted: (N, 4) boxes; row 0 is the box the tracker was started with.
        truth: (N, 4) ground truth in the same frame of reference.
        on_mismatch: what to do when `predicted` has another number of rows: ``"raise"``, or ``"fit"``: frames without
            a prediction are misses and predictions without a frame are ignored; the score says how many.

    Raises:
        ValueError: the row counts differ and `on_mismatch` is ``"raise"``; no frame shows the target; bad boxes.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    missing, surplus = max(len(truth) - len(predicted), 0), max(len(predicted) - len(truth), 0)
    if on_mismatch == "raise" and (missing or surplus):
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} frames of ground truth")
    answered = min(len(predicted), len(truth))
    overlaps, distances = frame_errors(predicted[:answered], truth[:answered])
    unanswered = int((~np.isnan(truth[answered:]).any(1)).sum())
    overlaps = np.append(overlaps, np.full(unanswered, -1.0))
    distances = np.append(distances, np.full(unanswered, np.inf))
    return SequenceScore(
        success=success_curve(overlaps),
        precision=precision_curve(distances),
        frames=len(overlaps),
        absent=int(np.isnan(truth).any(1).sum()),
        missing=missing,
        surplus=surplus,
    )


def mean_auc(scores: Sequence[SequenceScore]) -> float:
    """Success AUC of a benchmark: the mean over its sequences."""
    return float(np.mean([score.auc for score in scores]))


def mean_precision_20(scores: Sequence[SequenceScore]) -> float:
    """Precision at 20 px of a benchmark: the mean over its sequences."""
    return float(np.mean([score.precision_20 for score in scores]))


def bootstrap_interval(
    values: ArrayLike, confidence: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of one value a sequence: what another draw of sequences would give.

    Args:
        values: (S,) one headline number a sequence.
        confidence: share of the resampled means inside the interval, in (0, 1).
        samples: number of resamples.
        seed: seed of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: no values, or a confidence outside (0, 1).
    """
    values = _one_sequence(values, "values")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    drawn = np.random.default_rng(seed).integers(len(values), size=(samples, len(values)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values[drawn].mean(1), [tail, 1 - tail])
    return float(low), float(high)


def _one_sequence(values: ArrayLike, name: str) -> Floats:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must be a row of at least one number, got shape {values.shape}")
    return values


def _repeat_over_empty(boxes: Floats) -> Floats:
    """Replace boxes without area by the last one before them that has one."""
    kept = np.where((boxes[:, 2:] > 0).all(1), np.arange(len(boxes)), 0)
    return boxes[np.maximum.accumulate(kept)]
