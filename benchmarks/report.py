"""Stored results → numbers and tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets import Sequence
from benchmarks.metrics import bootstrap_interval, mean_auc, mean_precision_20, score_sequence
from benchmarks.runner import Speed, load, speed


@dataclass(frozen=True)
class SequenceReport:
    """One tracker on one sequence; `lost` is the share of frames in which it said so."""

    name: str
    frames: int
    absent: int
    auc: float
    precision_20: float
    fps: float
    lost: float


@dataclass(frozen=True)
class TrackerReport:
    """One tracker on a set of sequences.

    Attributes:
        tracker: name of the tracker.
        frames: frames that were scored.
        auc, precision_20: means over the sequences.
        auc_interval, precision_20_interval: 95 % bootstrap intervals over the sequences.
        speed: of all updates together.
        sequences: one entry a sequence.
    """

    tracker: str
    frames: int
    auc: float
    auc_interval: tuple[float, float]
    precision_20: float
    precision_20_interval: tuple[float, float]
    speed: Speed
    sequences: list[SequenceReport]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def report(folder: Path, sequences: Iterable[Sequence]) -> TrackerReport:
    """Score the stored runs of one tracker.

    Args:
        folder: the tracker's results folder; its name is the tracker's.
        sequences: what to score; every one must be stored.

    Raises:
        FileNotFoundError: a sequence is not stored.
        ValueError: a stored run does not fit its sequence, or holds invalid boxes.
    """
    runs = [(sequence, load(folder, sequence.name)) for sequence in sequences]
    scores = [score_sequence(run.boxes, sequence.boxes) for sequence, run in runs]
    return TrackerReport(
        tracker=folder.name,
        frames=sum(score.frames for score in scores),
        auc=mean_auc(scores),
        auc_interval=bootstrap_interval([score.auc for score in scores]),
        precision_20=mean_precision_20(scores),
        precision_20_interval=bootstrap_interval([score.precision_20 for score in scores]),
        speed=speed(np.concatenate([run.seconds[1:] for _, run in runs])),
        sequences=[
            SequenceReport(
                name=sequence.name,
                frames=score.frames,
                absent=score.absent,
                auc=score.auc,
                precision_20=score.precision_20,
                fps=speed(run.seconds[1:]).fps,
                lost=run.states.count("lost") / len(run.states),
            )
            for (sequence, run), score in zip(runs, scores, strict=True)
        ],
    )


def table(reports: Iterable[TrackerReport]) -> str:
    """Trackers × headline numbers, best success first."""
    ranked = sorted(reports, key=lambda each: -each.auc)
    width = max(7, *(len(each.tracker) for each in ranked))
    lines = [f"{'tracker':<{width}}  AUC   [95 %]        P@20  [95 %]        frames/s  p50 ms  p95 ms"]
    for each in ranked:
        lines.append(
            f"{each.tracker:<{width}}  {_value(each.auc, each.auc_interval)}  "
            f"{_value(each.precision_20, each.precision_20_interval)}  "
            f"{each.speed.fps:8.1f}  {each.speed.p50_ms:6.2f}  {each.speed.p95_ms:6.2f}"
        )
    return "\n".join(lines)


def sequence_table(reports: Iterable[TrackerReport]) -> str:
    """Sequences × trackers, each with success AUC and precision at 20 px."""
    reports = list(reports)
    names = [sequence.name for sequence in reports[0].sequences]
    width = max(8, *(len(name) for name in names))
    columns = [max(11, len(each.tracker)) for each in reports]
    head = "  ".join(f"{each.tracker:>{column}}" for each, column in zip(reports, columns, strict=True))
    lines = [f"{'sequence':<{width}}  frames  {head}"]
    for row, name in enumerate(names):
        pairs = (f"{each.sequences[row].auc:.3f}/{each.sequences[row].precision_20:.3f}" for each in reports)
        cells = "  ".join(f"{pair:>{column}}" for pair, column in zip(pairs, columns, strict=True))
        lines.append(f"{name:<{width}}  {reports[0].sequences[row].frames:6d}  {cells}")
    return "\n".join(lines)


def _value(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
