"""The small backbone's residual unit is SiamDW's, without the cells that would be cropped."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from backbones.compact import Compact, CroppedResidual


@torch.no_grad()
def test_the_unit_is_a_padded_one_with_its_border_cropped():
    torch.manual_seed(0)
    unit, x = CroppedResidual(6).eval().double(), torch.randn(2, 6, 11, 12, dtype=torch.float64)
    for conv_bn in (unit.first, unit.second):
        torch.nn.init.uniform_(conv_bn[1].weight, 0.5, 1.5)
        torch.nn.init.normal_(conv_bn[1].bias)
    y = F.relu(unit.first[1](F.conv2d(x, unit.first[0].weight, padding=1)))
    y = F.relu(unit.second[1](F.conv2d(y, unit.second[0].weight, padding=1)) + x)
    torch.testing.assert_close(unit(x), y[..., 2:-2, 2:-2])


@torch.no_grad()
@pytest.mark.parametrize("side", [95, 127, 255, 191])
def test_sizes_are_those_it_states(side):
    net = Compact((4, 4, 8)).eval()
    cells = (side - 87) // 8
    assert net(torch.zeros(1, 3, side, side)).shape == (1, 8, cells, cells)
    assert net.out_channels == 8


def test_every_parameter_learns():
    torch.manual_seed(0)
    net = Compact((4, 4, 8)).train()
    features = net(torch.randn(2, 3, 127, 127))
    (features * torch.randn_like(features)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
