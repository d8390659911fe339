"""Train networks that judge whether two detections show the same object, and judge them.

    python -m learning.pair_train towers --data ../shared/data/mot/PETS09-S2L1 --frames 1-450 \\
        --output towers.safetensors

A run that was stopped goes on from its last checkpoint in --run.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import math
import shlex
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.pair import PATCH_SIZE, TOPOLOGIES, PairNetwork, build_pair_network
from learning.losses import contrastive_loss
from learning.pair_data import PairBatch, PairFootage, PairSampler, read_pair_footage
from learning.progress import device_name
from tracker.arguments import positive, refuse_existing
from tracker.association.appearance import PairCard, save_pair_network

log = logging.getLogger(__name__)

SAVE_EVERY = 100  # steps


@dataclass(frozen=True)
class PairRecipe:
    """How a pair network is trained.

    Attributes:
        topology: see `backbones.pair.build_pair_network`.
        steps: batches.
        pairs: of a batch.
        learning_rate: at the start of a cosine down to nothing, after a short warm-up.
        decay: of the weights (AdamW).
        margin: of the contrastive loss.
        average: share of the averaged weights that a step leaves (they are what is saved).
    """

    topology: str
    steps: int
    pairs: int
    learning_rate: float = 2e-3
    decay: float = 0.05
    margin: float = 1.0
    average: float = 0.99


# each less than five minutes of one core
RECIPES = {
    "towers": PairRecipe("towers", 900, 512),
    "in_network": PairRecipe("in_network", 700, 128),
    "joint": PairRecipe("joint", 700, 64),
}


def pair_loss(network: PairNetwork, batch: PairBatch, margin: float) -> Tensor:
    """Contrastive loss of towers, cross-entropy of the softmax over "same" and "other" of the others."""
    embedded = network.embed(batch.patches)
    a, b = embedded[batch.first], embedded[batch.second]
    if network.distance:
        return contrastive_loss(a, b, batch.same, margin)
    return F.binary_cross_entropy_with_logits(network.compare(a, b), batch.same.float())


def train_pairs(
    recipe: PairRecipe, footage: PairFootage, run: Path, seed: int = 0, save_every: int = SAVE_EVERY
) -> tuple[PairNetwork, dict[str, Any]]:
    """Train, or go on with what `run` holds.

    Args:
        recipe: what and how.
        footage: to learn from.
        run: folder of the checkpoint.
        seed: of weights and batches.
        save_every: steps between two checkpoints.

    Returns:
        The network with its averaged weights, in evaluation mode, and what to say of the training in its card.

    Raises:
        ValueError: the footage has no pairs, or the checkpoint is of another recipe.
        FloatingPointError: the loss is no longer a number; the last checkpoint before it is kept.
    """
    torch.manual_seed(seed)
    network = build_pair_network(recipe.topology, footage.size)
    sampler = PairSampler(footage, recipe.pairs)
    optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.decay)
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    parts = {"network": network, "optimiser": optimiser, "averaged": averaged}
    checkpoint = Checkpoint(run / f"{recipe.topology}.ckpt", asdict(recipe) | {"seed": seed, "length": len(footage)})
    done = checkpoint.load(parts)
    step, minutes, curve = done["step"], done["minutes"], done["curve"]
    since = time.perf_counter()
    network.train()
    recent: list[float] = []
    while step < recipe.steps:
        torch.manual_seed(seed * recipe.steps + step)  # so that a run that goes on does what it would have done
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _rate(step, recipe.steps)
        batch = sampler.draw(np.random.default_rng([seed, step]))
        with torch.autocast("cpu", torch.bfloat16):  # more than twice as fast where a processor has it
            loss = pair_loss(network, batch, recipe.margin)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss of step {step} is {value}; {checkpoint.path} is from before it")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        averaged.update_parameters(network)
        recent.append(value)
        step += 1
        if step % save_every == 0 or step == recipe.steps:
            curve[str(step)] = round(sum(recent) / len(recent), 4)
            log.info("%s: step %d of %d, loss %.4f", recipe.topology, step, recipe.steps, curve[str(step)])
            recent.clear()
            done = {"step": step, "minutes": minutes + (time.perf_counter() - since) / 60, "curve": curve}
            checkpoint.save(parts, done)
    training = {
        **asdict(recipe),
        "seed": seed,
        "minutes": round(done["minutes"], 1),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "curve": curve,
    }
    trained = cast(PairNetwork, averaged.module)
    return trained.eval(), training


def _rate(step: int, steps: int) -> float:
    """Share of the learning rate: up in a twentieth of the steps, then down a cosine."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Checkpoint:
    """The state of a run in one file, which is replaced at once or not at all.

    Args:
        path: the file.
        meant: what the run was asked to do; a file of another run is refused.
    """

    def __init__(self, path: Path, meant: dict[str, Any]) -> None:
        self.path, self.meant = path, meant

    def load(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Put the stored state into `parts`, where there is one; returns "step", "minutes" and "curve".

        Raises:
            ValueError: the file is damaged, or of another run.
        """
        if not self.path.is_file():
            return {"step": 0, "minutes": 0.0, "curve": {}}
        try:
            stored = torch.load(self.path, "cpu", weights_only=True)
        except Exception as error:  # damaged bytes make an unpickler raise anything
            raise ValueError(
                f"{self.path} cannot be read ({type(error).__name__}); delete it to begin again"
            ) from error
        if stored["meant"] != self.meant:
            raise ValueError(f"{self.path} is of another run; delete it, or give another --run")
        for name, part in parts.items():
            part.load_state_dict(stored[name])
        done: dict[str, Any] = stored["done"]
        return done

    def save(self, parts: dict[str, Any], done: dict[str, Any]) -> None:
        """Write the state of `parts`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        states = {name: part.state_dict() for name, part in parts.items()}
        partial = self.path.with_suffix(".partial")
        torch.save({"meant": self.meant, "done": done, **states}, partial)
        partial.replace(self.path)


def parse_frames(text: str) -> tuple[int, int]:
    """``FIRST-LAST``, counted from 1 as the files do, both included → 0-based."""
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"expected FIRST-LAST, frames from 1, got {text!r}")
    return int(first) - 1, int(last) - 1


