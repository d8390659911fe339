"""A small crowd whose identities are known, and models whose probabilities can be followed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tracker.association.costs import Costs
from tracker.association.detections import Detections
from tracker.association.features import NAMES
from tracker.association.model import DETECTION_NAMES, AssociationModel
from tracker.association.trees import Trees


def stump(names: tuple[str, ...], feature: str, threshold: float, low: float, high: float) -> Trees:
    """One tree of one branch: `low` up to the threshold, `high` above it and where the feature is missing."""
    return Trees(
        names,
        np.array([0]),
        np.array([names.index(feature)]),
        np.array([threshold]),
        np.array([2 << 2]),
        np.array([-1]),
        np.array([-2]),
        np.array([low, high]),
    )


@pytest.fixture
def model() -> AssociationModel:
    """One target is what the earlier one's line leads to within .3 body heights; scores above .5 are true."""
    pair = stump(NAMES, "forward_error", 0.3, 4.0, -4.0)
    detection = stump(DETECTION_NAMES, "score", 0.5, -2.0, 3.0)
    return AssociationModel(pair, detection, (1.0, 0.0), Costs(link=0.0))


Crowd = Callable[..., tuple[dict[int, Detections], dict[int, list[int]]]]


@pytest.fixture
def crowd() -> Crowd:
    """Walkers of constant speed: frame → detections, and frame → which walker each detection is."""

    def make(
        walkers: int = 4, frames: int = 40, rate: float = 20.0, missing: dict[int, range] | None = None, seed: int = 0
    ) -> tuple[dict[int, Detections], dict[int, list[int]]]:
        rng = np.random.default_rng(seed)
        start = np.column_stack([rng.uniform(0, 900, walkers), 150.0 * np.arange(walkers) + 20])
        speed = rng.uniform(-60, 60, walkers)
        detections, owners = {}, {}
        for frame in range(frames):
            seen = [k for k in range(walkers) if frame not in (missing or {}).get(k, ())]
            order = [int(k) for k in rng.permutation(seen)]
            boxes = [(start[k, 0] + speed[k] * frame / rate, start[k, 1], 40.0, 100.0) for k in order]
            detections[frame] = Detections(frame, boxes, np.full(len(order), 0.9))
            owners[frame] = order
        return detections, owners

    return make
