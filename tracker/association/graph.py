"""The flow's graph of a scene: tracklets as nodes, what each and what each link between two is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.association.appearance_cue import AppearanceCue
from tracker.association.costs import Costs
from tracker.association.features import pair_features
from tracker.association.min_cost_flow import min_cost_flow
from tracker.association.model import AssociationModel
from tracker.association.scene import Scene
from tracker.association.tracklets import link_neighbours, near_pairs
from tracker.association.trail import Floats, Integers, number_chains

NEAREST = 10  # starts that one end may be linked to in one frame
NEAREST_IN_ALL = 40  # and in all frames; nine real videos have the same tracks with all of them
MOST = 20  # links kept of one tracklet in either direction
REFINED = 2  # times that links are judged again
POSSIBLE = -5.0  # log odds below which a link is not looked at


@dataclass(frozen=True, eq=False)
class Graph:
    """T tracklets and P possible links between them.

    Attributes:
        scene: the detections.
        chain: (N,) tracklet of each detection.
        detection_odds: (N,) log odds of each detection's being a target.
        earlier, later: (P,) tracklets.
        gap: (P,) frames from one to the other.
        link_odds: (P,) log odds of their being one target.
    """

    scene: Scene
    chain: Integers
    detection_odds: Floats
    earlier: Integers
    later: Integers
    gap: Integers
    link_odds: Floats

    def tracks(self, model: AssociationModel, costs: Costs) -> Integers:
        """Track of each detection, (N,), −1: none; by minimum-cost flow.

        Whether a tracklet is a target is asked again of the whole track that it became part of.
        """
        count = len(self.scene) and self.chain.max() + 1
        node = np.zeros(count)
        np.add.at(node, self.chain, costs.doubt - self.detection_odds)
        forced = np.zeros(count, np.bool_)
        forced[self.chain[: len(self.scene.heads)]] = True
        near = self.gap <= longest(costs, self.scene.rate)
        link = costs.of_link(self.link_odds[near], self.gap[near], self.scene.rate)
        used, following = min_cost_flow(
            node, self.earlier[near], self.later[near], link, costs.entry, costs.exit, forced
        )
        track = np.where(used, _joined(following, self), -1)[self.chain]
        return self._without_doubtful(track, model, costs)

    def _without_doubtful(self, track: Integers, model: AssociationModel, costs: Costs) -> Integers:
        rows = np.flatnonzero(track >= 0)
        if not len(rows):
            return track
        odds = detection_odds(self.scene, track, model)[rows] - costs.doubt
        worth = np.bincount(track[rows], odds, minlength=track.max() + 1)
        worth[track[: len(self.scene.heads)]] = np.inf  # they had ids before
        track = track.copy()
        track[rows[worth[track[rows]] <= 0]] = -1
        return track


def longest(costs: Costs, rate: float) -> int:
    """Frames that a gap may have."""
    return max(1, round(costs.longest_gap * rate))


def build_graph(
    scene: Scene,
    model: AssociationModel,
    longest_gap: int,
    cue: AppearanceCue | None = None,
    patches: NDArray[Any] | None = None,
) -> Graph:
    """Join what is sure, and judge all that is possible between what that makes.

    Tracklets of two or three detections hardly know their speed; the tracks that a first flow makes of them do. So
    links are judged again by what is known of these tracks on both sides.

    Args:
        scene: the detections.
        model: what was learned.
        longest_gap: frames.
        cue: compares pixels.
        patches: (N, …) of the detections, by the cue.
    """
    chain = number_chains(link_neighbours(scene, model.pair_log_odds))
    graph = _judge(scene, chain, chain, model, longest_gap, cue, patches)
    for _ in range(REFINED if len(graph.earlier) else 0):
        track = graph.tracks(model, Costs())
        track = np.where(track >= 0, track, len(track) + chain)
        graph = _judge(scene, chain, track, model, longest_gap, cue, patches)
    return graph


def _judge(
    scene: Scene,
    chain: Integers,
    track: Integers,
    model: AssociationModel,
    longest_gap: int,
    cue: AppearanceCue | None,
    patches: NDArray[Any] | None,
) -> Graph:
    """The graph of tracklets (N,), by what is known of the tracks (N,) that they are part of."""
    past, future = scene.known(track)
    first, last = ends_of(chain)
    starts = first[first >= len(scene.heads)]
    first_last = np.sort(last), np.sort(starts)  # detections rise in time, so rows in order do
    earlier, later = near_pairs(scene, past, future, *first_last, longest_gap, NEAREST, NEAREST_IN_ALL)
    context = pair_features(scene.points, past, scene.points, future, earlier, later, scene.rate)
    appearance = None if cue is None or patches is None else cue.compare(patches[earlier], patches[later])
    odds = model.pair_log_odds(context, appearance)
    kept = (odds > POSSIBLE) & (_rank(earlier, odds) < MOST) & (_rank(later, odds) < MOST)
    earlier, later, odds = earlier[kept], later[kept], odds[kept]
    gap = scene.frame[later] - scene.frame[earlier]
    return Graph(scene, chain, model.detection_log_odds(scene.points[:, 5]), chain[earlier], chain[later], gap, odds)


def detection_odds(scene: Scene, chain: Integers, model: AssociationModel) -> Floats:
    """Log odds (N,) of detections' being targets, by all of the chain (N,) that each is in; −1: it is alone."""
    chain = np.where(chain < 0, np.arange(len(chain)) + len(chain), chain)
    past, _ = scene.known(chain)
    numbers = np.unique(chain, return_inverse=True)[1]
    _, last = ends_of(numbers)
    return model.detection_log_odds(scene.points[:, 5], past[last[numbers]])


def ends_of(chain: Integers) -> tuple[Integers, Integers]:
    """First and last detection of each chain; chains are numbered without gaps, detections rise in time."""
    count = len(chain) and int(chain.max()) + 1
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    rows = np.arange(len(chain))
    last[chain] = rows  # of several the last one stays
    first[chain[::-1]] = rows[::-1]
    return first, last


def _joined(following: Integers, graph: Graph) -> Integers:
    """Number of the track of each tracklet (T,)."""
    first, _ = ends_of(graph.chain)
    order = np.argsort(first)  # links lead from earlier to later beginnings
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ordered = following[order]
    return number_chains(np.where(ordered >= 0, place[ordered], -1))[place]


def _rank(side: Integers, odds: Floats) -> Integers:
    """Place (P,) of each pair among those of the same detection on one side, the likeliest first."""
    order = np.lexsort((-odds, side))
    sorted_side = side[order]
    new = np.r_[True, np.diff(sorted_side) != 0] if len(side) else np.zeros(0, np.bool_)
    place = np.arange(len(side))
    rank = np.empty(len(side), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(new, place, 0))
    return rank
