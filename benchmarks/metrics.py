"""How well predicted boxes follow the ground truth: pure functions on arrays.

- Success: the share of frames whose overlap is **above** a threshold (strict ``>``), at 21 thresholds 0, 0.05 … 1; its
  headline is the mean over the thresholds (AUC), so a perfect tracker scores 20/21.
- Precision: the share of frames whose centre error is **at most** a threshold (``<=``), at 0 … 50 px; its headline is
  the value at 20 px.
- Normalised precision: the same with the error in each axis divided by the ground truth's width or height, at 0, 0.01 …
  0.5; it has two headlines, the mean over the thresholds (TrackingNet, pytracking) and the value at 0.2 (LaSOT).

Each sequence weighs the same, whatever its length, unless the benchmark's `Rules` pool the frames.

Frames are counted as the official toolkits do (OTB's and pytracking's; pysot and got10k differ):

- The first frame counts, and there the tracker has the ground truth it was started with.
- Ground truth with a NaN means that the target is absent: `Rules.absent` says what becomes of the frame.
- Ground truth without a positive width and height is a miss that stays in the denominator.
- A prediction without a positive width and height is replaced by the one before it, as trackers write ``0,0,0,0`` for
  "no answer".
- A frame without a prediction is a miss; predictions beyond the ground truth are ignored. The score counts both.

Centres are ``x + w / 2``. The ``x + (w − 1) / 2`` of got10k, pysot, pytracking and SiamDW gives the same errors: in the
difference of two centres the −1 cancels, whatever the sizes.

Everything is numpy: the overlaps of 20 trackers × 59,040 boxes take 16 ms, kept column by column (rows: 100 ms). numba
takes 8 ms, but 1.4 s before that to be imported and to compile, or 0.6 s with its cache.

Sources: Wu, Lim, Yang, "Online Object Tracking: A Benchmark", CVPR 2013, and its toolkit; Müller et al., "TrackingNet",
ECCV 2018; Fan et al., "LaSOT", CVPR 2019; Moudgil, Gandhi, "Long-Term Visual Object Tracking Benchmark", ACCV 2018;
Huang, Zhao, Huang, "GOT-10k", TPAMI 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracker.box import centre_distance, overlap, polygon_overlap, to_got10k

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """By which rules a benchmark's frames count.

    Attributes:
        first_frame: whether the frame that the tracker was started in counts.
        absent: frames in which the target is absent are left out ("skip"), or count as an overlap of 1 and no centre
            error where the tracker says LOST, and as a miss where it does not ("answer", TLP).
        pooled: the mean is over the frames of all sequences together (GOT-10k), not over the sequences.
        clip: boxes are cut to the image, as the got10k package does it (GOT-10k).
        lsm: share of frames that `longest_subsequence` asks for, where the benchmark has that measure (TLP).
    """

    first_frame: bool = True
    absent: Literal["skip", "answer"] = "skip"
    pooled: bool = False
    clip: bool = False
    lsm: float | None = None


# TLP's paper leaves the share open, draws LSM over it and takes 95 % for the number it ranks by. Its text could not be
# had: the 95 % are from a reimplementation of its evaluation.
TRACKED_SHARE = 0.95

OTB_RULES = Rules()
TLP_RULES = Rules(absent="answer", lsm=TRACKED_SHARE)
GOT10K_RULES = Rules(first_frame=False, pooled=True, clip=True)

OVERLAP_THRESHOLDS: Floats = np.linspace(0, 1, 21)
DISTANCE_THRESHOLDS: Floats = np.arange(51, dtype=np.float64)  # pixels
NORMALISED_THRESHOLDS: Floats = np.arange(51) / 100  # of the target's size


class Errors(NamedTuple):
    """What is wrong in each of N frames; NaN in all three where the frame does not count.

    Attributes:
        overlaps: (N,) intersection over union, in [0, 1].
        distances: (N,) centre error in pixels; ∞ is a miss.
        normalised: (N,) centre error, each axis divided by the target's size.
    """

    overlaps: Floats
    distances: Floats
    normalised: Floats


@dataclass(frozen=True, eq=False)
class Track:
    """What a tracker said of one sequence, beside the truth.

    Attributes:
        name: of the sequence, for messages.
        predicted: (M, 4) boxes ``(x, y, w, h)``; row 0 is the box that the tracker was started with.
        truth: (N, 4) boxes in the same frame of reference; NaN where the target is absent.
        lost: (M,) where the tracker said that the target is absent; ``None``: where its box has no area.
        polygons: (N, 8) corners of rotated ground truth, which the overlap is then with.
        size: width and height of the image; needed only where `Rules.clip` is set.
    """

    name: str
    predicted: Floats
    truth: Floats
    lost: Booleans | None = None
    polygons: Floats | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class SequenceScore:
    """One tracker's score on one sequence of N frames.

    Attributes:
        success: (21,) success curve.
        precision: (51,) precision curve.
        normalised: (51,) normalised precision curve.
        overlaps: (N,) overlap in each frame, NaN where the frame does not count.
        ao: mean overlap of the frames that count.
        frames: how many count.
        absent: frames in which the ground truth says that the target is absent.
        missing: predictions that were not there, counted as misses.
        surplus: predictions beyond the ground truth, ignored.
        lsm: longest tracked subsequence, a share of the frames; NaN where the benchmark does not have it.
    """

    success: Floats
    precision: Floats
    normalised: Floats
    overlaps: Floats
    ao: float
    frames: int
    absent: int = 0
    missing: int = 0
    surplus: int = 0
    lsm: float = float("nan")

    @property
    def auc(self) -> float:
        """Mean of the success curve, in [0, 20/21]."""
        return float(self.success.mean())

    @property
    def precision_20(self) -> float:
        """Share of frames with a centre error of at most 20 px."""
        return float(self.precision[20])

    @property
    def normalised_auc(self) -> float:
        """Mean of the normalised precision curve, as TrackingNet and pytracking have it."""
        return float(self.normalised.mean())

    @property
    def normalised_20(self) -> float:
        """Normalised precision at 0.2, as LaSOT has it."""
        return float(self.normalised[20])

    @property
    def sr_50(self) -> float:
        """Share of frames with an overlap above 0.5."""
        return float(self.success[10])

    @property
    def sr_75(self) -> float:
        """Share of frames with an overlap above 0.75."""
        return float(self.success[15])


def score_sequence(
    predicted: ArrayLike,
    truth: ArrayLike,
    rules: Rules = OTB_RULES,
    lost: ArrayLike | None = None,
    polygons: ArrayLike | None = None,
    size: tuple[int, int] | None = None,
    name: str = "sequence",
) -> SequenceScore:
    """Score one sequence; see `Track` for the arguments and `score_tracks` for what is raised."""
    track = Track(
        name,
        np.asarray(predicted, np.float64),
        np.asarray(truth, np.float64),
        None if lost is None else np.asarray(lost, np.bool_),
        None if polygons is None else np.asarray(polygons, np.float64),
        size,
    )
    return score_tracks([track], rules)[0]


def score_tracks(tracks: Sequence[Track], rules: Rules = OTB_RULES) -> list[SequenceScore]:
    """Score sequences, all frames of all of them in one go: a sequence is short, and numpy's calls add up.

    Raises:
        ValueError: boxes of another shape than (N, 4), a prediction that is not finite, no size where boxes must be
            clipped, or no frame that counts; the message names the sequence.
    """
    if not tracks:
        return []
    for track in tracks:
        _check(track, rules)
    lengths = np.array([len(track.truth) for track in tracks])
    starts = np.cumsum(lengths) - lengths
    truth = np.concatenate([track.truth for track in tracks], out=_by_column(lengths.sum()))
    errors = _errors(tracks, truth, starts, rules)
    counted = ~np.isnan(errors.overlaps)
    owner = np.repeat(np.arange(len(tracks)), lengths)
    absent = np.bincount(owner, np.isnan(truth).any(1), minlength=len(tracks))
    owner = owner[counted]
    frames = np.bincount(owner, minlength=len(tracks))
    if not frames.all():
        raise ValueError(f"{tracks[int(np.argmin(frames))].name}: no frame of it counts")
    overlaps, distances, normalised = (values[counted] for values in errors)
    success = _shares(np.searchsorted(-OVERLAP_THRESHOLDS[::-1], -overlaps, "right"), 21, owner, frames)[:, ::-1]
    whole_pixels = np.minimum(np.ceil(distances), 51).astype(np.intp)  # a threshold each
    precision = _shares(whole_pixels, 51, owner, frames)
    norm_precision = _shares(np.searchsorted(NORMALISED_THRESHOLDS, normalised), 51, owner, frames)
    means = np.bincount(owner, overlaps, minlength=len(tracks)) / frames
    per_frame = np.split(errors.overlaps, starts[1:])
    return [
        SequenceScore(
            success[index],
            precision[index],
            norm_precision[index],
            per_frame[index],
            float(means[index]),
            int(frames[index]),
            int(absent[index]),
            max(len(track.truth) - len(track.predicted), 0),
            max(len(track.predicted) - len(track.truth), 0),
            float("nan") if rules.lsm is None else longest_subsequence(per_frame[index], rules.lsm),
        )
        for index, track in enumerate(tracks)
    ]


def average(scores: Sequence[SequenceScore]) -> SequenceScore:
    """One score for the variants of a sequence (SRE: other start boxes; TRE: later start frames).

    Curves and means are averaged, counts added up. Overlaps are averaged frame by frame with the last frames aligned,
    since all variants run to the end of the sequence.

    Raises:
        ValueError: no scores.
    """
    if not scores:
        raise ValueError("no scores to average")
    overlaps = np.full((len(scores), max(len(score.overlaps) for score in scores)), np.nan)
    for row, score in zip(overlaps, scores, strict=True):
        row[len(row) - len(score.overlaps) :] = score.overlaps
    counted = (~np.isnan(overlaps)).sum(0)
    mean = np.divide(np.nansum(overlaps, 0), counted, out=np.full(overlaps.shape[1], np.nan), where=counted > 0)
    return SequenceScore(
        success=np.mean([score.success for score in scores], 0),
        precision=np.mean([score.precision for score in scores], 0),
        normalised=np.mean([score.normalised for score in scores], 0),
        overlaps=mean,
        ao=float(np.mean([score.ao for score in scores])),
        frames=sum(score.frames for score in scores),
        absent=sum(score.absent for score in scores),
        missing=sum(score.missing for score in scores),
        surplus=sum(score.surplus for score in scores),
        lsm=float(np.mean([score.lsm for score in scores])),
    )


def success_curve(overlaps: ArrayLike) -> Floats:
    """(N,) overlaps → (21,) shares of frames with an overlap above 0, 0.05 … 1."""
    return (_one_sequence(overlaps, "overlaps")[:, None] > OVERLAP_THRESHOLDS).mean(0)


def success_auc(overlaps: ArrayLike) -> float:
    """(N,) overlaps → mean of the success curve, in [0, 20/21]."""
    return float(success_curve(overlaps).mean())


def precision_curve(distances: ArrayLike) -> Floats:
    """(N,) centre errors in pixels → (51,) shares of frames with an error of at most 0, 1 … 50 px."""
    return (_one_sequence(distances, "distances")[:, None] <= DISTANCE_THRESHOLDS).mean(0)


def normalised_curve(distances: ArrayLike) -> Floats:
    """(N,) centre errors by the target's size → (51,) shares of frames with an error of at most 0, 0.01 … 0.5."""
    return (_one_sequence(distances, "distances")[:, None] <= NORMALISED_THRESHOLDS).mean(0)


