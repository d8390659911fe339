"""How well a score tells pairs of one class from pairs of two, and one example names a class: pure functions on arrays.

A pair has a score, larger for more alike, and is genuine (one class) or an impostor (two). A threshold accepts the
pairs whose score is **at least** it (``>=``); false accept rate (FAR) and true accept rate (TAR) are the accepted share
of the impostors and of the genuine pairs.

- ROC AUC: the chance that a genuine pair scores above an impostor, equal scores counting one half.
- EER: the rate at which FAR and 1 − TAR are equal, on the straight lines between the points of the ROC.
- TAR@FAR: the largest TAR of a threshold whose FAR is at most the one asked for.
- Accuracy of verification: with the threshold that is best on the same pairs (`best_accuracy`), or as LFW has it
  (Huang et al. 2007): ten folds, each judged with the threshold that is best on the other nine (`fold_accuracy`).

One-shot classification: an `Episode` has one support image of each of N classes, and queries to be named. A tie among
the best counts as one over the number tied, so that a network to which all is equal has 1/N and not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.clusters import distances, unit

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]

KOCH_ALPHABETS = 10
KOCH_DRAWERS = (17, 18, 19, 20)
KOCH_WAYS = 20
KOCH_REPEATS = 2


# ---------------------------------------------------------------- pairs


class Pairs(NamedTuple):
    """`first` and `second` index images, (m,) each; `same` says which pairs are genuine, (m,)."""

    first: Integers
    second: Integers
    same: Booleans


def all_pairs(labels: ArrayLike) -> Pairs:
    """Every pair of two images once, n (n − 1) / 2 of them.

    Raises:
        ValueError: labels are not (n,) with two or more.
    """
    classes = _classes(labels)
    first, second = np.triu_indices(len(classes), 1)
    return Pairs(first, second, classes[first] == classes[second])


def draw_pairs(labels: ArrayLike, count: int, seed: int = 0) -> Pairs:
    """As many genuine pairs as impostors, drawn with replacement, for sets whose pairs are too many.

    A genuine pair is of a random class and two different images of it; an impostor of two random classes and an image
    of each: all classes weigh the same, whatever their size.

    Args:
        labels: (n,) classes.
        count: pairs in all, rounded up to an even number.
        seed: of the draw.

    Raises:
        ValueError: `count` is not positive, fewer than two classes, or none with two images.
    """
    classes = _classes(labels)
    if count < 1:
        raise ValueError(f"count of pairs must be positive, got {count}")
    members = [np.flatnonzero(classes == name) for name in range(int(classes.max()) + 1)]
    pairable = [images for images in members if len(images) > 1]
    if len(members) < 2 or not pairable:
        raise ValueError("pairs need two classes, and one of them with two images")
    rng, half = np.random.default_rng(seed), (count + 1) // 2
    genuine = [
        rng.choice(pairable[index], 2, replace=False).tolist() for index in rng.integers(len(pairable), size=half)
    ]
    impostors = []
    for _ in range(half):
        one, two = rng.choice(len(members), 2, replace=False)
        impostors.append([int(rng.choice(members[one])), int(rng.choice(members[two]))])
    chosen = np.array(genuine + impostors, dtype=np.intp)
    return Pairs(chosen[:, 0], chosen[:, 1], np.arange(2 * half) < half)


def pair_scores(embeddings: ArrayLike, pairs: Pairs, cosine: bool = False) -> Floats:
    """(m,) scores of pairs of embeddings: the negative Euclidean distance, or the cosine (0 with a vector of zeros)."""
    vectors = np.asarray(embeddings, dtype=np.float64)
    if cosine:
        vectors = unit(vectors)
        return (vectors[pairs.first] * vectors[pairs.second]).sum(1)
    return -np.linalg.norm(vectors[pairs.first] - vectors[pairs.second], axis=1)


# ---------------------------------------------------------------- ROC


class Roc(NamedTuple):
    """Points of the ROC from the strictest threshold to the mildest: ``far`` and ``tar`` rise from 0 to 1.

    `thresholds` falls from infinity, which accepts nothing, over each distinct score to the smallest, which accepts
    all. All are (k,).
    """

    thresholds: Floats
    far: Floats
    tar: Floats


def roc(scores: ArrayLike, same: ArrayLike) -> Roc:
    """The ROC of pairs.

    Args:
        scores: (m,) larger for more alike.
        same: (m,) True for genuine pairs.

    Raises:
        ValueError: other shapes, NaN among the scores, or pairs of one kind only.
    """
    values, genuine = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if values.ndim != 1 or values.shape != genuine.shape:
        raise ValueError(f"scores and same must both be (m,), got shapes {values.shape} and {genuine.shape}")
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN")
    positives = int(genuine.sum())
    if not 0 < positives < len(values):
        raise ValueError(f"needs genuine pairs and impostors, got {positives} and {len(values) - positives}")
    order = np.argsort(-values, kind="stable")
    values, genuine = values[order], genuine[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of each distinct score
    accepted = np.cumsum(genuine)[last]
    tar = np.append(0.0, accepted / positives)
    far = np.append(0.0, (last + 1 - accepted) / (len(values) - positives))
    return Roc(np.append(np.inf, values[last]), far, tar)


def auc(scores: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC in [0, 1]. Raises as `roc`."""
    curve = roc(scores, same)
    return float((np.diff(curve.far) * (curve.tar[1:] + curve.tar[:-1])).sum() / 2)


