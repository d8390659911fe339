"""Layers that stay as they are while others learn: quick, and the same. Here, as the tests of `tracker` are the process
that OpenVINO is loaded into (see the Makefile).
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from learning.frozen import quicken

pytest.importorskip("openvino")


@pytest.fixture
def part() -> nn.Sequential:
    """Two convolutions whose normalisation has statistics of its own."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 4, 3, stride=2))
    nn.init.normal_(layers[1].running_mean)
    nn.init.uniform_(layers[1].running_var, 0.5, 2.0)
    return layers.eval()


def test_it_answers_as_torch_does(part: nn.Sequential) -> None:
    batches = [torch.randn(3, 3, 21, 21), torch.randn(2, 3, 33, 15).contiguous(memory_format=torch.channels_last)]
    expected = [part(batch) for batch in batches]
    quicken(part)
    for batch, answer in zip(batches, expected, strict=True):
        torch.testing.assert_close(part(batch), answer.detach(), atol=1e-5, rtol=1e-4)


def test_nothing_learns_through_it_and_its_tensors_stay(part: nn.Sequential) -> None:
    before = {name: tensor.clone() for name, tensor in part.state_dict().items()}
    quicken(part)
    part.train()
    assert not part(torch.randn(1, 3, 9, 9, requires_grad=True)).requires_grad
    assert part.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in part.state_dict().items())
