"""Power laws fitted to learning curves: error falls as a power of the data (Hestness et al. 2017, "Deep learning
scaling is predictable, empirically").

The error here is 1 − success AUC, and the law is error = scale · x^−exponent, a straight line between the logarithms.
A line of AUC against log x would fit a few points as well, but leaves [0, 1] where it is carried far; the law does not.
Hestness et al. add a constant for what no amount of data mends: four points cannot tell it from the rest, so it is
left out, and what is projected is a bound from the good side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.significance import interval, resamples

Floats = NDArray[np.float64]

LEAST = 3  # different abscissae, of which two fix the law and one can speak against it
SMALLEST_ERROR = 1e-6


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """A law and the laws of other draws of the same sequences.

    Attributes:
        scale, exponent: the error is scale · x^−exponent; a positive exponent means that more is better.
        scales, exponents: (B,) the same for each resample.
        low, high: smallest and largest x that it was fitted to.
    """

    scale: float
    exponent: float
    scales: Floats
    exponents: Floats
    low: float
    high: float

    def auc(self, x: float) -> float:
        """AUC at x, at least 0."""
        return max(0.0, 1 - self.scale * x**-self.exponent)

    def resampled_auc(self, x: float) -> Floats:
        """(B,) the same by each resample."""
        values: Floats = np.maximum(0.0, 1 - self.scales * x**-self.exponents)
        return values

    def gain(self, ratio: float) -> tuple[float, Floats]:
        """Factor of the error when x is `ratio` times as large, and (B,) the same by each resample."""
        return ratio**-self.exponent, ratio**-self.exponents

    def exponent_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Percentile interval of the exponent over resamples."""
        low, high = interval(self.exponents, confidence)
        return float(low), float(high)


def fit(x: Sequence[float], success: ArrayLike, samples: int = 10_000, seed: int = 0) -> PowerLaw:
    """Least squares between the logarithms, and the same for resampled sequences (bootstrap).

    All points are judged on the same sequences, so a resample takes the same ones for every point.

    Args:
        x: (P,) positive abscissae, e.g. pairs seen.
        success: (P, S) AUC of each point on each sequence.
        samples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: fewer than `LEAST` different abscissae, one that is not positive, or shapes that differ.
    """
    abscissae, values = np.asarray(x, np.float64), np.asarray(success, np.float64)
    if values.ndim != 2 or values.shape[0] != len(abscissae) or not values.shape[1]:
        raise ValueError(f"{len(abscissae)} points need as many rows of AUC, got {values.shape}")
    if not (abscissae > 0).all() or len(np.unique(abscissae)) < LEAST:
        raise ValueError(f"a power law needs at least {LEAST} different positive numbers, got {sorted(set(x))}")
    counts = np.concatenate([np.ones((1, values.shape[1])), resamples(values.shape[1], samples, seed)])
    means = counts @ values.T / values.shape[1]
    intercepts, slopes = _lines(np.log(abscissae), np.log(np.maximum(1 - means, SMALLEST_ERROR)))
    scales, exponents = np.exp(intercepts), -slopes
    ends = float(abscissae.min()), float(abscissae.max())
    return PowerLaw(float(scales[0]), float(exponents[0]), scales[1:], exponents[1:], *ends)


def _lines(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(P,) and (B, P) → intercepts and slopes (B,) of the least-squares lines."""
    away = x - x.mean()
    slopes = y @ away / (away @ away)
    return y.mean(1) - slopes * x.mean(), slopes
