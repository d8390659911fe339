"""Which pairs and triplets of a batch, or of an epoch, are worth learning from.

Every way of mining answers with triplets (anchor, positive, negative). A loss of pairs takes them as two pairs: what is
alike, (anchor, positive), and what is not, (anchor, negative).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Triplets(NamedTuple):
    """Indices into a batch.

    Attributes:
        anchor: (t,) int64.
        positive: (t,) others of the same classes.
        negative: (t,) of other classes.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """(2t,) first of a pair, (2t,) second, (2t,) bool whether they are of one class."""
        same = torch.arange(2 * len(self.anchor), device=self.anchor.device) < len(self.anchor)
        return torch.cat([self.anchor, self.anchor]), torch.cat([self.positive, self.negative]), same


def distance_matrix(embeddings: Tensor) -> Tensor:
    """(n, n) Euclidean distances between the rows of (n, D), exactly 0 on the diagonal."""
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(n, n) bool of the positives (the same class, another image) and of the negatives of each of n images."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def random_triplets(distances: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> Triplets:
    """One positive and one negative of each anchor that has both, drawn at random."""
    positive, negative = masks(labels)
    anchor = _usable(positive, negative).nonzero()[:, 0]
    drawn = [_draw(mask[anchor], generator) for mask in (positive, negative)]
    return Triplets(anchor, *drawn)


def all_triplets(distances: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> Triplets:
    """Every valid triplet: P·K·(K−1)·(P−1)·K of them in a batch of P classes with K images each."""
    positive, negative = masks(labels)
    return Triplets(*(positive[:, :, None] & negative[:, None, :]).nonzero().unbind(1))


def semi_hard_triplets(distances: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> Triplets:
    """For each positive pair the nearest negative that is farther than the positive (Schroff et al. 2015, section 3.2).

    Where every negative is nearer than the positive, the farthest of them.
    """
    positive, negative = masks(labels)
    anchor, other = (positive & _usable(positive, negative)[:, None]).nonzero().unbind(1)
    away = distances[anchor].masked_fill(~negative[anchor], torch.inf)
    farther = away.masked_fill(away <= distances[anchor, other][:, None], torch.inf)
    nearest, farthest = farther.min(1), away.masked_fill(~negative[anchor], -torch.inf).max(1)
    return Triplets(anchor, other, torch.where(nearest.values.isfinite(), nearest.indices, farthest.indices))


def batch_hard_triplets(distances: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> Triplets:
    """For each anchor its farthest positive and its nearest negative (Hermans, Beyer, Leibe 2017, equation 5)."""
    positive, negative = masks(labels)
    anchor = _usable(positive, negative).nonzero()[:, 0]
    farthest = distances.masked_fill(~positive, -torch.inf)[anchor].argmax(1)
    nearest = distances.masked_fill(~negative, torch.inf)[anchor].argmin(1)
    return Triplets(anchor, farthest, nearest)


Miner = Callable[..., Triplets]
MINERS: dict[str, Miner] = {
    "random": random_triplets,
    "all": all_triplets,
    "semi-hard": semi_hard_triplets,
    "batch-hard": batch_hard_triplets,
}
OFFLINE = "offline"  # not in a batch but over an epoch's embeddings: `hard_triplets`
MINING = (*MINERS, OFFLINE)


@torch.no_grad()
def mine(how: str, embeddings: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> Triplets:
    """The triplets of a batch.

    Args:
        how: one of `MINERS`.
        embeddings: (n, D).
        labels: (n,) classes.
        generator: of the random choices.

    Raises:
        ValueError: an unknown way, or a batch without a triplet: all of one class, or no class with two images.
    """
    if how not in MINERS:
        raise ValueError(f"no mining {how!r} in a batch; there are {', '.join(MINERS)}")
    found = MINERS[how](distance_matrix(embeddings.float()), labels, generator)
    if not len(found.anchor):
        raise ValueError("a batch without a triplet: it needs two classes, and two images of one of them")
    return found


@torch.no_grad()
def hard_triplets(
    embeddings: Tensor, labels: Tensor, anchors: Tensor, pool: int, generator: torch.Generator, chunk: int = 512
) -> Triplets:
    """Offline mining: over an epoch's embeddings, the nearest negative of each anchor in a pool, and a random positive.

    The pool, drawn anew for each chunk of anchors, sets how hard it is: the nearest negative of a whole data set is
    often a wrong label.

    Args:
        embeddings: (N, D) of all images.
        labels: (N,) classes.
        anchors: (t,) indices; those without a positive, or without a negative in their pool, are left out.
        pool: images that the negatives are sought among; at most N.
        generator: of pools and positives.
        chunk: anchors at a time.
    """
    order = labels.argsort(stable=True)
    classes, counts = labels[order].unique_consecutive(return_counts=True)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    found = []
    for some in anchors.split(chunk):
        among = torch.randperm(len(labels), generator=generator)[:pool]
        away = torch.cdist(embeddings[some].float(), embeddings[among].float())
        away.masked_fill_(labels[some][:, None] == labels[among], torch.inf)
        nearest = away.min(1)
        row = torch.searchsorted(classes, labels[some])
        size, start = counts[row], starts[row]
        step = 1 + (torch.rand(len(some), generator=generator) * (size - 1)).long()  # to any other of the class
        positive = order[start + (place[some] - start + step) % size]
        kept = nearest.values.isfinite() & (size > 1)
        found.append(Triplets(some[kept], positive[kept], among[nearest.indices][kept]))
    return Triplets(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _usable(positive: Tensor, negative: Tensor) -> Tensor:
    """(n,) anchors that have both."""
    return positive.any(1) & negative.any(1)


def _draw(mask: Tensor, generator: torch.Generator | None) -> Tensor:
    """One column of each row at random, among those that are set."""
    if not len(mask):
        return mask.new_zeros(0, dtype=torch.int64)
    return torch.multinomial(mask.float().cpu(), 1, generator=generator)[:, 0].to(mask.device)
