"""The exported graphs run by OpenVINO."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.network import WeightsError
from tracker.runtimes import Array, RuntimeMissing, kernels_by_crop
from tracker.runtimes.files import GraphFiles

HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}  # of what is not quantised; left alone, it takes bf16 if it can


class OpenVinoRuntime:
    """OpenVINO on the CPU.

    Args:
        files: the graphs.
        precision: "fp32", "bf16" or "int8".
        device: "auto" or "cpu"; another name of OpenVINO's, such as "GPU", is handed on.
        threads: of each model; `None` leaves it to OpenVINO.

    Raises:
        RuntimeMissing: the package is not installed.
        ValueError: the device is not there.
        WeightsError: a file cannot be read.
    """

    name = "openvino"

    def __init__(
        self, files: GraphFiles, precision: str = "fp32", device: str = "auto", threads: int | None = None
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            raise RuntimeMissing(
                "the runtime openvino is not installed: pip install openvino onnx onnxscript"
            ) from error
        self.precision = precision
        core = openvino.Core()
        name = "CPU" if device in ("auto", "cpu") else device.upper()
        if name.partition(".")[0] not in {found.partition(".")[0] for found in core.available_devices}:
            raise ValueError(
                f"device {device!r} cannot be used by openvino: it has {', '.join(core.available_devices)}"
            )
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": HINTS[precision]}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        self._template = _Graph(core, files.template, name, options)
        self._search = _Graph(core, files.search, name, options)

    def template(self, crops: NDArray[np.uint8]) -> Array:
        """See `tracker.runtimes.Runtime`."""
        return self._template.run(crops=crops)[0]

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        response, features = self._search.run(crops=crops, kernels=kernels_by_crop(kernels, len(crops)))
        return response, features


class _Graph:
    """One compiled graph; each thread that calls it has its own request."""

    def __init__(self, core: Any, path: Path, device: str, options: dict[str, Any]) -> None:
        try:
            self._compiled = core.compile_model(str(path), device, options)
        except RuntimeError as error:
            raise WeightsError(f"{path}: openvino cannot run it: {str(error).splitlines()[-1]}") from error
        self._requests = threading.local()

    def run(self, **inputs: NDArray[Any]) -> list[Array]:
        """Outputs in the graph's order; they are copies."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        return list(request.infer(inputs, share_inputs=True).values())
