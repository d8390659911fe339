"""The exported graphs as TensorRT engines.

An engine is built from an ONNX file once, which takes minutes, and kept in the cache folder under a name that says what
it is good for: the file's content, the version of TensorRT, the GPU and the precision. One engine takes any batch up to
`LARGEST`; more targets than that go through it in turns. Buffers are torch's and are bound once for each batch size.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tracker.network import WeightsError
from tracker.runtimes import Array, RuntimeMissing, kernels_by_crop
from tracker.runtimes.files import GraphFiles, cache_folder

log = logging.getLogger(__name__)

LARGEST = 32  # crops in one call
USUAL = 3  # crops that engines are tuned for: the scales of one target
SCALES = 9  # kernels that one crop is compared with, at most
WORKSPACE = 2**30  # bytes that the builder may use
INSTALL = "pip install tensorrt --extra-index-url https://pypi.nvidia.com"
# What the graphs may consist of: supported by TensorRT's ONNX parser (onnx-tensorrt, docs/operators.md, branches 8.6
# and 10), with constant weights for `Conv` and constant axes for `Slice` and `Unsqueeze`.
OPERATORS = frozenset(
    ["Add", "Cast", "Clip", "Concat", "Constant", "Conv", "DequantizeLinear", "Exp", "Expand", "Gather", "Identity"]
    + ["MatMul", "Max", "MaxPool", "Min", "Mul", "Pad", "QuantizeLinear", "Relu", "Reshape", "Resize", "Shape", "Slice"]
    + ["Split", "Squeeze", "Sub", "Transpose", "Unsqueeze"]
)


class TensorRtRuntime:
    """TensorRT on an NVIDIA GPU.

    Args:
        files: the graphs; for int8 symmetric ones.
        precision: "fp16", "fp32" or "int8".
        device: "auto", "cuda" or "cuda:1".

    Raises:
        RuntimeMissing: the package is not installed.
        ValueError: there is no such GPU.
        WeightsError: an engine cannot be built.
    """

    name = "tensorrt"

    def __init__(self, files: GraphFiles, precision: str = "fp16", device: str = "auto") -> None:
        try:
            import tensorrt
        except ImportError as error:
            raise RuntimeMissing(f"the runtime tensorrt is not installed: {INSTALL}") from error
        if device.partition(":")[0] not in ("auto", "cuda") or not torch.cuda.is_available():
            raise ValueError(f"device {device!r} cannot be used by tensorrt: it needs an NVIDIA GPU that torch sees")
        self.precision = precision
        self.device = torch.device("cuda" if device == "auto" else device)
        with torch.cuda.device(self.device):
            self._template = _Engine(tensorrt, files.template, precision)
            self._search = _Engine(tensorrt, files.search, precision)

    def template(self, crops: NDArray[np.uint8]) -> Array:
        """See `tracker.runtimes.Runtime`."""
        with torch.cuda.device(self.device):
            return self._template.run(crops=crops)["kernels"]

    def search(self, crops: NDArray[np.uint8], kernels: Array) -> tuple[Array, Array]:
        """See `tracker.runtimes.Runtime`."""
        with torch.cuda.device(self.device):
            outputs = self._search.run(crops=crops, kernels=kernels_by_crop(kernels, len(crops)))
        return outputs["response"], outputs["features"]


def engine_file(graph: Path, version: str, gpu: str, precision: str) -> Path:
    """Where the engine of an ONNX file is kept.

    Args:
        graph: the ONNX file; its content counts, not its name.
        version: of TensorRT.
        gpu: name and compute capability.
        precision: "fp16", "fp32" or "int8".
    """
    content = hashlib.sha256(graph.read_bytes()).hexdigest()[:16]
    words = [re.sub(r"[^0-9A-Za-z.]+", "-", word) for word in (content, version, gpu, precision)]
    return cache_folder() / "tensorrt" / ("_".join(words) + ".engine")


def gpu_name() -> str:
    """Name and compute capability of torch's current GPU."""
    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()} sm{major}{minor}"


