"""Scores of a tracker on a benchmark: from runs, or from the files that another toolkit left.

Nothing is scored silently: what was missing, did not fit or was left out stands in `TrackerScore.notes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.long_term import LongTerm, best_f, long_term
from benchmarks.metrics import (
    OTB_RULES,
    Rules,
    SequenceScore,
    Speed,
    Track,
    average,
    score_tracks,
    speed,
)
from benchmarks.raw_results import match_names, read_groundtruth, read_results
from benchmarks.results import Run
from benchmarks.significance import interval, permutation_p, resamples
from tracker.box import overlap
from tracker.result import TrackState

if TYPE_CHECKING:
    from benchmarks.datasets import Benchmark, Found, Sequence

Floats = NDArray[np.float64]

MEANS = ("auc", "precision_20", "normalised_auc", "normalised_20", "sr_50", "sr_75", "ao", "lsm")
ALIGNED = 0.5  # overlap of a result's first box with the ground truth's, below which something is wrong
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Headline:
    """A benchmark's number, and between which it would lie for 95 % of other draws of sequences (bootstrap)."""

    value: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, eq=False)
class TrackerScore:
    """One tracker on one benchmark.

    Attributes:
        tracker: its name.
        title: the benchmark's name if all of its sequences were scored, otherwise "19 of 51 sequences of OTB-2013".
        sequences: name → score, in the order of the benchmark.
        headlines: metric → number: those of `MEANS`, and long_precision, long_recall and long_f, where they apply.
        speed: of all updates together; ``None`` where times are not stored.
        notes: what a reader has to know, e.g. which sequences have another number of rows.
        rules: by which it was scored.
    """

    tracker: str
    title: str
    sequences: dict[str, SequenceScore]
    headlines: dict[str, Headline]
    speed: Speed | None
    notes: list[str]
    rules: Rules = OTB_RULES


def score_runs(
    tracker: str,
    runs: Mapping[str, Run],
    sequences: Iterable[Sequence],
    title: str,
    rules: Rules = OTB_RULES,
    notes: Iterable[str] = (),
) -> TrackerScore:
    """Score what a tracker said.

    Args:
        tracker: its name.
        runs: name of the sequence → run.
        sequences: what to score; variants of one (``Basketball@3``) are scored each, then averaged.
        title: of all these sequences together, see `Found.title`.
        rules: of the benchmark.
        notes: what is known already.

    Raises:
        ValueError: no sequence has a run, a ground truth is hidden, or boxes are invalid.
    """
    sequences = list(sequences)
    if hidden := [sequence.name for sequence in sequences if sequence.hidden]:
        raise ValueError(f"the ground truth of {', '.join(hidden)} is kept by a server; write a submission instead")
    scored = [sequence for sequence in sequences if sequence.name in runs]
    if not scored:
        raise ValueError(f"{tracker}: no results of any of the {len(sequences)} sequences of {title}")
    notes = list(notes)
    if missing := [sequence.name for sequence in sequences if sequence.name not in runs]:
        notes.append(f"no results of {', '.join(missing)}")
        bases = {_base(sequence.name) for sequence in scored}
        title = partial_title(title, len(bases), len({_base(sequence.name) for sequence in sequences}))
    tracks = [_track(sequence, runs[sequence.name], rules) for sequence in scored]
    ran = [runs[sequence.name] for sequence in scored]
    seconds = [run.seconds[1:] for run in ran if run.seconds is not None]
    timed = len(seconds) == len(ran) and any(map(len, seconds))
    return _score(
        tracker,
        tracks,
        title,
        rules,
        notes,
        speed(np.concatenate(seconds)) if timed else None,
        [_confidences(run, len(track.truth)) for run, track in zip(ran, tracks, strict=True)],
    )


def score_files(results: Path, benchmark: str, groundtruth: Path) -> dict[str, Any]:
    """Score a tracker's result files against ground truth, without videos: what ``tools/evaluate.py score`` prints.

    Args:
        results: folder or zip of ``<sequence>.txt``, see `raw_results.read_results`.
        benchmark: name of the benchmark, e.g. "otb100".
        groundtruth: folder or zip of ``<sequence>/groundtruth_rect.txt``, or JSON, see `raw_results.read_groundtruth`.

    Returns:
        What `json.dump` takes; `precision` is at 20 px, `normalised_precision` the mean over the thresholds.

    Raises:
        ValueError: an unknown benchmark, files that cannot be read, or no sequence in common.
    """
    from benchmarks.datasets import open_benchmark  # here: it loads OpenCV, which scoring runs does not need

    known = open_benchmark(benchmark)
    if known.names is None:
        raise ValueError(f"{known.title} has no list of sequences to score files by; run `report` on its folder")
    runs, notes = read_runs(results, known)
    truths, more = _read_truths(groundtruth, known)
    names = [name for name in known.names if name in runs and name in truths]
    if not names:
        raise ValueError(f"{results} and {groundtruth} have no sequence of {known.title} in common")
    tracks = [Track(name, runs[name].boxes, truths[name]) for name in names]
    if missing := [name for name in known.names if name not in runs]:
        notes.append(f"no results of {', '.join(missing)}")
    notes += more + [note for track in tracks for note in _misaligned(track)]
    title = known.title if len(names) == len(known.names) else partial_title(known.title, len(names), len(known.names))
    return _as_dict(_score(results.stem, tracks, title, known.rules, notes), benchmark)