def frame_errors(predicted: ArrayLike, truth: ArrayLike) -> Errors:
    """Overlap and centre errors of every frame.

    Args:
        predicted: (N, 4) boxes ``(x, y, w, h)``; a row with NaN is a miss.
        truth: (N, 4) boxes in the same frame of reference; a row with NaN: the frame does not count; a row without a
            positive width and height is a miss.

    Raises:
        ValueError: the shapes differ or are not (N, 4).
    """
    predicted, truth = (np.asfortranarray(np.asarray(boxes, np.float64)) for boxes in (predicted, truth))
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.shape[1] != 4:
        raise ValueError(f"predictions and ground truth must both be (N, 4), got {predicted.shape} and {truth.shape}")
    size = truth[:, 2:]
    valid = (size[:, 0] > 0) & (size[:, 1] > 0) & ~np.isnan(predicted).any(1)
    overlaps = np.where(valid, overlap(predicted, truth), 0.0)
    distances = np.where(valid, centre_distance(predicted, truth), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):  # where it is not valid
        x, y = (((predicted[:, :2] + predicted[:, 2:] / 2) - (truth[:, :2] + size / 2)) / size).T
        normalised = np.where(valid, np.sqrt(x * x + y * y), np.inf)
    for values in (overlaps, distances, normalised):
        values[np.isnan(truth).any(1)] = np.nan
    return Errors(overlaps, distances, normalised)


