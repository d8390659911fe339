"""Judge an embedding on classes that it has never seen, each class once: cross-validation over classes.

examples:
  python tools/embed.py verify unseen orl --data ../shared/data/orl --output runs/faces.safetensors
  python tools/embed.py verify unseen lfw --data ~/lfw --folds 5 --epochs 20 --run runs/lfw --json

The classes (people) are shuffled by --seed and cut into --folds parts. For each part a network is trained from scratch
on all others and judged on it: verification of all pairs, N-way one-shot, and a threshold chosen on one half of the
unseen at a false accept rate of 1 % and measured on the other half. Pixels, compared by their correlation, are the
baseline. A run that was stopped goes on from its checkpoints in --run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.verification import (
    all_pairs,
    draw_episodes,
    embedding_scores,
    judge_pairs,
    one_shot_accuracy,
    pair_scores,
    threshold_at_far,
)
from learning.embedding import LOSSES, EmbeddingRecipe, EmbeddingTraining
from learning.embedding_arguments import (
    add_data_arguments,
    add_recipe_arguments,
    card_of,
    read_to_learn,
    recipe_of,
)
from learning.embedding_command import command_line
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import VIEWS, EmbeddingCard, EmbeddingNetwork, save_embedding
from tracker.arguments import positive, refuse_existing

log = logging.getLogger(__name__)
WAYS = 10
EPISODES = 200
FAR = 0.01
PIXELS = "pixels"
INNER = 100  # added to the seed, to cut a fold's own training classes otherwise than all were cut
SHOWN = ("auc", "eer", "accuracy", "tar@0.01", "one_shot", "far_elsewhere", "tar_elsewhere")

Floats = NDArray[np.floating]


def join(parts: Parts) -> LabelledImages:
    """Both parts as one, whose classes are those of the first and then those of the second that are others."""
    first, second = parts
    classes = tuple(dict.fromkeys((*first.classes, *second.classes)))
    number = {name: index for index, name in enumerate(classes)}
    labels = [number[part.classes[label]] for part in parts for label in part.labels]
    return LabelledImages(torch.cat([first.images, second.images]), np.array(labels, dtype=np.int64), classes)


def cut(classes: int, folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Classes shuffled and cut into parts whose sizes differ by one at most.

    Raises:
        ValueError: fewer than two folds, or fewer than two classes in a fold.
    """
    if not 2 <= folds <= classes // 2:
        raise ValueError(f"{classes} classes can be cut into 2 … {classes // 2} folds of two or more, not into {folds}")
    return [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(classes), folds)]


