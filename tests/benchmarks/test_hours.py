from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.hours import hours, main, rates
from benchmarks.results import Run, claim, store


def test_hours_of_one_worker_are_frames_over_rate():
    assert hours([3600, 7200], fps=2, workers=1) == pytest.approx(1.5)


def test_hours_of_many_workers_are_those_of_the_longest_sequence():
    assert hours([3600, 7200, 10800], fps=1, workers=64) == pytest.approx(3)


def test_the_longest_sequences_are_taken_first():
    assert hours([1, 1, 1, 3, 3, 3], fps=1 / 3600, workers=2) == pytest.approx(6)  # 3 + 3, 3 + 1 + 1 + 1
    assert hours([5, 4, 3, 3], fps=1 / 3600, workers=2) == pytest.approx(8)  # 5 + 3, 4 + 3


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_hours_lie_between_a_perfect_division_and_that_and_one_sequence(workers: int):
    frames = [100 * number for number in range(1, 30)]
    perfect = sum(frames) / workers / 3600
    assert perfect <= hours(frames, fps=1, workers=workers) <= perfect + max(frames) / 3600


@pytest.mark.parametrize(("fps", "workers"), [(0, 1), (-1, 1), (10, 0)])
def test_hours_of_nobody_are_refused(fps: float, workers: int):
    with pytest.raises(ValueError, match="expected a positive rate and one worker or more"):
        hours([100], fps, workers)


def test_rates_are_updates_over_their_time_and_the_table_adds_decoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(tmp_path / "ours", {})
    store(tmp_path / "ours", "Ball", Run(np.ones((4, 4)), np.array([9.0, 0.01, 0.02, 0.03])))
    assert rates(tmp_path) == pytest.approx({"ours": 50.0})
    assert main(["--results", str(tmp_path), "--decode-ms", "5"]) == 0
    assert "| ours | 40.0 | 4.7 h |" in capsys.readouterr().out  # 676,431 frames / 40 / 3600
    assert main(["--results", str(tmp_path / "nothing")]) == 2
