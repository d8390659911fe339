"""Choose the costs of association by what they give on footage that the probabilities were not learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.mot import Rows, Score, compare, score
from learning.association_footage import Footage
from tracker.association.costs import Costs
from tracker.association.flow import collect_tracks, fill_all
from tracker.association.graph import Graph, build_graph
from tracker.association.model import AssociationModel
from tracker.association.online import OnlineAssociator
from tracker.association.smoothing import smooth
from tracker.association.track import Track

FLOW_GRID: dict[str, tuple[float, ...]] = {
    "entry": (1.5, 2.5),
    "miss": (0.5, 1.0),
    "skip": (0.3, 1.0),
    "doubt": (0.0, 0.5),
    "longest_gap": (1.0, 2.0),
    "fill": (0.4, 0.8, 1.5),
}
ONLINE_GRID: dict[str, tuple[float, ...]] = {
    "link": (-4.0, -3.0, -2.0),
    "confirm": (0.5, 0.65),
}


class Trial:
    """One sequence, and a model that has not seen its video; what costs give on it is remembered.

    Args:
        footage: the sequence.
        model: trees and calibration.
    """

    def __init__(self, footage: Footage, model: AssociationModel) -> None:
        self.footage = footage
        self.model = model
        self._known: dict[tuple[bool, Costs], float] = {}

    @cached_property
    def graph(self) -> Graph:
        """Of the flow, with the longest gaps that are tried."""
        longest = max(1, round(max(FLOW_GRID["longest_gap"]) * self.footage.rate))
        return build_graph(self.footage.scene, self.model, longest)

    @property
    def weight(self) -> float:
        """By the root of the boxes: large sequences tell more, not all."""
        return float(np.sqrt(len(self.footage.truth)))

    def quality(self, costs: Costs, online: bool) -> float:
        """Mean of MOTA, IDF1 and HOTA."""
        # what the other associator alone asks for makes no difference
        ignored = ("entry", "exit", "fill") if online else ("link", "confirm")
        key = online, dataclasses.replace(costs, **{name: getattr(Costs(), name) for name in ignored})
        if key not in self._known:
            found = self.online_tracks(costs) if online else self.flow_tracks(costs)
            values = score_tracks(self.footage, found).scores()
            self._known[key] = (max(values["MOTA"], 0.0) + values["IDF1"] + values["HOTA"]) / 3
        return self._known[key]

    def flow_tracks(self, costs: Costs) -> list[Track]:
        """What `FlowAssociator.run` gives."""
        track = self.graph.tracks(self.model, costs)
        ids = np.where(track >= 0, track + 1, -1)
        bounds = np.cumsum([len(part) for part in self.footage.frames])[:-1]
        tracks = collect_tracks(zip(self.footage.frames, np.split(ids, bounds), strict=True))
        return smooth(fill_all(tracks, costs, self.footage.rate))

    def online_tracks(self, costs: Costs) -> list[Track]:
        """What `OnlineAssociator` gives."""
        associator = OnlineAssociator(self.model, self.footage.rate, **dataclasses.asdict(costs))
        return collect_tracks((part, associator.update(part)) for part in self.footage.frames)


def choose_costs(trials: Sequence[Trial], report: Callable[[str], None] = lambda line: None) -> Costs:
    """Costs with the best mean quality, one after another over the grids: the flow's, then what the online one adds.

    Args:
        trials: of at least one sequence.
        report: takes a line about each improvement.
    """
    costs = Costs()
    for online, grid in ((False, FLOW_GRID), (True, ONLINE_GRID)):
        best = _mean(trials, costs, online)
        for name, values in grid.items():
            for value in values:
                changed = dataclasses.replace(costs, **({name: value} | ({"exit": value} if name == "entry" else {})))
                if (found := _mean(trials, changed, online)) > best:
                    costs, best = changed, found
                    report(f"{'online' if online else 'flow'} {name} {value:g}: {100 * best:.2f}")
    return costs


def score_tracks(footage: Footage, tracks: Sequence[Track]) -> Score:
    """All metrics of one sequence."""
    frame = np.concatenate([np.empty(0, np.int64), *(track.frames for track in tracks)])
    ids = np.concatenate([np.empty(0, np.int64), *(np.full(len(track), track.id) for track in tracks)])
    box = np.concatenate([np.empty((0, 4)), *(track.xywh for track in tracks)])
    order = np.argsort(frame, kind="stable")
    none: NDArray[np.int64] = np.full(len(frame), -1)
    rows = Rows(footage.name, frame[order], ids[order], box[order], np.ones(len(frame)), none, np.arange(len(frame)))
    return score(compare(footage.truth, rows, footage.rules, footage.length))


def _mean(trials: Sequence[Trial], costs: Costs, online: bool) -> float:
    weights = [trial.weight for trial in trials]
    return float(np.average([trial.quality(costs, online) for trial in trials], weights=weights))
