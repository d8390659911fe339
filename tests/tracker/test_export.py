"""Exported graphs: that they are the network, what they are made of, and what their files say."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import tracker
from tracker.network import ModelCard, SiameseNetwork
from tracker.runtimes import export, files, graphs, kernels_by_crop
from tracker.runtimes.files import GRAPHS, GraphFiles, identity_of
from tracker.runtimes.parity import compare, textures
from tracker.runtimes.quantise import centre_pixels, nodes_to_quantise
from tracker.runtimes.tensorrt import OPERATORS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def graph_of(exported: GraphFiles, graph: str) -> onnx.ModelProto:
    return onnx.load(getattr(exported, graph))


def said_by(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


# ---------------------------------------------------------------- correlation in portable operations


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_correlations_are_sums_over_shifts(n: int, c: int, h: int, w: int, more_rows: int, more_columns: int):
    random = torch.Generator().manual_seed(n + 10 * c + 100 * h)
    search = torch.randn(n, c, h + more_rows, w + more_columns, generator=random, dtype=torch.float64)
    kernel = torch.randn(n, c, h, w, generator=random, dtype=torch.float64)
    expected = torch.zeros(n, c, more_rows + 1, more_columns + 1, dtype=torch.float64)
    for y in range(more_rows + 1):
        for x in range(more_columns + 1):
            expected[:, :, y, x] = (search[:, :, y : y + h, x : x + w] * kernel).sum((2, 3))
    torch.testing.assert_close(graphs.depthwise_correlation(search, kernel), expected)
    if h == w:
        torch.testing.assert_close(graphs.cross_correlation(search, kernel), expected.sum(1, keepdim=True))


@pytest.mark.parametrize("scales", [1, 3])
def test_kernels_below_one_another_are_answered_in_turn(scales: int):
    random = torch.Generator().manual_seed(0)
    search = torch.randn(2, 4, 7, 6, generator=random, dtype=torch.float64)
    kernels = torch.randn(2 * scales, 4, 3, 3, generator=random, dtype=torch.float64)
    expected = torch.cat(
        [
            F.conv2d(search[crop : crop + 1], kernels[index : index + 1])
            for crop in range(2)
            for index in range(crop * scales, (crop + 1) * scales)
        ]
    )
    piled = torch.from_numpy(kernels_by_crop(kernels.numpy(), 2))
    assert piled.shape == (2, 4, 3 * scales, 3)
    torch.testing.assert_close(graphs.cross_correlation(search, piled), expected)


# ---------------------------------------------------------------- the graphs are the network


@pytest.mark.parametrize("name", ["compact", "ciresnet22", "lite"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_graphs_compute_what_the_network_does(networks, exported, name: str, batch: int):
    network, (exemplars, searches) = networks[name], textures(networks[name].card, batch, seed=5)
    with torch.inference_mode():
        kernels = network.template(torch.from_numpy(exemplars).permute(0, 3, 1, 2).float())
        features = network.features(torch.from_numpy(searches).permute(0, 3, 1, 2).float())
        response = network.head.search(features, kernels)
    found = said_by(graph_of(exported[name], "template"), crops=exemplars)
    found += said_by(graph_of(exported[name], "search"), crops=searches, kernels=kernels.numpy())
    for array, expected in zip(found, (kernels, response, features), strict=True):
        assert array.shape == tuple(expected.shape)
        assert np.abs(array - expected.numpy()).max() <= 1e-3 * expected.abs().max()


@pytest.mark.parametrize("head", ["siamfc_box", "pixel"])
def test_every_other_head_can_be_exported_to_tensorrt_too(tmp_path: Path, head: str):
    """Exported graphs are kept only if they answer as torch does, each channel of the response by itself."""
    torch.manual_seed(0)
    network = SiameseNetwork(ModelCard("compact", head, mean=114.0, scale=1 / 64)).eval()
    made, parity = export.export(network, tmp_path, head)
    assert parity.worst < 1e-3
    for graph in GRAPHS:
        assert {node.op_type for node in graph_of(made, graph).graph.node} <= OPERATORS


def test_what_is_not_the_network_is_not_written(networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        graphs, "depthwise_correlation", lambda search, kernel: search[..., :17, :17] * kernel[..., :1, :1]
    )
    with pytest.raises(export.ExportError, match="not the network"):
        export.export(networks["compact"], tmp_path, "compact")
    assert list(tmp_path.iterdir()) == []


def test_differences_are_found(networks):
    """`compare` is what refuses a wrong export: an error in one channel must not hide behind the others."""
    exact = export.reference(networks["compact"])

    class Wrong:
        name = "wrong"
        template = staticmethod(exact.template)

        def search(self, crops, kernels):
            response, features = exact.search(crops, kernels)
            response[:, 3] += 0.01 * np.abs(response[:, 3]).max()
            return response, features

    same = compare(exact, exact, *textures(networks["compact"].card, 3))
    assert (same.worst, same.same_peak) == (0.0, 1.0)
    assert compare(exact, Wrong(), *textures(networks["compact"].card, 3)).response == pytest.approx(0.01, rel=0.3)


# ---------------------------------------------------------------- what the files are made of


@pytest.mark.parametrize("name", ["compact", "ciresnet22", "lite"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_tensorrt_has_every_operation(exported, name: str, graph: str):
    """Its parser wants constant weights of convolutions, and does nothing with an input of uint8 but convert it."""
    model = graph_of(exported[name], graph)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {output for node in model.graph.node if node.op_type == "Constant" for output in node.output}
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert {node.domain for node in model.graph.node} == {""}
    for node in model.graph.node:
        if node.op_type == "Conv":  # constant weights
            assert node.input[1] in constants
        if node.op_type in ("Slice", "Unsqueeze", "Squeeze"):
            assert set(node.input[1:]) <= constants
    assert [node.op_type for node in model.graph.node if "crops" in node.input] == ["Cast"]


@pytest.mark.parametrize("name", ["compact", "ciresnet22", "lite"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_only_the_batch_and_the_number_of_exemplars_are_free(exported, name: str, graph: str):
    model = graph_of(exported[name], graph)
    onnx.checker.check_model(model, full_check=True)
    for value in [*model.graph.input, *model.graph.output]:
        batch, *others = value.type.tensor_type.shape.dim
        assert batch.dim_param
        if (name, graph, value.name) == ("ciresnet22", "search", "kernels"):
            assert others.pop(1).dim_param  # one kernel below another
        assert all(size.dim_value > 0 for size in others)


@pytest.mark.parametrize("graph", GRAPHS)
def test_files_say_what_they_are(networks, exported, graph: str):
    model = graph_of(exported["compact"], graph)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert ModelCard(**json.loads(said["card"])) == networks["compact"].card
    assert (said["graph"], said["precision"], said["format"]) == (graph, "fp32", str(files.EXPORT_FORMAT))
    assert json.loads(said["parity"])["response"] <= 1e-3
    described = json.loads(said["tensors"])
    assert list(described["inputs"]) == [value.name for value in model.graph.input]
    assert list(described["outputs"]) == [value.name for value in model.graph.output]


def test_files_name_no_place_of_this_machine(exported):
    for graph in GRAPHS:
        assert str(Path(tracker.__file__).parents[1]).encode() not in getattr(exported["compact"], graph).read_bytes()


# ---------------------------------------------------------------- which files belong to which weights


def test_the_identity_is_that_of_the_graphs(networks):
    network = networks["compact"]
    configured, moved, trained = (copy.deepcopy(network) for _ in range(3))
    configured.card = dataclasses.replace(network.card, config={"window_influence": 0.1}, results=[{"auc": 1.0}])
    moved.card = dataclasses.replace(network.card, mean=113.0)
    with torch.no_grad():
        next(trained.parameters()).view(-1)[0] += 1e-3
    assert identity_of(configured) == identity_of(network)
    assert len({identity_of(each) for each in (network, moved, trained)}) == 3


def test_an_export_is_made_once(networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def pretend(network: SiameseNetwork, folder: Path, name: str) -> tuple[GraphFiles, None]:
        found = GraphFiles.named(folder, name, identity_of(network), "fp32")
        folder.mkdir(parents=True)
        for path in (found.template, found.search):
            path.touch()
        made.append(found)
        return found, None

    monkeypatch.setattr(export, "export", pretend)
    assert export.cached_graphs(networks["compact"]) == export.cached_graphs(networks["compact"]) == made[0]
    assert len(made) == 1
    assert tmp_path in made[0].search.parents


@pytest.mark.parametrize("value", [None, "", "relative/folder"])
def test_the_cache_folder_is_below_home_unless_an_absolute_one_is_named(value, monkeypatch: pytest.MonkeyPatch):
    """As the XDG base directory specification has it: relative paths are to be ignored."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert files.cache_folder() == Path.home() / ".cache" / "siamtrack"


