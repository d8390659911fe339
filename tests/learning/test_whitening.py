"""Within-class covariance normalisation against closed forms and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.whitening import RIDGE, Whitening


def test_the_matrix_is_the_inverse_root_of_the_covariance_within_classes():
    rng = np.random.default_rng(0)
    spread = np.array([3.0, 1.0, 0.5])
    labels = np.repeat(np.arange(400), 50)
    vectors = rng.normal(0, 10, (400, 3))[labels] + rng.normal(0, spread, (20_000, 3))
    covariance = np.diag(spread**2) * 49 / 50  # the mean of 50 is estimated from them
    expected = covariance + RIDGE * np.trace(covariance) / 3 * np.eye(3)
    matrix = Whitening.fit(vectors, labels, 3).matrix
    assert np.linalg.inv(matrix @ matrix) == pytest.approx(expected, abs=0.15)
    assert matrix == pytest.approx(matrix.T)


def test_views_are_samples_of_one_variation():
    rng = np.random.default_rng(1)
    labels, vectors = np.repeat(np.arange(5), 4), rng.normal(size=(20, 6))
    joined = Whitening.fit(vectors, labels, 3).matrix
    assert joined == pytest.approx(
        Whitening.fit(vectors.reshape(40, 3), np.stack([2 * labels, 2 * labels + 1], 1).ravel(), 3).matrix
    )


def test_variation_within_known_classes_does_not_mislead_in_new_ones():
    """Classes differ by the second coordinate alone; the first is everyone's own."""
    rng = np.random.default_rng(2)

    def images(of: np.ndarray) -> np.ndarray:
        return np.stack([rng.normal(0, 6, len(of)), of + rng.normal(0, 0.05, len(of))], 1)

    labels = np.repeat(np.arange(100), 20)
    whitening = Whitening.fit(images(labels.astype(float)), labels, 2)
    new = np.arange(20) * 3.0
    plain, whitened = [], []
    for _ in range(50):
        support, queries = images(new), images(new)
        distances = ((queries[:, None] - support[None]) ** 2).sum(-1)
        plain.append((distances.argmin(1) == np.arange(20)).mean())
        scaled = ((queries[:, None] - support[None]) @ whitening.matrix) ** 2
        whitened.append((scaled.sum(-1).argmin(1) == np.arange(20)).mean())
    assert np.mean(whitened) > np.mean(plain) + 0.05


@given(seed=st.integers(0, 1000), views=st.integers(1, 4), moved=st.floats(-5, 5))
def test_only_what_tells_the_support_apart_counts(seed: int, views: int, moved: float):
    rng = np.random.default_rng(seed)
    whitening = Whitening.fit(rng.normal(size=(12, views * 3)), np.repeat(np.arange(4), 3), 3)
    queries, support = rng.normal(size=(5, views * 3)), rng.normal(size=(6, views * 3))
    scores = whitening.compare(queries, support)
    assert scores.shape == (5, 6)
    assert np.abs(scores).max() <= 1
    assert whitening.compare(queries + moved, support + moved) == pytest.approx(scores, abs=1e-6)
    assert np.diag(whitening.compare(support, support)) == pytest.approx(1)


def test_classes_without_variation_teach_nothing():
    with pytest.raises(ValueError, match="no class has two images that differ"):
        Whitening.fit(np.arange(6.0).reshape(3, 2), [0, 1, 2], 2)
