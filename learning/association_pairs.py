"""What association learns from: pairs of detections as the associators meet them, with whether they are one target.

Three amounts of knowledge occur, and one ensemble of trees learns all of them: of two detections alone (which is how
tracklets begin), of a track and a detection (online), of what lies on both sides (the flow). To meet enough long gaps,
detections of an identity are left out for stretches at random, as if a detector had failed there, and frames are left
out, as if the camera were slower. Tracklets are joined by the associators' own code, from overlap instead of what is
yet to be learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.association_footage import Footage, without
from tracker.association.features import NAMES, pair_features
from tracker.association.graph import NEAREST, ends_of
from tracker.association.scene import Scene
from tracker.association.tracklets import GAPS, link_neighbours, near_pairs
from tracker.association.tracklets import NEAREST as NEIGHBOURS
from tracker.association.trail import LASTING, SEEN, SURE, Floats, Integers, number_chains

FAILURES = 0.35  # stretches left out a second and identity
LONGEST_FRAMES = 30  # gaps that are learned: so many frames, or so many seconds where that is more
LONGEST_SECONDS = 2.0
MOST = 2_000  # pairs of a kind of one sequence and stride
STRIDES = (1, 2, 4)  # every so many-th frame: faster cameras' footage teaches slower ones
SLOWEST = 5.0  # frames per second


@dataclass(frozen=True, eq=False)
class Examples:
    """Features of P pairs.

    Attributes:
        features: (P, K) float32.
        same: (P,) whether they are one target.
        gap: (P,) frames.
        kind: what is known: "alone", "past" or "both".
        weight: (P,).
    """

    features: NDArray[np.float32]
    same: NDArray[np.bool_]
    gap: Integers
    kind: str
    weight: Floats

    def __len__(self) -> int:
        return len(self.same)


def longest_gap(rate: float) -> int:
    """Frames of the longest gap that is learned."""
    return max(LONGEST_FRAMES, round(LONGEST_SECONDS * rate))


def examples_of(footage: Footage, rng: np.random.Generator) -> list[Examples]:
    """Pairs of all three kinds: of the scene as it is, and of ones with failures of the detector at lower frame rates.

    Args:
        footage: where from.
        rng: chooses what is left out, and which pairs of very many.
    """
    found = []
    for stride in (0, *STRIDES):
        if stride > 1 and footage.rate / stride < SLOWEST:
            continue
        scene, identity = footage.scene, footage.identity
        if stride:
            kept = ~detector_failures(footage, rng) & (scene.frame % stride == 0)
            scene, identity = slower(without(scene, kept), stride), identity[kept]
        following = link_neighbours(scene, by_overlap)
        found += [
            _alone(scene, identity, rng),
            _with_past(scene, identity, following, rng),
            _with_both(scene, identity, following, rng),
        ]
    return found


def slower(scene: Scene, stride: int) -> Scene:
    """The scene of every `stride`-th frame, whose frames alone have detections, at the lower frame rate."""
    return Scene(scene.frame // stride, scene.points, scene.category, scene.rate / stride)


def by_overlap(context: Floats) -> Floats:
    """Log odds (P,) of pairs a frame or two apart where nothing is learned yet: even at an overlap of .35."""
    overlaps = context[:, [NAMES.index(name) for name in ("overlap", "forward_overlap", "backward_overlap")]]
    return 10 * (np.nanmax(overlaps, axis=1, initial=0) - 0.35)


def detection_examples(footage: Footage) -> tuple[Floats, NDArray[np.bool_]]:
    """Features (M, 4) of single detections (`tracker.association.model.DETECTION_NAMES`), and whether they are targets.

    Each occurs three times: alone, by what its tracklet was up to it, as it is online, and by all of its tracklet.
    """
    scene = footage.scene
    chain = number_chains(link_neighbours(scene, by_overlap))
    past, _ = scene.known(chain)
    last = ends_of(chain)[1]
    rows = [
        np.column_stack([scene.points[:, 5], known[:, [SURE, SEEN, LASTING]]])
        for known in (np.full_like(past, np.nan), past, past[last[chain]])
    ]
    return np.concatenate(rows), np.tile(footage.identity >= 0, 3)


def detector_failures(footage: Footage, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(N,) detections in stretches in which the detector is to have failed, each identity's of its own."""
    failed = np.zeros(len(footage.scene), np.bool_)
    frame = footage.scene.frame
    longest = longest_gap(footage.rate)
    for identity in np.unique(footage.identity[footage.identity >= 0]):
        rows = np.flatnonzero(footage.identity == identity)
        begin = frame[rows[0]] + rng.exponential(footage.rate / FAILURES)
        while begin <= frame[rows[-1]]:
            end = begin + rng.integers(1, longest)
            failed[rows[(frame[rows] >= begin) & (frame[rows] < end)]] = True
            begin = end + rng.exponential(footage.rate / FAILURES)
    return failed


def _alone(scene: Scene, identity: Integers, rng: np.random.Generator) -> Examples:
    """Detections a frame or two apart, of which nothing else is known."""
    rows = np.arange(len(scene))
    alone, nothing = scene.known(rows)[0], scene.nothing()
    pairs = near_pairs(scene, alone, nothing, rows, rows, GAPS, NEIGHBOURS)
    return _examples(scene, identity, alone, nothing, *pairs, "alone", rng)


def _with_past(scene: Scene, identity: Integers, following: Integers, rng: np.random.Generator) -> Examples:
    """A track's last detection and a later one: until its tracklet goes on, or the longest gap is over."""
    past, nothing = scene.known(number_chains(following))[0], scene.nothing()
    rows = np.arange(len(scene))
    goes_on, ends = np.flatnonzero(following >= 0), np.flatnonzero(following < 0)
    short = near_pairs(scene, past, nothing, goes_on, rows, GAPS, NEIGHBOURS)
    until = scene.frame[following[short[0]]]
    short = tuple(side[scene.frame[short[1]] <= until] for side in short)  # type: ignore[assignment]
    long = near_pairs(scene, past, nothing, ends, rows, longest_gap(scene.rate), NEIGHBOURS)
    earlier, later = (np.concatenate(sides) for sides in zip(short, long, strict=True))
    return _examples(scene, identity, past, nothing, earlier, later, "past", rng)


def _with_both(scene: Scene, identity: Integers, following: Integers, rng: np.random.Generator) -> Examples:
    """The end of a tracklet and the start of a later one."""
    chain = number_chains(following)
    past, future = scene.known(chain)
    first, last = (np.sort(side) for side in ends_of(chain))
    pairs = near_pairs(scene, past, future, last, first, longest_gap(scene.rate), NEAREST)
    return _examples(scene, identity, past, future, *pairs, "both", rng)


def _examples(
    scene: Scene,
    identity: Integers,
    past: Floats,
    future: Floats,
    earlier: Integers,
    later: Integers,
    kind: str,
    rng: np.random.Generator,
) -> Examples:
    """Features and labels; pairs of two false alarms teach nothing and are left out."""
    told = np.flatnonzero((identity[earlier] >= 0) | (identity[later] >= 0))
    if len(told) > MOST:
        told = np.sort(rng.choice(told, MOST, replace=False))
    earlier, later = earlier[told], later[told]
    features = pair_features(scene.points, past, scene.points, future, earlier, later, scene.rate)
    same = identity[earlier] == identity[later]
    gap = scene.frame[later] - scene.frame[earlier]
    return Examples(features.astype(np.float32), same, gap, kind, np.ones(len(same)))
