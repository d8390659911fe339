"""Power laws: exact ones are found, intervals are those of a plain loop, and too few points are refused."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.significance import resamples
from learning.power_law import fit

X = [1000.0, 3000.0, 20_000.0, 100_000.0]


def _law(x: float, scale: float, exponent: float) -> float:
    return 1 - scale * x**-exponent


def test_an_exact_law_is_found_and_carried_on() -> None:
    law = fit(X, [[_law(x, 2.0, 0.15)] * 3 for x in X])
    assert law.scale == pytest.approx(2.0)
    assert law.exponent == pytest.approx(0.15)
    assert law.auc(1e7) == pytest.approx(_law(1e7, 2.0, 0.15))
    assert law.exponent_interval() == pytest.approx((0.15, 0.15)), "all sequences say the same"
    assert (law.low, law.high) == (X[0], X[-1])
    assert law.gain(10)[0] == pytest.approx(10**-0.15)


def test_the_resamples_are_fitted_as_a_plain_loop_does() -> None:
    success = np.random.default_rng(0).uniform(0.2, 0.7, (4, 5)) + np.arange(4)[:, None] * 0.05
    law = fit(X, success, samples=50, seed=3)
    draws = resamples(5, 50, 3)
    for draw, scale, exponent in zip(draws, law.scales, law.exponents, strict=True):
        repeated = np.repeat(success, draw.astype(int), axis=1)  # the same sequences for every point
        slope, intercept = np.polyfit(np.log(X), np.log(1 - repeated.mean(1)), 1)
        assert (scale, exponent) == pytest.approx((np.exp(intercept), -slope))
    values = [1 - scale * 1e6**-exponent for scale, exponent in zip(law.scales, law.exponents, strict=True)]
    np.testing.assert_allclose(law.resampled_auc(1e6), np.maximum(0, values))


def test_an_auc_is_never_negative() -> None:
    worse = fit([1.0, 10.0, 100.0], [[0.9], [0.5], [0.1]])
    assert worse.exponent < 0
    assert worse.auc(1e6) == 0
    assert worse.resampled_auc(1e6).max() == 0


def test_a_perfect_point_has_a_logarithm_too() -> None:
    assert np.isfinite(fit([1.0, 10.0, 100.0], [[0.5], [0.9], [1.0]]).exponent)


@pytest.mark.parametrize(
    ("x", "success"),
    [
        ([1.0, 2.0], [[0.1], [0.2]]),
        ([1.0, 2.0, 2.0], [[0.1], [0.2], [0.2]]),
        ([0.0, 1.0, 2.0], [[0.1], [0.2], [0.3]]),
        ([1.0, 2.0, 3.0], [[0.1], [0.2]]),
        ([1.0, 2.0, 3.0], [[], [], []]),
        ([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]),
    ],
)
def test_what_says_nothing_of_a_law_is_refused(x: list[float], success: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="need"):
        fit(x, success)
