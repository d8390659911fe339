"""CIResNet: residual networks whose units crop what the padding touched.

Z. Zhang and H. Peng, Deeper and Wider Siamese Networks for Real-Time Visual Tracking, CVPR 2019 (SiamDW). Padding tells
a deep network where in the crop the target is, and a Siamese tracker then learns the position instead of the object.
Each cropping-inside residual (CIR) unit therefore pads, adds, and cuts off the border that saw the padding, so that the
features of a shifted image are the shifted features.

The modules carry the names of the official checkpoints, which are those of torchvision's ResNet-50 but for the pool
that takes index 1 of ``layer2``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backbones.checkpoint import StateSource, load_exactly, state_dict_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB in [0, 1], as torchvision's weights expect
IMAGENET_STD = (0.229, 0.224, 0.225)


def crop(x: Tensor, border: int) -> Tensor:
    """Cut `border` cells from each side of (N, C, H, W) features."""
    return x[..., border:-border, border:-border]


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, each normalised, the first two rectified; the size stays.

    Args:
        inputs: channels of the input.
        width: channels of the first convolution; the output has four times as many.
        widening: the 3×3 convolution has so many times more channels than the first.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, widening: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width * widening, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width * widening)
        self.conv3 = nn.Conv2d(width * widening, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.bn3(self.conv3(y))


class CIRUnit(Bottleneck):
    """Cropping-inside bottleneck: beside a shortcut, added, rectified and cropped by one cell a side.

    Args:
        inputs, width, widening: of the bottleneck.
        last_relu: rectify the sum. The last unit of a network does not, so that the correlation sees signed features.
    """

    def __init__(self, inputs: int, width: int, last_relu: bool = True, widening: int = 1) -> None:
        super().__init__(inputs, width, widening)
        outputs = width * self.expansion
        self.downsample = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x) + self.downsample(x)
        return crop(self.relu(y) if self.last_relu else y, 1)


class CIResNet(nn.Module):
    """Stem, stage 2 and stage 3 of SiamDW's residual networks: stride 8, 512 channels.

    The input is (N, 3, H, W) float, BGR, 0-255, without normalisation; 127×127 gives 5×5 cells and 255×255 gives 21×21
    for CIResNet-22. Stage 3 halves the resolution by a max pool behind its first unit, because a strided convolution
    followed by a crop would lose more than the padded border.

    Args:
        blocks: number of units in stages 2 and 3: (3, 4) is CIResNet-22, (3, 2) is CIResNet-16.
        widening: of the units' 3×3 convolutions: 2 makes CIResNet-22W of CIResNet-22.
    """

    out_channels = 512

    def __init__(self, blocks: Sequence[int] = (3, 4), widening: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(*_stage(64, 64, blocks[0], widening=widening))
        first, *rest = _stage(256, 128, blocks[1], last_relu=False, widening=widening)
        self.layer2 = nn.Sequential(first, nn.MaxPool2d(2), *rest)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = crop(self.relu(self.bn1(self.conv1(x))), 2)
        x = self.maxpool(x)
        return self.layer2(self.layer1(x))


def _stage(inputs: int, width: int, blocks: int, last_relu: bool = True, widening: int = 1) -> list[CIRUnit]:
    outputs = width * CIRUnit.expansion
    return [
        CIRUnit(inputs if index == 0 else outputs, width, last_relu or index < blocks - 1, widening)
        for index in range(blocks)
    ]


def initialise(module: nn.Module) -> None:
    """Start a convolution as He et al. (2015) proposed; for `nn.Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def ciresnet16() -> CIResNet:
    """CIResNet-16: 1 + 5 × 3 convolutions."""
    return CIResNet((3, 2))


def ciresnet22() -> CIResNet:
    """CIResNet-22: 1 + 7 × 3 convolutions, the network of SiamFC+ and SiamRPN+."""
    return CIResNet((3, 4))


def ciresnet22w() -> CIResNet:
    """CIResNet-22W of SiamDW's code: CIResNet-22 whose 3×3 convolutions have twice the output channels."""
    return CIResNet((3, 4), widening=2)


def load_imagenet_resnet50(model: CIResNet, source: StateSource, fold_input: bool = True) -> None:
    """Start CIResNet-22 from torchvision's ResNet-50: ``conv1``, ``bn1``, ``layer1`` and ``layer2`` fit it exactly.

    It is a start, not an equal: the strides have moved to pools and the borders are cropped.

    Args:
        model: CIResNet-22, changed in place.
        source: file or state dict of torchvision's ``resnet50``; ``layer3``, ``layer4`` and ``fc`` are left out.
        fold_input: put torchvision's normalisation of RGB images into ``conv1`` and ``bn1``, so that the model takes
            BGR 0-255. Without it the model wants what torchvision's does.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, or names or shapes are not those of ResNet-50.
    """
    state = {
        _beside_pool(name): tensor
        for name, tensor in state_dict_of(source).items()
        if not name.startswith(("layer3.", "layer4.", "fc."))
    }
    load_exactly(model, state, "torchvision's ResNet-50")
    if fold_input:
        fold_imagenet_normalisation(model)


def _beside_pool(name: str) -> str:
    """ResNet-50's name → ours: behind the first unit of ``layer2`` the pool takes an index."""
    later = re.fullmatch(r"layer2\.([1-9]\d*)\.(.+)", name)
    return f"layer2.{int(later[1]) + 1}.{later[2]}" if later else name


@torch.no_grad()
def fold_imagenet_normalisation(model: CIResNet) -> None:
    """Make a model of normalised RGB in [0, 1] into the same model of BGR in [0, 255], in place.

    The scale goes into ``conv1``, the mean into the running mean of ``bn1``. With zero padding the mean could not be
    moved exactly, but the two cells a side that see the padding are cropped, so the features are equal everywhere.
    """
    weight = model.conv1.weight
    mean = weight.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = weight.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    model.bn1.get_buffer("running_mean").add_((weight * mean / std).sum((1, 2, 3)))
    weight.copy_((weight / (255 * std)).flip(1))


def load_siamdw(model: nn.Module, source: StateSource) -> None:
    """Load the backbone from a checkpoint of the official SiamDW code.

    There it lies under ``features.features.``; ``connect_model.*``, the parameters of the head (only SiamRPN+ has
    some), are left out.

    Args:
        model: the member of the family (CIResInception and CIResNeXt too) that was trained, changed in place.
        source: file or state dict; the wrappers ``state_dict`` and ``module.`` are taken off.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, or names or shapes are not those of the model.
    """
    state = {
        name.removeprefix("features.features."): tensor
        for name, tensor in state_dict_of(source).items()
        if not name.startswith(("connect_model.", "neck."))
    }
    load_exactly(model, state, "SiamDW's checkpoint of this network")
