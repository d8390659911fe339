"""Fixtures that several packages' tests share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def render_demo() -> ModuleType:
    """``examples/render_demo.py``, which is a script and not part of a package.

    ``render("leaves")`` yields frames with the target's box, or None while it cannot be seen.
    """
    path = Path(__file__).parents[1] / "examples" / "render_demo.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
