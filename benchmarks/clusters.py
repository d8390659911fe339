"""How well an embedding keeps classes apart: pure functions on vectors and their labels.

Three questions, each with the field's usual answers:

- Are the *true* classes compact and apart? Silhouette (Rousseeuw 1987), Davies–Bouldin (1979; lower is better),
  Calinski–Harabasz (1974), and `distance_ratio`, the mean distance within over that between classes (lower is better).
- Does clustering find them again? k-means with as many clusters as there are classes, judged by normalised mutual
  information, adjusted Rand index (Hubert, Arabie 1985) and purity, as in Song et al., "Deep Metric Learning via Lifted
  Structured Feature Embedding", CVPR 2016, section 6.
- Are the nearest ones of the same class? Recall@k (Jégou, Douze, Schmid, TPAMI 2011; k-nearest neighbours hold at least
  one of the same class), mean average precision over all others, and `nearest_accuracy`, the vote of the k nearest
  among *reference* vectors.

Distances are Euclidean: embeddings that are compared by their cosine are scaled to length one first, where both order
neighbours alike. Equal distances count against the embedding, so that one which maps everything to a point scores as
badly as it is, whatever the order of its rows.

scikit-learn (`pip install 'siamtrack[train]'`) is needed for the first two questions, not for the third.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

BLOCK = 2**24  # distances held at a time: 128 MiB
EQUAL = 1e-7  # distances that differ by less, in units of the largest coordinate, are equal: more, float32 cannot tell


def check_embeddings(embeddings: ArrayLike, labels: ArrayLike) -> tuple[Floats, Integers]:
    """Vectors and class numbers that can be judged.

    Args:
        embeddings: (n, d) numbers.
        labels: (n,) one class each: numbers or names.

    Returns:
        (n, d) float64 and (n,) numbers of the classes 0 … K−1 in sorted order.

    Raises:
        ValueError: other shapes, NaN or infinite values, or fewer than two vectors.
    """
    vectors, names = np.asarray(embeddings, dtype=np.float64), np.asarray(labels)
    if vectors.ndim != 2 or names.shape != vectors.shape[:1] or 0 in vectors.shape:
        raise ValueError(
            f"embeddings must be (n, d) with n labels, got shapes {vectors.shape} and {names.shape}; n and d at least 1"
        )
    if len(vectors) < 2:
        raise ValueError("embeddings must be of two images at least, got one")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])
        raise ValueError(f"embedding {row} (0-based) is not finite: NaN or infinity among its values")
    return vectors, np.unique(names, return_inverse=True)[1].reshape(-1)


def unit(vectors: ArrayLike) -> Floats:
    """(…, d) vectors scaled to length one; zero stays zero."""
    values = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


def distances(a: ArrayLike, b: ArrayLike) -> Floats:
    """(n, m) Euclidean distances between the rows of (n, d) and of (m, d).

    From |a|² + |b|² − 2⟨a, b⟩ around the mean of b, where less cancels.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    centre = right.mean(0)
    left, right = left - centre, right - centre
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


# ---------------------------------------------------------------- the true classes


