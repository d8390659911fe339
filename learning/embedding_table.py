"""Loss × mining × data set in one table: short trainings of one length, each judged by every measure.

example:
  python tools/embed.py table mnist=../shared/data/mnist omniglot=../shared/data/omniglot orl=../shared/data/orl \\
      --threads 1 --output docs/results/embedding

Writes table.md, table.csv and table.json. Every training of a data set shows the network the same number of images,
from the same weights, so that rows can be compared; they are short, and none is what its loss can reach. What is stored
in --run is not trained again: an interrupted table goes on, and a larger one adds to it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import clusters
from benchmarks.results import replace_text
from benchmarks.verification import draw_episodes, draw_pairs, embedding_scores, judge_pairs, one_shot_accuracy
from learning.embedding import LOSSES, UNMINED, EmbeddingRecipe, EmbeddingTraining
from learning.embedding_arguments import AUGMENT, DRAWN, PER_CLASS, PHOTO, WIDE
from learning.embedding_data import DATASETS, Parts, Reading, read_dataset
from learning.embedding_network import EmbeddingCard, EmbeddingNetwork
from learning.embedding_scores import PAIRS, evenly, neighbour_accuracy, one_shot, pair_scores
from learning.triplets import MINING
from tracker.arguments import natural, positive

log = logging.getLogger(__name__)
SOFTMAX = "softmax"
NO_MINING = "–"
SHOWN = 24_000
JUDGED = 3000  # test images that are judged where there are more, but for one-shot trials, which need all
BATCH = 120
WAYS = 10
EPISODES = 100
FAR = 0.01

# measure → heading, digits, and whether more is better
COLUMNS: dict[str, tuple[str, int, bool]] = {
    "neighbour": ("1-NN", 3, True),
    "map": ("mAP", 3, True),
    "nmi": ("NMI", 3, True),
    "ari": ("ARI", 3, True),
    "purity": ("purity", 3, True),
    "silhouette": ("silhouette", 3, True),
    "davies_bouldin": ("Davies–Bouldin ↓", 2, False),
    "calinski_harabasz": ("Calinski–Harabasz", 0, True),
    "distance_ratio": ("intra/inter ↓", 3, False),
    "auc": ("AUC", 3, True),
    "eer": ("EER ↓", 3, False),
    "accuracy": ("pairs right", 3, True),
    "tar@0.01": ("TAR@1 %", 3, True),
    "one_shot": ("one-shot", 3, True),
}


def combinations(losses: Sequence[str], minings: Sequence[str]) -> list[tuple[str, str]]:
    """Every loss with every way of mining, but those that learn without."""
    return [
        (loss, mining) for loss in losses for mining in ([NO_MINING] if loss in UNMINED else dict.fromkeys(minings))
    ]


def plan(
    dataset: str, data: Parts, loss: str, mining: str, shown: int, seed: int = 0
) -> tuple[Parts, EmbeddingCard, EmbeddingRecipe]:
    """What one cell of the table trains: as `embed.py train` would by default, but for so many images.

    Args:
        dataset: its name, which decides augmentation, dimensions and images of a class in a batch.
        data: both parts. Of a training part with more images than are shown, so many are taken.
        loss: one of `LOSSES`.
        mining: one of `MINING`, or `NO_MINING`.
        shown: images to be shown, rounded to whole rounds over the training part.
        seed: of everything.
    """
    train = data.train
    if len(train) > shown:
        train = train.subset(evenly(len(train), shown))
    images = PER_CLASS.get(dataset, 4)
    recipe = EmbeddingRecipe(
        loss,
        "random" if mining == NO_MINING else mining,
        classes=max(2, min(len(train.classes), BATCH // images)),
        images=images,
        epochs=max(1, round(shown / len(train))),
        weight_decay=1e-5 if loss == "bce" else 1e-4,
        margin=None if loss == "triplet" else 1.0,
        augment=AUGMENT.get(dataset, PHOTO),
        seed=seed,
    )
    card = EmbeddingCard(
        "embeddingnet",
        channels=train.channels,
        size=train.size,
        dimensions=2 if dataset in DRAWN and loss != "bce" else WIDE,
        invert=dataset == "omniglot",
        loss=loss,
        classes=len(train.classes) if loss == SOFTMAX else 0,
    )
    return Parts(train, data.test), card, recipe


def judge(network: EmbeddingNetwork, data: Parts, seed: int = 0) -> dict[str, float]:
    """Every measure of the test part, or of 3,000 images of it.

    Pairs are compared as the loss does, everything else by distances of the vectors. One-shot is Koch's 20-way protocol
    (mean of 20 draws) where the data are Omniglot's, else ten ways (or all classes, if fewer), a hundred episodes.
    """
    test = data.test
    embedded = network.embed(test.images)
    shot = one_shot(network, test, embedded).get("20-way one-shot")
    if shot is None:
        episodes = draw_episodes(test.labels, min(WAYS, len(np.unique(test.labels))), EPISODES, seed)
        shot = one_shot_accuracy(episodes, embedding_scores(embedded.numpy()))
    chosen = evenly(len(test), JUDGED)
    few = test.subset(chosen)
    pairs = draw_pairs(few.labels, PAIRS, seed)
    vectors = embedded[chosen]
    return {
        "neighbour": neighbour_accuracy(network, Parts(data.train, few), gallery=10_000),
        **clusters.judge(vectors.numpy(), few.labels, limit=JUDGED),
        **judge_pairs(pair_scores(network, vectors, pairs.first, pairs.second), pairs.same, (FAR,)),
        "one_shot": shot,
    }


def fill(
    dataset: str,
    data: Parts,
    cells: Sequence[tuple[str, str]],
    run: Path,
    shown: int = SHOWN,
    seed: int = 0,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """The rows of one data set; what `run` has of them is read, not trained.

    Args:
        dataset: its name.
        data: both parts.
        cells: (loss, mining) of the rows.
        run: folder of the stored rows and checkpoints.
        shown: images shown in each training.
        seed: of all trainings.
        device: to compute on.

    Raises:
        ValueError: a damaged row, or as `learning.embedding` says.
    """
    rows = []
    for loss, mining in cells:
        parts, card, recipe = plan(dataset, data, loss, mining, shown, seed)
        identity = {
            "data": [part.summary() for part in parts],
            "recipe": dataclasses.asdict(recipe),
            "network": [card.network, card.size, card.dimensions],
        }
        name = "-".join([dataset, loss, *([] if mining == NO_MINING else [mining]), f"{shown}-seed{seed}"])
        stored = run / f"{name}.json"
        row = _stored(stored, identity)
        if row is None:
            log.info("%s", name)
            training = EmbeddingTraining(card, recipe, parts, run / name, device)
            network = training.run()
            row = {
                "dataset": dataset,
                "loss": loss,
                "mining": mining,
                "seed": seed,
                "shown": recipe.epochs * len(parts.train),
                "dimensions": card.dimensions,
                **judge(network, parts, seed),
                "cpu_seconds": training.cpu_seconds,
                "identity": identity,
            }
            replace_text(stored, json.dumps(row, indent=2) + "\n")
        rows.append(row)
    return rows


def _stored(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read; remove it, and it is made anew ({error})") from error
    return row if isinstance(row, dict) and row.get("identity") == identity else None


# ---------------------------------------------------------------- writing


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table for each data set; the best of each column is bold."""
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        some = [row for row in rows if row["dataset"] == dataset]
        shown, seconds = some[0]["shown"], sum(row["cpu_seconds"] for row in some)
        dimensions = " or ".join(sorted({str(row["dimensions"]) for row in some}, key=int))
        title = f"## {dataset}\n\n{shown:,} images shown in each training, {dimensions} dimensions; all trainings took "
        title += (
            f"{seconds / 60:.1f} minutes of CPU time. Judged: {some[0]['vectors']:,} images of {some[0]['classes']} "
        )
        title += "classes."
        heads = ["loss", "mining", *(heading for heading, _, _ in COLUMNS.values())]
        lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
        best = {name: _best([row[name] for row in some], digits, up) for name, (_, digits, up) in COLUMNS.items()}
        for row in some:
            cells = []
            for name, (_, digits, _) in COLUMNS.items():
                text = f"{row[name]:,.{digits}f}"
                cells.append(f"**{text}**" if text == best[name] else text)
            lines.append("| " + " | ".join([row["loss"], row["mining"], *cells]) + " |")
        parts.append(title + "\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _best(values: Sequence[float], digits: int, up: bool) -> str:
    return f"{(max if up else min)(values):,.{digits}f}"


def comma_separated(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV, all measures, with a header."""
    names = [name for name in rows[0] if name != "identity"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items() if k in names} for row in rows
    )
    return text.getvalue()


HEAD = """# Losses, mining and data sets

Made by `{command}`. Each row is one short training from the same weights (seed {seed}), so that the rows of a table can
be compared; none is what its loss can reach. ↓: less is better. Measures: `benchmarks/clusters.py` (1-NN and mAP to
intra/inter) and `benchmarks/verification.py` (AUC and on). Pairs are compared as the loss does: `bce` by its learned
weighted distance; its vectors' own distances, which the other columns take, are not what it was trained for.
"""


# ---------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``embed.py table``."""
    add = parser.add_argument
    add("datasets", nargs="+", type=place, metavar="DATASET=DIR", help=f"of {', '.join(DATASETS)}")
    add("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help=f"(default: {' '.join(LOSSES)})")
    add("--minings", nargs="+", choices=MINING, default=list(MINING), help=f"(default: {' '.join(MINING)})")
    add("--shown", type=positive, default=SHOWN, metavar="N", help="images shown in a training (default: %(default)s)")
    add("--seed", type=natural, default=0, help="of every training (default: %(default)s)")
    add("--output", type=Path, required=True, metavar="DIR", help="for table.md, table.csv and table.json")
    add("--run", dest="directory", type=Path, default=Path("runs/embed/table"), metavar="DIR", help="of what is stored")
    add("--device", default="cpu", help="(default: %(default)s)")
    add("--threads", type=positive, help="CPU threads of torch; small networks are fastest with 1")
    add("--json", action="store_true", help="print the rows as JSON")
    add("--overwrite", action="store_true", help="replace the table's files")


def place(text: str) -> tuple[str, Path]:
    """``DATASET=DIR``."""
    name, separator, folder = text.partition("=")
    if not separator or not folder or name not in DATASETS:
        raise argparse.ArgumentTypeError(f"expected DATASET=DIR with DATASET of {', '.join(DATASETS)}; got {text!r}")
    return name, Path(folder)


def run(options: argparse.Namespace) -> str:
    """Train what is missing, write the table, return it.

    Raises:
        ValueError, OSError: wrong data, or files that are there.
    """
    import torch

    from learning.embedding_command import command_line

    files = {suffix: options.output / f"table.{suffix}" for suffix in ("md", "csv", "json")}
    if not options.overwrite and (there := [path for path in files.values() if path.exists()]):
        raise ValueError(f"{there[0]} exists; give another folder or --overwrite")
    if options.threads:
        torch.set_num_threads(options.threads)
    cells, rows = combinations(options.losses, options.minings), []
    for name, folder in options.datasets:
        data = read_dataset(name, folder, Reading(size=SIZES.get(name)))
        rows += fill(name, data, cells, options.directory, options.shown, options.seed, options.device)
    text = markdown(rows)
    replace_text(files["md"], HEAD.format(command=command_line(), seed=options.seed) + "\n" + text + "\n")
    replace_text(files["csv"], comma_separated(rows))
    replace_text(files["json"], json.dumps([_rounded(row) for row in rows], indent=1) + "\n")
    if options.json:
        return json.dumps(rows)
    return f"{text}\n\nwrote {', '.join(str(path) for path in files.values())}"


SIZES = {"orl": 32}  # of the images in pixels, where the reader's own would cost too much here


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