# ---------------------------------------------------------------- int8


@pytest.mark.parametrize("name", ["compact", "ciresnet22", "lite"])
def test_centred_pixels_change_nothing(networks, exported, name: str):
    card = networks[name].card
    crops = textures(card, 2)[0]
    model = graph_of(exported[name], "template")
    before = said_by(model, crops=crops)[0]
    centre_pixels(model, card)
    np.testing.assert_allclose(said_by(model, crops=crops)[0], before, atol=1e-4 * np.abs(before).max())


def test_pixels_go_into_the_first_convolution_as_they_are(networks, quantised):
    model = graph_of(quantised, "search")
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    by_input = {name: node for node in model.graph.node for name in node.input}
    transpose = by_input["crops"]
    dequantise = by_input[transpose.output[0]]
    assert (transpose.op_type, dequantise.op_type) == ("Transpose", "DequantizeLinear")
    assert [values[name].item() for name in dequantise.input[1:]] == [1, networks["compact"].card.mean]
    assert by_input[dequantise.output[0]].op_type == "Conv"


def test_the_backbone_is_quantised_and_what_follows_the_correlation_is_not(exported, quantised):
    model = graph_of(quantised, "search")
    makers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    eight = [node for node in convolutions if makers.get(node.input[1])]  # weights come out of a DequantizeLinear
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rest = [values[node.input[1]].shape for node in convolutions if node not in eight]
    assert len(eight) == 9 + 1  # of the backbone, and the neck
    assert sorted(rest) == [(1, 64, 1, 1), (4, 64, 1, 1), (64, 64, 3, 3), (64, 64, 3, 3)]
    for node in eight:
        weights, scales = (values[name] for name in makers[node.input[1]].input[:2])
        assert weights.dtype == np.int8
        assert scales.shape == weights.shape[:1]  # one for each output channel
        assert np.abs(weights.astype(int)).max() <= 64  # seven bits: no overflow where products are added in pairs
    assert not [node for node in model.graph.node if node.op_type in ("QLinearConv", "MatMulInteger")]
    names = nodes_to_quantise(graph_of(exported["compact"], "search"))
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_limits_and_resizing_are_in_eight_bits_too(networks, tmp_path: Path):
    """ReLU6 leaves what the scale of eight bits leaves, so that nothing of it stands between two convolutions."""
    from tracker.runtimes.quantise import quantise

    network = networks["lite"]
    made, _ = quantise(network, tmp_path, "lite", textures(network.card, 2))
    model = graph_of(made, "search")
    makers = {name: node for node in model.graph.node for name in node.output}
    users = {name: node for node in model.graph.node for name in node.input}
    eight = [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in makers]
    assert len(eight) > 30
    assert all(users[node.output[0]].op_type == "QuantizeLinear" for node in eight[:-1])  # the last one correlates
    assert [users[node.output[0]].op_type for node in model.graph.node if node.op_type == "Clip"] == ["Exp"]  # of boxes
    (resize,) = (node for node in model.graph.node if node.op_type == "Resize")
    before, after = makers[resize.input[0]], users[resize.output[0]]
    assert (before.op_type, after.op_type) == ("DequantizeLinear", "QuantizeLinear")
    assert before.input[1:] == after.input[1:]  # copied as they are


