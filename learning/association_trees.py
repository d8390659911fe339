"""Grow the boosted trees of association: one ensemble for pairs of detections, one for single ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.association_footage import Footage
from learning.association_pairs import Examples
from tracker.association.features import NAMES
from tracker.association.model import DETECTION_NAMES

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

BOOSTING = {
    "objective": "binary",
    "learning_rate": 0.15,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
}
# whoever is seen more often, longer and surer is not less of a target
DETECTION_BOOSTING = BOOSTING | {"num_leaves": 6, "feature_fraction": 1.0, "monotone_constraints": [1, 1, 1, 1]}
TREES, DETECTION_TREES = 80, 40
BUDGET = 6000.0  # weight that one video's pairs of one kind may have, however many there are
RECIPE = (BOOSTING, DETECTION_BOOSTING, TREES, DETECTION_TREES, BUDGET)


def grow_pairs(
    footages: Sequence[Footage],
    examples: Sequence[Sequence[Examples]],
    cue_names: Sequence[str] = (),
    seed: int = 0,
    threads: int = 1,
) -> str:
    """Trees for pairs, as LightGBM's text.

    Args:
        footages: where the examples are from.
        examples: of each of them.
        cue_names: of an appearance cue's features behind the context's.
        seed: of the trees.
        threads: for LightGBM.

    Raises:
        ValueError: there are no pairs.
    """
    features, same, weight = pooled(footages, examples)
    return _boosted(BOOSTING, features, same, weight, [*NAMES, *cue_names], TREES, seed, threads)


def pooled(
    footages: Sequence[Footage], examples: Sequence[Sequence[Examples]]
) -> tuple[NDArray[np.float32], Booleans, Floats]:
    """Features (P, K), labels (P,) and weights (P,) of many examples; no video and no kind of pairs drowns the others.

    Raises:
        ValueError: there are none.
    """
    size: dict[tuple[str, str], int] = {}
    parts = [(footage.group, part) for footage, found in zip(footages, examples, strict=True) for part in found]
    for group, part in parts:
        size[group, part.kind] = size.get((group, part.kind), 0) + len(part)
    if not sum(size.values()):
        raise ValueError("no pair of detections near each other belongs to the ground truth: is it of this video?")
    weight = [np.full(len(part), min(1.0, BUDGET / max(1, size[group, part.kind]))) for group, part in parts]
    return (
        np.concatenate([part.features for _, part in parts]),
        np.concatenate([part.same for _, part in parts]),
        np.concatenate(weight),
    )


def grow_detections(
    footages: Sequence[Footage], examples: Sequence[tuple[Floats, Booleans]], seed: int = 0, threads: int = 1
) -> str:
    """Trees for single detections, as LightGBM's text; arguments as of `grow_pairs`."""
    size: dict[str, int] = {}
    for footage, (_, true) in zip(footages, examples, strict=True):
        size[footage.group] = size.get(footage.group, 0) + len(true)
    weight = [
        np.full(len(true), min(1.0, BUDGET / max(1, size[footage.group])))
        for footage, (_, true) in zip(footages, examples, strict=True)
    ]
    features = np.concatenate([found for found, _ in examples])
    true = np.concatenate([found for _, found in examples])
    names = list(DETECTION_NAMES)
    return _boosted(DETECTION_BOOSTING, features, true, np.concatenate(weight), names, DETECTION_TREES, seed, threads)


def _boosted(
    parameters: dict[str, Any],
    features: NDArray[Any],
    labels: Booleans,
    weight: Floats,
    names: list[str],
    trees: int,
    seed: int,
    threads: int,
) -> str:
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("training needs LightGBM: pip install lightgbm") from error
    data = lightgbm.Dataset(features, labels.astype(np.float32), weight=weight, feature_name=names)
    options = parameters | {"seed": seed, "num_threads": threads}
    return str(lightgbm.train(options, data, trees).model_to_string())
