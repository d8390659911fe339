"""Training of the network for co-segmentation, and at the same time of its decoder that sees each image alone.

The second learns to mask every thing that is masked in the data. That teaches the encoder, which both share, what an
object is, and it is what the first is compared with: what can be known without the other image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from backbones.cosegmentation import CosegmentationNetwork, ImageNetEncoder
from backbones.efficientnet_lite import load_imagenet
from learning.cosegmentation import Cosegmenter, build, load, new_card, save
from learning.cosegmentation_data import (
    CLASS_FOLDERS,
    TEST_SHARE,
    Photo,
    Split,
    read_backgrounds,
    read_class_folders,
    read_split,
    shown_by,
)
from learning.cosegmentation_evaluation import (
    COMPOSED,
    as_json,
    ask,
    best_threshold,
    composed_pairs,
    evaluate,
    natural_pairs,
    table,
)
from learning.cosegmentation_pairs import PairBatch, PairBatches, PairConfig, PairSampler, augment
from learning.progress import device_name
from tracker.network import ModelCard, WeightsError

log = logging.getLogger(__name__)

LOSSES = ("common", "salient")
LONGEST_SIDE = 192  # of the photographs; the network sees less of them
WARM_UP = 50  # steps
TRUSTS = (1.0, 0.85, 0.7, 0.5)  # in the other image, to choose from
APART = 0.25  # least difference of the Jaccard index that an unrelated image in its place must make
LEAST_MASKED, MOST_MASKED, SURE = 0.04, 0.75, 0.8  # of photographs that are masked by a network: see `masked_by`
AVERAGING_DECAY = 0.995  # of the moving average of the weights


@dataclass(frozen=True)
class Recipe:
    """How the network is trained.

    Attributes:
        pairs: length of the training in pairs.
        batch_size: pairs a step.
        learning_rate: its peak; it rises over 50 steps, stays, and falls to 1 % over the last half.
        weight_decay: of AdamW.
        size: side of the pictures.
        seed: of everything.
        encoder: one of `backbones.cosegmentation.ENCODERS`.
        init: what to start from: a .pth file of EfficientNet-Lite0's weights, for the encoder; a .safetensors file of a
            network for co-segmentation, for all of it; or "" for nothing.
        frozen: the encoder stays as it starts, where it starts from something.
        classes: a folder with photographs of each class, to be masked by the network that is started from, or "".
        data: how pairs are drawn.
        every: steps between checkpoints.
    """

    pairs: int = 64_000
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    size: int = 160
    seed: int = 0
    encoder: str = "efficientnet_lite0"
    init: str = ""
    frozen: bool = True
    classes: str = ""
    data: PairConfig = field(default_factory=PairConfig)
    every: int = 100

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return max(1, self.pairs // self.batch_size)

    def rate_at(self, step: int) -> float:
        """Share of the peak learning rate at a step.

        On the plateau nothing depends on the end, so a run can be resumed with another length until the fall begins.
        """
        progress = step / self.steps
        return min((step + 1) / WARM_UP, 1.0, max((1 - progress) / 0.5, 0.01))

    def settings(self) -> str:
        """All that must be the same when a run is resumed: everything but its length."""
        return json.dumps({**dataclasses.asdict(self), "pairs": None})


def mask_loss(logits: tuple[Tensor, ...], masks: tuple[Tensor, ...]) -> Tensor:
    """Binary cross-entropy of each image's mask, summed over the images of a pair (section 3.4).

    Args:
        logits: (N, S, S) of each image.
        masks: (N, S, S) of 0 and 1.

    Returns:
        The sum over the images of the mean over pairs and pixels.
    """
    losses = [
        F.binary_cross_entropy_with_logits(said.float(), true.float()) for said, true in zip(logits, masks, strict=True)
    ]
    return torch.stack(losses).sum()


def start_from(network: CosegmentationNetwork, init: str) -> None:
    """Copy weights into a network: see `Recipe.init`.

    Raises:
        WeightsError: there are none, or they do not fit.
    """
    if init.endswith(".pth"):
        if not isinstance(network.encoder, ImageNetEncoder):
            raise WeightsError(f"{init}: ImageNet's weights fit the encoder efficientnet_lite0 only")
        load_imagenet(network.encoder.trunk, init)
        return
    try:
        network.load_state_dict(load(init)[0].state_dict())
    except RuntimeError as error:
        raise WeightsError(f"{init}: of a network of another size: {error}") from error


def masked_by(segmenter: Cosegmenter, folder: str | Path) -> tuple[list[Photo], list[Photo]]:
    """Photographs of a folder a class, each with what a network says stands out in it as the mask of its class.

    Two of one class look less alike than two frames of a video, and there are more classes than in the data with masks.
    Where the network is not sure, or what stands out is a speck or nearly everything, a photograph is left out.

    Returns:
        Those to train on, and those of every tenth class, to choose the thresholds by.

    Raises:
        FileNotFoundError, ValueError: see `read_class_folders`.
    """
    by_class: dict[str, list[Photo]] = {}
    for name, path, image in read_class_folders(folder, LONGEST_SIDE):
        photos = by_class.setdefault(name, [])
        probability = segmenter.saliency(image)
        mask = probability > segmenter.saliency_threshold
        if LEAST_MASKED < mask.mean() < MOST_MASKED and probability[mask].mean() > SURE:
            photos.append(Photo(path, CLASS_FOLDERS, image, {name: mask}, frozenset(shown_by([name]))))
    kept_out = list(by_class)[TEST_SHARE - 1 :: TEST_SHARE]
    train, validation = (
        [photo for name, photos in by_class.items() if (name in kept_out) is chosen for photo in photos]
        for chosen in (False, True)
    )
    return train, validation


class Run:
    """A training: the network, its optimiser and average, and the step that they have reached.

    Args:
        recipe: of the training.
        folder: of its checkpoint and log.
        device: to train on.
        half: compute in bf16 where torch may.
    """

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device, half: bool) -> None:
        self.recipe, self.folder, self.device, self.half = recipe, folder, device, half
        self.card = new_card(recipe.size, recipe.encoder)
        torch.manual_seed(recipe.seed)
        self.network = build(self.card).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        if recipe.init:
            start_from(self.network, recipe.init)
            if recipe.frozen:
                self.network.encoder.eval().requires_grad_(False)
        averaging = get_ema_multi_avg_fn(AVERAGING_DECAY)
        self.average = AveragedModel(self.network, multi_avg_fn=averaging, use_buffers=True)
        self.learned = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.learned, weight_decay=recipe.weight_decay)
        self.step, self.seconds = 0, 0.0
        self.curve: dict[str, list[float]] = {}

    @property
    def checkpoint(self) -> Path:
        """The file that the run goes on from."""
        return self.folder / "checkpoint.pt"

    def write(self) -> None:
        """Write the checkpoint, replacing the last one only when it is complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "recipe": self.recipe.settings(),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            ValueError: it is damaged, or of another recipe.
        """
        if not self.checkpoint.is_file():
            return
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        except Exception as error:  # foreign bytes make an unpickler raise anything
            raise ValueError(
                f"{self.checkpoint} is no checkpoint ({type(error).__name__}); remove it to start anew"
            ) from error
        if state.get("recipe") != self.recipe.settings():
            raise ValueError(
                f"{self.folder} holds a training with other settings; give the same ones, another --run, or remove it"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        log.info("going on from step %s of %s", f"{self.step:,}", f"{self.recipe.steps:,}")

    def learn(self, batch: PairBatch) -> dict[str, float]:
        """One step.

        Returns:
            Both losses.

        Raises:
            FloatingPointError: a loss is not finite; nothing has been changed by it.
        """
        generator = torch.Generator(self.device).manual_seed(hash((self.recipe.seed, self.step)) & 0xFFFFFFFF)
        images = augment(batch.images.to(self.device).float(), generator)
        inputs = ((images - self.card.mean) * self.card.scale).contiguous(memory_format=torch.channels_last)
        n = len(inputs) // 2
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
            features = self.network.encode(inputs)
            said = self.network.common(features, features.rolled(n)), features.salient
        losses = {
            name: mask_loss(logits.split(n), masks.to(self.device).split(n))
            for name, logits, masks in zip(LOSSES, said, (batch.common, batch.salient), strict=True)
        }
        for name, loss in losses.items():
            if not loss.isfinite():
                raise FloatingPointError(
                    f"the loss of the {name} masks is {loss.item()} at step {self.step:,}; the last checkpoint is "
                    f"{self.checkpoint}; try a smaller learning rate, in another --run"
                )
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * self.recipe.rate_at(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.learned, 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return {name: loss.item() for name, loss in losses.items()}

    def averaged(self) -> CosegmentationNetwork:
        """The moving average of the weights, for use."""
        network = self.average.module
        assert isinstance(network, CosegmentationNetwork)
        return network.eval()


def train(
    data: str | Path,
    output: str | Path,
    run: str | Path,
    recipe: Recipe,
    device: str = "cpu",
    half: bool | None = None,
    threads: int | None = None,
    workers: int = 0,
    command: str = "",
) -> ModelCard:
    """Train a network on the data below `data`, and write it as `output`, with its card beside it.

    Args:
        data: see `read_split`.
        output: .safetensors file.
        run: folder of the checkpoint; a training that was stopped goes on from it.
        recipe: how.
        device: to train on.
        half: compute in bf16; None: where the processor or GPU has it.
        threads: of torch, process-wide; None leaves it alone.
        workers: processes that compose pictures; 0: none but this one.
        command: for the card.

    Returns:
        The card: its results are those of `evaluate`, where anything below `data` is kept for the test.

    Raises:
        FileNotFoundError: no data.
        ValueError: unusable data, or a run of other settings.
        FloatingPointError: a loss became NaN or infinite.
    """
    if recipe.classes and not recipe.init.endswith(".safetensors"):
        raise ValueError("photographs without masks are masked by an earlier network; give it as --init")
    if threads is not None:
        torch.set_num_threads(threads)
    target = torch.device(device)
    split = read_split(data, LONGEST_SIDE)
    if recipe.classes:
        more = masked_by(Cosegmenter.from_pretrained(recipe.init, device), recipe.classes)
        split.train.extend(more[0])
        split.validation.extend(more[1])
    sampler = PairSampler(
        split.train, read_backgrounds(data, LONGEST_SIDE), dataclasses.replace(recipe.data, size=recipe.size)
    )
    state = Run(recipe, Path(run), target, has_bf16(target) if half is None else half)
    state.resume()
    _fit(state, sampler, workers)
    training = _training_record(state, split, command)
    chosen, training["validation"] = _choose(state, split)
    card = dataclasses.replace(state.card, config={**state.card.config, **chosen})
    card = save(state.averaged(), card, output, training=training, date=datetime.date.today().isoformat())
    return _with_results(card, data, Path(output), device) if split.test else card


def _with_results(card: ModelCard, data: str | Path, path: Path, device: str) -> ModelCard:
    """The card with the table of `evaluate` in it, written anew."""
    rows = as_json(evaluate(data, path, device))
    tested = "pairs of photographs kept out of training (learning/cosegmentation_data.py)"
    card = dataclasses.replace(card, results=[{"data": tested, "pairs of": name, **row} for name, row in rows.items()])
    card.write(path.with_suffix(".json"))
    return card


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 on a device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    with contextlib.suppress(AttributeError):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def _batches(state: Run, sampler: PairSampler, workers: int) -> Iterator[PairBatch]:
    recipe = state.recipe
    batches = PairBatches(sampler, recipe.batch_size, recipe.steps, recipe.seed)
    order = range(state.step, recipe.steps)
    yield from DataLoader(batches, batch_size=None, sampler=order, num_workers=workers)


def _fit(state: Run, sampler: PairSampler, workers: int) -> None:
    """Train to the end, with a checkpoint and a line of the log every `recipe.every` steps."""
    recipe = state.recipe
    since = time.perf_counter()
    sums, count = dict.fromkeys(LOSSES, 0.0), 0
    bar = tqdm(desc="train", initial=state.step, total=recipe.steps, unit="step", disable=None)
    with bar:
        for batch in _batches(state, sampler, workers):
            for name, loss in state.learn(batch).items():
                sums[name] += loss
            count += 1
            bar.update()
            if state.step % recipe.every == 0 or state.step == recipe.steps:
                now = time.perf_counter()
                state.seconds += now - since
                means = {name: round(total / count, 4) for name, total in sums.items()}
                state.curve[str(state.step)] = list(means.values())
                words = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
                speed = count * recipe.batch_size / (now - since)
                if bar.disable:
                    log.info("step %s of %s: %s; %.1f pairs/s", f"{state.step:,}", f"{recipe.steps:,}", words, speed)
                bar.set_postfix_str(words)
                state.write()
                since, sums, count = now, dict.fromkeys(LOSSES, 0.0), 0


def _choose(state: Run, split: Split) -> tuple[dict[str, float], dict[str, Any]]:
    """Trust and thresholds of the highest Jaccard index on photographs kept out of training, and the index.

    A network that has learned from few classes is too sure that new ones have nothing in common, so that less trust in
    the other image finds more; but an unrelated image must still make a difference of `APART`. Nothing is chosen where
    no photographs are kept out.
    """
    pairs = natural_pairs(split.validation)
    if len(split.validation) > 1:
        pairs += composed_pairs(split.validation, COMPOSED // 2)
    if not pairs:
        return {}, {}
    found = []
    for trust in TRUSTS:
        card = dataclasses.replace(state.card, config={**state.card.config, "trust": trust})
        answers = ask(Cosegmenter(state.averaged(), card, state.device), pairs)
        thresholds = {method: best_threshold(answers, method) for method in ("cosegmentation", "saliency")}
        found.append((trust, thresholds, table(answers, thresholds)))
    means = [rows[-1].jaccard for _, _, rows in found]
    apart = [mean["cosegmentation"] - mean["swapped"] >= APART for mean in means]
    best = max(range(len(found)), key=lambda index: (apart[index], means[index]["cosegmentation"]))
    trust, thresholds, rows = found[best]
    chosen = {
        "trust": trust,
        "threshold": thresholds["cosegmentation"],
        "saliency_threshold": thresholds["saliency"],
    }
    return chosen, {row.group: {name: round(value, 3) for name, value in row.jaccard.items()} for row in rows}


def _origin(init: str) -> Any:
    """What a card says of the file that its training began with: of an earlier network its training, too."""
    path = Path(init)
    if path.suffix != ".safetensors":
        return path.name if init else "random"
    card = ModelCard.read(path.with_suffix(".json"))
    return {"file": path.name, "sha256": card.sha256, "training": card.training}


def _training_record(state: Run, split: Split, command: str) -> dict[str, Any]:
    sources: dict[str, int] = {}
    for photo in split.train:
        sources[photo.source] = sources.get(photo.source, 0) + 1
    steps = sorted(state.curve, key=int)
    shown = sorted({steps[(len(steps) - 1) * point // 9] for point in range(10)}, key=int) if steps else []
    return {
        "data": {f"{source} photographs": count for source, count in sorted(sources.items())},
        "pairs": state.recipe.steps * state.recipe.batch_size,
        "batch_size": state.recipe.batch_size,
        "init": _origin(state.recipe.init),
        "seed": state.recipe.seed,
        "command": command,
        "minutes": round(state.seconds / 60, 1),
        "device": device_name(state.device),
        "threads": torch.get_num_threads(),
        "precision": "bf16-mixed" if state.half else "fp32",
        "torch": torch.__version__,
        "curve": {step: state.curve[step] for step in shown},
    }
