"""Calibrate a tracker's score and states on footage that it was not trained on.

    python -m learning.calibration weights/compact.safetensors --data ../shared/data/video --write

The score is to be the probability that the box overlaps the target by more than one half, from three numbers that the
response gives (`tracker.decode.Decoded`): peak, margin and contrast. The tracker runs, never giving up, over

- each sequence from several starts, and again from the ground truth once it has had no overlap for a while or the
  target has come back: frames where the box is right, and frames where it drifted;
- stretches without the target: another sequence's frames, and its own with the target painted over: always wrong.

A logistic regression is fitted to these frames, in which each sequence weighs the same and right frames weigh as much
as wrong ones: a score of one half says that the response alone leaves it open. The weights of peak, margin and contrast
cannot be negative, as none of them may speak against a target. What a place looks like (`tracker.appearance`) weighs
the same for every model: it is no part of the fit, but of all that is then measured and decided by the score. Quality
is measured on the sequence that a fit has not seen, one after another. The thresholds of the states follow by the rules
in `thresholds`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.absence import without_target
from benchmarks.datasets import read_sequence
from learning.readers import HOLDOUT
from tracker import SiamTracker, TrackState
from tracker.box import overlap
from tracker.confidence import Confidence, ConfidenceConfig, probability
from tracker.decode import Decoded
from tracker.network import ModelCard, find_weights

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]
Seen = tuple[Decoded, float | None]  # of one frame: what the response says, and the place's likeness to the first box

STARTS = 3  # in each sequence, evenly spaced
STRETCH = 50  # frames without the target
MISSES = 20  # frames without overlap until the tracker is put back on the target
RIDGE = 1e-3  # on the weights of standardised features
SOON = 25  # frames, one second, within which a target that is gone should be LOST
# A calibrated score means the same for every model, so what makes a target LOST is the same for all. Chosen for a model
# from what its own runs lose, it held less well on the sequences that were left out.
GIVING_UP = {"doubtful": 0.5, "hopeless": 0.4, "patience": 10}


class Witness(Confidence):
    """Stands in a target's state machine: keeps what it is told of each frame, and never gives up."""

    seen: Seen

    def judge(self, decoded: Decoded, familiar: bool = True, likeness: float | None = None) -> tuple[float, TrackState]:
        """See `Confidence.judge`."""
        self.seen = decoded, likeness
        score, _ = super().judge(decoded, familiar, likeness)
        return score, TrackState.TRACKING


@dataclass(frozen=True, eq=False)
class Run:
    """A tracker's uninterrupted run of n frames.

    Attributes:
        sequence: name of the sequence that the target is of.
        seen: what the state machine was told of each frame.
        right: (n,) whether the box overlapped the target by more than one half.
        absent: the target was in none of the frames.
    """

    sequence: str
    seen: list[Seen]
    right: Bools
    absent: bool

    @property
    def features(self) -> Floats:
        """(n, 3) peak, margin and contrast."""
        return np.array([(d.peak, d.margin, d.contrast) for d, _ in self.seen]).reshape(-1, 3)

    def scores(self, config: ConfidenceConfig) -> Floats:
        """(n,) scores, not smoothed."""
        return np.array([probability(decoded, config, likeness) for decoded, likeness in self.seen])


@dataclass(frozen=True)
class Video:
    """Frames in memory with (n, 4) boxes, NaN where the target is absent."""

    name: str
    frames: list[Image]
    boxes: Floats

    @property
    def visible(self) -> Bools:
        """(n,) whether the target has a box."""
        return np.asarray(np.isfinite(self.boxes).all(1))


def read_video(root: Path, name: str) -> Video:
    """`root`/`name` in the layout of OTB, decoded.

    Raises:
        ValueError: there is no such sequence, or it is damaged.
    """
    sequence = read_sequence(root / name)
    return Video(name, list(sequence.frames), sequence.boxes)


# ---------------------------------------------------------------- runs


