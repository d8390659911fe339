"""CIResNeXt: SiamDW's residual network of grouped convolutions, whose units crop what the padding touched.

Z. Zhang and H. Peng, Deeper and Wider Siamese Networks for Real-Time Visual Tracking, CVPR 2019, section 4, as their
code has it, after S. Xie, R. Girshick, P. Dollár, Z. Tu and K. He, Aggregated Residual Transformations for Deep Neural
Networks, CVPR 2017. Other than there, shortcuts are not normalised, the sum is: ImageNet weights do not fit.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from backbones.ciresnet import crop, initialise


class ResNeXtUnit(nn.Module):
    """1×1, grouped 3×3, 1×1 beside a shortcut, added, normalised, rectified and cropped by one cell a side.

    Args:
        inputs: channels of the input.
        width: channels of the 3×3 convolution; the output has twice as many.
        last_relu: rectify. The last unit of a network does not, so that the correlation sees signed features.
    """

    cardinality = 32  # groups of the 3×3 convolution
    expansion = 2

    def __init__(self, inputs: int, width: int, last_relu: bool = True) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.basic = nn.Sequential(
            OrderedDict(
                conv1_0=nn.Conv2d(inputs, width, 1, bias=False),
                bn1=nn.BatchNorm2d(width),
                act0=nn.ReLU(inplace=True),
                conv3_0=nn.Conv2d(width, width, 3, padding=1, groups=self.cardinality, bias=False),
                bn2=nn.BatchNorm2d(width),
                act1=nn.ReLU(inplace=True),
                conv1_1=nn.Conv2d(width, outputs, 1, bias=False),
                bn3=nn.BatchNorm2d(outputs),
            )
        )
        self.shortcut = nn.Sequential(*([] if inputs == outputs else [nn.Conv2d(inputs, outputs, 1, bias=False)]))
        self.bn0 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn0(self.basic(x) + self.shortcut(x))
        return crop(self.relu(y) if self.last_relu else y, 1)


class CIResNeXt(nn.Module):
    """Stem, three units, and four units with a pool behind their first: stride 8, receptive field 95, 512 channels.

    The input is (N, 3, H, W) float, BGR, 0-255, without normalisation; 127×127 gives 5×5 cells and 255×255 gives 21×21.
    The stem's convolution is not padded and its pool overlaps, as in CIResInception. The modules carry the names of the
    official checkpoints (see `backbones.ciresnet.load_siamdw`).
    """

    out_channels = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 64, 7, stride=2)
        self.bn0 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2)
        self.layer1 = nn.Sequential(ResNeXtUnit(64, 128), ResNeXtUnit(256, 128), ResNeXtUnit(256, 128))
        self.layer2 = nn.Sequential(
            ResNeXtUnit(256, 256),
            nn.MaxPool2d(2),
            ResNeXtUnit(512, 256),
            ResNeXtUnit(512, 256),
            ResNeXtUnit(512, 256, last_relu=False),
        )
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn0(self.conv0(x))))
        return self.layer2(self.layer1(x))


def ciresnext22() -> CIResNeXt:
    """CIResNeXt-22: 1 + 7 × 3 convolutions, the 3×3 ones in 32 groups of 4 and 8 channels."""
    return CIResNeXt()
