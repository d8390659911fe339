"""What every table, plot and page of one report is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocols import base_name
from benchmarks.report.style import Style, styles
from benchmarks.score import Comparison, Headline, TrackerScore
from benchmarks.sequence import Sequence

Floats = NDArray[np.float64]

# Headline numbers in the order of the columns, each with what it is called in a table and what it is.
HEADLINES = {
    "auc": ("AUC", "area under the success curve"),
    "precision_20": ("P@20", "share of frames with a centre error of at most 20 px"),
    "normalised_auc": ("NP", "area under the curve of precision normalised by the target's size"),
    "normalised_20": ("NP@0.2", "normalised precision at 0.2"),
    "sr_50": ("SR@0.5", "share of frames with an overlap above 0.5"),
    "sr_75": ("SR@0.75", "share of frames with an overlap above 0.75"),
    "ao": ("AO", "average overlap"),
    "lsm": ("LSM", "longest subsequence tracked, as a share of the sequence"),
    "long_precision": ("LT-Pr", "long-term precision"),
    "long_recall": ("LT-Re", "long-term recall"),
    "long_f": ("LT-F", "long-term F-score"),
}


@dataclass(frozen=True)
class Attribute:
    """What some sequences have in common: "OCC", "Occlusion" and their names."""

    short: str
    name: str
    sequences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """One benchmark's results.

    Attributes:
        title: what was run, e.g. "12 of 51 sequences of OTB-2013".
        protocol: OPE, SRE or TRE.
        scores: the trackers, best AUC first.
        main: the tracker that the report is about: others are compared with it.
        sequences: name → number of frames, in the benchmark's order.
        attributes: those that at least one sequence has.
        machine: where it ran: what → value.
        comparisons: of `main` with each other tracker, in the order of `scores`.
        remarks: what a reader has to know: sequences missing, results that do not fit.
        failures: what went wrong when trackers ran.
    """

    title: str
    protocol: str
    scores: list[TrackerScore]
    main: TrackerScore
    sequences: dict[str, int]
    attributes: list[Attribute] = field(default_factory=list)
    machine: Mapping[str, str] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def styles(self) -> dict[str, Style]:
        """How each tracker is drawn, by its name."""
        return styles([score.tracker for score in self.scores], self.main.tracker)

    @property
    def columns(self) -> list[str]:
        """Keys of the headline numbers that at least one tracker has."""
        return [key for key in HEADLINES if any(is_known(score.headlines.get(key)) for score in self.scores)]

    def label(self, score: TrackerScore) -> str:
        """The tracker's name, with "(95 of 100)" where it was scored on a part of the sequences only."""
        done = len(score.sequences)
        return score.tracker if done == len(self.sequences) else f"{score.tracker} ({done} of {len(self.sequences)})"


def is_known(headline: Headline | None) -> TypeGuard[Headline]:
    """Whether there is a number to show."""
    return headline is not None and math.isfinite(headline.value)


def sequence_value(score: TrackerScore, name: str, key: str = "auc") -> float | None:
    """One tracker's number on one sequence; ``None`` where it has none."""
    value = getattr(score.sequences[name], key, None) if name in score.sequences else None
    return value if value is not None and math.isfinite(value) else None


def ranked(scores: Iterable[TrackerScore], key: str = "auc") -> list[TrackerScore]:
    """Best first; those without the number last."""

    def place(score: TrackerScore) -> float:
        headline = score.headlines.get(key)
        return -headline.value if is_known(headline) else math.inf

    return sorted(scores, key=place)


def group_by_attribute(sequences: Iterable[Sequence], names: Mapping[str, str]) -> list[Attribute]:
    """The attributes of some sequences: those in `names` in its order, then others by their abbreviation."""
    members: dict[str, dict[str, None]] = {}
    for sequence in sequences:
        for short in sequence.attributes:
            members.setdefault(short, {})[base_name(sequence.name)] = None
    order = [short for short in names if short in members] + sorted(members.keys() - names.keys())
    return [Attribute(short, names.get(short, short), tuple(members[short])) for short in order]


def mean_curve(score: TrackerScore, kind: str, names: Iterable[str] | None = None) -> Floats:
    """A tracker's curve "success", "precision" or "normalised" over its sequences, or over some of them.

    Each sequence weighs the same, or as many as it has frames where the benchmark pools them. NaN if there are none.
    """
    chosen = [
        score.sequences[name] for name in (score.sequences if names is None else names) if name in score.sequences
    ]
    if not chosen:
        return np.full(1, math.nan)
    weights = [float(each.frames) if score.rules.pooled else 1.0 for each in chosen]
    return np.average([getattr(each, kind) for each in chosen], axis=0, weights=weights)


def attribute_auc(score: TrackerScore, attribute: Attribute) -> float:
    """AUC over the sequences of an attribute; NaN if the tracker was scored on none."""
    return float(mean_curve(score, "success", attribute.sequences).mean())
