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
import dataclasses
import datetime
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from learning.embedding import LOSSES, EmbeddingTraining
from learning.embedding_arguments import (
    add_data_arguments,
    add_recipe_arguments,
    card_of,
    read_to_learn,
    recipe_of,
    suited,
)
from learning.embedding_data import Parts
from learning.embedding_network import MEMBERS, join, load_embedding, save_embedding
from learning.embedding_scores import judge
from learning.progress import device_name
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
    add("--members", type=int, choices=MEMBERS, metavar="N", help="networks trained apart and joined (default: 1)")
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
    from learning.embedding_plots import animate, draw_epochs
    from learning.embedding_show import draw_all

    if options.threads:
        torch.set_num_threads(options.threads)
    data = read_to_learn(options)
    folder = options.folder or Path("runs/embed") / options.output.stem
    trainings = list(_trainings(options, data, folder))
    network = join([training.run() for training in trainings])
    results = judge(network, data)
    record = _record(trainings, {"name": options.dataset, **data.train.summary()})
    written = save_embedding(
        network,
        options.output,
        date=datetime.date.today().isoformat(),
        results=[
            {"data": f"{options.dataset}, test part", **{name: round(value, 4) for name, value in results.items()}}
        ],
        training=record,
    )
    first = trainings[0]
    if options.animation:
        animate(first.folder / "moments", data.test, first.watched, options.animation)
    if options.pictures:
        draw_epochs(first.folder / "moments", data.test, first.watched, first.steps, options.pictures)
        draw_all(network, data, options.pictures)
    if options.json:
        return json.dumps({"output": str(options.output), "sha256": written.sha256, "results": results}, indent=2)
    lines = [f"{name:>25}: {value:.4f}" for name, value in results.items()]
    lines.append(
        f"wrote {options.output} and its card after {record['minutes']} minutes of training "
        f"({record['cpu_minutes']} of the CPU); log and checkpoint are in {folder}"
    )
    return "\n".join(lines)


def _trainings(options: argparse.Namespace, data: Parts, folder: Path) -> Iterator[EmbeddingTraining]:
    """One for each member, of its own seed and in its own folder; a single one has all to itself."""
    card, recipe = card_of(options.loss, options, data), recipe_of(options.loss, options, len(data.train.classes))
    moments = MOMENTS if options.animation else int(options.pictures is not None)
    members = suited(options.loss, options).members
    if members > 1 and options.loss == "bce":
        raise ValueError("networks trained by bce compare each by weights of its own and cannot be joined")
    if members > 1 and options.init is not None:
        raise ValueError("members that all start from --init would learn the same; train one, by --members 1")
    for member in range(members):
        own = dataclasses.replace(recipe, seed=recipe.seed + member)
        place = folder / f"member-{member}" if members > 1 else folder
        training = EmbeddingTraining(
            card, own, data, place, options.device, 0 if member else moments, options.log_interval
        )
        if options.init is not None and training.epoch == 0:
            training.start_from(load_embedding(options.init))
        yield training


def _record(trainings: Sequence[EmbeddingTraining], data: dict[str, Any]) -> dict[str, Any]:
    """What a card says of the training, or of those of all members."""
    first = trainings[0]
    curves = [[[row["epoch"], round(row["loss"], 4), round(row["accuracy"], 4)] for row in t.rows] for t in trainings]
    return {
        "data": data,
        "recipe": vars(first.recipe),
        "command": command_line(),
        "minutes": round(sum(t.seconds for t in trainings) / 60, 1),
        "cpu_minutes": round(sum(t.cpu_seconds for t in trainings) / 60, 1),
        "threads": torch.get_num_threads(),
        "device": device_name(first.device),
        "curve": curves[0] if len(curves) == 1 else curves,
    }


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