def collect(tracker: SiamTracker, videos: Sequence[Video]) -> Iterator[Run]:
    """Run the tracker over all videos, with and without their targets."""
    for number, video in enumerate(videos):
        visible = np.flatnonzero(video.visible)
        for part in range(STARTS):
            start = int(visible[len(visible) * part // STARTS])
            yield from follow(tracker, video, start)
            yield stretch(tracker, video, start, erased(video, start + 1))
            other = videos[(number + 1 + part) % len(videos)]
            if other is not video:
                yield stretch(tracker, video, start, other.frames[len(other.frames) // 3 :])


def follow(tracker: SiamTracker, video: Video, start: int) -> Iterator[Run]:
    """Track from frame `start` to the end, from the ground truth again whenever the target is lost for good."""
    visible, after = video.visible, start
    while after < len(video.frames) - 1:
        run, after = _until_lost(tracker, video, after)
        yield run
        again = np.flatnonzero(visible[after:])
        if not len(again):
            return
        after += int(again[0])


def _until_lost(tracker: SiamTracker, video: Video, start: int) -> tuple[Run, int]:
    """One run, and the frame after its last: it ends after `MISSES` misses or where the target comes back."""
    witness = _start(tracker, video, start)
    seen, right, misses = [], [], 0
    frame = start + 1
    while frame < len(video.frames) and misses < MISSES:
        visible = bool(video.visible[frame])
        if visible and not video.visible[frame - 1]:
            break
        result = tracker.update(video.frames[frame])
        shared = float(overlap(result.box, video.boxes[frame])) if visible else 0.0
        seen.append(witness.seen)
        right.append(shared > 0.5)
        misses = misses + 1 if visible and shared == 0 else 0
        frame += 1
    return Run(video.name, seen, np.array(right, bool), False), frame


def stretch(tracker: SiamTracker, video: Video, start: int, frames: Iterable[Image]) -> Run:
    """A run that starts on the target of frame `start` and goes on in `frames`, which do not show it."""
    witness = _start(tracker, video, start)
    seen = []
    for frame, _ in zip(frames, range(STRETCH), strict=False):
        tracker.update(frame)
        seen.append(witness.seen)
    return Run(video.name, seen, np.zeros(len(seen), bool), True)


def _start(tracker: SiamTracker, video: Video, frame: int) -> Witness:
    tracker.init(video.frames[frame], video.boxes[frame])
    assert tracker.target is not None
    witness = Witness(tracker.config)
    tracker.target.confidence = witness
    return witness


def erased(video: Video, start: int) -> Iterator[Image]:
    """The frames from `start` on with the target painted over, where there is room beside it to paint from."""
    for frame, box in zip(video.frames[start:], video.boxes[start:], strict=True):
        painted = without_target(frame, box) if np.isfinite(box).all() else frame
        if painted is not None:
            yield painted


# ---------------------------------------------------------------- fit


def balanced(sequences: NDArray[Any], right: Bools) -> Floats:
    """(n,) weights: right frames of a sequence weigh one half together, so do its wrong ones."""
    weights = np.zeros(len(right))
    for sequence in np.unique(sequences):
        for label in (False, True):
            chosen = (sequences == sequence) & (right == label)
            weights[chosen] = 0.5 / max(chosen.sum(), 1)
    return weights


def fit(features: Floats, right: Bools, weights: Floats) -> Floats:
    """Weighted logistic regression with a small ridge and no negative weights.

    Args:
        features: (n, k).
        right: (n,) labels.
        weights: (n,) of the examples.

    Returns:
        (k + 1,) weights and intercept.
    """
    mean = np.average(features, 0, weights)
    spread = np.sqrt(np.average((features - mean) ** 2, 0, weights)) + 1e-9
    x = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    share = weights / weights.sum()

    def loss(w: Floats) -> tuple[float, Floats]:
        logits = x @ w
        cost = share @ (np.logaddexp(0, logits) - right * logits) + RIDGE / 2 * (w[:-1] @ w[:-1])
        return cost, x.T @ (share * (expit(logits) - right)) + RIDGE * np.append(w[:-1], 0)

    bounds = [(0, None)] * features.shape[1] + [(None, None)]
    w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = w[:-1] / spread
    return np.append(slopes, w[-1] - slopes @ mean)


# ---------------------------------------------------------------- quality


def roc_auc(scores: Floats, right: Bools, weights: Floats) -> float:
    """Probability that a right frame scores above a wrong one (equal scores count half), by weight."""
    order = np.argsort(scores[~right], kind="stable")
    wrong = scores[~right][order]
    mass = np.append(0, np.cumsum(weights[~right][order]))
    below, upto = (np.searchsorted(wrong, scores[right], side) for side in ("left", "right"))
    return float(weights[right] @ (mass[below] + mass[upto]) / 2 / (weights[right].sum() * mass[-1]))


def calibration_error(scores: Floats, right: Bools, weights: Floats, bins: int = 10) -> float:
    """Expected calibration error: mean distance, by weight, of score and share of right frames in equal bins."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights * (scores - right), bins)
    return float(np.abs(gaps).sum() / weights.sum())


def quality(scores: Floats, right: Bools, weights: Floats) -> dict[str, float]:
    """Area under the ROC curve and expected calibration error."""
    if right.all() or not right.any():  # of one sequence: nothing to tell apart
        return {"auc": float("nan"), "ece": round(calibration_error(scores, right, weights), 3)}
    auc, ece = roc_auc(scores, right, weights), calibration_error(scores, right, weights)
    return {"auc": round(auc, 3), "ece": round(ece, 3)}


def quantile(values: Floats, weights: Floats, share: float) -> float:
    """Smallest value that at least `share` of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(mass, share)), len(values) - 1)])


