"""What several tests of training need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

SIZE, STRIDE, CELLS = 63, 16, 4


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks train fastest so; afterwards torch has as many threads as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def teacher_file(tmp_path: Path) -> Path:
    """A backbone exported for one image of one size, with the squeeze-and-excitation that fixes the batch in it.

    Cell i holds red and blue of the crop's pixel 16·i, times their mean over the map.
    """
    onnx = pytest.importorskip("onnx", reason="teachers are ONNX files")
    from onnx import TensorProto, helper, numpy_helper

    pick = np.zeros((2, 3, 1, 1), np.float32)
    pick[0, 0], pick[1, 2] = 1, 1
    constants = {"pick": pick, "flat": np.array([1, 2]), "square": np.array([1, 2, 1, 1])}
    nodes = [
        helper.make_node("Conv", ["image", "pick"], ["cells"], strides=[STRIDE, STRIDE]),
        helper.make_node("GlobalAveragePool", ["cells"], ["mean"]),
        helper.make_node("Reshape", ["mean", "flat"], ["row"]),
        helper.make_node("Reshape", ["row", "square"], ["gate"]),
        helper.make_node("Mul", ["cells", "gate"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 2, CELLS, CELLS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path / "teacher.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path
