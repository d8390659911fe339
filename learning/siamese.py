"""Training of the tracker's networks, run by Lightning.

Lightning supplies device, precision, several processes, checkpoints, resuming and logging; what is here is what the
paper would state: the data, the loss, the schedule.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from backbones.ciresnet import CIResNet, load_imagenet_resnet50
from backbones.efficientnet_lite import MEAN, SCALE
from backbones.lite import Lite, load_imagenet
from benchmarks.siamfc import load_siamfc_network
from learning.augment import augment_pairs
from learning.crops import Cropper
from learning.distil import Hint, Imitation, Teacher
from learning.footage import Footage
from learning.frozen import quicken
from learning.losses import box_loss, logistic_loss
from learning.pairs import PairBatch, PairBatches, PairConfig
from learning.progress import Progress, Record, quiet, summary
from learning.snapshot import Snapshots
from tracker.correlation import SiamFCHead
from tracker.network import ModelCard, SiameseNetwork, channels_last, load_network, save_network


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        card: what the network is.
        pairs: length of the training in pairs.
        batch_size: pairs a step, shared among the processes.
        learning_rate: its peak (see `learning_rate_at`).
        weight_decay: of AdamW.
        search_size: side of the search crop in training; a smaller one than the card's saves time and loses nothing
            but cells, as nothing in the network is padded.
        data: how pairs are drawn.
        foreign: foreign exemplars that each search region is compared with, as negatives.
        batches_per_epoch: an epoch is no more than the interval of checkpoints.
        hint: weight of the teacher's loss, where there is a teacher (`learning.distil`).
        frozen: parts of the network (as "backbone") that stay as they were given.
    """

    card: ModelCard
    pairs: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    search_size: int = 255
    data: PairConfig = field(default_factory=PairConfig)
    foreign: int = 1
    batches_per_epoch: int = 250
    hint: float = 1.0
    frozen: Sequence[str] = ()

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return math.ceil(self.pairs / self.batch_size)

    @property
    def averaging_decay(self) -> float:
        """Decay of the weights' moving average: over 1,000 steps, or a ninth of a shorter training."""
        return 1 - 1 / max(min(1000, self.steps // 9), 2)

    def learning_rate_at(self, step: int) -> float:
        """Share of the peak learning rate: warm-up over 2 %, a plateau, a linear fall to 1 % over the last 40 %.

        On the plateau nothing depends on the end, so a run can be resumed with another length until the fall begins.
        """
        progress = step / self.steps
        return min((step + 1) / max(0.02 * self.steps, 1), 1.0, max((1 - progress) / 0.4, 0.01))


# SiamFC's own constants (Bertinetto et al. 2016; the defaults of SiamDW's class), not tuned on any benchmark.
SIAMFC_LOOP = {
    "scales": 3,
    "scale_step": 1.0375,
    "scale_penalty": 0.9745,
    "scale_rate": 0.59,
    "window_influence": 0.35,
}


# Chosen by overlap on the sequences kept out of training (`learning.readers.HOLDOUT`) and nine that were in it.
BOX_LOOP = {"window_influence": 0.2, "scale_rate": 0.2, "online_share": 0.5, "online_spread": 0.1}


def _boxes(head: str) -> Recipe:
    """A head that regresses boxes by towers on the compact backbone."""
    return Recipe(
        ModelCard("compact", head, mean=114.0, scale=1 / 64, config=BOX_LOOP, licence="research use only"),
        pairs=300_000,
    )


def _siamfc(backbone: str) -> Recipe:
    """SiamFC's head on a backbone that takes all the time: small search regions, many foreign exemplars."""
    return Recipe(
        ModelCard(backbone, "siamfc", mean=114.0, scale=1 / 64, config=SIAMFC_LOOP, licence="research use only"),
        pairs=60_000,
        batch_size=16,
        learning_rate=1e-3,
        search_size=191,
        foreign=6,
        data=PairConfig(shift=28.0),
        batches_per_epoch=100,
    )


RECIPES = {
    "compact": Recipe(
        ModelCard("compact", "siamfc_box", mean=114.0, scale=1 / 64, config=BOX_LOOP, licence="research use only"),
        pairs=440_000,
        search_size=191,
        foreign=6,
        data=PairConfig(shift=28.0),
    ),
    "ciresnet22": _siamfc("ciresnet22"),
    "lite": Recipe(
        ModelCard("lite", "siamfc_box", mean=MEAN, scale=SCALE, config=BOX_LOOP, licence="research use only"),
        pairs=60_000,
        search_size=191,
        foreign=6,
        data=PairConfig(shift=28.0),
        frozen=("backbone.early", "backbone.late"),
    ),
    "ciresnet16": _siamfc("ciresnet16"),
    "ciresnet22w": _siamfc("ciresnet22w"),
    "ciresinception22": _siamfc("ciresinception22"),
    "ciresnext22": _siamfc("ciresnext22"),
    "alexnet": _siamfc("alexnet"),
    "compact_box": _boxes("box"),
    "compact_pixel": _boxes("pixel"),
}


class PairData(L.LightningDataModule):
    """Batches of pairs; each epoch and process has a seed of its own, so that a resumed run goes on to new pairs."""

    def __init__(self, footage: Footage, recipe: Recipe, seed: int = 0) -> None:
        super().__init__()
        self.footage, self.recipe, self.seed = footage, recipe, seed

    def train_dataloader(self) -> DataLoader:
        """One epoch. Only indices and maps come from here: they are cheap, so there is no worker process."""
        assert self.trainer is not None
        card, recipe = self.recipe.card, self.recipe
        seed = (self.seed, self.trainer.current_epoch, self.trainer.global_rank)
        batches = PairBatches(
            self.footage,
            recipe.batch_size // self.trainer.world_size,
            recipe.batches_per_epoch,
            seed,
            card.exemplar_size,
            recipe.search_size,
            recipe.data,
        )
        return DataLoader(batches, batch_size=None)


class SiameseTraining(L.LightningModule):
    """One step: crop and augment on the device, compare each exemplar with its own and with a foreign search region."""

    def __init__(self, recipe: Recipe, seed: int = 0, compiled: bool = False, teacher: Path | None = None) -> None:
        super().__init__()
        self.recipe, self.seed, self.teacher_file = recipe, seed, teacher
        self.network = channels_last(SiameseNetwork(recipe.card))
        channels: Any = self.network.backbone.out_channels
        features_only = teacher is not None and teacher.suffix == ".onnx"
        self.hint = Hint(channels, Teacher(teacher).channels) if teacher and features_only else None
        self.imitation = Imitation() if teacher and not features_only else None
        if self.imitation is not None and not isinstance(self.network.head, SiamFCHead):
            raise ValueError(
                f"{teacher}: only a network that correlates as SiamFC does can learn a SiamFC's responses; the head "
                f"{recipe.card.head!r} takes the features of an .onnx backbone for a teacher"
            )
        for part in recipe.frozen:
            if part not in (known := dict(self.network.named_modules())):
                raise ValueError(f"nothing in {recipe.card.backbone} with {recipe.card.head} is called {part!r}")
            known[part].requires_grad_(False)
        if compiled:
            self.network.backbone.compile(dynamic=False)  # one graph for exemplars, one for search regions
        self.loss = logistic_loss if isinstance(self.network.head, SiamFCHead) else box_loss
        self.train()

    def on_fit_start(self) -> None:
        """Put the images where the crops are wanted; not before, as the averaging of weights copies this module."""
        self.cropper = Cropper(self.trainer.datamodule.footage.images, self.device)  # type: ignore[attr-defined]
        self.noise = torch.Generator(self.device)
        if self.device.type == "cpu" and importlib.util.find_spec("openvino"):
            for part in self.recipe.frozen:
                quicken(self.network.get_submodule(part))
        if self.teacher_file is None:
            return
        if self.hint is not None:
            self.teacher = Teacher(self.teacher_file, torch.get_num_threads())
        else:
            # in a list, or it would be a part of this module, its weights learned and saved
            self.responding_teacher = [load_siamfc_network(self.teacher_file).fused().to(self.device)]

    def train(self, mode: bool = True) -> SiameseTraining:
        """As of any module, but what is frozen keeps its normalisation's statistics, too."""
        super().train(mode)
        for part in self.recipe.frozen:
            self.network.get_submodule(part).eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Augment each epoch by a seed of its own."""
        self.noise.manual_seed(hash((self.seed, self.current_epoch, self.global_rank)) & 0xFFFFFFFF)

    def training_step(self, batch: PairBatch, index: int) -> Tensor:
        """Losses of a batch."""
        card, size = self.recipe.card, self.recipe.search_size
        boxes = batch.boxes
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            exemplars = self.cropper(
                batch.exemplar_images, batch.exemplar_maps, batch.exemplar_borders, card.exemplar_size
            )
            behind = self.cropper(batch.behind_images, batch.behind_maps, batch.behind_borders, size)
            searches = self.cropper(batch.search_images, batch.search_maps, behind, size)
            exemplars, searches = augment_pairs(exemplars, searches, boxes, self.noise)
        exemplar_features = self.network.features(exemplars)
        kernels = self.network.head.template(exemplar_features)
        features = self.network.features(searches)
        response = self.network.head.search(features, kernels)
        rolls = range(1, self.recipe.foreign + 1)
        others = torch.cat([self.network.head.logits(features, kernels.roll(k, 0)) for k in rolls], dim=1)
        foreign = torch.stack([batch.scenes != batch.scenes.roll(k, 0) for k in rolls], dim=1)
        parts = self.loss(response.float(), boxes, others.float(), foreign, card.stride, size)
        if self.imitation is not None:
            logits = torch.cat([response[:, :1], others], dim=1).float()
            imitation = self.imitation(logits, self.taught(exemplars, searches))
            parts["imitation"] = imitation.detach()
            parts["loss"] = parts["loss"] + imitation
        if self.hint is not None:
            looks = ((exemplars, exemplar_features, card.exemplar_size), (searches, features, size))
            hints = [self.hint(seen, self.teacher(crops), card.stride, side) for crops, seen, side in looks]
            parts["hint"] = torch.stack(hints).mean().detach()
            parts["loss"] = parts["loss"] + self.recipe.hint * torch.stack(hints).mean()
        self.log_dict(parts)
        return parts["loss"]

    @torch.no_grad()
    def taught(self, exemplars: Tensor, searches: Tensor) -> Tensor:
        """(n, 1 + K, R, R) response of a teacher of SiamFC's kind to its own and K foreign exemplars."""
        (teacher,) = self.responding_teacher
        kernels, features = teacher.template(exemplars), teacher.features(searches)
        return torch.cat(
            [teacher.head.search(features, kernels.roll(k, 0)) for k in range(self.recipe.foreign + 1)], dim=1
        ).float()

    def configure_optimizers(self) -> Any:
        """AdamW, without decay on norms, biases and scales."""
        learned = [p for p in self.parameters() if p.requires_grad]
        decayed = [p for p in learned if p.ndim > 1]
        others = [p for p in learned if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.recipe.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.recipe.learning_rate_at)
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]


def _start_from(network: SiameseNetwork, source: Path) -> None:
    """Put weights into a network before it is trained.

    Args:
        network: as it is built.
        source: our own weights (.safetensors) of the same backbone and head, or ImageNet's: torchvision's ResNet-50 for
            a CIResNet-22, EfficientNet-Lite0 for `Lite`.

    Raises:
        ValueError: the network has another backbone or head, or the file does not fit.
        WeightsError: our own weights are missing or damaged.
    """
    if source.suffix == ".safetensors":
        known = load_network(source)
        kinds = [(card.backbone, card.head) for card in (known.card, network.card)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{source} holds a {' with '.join(kinds[0])}; to be trained is a {' with '.join(kinds[1])}"
            )
        network.load_state_dict(known.state_dict())
    elif isinstance(network.backbone, CIResNet):
        load_imagenet_resnet50(network.backbone, source)
    elif isinstance(network.backbone, Lite):
        load_imagenet(network.backbone, source)
    else:
        raise ValueError(f"ImageNet weights fit ciresnet22 and lite, not {network.card.backbone}")


def train(
    recipe: Recipe,
    footage: Footage,
    folder: Path,
    accelerator: str = "auto",
    precision: str = "bf16-mixed",
    devices: int | str = "auto",
    seed: int = 0,
    compiled: bool = False,
    init: Path | None = None,
    teacher: Path | None = None,
    progress: bool = True,
) -> SiameseNetwork:
    """Train, or go on from the last checkpoint in `folder`.

    Args:
        recipe: what and how.
        footage: the training data.
        folder: for the checkpoint, and each start's log and record (`learning.progress`).
        accelerator, precision, devices: as Lightning names them.
        seed: of weights, pairs and augmentation.
        compiled: fuse the backbone's operations by `torch.compile` (a minute to start, a quarter faster).
        init: weights to start from: our own, or ImageNet's (see `_start_from`).
        teacher: an ONNX backbone to learn from as well (`learning.distil`).
        progress: show how far it is.

    Returns:
        The network with averaged weights.

    Raises:
        KeyboardInterrupt: Ctrl-C; the checkpoint in `folder` is whole.
    """
    with quiet():
        L.seed_everything(seed, verbose=False)
        module = SiameseTraining(recipe, seed, compiled, teacher)
        if init is not None:
            _start_from(module.network, init)
        logger = CSVLogger(folder, name="")  # a new version for each start: none overwrites another's
        trainer = L.Trainer(
            accelerator=accelerator,
            devices=devices,
            precision=precision,  # type: ignore[arg-type]
            max_steps=recipe.steps,
            max_epochs=-1,
            reload_dataloaders_every_n_epochs=1,
            gradient_clip_val=10.0,
            logger=logger,
            log_every_n_steps=50,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[
                ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False),
                EMAWeightAveraging(decay=recipe.averaging_decay, use_buffers=True),
                Snapshots(folder, recipe),
                Progress(recipe.batch_size, recipe.steps, progress),
                Record(logger.log_dir),
            ],
        )
        if recipe.batch_size % trainer.world_size:
            raise ValueError(f"{trainer.world_size} processes cannot share {recipe.batch_size} pairs a step evenly")
        last = folder / "last.ckpt"
        if last.exists() and (finished := torch.load(last, "cpu", weights_only=True))["global_step"] >= recipe.steps:
            # averaged; a trainer with nothing left would not swap them in
            module.load_state_dict(finished["state_dict"])
            return module.network.eval()
        try:
            trainer.fit(module, PairData(footage, recipe, seed), ckpt_path=str(last) if last.exists() else None)
        except SystemExit as stopped:  # Lightning's answer to Ctrl-C; how the process ends is the caller's business
            raise KeyboardInterrupt from stopped
    return module.network.eval()


