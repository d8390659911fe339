"""`Lite`: sizes, ImageNet's weights where they belong, and no place that is favoured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backbones.efficientnet_lite import EfficientNetLite0
from backbones.lite import Lite, load_imagenet


@pytest.mark.parametrize(("side", "cells"), [(127, 8), (191, 16), (255, 24)])
def test_sizes(side: int, cells: int) -> None:
    with torch.no_grad():
        assert Lite().eval()(torch.zeros(2, 3, side, side)).shape == (2, 96, cells, cells)


def test_it_starts_from_the_published_layers(
    imagenet_names: Callable[[EfficientNetLite0], dict[str, Tensor]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    whole, backbone = EfficientNetLite0(), Lite()
    torch.save(imagenet_names(whole), tmp_path / "published.pth")
    load_imagenet(backbone, tmp_path / "published.pth")
    published = nn.Sequential(whole.stem, whole.stages).state_dict().values()  # zip stops where stride 16 ends
    taken = [*backbone.early.state_dict().values(), *backbone.late.state_dict().values()]
    assert len(taken) < len(published)
    assert all(torch.equal(own, theirs) for own, theirs in zip(taken, published, strict=False))


def test_a_moved_picture_moves_the_features() -> None:
    """By 16 pixels, two cells, in the middle: what padding tells is small beside what the picture does."""
    torch.manual_seed(0)
    backbone = Lite().eval()
    x = torch.randn(1, 3, 271, 271)
    with torch.no_grad():
        one, two = backbone(x[..., :255, :255]), backbone(x[..., 16:, 16:])
    inside, moved = one[..., 6:18, 6:18], two[..., 4:16, 4:16]
    assert (inside - moved).abs().mean() < 0.1 * inside.std()
