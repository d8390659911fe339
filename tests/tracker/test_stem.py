"""The grouped first convolution: the same integers, and the graphs that are left as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.network import SiameseNetwork
from tracker.runtimes.files import GraphFiles
from tracker.runtimes.parity import textures
from tracker.runtimes.quantise import quantise
from tracker.runtimes.stem import PIXELS, TOGETHER, grouped_weights

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(0, 12), st.integers(0, 99))
def test_grouped_weights_make_two_columns_at_a_place(outputs: int, channels: int, kernel: int, more: int, seed: int):
    random = np.random.default_rng(seed)
    weights = random.integers(-9, 9, (outputs, channels, kernel, kernel)).astype(np.float64)
    image = random.integers(0, 255, (channels, kernel + more, kernel + more)).astype(np.float64)
    expected = F.conv2d(torch.from_numpy(image)[None], torch.from_numpy(weights), stride=2)
    grouped = grouped_weights(weights)
    width = PIXELS * (-(-expected.shape[3] // TOGETHER) + grouped.shape[3] - 1)
    wide = np.zeros((channels, len(image[0]), max(width, image.shape[2])))
    wide[:, :, : image.shape[2]] = image
    fours = np.concatenate([wide[:, :, pixel:width:PIXELS] for pixel in range(PIXELS)])
    found = F.conv2d(torch.from_numpy(fours)[None], torch.from_numpy(grouped), stride=(2, 1))
    for one in range(TOGETHER):
        of_one = expected[..., one::TOGETHER]
        assert torch.equal(found[:, one * outputs :][:, :outputs, :, : of_one.shape[3]], of_one)


def test_a_grouped_graph_says_the_same(
    networks: dict[str, SiameseNetwork], quantised: GraphFiles, monkeypatch, tmp_path
):
    """As one that was quantised without it, bit for bit, with two crops at once."""
    network = networks["compact"]
    monkeypatch.setattr("tracker.runtimes.quantise.group_pixels", lambda model: False)
    plain, _ = quantise(network, tmp_path, "compact", textures(network.card, 4))
    exemplars, searches = textures(network.card, 2, seed=8)
    said = []
    for files in (plain, quantised):
        template, search = (
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            for path in (files.template, files.search)
        )
        (kernels,) = template.run(["kernels"], {"crops": exemplars})
        said.append(search.run(["response", "features"], {"crops": searches, "kernels": kernels}))
    for before, after in zip(*said, strict=True):
        assert before.std() > 0
        np.testing.assert_array_equal(after, before)
    shapes = [
        {tuple(tensor.dims) for tensor in onnx.load(files.search).graph.initializer} for files in (plain, quantised)
    ]
    assert (48, 12, 3, 2) in shapes[1] - shapes[0]
    assert (24, 3, 3, 3) in shapes[0] - shapes[1]


@pytest.mark.parametrize("name", ["alexnet", "ciresnet22"])
def test_other_first_convolutions_are_left_alone(networks: dict[str, SiameseNetwork], tmp_path: Path, name: str):
    """AlexNet's makes an even number of columns, but has eleven of its own; CIResNet's pads."""
    network = networks[name]
    files, _ = quantise(network, tmp_path, name, textures(network.card, 1))
    assert ("stem_pads" in {tensor.name for tensor in onnx.load(files.search).graph.initializer}) == (name == "alexnet")
