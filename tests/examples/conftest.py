"""Examples are no package: their tests load them by their path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def load_example(load_module: Callable[[Path], ModuleType]) -> Callable[[str], ModuleType]:
    """`load_example("control_loop")`: that script as a module."""
    return lambda name: load_module(EXAMPLES / f"{name}.py")
