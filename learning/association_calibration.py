"""Match probabilities that mean what they say: Platt's scaling, and how far a probability is from the share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

BINS = 10


def platt(odds: Floats, same: Booleans, weight: Floats) -> tuple[float, float]:
    """Slope and intercept on log odds that make the labels most likely (Platt 1999); the slope is positive.

    Args:
        odds: (P,) log odds.
        same: (P,) whether they were right.
        weight: (P,).
    """
    sign, share = np.where(same, 1.0, -1.0), weight / weight.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slope = np.exp(parameters[0])
        margin = sign * (slope * odds + parameters[1])
        slack = -share * sign * expit(-margin)
        return float(share @ np.logaddexp(0, -margin)), np.array([slack @ odds * slope, slack.sum()])

    slope, intercept = minimize(loss, np.zeros(2), jac=True).x
    return float(np.exp(slope)), float(intercept)


def reliability(probability: Floats, same: Booleans, bins: int = BINS) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean probability, share of right ones and count in equally wide bins, three (bins,); NaN where a bin is empty."""
    number = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(number, probability, bins) / count
        share = np.bincount(number, same.astype(np.float64), bins) / count
    return mean, share, count


def expected_calibration_error(probability: Floats, same: Booleans, bins: int = BINS) -> float:
    """Mean distance of mean probability and share over the bins, each by its count (Naeini et al. 2015)."""
    mean, share, count = reliability(probability, same, bins)
    full = count > 0
    return float((np.abs(mean - share)[full] * count[full]).sum() / max(1, count.sum()))