def thresholds(scores: Floats, absent: Bools, weights: Floats) -> dict[str, float]:
    """Thresholds of `ConfidenceConfig`.

    - certain: one frame in fifty without the target scores higher, so that few bring back a target that is gone. At
      least one half.
    - doubtful: one half, below which the box is rather wrong than right.
    - hopeless, patience: see `GIVING_UP`.
    """
    return {"certain": max(quantile(scores[absent], weights[absent], 0.98), 0.5), **GIVING_UP}


def behaviour(runs: Iterable[Run], config: ConfidenceConfig | Mapping[str, ConfidenceConfig]) -> dict[str, float]:
    """What the states would have been on what the tracker saw (when LOST, it would have looked elsewhere, too).

    Args:
        runs: what it saw.
        config: calibration and thresholds; or by sequence.

    Returns:
        the shares of right frames in TRACKING and LOST, of frames without the target in TRACKING, of stretches
        without it that are LOST within `SOON` frames, and of stretches that are TRACKING after they were LOST.
    """
    right, gone, found, revived = [], [], [], []
    for run in runs:
        confidence = Confidence(config if isinstance(config, ConfidenceConfig) else config[run.sequence])
        states = [confidence.judge(decoded, likeness=likeness)[1] for decoded, likeness in run.seen]
        right += [state for state, is_right in zip(states, run.right, strict=True) if is_right]
        if run.absent and len(states) >= SOON:
            gone += states
            found.append(TrackState.LOST in states[:SOON])
            lost = states.index(TrackState.LOST) if TrackState.LOST in states else len(states)
            revived.append(TrackState.TRACKING in states[lost:])
    return {
        "right tracking": _share(state is TrackState.TRACKING for state in right),
        "right lost": _share(state is TrackState.LOST for state in right),
        "absent tracking": _share(state is TrackState.TRACKING for state in gone),
        "absent lost soon": _share(found),
        "absent revived": _share(revived),
    }


def _share(values: Iterable[bool]) -> float:
    chosen = list(values)
    return round(sum(chosen) / max(len(chosen), 1), 3)


# ---------------------------------------------------------------- all of it


@dataclass(frozen=True)
class Calibration:
    """What came out.

    Attributes:
        config: the calibrated entries of `ConfidenceConfig`.
        rows: a sequence each: frames by what they show, and the quality that a fit without it has on it.
        quality: on all sequences, and the states' `behaviour`, each sequence under a calibration without it.
    """

    config: dict[str, Any]
    rows: list[dict[str, Any]]
    quality: dict[str, float]