def origin(source: Path) -> dict[str, Any]:
    """What a card says of a file that its training began with: name, hash, and of our own weights their training."""
    if source.suffix != ".safetensors":
        return {"file": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
    card = ModelCard.read(source.with_suffix(".json"))
    training = {name: value for name, value in card.training.items() if name != "calibration"}
    return {"file": source.name, "sha256": card.sha256, "training": training}


def train_and_save(
    recipe: Recipe,
    footage: Footage,
    folder: Path,
    output: Path,
    command: str,
    threads: int | None = None,
    teacher: Path | None = None,
    **options: Any,
) -> ModelCard | None:
    """Train by `train` and write the weights (fp16) with a card that says what they are.

    Args:
        recipe, footage, folder: see `train`.
        output: the .safetensors file.
        command: what trains the model again, for the card.
        threads: CPU threads of torch; `None` leaves torch's own choice.
        teacher: see `train`; the card names it.
        options: of `train`.

    Returns:
        The card as written; `None` in all processes but the first, which alone writes.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    network = train(recipe, footage, folder, teacher=teacher, **options)
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        return None
    training: dict[str, Any] = {
        "data": footage.summary(),
        "pairs": recipe.steps * recipe.batch_size,
        "batch_size": recipe.batch_size,
        "command": command,
        **summary(folder),
    }
    began_with = {"teacher": teacher, "init": options.get("init")}
    training |= {part: origin(source) for part, source in began_with.items() if source is not None}
    return save_network(network, output, half=True, training=training, date=datetime.date.today().isoformat())
