"""Weights of a training that is not over: points of its learning curve.

    python -m learning.snapshot runs/compact --output runs/compact_so_far.safetensors

reads the last checkpoint of a run, which may go on meanwhile, and writes the averaged weights in it, with a card that
says after how many pairs they were taken. `Snapshots` does so by itself at given numbers of pairs.

Weights taken on the plateau of the learning rate are worse than those of a training that was meant to end there, whose
learning rate had fallen (Hoffmann et al. 2022, on scaling curves read off unfinished runs); averaging makes up for part
of it. So the card says which share of its peak the learning rate had, and `learning.curve` does not fit the two
together.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import pickle
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from torch import Tensor

from learning.progress import device_name, summary
from tracker.arguments import refuse_existing
from tracker.network import ModelCard, SiameseNetwork, save_network

if TYPE_CHECKING:
    from learning.siamese import Recipe

PREFIX = "network."  # of the network's tensors among the training's


def halvings(pairs: int, count: int = 4) -> list[int]:
    """`pairs` halved once, twice, … `count` times, the shortest first: evenly spaced on a logarithmic axis."""
    return [pairs >> power for power in range(count, 0, -1)]


def save_averaged(state: Mapping[str, Tensor], recipe: Recipe, output: Path, training: Mapping[str, Any]) -> ModelCard:
    """Write weights (fp16, as a finished training does) and their card.

    Args:
        state: tensors of a `learning.siamese.SiameseTraining`, averaged.
        recipe: what was trained.
        output: .safetensors file.
        training: for the card.

    Raises:
        ValueError: the tensors are not those of the recipe's network.
    """
    network = SiameseNetwork(recipe.card)
    tensors = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"not the tensors of {recipe.card.backbone} + {recipe.card.head}: {error}") from error
    today = datetime.date.today().isoformat()
    return save_network(network.eval(), output, half=True, training=dict(training), date=today)


class Snapshots(Callback):
    """Keeps averaged weights at given numbers of pairs, as `FOLDER/at_000025000.safetensors` with a card each.

    It must stand behind the averaging among the trainer's callbacks, so that a step's average is there when it looks.

    Args:
        folder: of the run.
        recipe: what is trained.
        at: numbers of pairs; by default the training's length halved once to four times.
    """

    def __init__(self, folder: Path, recipe: Recipe, at: Sequence[int] | None = None) -> None:
        self.folder, self.recipe = folder, recipe
        self.at = sorted(halvings(recipe.pairs) if at is None else at)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock."""
        self.since = time.perf_counter()
        self.minutes = summary(self.folder).get("minutes", 0.0) if trainer.global_step else 0.0  # of earlier starts

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Write what is due."""
        done = trainer.global_step * self.recipe.batch_size
        due = [at for at in self.at if done - self.recipe.batch_size < at <= done]
        if not due or not trainer.is_global_zero:
            return
        checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAveraging):
                callback.on_save_checkpoint(trainer, module, checkpoint)  # puts the average in its place
        group = trainer.optimizers[0].param_groups[0]
        training = {
            "pairs": done,
            "batch_size": self.recipe.batch_size,
            "learning_rate_share": round(group["lr"] / group["initial_lr"], 4),
            "minutes": round(self.minutes + (time.perf_counter() - self.since) / 60, 1),
            "processes": trainer.world_size,
            "device": device_name(module.device),
            "threads": torch.get_num_threads(),
        }
        if (datamodule := getattr(trainer, "datamodule", None)) is not None:
            training |= {"data": datamodule.footage.summary(), "seed": datamodule.seed}
        for at in due:
            save_averaged(checkpoint["state_dict"], self.recipe, self.folder / f"at_{at:09d}.safetensors", training)


def snapshot(folder: Path, output: Path, recipe: Recipe, **training: Any) -> ModelCard:
    """The averaged weights in the last checkpoint of a run.

    Args:
        folder: of the run; nothing is written there unless `output` lies in it.
        output: .safetensors file.
        recipe: what is trained.
        training: further entries for the card, e.g. its data, seed or command.

    Raises:
        FileNotFoundError: there is no checkpoint yet.
        ValueError: it is damaged, or of another network.
    """
    checkpoint = _read(folder)
    scheduler = checkpoint["lr_schedulers"][0]
    entries = {
        "pairs": checkpoint["global_step"] * recipe.batch_size,
        "batch_size": recipe.batch_size,
        "learning_rate_share": round(scheduler["_last_lr"][0] / scheduler["base_lrs"][0], 4),
        **training,
        **summary(folder),
    }
    return save_averaged(checkpoint["state_dict"], recipe, output, entries)


def _read(folder: Path) -> dict[str, Any]:
    last = folder / "last.ckpt"
    if not last.is_file():
        raise FileNotFoundError(f"{folder}: no last.ckpt; the first one is written after the run's first epoch")
    try:
        checkpoint: dict[str, Any] = torch.load(last, "cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{last} is damaged or just being written ({error}); try again") from error
    if "averaging_state" not in checkpoint:
        raise ValueError(f"{last} holds no averaged weights; it is not from a training of this package")
    return checkpoint


def fitting(state: Mapping[str, Tensor], recipes: Mapping[str, Recipe]) -> list[str]:
    """Names of the recipes whose network has tensors of these names and shapes."""
    shapes = {name.removeprefix(PREFIX): t.shape for name, t in state.items() if name.startswith(PREFIX)}
    found = []
    for name, recipe in recipes.items():
        with torch.device("meta"):
            network = SiameseNetwork(recipe.card)
        if {key: value.shape for key, value in network.state_dict().items()} == shapes:
            found.append(name)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    from learning.footage import Footage
    from learning.siamese import RECIPES  # here: it imports this module

    parser = argparse.ArgumentParser(prog="python -m learning.snapshot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run, as given to tools/train.py")
    parser.add_argument("--output", type=Path, required=True, help=".safetensors file to write, its card beside it")
    parser.add_argument("--model", choices=sorted(RECIPES), help="what is trained (default: what the tensors fit)")
    parser.add_argument("--batch-size", type=int, help="pairs a step, if it is not the recipe's")
    parser.add_argument("--cache", type=Path, help="the run's decoded footage, to be counted in the card")
    parser.add_argument("--seed", type=int, help="of the run, for the card")
    parser.add_argument("--command", help="of the run, for the card")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --output")
    options = parser.parse_args(argv)
    try:
        refuse_existing(options.output, options.overwrite)
        names = [options.model] if options.model else fitting(_read(options.run)["state_dict"], RECIPES)
        if len(names) != 1:
            raise ValueError(f"{options.run}: its tensors fit {' and '.join(names) or 'no recipe'}; give --model")
        recipe = RECIPES[names[0]]
        if options.batch_size:
            recipe = dataclasses.replace(recipe, batch_size=options.batch_size)
        said: dict[str, Any] = {name: getattr(options, name) for name in ("seed", "command")}
        said["data"] = Footage.load(options.cache).summary() if options.cache else None
        given = {name: value for name, value in said.items() if value is not None}
        card = snapshot(options.run, options.output, recipe, **given)
    except (OSError, ValueError) as error:
        print(f"snapshot: {error}", file=sys.stderr)
        return 2
    share = card.training["learning_rate_share"]
    print(f"wrote {options.output}: {names[0]} after {card.training['pairs']:,} pairs, learning rate at {share:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
