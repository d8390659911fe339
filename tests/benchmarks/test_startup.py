from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import startup

pytestmark = pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs POSIX")


def test_the_peak_is_the_memory_of_the_child():
    hungry = "block = bytearray(256 * 2**20); block[::4096] = b'x' * len(block[::4096])"
    program = "import sys; from benchmarks.startup import run; print(run([sys.executable, '-c', sys.argv[1]])[1])"
    small, large = (
        float(subprocess.check_output([sys.executable, "-c", program, child], text=True)) for child in ("pass", hungry)
    )  # from a small process, as the command itself is one
    assert 3 < small < 60
    assert 256 < large < 256 + small + 20


def test_a_process_that_fails_is_not_measured():
    with pytest.raises(RuntimeError, match="failed with exit code 3"):
        startup.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_first_frame_counts_from_the_start_of_the_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(startup, "FIRST_FRAME", "import time; time.sleep(0.2); print('tracked')")
    assert startup.first_frame(Path("clip.mp4"), "1,2,3,4", "compact") >= 0.2
    monkeypatch.setattr(startup, "FIRST_FRAME", "raise SystemExit(4)")
    with pytest.raises(RuntimeError, match=r"tracking clip\.mp4 failed with exit code 4"):
        startup.first_frame(Path("clip.mp4"), "1,2,3,4", "compact")


def test_one_run_before_the_median_does_not_count():
    figures = iter([99.0, 3.0, 1.0, 2.0])
    assert startup.median(lambda: next(figures), 3) == 2.0


def test_the_box_is_typed_or_read(tmp_path: Path):
    (tmp_path / "box.json").write_text("[[1.5, 2, 3, 4], [5, 6, 7, 8]]")
    assert startup.first_box(str(tmp_path / "box.json")) == "1.5,2,3,4"
    assert startup.first_box("1,2,3,4") == "1,2,3,4"
