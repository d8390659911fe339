"""How much a mean over sequences can be trusted, and whether two trackers differ: bootstrap and permutation test."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

EXACT_UP_TO = 16  # sequences for which all 2ⁿ exchanges are tried


def bootstrap_interval(
    values: ArrayLike, confidence: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of one value a sequence: what another draw of sequences would give.

    Args:
        values: (S,) one headline number a sequence.
        confidence: share of the resampled means inside the interval, in (0, 1).
        samples: number of resamples.
        seed: seed of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: no values, or a confidence outside (0, 1).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values must be a row of at least one number, got shape {values.shape}")
    means = resamples(len(values), samples, seed) @ values / len(values)
    low, high = interval(means, confidence)
    return float(low), float(high)


def resamples(sequences: int, samples: int = 10_000, seed: int = 0) -> Floats:
    """(samples, sequences): how often each sequence occurs in each draw, with replacement, of as many as there are."""
    drawn = np.random.default_rng(seed).integers(sequences, size=(samples, sequences))
    drawn += np.arange(samples)[:, None] * sequences
    return np.bincount(drawn.ravel(), minlength=samples * sequences).reshape(samples, sequences).astype(np.float64)


def interval(means: Floats, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """(samples, …) resampled means → the lower and the upper end of the interval that holds that share of them.

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def permutation_p(differences: ArrayLike, samples: int = 20_000, seed: int = 0) -> float:
    """Probability of a mean difference at least as large, of either sign, if two trackers were interchangeable.

    A paired test: were the trackers alike, each sequence's difference could as well have the other sign. Unlike the
    t-test it needs no normal distribution, and unlike Wilcoxon's it tests the very mean that is reported, not ranks.
    All 2ⁿ signs are tried for up to 16 sequences, so that the result is exact there; beyond that `samples` of them are
    drawn, and p is never below 1 / (samples + 1).

    Args:
        differences: (S,) of two trackers, one a sequence.
        samples: draws where there are too many sequences to try all signs.
        seed: the same seed gives the same p.

    Raises:
        ValueError: no differences.
    """
    differences = np.asarray(differences, np.float64)
    if differences.ndim != 1 or not len(differences):
        raise ValueError(f"differences must be a row of at least one number, got shape {differences.shape}")
    observed = abs(differences.sum()) * (1 - 1e-12)  # sums of the same numbers in another order count as equal
    count = len(differences)
    if count <= EXACT_UP_TO:
        flipped = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return float((abs((1.0 - 2.0 * flipped) @ differences) >= observed).mean())
    flipped = np.random.default_rng(seed).integers(2, size=(samples, count), dtype=np.int8)
    extreme = (abs((1.0 - 2.0 * flipped) @ differences) >= observed).sum()
    return float((extreme + 1) / (samples + 1))