def read_runs(path: Path, benchmark: Benchmark, names: Iterable[str] = ()) -> tuple[dict[str, Run], list[str]]:
    """Somebody's result files as runs, by the benchmark's own names, and what became of files that do not fit.

    Args:
        path: see `raw_results.read_results`.
        benchmark: whose they are.
        names: its sequences, where it has no list of its own.

    Raises:
        ValueError: the files cannot be read, see `raw_results.read_results`, or two of them belong to one sequence.
    """
    found = read_results(path)
    matched = match_names(found, benchmark.names or tuple(names) or tuple(found), _aliases())
    notes = []
    if matched.unknown:
        notes.append(f"left out, not in {benchmark.title}: {', '.join(matched.unknown)}")
    runs = {}
    for name, file in matched.found.items():
        boxes = official(found[file], name, benchmark.name)
        runs[name] = Run(boxes)
        if len(boxes) < len(found[file]):
            notes.append(f"{name}: {len(found[file])} rows, the official {len(boxes)} of them taken")
    return runs, notes


def official(boxes: Floats, name: str, benchmark: str) -> Floats:
    """The rows that count where a file covers the whole video: OTB's Tiger1 from frame 6 on, TinyTLP's first 600."""
    from benchmarks.datasets import otb, tlp

    if benchmark == tlp.TINY_TLP.name:
        return boxes[: tlp.TINY]
    if name in otb.CUTS and name in otb.TARGETS and len(boxes) != otb.TARGETS[name].frames:
        first, last = otb.CUTS[name]
        return boxes[first - 1 : last] if len(boxes) >= last else boxes
    return boxes


def partial_title(title: str, scored: int, of: int) -> str:
    """ "OTB-2013" → "48 of 51 sequences of OTB-2013"; "19 of 51 sequences of OTB-2013" → "16 of 51 sequences of …"."""
    count, found, rest = title.partition(" sequences of ")
    if not found:
        return f"{scored} of {of} sequences of {title}"
    return f"{scored} of {count.rpartition(' ')[2]} sequences of {rest}"


@dataclass(frozen=True)
class Comparison:
    """Two trackers over the sequences that both have.

    Attributes:
        a, b: names of the trackers.
        metric: what is compared, one of `MEANS`.
        difference: of a's headline from b's.
        p: probability of a difference at least as large if the trackers were alike, see `permutation_p`.
        headline: a's over these sequences.
        sequences: how many these are.
    """

    a: str
    b: str
    metric: str
    difference: float
    p: float
    headline: Headline
    sequences: int

    @property
    def sentence(self) -> str:
        """E.g. "compact 0.612 ± 0.030, not different from csrt (p = 0.40)"."""
        value = f"{self.a} {self.headline.value:.3f} ± {self.headline.margin:.3f}"
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.{2 if self.p >= 0.1 else 3}f}"
        if self.p >= SIGNIFICANT:
            return f"{value}, not different from {self.b} ({p})"
        relation = "higher" if self.difference > 0 else "lower"
        return f"{value}, {abs(self.difference):.3f} {relation} than {self.b} ({p})"


def compare(a: TrackerScore, b: TrackerScore, metric: str = "auc") -> Comparison:
    """Whether two trackers differ, by a paired test over the sequences that both have.

    Raises:
        ValueError: no sequence in common, or a metric that is not one of `MEANS` or that they do not have.
    """
    if metric not in MEANS:
        raise ValueError(f"metric must be one of {', '.join(MEANS)}, got {metric!r}")
    common = [name for name in a.sequences if name in b.sequences]
    if not common:
        raise ValueError(f"{a.tracker} and {b.tracker} have no sequence in common")
    ours, theirs = ([score.sequences[name] for name in common] for score in (a, b))
    weights = _weights(ours, a.rules)
    values = np.array([[getattr(score, metric) for score in scores] for scores in (ours, theirs)])
    if not np.isfinite(values).all():
        raise ValueError(f"{a.tracker} and {b.tracker} do not both have {metric}")
    differences = (values[0] - values[1]) * weights
    return Comparison(
        a.tracker,
        b.tracker,
        metric,
        difference=float(differences.mean()),
        p=permutation_p(differences),
        headline=_headlines(ours, a.rules, (metric,))[metric],
        sequences=len(common),
    )


