from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import verification
from benchmarks.clusters import unit
from benchmarks.verification import Episode

pairs_of_both_kinds = st.lists(st.tuples(st.integers(-5, 5).map(float), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(same for _, same in rows) < len(rows)
)


def rates(scores, same, threshold: float) -> tuple[float, float]:
    """(FAR, TAR) of one threshold, by counting."""
    accepted = [s >= threshold for s in scores]
    impostors = [a for a, g in zip(accepted, same, strict=True) if not g]
    genuine = [a for a, g in zip(accepted, same, strict=True) if g]
    return sum(impostors) / len(impostors), sum(genuine) / len(genuine)


def some_scores(seed: int, n: int = 400, apart: float = 1.5):
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.4
    return rng.normal(size=n) + apart * same, same


# ---------------------------------------------------------------- ROC


@settings(max_examples=100, deadline=None)
@given(pairs_of_both_kinds)
def test_the_roc_is_that_of_counting(rows: list[tuple[float, bool]]):
    scores, same = (list(column) for column in zip(*rows, strict=True))
    curve = verification.roc(scores, same)
    assert len(curve.thresholds) == len(set(scores)) + 1
    for threshold, far, tar in zip(*curve, strict=True):
        assert (far, tar) == pytest.approx(rates(scores, same, threshold))

    won = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, g in zip(scores, same, strict=True)
        if g
        for b, h in zip(scores, same, strict=True)
        if not h
    ]
    assert verification.auc(scores, same) == pytest.approx(np.mean(won))

    points = [rates(scores, same, t) for t in sorted({*scores, 99.0}, reverse=True)]
    crossing = [
        (b[0] - a[0]) * w + a[0]
        for a, b in pairwise(points)
        for w in np.linspace(0, 1, 2001)
        if abs(((b[0] - a[0]) * w + a[0]) - (1 - ((b[1] - a[1]) * w + a[1]))) < 1e-3
    ]
    assert min(crossing) - 1e-3 <= verification.equal_error_rate(scores, same) <= max(crossing) + 1e-3

    for far in (0.0, 0.1, 0.35, 1.0):
        expected = max(tar for f, tar in points if f <= far)
        assert verification.tar_at_far(scores, same, far) == pytest.approx(expected)

    accuracy, threshold = verification.best_accuracy(scores, same)
    by_hand = [np.mean([(s >= t) == g for s, g in rows]) for t in [*scores, 99.0]]
    assert accuracy == pytest.approx(max(by_hand))
    assert np.mean([(s >= threshold) == g for s, g in rows]) == pytest.approx(accuracy)


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_agrees(seed: int):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is missing")
    scores, same = some_scores(seed)
    scores = np.round(scores, 1)  # with ties
    assert verification.auc(scores, same) == pytest.approx(metrics.roc_auc_score(same, scores))
    far, tar, thresholds = metrics.roc_curve(same, scores, drop_intermediate=False)
    curve = verification.roc(scores, same)
    assert curve.far == pytest.approx(far)
    assert curve.tar == pytest.approx(tar)
    assert curve.thresholds == pytest.approx(thresholds)


def test_scores_that_tell_everything_and_nothing():
    same = np.array([True] * 3 + [False] * 5)
    perfect = verification.judge_pairs(np.repeat(same, 4) * 1.0, np.repeat(same, 4))
    assert perfect == {
        "auc": 1, "eer": 0, "accuracy": 1, "tar@0.1": 1, "tar@0.01": 1, "tar@0.001": 1, "pairs": 32,
    }  # fmt: skip
    constant = verification.judge_pairs(np.zeros(32), np.repeat(same, 4))
    assert constant["auc"] == constant["eer"] == 0.5
    assert constant["tar@0.1"] == 0
    assert verification.auc(-1.0 * same, same) == 0


# ---------------------------------------------------------------- thresholds


