"""AlexNet: the table of the SiamFC paper and foreign weights in its published layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.alexnet import FDSIAMFC_WIDTHS, AlexNet, alexnet, load_siamfc

PEER = Path(__file__).parents[2] / "../shared/peers/fdsiamfc_30.pth"


def test_sizes_are_those_of_table_1_of_the_paper() -> None:
    net = alexnet().eval()
    sizes = []
    x = torch.zeros(1, 3, 127, 127)
    for stage in (net.conv1, net.conv2, net.conv3, net.conv4, net.conv5):
        for layer in stage:
            x = layer(x)
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                sizes.append((x.shape[1], x.shape[3]))
    assert sizes == [(96, 59), (96, 29), (256, 25), (256, 12), (384, 10), (384, 8), (256, 6)]


def test_last_layer_is_linear() -> None:
    torch.manual_seed(0)
    net = alexnet().eval()
    with torch.no_grad():
        features = net(255 * torch.rand(1, 3, 127, 127))
    assert 0.1 < (features < 0).float().mean() < 0.9


def test_odd_widths_are_refused_where_there_are_two_groups() -> None:
    with pytest.raises(ValueError, match="groups"):
        AlexNet((96, 255, 384, 384, 256))


def test_siamfc_checkpoint_loads_and_its_head_is_left_out() -> None:
    donor, net = alexnet(), alexnet()
    checkpoint = {f"backbone.{name}": tensor for name, tensor in donor.state_dict().items()}
    load_siamfc(net, checkpoint | {"head.out_scale": torch.tensor(1e-3)})
    loaded = net.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in donor.state_dict().items())


def test_checkpoint_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"conv1\.0\.weight \(28, 3, 11, 11\) instead of \(96, 3, 11, 11\)"):
        load_siamfc(alexnet(), AlexNet(FDSIAMFC_WIDTHS).state_dict())


@pytest.mark.skipif(not PEER.exists(), reason="FDSiamFC's weights are not part of the project (../shared/peers)")
def test_fdsiamfc_weights_find_a_patch_in_its_surroundings() -> None:
    """Foreign weights embed as they were trained to: a patch correlates best with itself, wherever it lies."""
    net = AlexNet(FDSIAMFC_WIDTHS).eval()
    load_siamfc(net, PEER)
    torch.manual_seed(0)
    coarse = 255 * torch.rand(1, 3, 24, 24)
    search = F.interpolate(coarse, (255, 255), mode="bicubic").clamp(0, 255)
    found = []
    with torch.no_grad():
        features = net(search)
        for row, column in [(3, 12), (8, 8), (14, 1)]:
            exemplar = search[..., 8 * row : 8 * row + 127, 8 * column : 8 * column + 127]
            found.append(peak(F.conv2d(features, net(exemplar))))
    assert found == [(3, 12), (8, 8), (14, 1)]


def peak(response: Tensor) -> tuple[int, int]:
    return divmod(int(response.argmax()), response.shape[-1])