def longest_subsequence(overlaps: ArrayLike, share: float = TRACKED_SHARE, threshold: float = 0.5) -> float:
    """TLP's LSM: the length of the longest subsequence that was tracked, divided by the sequence's length.

    A run of consecutive frames is tracked if at least `share` of them have an overlap above `threshold`. O(n log n).

    Args:
        overlaps: (N,) overlaps; frames with NaN are passed over.
        share: in (0, 1]; TLP's plot varies it and its headline has 0.95.
        threshold: of the overlap, strict.

    Raises:
        ValueError: a share outside (0, 1], or no frame.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    overlaps = _one_sequence(overlaps, "overlaps")
    hits = overlaps[~np.isnan(overlaps)] > threshold
    if not len(hits):
        raise ValueError("no frame counts")
    # A run is tracked if Σ (hit − share) ≥ 0 over it, that is if this sum, taken from the beginning, is no lower at its
    # end than at its start. In whole numbers, so that a run that just passes is not lost to rounding.
    fraction = Fraction(share).limit_denominator(10_000)
    steps = np.where(hits, fraction.denominator - fraction.numerator, -fraction.numerator)
    sums = np.concatenate([[0], np.cumsum(steps)])
    lowest = np.minimum.accumulate(sums)  # never rises, so the earliest possible start is found by bisection
    earliest = np.searchsorted(-lowest, -sums)
    return float((np.arange(len(sums)) - earliest).max() / len(hits))


@dataclass(frozen=True)
class Speed:
    """Time for an update, `init` and decoding excluded.

    Attributes:
        fps: updates a second, N/Σt: the rate a user sees, unlike the mean of 1/t.
        p50_ms, p95_ms, p99_ms: percentiles of the time for one update in milliseconds.
    """

    fps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def speed(seconds: ArrayLike) -> Speed:
    """Summarise the times of single updates, (N,) seconds.

    Raises:
        ValueError: no updates.
    """
    seconds = np.asarray(seconds, np.float64)
    if not len(seconds):
        raise ValueError("no updates to measure: every sequence has a single frame")
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, [50, 95, 99]) * 1000)
    return Speed(float(len(seconds) / np.sum(seconds)), p50, p95, p99)


def _check(track: Track, rules: Rules) -> None:
    for boxes, kind in ((track.predicted, "predictions"), (track.truth, "ground truth")):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"{track.name}: {kind} must be (N, 4), got {boxes.shape}")
    if track.lost is not None and track.lost.shape != (len(track.predicted),):
        raise ValueError(f"{track.name}: {len(track.predicted)} predictions, but states of shape {track.lost.shape}")
    if track.polygons is not None and track.polygons.shape != (len(track.truth), 8):
        raise ValueError(f"{track.name}: {len(track.truth)} frames, but polygons of shape {track.polygons.shape}")
    if rules.clip and track.size is None:
        raise ValueError(f"{track.name}: the size of its images must be known, since boxes are clipped to it")
    finite = np.isfinite(track.predicted)
    if not finite.all():
        row = int(np.argmin(finite.all(1)))
        raise ValueError(f"{track.name}: prediction {row} must be finite, got {track.predicted[row].tolist()}")


def _errors(tracks: Sequence[Track], truth: Floats, starts: Integers, rules: Rules) -> Errors:
    """What is wrong in every frame of all tracks, by the rules; each track's truth begins at its start."""
    predicted, lost = _fitted(tracks, starts, len(truth))
    if rules.clip:
        sizes = np.array([track.size for track in tracks], np.float64)
        sizes = np.repeat(sizes, [len(track.truth) for track in tracks], axis=0)
        errors = frame_errors(_clipped(predicted, sizes), _clipped(truth, sizes))
    else:
        errors = frame_errors(predicted, truth)
    for start, track in zip(starts, tracks, strict=True):
        if track.polygons is not None:
            part = slice(start, start + len(track.truth))
            errors.overlaps[part] = _polygon_overlaps(predicted[part], track.polygons, errors.overlaps[part])
    if rules.absent == "answer":
        absent = np.isnan(truth).any(1)
        errors.overlaps[absent] = lost[absent]
        errors.distances[absent] = errors.normalised[absent] = np.where(lost[absent], 0, np.inf)
    if not rules.first_frame:
        for values in errors:
            values[starts] = np.nan
    return errors


