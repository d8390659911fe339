from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import clusters

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is missing")


def blobs(seed: int = 0, n: int = 60, classes: int = 4, d: int = 3, spread: float = 1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    return rng.normal(0, 3, (classes, d))[labels] + rng.normal(0, spread, (n, d)), labels


def plain_distance(a, b) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


# ---------------------------------------------------------------- the true classes


@pytest.mark.parametrize("seed", range(3))
def test_indices_follow_their_definitions(seed: int):
    """Plain loops, from the papers: the functions call scikit-learn, which is not asked here."""
    vectors, labels = blobs(seed)
    n, names = len(vectors), sorted(set(labels.tolist()))
    silhouettes = []
    for i in range(n):
        mean = {
            name: [plain_distance(vectors[i], vectors[j]) for j in range(n) if labels[j] == name and j != i]
            for name in names
        }
        own = sum(mean[labels[i]]) / len(mean[labels[i]])
        other = min(sum(mean[name]) / len(mean[name]) for name in names if name != labels[i])
        silhouettes.append((other - own) / max(own, other))
    assert clusters.silhouette(vectors, labels) == pytest.approx(sum(silhouettes) / n)

    centres = {name: vectors[labels == name].mean(0) for name in names}
    scatter = {name: np.mean([plain_distance(v, centres[name]) for v in vectors[labels == name]]) for name in names}
    worst = [
        max((scatter[a] + scatter[b]) / plain_distance(centres[a], centres[b]) for b in names if a != b) for a in names
    ]
    assert clusters.davies_bouldin(vectors, labels) == pytest.approx(np.mean(worst))

    between = sum((labels == name).sum() * plain_distance(centres[name], vectors.mean(0)) ** 2 for name in names)
    within = sum(plain_distance(v, centres[name]) ** 2 for v, name in zip(vectors, labels, strict=True))
    expected = (between / (len(names) - 1)) / (within / (n - len(names)))
    assert clusters.calinski_harabasz(vectors, labels) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [7, 10**6])
def test_distance_ratio_is_that_of_all_pairs(seed: int, block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clusters, "BLOCK", block)
    vectors, labels = blobs(seed)
    within, between = [], []
    for i in range(len(vectors)):
        for j in range(i):
            (within if labels[i] == labels[j] else between).append(plain_distance(vectors[i], vectors[j]))
    assert clusters.distance_ratio(vectors, labels) == pytest.approx(np.mean(within) / np.mean(between))


def test_distances_keep_their_digits_far_from_the_origin():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(size=(6, 3))
    expected = [[plain_distance(x, y) for y in b] for x in a]
    assert clusters.distances(a + 1e6, b + 1e6) == pytest.approx(np.array(expected), rel=1e-6)


# ---------------------------------------------------------------- clusters found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_partitions_are_compared_as_by_plain_counting(pairs: list[tuple[int, int]]):
    labels, found = (np.array(column) for column in zip(*pairs, strict=True))
    n = len(pairs)
    majority = sum(max(Counter(labels[found == name].tolist()).values()) for name in set(found.tolist()))
    assert clusters.purity(labels, found) == pytest.approx(majority / n)

    # adjusted Rand index, by pairs
    both = agree_a = agree_b = total = 0
    for i in range(n):
        for j in range(i):
            a, b = labels[i] == labels[j], found[i] == found[j]
            both, agree_a, agree_b, total = both + (a and b), agree_a + a, agree_b + b, total + 1
    expected = agree_a * agree_b / total
    largest = (agree_a + agree_b) / 2
    rand = 1.0 if largest == expected else (both - expected) / (largest - expected)
    assert clusters.adjusted_rand(labels, found) == pytest.approx(rand)

    # mutual information over the mean of the entropies
    joint, one, two = Counter(pairs), Counter(labels.tolist()), Counter(found.tolist())
    mutual = sum(c / n * math.log(c * n / (one[a] * two[b])) for (a, b), c in joint.items())
    entropy = sum(-c / n * math.log(c / n) for counts in (one, two) for c in counts.values()) / 2
    assert clusters.nmi(labels, found) == pytest.approx(mutual / entropy if entropy else 1.0, abs=1e-9)