def test_the_template_stays_exact_in_half_the_size(exported, quantised, networks):
    whole, half = exported["compact"].template, quantised.template
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    crops = textures(networks["compact"].card, 2)[0]
    expected, found = (said_by(onnx.load(path), crops=crops)[0] for path in (whole, half))
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_int8_says_almost_the_same(networks, quantised):
    from tracker.runtimes.onnxruntime import OnnxRuntime

    exact, eight = export.reference(networks["compact"]), OnnxRuntime(quantised)
    exemplars, searches = textures(networks["compact"].card, 4, seed=9)
    kernels = exact.template(exemplars)
    for found, expected in zip(eight.search(searches, kernels), exact.search(searches, kernels), strict=True):
        centred = expected - expected.mean()
        assert np.sqrt(((found - expected) ** 2).mean()) < 0.1 * np.sqrt((centred**2).mean())


@pytest.mark.slow
def test_symmetric_files_are_what_tensorrt_takes(networks, tmp_path: Path):
    """No zero points, and no arithmetic on uint8."""
    from tracker.runtimes.quantise import quantise

    network = networks["compact"]
    stale = tmp_path / "compact.0123456789ab.int8-symmetric.search.onnx"
    stale.touch()
    made, _ = quantise(network, tmp_path, "compact", textures(network.card, 4), symmetric=True)
    assert not stale.exists()
    for graph in GRAPHS:
        model = graph_of(made, graph)
        values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        assert {node.op_type for node in model.graph.node} <= OPERATORS
        assert [node.op_type for node in model.graph.node if "crops" in node.input] == ["Cast"]
        for node in model.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                assert not values[node.input[2]].any()
                assert values[node.input[2]].dtype in (np.int8, np.int32)