def _fitted(tracks: Sequence[Track], starts: Integers, frames: int) -> tuple[Floats, Booleans]:
    """One prediction a frame, NaN where there is none, of all tracks as the rules take them; and who said LOST."""
    predicted, lost = _by_column(frames), np.zeros(frames, np.bool_)
    predicted[:] = np.nan
    for start, track in zip(starts, tracks, strict=True):
        rows = min(len(track.predicted), len(track.truth))
        predicted[start : start + rows] = track.predicted[:rows]
        if track.lost is not None:
            lost[start : start + rows] = track.lost[:rows]
        if rows:
            predicted[start] = track.truth[0]
    empty = (predicted[:, 2] <= 0) | (predicted[:, 3] <= 0)
    for start, track in zip(starts, tracks, strict=True):
        if track.lost is None:
            part = slice(start, start + len(track.truth))
            lost[part] = empty[part]
    if empty.any():
        kept = np.where(empty, 0, np.arange(frames))
        kept[starts] = starts
        predicted = predicted[np.maximum.accumulate(kept)]
    return predicted, lost


def _by_column(rows: int) -> Floats:
    """Room for (rows, 4) numbers, each column in one piece, which numpy reduces faster than rows of four."""
    return np.empty((rows, 4), order="F")


def _clipped(boxes: Floats, sizes: Floats) -> Floats:
    """Boxes cut to (N, 2) images as GOT-10k's evaluation does it, counted from 1.

    A corner outside is moved in without making the box smaller, which a cut would; published numbers are of that.
    """
    corner = np.clip(to_got10k(boxes)[:, :2], 0, sizes)
    return np.column_stack([corner, np.clip(boxes[:, 2:], 0, sizes - corner)])


def _polygon_overlaps(boxes: Floats, polygons: Floats, overlaps: Floats) -> Floats:
    """Overlaps of boxes with polygons, in the frames that have both; the others keep what they have."""
    overlaps = overlaps.copy()
    for frame in np.flatnonzero(~(np.isnan(boxes).any(1) | np.isnan(polygons).any(1))):
        x, y, w, h = boxes[frame]
        corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
        overlaps[frame] = polygon_overlap(corners, polygons[frame].reshape(4, 2))
    return overlaps


def _shares(first: Integers, thresholds: int, owner: Integers, frames: Integers) -> Floats:
    """Share of each sequence's frames that pass each threshold → (S, thresholds).

    Args:
        first: (N,) index of the first threshold that the frame passes; it passes all that follow.
        thresholds: how many there are.
        owner: (N,) index of the frame's sequence.
        frames: (S,) frames of each sequence.
    """
    width = thresholds + 1  # one more for frames that pass none
    counts = np.bincount(owner * width + first, minlength=len(frames) * width).reshape(-1, width)
    return np.cumsum(counts[:, :thresholds], 1) / frames[:, None]


def _one_sequence(values: ArrayLike, name: str) -> Floats:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name} must be a row of at least one number, got shape {values.shape}")
    return values
