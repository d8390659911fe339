"""Does mining matter? Accuracy against epochs with each way of mining, from the same weights and the same seed.

Writes mining.md, a table, and mining.png, a figure. A run that was stopped goes on.

example:
  python tools/embed.py mining triplet mnist --data ../shared/data/mnist --epochs 3 --threads 1 --output docs/embedding
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from benchmarks.results import replace_text
from learning.embedding import EmbeddingTraining
from learning.embedding_arguments import (
    add_data_arguments,
    add_recipe_arguments,
    card_of,
    read_to_learn,
    recipe_of,
)
from learning.triplets import MINING

WAYS = ("random", "semi-hard", "batch-hard", "offline")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``embed.py mining``."""
    parser.add_argument("loss", choices=["contrastive", "bce", "triplet"], help="what is minimised")
    add_data_arguments(parser)
    add_recipe_arguments(parser)
    add = parser.add_argument
    add("--ways", nargs="+", choices=MINING, default=list(WAYS), help=f"of mining (default: {' '.join(WAYS)})")
    add("--output", type=Path, required=True, metavar="DIR", help="folder of table and figure")
    add(
        "--run",
        dest="folder",
        type=Path,
        metavar="DIR",
        help="of checkpoints (default: runs/embed/mining-LOSS-DATASET)",
    )
    add("--json", action="store_true", help="print the results as JSON")
    add("--overwrite", action="store_true", help="replace mining.md and mining.png")


def run(options: argparse.Namespace) -> str:
    """Train once for each way of mining; returns the table.

    Raises:
        ValueError: wrong arguments or data, or results that are there.
    """
    import torch

    from learning.embedding_plots import draw_curves

    files = {name: options.output / name for name in ("mining.md", "mining.png")}
    for path in files.values():
        if path.exists() and not options.overwrite:
            raise ValueError(f"{path} exists; give another folder or --overwrite")
    if options.threads:
        torch.set_num_threads(options.threads)
    data = read_to_learn(options)
    card = card_of(options.loss, options, data)
    recipe = recipe_of(options.loss, options, len(data.train.classes))
    base = options.folder or Path("runs/embed") / f"mining-{options.loss}-{options.dataset}"
    rows: dict[str, list[dict[str, Any]]] = {}
    for way in options.ways:
        training = EmbeddingTraining(card, dataclasses.replace(recipe, mining=way), data, base / way, options.device)
        training.run()
        rows[way] = training.rows
    options.output.mkdir(parents=True, exist_ok=True)
    title = f"{options.loss} loss, {options.dataset}, {card.dimensions} dimensions, seed {recipe.seed}"
    curves = {way: [row["accuracy"] for row in each] for way, each in rows.items()}
    draw_curves(curves, files["mining.png"], title)
    text = table(rows, title)
    replace_text(files["mining.md"], text)
    return json.dumps(rows, indent=2) if options.json else text


def table(rows: dict[str, list[dict[str, Any]]], title: str) -> str:
    """Markdown: for each way the accuracy of the nearest neighbour after each epoch, and what of it was active."""
    epochs = [int(row["epoch"]) for row in next(iter(rows.values()))]
    lines = [
        f"Nearest neighbour right, in % of the test images: {title}.",
        "",
        f"| mining | {' | '.join(f'epoch {epoch}' for epoch in epochs)} | still active at the end | s |",
        f"|---|{'---|' * len(epochs)}---|---|",
    ]
    for way, each in rows.items():
        accuracies = " | ".join(f"{100 * row['accuracy']:.2f}" for row in each)
        lines.append(f"| {way} | {accuracies} | {100 * each[-1]['active']:.1f} % | {each[-1]['seconds']:.0f} |")
    return "\n".join(
        [*lines, "", "Active: triplets (or pairs) of a batch that still had a loss, in the last epoch.", ""]
    )
