"""SiamFC networks of others, trained with siamfc-pytorch or its descendants, in our loop.

Their checkpoints are foreign weights to check ours with: another training, the same tracker. Known by their widths are
SiamFC's AlexNet and FDSiamFC's distilled one. The loop has siamfc-pytorch's own constants, among them the factor of
0.001 on the correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from backbones.alexnet import FDSIAMFC_WIDTHS, SIAMFC_WIDTHS, AlexNet, load_siamfc
from backbones.checkpoint import state_dict_of
from tracker import SiamTracker
from tracker.correlation import SiamFCHead
from tracker.model import Model
from tracker.network import ModelCard, SiameseNetwork
from tracker.runtimes import Runtime
from tracker.runtimes.torch import TorchRuntime

CARD = ModelCard(
    "alexnet",
    "siamfc",
    config={
        "scales": 3,
        "scale_step": 1.0375,
        "scale_penalty": 0.9745,
        "scale_rate": 0.59,
        "window_influence": 0.176,
    },
)
OUT_SCALE = 0.001  # of the correlation in siamfc-pytorch
EXEMPLAR_CELLS = 6 * 6


@dataclass(frozen=True)
class SiamFCModel:
    """What `SiamTracker` needs of a model."""

    name: str
    card: ModelCard
    runtime: Runtime


def load_siamfc_network(path: Path) -> SiameseNetwork:
    """The network of a checkpoint, for BGR crops.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of weights, or not of a SiamFC of known widths.
    """
    state = state_dict_of(path)
    first = next((tensor for name, tensor in state.items() if name.endswith("conv1.0.weight")), None)
    widths = {each[0]: each for each in (SIAMFC_WIDTHS, FDSIAMFC_WIDTHS)}
    if first is None or len(first) not in widths:
        known = " or ".join(str(width) for width in widths)
        raise ValueError(f"{path}: expected a SiamFC checkpoint whose first convolution has {known} channels")
    backbone = AlexNet(widths[len(first)])
    load_siamfc(backbone, state)
    network = SiameseNetwork(CARD).eval()
    network.backbone, network.head = backbone.eval(), SiamFCHead(backbone.out_channels).eval()
    convolution = cast(torch.nn.Conv2d, backbone.conv1[0])
    with torch.no_grad():
        convolution.weight.copy_(convolution.weight.flip(1))  # they saw RGB, frames are BGR
        network.head.gain.fill_(OUT_SCALE * EXEMPLAR_CELLS * backbone.out_channels)
    return network


def load_siamfc_tracker(path: Path, device: str = "cpu", threads: int | None = None) -> SiamTracker:
    """A tracker with the network of a checkpoint.

    Raises: see `load_siamfc_network`.
    """
    model = SiamFCModel(path.stem, CARD, TorchRuntime(load_siamfc_network(path), device, threads))
    return SiamTracker(cast(Model, model))