def test_clusters_that_are_there_are_found():
    vectors, labels = blobs(1, spread=0.02)
    found = clusters.cluster(vectors, 4)
    assert clusters.nmi(labels, found) == pytest.approx(1)
    assert clusters.purity(labels, found) == clusters.adjusted_rand(labels, found) == 1


def test_there_may_be_as_many_clusters_as_vectors_and_no_more():
    vectors, _ = blobs(n=6)
    assert sorted(clusters.cluster(vectors, 6)) == list(range(6))
    for wrong in (0, 7):
        with pytest.raises(ValueError, match=r"clusters must be 1 … 6"):
            clusters.cluster(vectors, wrong)


# ---------------------------------------------------------------- neighbours


@pytest.mark.parametrize("seed", range(4))
def test_retrieval_is_that_of_sorted_lists(seed: int):
    vectors, labels = blobs(seed, n=40, classes=6, spread=2.5)
    labels[0] = 77  # alone in its class: does not ask, but is in everyone's way
    hits, precisions = {1: [], 3: [], 10: []}, []
    for i in range(len(vectors)):
        others = [j for j in range(len(vectors)) if j != i]
        others.sort(key=lambda j: plain_distance(vectors[i], vectors[j]))
        relevant = [labels[j] == labels[i] for j in others]
        if not any(relevant):
            continue
        for k, found in hits.items():
            found.append(any(relevant[:k]))
        precisions.append(np.mean([sum(relevant[: p + 1]) / (p + 1) for p, yes in enumerate(relevant) if yes]))
    result = clusters.retrieval(vectors, labels, tuple(hits))
    for k, found in hits.items():
        assert result[f"recall@{k}"] == pytest.approx(np.mean(found))
    assert result["map"] == pytest.approx(np.mean(precisions))


