"""Detections of neighbouring frames that are surely one target, joined before anything else.

They make the flow's graph small, and they have velocities: what is linked over a second is judged by where both sides
were going, not by two boxes. Only links that nothing competes with are made here; whoever doubts waits for the flow.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tracker.association.candidates import candidate_pairs
from tracker.association.features import pair_features
from tracker.association.scene import Scene
from tracker.association.trail import Floats, Integers, number_chains

SURE = 1.4  # log odds, a probability of .8, from which on a link is made
RIVAL = -0.85  # log odds, .3, above which another candidate of either side forbids it
GAPS = 2  # frames; over longer ones velocities are needed
NEAREST = 5  # candidates of a detection
AGAIN = 2  # rounds with what the tracklets of the round before know of their speed


def link_neighbours(scene: Scene, log_odds: Callable[[Floats], Floats]) -> Integers:
    """The detection that surely follows each, (N,); −1: none does.

    Args:
        scene: the detections.
        log_odds: of pairs' being one target, (P,), by their context features (P, 32).
    """
    n = len(scene)
    following = np.full(n, -1, np.int64)
    followed = np.zeros(n, np.bool_)
    followed[: len(scene.heads)] = True  # they end what was decided; nothing comes before
    for grown in (False, *(True,) * AGAIN):
        past, future = scene.known(number_chains(following))
        future = future if grown else scene.nothing()
        for gap in range(1, GAPS + 1):
            ends, starts = np.flatnonzero(following < 0), np.flatnonzero(~followed)
            earlier, later = near_pairs(scene, past, future, ends, starts, gap, NEAREST)
            exact = scene.frame[later] - scene.frame[earlier] == gap
            earlier, later = earlier[exact], later[exact]
            odds = log_odds(pair_features(scene.points, past, scene.points, future, earlier, later, scene.rate))
            made = (odds >= SURE) & ~_has_rival(earlier, odds, n) & ~_has_rival(later, odds, n)
            following[earlier[made]] = later[made]
            followed[later[made]] = True
    return following


def near_pairs(
    scene: Scene,
    past: Floats,
    future: Floats,
    ends: Integers,
    starts: Integers,
    longest: int,
    most: int,
    most_in_all: int | None = None,
) -> tuple[Integers, Integers]:
    """Pairs of an end and a later start that are near enough; see `tracker.association.candidates.candidate_pairs`.

    `most_in_all`: ``None`` keeps all of them.
    """
    in_all = len(starts) if most_in_all is None else most_in_all
    return candidate_pairs(scene.points, past, future, scene.frame, scene.category, ends, starts, longest, most, in_all)


def _has_rival(side: Integers, odds: Floats, n: int) -> NDArray[np.bool_]:
    """(P,) whether another pair of the same detection on one side is not out of the question, or as good."""
    order = np.lexsort((-odds, side))
    first = np.r_[True, np.diff(side[order]) > 0] if len(order) else np.zeros(0, np.bool_)
    best = np.full(n, -1, np.int64)
    best[side[order[first]]] = order[first]
    second = np.full(n, -np.inf)
    np.maximum.at(second, side[order[~first]], odds[order[~first]])
    return (best[side] != np.arange(len(side))) | (second[side] > RIVAL)