def judge_unseen(embeddings: Floats, labels: NDArray[np.int64], cosine: bool, seed: int = 0) -> dict[str, float]:
    """All measures of embeddings of classes that were not trained on.

    Args:
        embeddings: (n, d).
        labels: (n,) classes, numbered from 0.
        cosine: compare by the cosine, not by the distance.
        seed: of the episodes.

    Returns:
        Those of `benchmarks.verification.judge_pairs` over all pairs; "one_shot" accuracy of ten ways, or of as many as
        there are classes; and "far_elsewhere" and "tar_elsewhere", what a threshold chosen on one half of the classes
        at a false accept rate of 0.01 gives on the other, the mean of both ways round (NaN where a half is too small to
        show such a rate).

    Raises:
        ValueError: too few classes or images to tell anything.
    """
    pairs = all_pairs(labels)
    scores = pair_scores(embeddings, pairs, cosine)
    ways = min(WAYS, len(np.unique(labels)))
    episodes = draw_episodes(labels, ways, EPISODES, seed)
    half = np.unique(labels)[: len(np.unique(labels)) // 2]
    sides = np.isin(labels, half)[np.stack([pairs.first, pairs.second])].sum(0)
    rates = [_elsewhere(scores, pairs.same, sides == side, sides == 2 - side) for side in (0, 2)]
    far, tar = np.mean(rates, 0)
    return {
        **judge_pairs(scores, pairs.same),
        "one_shot": one_shot_accuracy(episodes, embedding_scores(embeddings, cosine)),
        "far_elsewhere": float(far),
        "tar_elsewhere": float(tar),
    }


def _elsewhere(
    scores: Floats, same: NDArray[np.bool_], here: NDArray[np.bool_], there: NDArray[np.bool_]
) -> tuple[float, float]:
    """FAR and TAR of the pairs `there` at a threshold that is chosen on those `here`."""
    if (here & ~same).sum() * FAR < 1 or not (there & same).any() or not (there & ~same).any():
        return np.nan, np.nan
    accepted = scores >= threshold_at_far(scores[here], same[here], FAR).value
    return float(accepted[there & ~same].mean()), float(accepted[there & same].mean())


def pixel_vectors(images: torch.Tensor) -> Floats:
    """(N, C, S, S) images as (N, C·S²) vectors without their mean, so that the cosine is the correlation of pixels."""
    flat = images.flatten(1).double().numpy()
    return flat - flat.mean(1, keepdims=True)


def cross_validate(
    faces: LabelledImages,
    card: EmbeddingCard,
    recipe: EmbeddingRecipe,
    folder: Path,
    folds: int = 4,
    device: torch.device | str = "cpu",
    inner: bool = False,
) -> tuple[list[dict[str, Any]], EmbeddingNetwork]:
    """Train and judge once for each fold.

    Args:
        faces: all images.
        card: of the network; the number of classes of its head is set for each fold.
        recipe: its seed also cuts the folds.
        folder: for the checkpoints; what is there is not trained again.
        folds: parts of the classes.
        device: to compute on.
        inner: leave a fold's own classes alone, and judge on a part of the others instead, to choose a recipe by.

    Returns:
        A row for each fold, with its measures, those of the pixels under "pixels", and what it took in seconds;
        and the network of the first fold.

    Raises:
        ValueError: see `cut`, `judge_unseen` and `learning.embedding`.
    """
    rows, first = [], None
    parts = cut(len(faces.classes), folds, recipe.seed)
    for number, part in enumerate(parts):
        rest, name = np.setdiff1d(np.arange(len(faces.classes)), part), f"seed{recipe.seed}-fold{number}"
        if inner:
            part = rest[cut(len(rest), max(folds - 1, 2), INNER + recipe.seed + number)[0]]
            rest, name = np.setdiff1d(rest, part), f"{name}-inner"
        data = Parts(faces.of_classes(rest), faces.of_classes(part))
        own = replace(card, classes=len(rest) * VIEWS[recipe.multiplied] if recipe.loss == "softmax" else 0)
        balanced = replace(recipe, classes=min(recipe.classes, len(rest)))
        training = EmbeddingTraining(own, balanced, data, folder / name, device)
        network = training.run()
        embedded = network.embed(data.test.images).numpy()
        row = {
            "fold": number,
            "seed": recipe.seed,
            "trained on": len(rest),
            "unseen": list(data.test.classes),
            **judge_unseen(embedded, data.test.labels, card.normalise, recipe.seed),
            PIXELS: judge_unseen(pixel_vectors(data.test.images), data.test.labels, True, recipe.seed),
            "seconds": training.seconds,
        }
        log.info("fold %d of %d: AUC %.4f, one-shot %.4f", number + 1, folds, row["auc"], row["one_shot"])
        rows.append(row)
        first = first or network
    assert first is not None
    return rows, first


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each measure the mean, the standard deviation and the worst over the folds, and the mean of the pixels."""
    found: dict[str, dict[str, float]] = {}
    for name in SHOWN:
        values = np.array([row[name] for row in rows], dtype=float)
        lower = name in ("eer", "far_elsewhere")
        found[name] = {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)),
            "worst": float(values.max() if lower else values.min()),
            PIXELS: float(np.mean([row[PIXELS][name] for row in rows])),
        }
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown of a `summary`."""
    words = {
        "auc": "ROC AUC of verification",
        "eer": "equal error rate",
        "accuracy": "accuracy of verification (ten folds of pairs)",
        "tar@0.01": "TAR at FAR 1 %",
        "one_shot": f"{WAYS}-way one-shot",
        "far_elsewhere": "FAR where 1 % was chosen on others",
        "tar_elsewhere": "TAR there",
    }
    lines = ["| classes never seen in training | mean | ± | worst | pixels |", "|---|---|---|---|---|"]
    for name, row in found.items():
        lines.append(
            f"| {words[name]} | {row['mean']:.4f} | {row['std']:.4f} | {row['worst']:.4f} | {row[PIXELS]:.4f} |"
        )
    return "\n".join(lines)


# ---------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``embed.py verify unseen``."""
    add_data_arguments(parser)
    add = parser.add_argument
    add("--loss", choices=[loss for loss in LOSSES if loss != "bce"], default="triplet", help="(default: %(default)s)")
    add("--folds", type=positive, default=4, help="parts of the classes (default: %(default)s)")
    add("--inner", action="store_true", help="judge on a part of each fold's training classes, to choose a recipe by")
    add("--repeats", type=positive, default=1, help="whole rounds, each cut by its own seed (default: %(default)s)")
    add("--run", dest="directory", type=Path, metavar="DIR", help="of checkpoints (default: runs/unseen-DATASET)")
    add("--output", type=Path, metavar="FILE", help="write the network of the first fold, .safetensors and its card")
    add("--json", action="store_true", help="print everything as JSON")
    add("--overwrite", action="store_true", help="replace an existing --output")
    add_recipe_arguments(parser)
    parser.set_defaults(**DEFAULTS)


# vectors of length 1 are what a gallery compares by their cosine
DEFAULTS: dict[str, Any] = {
    "size": 32,
    "dimensions": 128,
    "normalise": True,
    "views": "mirrored",
    "margin": 0.2,
    "epochs": 40,
}


def run_command(options: argparse.Namespace) -> str:
    """Cross-validate; returns the text to print.

    Raises:
        ValueError, OSError: see `cross_validate`.
    """
    output: Path | None = options.output
    if output is not None and output.suffix != ".safetensors":
        raise ValueError(f"--output must end in .safetensors, got {output}")
    refuse_existing(output, options.overwrite)
    if options.threads:
        torch.set_num_threads(options.threads)
    data = read_to_learn(options)
    faces, folder = join(data), options.directory or Path("runs") / f"unseen-{options.dataset}"
    card = card_of(options.loss, options, Parts(faces, faces))
    rows, network = [], None
    for repeat in range(options.repeats):
        recipe = replace(
            recipe_of(options.loss, options, len(faces.classes) * (options.folds - 1) // options.folds),
            seed=options.seed + repeat,
        )
        found, trained = cross_validate(faces, card, recipe, folder, options.folds, options.device, options.inner)
        rows += found
        network = network or trained
    measured, minutes = summary(rows), sum(row["seconds"] for row in rows) / 60
    if output is not None and network is not None:
        _write(network, output, options, rows, measured)
    if options.json:
        return json.dumps({"summary": measured, "minutes": minutes, "folds": rows}, indent=2)
    words = f"{len(rows)} trainings, {minutes:.1f} minutes in all; checkpoints in {folder}"
    return f"{table(measured)}\n\n{words}" + ("" if output is None else f"; wrote {output} (the first of them)")


def _write(
    network: EmbeddingNetwork,
    output: Path,
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    measured: dict[str, dict[str, float]],
) -> None:
    def rounded(row: dict[str, float]) -> dict[str, float]:
        return {name: round(row[name], 4) for name in SHOWN}

    save_embedding(
        network,
        output,
        date=datetime.date.today().isoformat(),
        licence=LICENCES.get(options.dataset, ""),
        training={
            "data": options.dataset,
            "classes": rows[0]["trained on"],
            "unseen": rows[0]["unseen"],
            "command": command_line(),
            "minutes": round(rows[0]["seconds"] / 60, 2),
        },
        results=[
            {"data": "the classes named under `unseen`, never trained on", **rounded(rows[0])},
            {
                "data": f"mean of {len(rows)} such networks, each judged on classes that it has not seen",
                **rounded({name: row["mean"] for name, row in measured.items()}),
            },
        ],
    )


LICENCES = {
    "orl": "research use only: trained on the AT&T Database of Faces, which asks to name AT&T Laboratories Cambridge",
    "lfw": "research use only: trained on Labeled Faces in the Wild",
}
