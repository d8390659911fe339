from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import overhead


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
