"""Learn association, and judge what was learned on video that it has not seen.

The footage is cut into folds; all versions of one video are in the same. Trees are grown without a fold and judge its
pairs. The calibration for a fold is fitted to the judgements of the other folds', and its costs are those that do best
on them: so nothing that scores a fold's video, trees, calibration or costs, was chosen by results on it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from learning.association_calibration import platt
from learning.association_costs import Trial, choose_costs
from learning.association_footage import Footage
from learning.association_pairs import Examples, detection_examples, examples_of
from learning.association_trees import RECIPE, grow_detections, grow_pairs, pooled
from tracker.association.costs import Costs
from tracker.association.model import AssociationModel
from tracker.association.trees import Trees

Floats = NDArray[np.float64]
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Judged:
    """Pairs of one sequence, judged by trees that have not seen its video.

    Attributes:
        sequence: its name.
        odds: (P,) log odds, not calibrated.
        same: (P,) whether they are one target.
        weight: (P,).
        gap: (P,) frames.
    """

    sequence: str
    odds: Floats
    same: NDArray[np.bool_]
    weight: Floats
    gap: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fold:
    """What was learned without some videos, and how it judges them.

    Attributes:
        left_out: groups of footage (`learning.association_footage.footage_group`).
        trained_on: names of the sequences that were not left out.
        model: its trees, with calibration and costs from the other folds.
        judged: pairs of the sequences that were left out.
        trials: the sequences that were left out.
    """

    left_out: frozenset[str]
    trained_on: tuple[str, ...]
    model: AssociationModel
    judged: tuple[Judged, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned from all footage.

    Attributes:
        pair, detection: trees as LightGBM's text.
        calibration: slope and intercept.
        costs: chosen by all folds.
    """

    pair: str
    detection: str
    calibration: tuple[float, float]
    costs: Costs


class Learner:
    """Grows trees of footage, as often as there are folds.

    Args:
        footages: all of it.
        seed: of what is left out and of the trees.
        threads: for LightGBM.
        report: takes a line about each step.
        store: folder in which grown trees are kept, so that a run that was stopped goes on.
    """

    def __init__(
        self,
        footages: Sequence[Footage],
        seed: int = 0,
        threads: int = 1,
        report: Report = lambda line: None,
        store: Path | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.footages = tuple(footages)
        self._examples: list[list[Examples]] = []
        self._detections = []
        for footage in footages:
            self._examples.append(examples_of(footage, rng))
            self._detections.append(detection_examples(footage))
        self._seed, self._threads, self._report, self._store = seed, threads, report, store
        report(f"{sum(len(part) for parts in self._examples for part in parts)} pairs of {len(footages)} sequences")

    def grow(self, rows: Sequence[int]) -> tuple[str, str]:
        """Trees for pairs and for detections, from the footage of these indices."""
        of = [self.footages[row] for row in rows]
        kept = None if self._store is None else self._store / f"{self._key(rows)}.json"
        if kept is not None and kept.is_file():
            pair, detection = json.loads(kept.read_text(encoding="utf-8"))
            return str(pair), str(detection)
        pair = grow_pairs(of, [self._examples[row] for row in rows], (), self._seed, self._threads)
        detection = grow_detections(of, [self._detections[row] for row in rows], self._seed, self._threads)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(".part")
            part.write_text(json.dumps([pair, detection]), encoding="utf-8")
            part.replace(kept)
        return pair, detection

    def _key(self, rows: Sequence[int]) -> str:
        """Of what trees are grown from: other examples or another recipe give another one."""
        digest = hashlib.sha256(json.dumps([self._seed, RECIPE]).encode())
        for row in rows:
            for part in self._examples[row]:
                digest.update(np.ascontiguousarray(part.features).tobytes() + part.same.tobytes())
            for column in self._detections[row]:
                digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:16]

    def cross_fit(self, folds: Sequence[Collection[str]]) -> list[Fold]:
        """Learn without each fold.

        Args:
            folds: groups of footage; what is in none is always learned from.

        Raises:
            ValueError: fewer than two folds, a group in two of them or in none of the footage.
        """
        check_folds(self.footages, folds)
        found = []
        for fold in folds:
            left, kept = split(self.footages, fold)
            pair, detection = (Trees.parse(text) for text in self.grow(kept))
            found.append((frozenset(fold), left, kept, AssociationModel(pair, detection)))
            self._report(f"trees without {', '.join(sorted(fold))}")
        judged = [tuple(self._judge(row, model) for row in left) for _, left, _, model in found]
        calibrated = [
            dataclasses.replace(model, calibration=calibrate(_others(judged, number)))
            for number, (*_, model) in enumerate(found)
        ]
        trials = [
            tuple(Trial(self.footages[row], model) for row in left)
            for (_, left, _, _), model in zip(found, calibrated, strict=True)
        ]
        result = []
        for number, (fold, _, kept, _) in enumerate(found):
            self._report(f"costs for {', '.join(sorted(fold))}")
            costs = choose_costs(for_costs(_others(trials, number)), self._report)
            model = dataclasses.replace(calibrated[number], costs=costs)
            names = tuple(self.footages[row].name for row in kept)
            result.append(Fold(fold, names, model, judged[number], trials[number]))
        return result

    def finish(self, folds: Sequence[Fold]) -> Learned:
        """Trees of all footage, with calibration and costs by what all folds were judged to be."""
        calibration = calibrate([part for fold in folds for part in fold.judged])
        costs = choose_costs(for_costs([trial for fold in folds for trial in fold.trials]), self._report)
        return Learned(*self.grow(range(len(self.footages))), calibration, costs)

    def _judge(self, row: int, model: AssociationModel) -> Judged:
        features, same, weight = pooled([self.footages[row]], [self._examples[row]])
        gap = np.concatenate([part.gap for part in self._examples[row]])
        return Judged(self.footages[row].name, model.pair(features.astype(np.float64)), same, weight, gap)


