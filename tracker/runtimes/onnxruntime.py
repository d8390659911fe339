"""The exported graphs run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.network import WeightsError
from tracker.runtimes import Array, RuntimeMissing, kernels_by_crop
from tracker.runtimes.files import GraphFiles
from tracker.runtimes.stem import group_pixels

FEW = 4  # crops at once on a CPU: what passes between the layers of more leaves its cache


class OnnxRuntime:
    """ONNX Runtime on the CPU, or by its CUDA provider.

    Args:
        files: the graphs.
        device: "auto" and "cpu" mean the CPU; "cuda" or "cuda:1" needs the package onnxruntime-gpu.
        threads: of each session; `None` takes a thread a core.

    Raises:
        RuntimeMissing: the package is not installed.
        ValueError: the device is not there.
        WeightsError: a file cannot be read.
    """

    name = "onnxruntime"

    def __init__(self, files: GraphFiles, device: str = "auto", threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise RuntimeMissing(
                "the runtime onnxruntime is not installed: pip install onnx onnxscript onnxruntime"
            ) from error
        self.precision = files.precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        # Threads wait for each other awake, which is quicker than to be woken, but not longer than the network runs:
        # between frames they would take the cores from whoever decodes the video, or from another tracker.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        providers = _providers(onnxruntime, device)
        self._cpu = providers == ["CPUExecutionProvider"]
        self._template = _session(onnxruntime, files.template, options, providers)
        self._search = _session(onnxruntime, files.search, options, providers, group=files.precision == "int8")

    def template(self, crops: NDArray[np.uint8]) -> Array:
        """See `tracker.runtimes.Runtime`."""
        kernels: Array = self._template.run(["kernels"], {"crops": crops})[0]
        return kernels

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        kernels, few = kernels_by_crop(kernels, len(crops)), FEW if self._cpu else len(crops)
        parts = [
            self._search.run(["response", "features"], {"crops": crops[i : i + few], "kernels": kernels[i : i + few]})
            for i in range(0, len(crops), few)
        ]
        response, features = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return response, features


def _providers(onnxruntime: Any, device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    if kind in ("auto", "cpu"):
        return ["CPUExecutionProvider"]
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return [("CUDAExecutionProvider", {"device_id": int(number or 0)})]
    raise ValueError(
        f"device {device!r} cannot be used by onnxruntime: it has {', '.join(onnxruntime.get_available_providers())}"
        + (": pip install onnxruntime-gpu" if kind == "cuda" else "")
    )


def _session(onnxruntime: Any, path: Path, options: Any, providers: list[Any], group: bool = False) -> Any:
    try:
        return onnxruntime.InferenceSession(_grouped(path) if group else str(path), options, providers)
    except Exception as error:  # its exceptions share no base but this
        raise WeightsError(f"{path}: onnxruntime cannot run it: {str(error).splitlines()[0]}") from error


def _grouped(path: Path) -> str | bytes:
    """The graph with pixels in groups (`tracker.runtimes.stem`), or where it is, if onnx is not there to change it."""
    try:
        import onnx
    except ImportError:
        return str(path)
    model = onnx.load(path)
    group_pixels(model)
    return bytes(model.SerializeToString())
