"""Our evaluation of LightGBM's text against LightGBM's own."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.association.trees import Trees

lightgbm = pytest.importorskip("lightgbm")


def grown(seed: int, leaves: int, missing: float, **options: object) -> tuple[object, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 5))
    y = (x[:, 0] + x[:, 1] * x[:, 2] > rng.normal(size=600)).astype(float)
    x[rng.random(x.shape) < missing] = np.nan
    x[rng.random(x.shape) < 0.1] = 0
    parameters = {"objective": "binary", "num_leaves": leaves, "verbose": -1, "num_threads": 1, "seed": seed, **options}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y), 12), x


@given(st.integers(0, 1000), st.integers(2, 12), st.sampled_from([0.0, 0.3]), st.booleans())
@settings(deadline=None, max_examples=15)
def test_they_say_what_lightgbm_says(seed: int, leaves: int, missing: float, zero: bool) -> None:
    booster, x = grown(seed, leaves, missing, zero_as_missing=zero)
    again = np.concatenate([x, np.full((1, 5), np.nan), np.zeros((1, 5)), np.full((1, 5), 1e300)])
    trees = Trees.parse(booster.model_to_string())  # type: ignore[attr-defined]
    np.testing.assert_allclose(trees(again), booster.predict(again, raw_score=True), atol=1e-12)  # type: ignore[attr-defined]


def test_trees_of_one_leaf() -> None:
    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1}, lightgbm.Dataset(np.zeros((50, 2)), np.arange(50) % 2)
    )
    trees = Trees.parse(booster.model_to_string())
    np.testing.assert_allclose(trees(np.ones((3, 2))), booster.predict(np.ones((3, 2)), raw_score=True), atol=1e-12)


def test_a_constant() -> None:
    assert Trees.constant(("a", "b"), 1.5)(np.zeros((4, 2))).tolist() == [1.5] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "nothing", "not a LightGBM model"),
        (lambda text: text.replace("objective=binary", "objective=regression"), "binary"),
        (lambda text: text.replace("split_feature=", "split_feature=9", 1), "not named"),
        (lambda text: text.replace("left_child=", "left_child=1 ", 1), "has not 4 nodes"),
        (lambda text: re.sub("left_child=.*", "left_child=0 0 0 0", text, count=1), "leads nowhere"),
        (lambda text: re.sub("left_child=.*", "left_child=-9 2 3 -1", text, count=1), "leads nowhere"),
    ],
)
def test_damaged_files_are_refused(change, message: str) -> None:
    text = grown(0, 5, 0.0)[0].model_to_string()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=message):
        Trees.parse(change(text))


def test_features_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(P, 2\)"):
        Trees.constant(("a", "b"), 0.0)(np.zeros((3, 3)))
