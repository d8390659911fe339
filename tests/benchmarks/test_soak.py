"""A long run of a tracker: evenness and memory."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.clip import Clip
from benchmarks.soak import Soak, resident_mib, soak
from benchmarks.trackers import StillTracker

CLIP = Clip([np.zeros((8, 8, 3), np.uint8)] * 3, (1, 1, 4, 4))


def test_an_empty_loops_jitter_is_not_the_trackers():
    assert Soak(100, 10.0, 18.0, 3.0, 0.0, 0.0).evenness == pytest.approx(1.5)
    assert Soak(100, 10.0, 18.0, 30.0, 0.0, 0.0).evenness == 1.0


def test_memory_counts_from_the_first_tenth_on():
    readings = iter(range(100, 1000))
    found = soak(StillTracker(), CLIP, 100, lambda: float(next(readings)))
    assert found.growth_mib == found.spread_mib == 45  # every second update from the 10th on, and the last
    assert found.updates == 100
    assert soak(StillTracker(), CLIP, 30, lambda: None).growth_mib is None


def test_slow_frames_are_in_the_99th_percentile():
    class Uneven(StillTracker):
        count = 0

        def update(self, frame):
            self.count += 1
            time.sleep(0.02 if self.count % 10 == 0 else 0.0)
            return super().update(frame)

    found = soak(Uneven(), CLIP, 60)
    assert found.p50_ms < 20 <= found.p99_ms


@pytest.mark.skipif(resident_mib() is None, reason="needs /proc")
def test_resident_memory_is_what_is_held():
    before = resident_mib()
    block = np.ones(2**25)  # 256 MiB
    assert resident_mib() - before == pytest.approx(256, abs=8)
    del block
