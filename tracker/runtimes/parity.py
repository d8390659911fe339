"""Whether two runtimes say the same of the same crops."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker.network import ModelCard
from tracker.runtimes import Array, Runtime

Crops = NDArray[np.uint8]


@dataclass(frozen=True)
class Parity:
    """How far a runtime's outputs are from a reference's.

    Attributes:
        kernels, response, features: largest difference in shares of the largest value, the worst channel of the
            response; `kernels` from the exemplars, the others from the reference's kernels.
        same_peak: share of the crops whose highest cell is the same.
    """

    kernels: float
    response: float
    features: float
    same_peak: float

    @property
    def worst(self) -> float:
        """The largest of the three differences."""
        return max(self.kernels, self.response, self.features)


def compare(reference: Runtime, other: Runtime, exemplars: Crops, searches: Crops, batch: int = 2) -> Parity:
    """Run both on pairs of crops.

    Args:
        reference, other: runtimes of one model.
        exemplars: (N, 127, 127, 3).
        searches: (N, 255, 255, 3), each compared with the exemplar of its row.
        batch: pairs at a time.
    """
    worst, same = np.zeros(3), []
    for start in range(0, len(exemplars), batch):
        part = slice(start, start + batch)
        kernels = reference.template(exemplars[part])
        (response, features), found = (runtime.search(searches[part], kernels) for runtime in (reference, other))
        differences = [
            _difference(other.template(exemplars[part]), kernels, (0, 1, 2, 3)),
            _difference(found[0], response, (0, 2, 3)),
            _difference(found[1], features, (0, 1, 2, 3)),
        ]
        worst = np.maximum(worst, differences)
        peaks = [array[:, 0].reshape(len(array), -1).argmax(1) for array in (found[0], response)]
        same.extend(peaks[0] == peaks[1])
    kernels_off, response_off, features_off = worst.tolist()
    return Parity(kernels_off, response_off, features_off, float(np.mean(same)))


def _difference(found: Array, expected: Array, axes: tuple[int, ...]) -> float:
    if found.shape != expected.shape:
        raise ValueError(f"outputs of shape {found.shape}, expected {expected.shape}")
    shares = np.abs(found - expected).max(axes) / np.maximum(np.abs(expected).max(axes), 1e-9)
    return float(shares.max()) if np.isfinite(found).all() else float("inf")


def textures(card: ModelCard, count: int = 4, seed: int = 0) -> tuple[Crops, Crops]:
    """Pairs to compare runtimes with where there is no footage: blotches of all sizes, as pictures have.

    Returns:
        (count, E, E, 3) exemplars and (count, S, S, 3) search regions of the model's sizes; each region shows its
        exemplar somewhere.
    """
    random = np.random.default_rng(seed)
    exemplars, searches = [], []
    for _ in range(count):
        size = card.search_size
        layers = [random.normal(0, 1, (2**power, 2**power, 3)) for power in range(2, 8)]
        image = sum(cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC) for layer in layers)
        region = np.clip(128 + 30 * np.asarray(image), 0, 255).astype(np.uint8)
        x, y = random.integers(0, size - card.exemplar_size + 1, 2)
        searches.append(region)
        exemplars.append(region[y : y + card.exemplar_size, x : x + card.exemplar_size])
    return np.stack(exemplars), np.stack(searches)
