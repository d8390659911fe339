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
from tracker.runtimes.onnxruntime import OnnxRuntime
from tracker.runtimes.parity import textures
from tracker.runtimes.quantise import quantise
from tracker.runtimes.stem import PIXELS, TOGETHER, group_pixels, grouped_weights

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


def test_a_grouped_graph_says_the_same(networks: dict[str, SiameseNetwork], quantised: GraphFiles):
    """Bit for bit, with two crops at once."""
    model = onnx.load(quantised.search)
    exemplars, searches = textures(networks["compact"].card, 2, seed=8)
    kernels = said_by(onnx.load(quantised.template), crops=exemplars)[0]
    before = said_by(model, crops=searches, kernels=kernels)
    assert group_pixels(model)
    onnx.checker.check_model(model, full_check=True)
    for plain, grouped in zip(before, said_by(model, crops=searches, kernels=kernels), strict=True):
        assert plain.std() > 0
        np.testing.assert_array_equal(grouped, plain)
    assert (48, 12, 3, 2) in {tuple(tensor.dims) for tensor in model.graph.initializer}
    assert not group_pixels(model)  # it begins with something else now


@pytest.mark.parametrize("name", ["alexnet", "ciresnet22"])
def test_some_first_convolutions_are_left_alone(networks: dict[str, SiameseNetwork], tmp_path: Path, name: str):
    """CIResNet's is padded; AlexNet's is not, and the pool behind it does not reach a column more."""
    network = networks[name]
    files, _ = quantise(network, tmp_path, name, textures(network.card, 1))
    model = onnx.load(files.search)
    before = model.SerializeToString()
    assert group_pixels(model) == (name == "alexnet")
    assert (model.SerializeToString() == before) == (name == "ciresnet22")


def test_a_graph_in_fp32_is_left_alone(exported: dict[str, GraphFiles]):
    model = onnx.load(exported["compact"].search)
    before = model.SerializeToString()
    assert not group_pixels(model)
    assert model.SerializeToString() == before


def said_by(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_onnxruntime_groups_the_search_graph_alone(quantised: GraphFiles, monkeypatch: pytest.MonkeyPatch):
    changed = []
    monkeypatch.setattr(
        "tracker.runtimes.onnxruntime.group_pixels", lambda model: changed.append(group_pixels(model)) or changed[-1]
    )
    OnnxRuntime(quantised, "cpu")
    assert changed == [True]