def equal_error_rate(scores: ArrayLike, same: ArrayLike) -> float:
    """EER in [0, 1]. Raises as `roc`."""
    curve = roc(scores, same)
    gap = curve.far + curve.tar - 1  # FAR − FRR: never falls, from −1 to 1
    after = int(np.argmax(gap >= 0))
    weight = gap[after] / (gap[after] - gap[after - 1])
    return float(curve.far[after] + weight * (curve.far[after - 1] - curve.far[after]))


def tar_at_far(scores: ArrayLike, same: ArrayLike, far: float) -> float:
    """The largest TAR whose FAR is at most `far`. Raises as `roc`, and for `far` outside [0, 1]."""
    return float(roc_point(roc(scores, same), far).tar[0])


def roc_point(curve: Roc, far: float) -> Roc:
    """The ROC's point (k = 1) of the mildest threshold whose FAR is at most `far`.

    Raises:
        ValueError: `far` is outside [0, 1].
    """
    _rate(far)
    index = int(np.searchsorted(curve.far, far, side="right")) - 1
    return Roc(*(values[index : index + 1] for values in curve))


@dataclass(frozen=True)
class Threshold:
    """A threshold and the pairs that it was chosen on.

    Attributes:
        value: accepts scores that are at least this.
        far: of the pairs; at most the rate asked for.
        tar: of the pairs.
        genuine: how many pairs were genuine.
        impostors: how many were not.
    """

    value: float
    far: float
    tar: float
    genuine: int
    impostors: int


def threshold_at_far(scores: ArrayLike, same: ArrayLike, far: float) -> Threshold:
    """The threshold that accepts as many genuine pairs as it can with a false accept rate of at most `far`.

    It stands in the middle between the last score it accepts and the next that it must not, as those to come fall
    between the ones seen.

    Raises:
        ValueError: as `roc`; `far` is not above 0 and below 1; or fewer than 1 / `far` impostors, which cannot show it.
    """
    values, genuine = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    curve = roc(values, genuine)
    if not 0 < far < 1:
        raise ValueError(f"the false accept rate must be above 0 and below 1, got {far:g}")
    impostors = int((~genuine).sum())
    if impostors * far < 1 - 1e-9:
        raise ValueError(
            f"a false accept rate of {far:g} needs at least {int(np.ceil(1 / far - 1e-9))} impostor pairs to be seen, "
            f"there are {impostors}: give more images of different classes, or ask for {1 / impostors:.2g} or more"
        )
    index = int(np.searchsorted(curve.far, far, side="right")) - 1
    refused = float(curve.thresholds[index + 1])  # there is one: the mildest accepts every impostor, a FAR of 1
    accepted = float(curve.thresholds[index])
    value = (accepted + refused) / 2 if np.isfinite(accepted) else float(np.nextafter(refused, np.inf))
    if not value > refused:  # neighbours in floating point
        value = accepted
    return Threshold(value, float(curve.far[index]), float(curve.tar[index]), int(genuine.sum()), impostors)


