"""What the tests of several networks need."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor


def _fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Random tensors of which no two are equal, in the range of a trained network."""
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=draw)
        if len(shape) == 4:
            noise *= (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        state[name] = noise.abs() + 0.5 if name.endswith("running_var") else noise
    return state


@pytest.fixture(scope="session")
def fill() -> Callable[[Mapping[str, tuple[int, ...]]], dict[str, Tensor]]:
    """Names and shapes → a checkpoint in the range of a trained network."""
    return _fill