def split(footages: Sequence[Footage], left_out: Collection[str]) -> tuple[list[int], list[int]]:
    """Indices of the footage of some groups, and of all others."""
    inside = [row for row, footage in enumerate(footages) if footage.group in left_out]
    return inside, [row for row in range(len(footages)) if row not in inside]


def check_folds(footages: Sequence[Footage], folds: Sequence[Collection[str]]) -> None:
    """Raises:
    ValueError: see `Learner.cross_fit`.
    """
    groups = [group for fold in folds for group in fold]
    if len(folds) < 2:
        raise ValueError("learning needs footage of at least two videos, one to judge what the other taught")
    if repeated := sorted({group for group in groups if groups.count(group) > 1}):
        raise ValueError(f"{', '.join(repeated)}: in two folds")
    if unknown := sorted(set(groups) - {footage.group for footage in footages}):
        raise ValueError(f"{', '.join(unknown)}: no such footage")


def even_folds(footages: Sequence[Footage], most: int) -> list[set[str]]:
    """At most so many folds of about as many detections, no video in two of them."""
    sizes: dict[str, int] = {}
    for footage in footages:
        sizes[footage.group] = max(sizes.get(footage.group, 0), len(footage.scene))
    folds: list[set[str]] = [set() for _ in range(min(most, len(sizes)))]
    for group in sorted(sizes, key=lambda group: -sizes[group]):
        min(folds, key=lambda fold: sum(sizes[member] for member in fold)).add(group)
    return folds


def calibrate(judged: Sequence[Judged]) -> tuple[float, float]:
    """Platt's scaling of what many sequences were judged to be."""
    return platt(*(np.concatenate([getattr(part, name) for part in judged]) for name in ("odds", "same", "weight")))


def probabilities(fold: Fold, part: Judged) -> Floats:
    """Calibrated probabilities (P,) of pairs of a fold."""
    slope, intercept = fold.model.calibration
    return expit(slope * part.odds + intercept)


def for_costs(trials: Sequence[Trial]) -> list[Trial]:
    """One sequence of each video, the one with the most detections: more would say the same again."""
    largest: dict[str, Trial] = {}
    for trial in trials:
        best = largest.get(trial.footage.group)
        if best is None or len(trial.footage.scene) > len(best.footage.scene):
            largest[trial.footage.group] = trial
    return list(largest.values())


def _others(parts: Sequence[Sequence[Any]], number: int) -> list[Any]:
    return [part for other, of in enumerate(parts) if other != number for part in of]