def silhouette(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Mean silhouette in [−1, 1] of the true classes (scikit-learn's); memory grows with n, time with n².

    Raises:
        ValueError: as in `check_embeddings`, or not between 2 and n − 1 classes.
        ImportError: no scikit-learn.
    """
    vectors, classes = _separable(embeddings, labels)
    return float(_sklearn("metrics").silhouette_score(vectors, classes))


def davies_bouldin(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Davies–Bouldin index, 0 or more, lower is better (scikit-learn's). Raises as `silhouette`."""
    vectors, classes = _separable(embeddings, labels)
    return float(_sklearn("metrics").davies_bouldin_score(vectors, classes))


def calinski_harabasz(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Calinski–Harabasz index, 0 or more, higher is better (scikit-learn's). Raises as `silhouette`."""
    vectors, classes = _separable(embeddings, labels)
    return float(_sklearn("metrics").calinski_harabasz_score(vectors, classes))


def distance_ratio(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Mean distance of pairs of one class over mean distance of pairs of two; 0 is ideal, 1 is chance.

    An embedding that maps everything to one point has 1.

    Raises:
        ValueError: as in `check_embeddings`, or no pair of one class, or none of two.
    """
    vectors, classes = check_embeddings(embeddings, labels)
    within = between = 0.0
    for rows, block in _blocks(vectors, vectors):
        same = classes[rows, None] == classes[None]
        within += float(
            block[same].sum() - np.trace(block[:, rows])
        )  # a row's distance to itself is zero but for noise
        between += float(block[~same].sum())
    counts = np.bincount(classes).astype(np.int64)
    pairs_within, pairs_between = int((counts * (counts - 1)).sum()), len(classes) ** 2 - int((counts**2).sum())
    if not pairs_within or not pairs_between:
        raise ValueError(
            "the distance ratio needs pairs of one class and pairs of two; these labels have only one kind"
        )
    if between == 0:
        return 1.0
    return float((within / pairs_within) / (between / pairs_between))


# ---------------------------------------------------------------- clusters found


def cluster(embeddings: ArrayLike, clusters: int, seed: int = 0) -> Integers:
    """(n,) numbers of the clusters by k-means (scikit-learn's, k-means++, the best of four starts).

    Raises:
        ValueError: as in `check_embeddings`, or `clusters` is not in 1 … n.
        ImportError: no scikit-learn.
    """
    vectors = check_embeddings(embeddings, np.zeros(len(np.asarray(embeddings)), int))[0]
    if not 1 <= clusters <= len(vectors):
        raise ValueError(f"clusters must be 1 … {len(vectors)}, the number of vectors, got {clusters}")
    if clusters == len(vectors):
        return np.arange(clusters)
    module = _sklearn("cluster")
    with warnings.catch_warnings():  # scikit-learn's own: fewer distinct points than clusters, as the scores say too
        warnings.simplefilter("ignore", _sklearn("exceptions").ConvergenceWarning)
        return module.KMeans(clusters, n_init=4, random_state=seed).fit(vectors).labels_.astype(np.intp)


def nmi(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Normalised mutual information in [0, 1], by the arithmetic mean of the entropies (scikit-learn's)."""
    return float(_sklearn("metrics").normalized_mutual_info_score(np.asarray(labels), np.asarray(clusters)))


def adjusted_rand(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Adjusted Rand index, 1 for the same partition, 0 by chance (scikit-learn's)."""
    return float(_sklearn("metrics").adjusted_rand_score(np.asarray(labels), np.asarray(clusters)))


def purity(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of vectors that belong to the most frequent class of their cluster.

    Raises:
        ValueError: not two sequences of one length, or empty ones.
    """
    classes, found = np.asarray(labels), np.asarray(clusters)
    if classes.shape != found.shape or classes.ndim != 1 or not classes.size:
        raise ValueError(f"labels and clusters must be (n,) with n > 0, got shapes {classes.shape} and {found.shape}")
    rows, columns = np.unique(found, return_inverse=True)[1], np.unique(classes, return_inverse=True)[1]
    table = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(table, (rows, columns), 1)
    return float(table.max(1).sum() / len(classes))


# ---------------------------------------------------------------- neighbours


def retrieval(embeddings: ArrayLike, labels: ArrayLike, ks: Sequence[int] = (1, 2, 4, 8)) -> dict[str, float]:
    """Each vector asks for its class among all others: recall@k and mean average precision.

    Args:
        embeddings: (n, d).
        labels: (n,) classes; vectors alone in theirs are looked through but do not ask.
        ks: of the recalls.

    Returns:
        "recall@1" … and "map", each in [0, 1].

    Raises:
        ValueError: as in `check_embeddings`, a k below 1, or every vector is alone in its class.
    """
    vectors, classes = check_embeddings(embeddings, labels)
    if any(k < 1 for k in ks):
        raise ValueError(f"recall@k needs k of 1 or more, got {list(ks)}")
    found = np.zeros(len(ks))
    precision, asked = 0.0, 0
    equal = EQUAL * float(np.abs(vectors).max())
    for rows, block in _blocks(vectors, vectors):
        for row, line in zip(rows, block, strict=True):
            same = classes == classes[row]
            others = np.sort(line[~same])
            same[row] = False
            own = np.sort(line[same])
            if not own.size:
                continue
            ahead = np.searchsorted(others, own + equal, side="right")  # foreign vectors nearer, or as near
            place = np.arange(1, own.size + 1)
            precision += float((place / (place + ahead)).mean())
            found += np.array(ks) > ahead[0]
            asked += 1
    if not asked:
        raise ValueError("every vector is alone in its class: there is nothing to retrieve")
    return {f"recall@{k}": float(value / asked) for k, value in zip(ks, found, strict=True)} | {
        "map": precision / asked
    }


def nearest_accuracy(
    reference: ArrayLike, reference_labels: ArrayLike, queries: ArrayLike, labels: ArrayLike, k: int = 1
) -> float:
    """Share of queries whose class is that of the k nearest reference vectors: k-nearest-neighbour accuracy.

    The most frequent class of the k wins; among equally frequent ones, that of the nearest.

    Args:
        reference: (m, d) vectors that are known.
        reference_labels: (m,) their classes.
        queries: (n, d).
        labels: (n,) their true classes; one that is not in the reference can only be missed.
        k: neighbours that vote.

    Raises:
        ValueError: as in `check_embeddings`, different d, or k is not in 1 … m.
    """
    known = check_embeddings(reference, reference_labels)[0]
    asked = check_embeddings(queries, labels)[0]
    names, truth = np.asarray(reference_labels), np.asarray(labels)
    if known.shape[1] != asked.shape[1]:
        raise ValueError(f"reference has {known.shape[1]} dimensions, the queries have {asked.shape[1]}")
    if not 1 <= k <= len(known):
        raise ValueError(f"k must be 1 … {len(known)}, the number of reference vectors, got {k}")
    right = 0
    for rows, block in _blocks(asked, known):
        nearest = np.argpartition(block, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(block, nearest, 1).argsort(1, kind="stable")
        for row, votes in zip(rows, names[np.take_along_axis(nearest, order, 1)], strict=True):
            candidates, first, count = np.unique(votes, return_index=True, return_counts=True)
            right += bool(candidates[np.lexsort((first, -count))[0]] == truth[row])
    return right / len(asked)


# ---------------------------------------------------------------- all of it


def judge(
    embeddings: ArrayLike, labels: ArrayLike, ks: Sequence[int] = (1, 5), seed: int = 0, limit: int = 5000
) -> dict[str, float]:
    """Every measure of this module that one set of vectors has.

    Args:
        embeddings: (n, d).
        labels: (n,) classes, two or more.
        ks: of the recalls.
        seed: of k-means and of the sample.
        limit: judge a random sample of so many vectors where there are more, since most measures cost n².

    Returns:
        "silhouette", "davies_bouldin", "calinski_harabasz", "distance_ratio", "nmi", "ari", "purity", "recall@k",
        "map", and "vectors" and "classes", how many were judged.

    Raises:
        ValueError: as in the functions above.
        ImportError: no scikit-learn.
    """
    vectors, classes = check_embeddings(embeddings, labels)
    if len(vectors) > limit:
        chosen = np.random.default_rng(seed).choice(len(vectors), limit, replace=False)
        vectors, classes = vectors[chosen], np.unique(classes[chosen], return_inverse=True)[1]
    count = len(np.unique(classes))
    clusters = cluster(vectors, count, seed)
    return {
        "silhouette": silhouette(vectors, classes),
        "davies_bouldin": davies_bouldin(vectors, classes),
        "calinski_harabasz": calinski_harabasz(vectors, classes),
        "distance_ratio": distance_ratio(vectors, classes),
        "nmi": nmi(classes, clusters),
        "ari": adjusted_rand(classes, clusters),
        "purity": purity(classes, clusters),
        **retrieval(vectors, classes, ks),
        "vectors": len(vectors),
        "classes": count,
    }


def _separable(embeddings: ArrayLike, labels: ArrayLike) -> tuple[Floats, Integers]:
    vectors, classes = check_embeddings(embeddings, labels)
    count = len(np.unique(classes))
    if not 2 <= count < len(vectors):
        raise ValueError(f"needs 2 … {len(vectors) - 1} classes for {len(vectors)} vectors, got {count}")
    return vectors, classes


def _blocks(queries: Floats, reference: Floats) -> Iterator[tuple[Integers, Floats]]:
    """Rows of the distance matrix, a block at a time, with their numbers."""
    step = max(1, BLOCK // len(reference))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        yield np.arange(start, start + len(block)), distances(block, reference)


def _sklearn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(f"judging clusters needs scikit-learn: pip install 'siamtrack[train]' ({error})") from error
