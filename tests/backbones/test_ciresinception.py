"""CIResInception against a plain computation without padding, and its names against those of the official code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.ciresinception import CIResInception, ciresinception22
from backbones.ciresnet import load_siamdw

Fill = Callable[[Mapping[str, tuple[int, ...]]], dict[str, Tensor]]
NORM = ("weight", "bias", "running_mean", "running_var")
UNITS = {"layer1.0": (64, 64), "layer1.1": (320, 64), "layer1.2": (320, 64), "layer2.0": (320, 128)}
UNITS |= {f"layer2.{index}": (640, 128) for index in (2, 3, 4)}  # the pool is number 1


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the checkpoints of SiamDW's `Inception(InceptionM, [3, 4])`."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    for unit, (inputs, width) in UNITS.items():
        shapes[f"{unit}.branch3x3.conv1.weight"] = (width, inputs, 1, 1)
        shapes[f"{unit}.branch3x3.conv2.weight"] = (width, width, 3, 3)
        shapes[f"{unit}.branch3x3.conv3.weight"] = (4 * width, width, 1, 1)
        shapes[f"{unit}.branch1x1.conv.weight"] = (width, inputs, 1, 1)
        norms |= {f"{unit}.branch3x3.bn1": width, f"{unit}.branch3x3.bn2": width, f"{unit}.branch3x3.bn3": 4 * width}
        norms[f"{unit}.branch1x1.bn"] = width
    for norm, channels in norms.items():
        shapes |= {f"{norm}.{part}": (channels,) for part in NORM}
    return shapes


@pytest.fixture(scope="module")
def checkpoint(fill: Fill) -> dict[str, Tensor]:
    """Like a checkpoint of the official code."""
    return fill(official_shapes())


@pytest.fixture(scope="module")
def net(checkpoint: dict[str, Tensor]) -> CIResInception:
    model = ciresinception22()
    load_siamdw(model, {f"module.features.features.{name}": tensor for name, tensor in checkpoint.items()})
    return model.double().eval()


def image(*size: int) -> Tensor:
    return 255 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_equals_the_network_without_padding(net: CIResInception, checkpoint: dict[str, Tensor]) -> None:
    state = {name: tensor.double() for name, tensor in checkpoint.items()}

    def layer(x: Tensor, conv: str, norm: str, eps: float = 1e-5, stride: int = 1) -> Tensor:
        weight, bias, mean, variance = (state[f"{norm}.{part}"][:, None, None] for part in NORM)
        return (F.conv2d(x, state[f"{conv}.weight"], stride=stride) - mean) / (variance + eps).sqrt() * weight + bias

    x = image(127, 111)
    y = F.max_pool2d(layer(x, "conv1", "bn1", stride=2).relu(), 3, stride=2)
    for unit in UNITS:
        deep = layer(y, f"{unit}.branch3x3.conv1", f"{unit}.branch3x3.bn1").relu()
        deep = layer(deep, f"{unit}.branch3x3.conv2", f"{unit}.branch3x3.bn2").relu()  # no padding, no crop
        deep = layer(deep, f"{unit}.branch3x3.conv3", f"{unit}.branch3x3.bn3")
        flat = layer(y[..., 1:-1, 1:-1], f"{unit}.branch1x1.conv", f"{unit}.branch1x1.bn", eps=1e-3)
        y = torch.cat([deep, flat], dim=1)
        y = y if unit == "layer2.4" else y.relu()
        y = F.max_pool2d(y, 2) if unit == "layer2.0" else y
    with torch.no_grad():
        found = net(x)
        torch.testing.assert_close(found, y)
    assert 0.1 < (found < 0).double().mean() < 0.9  # signed


def test_depth_is_in_the_name() -> None:
    names = [name for name, module in ciresinception22().named_modules() if isinstance(module, nn.Conv2d)]
    assert len([name for name in names if "branch1x1" not in name]) == 22


def test_a_checkpoint_of_another_network_is_refused(checkpoint: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"28 missing: layer1\.0\.branch1x1"):
        load_siamdw(ciresinception22(), {name: t for name, t in checkpoint.items() if "1x1.bn" not in name})
