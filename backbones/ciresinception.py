"""CIResInception: SiamDW's Inception network, whose units crop what the padding touched.

Z. Zhang and H. Peng, Deeper and Wider Siamese Networks for Real-Time Visual Tracking, CVPR 2019, section 4, as their
code has it: in each unit a bottleneck and a plain 1×1 convolution see the input, and the network takes from either what
it needs. Features of small and of large receptive fields thus lie side by side.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from backbones.ciresnet import Bottleneck, crop, initialise


class InceptionUnit(nn.Module):
    """A bottleneck beside a 1×1 convolution, concatenated, rectified and cropped by one cell a side.

    Args:
        inputs: channels of the input.
        width: of the bottleneck; the output has five times as many channels, four of the bottleneck and one of the
            1×1 convolution.
        last_relu: rectify. The last unit of a network does not, so that the correlation sees signed features.
    """

    expansion = Bottleneck.expansion + 1

    def __init__(self, inputs: int, width: int, last_relu: bool = True) -> None:
        super().__init__()
        self.branch3x3 = Bottleneck(inputs, width)
        self.branch1x1 = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(inputs, width, 1, bias=False),
                bn=nn.BatchNorm2d(width, eps=1e-3),  # the constant of the official code
            )
        )
        self.relu = nn.ReLU(inplace=True)
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.branch3x3(x), self.branch1x1(x)], dim=1)
        return crop(self.relu(y) if self.last_relu else y, 1)


class CIResInception(nn.Module):
    """Stem, three units, and four units with a pool behind their first: stride 8, 640 channels.

    The input is (N, 3, H, W) float, BGR, 0-255, without normalisation; 127×127 gives 5×5 cells and 255×255 gives 21×21.
    A cell sees 95 pixels at most and 15 at least, through the 1×1 convolutions alone. The stem's convolution is not
    padded and its pool overlaps, other than in CIResNet, which sees 93. The modules carry the names of the official
    checkpoints (see `backbones.ciresnet.load_siamdw`).
    """

    out_channels = 128 * InceptionUnit.expansion

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2)
        self.layer1 = nn.Sequential(InceptionUnit(64, 64), InceptionUnit(320, 64), InceptionUnit(320, 64))
        self.layer2 = nn.Sequential(
            InceptionUnit(320, 128),
            nn.MaxPool2d(2),
            InceptionUnit(640, 128),
            InceptionUnit(640, 128),
            InceptionUnit(640, 128, last_relu=False),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x))


def ciresinception22() -> CIResInception:
    """CIResInception-22: 1 + 7 × 3 convolutions on the longest way."""
    return CIResInception()
