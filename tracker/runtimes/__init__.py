"""What runs the network. A runtime is two functions on arrays; everything around them is the same for all."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tracker.network import SiameseNetwork

if TYPE_CHECKING:
    from tracker.runtimes.files import GraphFiles

Array = NDArray[np.float32]
PRECISIONS = {  # of each runtime
    "torch": ("fp32", "bf16"),
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
    "tensorrt": ("fp16", "fp32", "int8"),
}
RUNTIMES = tuple(PRECISIONS)


class Runtime(Protocol):
    """The network's two halves.

    Crops are (N, S, S, 3) uint8 BGR; kernels and responses are float32 arrays as the network's (`tracker.network`).
    """

    name: str

    def template(self, crops: NDArray[np.uint8]) -> Array:
        """(N, 127, 127, 3) exemplar crops → (N, K, k, k) kernels."""
        ...

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """Search crops and kernels of N targets → response and features.

        Either side may have S scales a target, one after another: (N·S, 255, 255, 3) crops and (N, K, k, k) kernels,
        or (N, 255, 255, 3) crops and (N·S, K, k, k) kernels, these only for heads that do not regress boxes. The
        response is (N·S, C, R, R); the features are the backbone's, as many as there are crops.
        """
        ...


class RuntimeMissing(ValueError):
    """A runtime's package is not installed; the message has the line that installs it."""


def choices() -> tuple[str, ...]:
    """All that `open_runtime` takes for a runtime."""
    return ("auto", *RUNTIMES, *(f"{name}-{kind}" for name, kinds in PRECISIONS.items() for kind in kinds))


def open_runtime(
    network: SiameseNetwork,
    runtime: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    weights: Path | None = None,
) -> Runtime:
    """The runtime of that name, warmed up.

    "auto" takes the first of these that there is, and torch with one warning if that fails. It neither measures nor
    exports nor builds an engine, so that the same machine with the same files gives the same boxes:

    1. on the CPU: onnxruntime, if the model has int8 files beside its weights;
    2. on the CPU: openvino, likewise;
    3. torch.

    Args:
        network: the model.
        runtime: "auto", "torch", "onnxruntime", "openvino" or "tensorrt", the latter with a precision if it is to be
            another one than the best there is: "onnxruntime-fp32". A graph that was not exported yet is, into the
            cache folder.
        device: "auto" (CUDA where torch has one, else the CPU) or what torch calls it: "cpu", "cuda", "cuda:1", "mps".
        threads: CPU threads; `None` leaves it to the runtime. Torch has one setting for the whole process, onnxruntime
            and openvino have one for each model.
        weights: the model's file, beside which exported graphs are looked for.

    Raises:
        ValueError: an unknown runtime, a device that is not there, or threads < 1.
        RuntimeMissing: a runtime that was asked for by name is not installed.
    """
    if runtime not in choices():
        raise ValueError(f"unknown runtime {runtime!r}; there are {', '.join(choices())}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if runtime != "auto":
        name, _, precision = runtime.partition("-")
        return _warm(OPENERS[name](network, precision, device, threads, weights), network)
    for name in _installed(network, device, weights):
        try:
            return _warm(OPENERS[name](network, "int8", device, threads, weights), network)
        except Exception as error:  # whatever it was, there is torch
            warnings.warn(f"{name} failed and torch is used instead: {error}", RuntimeWarning, stacklevel=3)
            break
    return _warm(_torch(network, "", device, threads, weights), network)


def kernels_by_crop(kernels: Array, crops: int) -> Array:
    """The kernels of `Runtime.search` → (crops, K, S·k, k) as exported graphs take them: a crop's one below another."""
    if len(kernels) <= crops:
        return kernels if len(kernels) == crops else np.repeat(kernels, crops // len(kernels), axis=0)
    channels, height, width = kernels.shape[1:]
    return kernels.reshape(crops, -1, channels, height, width).swapaxes(1, 2).reshape(crops, channels, -1, width)


def _installed(network: SiameseNetwork, device: str, weights: Path | None) -> list[str]:
    """What "auto" tries before torch."""
    import torch

    from tracker.runtimes.files import find_graphs

    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if not on_cpu or find_graphs(network, weights, "int8") is None:
        return []
    return [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]


def _warm(runtime: Runtime, network: SiameseNetwork) -> Runtime:
    """Let it do once what it does in every frame, so that the first frames are not slow: kernels are chosen and memory
    is planned at the first call with each number of crops.
    """
    card = network.card
    scales = int(card.config.get("scales", 1))
    exemplars, searches = (scales, 1) if card.config.get("pyramid") == "exemplar" else (1, scales)
    kernels = runtime.template(np.zeros((exemplars, card.exemplar_size, card.exemplar_size, 3), np.uint8))
    runtime.search(np.zeros((searches, card.search_size, card.search_size, 3), np.uint8), kernels)
    return runtime


# ---------------------------------------------------------------- one function a runtime

Opener = Callable[[SiameseNetwork, str, str, "int | None", "Path | None"], Runtime]


def _torch(network: SiameseNetwork, precision: str, device: str, threads: int | None, weights: Path | None) -> Runtime:
    from tracker.runtimes.torch import TorchRuntime

    return TorchRuntime(network, device, threads, precision)


def _onnxruntime(
    network: SiameseNetwork, precision: str, device: str, threads: int | None, weights: Path | None
) -> Runtime:
    from tracker.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(_graphs(network, precision, weights), device, threads)


def _openvino(
    network: SiameseNetwork, precision: str, device: str, threads: int | None, weights: Path | None
) -> Runtime:
    from tracker.runtimes.openvino import OpenVinoRuntime

    files = _graphs(network, precision, weights)
    return OpenVinoRuntime(files, "bf16" if precision == "bf16" else files.precision, device, threads)


def _tensorrt(
    network: SiameseNetwork, precision: str, device: str, threads: int | None, weights: Path | None
) -> Runtime:
    from tracker.runtimes.tensorrt import TensorRtRuntime

    precision = precision or "fp16"
    files = _graphs(network, "int8-symmetric" if precision == "int8" else "fp32", weights)
    return TensorRtRuntime(files, precision, device)


def _graphs(network: SiameseNetwork, precision: str, weights: Path | None) -> GraphFiles:
    """The exported graphs beside the weights or in the cache folder, where fp32 ones are made if need be.

    Without a precision, int8 files are taken if they lie beside the weights.
    """
    from tracker.runtimes.export import cached_graphs
    from tracker.runtimes.files import cache_folder, find_graphs

    name = weights.stem if weights else "model"
    if not precision and (shipped := find_graphs(network, weights, "int8")):
        return shipped
    if not precision.startswith("int8"):
        return find_graphs(network, weights, "fp32") or cached_graphs(network, name)
    cached = cache_folder() / "onnx" / f"{name}.safetensors"
    if files := find_graphs(network, weights, precision) or find_graphs(network, cached, precision):
        return files
    command = f"python tools/export.py {weights or name} --precision int8 --calibrate FOLDER_OF_SEQUENCES"
    command += " --runtime tensorrt" * (precision == "int8-symmetric")
    raise ValueError(f"{name}: there are no int8 files of these weights; make them: {command}")


OPENERS: dict[str, Opener] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "tensorrt": _tensorrt,
}
