"""Networks that judge whether two detections show the same object, from their pixels and their optical flow.

After Leal-Taixé, Canton-Ferrer and Schindler, "Learning by tracking: Siamese CNN for robust target association" (CVPRW
2016). They differ in where the two patches meet:

- ``towers`` ("cost function"): two towers of the same weights, joined in nothing but the contrastive loss;
- ``in_network``: two towers of two convolutions, joined before the third;
- ``joint`` ("joint data input"): one network on the stacked pair.

Batch normalisation and a stride in the first convolution are ours: they make training and use cheap on a processor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

PATCH_CHANNELS = 5  # L, u, v, and the optical flow in x and y
PATCH_SIZE = (121, 53)  # height and width in pixels
WIDTHS = (16, 24, 32)
EMBEDDING = 64
NEUTRAL = (128.0, 97.0, 138.0, 128.0, 128.0)  # of each channel: grey (u and v are 0 there), and no motion
SPREAD = (64.0, 10.0, 10.0, 10.0, 5.0)  # about the deviations of pedestrians' patches


class PairNetwork(nn.Module, ABC):
    """Two patches → how alike they are, in two steps: what each patch is, and the comparison of two.

    Patches are (N, 5, H, W) in [0, 255] (see `tracker.association.appearance.pair_patches`).

    Args:
        size: (height, width) of the patches in pixels.

    Attributes:
        distance: whether `compare` gives a distance (small for the same object) instead of log-odds (large for it).

    Raises:
        ValueError: patches too small for three blocks.
    """

    distance = False

    def __init__(self, size: tuple[int, int] = PATCH_SIZE) -> None:
        super().__init__()
        if min(size) < 16:
            raise ValueError(f"patches must have 16 pixels a side or more, got {size[0]}x{size[1]}")
        self.size = size

    @abstractmethod
    def embed(self, patches: Tensor) -> Tensor:
        """(N, 5, H, W) patches → (N, …) what is kept of each of them."""

    @abstractmethod
    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, …) and (P, …) embedded patches → (P,) distances, or log-odds that the objects are the same."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, 5, H, W) and (P, 5, H, W) patches → (P,), see `compare`."""
        return self.compare(self.embed(a), self.embed(b))


class CostFunctionNetwork(PairNetwork):
    """Two towers whose Euclidean distance is the comparison, for the contrastive loss (Hadsell et al. 2006)."""

    distance = True

    def __init__(self, size: tuple[int, int] = PATCH_SIZE) -> None:
        super().__init__(size)
        self.trunk = nn.Sequential(*_first_blocks(PATCH_CHANNELS), *_last_block(WIDTHS[1]))
        self.head = _fully_connected(size, EMBEDDING)

    def embed(self, patches: Tensor) -> Tensor:
        """(N, 5, H, W) patches → (N, 64) of unit length."""
        return nn.functional.normalize(self.head(self.trunk(_centred(patches))))

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, 64) and (P, 64) → (P,) Euclidean distances in [0, 2]."""
        return ((a - b).square().sum(1) + 1e-12).sqrt()  # so that the gradient exists for equal patches


class InNetwork(PairNetwork):
    """Two towers that meet in the third convolution, for the binary softmax."""

    def __init__(self, size: tuple[int, int] = PATCH_SIZE) -> None:
        super().__init__(size)
        self.trunk = nn.Sequential(*_first_blocks(PATCH_CHANNELS))
        self.joined = nn.Sequential(*_last_block(2 * WIDTHS[1]))
        self.head = _fully_connected(size, 2)

    def embed(self, patches: Tensor) -> Tensor:
        """(N, 5, H, W) patches → (N, 24, H / 4, W / 4) feature maps."""
        return self.trunk(_centred(patches))  # type: ignore[no-any-return]

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, 24, …) and (P, 24, …) feature maps → (P,) log-odds."""
        return _log_odds(self.head(self.joined(torch.cat([a, b], 1))))


class JointNetwork(PairNetwork):
    """One network on the stacked pair, for the binary softmax."""

    def __init__(self, size: tuple[int, int] = PATCH_SIZE) -> None:
        super().__init__(size)
        self.trunk = nn.Sequential(*_first_blocks(2 * PATCH_CHANNELS), *_last_block(WIDTHS[1]))
        self.head = _fully_connected(size, 2)

    def embed(self, patches: Tensor) -> Tensor:
        """The patches themselves."""
        return patches

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """(P, 5, H, W) and (P, 5, H, W) patches → (P,) log-odds."""
        return _log_odds(self.head(self.trunk(_centred(torch.cat([a, b], 1)))))


TOPOLOGIES: dict[str, Callable[[tuple[int, int]], PairNetwork]] = {
    "towers": CostFunctionNetwork,
    "in_network": InNetwork,
    "joint": JointNetwork,
}


def build_pair_network(topology: str, size: tuple[int, int] = PATCH_SIZE) -> PairNetwork:
    """A freshly initialised network of ``towers``, ``in_network`` or ``joint`` topology.

    Raises:
        ValueError: an unknown topology, or patches that are too small.
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"unknown topology {topology!r}; there are {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[topology](size)


def _centred(patches: Tensor) -> Tensor:
    middle, spread = (patches.new_tensor(numbers, dtype=torch.float32)[:, None, None] for numbers in (NEUTRAL, SPREAD))
    pairs = patches.shape[1] // PATCH_CHANNELS
    return (patches.float() - middle.repeat(pairs, 1, 1)) / spread.repeat(pairs, 1, 1)


def _block(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution that keeps the size but for its stride, normalised and rectified."""
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def _first_blocks(channels: int) -> list[nn.Module]:
    return [*_block(channels, WIDTHS[0], 9, 2), *_block(WIDTHS[0], WIDTHS[1], 5), nn.MaxPool2d(2)]


def _last_block(channels: int) -> list[nn.Module]:
    return [*_block(channels, WIDTHS[2], 5), nn.MaxPool2d(2)]


def _fully_connected(size: tuple[int, int], outputs: int) -> nn.Sequential:
    cells = [(side + 1) // 2 // 2 // 2 for side in size]  # the stride rounds up, the two poolings round down
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(WIDTHS[2] * cells[0] * cells[1], 128),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
        nn.Linear(128, outputs),
    )


def _log_odds(logits: Tensor) -> Tensor:
    """(P, 2) logits of "other" and "same" → (P,): their difference is what the softmax of two depends on."""
    return logits[:, 1] - logits[:, 0]