def _score(
    tracker: str,
    tracks: SequenceOf[Track],
    title: str,
    rules: Rules,
    notes: SequenceOf[str],
    speed: Speed | None = None,
    confidences: SequenceOf[Floats | None] = (),
) -> TrackerScore:
    try:
        scores = score_tracks(tracks, rules)
    except ValueError as error:
        raise ValueError(f"{tracker}: {error}") from error
    bases = [_base(track.name) for track in tracks]
    variants: dict[str, list[SequenceScore]] = {}
    for base, score in zip(bases, scores, strict=True):
        variants.setdefault(base, []).append(score)
    sequences = {base: each[0] if len(each) == 1 else average(each) for base, each in variants.items()}
    metrics = MEANS if rules.lsm is not None else MEANS[:-1]
    headlines = _headlines(list(sequences.values()), rules, metrics)
    known = [each for each in confidences if each is not None]
    if len(known) == len(tracks) and any(score.absent for score in scores):
        headlines |= _long_headlines(tracks, scores, known)
    mismatches = [note for track, score in zip(tracks, scores, strict=True) for note in _mismatch(track, score)]
    return TrackerScore(tracker, title, sequences, headlines, speed, [*notes, *mismatches], rules)


def _track(sequence: Sequence, run: Run, rules: Rules) -> Track:
    lost = None if run.states is None else np.array([state == TrackState.LOST.value for state in run.states], np.bool_)
    size = None
    if rules.clip:
        size = sequence.size or sequence.frames.at(0).shape[1::-1]
    return Track(sequence.name, run.boxes, sequence.boxes, lost, sequence.polygons, size)


def _headlines(scores: SequenceOf[SequenceScore], rules: Rules, metrics: Iterable[str]) -> dict[str, Headline]:
    """Means over sequences with their intervals; all of them over the same draws."""
    metrics, weights = list(metrics), _weights(scores, rules)
    values = np.array([[getattr(score, metric) for metric in metrics] for score in scores]) * weights[:, None]
    draws = resamples(len(scores))
    low, high = interval((draws @ values) / (draws @ weights)[:, None])
    return {
        metric: Headline(float(values[:, column].mean()), float(low[column]), float(high[column]))
        for column, metric in enumerate(metrics)
    }


def _weights(scores: SequenceOf[SequenceScore], rules: Rules) -> Floats:
    """(S,) what each sequence weighs in a mean, 1 on average: the same, or its frames where they are pooled."""
    frames = np.array([score.frames for score in scores], np.float64)
    return frames / frames.mean() if rules.pooled else np.ones(len(scores))


def _long_headlines(
    tracks: SequenceOf[Track], scores: SequenceOf[SequenceScore], confidences: SequenceOf[Floats]
) -> dict[str, Headline]:
    """Long-term precision, recall and F where F is highest; the frames that trackers were started in do not count."""
    present = [np.asarray(np.isfinite(track.truth[1:]).all(1)) for track in tracks]
    overlaps = [np.where(seen, score.overlaps[1:], 0.0) for seen, score in zip(present, scores, strict=True)]
    kept = [index for index, seen in enumerate(present) if seen.any()]
    if not kept:
        return {}
    curves = long_term(
        [overlaps[index] for index in kept],
        [present[index] for index in kept],
        [confidences[index][1:] for index in kept],
    )
    precision, recall = _by_base(curves, [_base(tracks[index].name) for index in kept])
    draws = resamples(len(precision)) / len(precision)
    means = best_f(precision.mean(0), recall.mean(0))
    resampled = best_f(draws @ precision, draws @ recall)
    names = ("long_precision", "long_recall", "long_f")
    return {
        name: Headline(float(value), *(float(end) for end in interval(samples)))
        for name, value, samples in zip(names, means, resampled, strict=True)
    }


def _by_base(curves: LongTerm, bases: list[str]) -> tuple[Floats, Floats]:
    """Curves averaged over the variants of each sequence."""
    names = list(dict.fromkeys(bases))
    belongs = np.array([[base == name for base in bases] for name in names], np.float64)
    belongs /= belongs.sum(1, keepdims=True)
    return belongs @ curves.precision, belongs @ curves.recall


def _confidences(run: Run, frames: int) -> Floats | None:
    """(frames,) confidence in each frame, −∞ where there is no answer or it is LOST; ``None``: not stored."""
    if run.scores is None:
        return None
    confidences = np.full(frames, -np.inf)
    rows = min(frames, len(run.scores))
    confidences[:rows] = run.scores[:rows]
    for row, state in enumerate((run.states or [])[:rows]):
        if state == TrackState.LOST.value:
            confidences[row] = -np.inf
    return confidences