def best_accuracy(scores: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """Largest share of pairs that one threshold decides rightly, and that threshold (the strictest of the best).

    The threshold saw these pairs: `fold_accuracy` has the honest number. Raises as `roc`.
    """
    curve, genuine = roc(scores, same), np.asarray(same, dtype=bool)
    share = genuine.mean()
    accuracy = curve.tar * share + (1 - curve.far) * (1 - share)
    best = int(accuracy.argmax())
    return float(accuracy[best]), float(curve.thresholds[best])


def fold_accuracy(
    scores: ArrayLike, same: ArrayLike, folds: ArrayLike | int = 10, seed: int = 0
) -> tuple[float, float]:
    """Accuracy of verification as LFW's protocol has it: each fold with the threshold that is best on all others.

    Args:
        scores: (m,).
        same: (m,) True for genuine pairs.
        folds: (m,) number of each pair's fold; or how many to cut the pairs into by chance, each kind alike.
        seed: of the cut.

    Returns:
        Mean over the folds, and the standard error of that mean (standard deviation over √folds).

    Raises:
        ValueError: as `roc`, fewer than two folds, or a fold without which one kind of pairs is missing.
    """
    values, genuine = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    roc(values, genuine)  # checks both
    parts = np.asarray(folds)
    if parts.ndim == 0:
        parts = _cut(genuine, int(parts), seed)
    names = np.unique(parts)
    if parts.shape != values.shape or len(names) < 2:
        raise ValueError(f"folds must be two or more, or one number a pair, got shape {parts.shape} of {len(names)}")
    accuracies = []
    for name in names:
        inside = parts == name
        threshold = best_accuracy(values[~inside], genuine[~inside])[1]
        accuracies.append(float(((values[inside] >= threshold) == genuine[inside]).mean()))
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(len(names)))


def judge_pairs(scores: ArrayLike, same: ArrayLike, fars: Sequence[float] = (0.1, 0.01, 0.001)) -> dict[str, float]:
    """All measures of one set of pairs: "auc", "eer", "accuracy" (ten folds), "tar@FAR" of each FAR, and "pairs".

    A FAR below one over the impostors is read as none accepted. Raises as `roc`.
    """
    values = np.asarray(scores, dtype=np.float64)
    return {
        "auc": auc(values, same),
        "eer": equal_error_rate(values, same),
        "accuracy": fold_accuracy(values, same)[0],
        **{f"tar@{far:g}": tar_at_far(values, same, far) for far in fars},
        "pairs": len(values),
    }


# ---------------------------------------------------------------- one shot


@dataclass(frozen=True)
class Episode:
    """One task of N-way one-shot classification, by indices of images.

    Attributes:
        support: (N,) the one known image of each class.
        queries: (q,) images to be named.
        answers: (q,) which of the support has the query's class.
    """

    support: Integers
    queries: Integers
    answers: Integers


# (q,) queries and (N,) support → (q, N) scores, larger for more alike
Compare = Callable[[Integers, Integers], NDArray[np.floating]]


def one_shot_accuracy(episodes: Iterable[Episode], compare: Compare) -> float:
    """Share of all episodes' queries whose class is that of the support image with the largest score.

    Args:
        episodes: the tasks.
        compare: scores of queries with support images, from their indices: `embedding_scores` makes one of embeddings;
            a network with a learned comparison has its own.

    Raises:
        ValueError: no query in any episode, scores of another shape, or NaN among them.
    """
    right, count = 0.0, 0
    for episode in episodes:
        scores = np.asarray(compare(episode.queries, episode.support), dtype=np.float64)
        if scores.shape != (len(episode.queries), len(episode.support)):
            expected = (len(episode.queries), len(episode.support))
            raise ValueError(f"compare must give (queries, support) = {expected} scores, got {scores.shape}")
        if np.isnan(scores).any():
            raise ValueError("compare gave NaN among its scores")
        best = scores == scores.max(1, keepdims=True)
        right += float((best[np.arange(len(scores)), episode.answers] / best.sum(1)).sum())
        count += len(scores)
    if not count:
        raise ValueError("no episode has a query")
    return right / count


