"""Images to points: networks whose output is one vector an image, so that alike images lie side by side.

Each maps (N, C, H, W) float images to (N, ``dimensions``) embeddings. Two images are compared by two passes through one
network, the towers of a Siamese network with shared weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones import build_backbone
from backbones.ciresnet import initialise

KOCH = "koch"


class EmbeddingNet(nn.Module):
    """Blocks of 3×3 convolutions, each normalised and rectified, and a 2×2 max pool, then one linear layer.

    Args:
        channels: of the images.
        dimensions: of the embedding; 2 can be drawn as it is.
        widths: channels of the blocks, each of which halves the image by a pool.
        depth: convolutions of each block but the first, which has one.
        stem: stride of the first convolution, which is 5×5 if that is more than 1: larger images at little more cost.
        cells: what is left is pooled to cells × cells, so that any image size fits; 28×28 has 3×3 after three blocks.
        residual: blocks but the first have two convolutions beside a 1×1 one, and their pools leave no border out.
        fine: no pool behind the first block, so that the second one sees twice as many pixels along each side.
    """

    def __init__(
        self,
        channels: int = 1,
        dimensions: int = 2,
        widths: Sequence[int] = (32, 64, 128),
        depth: int = 1,
        stem: int = 1,
        cells: int = 3,
        residual: bool = False,
        fine: bool = False,
    ) -> None:
        super().__init__()
        self.dimensions = dimensions
        first, *rest = widths
        kernel = 3 if stem == 1 else 5
        layers = _convolution(channels, first, kernel, stem)
        if not fine:
            layers.append(nn.MaxPool2d(2))
        for inputs, outputs in zip(widths, rest, strict=False):
            if residual:
                layers.append(Residual(inputs, outputs))
            else:
                for position in range(depth):
                    layers += _convolution(inputs if position == 0 else outputs, outputs)
            layers.append(nn.MaxPool2d(2, ceil_mode=residual))
        self.blocks = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(cells))
        self.linear = nn.Linear(widths[-1] * cells**2, dimensions)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return _exactly(self.linear, self.blocks(x).flatten(1))


class Residual(nn.Module):
    """Two 3×3 convolutions, (N, ``inputs``, H, W) → (N, ``outputs``, H, W), added to a 1×1 one (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*_convolution(inputs, outputs), *_convolution(outputs, outputs)[:-1])
        self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) + self.shortcut(x)).relu()


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _exactly(linear: nn.Linear, features: Tensor) -> Tensor:
    """The last layer in fp32 where all else is bf16, whose eight bits cannot tell the points of a cluster apart."""
    with torch.autocast(features.device.type, enabled=False):
        return linear(features.float())


class KochNet(nn.Module):
    """The tower of Koch, Zemel and Salakhutdinov (2015, figure 4), for 105×105 drawings.

    Convolutions of 64 10×10, 128 7×7, 128 4×4 and 256 4×4 filters, rectified, a 2×2 max pool behind each but the last,
    and 4096 units with a sigmoid, whose weighted L1 distance says how alike two drawings are
    (`learning.losses.weighted_l1`). Weights start as section 3.2 has it.

    Args:
        channels: of the images.
        dimensions: units of the last layer.
        size: side of the images.

    Raises:
        ValueError: the images are smaller than what the filters need.
    """

    smallest = 65  # its last map is 1×1

    def __init__(self, channels: int = 1, dimensions: int = 4096, size: int = 105) -> None:
        super().__init__()
        if size < self.smallest:
            raise ValueError(f"Koch's network needs images of {self.smallest} pixels or more, got {size}")
        self.dimensions = dimensions
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 10),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 7),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(128, 128, 4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(128, 256, 4),
            nn.ReLU(inplace=True),
        )
        side = (((size - 9) // 2 - 6) // 2 - 3) // 2 - 3
        self.linear = nn.Linear(256 * side**2, dimensions)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                assert module.bias is not None
                nn.init.normal_(module.weight, 0, 0.2 if isinstance(module, nn.Linear) else 0.01)
                nn.init.normal_(module.bias, 0.5, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        return _exactly(self.linear, self.features(x).flatten(1)).sigmoid()


class PooledTrunk(nn.Module):
    """A tracker's backbone, its features averaged over the map, and a linear layer.

    Args:
        trunk: (N, 3, H, W) → (N, ``out_channels``, h, w), such as CIResNet's.
        channels: of the images; grey ones are given to the trunk three times.
        dimensions: of the embedding.
        size: side of the images.

    Raises:
        ValueError: images too small for the trunk, or neither grey nor of three channels.
    """

    def __init__(self, trunk: nn.Module, channels: int = 3, dimensions: int = 128, size: int = 127) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"a tracker's backbone takes images of 1 or 3 channels, got {channels}")
        try:
            with torch.no_grad():
                trunk.eval()(torch.zeros(1, 3, size, size))
        except RuntimeError:
            raise ValueError(f"images of {size} pixels are too small for this backbone; 127 is its own size") from None
        self.trunk, self.dimensions = trunk.train(), dimensions
        width: Any = trunk.out_channels
        self.linear = nn.Linear(width, dimensions)

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x if x.shape[1] == 3 else x.expand(-1, 3, -1, -1))
        return _exactly(self.linear, features.mean((2, 3)))


NETWORKS: dict[str, dict[str, Any]] = {
    "embeddingnet": {"widths": (24, 48, 96), "depth": 1, "stem": 1},
    "embeddingnet_deep": {"widths": (32, 64, 128), "depth": 2, "stem": 2},
    "embeddingnet_wide": {"widths": (32, 96, 192), "depth": 2, "stem": 2},
    "embeddingnet_residual": {"widths": (32, 64, 128), "residual": True, "stem": 2},
    "embeddingnet_fine": {"widths": (32, 32, 64, 128), "residual": True, "stem": 2, "fine": True},
}


def build_embedding(name: str, channels: int, dimensions: int, size: int) -> nn.Module:
    """A freshly initialised tower: ``embeddingnet``, ``embeddingnet_deep``, ``koch``, or any of `build_backbone`.

    Args:
        name: of the network.
        channels: of the images, 1 or 3.
        dimensions: of the embedding.
        size: side of the images.

    Raises:
        ValueError: an unknown name, or images that do not fit the network.
    """
    if name in NETWORKS:
        shape = NETWORKS[name]
        smallest = shape["stem"] * 2 ** (len(shape["widths"]) - shape.get("fine", False))
        if size < smallest:
            raise ValueError(f"{name} needs images of {smallest} pixels or more, got {size}")
        return EmbeddingNet(channels, dimensions, **shape)
    if name == KOCH:
        return KochNet(channels, dimensions, size)
    try:
        trunk = build_backbone(name)
    except ValueError as error:
        raise ValueError(
            f"no network {name!r}; there are {', '.join(NETWORKS)}, {KOCH}, or a backbone: {error}"
        ) from None
    return PooledTrunk(trunk, channels, dimensions, size)
