"""A first convolution that ONNX Runtime is quick with: four pixels of a row are one with four times the channels.

A convolution of stride 2 then makes two columns of its output at each place, with twice the channels. The weights are
those of before, set between zeros, so in integers the numbers are the same. Its fast kernels take channels by the
dozen, not three: a fifth of `compact`'s time was this convolution, and is half of that then. The files stay as they
were, for OpenVINO would take half as long again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

FIRST = ["Transpose", "DequantizeLinear", "Conv", "QuantizeLinear", "DequantizeLinear"]
PIXELS, STRIDE = 4, 2
TOGETHER = PIXELS // STRIDE  # columns of the output at one place


def group_pixels(model: onnx.ModelProto) -> bool:
    """Let the first convolution of a graph in int8 that takes "crops" as they are see four pixels as one.

    It must have stride 2 and no padding. As many columns come out as there are places for, times two: where that is one
    more than before, the layer behind must not reach it. Otherwise the graph stays as it is.

    Returns:
        Whether it was changed.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    readers = {name: node for node in graph.node for name in node.input}
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    first = [node for node in _line(readers, "crops") if node.op_type != "Relu"][:6]
    if [node.op_type for node in first[:5]] != FIRST or len(first) < 6:
        return False
    transpose, _, conv, quantize, _, behind = first
    side = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    length = _length(conv, side)
    places = -(-length // TOGETHER)
    wanted = {"strides": [STRIDE] * 2, "pads": [0] * 4, "dilations": [1] * 2, "group": 1}
    plain = all(_attributes(conv)[name] == value for name, value in wanted.items())
    if not plain or (TOGETHER * places > length and not _blind(behind, length, graph)):
        return False

    (weight, *of_weight), of_bias = (makers[name].input for name in conv.input[1:])
    grouped = grouped_weights(numpy_helper.to_array(constants[weight]))
    constants[weight].CopyFrom(numpy_helper.from_array(grouped, weight))
    for name in {*of_weight, *of_bias}:
        constants[name].CopyFrom(
            numpy_helper.from_array(np.tile(numpy_helper.to_array(constants[name]), TOGETHER), name)
        )
    rows, reach = grouped.shape[2:]
    width, channels = PIXELS * (places + reach - 1), grouped.shape[1] // PIXELS
    for attribute in conv.attribute:
        if attribute.name == "strides":
            attribute.ints[:] = [STRIDE, 1]
        elif attribute.name == "kernel_shape":
            attribute.ints[:] = [rows, reach]
    for name, value in {
        "stem_pads": np.array([0, 0, 0, 0, 0, 0, width - side, 0]),
        "stem_fill": np.uint8(0),
        "stem_places": np.array([0, side, width // PIXELS, PIXELS * channels]),
        "stem_columns": np.array([0, length, TOGETHER * places, grouped.shape[0] // TOGETHER]),
    }.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    _insert(
        graph.node,
        transpose,
        [
            helper.make_node("Pad", ["crops", "stem_pads", "stem_fill"], ["stem_wide"], "stem_pad"),
            helper.make_node("Reshape", ["stem_wide", "stem_places"], ["stem_grouped"], "stem_group"),
        ],
    )
    transpose.input[0] = "stem_grouped"
    made = quantize.output[0]
    quantize.output[0] = "stem_made"
    _insert(
        graph.node,
        readers[made],
        [
            helper.make_node("Transpose", ["stem_made"], ["stem_last"], "stem_channels_last", perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", ["stem_last", "stem_columns"], ["stem_apart"], "stem_part"),
            helper.make_node("Transpose", ["stem_apart"], [made], "stem_channels_first", perm=[0, 3, 1, 2]),
        ],
    )
    return True


def grouped_weights(weights: NDArray[Any]) -> NDArray[Any]:
    """(K, C, k, w) of stride 2 → (2 · K, 4 · C, k, w') of stride (2, 1): the first K make the even columns."""
    outputs, channels, rows, columns = weights.shape
    reach = -(-(STRIDE * (TOGETHER - 1) + columns) // PIXELS)
    grouped = np.zeros((TOGETHER, outputs, PIXELS, channels, rows, reach), weights.dtype)
    for one in range(TOGETHER):
        for column in range(columns):
            place, pixel = divmod(STRIDE * one + column, PIXELS)
            grouped[one, :, pixel, :, :, place] = weights[..., column]
    return grouped.reshape(TOGETHER * outputs, PIXELS * channels, rows, reach)


def _line(readers: dict[str, onnx.NodeProto], name: str) -> Iterator[onnx.NodeProto]:
    """The nodes that read a value, what is made of it, and so on; of several that read one, the last."""
    while name in readers:
        yield readers[name]
        name = readers[name].output[0]


def _blind(node: onnx.NodeProto, length: int, graph: onnx.GraphProto) -> bool:
    """Whether a layer that reads a square of that side would make the same of one with a column more, and nobody else
    reads it.
    """
    attributes = _attributes(node)
    alone = sum(node.input[0] in other.input for other in graph.node) == 1
    padded = any(attributes["pads"]) or attributes.get("ceil_mode", 0)
    return alone and not padded and _length(node, length + 1) == _length(node, length)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    usual = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    return usual | {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _length(node: onnx.NodeProto, length: int) -> int:
    """Side of what a convolution or a pool without padding makes of a square of that side."""
    attributes = _attributes(node)
    if "kernel_shape" not in attributes:
        return length  # whatever it is, it sees all
    return int((length - attributes["kernel_shape"][0]) // attributes["strides"][0] + 1)


def _insert(nodes: Any, before: onnx.NodeProto, new: list[onnx.NodeProto]) -> None:
    place = list(nodes).index(before)
    for offset, node in enumerate(new):
        nodes.insert(place + offset, node)