@settings(max_examples=100, deadline=None)
@given(pairs_of_both_kinds, st.sampled_from([0.05, 0.2, 0.5, 0.9]))
def test_a_threshold_keeps_its_false_accept_rate(rows: list[tuple[float, bool]], far: float):
    scores, same = (list(column) for column in zip(*rows, strict=True))
    if same.count(False) * far < 1:
        with pytest.raises(ValueError, match=r"needs at least .* impostor pairs"):
            verification.threshold_at_far(scores, same, far)
        return
    chosen = verification.threshold_at_far(scores, same, far)
    assert (chosen.far, chosen.tar) == pytest.approx(rates(scores, same, chosen.value))
    assert chosen.far <= far
    assert chosen.tar == verification.tar_at_far(scores, same, far)
    assert (chosen.genuine, chosen.impostors) == (same.count(True), same.count(False))


def test_the_threshold_stands_between_what_it_accepts_and_what_it_must_not():
    scores, same = [0.9, 0.8, 0.4, 0.3, 0.2, 0.1], [True, True, False, False, False, False]
    assert verification.threshold_at_far(scores, same, 0.3).value == pytest.approx(0.35)
    nothing = verification.threshold_at_far([0.9, 0.9, 0.1, 0.1], [True, False, False, True], 0.5)
    assert (nothing.value, nothing.far, nothing.tar) == (0.5, 0.5, 0.5)
    highest = verification.threshold_at_far([0.1, 0.9, 0.9], [True, False, False], 0.5)
    assert highest.value > 0.9
    assert highest.far == highest.tar == 0


def test_the_rate_holds_for_pairs_to_come():
    scores, same = some_scores(0, 20000)
    chosen = verification.threshold_at_far(scores, same, 0.01)
    later, kinds = some_scores(1, 20000)
    assert rates(later, kinds, chosen.value)[0] == pytest.approx(0.01, abs=0.004)


# ---------------------------------------------------------------- accuracy in folds


def test_folds_are_judged_by_the_threshold_of_the_others():
    scores, same = some_scores(2, 60)
    folds = np.arange(60) % 4
    accuracies = []
    for fold in range(4):
        rest, inside = folds != fold, folds == fold
        candidates = sorted({*scores[rest], np.inf}, reverse=True)
        best = max(candidates, key=lambda t: np.mean((scores[rest] >= t) == same[rest]))  # the first of equals
        accuracies.append(np.mean((scores[inside] >= best) == same[inside]))
    mean, error = verification.fold_accuracy(scores, same, folds)
    assert mean == pytest.approx(np.mean(accuracies))
    assert error == pytest.approx(np.std(accuracies, ddof=1) / 2)


def test_folds_are_cut_alike_and_the_same_again():
    scores, same = some_scores(3, 400)
    assert verification.fold_accuracy(scores, same, 10, 5) == verification.fold_accuracy(scores, same, 10, 5)
    assert verification.fold_accuracy(scores, same) <= verification.best_accuracy(scores, same)
    nothing = [
        verification.fold_accuracy(np.random.default_rng(s).random(200), np.arange(200) % 2 == 0)[0] for s in range(9)
    ]
    assert np.mean(nothing) < 0.53, "a threshold that saw its own pairs would find something in noise"


# ---------------------------------------------------------------- pairs


def test_all_pairs_are_each_pair_once():
    pairs = verification.all_pairs(["a", "b", "a", "c"])
    found = {(int(i), int(j)): bool(s) for i, j, s in zip(*pairs, strict=True)}
    assert found == {(0, 1): False, (0, 2): True, (0, 3): False, (1, 2): False, (1, 3): False, (2, 3): False}


def test_drawn_pairs_are_half_genuine_and_weigh_classes_alike():
    labels = np.repeat(np.arange(4), [2, 50, 10, 1])  # the last class has one image: no genuine pair of it
    pairs = verification.draw_pairs(labels, 6001, seed=1)
    assert len(pairs.same) == 6002
    assert pairs.same.sum() == 3001
    assert (pairs.first != pairs.second).all()
    assert ((labels[pairs.first] == labels[pairs.second]) == pairs.same).all()
    genuine = Counter(labels[pairs.first[pairs.same]].tolist())
    assert set(genuine) == {0, 1, 2}
    assert all(abs(count - 1000) < 150 for count in genuine.values())
    impostors = Counter(labels[pairs.first[~pairs.same]].tolist())
    assert all(abs(count - 750) < 150 for count in impostors.values())
    again = verification.draw_pairs(labels, 6001, seed=1)
    assert all((a == b).all() for a, b in zip(pairs, again, strict=True))


