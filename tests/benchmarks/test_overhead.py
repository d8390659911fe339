from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import overhead
from benchmarks.overhead import hours


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


def test_the_command_measures_both_kinds_of_frames(capsys: pytest.CaptureFixture):
    assert overhead.main(["--size", "64x48", "--frames", "20", "--runs", "2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"jpeg", "video"}
    for row in figures.values():
        assert row["decode"] > 0
        assert row["share"] == pytest.approx(row["evaluate"] / row["decode"])
    assert overhead.main(["--size", "64x48", "--frames", "5", "--runs", "1"]) == 0
    assert "5 frames of 64x48, best of 1 runs" in capsys.readouterr().out


def test_both_kinds_hold_the_same_number_of_frames(tmp_path: Path):
    for frames in (overhead.write_images(tmp_path, (64, 48), 7), overhead.write_video(tmp_path, (64, 48), 7)):
        shapes = [frame.shape for frame in frames]
        assert shapes == [(48, 64, 3)] * 7


@pytest.mark.parametrize("arguments", [["--size", "64"], ["--size", "0x4"], ["--frames", "0"], ["--runs", "x"]])
def test_other_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit, match="2"):
        overhead.main(arguments)
    assert "error: argument" in capsys.readouterr().err
