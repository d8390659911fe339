"""A teacher's features, and the loss of not knowing them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from learning.distil import Hint, Teacher

onnx = pytest.importorskip("onnx", reason="teachers are ONNX files")
pytest.importorskip("onnxruntime", reason="teachers are run by onnxruntime")

SIZE, STRIDE = 63, 16  # of the teacher file in conftest.py


class TestTeacher:
    @pytest.mark.parametrize("size", [SIZE, 47])
    def test_takes_batches_of_any_size_in_bgr(self, teacher_file: Path, size: int) -> None:
        crops = torch.rand(3, 3, size, size) * 255
        cells = crops[:, [2, 0], ::STRIDE, ::STRIDE]  # red and blue of BGR
        expected = cells * cells.mean((2, 3), keepdim=True)
        torch.testing.assert_close(Teacher(teacher_file)(crops), expected, rtol=1e-4, atol=1e-2)

    def test_knows_its_channels(self, teacher_file: Path) -> None:
        assert Teacher(teacher_file).channels == 2

    def test_refuses_a_model_with_two_inputs(self, teacher_file: Path) -> None:
        model = onnx.load(teacher_file)
        model.graph.input.append(onnx.helper.make_tensor_value_info("kernel", onnx.TensorProto.FLOAT, [1]))
        onnx.save(model, teacher_file)
        with pytest.raises(ValueError, match="one image"):
            Teacher(teacher_file)


def position_hint() -> Hint:
    """A hint that compares the first channel of both as it is."""
    hint = Hint(1, 1)
    nn.init.ones_(hint.project.weight)
    assert hint.project.bias is not None
    nn.init.zeros_(hint.project.bias)
    hint.standardise = nn.Identity()  # type: ignore[assignment]
    return hint


class TestHint:
    @pytest.mark.parametrize(("size", "cells", "taught_cells"), [(255, 21, 16), (127, 5, 8)])
    @pytest.mark.parametrize("axis", [2, 3])
    def test_compares_the_same_places(self, size: int, cells: int, taught_cells: int, axis: int) -> None:
        """Features that say where they are must agree; only a cell at the rim may be cut off by a pixel."""
        own = (size - 1) / 2 + (torch.arange(cells) - (cells - 1) / 2) * 8
        known = torch.arange(taught_cells) * 16.0
        spread = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        features = own.view(spread).expand(1, 1, cells, cells)
        taught = known.view(spread).expand(1, 1, taught_cells, taught_cells)
        assert position_hint()(features, taught, 8, size).item() < 0.5  # a shift of one cell gives at least 64

    def test_is_the_error_of_a_linear_guess_of_standardised_features(self) -> None:
        """A student that knows a scaled and moved copy of the teacher's features learns to lose nothing."""
        torch.manual_seed(0)
        hint = Hint(2, 2)
        optimiser = torch.optim.Adam(hint.parameters(), 0.05)
        for _ in range(300):
            taught = torch.randn(64, 2, 8, 8) * torch.tensor([1.0, 20.0]).view(1, 2, 1, 1) + 5
            features = nn.functional.interpolate(taught[:, :, 3:6, 3:6], size=5, align_corners=True, mode="bilinear")
            loss = hint(features / 3, taught, 8, 127)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert loss.item() < 0.05
        assert hint(torch.randn(4, 2, 5, 5), torch.randn(4, 2, 8, 8) * 20 + 5, 8, 127).item() > 0.5
