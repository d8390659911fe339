from __future__ import annotations

import numpy as np
import pytest

from benchmarks.long_term import best_f, long_term


def slow_long_term(overlaps, present, scores, threshold: float) -> tuple[float, float]:
    """Precision and recall of one sequence at one threshold, as the paper defines them."""
    claimed = [o for o, s in zip(overlaps, scores, strict=True) if s >= threshold]
    shown = [o if s >= threshold else 0 for o, p, s in zip(overlaps, present, scores, strict=True) if p]
    return (sum(claimed) / len(claimed) if claimed else 1.0), sum(shown) / len(shown)


def test_long_term_measures_equal_a_plain_recomputation():
    rng = np.random.default_rng(0)
    present = [rng.uniform(size=count) > 0.3 for count in (20, 33, 40)]
    overlaps = [np.where(seen, rng.uniform(size=len(seen)), 0) for seen in present]
    scores = [np.round(rng.uniform(size=len(seen)), 1) for seen in present]  # with ties
    scores[2][:30] = -np.inf  # said that it is lost
    curves = long_term(overlaps, present, scores)
    assert curves.thresholds.tolist() == sorted({s for each in scores for s in each if np.isfinite(s)})
    for sequence in range(3):
        for column, threshold in enumerate(curves.thresholds):
            expected = slow_long_term(overlaps[sequence], present[sequence], scores[sequence], threshold)
            assert (curves.precision[sequence, column], curves.recall[sequence, column]) == pytest.approx(expected)
    precision, recall, f = best_f(curves.precision.mean(0), curves.recall.mean(0))
    candidates = [2 * p * r / (p + r) for p, r in zip(curves.precision.mean(0), curves.recall.mean(0), strict=True)]
    assert f == pytest.approx(max(candidates))
    assert f == pytest.approx(2 * precision * recall / (precision + recall))


def test_long_term_thresholds_are_limited():
    scores = np.random.default_rng(0).uniform(size=1000)
    curves = long_term([np.ones(1000)], [np.ones(1000, bool)], [scores], thresholds=11)
    assert curves.thresholds[[0, -1]].tolist() == [scores.min(), scores.max()]
    np.testing.assert_allclose(curves.recall[0], np.linspace(1, 0.001, 11), atol=0.002)
    assert (curves.precision == 1).all()


def test_a_tracker_that_never_claims_to_see_the_target_has_no_recall():
    lost = [np.full(3, -np.inf)]
    curves = long_term([np.ones(3)], [np.ones(3, bool)], lost)
    assert (curves.precision.tolist(), curves.recall.tolist()) == ([[1]], [[0]])
    assert best_f(curves.precision[0], curves.recall[0])[2] == 0
    with pytest.raises(ValueError, match="must show the target at least once"):
        long_term([np.zeros(3)], [np.zeros(3, bool)], lost)
