"""`Compact`: a small fully-convolutional backbone for CPUs.

Few, dense 3×3 convolutions without any padding: on a CPU they run near the speed of a matrix product, where depth-wise
ones wait for memory. As nothing is padded, a feature depends on what it sees and never on where it stands, which is
what SiamDW (Zhang & Peng, CVPR 2019, section 3) asks of a Siamese backbone and reaches by cropping.
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Unpadded convolution → batch normalisation (→ ReLU)."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class CroppedResidual(nn.Module):
    """Residual unit of two unpadded 3×3 convolutions; the identity is cropped by the two pixels a side they consume.

    It computes what a padded unit followed by SiamDW's crop of 2 would, without computing the cells that are cropped.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn(channels, channels, 3)
        self.second = conv_bn(channels, channels, 3, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H−4, W−4)."""
        return self.relu(self.second(self.first(x)) + x[..., 2:-2, 2:-2])


class Compact(nn.Module):
    """Stride 8, receptive field 95: 127×127 → 5×5, 255×255 → 21×21 features.

    Args:
        widths: channels at stride 2, 4 and 8.
    """

    def __init__(self, widths: tuple[int, int, int] = (24, 32, 96)) -> None:
        super().__init__()
        first, second, third = widths
        self.out_channels = third
        self.layers = nn.Sequential(
            conv_bn(3, first, 3, stride=2),
            conv_bn(first, second, 3, stride=2),
            CroppedResidual(second),
            conv_bn(second, third, 3, stride=2),
            CroppedResidual(third),
            CroppedResidual(third),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) images → (N, 96, (H − 87) / 8, (W − 87) / 8) features."""
        return self.layers(x)


def compact() -> Compact:
    """The backbone of the model of the same name."""
    return Compact()
