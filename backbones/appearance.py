"""`Appearance`: what kind of thing is in the middle of a crop, as ImageNet taught EfficientNet-Lite0.

Nothing of it is learned here. The features of stride 16 tell kinds of things apart; their mean over the middle of a
small crop is one vector of what is there. Standardised by what crops of targets have, a thing of no kind is near zero.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from backbones import efficientnet_lite
from backbones.efficientnet_lite import BLOCKS, MEAN, SCALE, STEM, conv_bn, stages

LAST_STAGE = 4  # of stride 16: 64 pixels are four cells, of which the two in the middle show the target


class Appearance(nn.Module):
    """(N, 64, 64, 3) uint8 BGR crops → (N, 112, 1, 1) standardised features of their middle."""

    def __init__(self) -> None:
        super().__init__()
        channels = BLOCKS[LAST_STAGE][3]
        self.trunk = nn.Sequential(nn.Sequential(*conv_bn(3, STEM, 3, stride=2)), stages(0, LAST_STAGE))
        # mean and standardisation in one convolution: OpenCV 4.8 misreads the slice that would do without
        self.middle = nn.Conv2d(channels, channels, 4, groups=channels)
        self._standardise(torch.zeros(channels), torch.ones(channels))

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        return self.middle(self.trunk((crops.permute(0, 3, 1, 2).float() - MEAN) * SCALE))

    @torch.no_grad()
    def _standardise(self, mean: Tensor, deviation: Tensor) -> None:
        assert self.middle.bias is not None
        self.middle.weight.zero_()
        self.middle.weight[:, :, 1:3, 1:3] = 1 / (4 * deviation[:, None, None, None])
        self.middle.bias.copy_(-mean / deviation)

    @torch.inference_mode()
    def standardise_by(self, crops: Tensor, batch: int = 16) -> None:
        """Let the features of (N, 64, 64, 3) uint8 crops have mean 0 and deviation 1."""
        channels = self.middle.out_channels
        self._standardise(torch.zeros(channels), torch.ones(channels))
        seen = torch.cat([self(part).flatten(1) for part in crops.split(batch)])
        self._standardise(seen.mean(0), seen.std(0))


def load_imagenet(network: Appearance, path: str | Path) -> None:
    """Start from the published weights (see `efficientnet_lite.load_imagenet`)."""
    efficientnet_lite.load_imagenet(network.trunk, path)
