"""Boosted trees of a LightGBM text file, evaluated without LightGBM.

Whoever tracks needs not install it, and its overhead for each call is longer than a frame may take.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker.jit import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CATEGORICAL, DEFAULT_LEFT, MISSING = 1, 2, 12  # bits of decision_type
ZERO = 1e-35  # what LightGBM takes for zero


@dataclass(frozen=True, eq=False)
class Trees:
    """An ensemble in arrays; the trees' nodes one after another, children below 0 are leaves (−1 − leaf).

    Attributes:
        names: of the features.
        root: (T,) first node of each tree.
        feature, threshold, kind, left, right: of each node.
        value: of each leaf; the sum over the trees is the log odds.
    """

    names: tuple[str, ...]
    root: Integers
    feature: Integers
    threshold: Floats
    kind: Integers
    left: Integers
    right: Integers
    value: Floats

    @classmethod
    def read(cls, path: Path) -> Trees:
        """Read a file of `lightgbm.Booster.save_model`.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not such a file, or has categorical features, linear trees or several classes.
        """
        return cls.parse(path.read_text(encoding="utf-8"), str(path))

    @classmethod
    def parse(cls, text: str, source: str = "model") -> Trees:
        """The same of a text; see `read`."""
        header, *blocks = text.split("\nTree=")
        fields = _fields(header)
        try:
            names = tuple(fields["feature_names"].split(" "))
            if fields.get("num_class", "1") != "1" or not fields["objective"].startswith("binary"):
                raise ValueError(f"{source}: expected a binary objective, got {fields['objective']}")
            trees = [_tree(_fields(block.split("\n\n")[0]), source) for block in blocks]
        except KeyError as error:
            raise ValueError(f"{source} is not a LightGBM model in text: no {error}") from error
        columns: list[list[NDArray]] = [[] for _ in range(6)]
        root, leaves = [], 0
        nodes = 0
        for feature, threshold, kind, left, right, value in trees:
            root.append(nodes)
            shift = [np.where(child >= 0, child + nodes, child - leaves) for child in (left, right)]
            for column, part in zip(columns, (feature, threshold, kind, *shift, value), strict=True):
                column.append(part)
            nodes, leaves = nodes + len(feature), leaves + len(value)
        joined = [np.concatenate(column) if column else np.empty(0) for column in columns]
        feature, kind, left, right = (joined[n].astype(np.int64) for n in (0, 2, 3, 4))
        if len(feature) and (feature.min() < 0 or feature.max() >= len(names)):
            raise ValueError(f"{source}: a tree asks for a feature that is not named")
        return cls(names, np.array(root, np.int64), feature, joined[1], kind, left, right, joined[5])

    @classmethod
    def constant(cls, names: tuple[str, ...], log_odds: float) -> Trees:
        """An ensemble that always says the same."""
        zero, leaf = np.zeros(1, np.int64), np.array([-1])
        return cls(names, zero, zero, np.zeros(1), zero, leaf, leaf, np.array([log_odds]))

    def __call__(self, features: Floats) -> Floats:
        """Log odds (P,) of features (P, len(names)); NaN is a missing value."""
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise ValueError(f"expected features of shape (P, {len(self.names)}), got {features.shape}")
        return _evaluate(
            np.ascontiguousarray(features, np.float64),
            self.root, self.feature, self.threshold, self.kind, self.left, self.right, self.value,
        )  # fmt: skip


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _tree(fields: dict[str, str], source: str) -> tuple[NDArray, ...]:
    """Feature, threshold, kind, left and right of each node, and the leaves' values."""
    if fields.get("is_linear", "0") != "0" or fields.get("num_cat", "0") != "0":
        raise ValueError(f"{source}: linear trees and categorical features are not read here")
    value = np.array(fields["leaf_value"].split(), np.float64)
    if len(value) == 1:  # a constant: both branches lead to the one leaf
        leaf = np.array([-1])
        return np.array([0]), np.array([0.0]), np.array([0]), leaf, leaf, value
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
    feature, threshold, kind, left, right = (
        np.array(fields[name].split(), np.float64 if name == "threshold" else np.int64) for name in names
    )
    if (kind.astype(np.int64) & CATEGORICAL).any():
        raise ValueError(f"{source}: categorical features are not read here")
    nodes = len(value) - 1
    if any(len(column) != nodes for column in (feature, threshold, kind, left, right)):
        raise ValueError(f"{source}: a tree of {nodes + 1} leaves has not {nodes} nodes")
    for child in (left, right):  # a branch that led back would never end
        if ((child < -nodes - 1) | (child >= nodes) | ((child >= 0) & (child <= np.arange(nodes)))).any():
            raise ValueError(f"{source}: a tree has a branch that leads nowhere")
    return feature, threshold, kind, left, right, value


@compiled
def _evaluate(
    features: Floats,
    root: Integers,
    feature: Integers,
    threshold: Floats,
    kind: Integers,
    left: Integers,
    right: Integers,
    value: Floats,
) -> Floats:
    out = np.zeros(len(features))
    for row in range(len(features)):
        total = 0.0
        for node in root:
            while node >= 0:
                x = features[row, feature[node]]
                missing = (kind[node] >> 2) & 3  # 0: none, 1: zero, 2: NaN
                if np.isnan(x) and missing != 2:
                    x = 0.0
                if (missing == 2 and np.isnan(x)) or (missing == 1 and abs(x) <= ZERO):
                    node = left[node] if kind[node] & DEFAULT_LEFT else right[node]
                else:
                    node = left[node] if x <= threshold[node] else right[node]
            total += value[-node - 1]
        out[row] = total
    return out