def parse_size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` in pixels."""
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 16):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, 16 pixels or more each, got {text!r}")
    return int(height), int(width)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m learning.pair_train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("topology", choices=list(TOPOLOGIES), help="where the two patches meet")
    add("--data", type=Path, required=True, help="folder of one sequence: frames.mp4 or img1/, gt/gt.txt, det/det.txt")
    add("--frames", type=parse_frames, metavar="FIRST-LAST", help="to learn from, counted from 1 (default: all)")
    add("--output", type=Path, required=True, help=".safetensors file to write, its card beside it")
    add("--run", type=Path, default=Path("runs/pair"), help="folder of the checkpoint (default: %(default)s)")
    add("--size", type=parse_size, default=PATCH_SIZE, help="of the patches, HEIGHTxWIDTH (default: 121x53)")
    add("--steps", type=positive, help="batches (default: the recipe's)")
    add("--threads", type=positive, default=1, help="of the processor (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--licence", default="", help="of the weights, for the card")
    add("--overwrite", action="store_true", help="replace an existing --output")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = parse(argv)
    try:
        if options.output.suffix != ".safetensors":
            raise ValueError(f"{options.output} must end in .safetensors")
        refuse_existing(options.output, options.overwrite)
    except ValueError as error:
        print(f"pair_train: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    recipe = RECIPES[options.topology]
    if options.steps:
        recipe = replace(recipe, steps=options.steps)
    try:
        footage = read_pair_footage(options.data, options.size)
        if options.frames:
            footage = footage.between(*options.frames)
        network, training = train_pairs(recipe, footage, options.run, options.seed)
        first, last = int(footage.frame.min()) + 1, int(footage.frame.max()) + 1
        data = (
            f"{options.data.name}, frames {first} to {last}: {len(footage)} patches of its detections and ground truth"
        )
        command = shlex.join(["python", "-m", "learning.pair_train", *(sys.argv[1:] if argv is None else argv)])
        card = PairCard(
            recipe.topology,
            training={"data": data, "command": command, **training},
            licence=options.licence,
            date=datetime.date.today().isoformat(),
        )
        written = save_pair_network(network, options.output, card)
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"pair_train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pair_train: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    print(f"wrote {options.output} and its card (sha256 {written.sha256[:16]}…)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