def build(tensorrt: Any, graph: Path, precision: str) -> bytes:
    """The serialised engine of an ONNX file.

    Raises:
        WeightsError: TensorRT refuses the file or finds no engine for it.
    """
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    explicit = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # before version 10
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = tensorrt.OnnxParser(network, logger)
    typed = not hasattr(
        tensorrt.BuilderFlag, "FP16"
    )  # the newest versions take types from the file and from nowhere else
    content = _half(graph) if typed and precision == "fp16" else graph.read_bytes()
    if not parser.parse(content):
        reasons = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise WeightsError(f"{graph}: TensorRT cannot read it: {reasons}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, WORKSPACE)
    if not typed and precision in ("fp16", "int8"):
        config.set_flag(tensorrt.BuilderFlag.FP16)
    if not typed and precision == "int8" and b"QuantizeLinear" in content:  # the template has no scales
        config.set_flag(tensorrt.BuilderFlag.INT8)
    if precision == "fp32" and hasattr(tensorrt.BuilderFlag, "TF32"):
        config.clear_flag(tensorrt.BuilderFlag.TF32)  # ten bits of mantissa are not fp32
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        limits = ((1, 1), (USUAL, 1), (LARGEST, SCALES))
        profile.set_shape(tensor.name, *(input_shape(tuple(tensor.shape), *sizes) for sizes in limits))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise WeightsError(f"{graph}: TensorRT {tensorrt.__version__} finds no {precision} engine for it")
    return bytes(engine)


def input_shape(shape: tuple[int, ...], batch: int, scales: int) -> tuple[int, ...]:
    """An input's shape with its free sizes (−1) filled in: the batch, and the height of square kernels in a pile."""
    pile = scales * shape[3] if shape[2] < 0 else shape[2]
    return batch, shape[1], pile, shape[3]


def _half(graph: Path) -> bytes:
    """The ONNX file with fp16 inside and its inputs and outputs as they were."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
    except ImportError as error:
        raise RuntimeMissing(f"fp16 engines need {error.name}: pip install onnx onnxruntime") from error
    converted = OnnxModel(convert_float_to_float16(onnx.load(graph), keep_io_types=True))
    converted.topological_sort()  # its casts stand at the end
    content: bytes = converted.model.SerializeToString()
    return content


class _Engine:
    """One engine with its buffers on the current GPU."""

    def __init__(self, tensorrt: Any, graph: Path, precision: str) -> None:
        path = engine_file(graph, tensorrt.__version__, gpu_name(), precision)
        runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        engine = runtime.deserialize_cuda_engine(path.read_bytes()) if path.is_file() else None
        if engine is None:  # not built yet, or a file that was cut off
            log.info("building a %s engine of %s, once; this takes minutes", precision, graph.name)
            content = build(tensorrt, graph, precision)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".partial")
            temporary.write_bytes(content)
            temporary.replace(path)
            engine = runtime.deserialize_cuda_engine(content)
        self._keep = (runtime, engine)  # the context uses both and does not hold them
        self._context = engine.create_execution_context()
        self._stream = torch.cuda.Stream()
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        is_input = {name: engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT for name in names}
        self._inputs = [name for name in names if is_input[name]]
        self._outputs = [name for name in names if not is_input[name]]
        self._buffers: dict[tuple[tuple[int, ...], ...], dict[str, torch.Tensor]] = {}
        self._bound: tuple[tuple[int, ...], ...] = ()

    def run(self, **arrays: NDArray[Any]) -> dict[str, Array]:
        """Outputs by name; a batch above `LARGEST` is done in turns."""
        count = len(next(iter(arrays.values())))
        if count <= LARGEST:
            return self._run(arrays)
        parts = [
            self.run(**{name: array[start : start + LARGEST] for name, array in arrays.items()})
            for start in range(0, count, LARGEST)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _run(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Array]:
        with torch.cuda.stream(self._stream):
            buffers = self._bind(arrays)
            for name in self._inputs:
                buffers[name].copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])), non_blocking=True)
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError("TensorRT could not run the engine; its log has the reason")
            found = {name: buffers[name].to("cpu", non_blocking=True) for name in self._outputs}
        self._stream.synchronize()
        return {name: tensor.numpy() for name, tensor in found.items()}

    def _bind(self, arrays: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
        """The buffers of these shapes, as the ones that the engine works on."""
        shapes = tuple(arrays[name].shape for name in self._inputs)
        if self._bound == shapes:
            return self._buffers[shapes]
        for name, shape in zip(self._inputs, shapes, strict=True):
            if not self._context.set_input_shape(name, shape):
                raise ValueError(f"TensorRT's engine takes no {name} of shape {shape}; at most {SCALES} scales")
        if shapes not in self._buffers:
            kinds = {name: torch.from_numpy(arrays[name][:0]).dtype for name in self._inputs}
            self._buffers[shapes] = {
                name: torch.empty(
                    tuple(self._context.get_tensor_shape(name)), dtype=kinds.get(name, torch.float32), device="cuda"
                )
                for name in (*self._inputs, *self._outputs)
            }
        for name, buffer in self._buffers[shapes].items():
            self._context.set_tensor_address(name, buffer.data_ptr())
        self._bound = shapes
        return self._buffers[shapes]