def test_mean_average_precision_agrees_with_scikit_learn():
    vectors, labels = blobs(5, n=30, classes=3, spread=3)
    expected = []
    for i in range(30):
        others = np.arange(30) != i
        scores = -np.linalg.norm(vectors[others] - vectors[i], axis=1)
        expected.append(sklearn_metrics.average_precision_score(labels[others] == labels[i], scores))
    assert clusters.retrieval(vectors, labels)["map"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("value", [0.0, 1 / 3, -1e4])
def test_a_collapsed_embedding_finds_nothing_even_in_sorted_order(value: float):
    labels = np.repeat(np.arange(5), 4)
    result = clusters.retrieval(np.full((20, 7), value), labels, (1, 16, 17))
    assert result["recall@1"] == result["recall@16"] == 0
    assert result["recall@17"] == 1  # sixteen strangers stand before the first of one's own
    assert result["map"] == pytest.approx(np.mean([(j + 1) / (j + 17) for j in range(3)]))


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("block", [13, 10**6])
def test_nearest_neighbours_vote_as_scikit_learn_has_it(k: int, block: int, monkeypatch: pytest.MonkeyPatch):
    neighbors = pytest.importorskip("sklearn.neighbors")
    monkeypatch.setattr(clusters, "BLOCK", block)
    vectors, labels = blobs(3, n=200, classes=2, spread=4)  # two classes and odd k: no tie but for k = 8
    reference, known, queries, truth = vectors[:120], labels[:120], vectors[120:], labels[120:]
    model = neighbors.KNeighborsClassifier(k).fit(reference, known)
    found = clusters.nearest_accuracy(reference, known, queries, truth, k)
    if k == 8:  # ties go to the nearest here, to the smaller number there
        votes = [known[np.linalg.norm(reference - q, axis=1).argsort()[:8]].tolist() for q in queries]
        right = [
            max(set(v), key=lambda name, v=v: (v.count(name), -v.index(name))) == t
            for v, t in zip(votes, truth, strict=True)
        ]
        assert found == pytest.approx(np.mean(right))
    else:
        assert found == pytest.approx(model.score(queries, truth))


def test_labels_may_be_names():
    reference = np.array([[0.0], [10.0]])
    assert clusters.nearest_accuracy(reference, ["anna", "bert"], [[1.0], [9.0], [2.0]], ["anna", "bert", "cora"]) == (
        pytest.approx(2 / 3)
    )


# ---------------------------------------------------------------- all of it


def test_judging_has_every_measure_and_samples_what_is_too_much():
    vectors, labels = blobs(2, n=300)
    whole = clusters.judge(vectors, labels)
    assert whole["vectors"] == 300
    assert whole["silhouette"] == clusters.silhouette(vectors, labels)
    assert whole["distance_ratio"] == clusters.distance_ratio(vectors, labels)
    assert whole["map"] == clusters.retrieval(vectors, labels)["map"]
    part = clusters.judge(vectors, labels, limit=100, seed=3)
    assert part["vectors"] == 100
    assert part == clusters.judge(vectors, labels, limit=100, seed=3)
    assert part["recall@1"] == pytest.approx(whole["recall@1"], abs=0.15)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (clusters.silhouette, (np.zeros(4), [0, 1, 0, 1]), r"must be \(n, d\)"),
        (clusters.silhouette, (np.zeros((4, 2)), [0, 1, 0]), r"shapes \(4, 2\) and \(3,\)"),
        (clusters.silhouette, (np.zeros((4, 0)), [0, 1, 0, 1]), "at least 1"),
        (clusters.silhouette, (np.zeros((1, 2)), [0]), "two images at least"),
        (clusters.davies_bouldin, (np.zeros((4, 2)), [0, 0, 0, 0]), "needs 2 … 3 classes"),
        (clusters.calinski_harabasz, (np.zeros((4, 2)), [0, 1, 2, 3]), "needs 2 … 3 classes"),
        (clusters.distance_ratio, (np.zeros((4, 2)), [0, 1, 2, 3]), "only one kind"),
        (clusters.distance_ratio, (np.zeros((4, 2)), [0, 0, 0, 0]), "only one kind"),
        (clusters.retrieval, (np.zeros((4, 2)), [0, 1, 2, 3]), "alone in its class"),
        (clusters.retrieval, (np.zeros((4, 2)), [0, 1, 0, 1], (0,)), "k of 1 or more"),
        (clusters.purity, ([0, 1], [0]), "got shapes"),
        (clusters.nearest_accuracy, (np.zeros((4, 2)), [0, 1, 2, 3], np.zeros((2, 3)), [0, 1]), "2 dimensions"),
        (clusters.nearest_accuracy, (np.zeros((4, 2)), [0, 1, 2, 3], np.zeros((2, 2)), [0, 1], 5), "k must be 1 … 4"),
    ],
)
def test_what_cannot_be_judged_is_refused(function: Callable[..., Any], arguments: tuple[Any, ...], words: str):
    with pytest.raises(ValueError, match=words):
        function(*arguments)


def test_values_that_are_not_finite_are_named():
    vectors, labels = blobs()
    vectors[17, 1] = np.nan
    for function in (clusters.silhouette, clusters.distance_ratio, clusters.retrieval, clusters.judge):
        with pytest.raises(ValueError, match=r"embedding 17 .* not finite"):
            function(vectors, labels)


def test_a_collapsed_embedding_is_as_bad_as_chance():
    assert clusters.distance_ratio(np.full((6, 2), 0.1), [0, 0, 0, 1, 1, 1]) == 1


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "sklearn"] + ["sklearn"]:
        monkeypatch.setitem(sys.modules, module, None)  # so that importing it fails
    vectors, labels = blobs()
    for call in (lambda: clusters.silhouette(vectors, labels), lambda: clusters.cluster(vectors, 2)):
        with pytest.raises(ImportError, match=r"pip install 'siamtrack\[train\]'"):
            call()
    assert clusters.retrieval(vectors, labels)["map"] > 0.5
