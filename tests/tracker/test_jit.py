"""Compiling where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CODE = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []  # as if no folder could be written
import numpy as np
from tracker.crop import crop
image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
assert np.array_equal(crop(image, (10, 10), 8, 8, (0, 0, 0)), image[6:14, 6:14])
print("fine")
"""


def test_a_read_only_installation_compiles_for_itself():
    answer = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=dict(os.environ))
    assert answer.stdout == "fine\n", answer.stderr


def test_the_compiled_code_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "one_function.py").write_text(
        "from tracker.jit import compiled\n\n@compiled\ndef double(values):\n    return values * 2\n"
    )
    import one_function  # type: ignore[import-not-found]

    assert np.array_equal(one_function.double(np.arange(3)), [0, 2, 4])
    assert list(tmp_path.rglob("*.nbi"))
