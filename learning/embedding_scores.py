"""What a trained embedding is worth on its test part, by the measures of `benchmarks`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import clusters
from benchmarks.verification import (
    KOCH_ALPHABETS,
    KOCH_WAYS,
    Compare,
    auc,
    best_accuracy,
    draw_pairs,
    embedding_scores,
    omniglot_episodes,
    one_shot_accuracy,
)
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import EmbeddingNetwork
from learning.whitening import Whitening

Indices = NDArray[np.int64]
PAIRS = 20_000
ONE_SHOT_SEEDS = range(20)  # of Koch's protocol, whose 400 trials alone leave ± 3 percentage points


def evenly(count: int, most: int) -> Indices:
    """At most `most` of `count` indices at random, the same each time, in order."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def neighbour_accuracy(network: EmbeddingNetwork, data: Parts, gallery: int | None = None) -> float:
    """Share of the test images whose nearest neighbour is of their class.

    Args:
        network: embeds.
        data: neighbours are sought among the training images; where the test classes are others, among the other test
            images.
        gallery: at most so many training images; ``None``: all.
    """
    train, test = data
    embedded = network.embed(test.images).numpy()
    if train.classes != test.classes:
        return clusters.retrieval(embedded, test.labels, (1,))["recall@1"]
    known = train if gallery is None else train.subset(evenly(len(train), gallery))
    return clusters.nearest_accuracy(network.embed(known.images).numpy(), known.labels, embedded, test.labels)


def pair_scores(network: EmbeddingNetwork, embeddings: Tensor, first: Indices, second: Indices) -> NDArray[np.float64]:
    """(m,) how alike the pairs are, as the network compares (`EmbeddingNetwork.similarity`); larger is more alike."""
    device = next(network.parameters()).device
    one, other = (embeddings[torch.from_numpy(each)].to(device) for each in (first, second))
    with torch.no_grad():
        return network.similarity(one, other).double().cpu().numpy()


def judge(network: EmbeddingNetwork, data: Parts) -> dict[str, float]:
    """The measures of a trained network on the test part, for its card.

    Returns:
        "neighbour accuracy" (`neighbour_accuracy`); "nmi" of k-means with as many clusters as classes; "pair accuracy"
        on balanced pairs, "alike" from a threshold on that is chosen on pairs of the training part, and "pair auc";
        where the data have drawers and alphabets, "20-way one-shot" by Koch's protocol, the mean of 20 draws of it, and
        the same "whitened" by what the training part says of the variation within classes (`learning.whitening`).
    """
    train, test = data
    embedded = network.embed(test.images)
    known = train.subset(evenly(len(train), 10_000))
    pairs = draw_pairs(known.labels, PAIRS)
    embedded_known = network.embed(known.images)
    scores = pair_scores(network, embedded_known, pairs.first, pairs.second)
    threshold = best_accuracy(scores, pairs.same)[1]
    pairs = draw_pairs(test.labels, PAIRS, seed=1)
    scores = pair_scores(network, embedded, pairs.first, pairs.second)
    few = evenly(len(test), 10_000)
    found = clusters.cluster(embedded[torch.from_numpy(few)].numpy(), len(np.unique(test.labels[few])))
    return {
        "neighbour accuracy": neighbour_accuracy(network, data),
        "nmi": clusters.nmi(test.labels[few], found),
        "pair accuracy": float(((scores >= threshold) == pairs.same).mean()),
        "pair auc": auc(scores, pairs.same),
        **one_shot(network, test, embedded, (embedded_known, known.labels)),
    }


def one_shot(
    network: EmbeddingNetwork, test: LabelledImages, embedded: Tensor, known: tuple[Tensor, Indices] | None = None
) -> dict[str, float]:
    """Koch's 20-way one-shot accuracy (`benchmarks.verification.omniglot_episodes`); nothing for other data.

    Where there are fewer alphabets than the ten of a draw, of all.

    Args:
        network: whose embeddings they are.
        test: the images of new classes.
        embedded: (n, D) of these.
        known: (m, D) embeddings and (m,) labels of classes that training has seen, by which the variation within
            classes is taken out for "20-way one-shot, whitened". It compares directions, so it is for embeddings of
            length 1, and not for "bce", which compares by weights of its own.
    """
    if test.makers is None or test.groups is None:
        return {}
    enough = int((np.bincount(test.groups) >= KOCH_WAYS).sum()) >= KOCH_ALPHABETS
    alphabets = KOCH_ALPHABETS if enough else None
    vectors, makers = embedded.numpy(), test.makers

    def compare(queries: Indices, support: Indices) -> NDArray[np.float64]:
        grid = np.meshgrid(queries, support, indexing="ij")
        scores = pair_scores(network, embedded, *(each.ravel() for each in grid))
        return scores.reshape(len(queries), len(support))

    def draws(comparison: Compare) -> list[float]:
        return [
            one_shot_accuracy(omniglot_episodes(test.classes, test.labels, makers, seed, alphabets), comparison)
            for seed in ONE_SHOT_SEEDS
        ]

    learned = network.card.loss == "bce"
    plain = draws(compare if learned else embedding_scores(vectors))
    found = {"20-way one-shot": float(np.mean(plain)), "20-way one-shot, first draw": plain[0]}
    if known is not None and network.card.normalise and not learned:
        whitening = Whitening.fit(known[0].numpy(), known[1], network.card.dimensions)
        whitened = draws(lambda queries, support: whitening.compare(vectors[queries], vectors[support]))
        found["20-way one-shot, whitened"] = float(np.mean(whitened))
    return found