def calibrate(runs: Sequence[Run], config: ConfidenceConfig) -> Calibration:
    """Fit the score and the thresholds to runs of two sequences or more; the rest of `config` stays.

    Raises:
        ValueError: a single sequence, or no right, or no wrong frame.
    """
    right = np.concatenate([run.right for run in runs])
    absent = np.concatenate([np.full(len(run.right), run.absent) for run in runs])
    sequences = np.concatenate([np.full(len(run.right), run.sequence) for run in runs])
    names = list(dict.fromkeys(sequences.tolist()))
    if len(names) < 2 or right.all() or not right.any():
        raise ValueError(
            f"calibration needs right and wrong frames of two sequences; got {right.sum()} right ones of {len(right)} "
            f"in {len(names)}"
        )
    scores = np.empty(len(right))
    rows, configs = [], {}
    for name in names:
        own = sequences == name
        others = [run for run in runs if run.sequence != name]
        shown = np.concatenate([run.right for run in others])
        if shown.all() or not shown.any():  # the others teach nothing
            others = list(runs)
        configs[name] = dataclasses.replace(config, **_entries(others, config))
        scores[own] = np.concatenate([run.scores(configs[name]) for run in runs if run.sequence == name])
        kinds = {"right": right, "drifted": ~right & ~absent, "absent": absent}
        counts = {kind: int((own & chosen).sum()) for kind, chosen in kinds.items()}
        rows.append({"sequence": name, **counts, **quality(scores[own], right[own], balanced(sequences, right)[own])})
    whole = quality(scores, right, balanced(sequences, right))
    return Calibration(_entries(runs, config), rows, {**whole, **behaviour(runs, configs)})


def _entries(runs: Sequence[Run], config: ConfidenceConfig) -> dict[str, Any]:
    """The calibrated entries of `ConfidenceConfig`."""
    features = np.concatenate([run.features for run in runs])
    right = np.concatenate([run.right for run in runs])
    absent = np.concatenate([np.full(len(run.right), run.absent) for run in runs])
    weights = balanced(np.concatenate([np.full(len(run.right), run.sequence) for run in runs]), right)
    fitted: Any = tuple(round(float(value), 4) for value in fit(features, right, weights))
    scored = dataclasses.replace(config, weights=fitted)
    scores = np.concatenate([run.scores(scored) for run in runs])
    levels = thresholds(scores, absent if absent.any() else ~right, weights)
    return {"weights": fitted, **{name: round(value, 3) for name, value in levels.items()}}


def table(calibration: Calibration) -> str:
    """The result as text."""
    lines = [f"{'sequence':<24}{'right':>8}{'drifted':>9}{'absent':>8}{'AUC':>8}{'ECE':>8}"]
    for row in calibration.rows:
        counts = f"{row['right']:>8}{row['drifted']:>9}{row['absent']:>8}"
        lines.append(f"{row['sequence']:<24}{counts}{row['auc']:>8.3f}{row['ece']:>8.3f}")
    whole = calibration.quality
    lines.append(f"{'all':<49}{whole['auc']:>8.3f}{whole['ece']:>8.3f}")
    lines += [f"{name}: {whole[name]:.3f}" for name in whole if name not in ("auc", "ece")]
    return "\n".join([*lines, json.dumps(calibration.config)])


def write(weights: str | Path, calibration: Calibration, sequences: Sequence[str]) -> Path:
    """Put the calibrated entries into the card's configuration, and what they come from into its training.

    Returns:
        the card's path.
    """
    path = find_weights(weights).with_suffix(".json")
    card = ModelCard.read(path)
    training = {**card.training, "calibration": {"sequences": list(sequences), **calibration.quality}}
    dataclasses.replace(card, config={**card.config, **calibration.config}, training=training).write(path)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m learning.calibration", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weights", help="a shipped model's name or a .safetensors file")
    parser.add_argument("--data", type=Path, required=True, help="folder of sequences, e.g. ../shared/data/video")
    parser.add_argument("--sequences", nargs="+", default=HOLDOUT, help="in it (default: those kept out of training)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, auto")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--write", action="store_true", help="put the result into the weights' card")
    options = parser.parse_args(argv)
    try:
        tracker = SiamTracker.from_pretrained(options.weights, device=options.device, threads=options.threads)
        videos = [read_video(options.data, name) for name in options.sequences]
        calibration = calibrate(list(collect(tracker, videos)), tracker.config)
        print(table(calibration))
        if options.write:
            print(f"wrote {write(options.weights, calibration, options.sequences)}")
    except (OSError, ValueError) as error:
        print(f"calibration: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
