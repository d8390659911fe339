"""Balanced batches: P classes with K images each (Hermans, Beyer, Leibe 2017, section 2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class BalancedBatches:
    """One epoch of batches of P classes with K images each; of every class no image comes again before all have come.

    Args:
        labels: (N,) classes, 0 … C−1.
        classes: P.
        images: K.
        seed: of the epoch; the same seed gives the same batches.
        groups: (C,) group of each class, such as its alphabet; ``None``: no groups.
        grouped: share of the batches of whole groups, as many as fill it: they are the look-alikes.
        steps: batches; ``None``: as many as show N images.

    Raises:
        ValueError: K larger than a class, P larger than their number, fewer than two of either, or a share outside of
            [0, 1].
    """

    def __init__(
        self,
        labels: Indices,
        classes: int,
        images: int,
        seed: int | tuple[int, ...] = 0,
        groups: Indices | None = None,
        grouped: float = 0.0,
        steps: int | None = None,
    ) -> None:
        check_balance(labels, classes, images)
        if not 0 <= grouped <= 1:
            raise ValueError(f"the share of batches from one group must be in [0, 1], got {grouped}")
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.classes, self.images, self.seed = classes, images, seed
        self.groups, self.grouped = groups, grouped if groups is not None else 0.0
        self.steps = -(-len(labels) // (classes * images)) if steps is None else steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Indices]:
        """(P·K,) indices of images, class by class."""
        rng = np.random.default_rng(self.seed)
        queues: list[Indices] = [np.zeros(0, np.int64) for _ in self.members]
        waiting = np.zeros(0, np.int64)  # classes in random order, so that each comes equally often
        for _ in range(self.steps):
            if rng.random() < self.grouped:
                chosen = self._of_groups(rng)
            else:
                if len(waiting) < self.classes:
                    rest = rng.permutation(np.setdiff1d(np.arange(len(self.members)), waiting))
                    waiting = np.concatenate([waiting, rest])
                chosen, waiting = waiting[: self.classes], waiting[self.classes :]
            batch = []
            for label in chosen:
                if len(queues[label]) < self.images:
                    queues[label] = np.concatenate([queues[label], self._fresh(label, queues[label], rng)])
                batch.append(queues[label][: self.images])
                queues[label] = queues[label][self.images :]
            yield np.concatenate(batch)

    def _fresh(self, label: int, left: Indices, rng: np.random.Generator) -> Indices:
        """All images of a class in random order, those that are left from the last round behind: none twice in K."""
        return np.concatenate([rng.permutation(np.setdiff1d(self.members[label], left)), rng.permutation(left)])

    def _of_groups(self, rng: np.random.Generator) -> Indices:
        """P classes, group by group, the last one as far as it goes; larger groups come more often."""
        assert self.groups is not None
        order = dict.fromkeys(self.groups[rng.permutation(len(self.groups))].tolist())
        members = [rng.permutation(np.flatnonzero(self.groups == group)) for group in order]
        return np.concatenate(members)[: self.classes]


def check_balance(labels: Indices, classes: int, images: int) -> None:
    """Refuse a P and a K that the classes cannot give.

    Raises:
        ValueError: says what is too large, and what to do.
    """
    found, counts = np.unique(labels, return_counts=True)
    if min(classes, images) < 2:
        raise ValueError(f"a batch needs 2 classes and 2 images of each, got {classes} classes, {images} images each")
    if classes > len(found):
        raise ValueError(f"a batch of {classes} classes, but there are only {len(found)}; take fewer")
    if images > counts.min():
        short = found[counts < images]
        raise ValueError(
            f"a batch of {images} images a class, but {len(short)} of {len(found)} classes have fewer (class "
            f"{found[counts.argmin()]} has {counts.min()}); take fewer images a class, or leave small classes out"
        )
