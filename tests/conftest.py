"""Fixtures that several packages' tests share."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from backbones.efficientnet_lite import EfficientNetLite0
    from tracker.network import SiameseNetwork


@pytest.fixture(scope="session")
def load_module() -> Callable[[Path], ModuleType]:
    """What loads a file that belongs to no package, such as a script, as a module."""
    return load_script


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def render_demo() -> ModuleType:
    """``examples/render_demo.py``, which is a script and not part of a package.

    ``render("leaves")`` yields frames with the target's box, or None while it cannot be seen.
    """
    return load_script(Path(__file__).parents[1] / "examples" / "render_demo.py")


@pytest.fixture(scope="session")
def make_photos() -> Callable[[Path], Path]:
    """What makes a small folder of photographs with masks, in the layout that co-segmentation is trained on."""
    make: Callable[[Path], Path] = load_script(Path(__file__).parent / "learning" / "cosegmentation_folder.py").make
    return make


@pytest.fixture(scope="session")
def imagenet_names() -> Callable[[EfficientNetLite0], dict[str, Tensor]]:
    """What gives the weights of an EfficientNet-Lite0 the names of the published file."""
    import torch

    def as_published(trunk: EfficientNetLite0) -> dict[str, Tensor]:
        """A trunk's weights under the published names, with a classifier behind it: its first layer takes RGB.

        A block is called by its number; its convolutions are _expand_conv (but of the first block), _depthwise_conv and
        _project_conv, with _bn0, _bn1 and _bn2 behind them.
        """
        state = {"_conv_stem.weight": trunk.stem[0].weight.flip(1)}
        state |= {f"_bn0.{name}": value for name, value in trunk.stem[1].state_dict().items()}
        blocks = [block for stage in trunk.stages for block in stage]
        for number, block in enumerate(blocks):
            layers = [layer for layer in block.layers if len(layer.state_dict())]
            names = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
            for name, layer in zip(names[-len(layers) :], layers, strict=True):
                state |= {f"_blocks.{number}.{name}.{key}": value for key, value in layer.state_dict().items()}
        return state | {"_conv_head.weight": torch.zeros(1280, 320, 1, 1), "_fc.bias": torch.zeros(1000)}

    return as_published


@pytest.fixture(scope="session")
def networks() -> dict[str, SiameseNetwork]:
    """Untrained networks by backbone, whose normalisation has statistics as a trained one's has, in evaluation mode.

    What they say of an image means nothing, but it depends on the image.
    """
    import torch
    from torch import nn

    from tracker.network import ModelCard, SiameseNetwork

    cards = [
        ModelCard("compact", "box", mean=114.0, scale=1 / 64),
        ModelCard("ciresnet22", "siamfc", mean=114.0, scale=1 / 64, config={"scales": 3, "scale_penalty": 0.97}),
        ModelCard("alexnet", "siamfc", config={"scales": 3, "scale_penalty": 0.97}),
        ModelCard("lite", "siamfc_box", mean=127.0, scale=1 / 128),
    ]
    built = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for card in cards:
            built[card.backbone] = network = SiameseNetwork(card).eval()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    nn.init.normal_(module.bias, 0, 0.3)
                    nn.init.normal_(module.get_buffer("running_mean"), 0, 0.3)
                    nn.init.uniform_(module.get_buffer("running_var"), 0.3, 2.0)
    return built


@pytest.fixture(scope="session")
def weights(networks: dict[str, SiameseNetwork], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same networks as files, each a `.safetensors` with its card beside it."""
    from tracker.network import save_network

    folder = tmp_path_factory.mktemp("weights")
    for name, network in networks.items():
        save_network(network, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in networks}
