"""The middle of a crop: EfficientNet-Lite0's own layers, standardised, and nothing from beyond the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backbones.appearance import Appearance, load_imagenet
from backbones.efficientnet_lite import MEAN, SCALE, EfficientNetLite0

CROPS = torch.randint(0, 256, (12, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def networks(
    imagenet_names: Callable[[EfficientNetLite0], dict[str, Tensor]], tmp_path: Path
) -> tuple[EfficientNetLite0, Appearance]:
    """A trunk, and the network that took its weights from its file."""
    torch.manual_seed(0)
    trunk, appearance = EfficientNetLite0().eval(), Appearance().eval()
    torch.save(imagenet_names(trunk), tmp_path / "published.pth")
    load_imagenet(appearance, tmp_path / "published.pth")
    return trunk, appearance


@torch.inference_mode()
def test_it_is_the_mean_of_the_four_cells_in_the_middle(networks: tuple[EfficientNetLite0, Appearance]) -> None:
    trunk, appearance = networks
    stride_16 = trunk((CROPS.permute(0, 3, 1, 2).float() - MEAN) * SCALE)[3]
    assert stride_16.shape == (12, 112, 4, 4)
    torch.testing.assert_close(appearance(CROPS)[:, :, 0, 0], stride_16[:, :, 1:3, 1:3].mean((2, 3)))


@torch.inference_mode()
def test_features_are_standardised_by_the_crops(networks: tuple[EfficientNetLite0, Appearance]) -> None:
    _, appearance = networks
    before = appearance(CROPS).flatten(1)
    appearance.standardise_by(CROPS, batch=5)
    after = appearance(CROPS).flatten(1)
    torch.testing.assert_close(after, (before - before.mean(0)) / before.std(0), atol=1e-3, rtol=1e-3)
    appearance.standardise_by(CROPS)  # as if it had not been done before
    torch.testing.assert_close(appearance(CROPS).flatten(1), after, atol=1e-3, rtol=1e-3)
