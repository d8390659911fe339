"""`Lite`: ImageNet's EfficientNet-Lite0 as the backbone of a Siamese tracker.

What a thing is made of (stride 8) and what kind of thing it is (stride 16), on one map. The published layers pad, so a
band of the map is cut off afterwards, as SiamDW does (Zhang & Peng, CVPR 2019, section 4): what is left has seen the
padding least. The first layer goes without padding, or the crop's mean and scale could not be folded into it.
"""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from backbones import efficientnet_lite
from backbones.ciresnet import crop
from backbones.compact import conv_bn
from backbones.efficientnet_lite import BLOCKS, STEM, normalised, stages

FINE, COARSE = 2, 4  # the last stages of EfficientNet-Lite0 at strides 8 and 16
CROPPED = 2  # cells a side; the layers behind take as many again


class Lite(nn.Module):
    """Stride 8: 127×127 → 8×8, 255×255 → 24×24 features.

    Attributes:
        early: the published layers up to stride 8.
        late: those of stride 16.

    Args:
        width: channels of the features.
    """

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.out_channels = width
        stem = nn.Conv2d(3, STEM, 3, stride=2, bias=False)
        self.early = nn.Sequential(stem, *normalised(STEM), *stages(0, FINE))
        self.late = stages(FINE + 1, COARSE)
        self.fine, self.coarse = (conv_bn(BLOCKS[stage][3], width, 1, relu=False) for stage in (FINE, COARSE))
        self.mix = nn.Sequential(nn.ReLU(), conv_bn(width, width, 3), conv_bn(width, width, 3, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) images → (N, 96, ⌈(H − 1) / 8⌉ − 8, ⌈(W − 1) / 8⌉ − 8) signed features."""
        near = self.early(x)
        x = crop(self.fine(near) + F.interpolate(self.coarse(self.late(near)), scale_factor=2.0), CROPPED)
        return crop(x, 2) + self.mix(x)


def load_imagenet(backbone: Lite, path: str | Path) -> None:
    """Start from the published weights (see `efficientnet_lite.load_imagenet`)."""
    efficientnet_lite.load_imagenet(nn.Sequential(backbone.early, backbone.late), path)
