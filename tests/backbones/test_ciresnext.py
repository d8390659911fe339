"""CIResNeXt against a plain computation without padding or groups, and its names against those of the official code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.ciresnet import load_siamdw
from backbones.ciresnext import CIResNeXt, ciresnext22

Fill = Callable[[Mapping[str, tuple[int, ...]]], dict[str, Tensor]]
NORM = ("weight", "bias", "running_mean", "running_var")
UNITS = {"layer1.0": (64, 128), "layer1.1": (256, 128), "layer1.2": (256, 128), "layer2.0": (256, 256)}
UNITS |= {f"layer2.{index}": (512, 256) for index in (2, 3, 4)}  # the pool is number 1
GROUPS = 32


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the checkpoints of SiamDW's `ResNeXt([3, 4], cardinality=32, bottleneck_width=4)`."""
    shapes: dict[str, tuple[int, ...]] = {"conv0.weight": (64, 3, 7, 7), "conv0.bias": (64,)}
    norms = {"bn0": 64}
    for unit, (inputs, width) in UNITS.items():
        shapes[f"{unit}.basic.conv1_0.weight"] = (width, inputs, 1, 1)
        shapes[f"{unit}.basic.conv3_0.weight"] = (width, width // GROUPS, 3, 3)
        shapes[f"{unit}.basic.conv1_1.weight"] = (2 * width, width, 1, 1)
        if inputs != 2 * width:
            shapes[f"{unit}.shortcut.0.weight"] = (2 * width, inputs, 1, 1)
        norms |= {f"{unit}.basic.bn1": width, f"{unit}.basic.bn2": width, f"{unit}.basic.bn3": 2 * width}
        norms[f"{unit}.bn0"] = 2 * width
    for norm, channels in norms.items():
        shapes |= {f"{norm}.{part}": (channels,) for part in NORM}
    return shapes


@pytest.fixture(scope="module")
def checkpoint(fill: Fill) -> dict[str, Tensor]:
    """Like a checkpoint of the official code."""
    return fill(official_shapes())


@pytest.fixture(scope="module")
def net(checkpoint: dict[str, Tensor]) -> CIResNeXt:
    model = ciresnext22()
    load_siamdw(model, {f"module.features.features.{name}": tensor for name, tensor in checkpoint.items()})
    return model.double().eval()


def image(*size: int) -> Tensor:
    return 255 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def dense(weight: Tensor) -> Tensor:
    """The kernel of an ordinary convolution that does what a grouped one does: zero between groups."""
    outputs, inputs = weight.shape[:2]
    full = weight.new_zeros(outputs, inputs * GROUPS, *weight.shape[2:])
    for channel in range(outputs):
        group = channel // (outputs // GROUPS)
        full[channel, group * inputs : (group + 1) * inputs] = weight[channel]
    return full


def test_equals_the_network_without_padding(net: CIResNeXt, checkpoint: dict[str, Tensor]) -> None:
    state = {name: tensor.double() for name, tensor in checkpoint.items()}

    def normalised(x: Tensor, norm: str) -> Tensor:
        weight, bias, mean, variance = (state[f"{norm}.{part}"][:, None, None] for part in NORM)
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    x = image(127, 111)
    y = F.conv2d(x, state["conv0.weight"], state["conv0.bias"], stride=2)
    y = F.max_pool2d(normalised(y, "bn0").relu(), 3, stride=2)
    for unit in UNITS:
        deep = normalised(F.conv2d(y, state[f"{unit}.basic.conv1_0.weight"]), f"{unit}.basic.bn1").relu()
        deep = F.conv2d(deep, dense(state[f"{unit}.basic.conv3_0.weight"]))  # no padding, no crop
        deep = normalised(deep, f"{unit}.basic.bn2").relu()
        deep = normalised(F.conv2d(deep, state[f"{unit}.basic.conv1_1.weight"]), f"{unit}.basic.bn3")
        y = y[..., 1:-1, 1:-1]
        if f"{unit}.shortcut.0.weight" in state:
            y = F.conv2d(y, state[f"{unit}.shortcut.0.weight"])
        y = normalised(deep + y, f"{unit}.bn0")
        y = y if unit == "layer2.4" else y.relu()
        y = F.max_pool2d(y, 2) if unit == "layer2.0" else y
    with torch.no_grad():
        found = net(x)
        torch.testing.assert_close(found, y)
    assert 0.1 < (found < 0).double().mean() < 0.9  # signed


def test_depth_is_in_the_name() -> None:
    names = [name for name, module in ciresnext22().named_modules() if isinstance(module, nn.Conv2d)]
    assert len([name for name in names if "shortcut" not in name]) == 22


def test_a_checkpoint_of_another_network_is_refused(checkpoint: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"1 missing: conv0\.bias"):
        load_siamdw(ciresnext22(), {name: tensor for name, tensor in checkpoint.items() if name != "conv0.bias"})
