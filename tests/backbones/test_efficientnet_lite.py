"""EfficientNet-Lite0: the published layers, TensorFlow's padding, and weights that go where they belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.efficientnet_lite import WIDTHS, EfficientNetLite0, SameConv, load_imagenet
from tracker.network import WeightsError

PUBLISHED = 4_652_008  # parameters of the whole classifier, as its authors' table has them rounded: 4.7 M
HEAD = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000


def test_it_has_the_published_number_of_parameters_and_strides() -> None:
    trunk = EfficientNetLite0().eval()
    assert sum(p.numel() for p in trunk.parameters()) + HEAD == PUBLISHED
    with torch.no_grad():
        features = trunk(torch.zeros(1, 3, 96, 64))
    shapes = [(1, width, 96 // stride, 64 // stride) for width, stride in zip(WIDTHS, (2, 4, 8, 16, 32), strict=True)]
    assert [tuple(level.shape) for level in features] == shapes


@pytest.mark.parametrize("side", [7, 8, 12])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_tensorflow_s(side: int, kernel: int, stride: int) -> None:
    """Against the rule itself: output cell i looks at pixels i·stride − before … , zero beyond the image."""
    layer = SameConv(2, 3, kernel, stride, bias=False)
    x = torch.randn(1, 2, side, side)
    cells = -(-side // stride)
    before = max((cells - 1) * stride + kernel - side, 0) // 2
    wide = F.pad(x, (before, kernel + stride, before, kernel + stride))
    with torch.no_grad():
        answer = layer(x)
        for row in range(cells):
            for column in range(cells):
                patch = wide[0, :, row * stride : row * stride + kernel, column * stride : column * stride + kernel]
                torch.testing.assert_close(answer[0, :, row, column], (layer.weight * patch).sum((1, 2, 3)))


def test_published_weights_go_where_they_belong(
    imagenet_names: Callable[[EfficientNetLite0], dict[str, Tensor]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    trunk, other = EfficientNetLite0().eval(), EfficientNetLite0().eval()
    for layer in trunk.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
    torch.save(imagenet_names(trunk), tmp_path / "published.pth")
    load_imagenet(other, tmp_path / "published.pth")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for one, two in zip(trunk(x), other(x), strict=True):
            torch.testing.assert_close(one, two)


def test_other_files_are_refused(tmp_path: Path) -> None:
    trunk, path = EfficientNetLite0(), tmp_path / "weights.pth"
    with pytest.raises(WeightsError, match=r"not a file of weights \(FileNotFoundError\)"):
        load_imagenet(trunk, path)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a file of weights"):
        load_imagenet(trunk, path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="no state dictionary"):
        load_imagenet(trunk, path)
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match="other shapes"):
        load_imagenet(trunk, path)