def embedding_scores(embeddings: ArrayLike, cosine: bool = False) -> Compare:
    """A `Compare` of embeddings (n, d): the negative Euclidean distance, or the cosine.

    Distances that are equal to seven digits count as equal (see `benchmarks.clusters`).
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    vectors = unit(vectors) if cosine else vectors
    scale = 1e-7 * float(np.abs(vectors).max()) or 1.0

    def compare(queries: Integers, support: Integers) -> Floats:
        return -np.round(distances(vectors[queries], vectors[support]) / scale)

    return compare


def draw_episodes(labels: ArrayLike, ways: int, count: int, seed: int = 0) -> list[Episode]:
    """Episodes of `ways` random classes, each with one support image and one query, another image of the class.

    Args:
        labels: (n,) classes.
        ways: classes of an episode.
        count: episodes; there are `ways` × `count` queries.
        seed: of the draw.

    Raises:
        ValueError: `ways` below 2 or `count` below 1, or fewer than `ways` classes with two images.
    """
    classes = _classes(labels)
    members = [np.flatnonzero(classes == name) for name in range(int(classes.max()) + 1)]
    members = [images for images in members if len(images) > 1]
    if ways < 2 or count < 1:
        raise ValueError(f"ways must be 2 or more and count 1 or more, got {ways} and {count}")
    if len(members) < ways:
        raise ValueError(f"{ways}-way episodes need {ways} classes with two images or more, there are {len(members)}")
    rng, episodes = np.random.default_rng(seed), []
    for _ in range(count):
        chosen = rng.choice(len(members), ways, replace=False)
        pairs = np.array([rng.choice(members[index], 2, replace=False) for index in chosen])
        episodes.append(Episode(pairs[:, 0], pairs[:, 1], np.arange(ways)))
    return episodes


def omniglot_episodes(
    characters: Sequence[str],
    labels: ArrayLike,
    drawers: ArrayLike,
    seed: int = 0,
    alphabets: int | None = KOCH_ALPHABETS,
    pool: Sequence[int] = KOCH_DRAWERS,
) -> list[Episode]:
    """Koch's protocol (Koch, Zemel, Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", ICML
    workshop 2015, section 4.3): 20-way within one alphabet, 400 trials.

    For each of ten evaluation alphabets, twice: twenty characters taken uniformly, and two of the evaluation drawers;
    each of the first drawer's twenty is to be found among the second drawer's twenty. 10 × 2 × 20 = 400 trials.

    The paper took alphabets and drawers from Lake's experiment, which the images alone do not name. Here the ten are
    drawn by the seed from the twenty alphabets of `images_evaluation` (all of which have twenty characters), and the
    four drawers that the paper keeps for the evaluation are the last four. In Omniglot the same number is another
    person in another alphabet, so nobody in the evaluation has drawn for the training whichever they are.

    Args:
        characters: names ``ALPHABET/CHARACTER`` of the classes.
        labels: (n,) each image's index into `characters`.
        drawers: (n,) who drew it.
        seed: of alphabets, characters and drawers.
        alphabets: how many to draw; None takes all.
        pool: the drawers to choose two of.

    Returns:
        An episode for each alphabet and repetition, alphabets in the order of their names.

    Raises:
        ValueError: fewer alphabets of twenty characters than asked for, fewer than two drawers, or an image is missing.
    """
    classes, hands = np.asarray(labels), np.asarray(drawers)
    by_alphabet: dict[str, list[int]] = {}
    for index, name in enumerate(characters):
        by_alphabet.setdefault(str(name).partition("/")[0], []).append(index)
    names = sorted(name for name, members in by_alphabet.items() if len(members) >= KOCH_WAYS)
    wanted = len(names) if alphabets is None else alphabets
    if not 0 < wanted <= len(names):
        raise ValueError(f"{wanted} alphabets of {KOCH_WAYS} characters asked for, there are {len(names)}")
    if len(set(pool)) < 2:
        raise ValueError(f"needs two drawers to choose from, got {list(pool)}")
    image = {(int(name), int(hand)): index for index, (name, hand) in enumerate(zip(classes, hands, strict=True))}
    rng, episodes = np.random.default_rng(seed), []
    for alphabet in sorted(rng.choice(names, wanted, replace=False).tolist()):
        for _ in range(KOCH_REPEATS):
            chosen = rng.choice(by_alphabet[alphabet], KOCH_WAYS, replace=False).tolist()
            first, second = rng.choice(sorted(set(pool)), 2, replace=False).tolist()
            try:
                queries, support = ([image[name, hand] for name in chosen] for hand in (first, second))
                episodes.append(Episode(np.array(support), np.array(queries), np.arange(KOCH_WAYS)))
            except KeyError as error:
                name, hand = error.args[0]
                raise ValueError(f"no image of {characters[name]} by drawer {hand}") from None
    return episodes


# ---------------------------------------------------------------- helpers


def _classes(labels: ArrayLike) -> Integers:
    names = np.asarray(labels)
    if names.ndim != 1 or len(names) < 2:
        raise ValueError(f"labels must be (n,) with two or more, got shape {names.shape}")
    return np.unique(names, return_inverse=True)[1].reshape(-1)


def _cut(genuine: Booleans, folds: int, seed: int) -> Integers:
    """(m,) fold of each pair, every fold with its share of both kinds."""
    rng, parts = np.random.default_rng(seed), np.zeros(len(genuine), np.intp)
    if folds < 2 or folds > min(genuine.sum(), (~genuine).sum()):
        raise ValueError(
            f"cannot cut {genuine.sum()} genuine pairs and {(~genuine).sum()} impostors into {folds} folds"
        )
    for kind in (genuine, ~genuine):
        chosen = rng.permutation(np.flatnonzero(kind))
        parts[chosen] = np.arange(len(chosen)) % folds
    return parts


def _rate(far: float) -> None:
    if not 0 <= far <= 1:
        raise ValueError(f"a false accept rate is in [0, 1], got {far:g}")
