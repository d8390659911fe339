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
    auc,
    best_accuracy,
    draw_pairs,
    embedding_scores,
    omniglot_episodes,
    one_shot_accuracy,
)
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import EmbeddingNetwork

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
        where the data have drawers and alphabets, "20-way one-shot" by Koch's protocol, the mean of 20 draws of it.
    """
    train, test = data
    embedded = network.embed(test.images)
    known = train.subset(evenly(len(train), 10_000))
    pairs = draw_pairs(known.labels, PAIRS)
    scores = pair_scores(network, network.embed(known.images), pairs.first, pairs.second)
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
        **one_shot(network, test, embedded),
    }


def one_shot(network: EmbeddingNetwork, test: LabelledImages, embedded: Tensor) -> dict[str, float]:
    """Koch's 20-way one-shot accuracy (`benchmarks.verification.omniglot_episodes`); nothing for other data.

    Where there are fewer alphabets than the ten of a draw, of all.
    """
    if test.makers is None or test.groups is None:
        return {}
    enough = int((np.bincount(test.groups) >= KOCH_WAYS).sum()) >= KOCH_ALPHABETS
    alphabets = KOCH_ALPHABETS if enough else None

    def compare(queries: Indices, support: Indices) -> NDArray[np.float64]:
        grid = np.meshgrid(queries, support, indexing="ij")
        scores = pair_scores(network, embedded, *(each.ravel() for each in grid))
        return scores.reshape(len(queries), len(support))

    learned = network.card.loss == "bce"
    comparison = compare if learned else embedding_scores(embedded.numpy())
    draws = [
        one_shot_accuracy(omniglot_episodes(test.classes, test.labels, test.makers, seed, alphabets), comparison)
        for seed in ONE_SHOT_SEEDS
    ]
    return {"20-way one-shot": float(np.mean(draws)), "20-way one-shot, first draw": draws[0]}