def test_pair_scores_are_distances_or_cosines():
    rng = np.random.default_rng(0)
    vectors, pairs = rng.normal(size=(5, 3)), verification.all_pairs(range(5))
    for i, j, distance, cosine in zip(
        pairs.first,
        pairs.second,
        verification.pair_scores(vectors, pairs),
        verification.pair_scores(vectors, pairs, cosine=True),
        strict=True,
    ):
        a, b = vectors[i], vectors[j]
        assert distance == pytest.approx(-(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5))
        assert cosine == pytest.approx(a @ b / (a @ a * (b @ b)) ** 0.5)


# ---------------------------------------------------------------- one shot


def test_one_shot_counts_right_answers():
    truth = {10: 0, 11: 1, 12: 2}
    episode = Episode(np.array([0, 1, 2]), np.array([10, 11, 12, 11]), np.array([0, 1, 2, 1]))

    def one_mistake(queries, support):
        scores = np.array([[float(truth[q] == s) for s in support] for q in queries])
        scores[2] = [3.0, 0.0, 1.0]
        return scores

    assert verification.one_shot_accuracy([episode, episode], one_mistake) == 0.75


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_network_to_which_all_is_equal_has_one_over_n(value: float):
    labels = np.repeat(np.arange(20), 3)
    for cosine in (False, True):
        compare = verification.embedding_scores(np.full((60, 5), value), cosine)
        accuracy = verification.one_shot_accuracy(verification.draw_episodes(labels, 20, 5), compare)
        assert accuracy == pytest.approx(1 / 20)


def test_embeddings_are_compared_by_distance_or_cosine():
    vectors = np.array([[1.0, 0.0], [9.0, 7.0], [2.0, 1.9], [9.0, 0.5]])
    episode = [Episode(np.array([0, 1]), np.array([2, 3]), np.array([1, 0]))]
    assert verification.one_shot_accuracy(episode, verification.embedding_scores(vectors, cosine=True)) == 1
    assert verification.one_shot_accuracy(episode, verification.embedding_scores(vectors)) == 0


def test_drawn_episodes_ask_for_another_image_of_each_class():
    labels = np.array([0] * 5 + [1] * 5 + [2] * 2 + [3] * 1 + [4] * 6)
    episodes = verification.draw_episodes(labels, 4, 50, seed=2)
    assert len(episodes) == 50
    for episode in episodes:
        assert sorted(labels[episode.support]) == [0, 1, 2, 4]  # class 3 has one image
        assert (labels[episode.queries] == labels[episode.support[episode.answers]]).all()
        assert not set(episode.queries.tolist()) & set(episode.support.tolist())
    assert len({tuple(e.support.tolist()) for e in episodes}) > 20


def omniglot(alphabets: int = 12, characters: int = 25, drawers: int = 20):
    names = [f"Alphabet{a:02d}/character{c:02d}" for a in range(alphabets) for c in range(characters)]
    names += ["Short/character01", "Short/character02"]
    labels = np.repeat(np.arange(len(names)), drawers)
    return names, labels, np.tile(np.arange(1, drawers + 1), len(names))


@pytest.mark.parametrize("seed", range(3))
def test_kochs_protocol(seed: int):
    names, labels, drawers = omniglot()
    episodes = verification.omniglot_episodes(names, labels, drawers, seed)
    assert sum(len(episode.queries) for episode in episodes) == 400
    alphabets = []
    for episode in episodes:
        asked, known = labels[episode.queries], labels[episode.support]
        assert len(set(known.tolist())) == len(episode.queries) == 20
        assert (asked == known[episode.answers]).all()
        alphabet = {names[label].split("/")[0] for label in known}
        assert len(alphabet) == 1
        (first,), (second,) = set(drawers[episode.queries]), set(drawers[episode.support])
        assert first != second
        assert {int(first), int(second)} <= {17, 18, 19, 20}
        alphabets += alphabet
    assert len(set(alphabets)) == 10
    assert set(Counter(alphabets).values()) == {2}
    assert "Short" not in alphabets


