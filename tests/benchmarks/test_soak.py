"""A long run of a tracker: evenness and memory."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from benchmarks.clip import Clip
from benchmarks.soak import (
    AWAY,
    Soak,
    drift_of,
    going_and_coming,
    in_words,
    main,
    open_handles,
    resident_mib,
    running_threads,
    soak,
)
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


def test_slow_frames_are_in_the_99th_percentile(monkeypatch):
    now = [0.0]

    def clock():
        now[0] += 0.001
        return now[0]

    class Uneven(StillTracker):
        count = 0

        def update(self, frame):
            self.count += 1
            now[0] += 0.02 if self.count % 10 == 0 else 0.0
            return super().update(frame)

    monkeypatch.setattr("benchmarks.soak.perf_counter", clock)
    found = soak(Uneven(), CLIP, 60)
    assert (found.p50_ms, found.p99_ms) == pytest.approx((1, 21))
    assert found.jitter_ms == pytest.approx(0, abs=1e-6)


@pytest.mark.skipif(resident_mib() is None, reason="needs /proc")
def test_resident_memory_is_what_is_held():
    before = resident_mib()
    block = np.ones(2**25)  # 256 MiB
    assert resident_mib() - before == pytest.approx(256, abs=8)
    del block


def test_a_tracker_that_becomes_slower_drifts_and_a_slower_machine_does_not():
    even = np.ones((1000, 2))
    assert drift_of(even) == 1.0
    slower = even * np.linspace(1.0, 3.0, 1000)[:, None]
    assert drift_of(slower) == pytest.approx(1.0)
    slower[:, 1] = 1.0
    assert drift_of(slower) == pytest.approx(2.9 / 1.3, rel=0.01)  # middles of the last and of the second tenth


@pytest.mark.skipif(open_handles() is None, reason="needs /proc")
def test_threads_and_files_left_behind_are_counted(tmp_path):
    over, left = threading.Event(), []

    class Leaking(StillTracker):
        count = 0

        def update(self, frame):
            self.count += 1
            if self.count in (120, 130):  # after the warm-up, whose first ten come before the count
                left.append((tmp_path / f"{self.count}").open("w"))
                threading.Thread(target=over.wait, daemon=True).start()
            return super().update(frame)

    before = running_threads(), open_handles()
    try:
        found = soak(Leaking(), CLIP, 200)
    finally:
        over.set()
        for file in left:
            file.close()
    assert found.threads == (before[0], before[0] + 2)
    assert found.handles == (before[1], before[1] + 2)
    steady = soak(StillTracker(), CLIP, 200)
    assert steady.handles[0] == steady.handles[1]


def test_the_target_goes_to_and_fro_and_is_away_for_a_while():
    clip = going_and_coming()
    square = np.array([(frame == (40, 200, 120)).all(axis=2).sum() for frame in clip.frames])
    assert (square[list(AWAY)] == 0).all()
    assert (np.delete(square, list(AWAY)) == 90 * 90).all()
    x, y, w, h = (int(value) for value in clip.box)
    assert (clip.frames[0][y : y + h, x : x + w] == (40, 200, 120)).all()


def test_the_command_prints_words_or_json(capsys):
    assert main(["still", "--frames", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["updates"] == 40
    assert found["lost"] == 0
    assert main(["still", "--frames", "40"]) == 0
    assert "40 in" in capsys.readouterr().out
    assert "open files    unknown" in in_words(Soak(40, 1.0, 1.0, 0.0, None, None))
    with pytest.raises(SystemExit):
        main(["still", "--frames", "10"])
    capsys.readouterr()
    assert main(["=", "--frames", "40"]) == 2
    assert capsys.readouterr().err.startswith("soak: error: ")
