"""Draw what a trained network makes of a data set's test part.

latent.png (of more than 2 dimensions: latent_pca.png and latent_tsne.png), neighbours.png, hardest_pairs.png, roc.png,
and projector/, which `tensorboard --logdir` and projector.tensorflow.org show.

example:
  python tools/embed.py show runs/mnist.safetensors mnist --data ../shared/data/mnist --output runs/pictures
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.verification import draw_pairs
from learning.embedding_arguments import add_data_arguments, read_data
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import EmbeddingNetwork, load_embedding
from learning.embedding_plots import (
    as_floats,
    draw_latent,
    draw_roc,
    export_projector,
    flatten,
    neighbour_sheet,
    pair_sheet,
)
from learning.embedding_scores import PAIRS, evenly, judge, pair_scores

DRAWN = 1500  # images in the latent space
QUERIES, NEIGHBOURS = 10, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``embed.py show``."""
    parser.add_argument("weights", type=Path, help=".safetensors file of a training")
    add_data_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that is not empty")


def run(options: argparse.Namespace) -> str:
    """Draw everything; returns the measures of the test part.

    Raises:
        ValueError: weights or data cannot be read, or the folder is not empty.
    """
    if options.output.exists() and any(options.output.iterdir()) and not options.overwrite:
        raise ValueError(f"{options.output} is not empty; give another folder or --overwrite")
    network = load_embedding(options.weights)
    data = read_data(options, network.card.size, network.card.channels, network.card.framing)
    draw_all(network, data, options.output)
    results = judge(network, data)
    if options.json:
        return json.dumps(results, indent=2)
    return "\n".join(
        [*(f"{name:>25}: {value:.4f}" for name, value in results.items()), f"pictures in {options.output}"]
    )


def draw_all(network: EmbeddingNetwork, data: Parts, output: Path) -> None:
    """Every picture of the test part into a folder, which is made if it is missing."""
    output.mkdir(parents=True, exist_ok=True)
    test = data.test
    embeddings = network.embed(test.images)
    some = evenly(len(test), DRAWN)
    drawn, labels = as_floats(embeddings)[some], test.labels[some]
    if network.card.length <= 2:
        draw_latent(flatten(drawn), labels, test.classes, output / "latent.png", "test images")
    else:
        for how, name in (("pca", "latent_pca"), ("t-sne", "latent_tsne")):
            draw_latent(flatten(drawn, how), labels, test.classes, output / f"{name}.png", f"test images, {how}")
    _draw_neighbours(network, data, embeddings, output / "neighbours.png")
    pairs = draw_pairs(test.labels, PAIRS, seed=1)
    scores = pair_scores(network, embeddings, pairs.first, pairs.second)
    cv2.imwrite(str(output / "hardest_pairs.png"), pair_sheet(test, pairs, scores))
    draw_roc(scores, pairs.same, output / "roc.png", "pairs of test images")
    export_projector(drawn, test.subset(some), output / "projector")


def _draw_neighbours(network: EmbeddingNetwork, data: Parts, embeddings: torch.Tensor, path: Path) -> None:
    """Half of the queries are those whose nearest neighbour is wrong, as far as there are any."""
    train, test = data
    alone = train.classes != test.classes
    gallery: LabelledImages = test if alone else train.subset(evenly(len(train), 10_000))
    known = embeddings if alone else network.embed(gallery.images)
    queries = evenly(len(test), 1000)
    away = torch.cdist(embeddings[torch.from_numpy(queries)], known)
    if alone:
        away[torch.arange(len(queries)), torch.from_numpy(queries)] = torch.inf
    found = away.topk(min(NEIGHBOURS, len(gallery) - alone), largest=False).indices.numpy()
    wrong = gallery.labels[found[:, 0]] != test.labels[queries]
    order = np.concatenate([np.flatnonzero(wrong)[: QUERIES // 2], np.flatnonzero(~wrong)])[:QUERIES]
    cv2.imwrite(str(path), neighbour_sheet(test, queries[order], gallery, found[order]))
