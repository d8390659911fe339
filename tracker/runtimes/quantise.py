"""int8 files: static quantisation of the exported graphs (Jacob et al., CVPR 2018), calibrated on crops.

Convolutions and what lies between them compute in eight bits, with a scale for each output channel of the weights and
one for each tensor; the scales stand in the file as QuantizeLinear and DequantizeLinear nodes, from which each runtime
takes its own integer kernels. Correlation and what follows it stay in fp32: it is a tenth of the time, and with its
towers in eight bits the peak of `compact` moved in 6.7 % of the crops instead of 1.7 %. So does ``template``, which
runs once a target and whose errors would stay as long; its weights are only stored in fp16.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tracker.network import ModelCard, SiameseNetwork
from tracker.runtimes import Array, Runtime, RuntimeMissing
from tracker.runtimes.export import describe, quiet, reference, save, staged, to_onnx
from tracker.runtimes.files import GraphFiles, identity_of
from tracker.runtimes.parity import Crops, Parity, compare

if TYPE_CHECKING:
    import onnx

LARGE = 4096  # values of a constant that is worth storing in fp16
PERCENTILE = 99.999  # of the activations lie within the scale; the few beyond would make it coarse for all
QUANTISED = ("Conv", "Relu", "Clip", "Add", "MaxPool", "Slice", "Concat", "AveragePool", "Resize")


def quantise(
    network: SiameseNetwork, folder: Path, name: str, pairs: tuple[Crops, Crops], symmetric: bool = False
) -> tuple[GraphFiles, Parity]:
    """Write both graphs in int8.

    Args:
        network: the model.
        folder: where; it is made. Files of other weights of that name and precision are removed.
        name: of the model, for the files' names.
        pairs: (N, 127, 127, 3) exemplars and (N, 255, 255, 3) search crops, as a tracker sees them.
        symmetric: activations around zero, which is what TensorRT takes; otherwise unsigned ones, for CPUs.

    Returns:
        The files, and how far they are from torch on the pairs.

    Raises:
        RuntimeMissing: onnx, onnxscript or onnxruntime is not installed.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise RuntimeMissing("quantising needs onnxruntime: pip install onnx onnxscript onnxruntime") from error
    from tracker.runtimes.onnxruntime import OnnxRuntime

    precision = "int8-symmetric" if symmetric else "int8"
    exact, identity = reference(network), identity_of(network)
    models = {"template": to_onnx(network, "template"), "search": quantised_search(network, exact, pairs, symmetric)}
    store_half(models["template"])
    with staged(folder, name, identity, precision) as files:
        save(models, files)
        parity = compare(exact, OnnxRuntime(files, "cpu"), *pairs)
        for graph, model in models.items():
            describe(model, graph, precision, network.card, dataclasses.asdict(parity))
        save(models, files)
    for stale in set(folder.glob(f"{name}.*.{precision}.*.onnx")) - set(folder.glob(f"{name}.{identity}.*")):
        stale.unlink()
    return GraphFiles.named(folder, name, identity, precision), parity


def quantised_search(
    network: SiameseNetwork, exact: Runtime, pairs: tuple[Crops, Crops], symmetric: bool
) -> onnx.ModelProto:
    """``search`` in int8; `exact` gives it the kernels."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = to_onnx(network, "search")
    centre_pixels(model, network.card)
    kind = QuantType.QInt8 if symmetric else QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder, quiet("root"):
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            onnx.shape_inference.infer_shapes(model),
            path,
            _Reader(_inputs(exact, pairs)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            reduce_range=not symmetric,  # without VNNI, two products are added in 16 bits, which full weights overflow
            activation_type=kind,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=nodes_to_quantise(model),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={
                "ActivationSymmetric": symmetric,
                "CalibPercentile": PERCENTILE,
                "CalibNumBins": 2048,
            },
        )
        quantised = onnx.load(path)
    del quantised.graph.value_info[:]  # of the graph before
    if not symmetric:
        pixels_are_quantised(quantised, network.card)
    onnx.checker.check_model(quantised, full_check=True)
    return quantised


def centre_pixels(model: onnx.ModelProto, card: ModelCard) -> None:
    """Subtract the card's mean from the pixels again and add its share to the first convolution's bias.

    In fp32 the mean is folded into that bias. In eight bits an error of a weight would be multiplied by the mean.
    """
    from onnx import helper, numpy_helper

    offset = _offset(card)
    transpose = next(node for node in model.graph.node if node.op_type == "Transpose")
    conv = next(node for node in model.graph.node if transpose.output[0] in node.input)
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    weight, bias = (numpy_helper.to_array(values[name]) for name in conv.input[1:3])
    shifted = bias + offset * weight.sum((1, 2, 3))
    values[conv.input[2]].CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), conv.input[2]))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(offset), "offset"))
    place = list(model.graph.node).index(conv)
    model.graph.node.insert(place, helper.make_node("Sub", [transpose.output[0], "offset"], ["centred"], "centre"))
    conv.input[0] = "centred"


def pixels_are_quantised(model: onnx.ModelProto, card: ModelCard) -> None:
    """Take the pixels for what they are, eight bits with a zero point, instead of converting them forth and back.

    Cast → Transpose → Sub → QuantizeLinear → DequantizeLinear becomes Transpose → DequantizeLinear.
    """
    from onnx import numpy_helper

    nodes = model.graph.node
    by_input = {name: node for node in nodes for name in node.input}
    cast = by_input["crops"]
    transpose = by_input[cast.output[0]]
    centre = by_input[transpose.output[0]]
    quantize = by_input[centre.output[0]]
    dequantize = by_input[quantize.output[0]]
    kinds = [node.op_type for node in (cast, transpose, centre, quantize, dequantize)]
    assert kinds == ["Cast", "Transpose", "Sub", "QuantizeLinear", "DequantizeLinear"], kinds
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.float32(1), "pixel_scale"),
            numpy_helper.from_array(np.uint8(_offset(card)), "pixel_zero"),
        ]
    )
    transpose.input[0] = "crops"
    dequantize.input[:] = [transpose.output[0], "pixel_scale", "pixel_zero"]
    for node in (cast, centre, quantize):
        nodes.remove(node)
    used = {name for node in nodes for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


def _offset(card: ModelCard) -> int:
    return round(min(max(card.mean, 0.0), 255.0))


def store_half(model: onnx.ModelProto) -> None:
    """Store large fp32 constants in fp16, converted back when the file is opened: half the size, the same speed."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LARGE:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def nodes_to_quantise(model: onnx.ModelProto) -> list[str]:
    """Everything that the features depend on, and the convolution between them and the correlation."""
    makers = {name: node for node in model.graph.node for name in node.output}
    neck = [node for node in model.graph.node if node.op_type == "Conv" and "features" in node.input]
    names, wanted = [node.name for node in neck], ["features"]
    while wanted:
        node = makers.pop(wanted.pop(), None)
        if node is None:
            continue
        wanted.extend(node.input)
        if node.op_type in QUANTISED:
            names.append(node.name)
    return names


class _Reader:
    """What onnxruntime calls a calibration data reader."""

    def __init__(self, inputs: Iterator[dict[str, NDArray[Any]]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._inputs, None)


def _inputs(exact: Runtime, pairs: tuple[Crops, Crops]) -> Iterator[dict[str, NDArray[Any]]]:
    for exemplar, search in zip(*pairs, strict=True):
        kernels: Array = exact.template(exemplar[None])
        yield {"crops": search[None], "kernels": kernels}
