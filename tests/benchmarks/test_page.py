"""What is measured of the page: from a command that says and serves what the tracker's does."""

from __future__ import annotations

import sys

import pytest

from benchmarks import page

SERVING = """
import time
from pathlib import Path
import numpy as np
from tracker.frame import Frame
from tracker.web import Dashboard
from tracker.web_server import WebServer

frames = [Frame(index, index / 25, np.full((48, 64, 3), index, np.uint8)) for index in range(12)]
time.sleep(0.3)
dashboard = Dashboard("clip", fps=25.0)
dashboard.preview(frames[0])
with WebServer(dashboard, "127.0.0.1", 0) as server:
    print(f"track: the page is at {server.url}", flush=True)
    time.sleep(1.0)
    for frame in frames:
        dashboard.show(frame, {}, None)
        time.sleep(0.1)
print("12 frames at 123.4 frames/s in the tracker, 100 % tracking")
"""


def test_pictures_are_counted_from_the_start_of_the_command():
    rate, first, preview = page.run([sys.executable, "-c", SERVING], watch=True)
    assert rate == 123.4
    assert first >= 0.3
    assert 2 < preview <= 10.5  # as fast as they come, and none twice


def test_a_command_without_a_page_is_measured_too():
    said = "print('5 frames at 77.0 frames/s in the tracker, 100 % tracking')"
    assert page.run([sys.executable, "-c", said]) == (77.0, 0.0, 0.0)


@pytest.mark.parametrize("watch", [False, True])
def test_a_command_that_fails_is_an_error(watch: bool):
    with pytest.raises(RuntimeError, match="nothing to track"):
        page.run([sys.executable, "-c", "raise SystemExit('nothing to track')"], watch)