def _mismatch(track: Track, score: SequenceScore) -> list[str]:
    counts = f"{track.name}: {len(track.predicted)} rows for {len(track.truth)} frames"
    if score.missing:
        return [f"{counts}; {score.missing} missing at the end, counted as misses"]
    return [f"{counts}; {score.surplus} too many at the end, ignored"] if score.surplus else []


def _misaligned(track: Track) -> list[str]:
    """Frames shifted against each other, another target or another origin show in the first box."""
    if not len(track.predicted) or np.isnan(track.truth[0]).any():
        return []
    shared = float(overlap(track.predicted[0], track.truth[0]))
    if shared >= ALIGNED:
        return []
    return [
        f"{track.name}: the first box overlaps the ground truth's by {shared:.2f} only; do both begin at the same "
        "frame, with the same target?"
    ]


def read_found(path: Path, benchmark: Benchmark) -> Found:
    """A benchmark without its videos, from ground truth alone: enough for `score_runs` and a report.

    Args:
        path: see `raw_results.read_groundtruth`.
        benchmark: one with a list of sequences.

    Raises:
        ValueError: the benchmark has no list of sequences, or the files cannot be read or have none of them.
    """
    from benchmarks.datasets import Found, Problem, Sequence, otb
    from benchmarks.frames import NoFrames

    if benchmark.names is None:
        raise ValueError(f"{benchmark.title} has no list of sequences; a report on it needs its folder")
    truths, _ = _read_truths(path, benchmark)
    if not truths:
        raise ValueError(f"{path} has no sequence of {benchmark.title}")
    attributes = {name: otb.TARGETS[name].attributes for name in truths if benchmark.attributes is otb.ATTRIBUTES}
    sequences = [
        Sequence(name, boxes, NoFrames(len(boxes)), attributes=attributes.get(name, frozenset()))
        for name, boxes in truths.items()
    ]
    missing = [Problem(name, f"ground truth in {path}", "none") for name in benchmark.names if name not in truths]
    return Found(benchmark, sequences, missing)


def _read_truths(path: Path, benchmark: Benchmark) -> tuple[dict[str, Floats], list[str]]:
    """Ground truth by the benchmark's own names, and what there is to say about it."""
    from benchmarks.datasets import tlp

    first_pixel = tlp.TLP_FIRST_PIXEL if benchmark.name in (tlp.TLP.name, tlp.TINY_TLP.name) else 1
    found = read_groundtruth(path, first_pixel)
    matched = match_names(found, benchmark.names or (), _aliases(first_targets=True))
    notes = [f"no ground truth of {', '.join(matched.missing)}"] if matched.missing else []
    notes += [
        f"the ground truth of {file} was taken for the first target, {name}"
        for name, file in matched.found.items()
        if name.endswith(".1") and not file.endswith("1")
    ]
    truths = {name: official(found[file], name, benchmark.name) for name, file in matched.found.items()}
    return truths, notes


def _aliases(first_targets: bool = False) -> dict[str, str]:
    """Other names of OTB's sequences; `first_targets`: a folder of two targets stands for the first one."""
    from benchmarks.datasets import otb

    aliases = {alias: name for name, each in otb.ALIASES.items() for alias in each}
    if first_targets:
        aliases |= {folder: name for name, (folder, _) in otb.SECOND_FILES.items() if name.endswith(".1")}
    return aliases


def _as_dict(score: TrackerScore, benchmark: str) -> dict[str, Any]:
    headlines = score.headlines
    return {
        "tracker": score.tracker,
        "benchmark": benchmark,
        "title": score.title,
        "auc": headlines["auc"].value,
        "precision": headlines["precision_20"].value,
        "sequences": len(score.sequences),
        "frames": sum(each.frames for each in score.sequences.values()),
        "normalised_precision": headlines["normalised_auc"].value,
        "normalised_precision_20": headlines["normalised_20"].value,
        "success_rate_50": headlines["sr_50"].value,
        "success_rate_75": headlines["sr_75"].value,
        **({"lsm": headlines["lsm"].value} if "lsm" in headlines else {}),
        "auc_interval": [headlines["auc"].low, headlines["auc"].high],
        "precision_interval": [headlines["precision_20"].low, headlines["precision_20"].high],
        "per_sequence": {
            name: {
                "auc": each.auc,
                "precision": each.precision_20,
                "normalised_precision": each.normalised_auc,
                "frames": each.frames,
            }
            for name, each in score.sequences.items()
        },
        "notes": score.notes,
    }


def _base(name: str) -> str:
    """The sequence that a variant was made of, see `protocols`."""
    return name.partition("@")[0]