def test_kochs_protocol_depends_on_the_seed_alone():
    names, labels, drawers = omniglot()
    one, again, other = (verification.omniglot_episodes(names, labels, drawers, seed) for seed in (0, 0, 1))
    assert all((a.support == b.support).all() for a, b in zip(one, again, strict=True))
    assert not all((a.support == b.support).all() for a, b in zip(one, other, strict=True))
    everything = verification.omniglot_episodes(names, labels, drawers, alphabets=None, pool=range(1, 21))
    assert len(everything) == 24
    assert len({int(drawers[e.support[0]]) for e in everything}) > 8


DATA = Path(__file__).resolve().parents[3] / "shared/data/omniglot/images_evaluation.npz"


@pytest.mark.skipif(not DATA.is_file(), reason="needs ../shared/data/omniglot")
def test_kochs_protocol_on_omniglot_itself():
    data = np.load(DATA, allow_pickle=False)
    names, labels, drawers = data["characters"].tolist(), data["label"], data["drawer"]
    episodes = verification.omniglot_episodes(names, labels, drawers)
    assert sum(len(episode.queries) for episode in episodes) == 400
    packed, size = data["images_packed"], int(data["shape"][1])

    def pixels_in_common(queries, support):
        asked, known = (
            np.unpackbits(packed[i], axis=1)[:, : size * size].astype(np.float32) for i in (queries, support)
        )
        return unit(asked) @ unit(known).T

    accuracy = verification.one_shot_accuracy(episodes, pixels_in_common)
    assert 0.10 < accuracy < 0.35, "chance has 5 %, nearest neighbours of pixels 21.7 % in Koch's table 2"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (verification.roc, ([0.1, 0.2], [True]), "shapes"),
        (verification.auc, ([0.1, np.nan], [True, False]), "1 of 2 scores are NaN"),
        (verification.auc, ([0.1, 0.2], [True, True]), "got 2 and 0"),
        (verification.equal_error_rate, ([0.1, 0.2], [False, False]), "got 0 and 2"),
        (verification.tar_at_far, ([0.1, 0.2], [True, False], 1.5), "in \\[0, 1\\]"),
        (verification.threshold_at_far, ([0.1, 0.2], [True, False], 0.0), "above 0 and below 1"),
        (verification.threshold_at_far, ([0.1, 0.2], [True, False], 0.001), "at least 1000 impostor pairs"),
        (verification.fold_accuracy, ([0.1, 0.2], [True, False]), "into 10 folds"),
        (verification.fold_accuracy, ([0.1, 0.2], [True, False], [0, 0]), "folds must be two or more"),
        (verification.all_pairs, ([1],), "two or more"),
        (verification.draw_pairs, ([1, 1, 1], 4), "two classes"),
        (verification.draw_pairs, ([1, 2, 3], 4), "two images"),
        (verification.draw_pairs, ([1, 1, 3], 0), "must be positive"),
        (verification.draw_episodes, ([1, 1, 3], 2, 1), "there are 1"),
        (verification.draw_episodes, ([1, 1, 3], 1, 1), "ways must be 2 or more"),
        (verification.one_shot_accuracy, ([], lambda q, s: np.zeros((1, 1))), "no episode"),
        (verification.omniglot_episodes, (["A/1", "A/2"], [0, 1], [1, 1]), "10 alphabets"),
    ],
)
def test_bad_input_is_refused(function: Callable[..., Any], arguments: tuple[Any, ...], words: str):
    with pytest.raises(ValueError, match=words):
        function(*arguments)


def test_comparisons_that_are_none_are_refused():
    episode = [Episode(np.array([0, 1]), np.array([2]), np.array([1]))]
    with pytest.raises(ValueError, match=r"\(1, 2\) scores, got \(2, 1\)"):
        verification.one_shot_accuracy(episode, lambda q, s: np.zeros((2, 1)))
    with pytest.raises(ValueError, match="NaN"):
        verification.one_shot_accuracy(episode, lambda q, s: np.full((1, 2), np.nan))


def test_a_missing_drawing_is_named():
    names, labels, drawers = omniglot(10, 20)
    keep = ~((labels == 3) & (drawers > 16))
    with pytest.raises(ValueError, match=r"no image of Alphabet00/character03 by drawer"):
        verification.omniglot_episodes(names, labels[keep], drawers[keep])
