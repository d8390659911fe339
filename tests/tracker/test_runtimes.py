"""Runtimes: the same boxes from each, which one is taken, and what is said of one that is not there."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tracker import MultiTracker, SiamTracker, runtimes
from tracker.network import WeightsError
from tracker.runtimes import RuntimeMissing, export, files, open_runtime, tensorrt
from tracker.runtimes.files import GraphFiles, identity_of
from tracker.runtimes.parity import textures

EXPORTED = [
    pytest.param(name, marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"{name} is not installed"))
    for name in ("onnxruntime", "openvino")
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "siamtrack"


def place(found: GraphFiles, folder: Path) -> None:
    """Put copies of exported files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (found.template, found.search):
        shutil.copy(path, folder / path.name)


@pytest.fixture
def shipped(weights, quantised, tmp_path: Path) -> Path:
    """The untrained compact model with int8 files beside it."""
    folder = tmp_path / "weights"
    place(quantised, folder)
    for suffix in (".safetensors", ".json"):
        shutil.copy(weights["compact"].with_suffix(suffix), folder)
    return folder / "compact.safetensors"


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    """Six frames in which a texture moves before another one."""
    random = np.random.default_rng(1)
    ground, target = (
        cv2.resize(random.integers(0, 256, (h // 8, w // 8, 3), dtype=np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)
        for h, w in ((240, 320), (48, 40))
    )
    frames = []
    for index in range(6):
        frame = ground.copy()
        frame[80 + 2 * index : 128 + 2 * index, 100 + 3 * index : 140 + 3 * index] = target
        frames.append(frame)
    return frames


BOX = (100.0, 80.0, 40.0, 48.0)


def boxes(tracker: SiamTracker, clip: list[np.ndarray]) -> np.ndarray:
    tracker.init(clip[0], BOX)
    return np.array([tracker.update(frame).box for frame in clip[1:]])


# ---------------------------------------------------------------- the same answers


@pytest.mark.parametrize("model", ["compact", "ciresnet22"])
@pytest.mark.parametrize("name", EXPORTED)
def test_every_runtime_gives_the_boxes_of_torch(weights, exported, cache, clip, model: str, name: str):
    place(exported[model], cache / "onnx")
    tracker = SiamTracker.from_pretrained(weights[model], runtime=name, threads=1)
    assert tracker.runtime == name
    exact = SiamTracker.from_pretrained(weights[model], runtime="torch-fp32")
    np.testing.assert_allclose(boxes(tracker, clip), boxes(exact, clip), atol=0.05)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_batch_equals_single_calls(networks, exported, cache, name: str):
    place(exported["compact"], cache / "onnx")
    runtime = open_runtime(networks["compact"], name, weights=Path("compact.safetensors"))
    exemplars, searches = textures(networks["compact"].card, 3)
    kernels = runtime.template(exemplars)
    together = runtime.search(searches, kernels)
    for row in range(3):
        kernel = runtime.template(exemplars[row : row + 1])
        np.testing.assert_allclose(kernel[0], kernels[row], atol=1e-4 * np.abs(kernels).max())
        for single, all_of_them in zip(runtime.search(searches[row : row + 1], kernel), together, strict=True):
            np.testing.assert_allclose(single[0], all_of_them[row], atol=1e-4 * np.abs(all_of_them).max())


@pytest.mark.parametrize("name", [*EXPORTED, "torch-fp32"])
def test_each_target_has_its_scales_one_after_another(networks, exported, cache, name: str):
    """(N·S) crops: the first S are those of the first kernel."""
    place(exported["compact"], cache / "onnx")
    runtime = open_runtime(networks["compact"], name, weights=Path("compact.safetensors"))
    exemplars, searches = textures(networks["compact"].card, 4)
    kernels = runtime.template(exemplars[:2])
    whole, _ = runtime.search(searches, kernels)
    first, _ = runtime.search(searches[:2], kernels[[0, 0]])
    second, _ = runtime.search(searches[2:], kernels[[1, 1]])
    np.testing.assert_allclose(whole, np.concatenate([first, second]), atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize("name", [*EXPORTED, "torch-fp32"])
def test_one_crop_may_go_with_several_kernels(networks, exported, cache, name: str):
    """(N·S) kernels: the first S are those of the first crop, and the backbone looks at each crop once."""
    place(exported["ciresnet22"], cache / "onnx")
    runtime = open_runtime(networks["ciresnet22"], name, weights=Path("ciresnet22.safetensors"))
    exemplars, searches = textures(networks["ciresnet22"].card, 4)
    kernels = runtime.template(exemplars)
    found, features = runtime.search(searches[:2], kernels)
    expected, seen = runtime.search(searches[[0, 0, 1, 1]], kernels)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(features, seen[::2], atol=1e-4 * np.abs(seen).max())


@pytest.mark.parametrize("name", EXPORTED)
def test_results_of_a_call_outlive_the_next(networks, exported, cache, name: str):
    place(exported["compact"], cache / "onnx")
    runtime = open_runtime(networks["compact"], name, weights=Path("compact.safetensors"))
    exemplars, searches = textures(networks["compact"].card, 2)
    kernels = runtime.template(exemplars)
    first = runtime.search(searches[:1], kernels[:1])
    kept = [array.copy() for array in first]
    runtime.search(searches[1:], kernels[1:])
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_pickled_tracker_goes_on_with_its_runtime(weights, exported, cache, clip, name: str):
    place(exported["compact"], cache / "onnx")
    tracker = SiamTracker.from_pretrained(weights["compact"], runtime=name)
    tracker.init(clip[0], BOX)
    again = pickle.loads(pickle.dumps(tracker))
    assert again.update(clip[1]).box == pytest.approx(tracker.update(clip[1]).box, abs=1e-3)
    assert again.runtime == name


def test_several_targets_take_one_batch_through_int8(shipped, clip):
    together = MultiTracker.from_pretrained(shipped, runtime="onnxruntime-int8")
    alone = [SiamTracker.from_pretrained(shipped, runtime="onnxruntime-int8") for _ in range(2)]
    starts = [BOX, (200.0, 60.0, 50.0, 60.0)]
    for tracker, start in zip(alone, starts, strict=True):
        together.add(clip[0], start)
        tracker.init(clip[0], start)
    for frame in clip[1:]:
        found = together.update(frame).values()
        for one, tracker in zip(found, alone, strict=True):
            assert one.box == pytest.approx(tracker.update(frame).box, abs=0.01)


# ---------------------------------------------------------------- what "auto" takes


def test_auto_is_torch_without_files_beside_the_weights(weights, quantised, cache):
    place(quantised, cache / "onnx")  # what lies in the cache is this machine's accident
    assert SiamTracker.from_pretrained(weights["compact"], device="cpu").runtime == "torch"


@pytest.mark.parametrize(
    ("missing", "expected"),
    [([], "onnxruntime"), (["onnxruntime"], "openvino"), (["onnxruntime", "openvino"], "torch")],
)
def test_auto_takes_what_is_installed_in_a_fixed_order(
    shipped, missing: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
):
    if expected == "openvino":
        pytest.importorskip("openvino")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: name not in missing and find(name, *rest))
    monkeypatch.setattr(export, "export", None)  # it does not export
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker = SiamTracker.from_pretrained(shipped, device="cpu")
    assert tracker.runtime == expected
    assert tracker.model.runtime.precision == ("fp32" if expected == "torch" else "int8")


def test_auto_on_a_gpu_is_torch(networks, shipped):
    assert runtimes._installed(networks["compact"], "cuda", shipped) == []
    assert runtimes._installed(networks["compact"], "cpu", shipped)


def test_auto_does_not_take_files_of_other_weights(networks, shipped):
    for path in shipped.parent.glob("*.onnx"):
        path.rename(str(path).replace(identity_of(networks["compact"]), "0123456789ab"))
    assert SiamTracker.from_pretrained(shipped, device="cpu").runtime == "torch"


def test_auto_falls_back_with_one_warning(shipped):
    for path in shipped.parent.glob("*.onnx"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(RuntimeWarning, match=r"onnxruntime failed and torch is used instead: .*\.onnx") as caught:
        tracker = SiamTracker.from_pretrained(shipped, device="cpu")
    assert len(caught) == 1
    assert tracker.runtime == "torch"


# ---------------------------------------------------------------- runtimes by name


def test_int8_is_what_a_runtime_takes_where_it_ships(shipped):
    assert SiamTracker.from_pretrained(shipped, runtime="onnxruntime").model.runtime.precision == "int8"


def test_a_runtime_by_name_exports_into_the_cache(weights, cache, monkeypatch: pytest.MonkeyPatch):
    made = []
    monkeypatch.setattr(export, "export", lambda network, folder, name: made.append((folder, name)) or (None, None))
    with pytest.raises(AttributeError):  # there is no file to go on with
        SiamTracker.from_pretrained(weights["compact"], runtime="onnxruntime")
    assert made == [(cache / "onnx", "compact")]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("onnxruntime-fp32", "pip install onnx onnxscript onnxruntime"),
        ("openvino-fp32", "pip install openvino onnx onnxscript"),
        ("tensorrt-fp32", "pip install tensorrt --extra-index-url https://pypi.nvidia.com"),
    ],
)
def test_a_missing_package_is_named_with_its_pip_line(
    weights, exported, cache, name: str, line: str, monkeypatch: pytest.MonkeyPatch
):
    place(exported["compact"], cache / "onnx")
    monkeypatch.setitem(sys.modules, name.partition("-")[0], None)
    with pytest.raises(RuntimeMissing, match=f"{line}$"):
        SiamTracker.from_pretrained(weights["compact"], runtime=name)


def test_a_missing_exporter_is_named_with_its_pip_line(weights, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(RuntimeMissing, match="onnxscript: pip install onnx onnxscript"):
        SiamTracker.from_pretrained(weights["compact"], runtime="onnxruntime-fp32")


@pytest.mark.parametrize(
    ("runtime", "options"), [("onnxruntime-int8", ""), ("openvino-int8", ""), ("tensorrt-int8", " --runtime tensorrt")]
)
def test_int8_files_that_are_not_there_are_named_with_the_command(weights, runtime: str, options: str):
    with pytest.raises(ValueError, match=rf"make them: .*tools/export.py .*compact.* --precision int8.*{options}$"):
        SiamTracker.from_pretrained(weights["compact"], runtime=runtime)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_damaged_file_is_named(networks, exported, cache, name: str):
    place(exported["compact"], cache / "onnx")
    (damaged,) = (cache / "onnx").glob("*.search.onnx")
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=damaged.name):
        open_runtime(networks["compact"], f"{name}-fp32", weights=Path("compact.safetensors"))


@pytest.mark.parametrize("name", EXPORTED)
def test_a_device_that_is_not_there_is_refused(networks, exported, cache, name: str):
    place(exported["compact"], cache / "onnx")
    with pytest.raises(ValueError, match=f"device 'tpu' cannot be used by {name}"):
        open_runtime(networks["compact"], f"{name}-fp32", "tpu", weights=Path("compact.safetensors"))


@pytest.mark.parametrize("name", ["magic", "torch-int8", "onnxruntime-", "auto-fp32", "TORCH"])
def test_unknown_runtimes_are_refused(networks, name: str):
    with pytest.raises(ValueError, match=f"unknown runtime '{name}'; there are auto, torch, onnxruntime"):
        open_runtime(networks["compact"], name)


def test_threads_are_the_sessions_own(networks, exported, cache):
    onnxruntime = pytest.importorskip("onnxruntime")
    place(exported["compact"], cache / "onnx")
    before, asked = torch.get_num_threads(), []

    class Options(onnxruntime.SessionOptions):
        def add_session_config_entry(self, key: str, value: str) -> None:
            asked.append((self.intra_op_num_threads, key, value))
            super().add_session_config_entry(key, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", Options)
        open_runtime(networks["compact"], "onnxruntime-fp32", "cpu", 3, Path("compact.safetensors"))
    assert (3, "session.force_spinning_stop", "1") in asked
    assert torch.get_num_threads() == before


THREADS = """
import os, sys
import numpy as np
import {name}
from tracker import SiamTracker

def threads():
    return len(os.listdir("/proc/self/task"))

frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
counts = []
for _ in range(3):
    tracker = SiamTracker.from_pretrained(sys.argv[1], runtime="{name}", threads=1)
    tracker.init(frame, (40, 30, 32, 32))
    tracker.update(frame)
    counts.append(threads())
    globals()[f"kept{{len(counts)}}"] = tracker
print(*counts)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_trackers_of_one_thread_each_do_not_start_more_together(shipped):
    """OpenVINO starts some for each, of which one computes while the caller waits."""
    pytest.importorskip("onnxruntime")
    program = THREADS.format(name="onnxruntime")
    done = subprocess.run([sys.executable, "-c", program, shipped], capture_output=True, text=True, check=True)
    one, *more = map(int, done.stdout.split())
    assert more == [one, one]


@pytest.mark.parametrize(("pyramid", "looks", "searches"), [("search", 1, 3), ("exemplar", 3, 1)])
def test_a_runtime_has_run_before_it_is_handed_out(
    networks, pyramid: str, looks: int, searches: int, monkeypatch: pytest.MonkeyPatch
):
    """One search with as many crops as a frame will have, so that the first frame is as fast as the others."""
    calls = []
    network = copy.copy(networks["ciresnet22"])
    network.card = dataclasses.replace(network.card, config={**network.card.config, "pyramid": pyramid})

    class Counting:
        name = "torch"

        def __init__(self, network, *options):
            pass

        def template(self, crops):
            calls.append(crops.shape)
            return np.zeros((len(crops), 512, 5, 5), np.float32)

        def search(self, crops, kernels):
            calls.append(crops.shape)

    monkeypatch.setattr("tracker.runtimes.torch.TorchRuntime", Counting)
    open_runtime(network, "torch")
    assert calls == [(looks, 127, 127, 3), (searches, 255, 255, 3)]


# ---------------------------------------------------------------- TensorRT, as far as it goes without a GPU


def test_an_engine_is_kept_under_all_that_it_depends_on(tmp_path: Path, cache):
    graph, same, other = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx"))
    for path, content in ((graph, b"one"), (same, b"one"), (other, b"two")):
        path.write_bytes(content)
    key = ("10.3.0", "NVIDIA H100 80GB HBM3 sm90", "fp16")
    path = tensorrt.engine_file(graph, *key)
    assert path.parent == cache / "tensorrt"
    assert path.name.count("/") + path.name.count(" ") == 0
    assert tensorrt.engine_file(same, *key) == path
    changed = [
        tensorrt.engine_file(other, *key),
        tensorrt.engine_file(graph, "10.4.0", *key[1:]),
        tensorrt.engine_file(graph, key[0], "NVIDIA H200 sm90", key[2]),
        tensorrt.engine_file(graph, *key[:2], "int8"),
    ]
    assert len({path, *changed}) == 5


@pytest.mark.parametrize("name", ["compact", "ciresnet22"])
def test_engines_have_a_shape_for_every_input(exported, name: str):
    """With what is free filled in, kernels must stay what they are: so many channels, square, one below another."""
    onnx = pytest.importorskip("onnx")
    model, shapes = onnx.load(exported[name].search), {}
    for value in model.graph.input:
        sizes = tuple(size.dim_value or -1 for size in value.type.tensor_type.shape.dim)
        shapes[value.name] = [tensorrt.input_shape(sizes, *limit) for limit in ((1, 1), (32, 9))]
    assert shapes["crops"] == [(1, 255, 255, 3), (32, 255, 255, 3)]
    kernels = {"compact": [(1, 128, 5, 5), (32, 128, 5, 5)], "ciresnet22": [(1, 512, 5, 5), (32, 512, 45, 5)]}
    assert shapes["kernels"] == kernels[name]


def test_tensorrt_without_a_gpu_says_so(weights, exported, cache, monkeypatch: pytest.MonkeyPatch):
    place(exported["compact"], cache / "onnx")
    monkeypatch.setitem(sys.modules, "tensorrt", type(sys)("tensorrt"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="needs an NVIDIA GPU"):
        SiamTracker.from_pretrained(weights["compact"], runtime="tensorrt")


def test_fp16_graphs_for_strongly_typed_engines_keep_their_inputs(exported):
    onnx = pytest.importorskip("onnx")
    whole = onnx.load(exported["compact"].search)
    half = onnx.load_from_string(tensorrt._half(exported["compact"].search))
    onnx.checker.check_model(half, full_check=True)
    kinds = [[value.type.tensor_type.elem_type for value in (*m.graph.input, *m.graph.output)] for m in (whole, half)]
    assert kinds[0] == kinds[1]
    assert {tensor.data_type for tensor in half.graph.initializer} & {onnx.TensorProto.FLOAT16}


# ---------------------------------------------------------------- what ships


def test_files_that_ship_belong_to_the_weights_that_ship():
    """If this fails, new weights lie beside files that were made of others: make them again with tools/export.py."""
    from tracker.network import available, find_weights, load_network

    for name in available():
        path = find_weights(name)
        identity = identity_of(load_network(name))
        assert {file.name.split(".")[1] for file in path.parent.glob(f"{name}.*.onnx")} <= {identity}
        for found in (files.find_graphs(load_network(name), path, kind) for kind in ("fp32", "int8")):
            if found is not None:
                assert max(found.template.stat().st_size, found.search.stat().st_size) < 8 * 2**20
