from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.significance import bootstrap_interval, interval, permutation_p, resamples


def test_the_bootstrap_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).uniform(0, 1, 400)
    low, high = bootstrap_interval(values)
    half_width = 1.96 * values.std() / 400**0.5
    assert low == pytest.approx(values.mean() - half_width, abs=0.002)
    assert high == pytest.approx(values.mean() + half_width, abs=0.002)
    assert bootstrap_interval(values) == (low, high)  # seeded
    assert bootstrap_interval([0.3, 0.3]) == pytest.approx((0.3, 0.3))
    narrow = bootstrap_interval(values, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_each_draw_has_as_many_sequences_as_there_are():
    draws = resamples(7, samples=500)
    assert draws.shape == (500, 7)
    assert (draws.sum(1) == 7).all()
    assert draws.mean() == 1
    assert draws.max() > 2  # with replacement
    assert draws.var() == pytest.approx(1 - 1 / 7, rel=0.1)  # multinomial


def test_what_has_no_interval_is_refused():
    with pytest.raises(ValueError, match="confidence must lie in"):
        interval(np.ones(3), confidence=95)
    with pytest.raises(ValueError, match="values must be a row of at least one number"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="differences must be a row of at least one number"):
        permutation_p([])


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_few_sequences_are_tested_exactly(differences: list[int]):
    signed = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    expected = sum(total >= abs(sum(differences)) for total in signed) / len(signed)
    assert permutation_p(differences) == pytest.approx(expected)


def test_equal_trackers_do_not_differ():
    assert permutation_p(np.zeros(10)) == 1
    assert permutation_p(np.zeros(100)) == 1


def test_one_sided_differences_are_as_improbable_as_can_be():
    assert permutation_p(np.full(10, 0.1)) == 2 / 2**10
    assert permutation_p(np.full(100, 0.1), samples=999) == pytest.approx(1 / 1000)


def test_drawn_signs_agree_with_all_signs():
    differences = np.random.default_rng(1).normal(0.03, 0.1, 16)
    exact = permutation_p(differences)
    padded = np.append(differences, 0.0)  # a 17th that changes nothing
    assert 0.01 < exact < 0.9
    assert permutation_p(padded, samples=50_000) == pytest.approx(exact, abs=0.01)


def test_p_is_uniform_where_trackers_are_alike():
    rng = np.random.default_rng(2)
    p = [permutation_p(rng.normal(0, 1, 12)) for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)


def test_many_sequences_agree_with_the_normal_approximation():
    rng = np.random.default_rng(3)
    differences = rng.normal(0.15, 1, 200)
    z = differences.sum() / np.sqrt((differences**2).sum())
    scipy = pytest.importorskip("scipy.stats")
    assert permutation_p(differences) == pytest.approx(2 * scipy.norm.sf(abs(z)), abs=0.01)


def test_the_paired_test_agrees_with_scipy():
    scipy = pytest.importorskip("scipy.stats")
    differences = np.random.default_rng(4).normal(0.05, 0.1, 9)
    theirs = scipy.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert permutation_p(differences) == pytest.approx(theirs.pvalue)
