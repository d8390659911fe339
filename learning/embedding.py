"""Training of embeddings: one loop for the softmax, NCA, contrastive, verification and triplet loss.

A plain loop rather than Lightning, which trains the tracker: mining wants all embeddings of a batch, or of the whole
epoch, in one place, and the networks are so small that a framework's share of each step would be felt.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from learning.embedding_augment import DISTORTIONS, distort
from learning.embedding_data import LabelledImages, Parts
from learning.embedding_network import ONE_VIEW, VIEWS, EmbeddingCard, EmbeddingNetwork
from learning.embedding_scores import evenly, neighbour_accuracy
from learning.losses import contrastive_loss, nca_loss, softmax_loss, triplet_loss, verification_loss, weighted_l1
from learning.sampling import BalancedBatches
from learning.triplets import MINING, OFFLINE, Triplets, hard_triplets, mine

log = logging.getLogger(__name__)
LOSSES = ("softmax", "nca", "contrastive", "bce", "triplet")
UNMINED = ("softmax", "nca")  # learn from each image, or from all of a batch, without pairs or triplets
GALLERY = 10_000  # training images among which the test images look for their nearest after each epoch
UNSEEN = 100  # classes never trained on, among whose images each looks for its nearest after each epoch
WATCHED = 1000  # test images whose embeddings are kept as they move
SOFTMAX_SCALE = (
    16.0  # of embeddings of length 1, whose softmax could else never be sure (Wang et al. 2017, section 3.3)
)
NCA_SCALE = 8**0.5  # of embeddings of length 1: a temperature of 1/16 in supervised contrastive learning
WARM_UP = "semi-hard"
POOL = 2000  # images among which offline mining looks for the hardest negative
COLUMNS = ("epoch", "step", "loss", "active", "accuracy", "seconds")


class TrainingStopped(ValueError):
    """The loss is no number any more; the message says where, and which checkpoint is good."""


@dataclass(frozen=True)
class EmbeddingRecipe:
    """How an embedding is trained.

    Attributes:
        loss: one of `LOSSES`.
        mining: one of `learning.triplets.MINING`; softmax and NCA need none.
        warm_up: epochs at the beginning that mine semi-hard triplets instead: from random weights the hardest ones pull
            all points together (Schroff et al. 2015, section 3.2).
        classes: P of a batch.
        images: K of a batch, which has P·K images.
        epochs: rounds; each shows as many images as there are.
        learning_rate: its peak, reached after 5 % of the steps and falling to 0 along a cosine.
        weight_decay: of AdamW; for "bce" the λ of Koch's L2 term instead.
        margin: of the contrastive and the triplet loss; ``None``: soft (triplet only).
        squared: the triplet loss compares squared distances.
        augment: name of a distortion (`learning.embedding_augment.DISTORTIONS`).
        grouped: share of the batches of whole groups, where the data have groups.
        precision: "bf16" computes all but the last layer and the loss with half the bits, which is faster where
            the processor has instructions for it, and slower where it has not.
        multiplied: one of `learning.embedding_network.VIEWS`: each class is also learned mirrored, turned by 90, 180
            and 270 degrees, or both, each time as another class.
        seed: of weights, batches, distortions.
        average: share of the steps so far that a moving average of the weights reaches back over, about. If it is more
            than 0, the averaged weights are what is judged and kept.
    """

    loss: str
    mining: str = "semi-hard"
    classes: int = 10
    images: int = 12
    epochs: int = 5
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    margin: float | None = 1.0
    squared: bool = False
    augment: str = "none"
    grouped: float = 0.0
    precision: str = "bf16"
    multiplied: str = ONE_VIEW
    seed: int = 0
    warm_up: int = 0
    average: float = 0.0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"no loss {self.loss!r}; there are {', '.join(LOSSES)}")
        if self.mining not in MINING:
            raise ValueError(f"no mining {self.mining!r}; there are {', '.join(MINING)}")
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"the precision is fp32 or bf16, not {self.precision!r}")
        if self.multiplied not in VIEWS:
            raise ValueError(f"classes cannot be multiplied by {self.multiplied!r}; there are {', '.join(VIEWS)}")
        if self.augment not in DISTORTIONS:
            raise ValueError(f"no augmentation {self.augment!r}; there are {', '.join(DISTORTIONS)}")
        if self.margin is None and self.loss == "contrastive":
            raise ValueError("the contrastive loss has no soft margin; give a number")
        if self.margin is not None and not (0 < self.margin < math.inf):
            raise ValueError(f"the margin must be a positive number, got {self.margin}")
        if not 0 <= self.warm_up <= self.epochs:
            raise ValueError(f"the warm-up must take 0 to {self.epochs} epochs, the whole training, got {self.warm_up}")
        if self.epochs < 1 or not (0 < self.learning_rate < math.inf) or not (0 <= self.weight_decay < math.inf):
            raise ValueError("epochs and learning rate must be positive, the weight decay 0 or more")
        if not 0 <= self.average <= 1:
            raise ValueError(f"the average must be over a share in [0, 1] of the steps, got {self.average}")

    @property
    def batch_size(self) -> int:
        """P·K."""
        return self.classes * self.images


def rate_at(progress: float) -> float:
    """Share of the peak learning rate after a share of the training."""
    return min(progress / 0.05 + 0.02, 1.0, 0.5 * (1 + math.cos(math.pi * progress)) + 1e-3)


class EmbeddingTraining:
    """A training that can be stopped after any epoch and taken up again.

    Args:
        card: what the network is.
        recipe: how it is trained.
        data: what on.
        folder: for the checkpoint `last.ckpt`, `log.csv`, and the embeddings on the way, `moments/`.
        device: to compute on.
        moments: times in an epoch that the embeddings of some test images are kept; 0: never.
        log_every: steps between two lines of the log; 0: one an epoch.

    Raises:
        ValueError: P or K do not fit the data, or the checkpoint in `folder` is of another training.
    """

    def __init__(
        self,
        card: EmbeddingCard,
        recipe: EmbeddingRecipe,
        data: Parts,
        folder: Path,
        device: torch.device | str = "cpu",
        moments: int = 0,
        log_every: int = 0,
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        self.moments, self.log_every, self.views = moments, log_every, card.views
        self.data = Parts(data.train.multiplied(recipe.multiplied), data.test)
        self.labels = torch.from_numpy(self.data.train.labels)
        self.steps = len(self._batches(0))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = EmbeddingNetwork(dataclasses.replace(card, views=ONE_VIEW))  # the others are of the trained one
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, avg_fn=self._averaged, use_buffers=True) if recipe.average else None
        weights = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        decay = 0.0 if recipe.loss == "bce" else recipe.weight_decay
        groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        self.weights, self.optimiser = weights, torch.optim.AdamW(groups, lr=recipe.learning_rate)
        self.epoch, self.rows = 0, list[dict[str, float]]()
        self.seconds = self.cpu_seconds = 0.0
        self.judged = Parts(self.data.train, _few_unseen(self.data))
        self.watched = evenly(len(self.data.test), WATCHED)
        self._resume()

    @property
    def trained(self) -> EmbeddingNetwork:
        """What the training is for: the network of averaged weights, or without averaging the one that learns."""
        return self.network if self.average is None else cast(EmbeddingNetwork, self.average.module)

    def start_from(self, other: EmbeddingNetwork) -> None:
        """Take the weights of another network of the same tower; what only the loss needs stays as it is.

        Raises:
            ValueError: the towers differ.
        """
        try:
            for network in (self.network, self.trained):
                network.tower.load_state_dict(other.tower.state_dict())
        except RuntimeError as error:
            raise ValueError(
                f"cannot start {self.network.card.network} of {self.network.card.dimensions} dimensions from "
                f"{other.card.network} of {other.card.dimensions}, {other.card.size} pixels: {error}"
            ) from error

    def run(self) -> EmbeddingNetwork:
        """Train to the end.

        Raises:
            TrainingStopped: the loss is NaN or infinite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.epoch == 0:
            self._keep_moment(0)
        while self.epoch < self.recipe.epochs:
            began, used = time.perf_counter(), time.process_time()
            loss, active = self._epoch()
            self.seconds += time.perf_counter() - began
            self.cpu_seconds += time.process_time() - used
            self.epoch += 1
            accuracy = neighbour_accuracy(self.trained, self.judged, GALLERY)
            self.rows.append(
                dict(
                    zip(
                        COLUMNS,
                        (self.epoch, self.epoch * self.steps, loss, active, accuracy, self.seconds),
                        strict=True,
                    )
                )
            )
            log.info(
                "epoch %d of %d: loss %.4f, active %.1f %%, nearest neighbour right %.2f %%, %.0f s",
                *(self.epoch, self.recipe.epochs, loss, 100 * active, 100 * accuracy, self.seconds),
            )
            self._save()
        self.trained.card = dataclasses.replace(self.network.card, views=self.views)
        return self.trained.eval()

    def _epoch(self) -> tuple[float, float]:
        """One round; returns the mean loss, and the share of pairs or triplets that still taught something."""
        self.network.train()
        generator = torch.Generator().manual_seed(_seed(self.recipe.seed, self.epoch))
        total, counted, active = 0.0, 0, 0.0
        kept = {round(self.steps * k / self.moments) for k in range(1, self.moments + 1)} if self.moments else set()
        for step, indices in enumerate(self._batches(self.epoch), 1):
            progress = (self.epoch * self.steps + step) / (self.recipe.epochs * self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = self.recipe.learning_rate * rate_at(progress)
            loss, share = self._loss(indices, generator)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingStopped(self._epitaph(value, step))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
            self.optimiser.step()
            if self.average is not None:
                self.average.update_parameters(self.network)
            total, counted, active = total + value, counted + 1, active + share
            if self.log_every and step % self.log_every == 0:
                log.info("epoch %d, step %d of %d: loss %.4f", self.epoch + 1, step, self.steps, total / counted)
            if step in kept:
                self._keep_moment(self.epoch * self.steps + step)
        return total / counted, active / counted

    def _averaged(self, average: Tensor, weights: Tensor, steps: Tensor | int) -> Tensor:
        """A tensor of the average after one more step: the mean of all for a share of 1, the last ones for 0.

        It reaches back over a share of the steps (polynomial decay; Shamir and Zhang 2013, section 4) rather than over
        so many, so that it suits a training of any length, after any epoch.
        """
        return average + (weights - average) / (1 + self.recipe.average * steps)

    def _loss(self, indices: NDArray[np.int64], generator: torch.Generator) -> tuple[Tensor, float]:
        """Loss of a batch, and the share of its pairs or triplets that are active."""
        recipe, network = self.recipe, self.network
        chosen = torch.from_numpy(indices)
        images = self.data.train.images[chosen].float()
        images = distort(images, DISTORTIONS[recipe.augment], generator).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            embeddings = network(images.contiguous(memory_format=torch.channels_last))
        labels = self.labels[chosen].to(self.device)
        if recipe.loss == "softmax":
            if network.card.normalise:
                embeddings = embeddings * SOFTMAX_SCALE
            return softmax_loss(embeddings, labels, network.head.weight, network.head.bias), 1.0
        if recipe.loss == "nca":
            return nca_loss(embeddings * (NCA_SCALE if network.card.normalise else 1.0), labels), 1.0
        if recipe.mining == OFFLINE and self.epoch >= recipe.warm_up:
            found = Triplets(*torch.arange(len(chosen), device=self.device).chunk(3))
        else:
            found = mine(WARM_UP if self.epoch < recipe.warm_up else recipe.mining, embeddings, labels, generator)
        if recipe.loss == "triplet":
            a, p, n = (embeddings[each] for each in found)
            with torch.no_grad():
                violated = triplet_violated(a, p, n, recipe)
            return triplet_loss(a, p, n, recipe.margin, recipe.squared), violated
        first, second, same = found.pairs()
        a, b = embeddings[first], embeddings[second]
        if recipe.loss == "contrastive":
            assert recipe.margin is not None
            near = ((a - b).norm(dim=1) < recipe.margin).float()[~same]
            return contrastive_loss(a, b, same, recipe.margin), float(near.mean())
        logits = weighted_l1(a, b, network.alpha, network.bias)
        wrong = (logits > 0) != same
        return verification_loss(logits, same, self.weights, recipe.weight_decay), float(wrong.float().mean())

    def _batches(self, epoch: int) -> _Batches:
        recipe, train = self.recipe, self.data.train
        seed = (recipe.seed, epoch)
        if recipe.loss == "softmax":
            return _Shuffled(len(train), recipe.batch_size, seed)
        if recipe.mining == OFFLINE and epoch >= recipe.warm_up and recipe.loss not in UNMINED:
            BalancedBatches(train.labels, 2, 2)  # refuses what has no pairs
            return _Mined(self, recipe.batch_size, seed)
        return BalancedBatches(train.labels, recipe.classes, recipe.images, seed, train.groups, recipe.grouped)

    def _keep_moment(self, step: int) -> None:
        if self.moments:
            (self.folder / "moments").mkdir(parents=True, exist_ok=True)
            watched = self.data.test.images[torch.from_numpy(self.watched)]
            np.save(self.folder / "moments" / f"{step:07d}.npy", self.trained.embed(watched).numpy())

    def _epitaph(self, value: float, step: int) -> str:
        where = f"the loss is {value} in step {step} of epoch {self.epoch + 1}"
        good = self.folder / "last.ckpt"
        kept = f"{good} holds the {self.epoch} epochs before" if self.epoch else "no epoch was completed"
        return f"{where}; {kept}. Try a smaller --lr, or look for images that are all alike"

    def _save(self) -> None:
        """Write the checkpoint in one step, and the log."""
        state = {
            "of": self._identity(),
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "rows": self.rows,
            "seconds": [self.seconds, self.cpu_seconds],
        }
        partial = self.folder / "last.ckpt.partial"
        torch.save(state, partial)
        os.replace(partial, self.folder / "last.ckpt")
        with open(self.folder / "log.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)

    def _resume(self) -> None:
        path = self.folder / "last.ckpt"
        if not path.exists():
            return
        try:
            state = torch.load(path, self.device, weights_only=True)
        except Exception as error:  # an unpickler of foreign bytes raises anything
            raise ValueError(f"{path} cannot be read ({type(error).__name__}); remove it to begin anew") from error
        if differing := [name for name, value in self._identity().items() if state["of"].get(name) != value]:
            raise ValueError(
                f"{path} is of another training (other {', '.join(differing)}); give another --run, or remove it"
            )
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.rows = state["epoch"], state["rows"]
        self.seconds, self.cpu_seconds = state["seconds"]
        log.info("going on after epoch %d of %d", self.epoch, self.recipe.epochs)

    def _identity(self) -> dict[str, Any]:
        card = dataclasses.asdict(self.network.card)
        unsaid = ("views", "sha256", "training", "results", "licence", "date")
        return {
            **{name: value for name, value in card.items() if name not in unsaid},
            **dataclasses.asdict(self.recipe),
            "data": self.data.train.summary(),
        }


def triplet_violated(a: Tensor, p: Tensor, n: Tensor, recipe: EmbeddingRecipe) -> float:
    """Share of the triplets whose loss is not 0; of a soft margin, which never is, those that a margin of 1 leaves."""
    power = 2 if recipe.squared else 1
    violation = (a - p).norm(dim=1) ** power - (a - n).norm(dim=1) ** power + (recipe.margin or 1.0)
    return float((violation > 0).float().mean())


def _few_unseen(data: Parts) -> LabelledImages:
    """The test part; where its classes are not those of the training, `UNSEEN` of them, as a look on the way."""
    few = evenly(len(data.test.classes), UNSEEN)
    return data.test if data.train.classes == data.test.classes else data.test.of_classes(few)


class _Shuffled:
    """Batches of an epoch without regard to classes; the last, shorter one is left out unless it is the only one."""

    def __init__(self, count: int, batch: int, seed: tuple[int, ...]) -> None:
        self.count, self.batch, self.seed = count, min(batch, count), seed

    def __len__(self) -> int:
        return self.count // self.batch

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng(self.seed).permutation(self.count)
        yield from order[: len(self) * self.batch].reshape(-1, self.batch)


class _Mined:
    """Batches of triplets mined over the embeddings that the network has now: anchors, then positives, negatives."""

    def __init__(self, training: EmbeddingTraining, batch: int, seed: tuple[int, ...]) -> None:
        self.training, self.each, self.seed = training, max(batch // 3, 1), seed
        self.count = len(training.data.train) // 3

    def __len__(self) -> int:
        return max(self.count // self.each, 1)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        train = self.training.data.train
        generator = torch.Generator().manual_seed(_seed(*self.seed))
        anchors = torch.randperm(len(train), generator=generator)[: max(self.count, self.each)]
        embeddings = self.training.network.embed(train.images)
        found = hard_triplets(embeddings, self.training.labels, anchors, POOL, generator)
        if not len(found.anchor):
            raise ValueError("no triplets in the whole epoch: every anchor lacks a positive or a negative")
        order = np.resize(np.arange(len(found.anchor)), len(self) * self.each)  # some anchors may have been left out
        for some in order.reshape(-1, self.each):
            yield np.concatenate([part.numpy()[some] for part in found])


_Batches = BalancedBatches | _Shuffled | _Mined


def _seed(*parts: int) -> int:
    """One number of several, as unlike those of their neighbours as can be."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
