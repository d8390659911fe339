"""Train a network that embeds images.

examples:
  python tools/embed.py train triplet mnist --data ../shared/data/mnist --output runs/mnist.safetensors --threads 1
      in 2 dimensions, by the semi-hard triplets of each batch
  python tools/embed.py train softmax mnist --data digits --download --output runs/digits.safetensors \\
      --animation runs/digits.gif --pictures runs/digits
  python tools/embed.py train nca omniglot --data ../shared/data/omniglot --output runs/characters.safetensors
      by the recipe that was found best for characters, which needs no more options
  python tools/embed.py train bce omniglot --data ../shared/data/omniglot --network koch --size 105 --dimensions 4096 \\
      --output runs/koch.safetensors
  python tools/embed.py train contrastive folder --data flowers --network compact --size 127 --output f.safetensors
  python tools/embed.py train triplet tlp --data ~/TLP --every 100 --output runs/tlp.safetensors
      every target of a tracking benchmark is a class (never measure a tracker on what it was trained on)

A run that was stopped goes on from the last epoch's checkpoint in --run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from learning.embedding import LOSSES
from learning.embedding_arguments import (
    add_data_arguments,
    add_recipe_arguments,
    card_of,
    read_to_learn,
    recipe_of,
)
from tracker.arguments import natural, refuse_existing

log = logging.getLogger(__name__)
MOMENTS = 12  # of the animation, in an epoch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``embed.py train``."""
    parser.add_argument("loss", choices=LOSSES, help="what is minimised")
    add_data_arguments(parser)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE", help=".safetensors to write, its card beside it")
    add("--run", dest="folder", type=Path, metavar="DIR", help="of checkpoint and log (default: runs/embed/NAME)")
    add_recipe_arguments(parser)
    add("--init", type=Path, metavar="FILE", help="weights of an earlier training to start from")
    add(
        "--log-interval",
        type=natural,
        default=0,
        metavar="N",
        help="steps between lines of the log (default: an epoch)",
    )
    add("--animation", type=Path, metavar="FILE", help=".gif or .mp4 of the latent space as it develops")
    add(
        "--pictures", type=Path, metavar="DIR", help="as `embed.py show` draws them, and the latent space of each epoch"
    )
    add("--json", action="store_true", help="print the results as JSON")
    add("--overwrite", action="store_true", help="replace files that are there")


def run(options: argparse.Namespace) -> str:
    """Train, judge, draw; returns what there is to say.

    Raises:
        ValueError: wrong arguments or data; see `learning.embedding`.
    """
    _refuse(options)
    import torch

    from learning.embedding import EmbeddingTraining
    from learning.embedding_network import load_embedding, save_embedding
    from learning.embedding_plots import animate, draw_epochs
    from learning.embedding_scores import judge
    from learning.embedding_show import draw_all
    from learning.progress import device_name

    if options.threads:
        torch.set_num_threads(options.threads)
    data = read_to_learn(options)
    card, recipe = card_of(options.loss, options, data), recipe_of(options.loss, options, len(data.train.classes))
    folder = options.folder or Path("runs/embed") / options.output.stem
    moments = MOMENTS if options.animation else int(options.pictures is not None)
    training = EmbeddingTraining(card, recipe, data, folder, options.device, moments, options.log_interval)
    if options.init is not None and training.epoch == 0:
        training.start_from(load_embedding(options.init))
    network = training.run()
    results = judge(network, data)
    written = save_embedding(
        network,
        options.output,
        date=datetime.date.today().isoformat(),
        results=[
            {"data": f"{options.dataset}, test part", **{name: round(value, 4) for name, value in results.items()}}
        ],
        training={
            "data": {"name": options.dataset, **data.train.summary()},
            "recipe": vars(recipe),
            "command": command_line(),
            "minutes": round(training.seconds / 60, 1),
            "cpu_minutes": round(training.cpu_seconds / 60, 1),
            "threads": torch.get_num_threads(),
            "device": device_name(training.device),
            "curve": [[row["epoch"], round(row["loss"], 4), round(row["accuracy"], 4)] for row in training.rows],
        },
    )
    if options.animation:
        animate(folder / "moments", data.test, training.watched, options.animation)
    if options.pictures:
        draw_epochs(folder / "moments", data.test, training.watched, training.steps, options.pictures)
        draw_all(network, data, options.pictures)
    if options.json:
        return json.dumps({"output": str(options.output), "sha256": written.sha256, "results": results}, indent=2)
    lines = [f"{name:>25}: {value:.4f}" for name, value in results.items()]
    lines.append(
        f"wrote {options.output} and its card after {training.seconds / 60:.1f} minutes of training "
        f"({training.cpu_seconds / 60:.1f} of the CPU); log and checkpoint are in {folder}"
    )
    return "\n".join(lines)


def command_line() -> str:
    """What was typed, for a card."""
    return shlex.join(["python", "tools/embed.py", *sys.argv[1:]])


def _refuse(options: argparse.Namespace) -> None:
    """Wrong names of files, before anything is read or trained.

    Raises:
        ValueError: another suffix than what is written, or a file that is there.
    """
    endings: dict[str, tuple[str, ...]] = {"output": (".safetensors",), "animation": (".gif", ".mp4")}
    for name, suffixes in endings.items():
        path: Any = getattr(options, name)
        if path is None:
            continue
        if path.suffix not in suffixes:
            raise ValueError(f"--{name} must end in {' or '.join(suffixes)}, got {path}")
        refuse_existing(path, options.overwrite)
    if options.pictures and options.pictures.exists() and any(options.pictures.iterdir()) and not options.overwrite:
        raise ValueError(f"{options.pictures} is not empty; give another folder or --overwrite")
