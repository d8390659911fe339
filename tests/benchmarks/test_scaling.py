from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.clip import read_clip
from benchmarks.scaling import Row, by_targets, main, table


@pytest.fixture
def counted(monkeypatch):
    """`rate` without tracking: 100 frames/s, shared by the targets beyond the first by half."""
    monkeypatch.setattr(scaling, "rate", lambda clip, model, targets, *rest: (100 / (1 + (targets - 1) / 2), 0.009))


def test_updates_are_frames_times_targets(counted):
    rows = by_targets(None, ("compact", "auto"), [1, 3], 1, 1.0)
    assert rows == [Row(1, 1, 100.0, 100.0, 1.0, 9.0), Row(1, 3, 50.0, 150.0, 1.5, 9.0)]
    assert table(rows)[-1] == "| 1 | 3 | 50.0 | 150.0 | 1.50 | 9.0 |"


def test_targets_and_processes_are_really_run(weights: dict[str, Path], capsys):
    arguments = ["--weights", str(weights["compact"]), "--runtime", "torch", "--seconds", "0.01", "--json"]
    assert main([*arguments, "--processes", "1", "2", "--targets", "1", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = [Row(**row) for row in report["rows"]]
    assert [(row.processes, row.targets) for row in rows] == [(1, 1), (2, 1), (1, 1), (1, 3)]
    assert all(row.frames > 0 and row.updates == pytest.approx(row.frames * row.targets) for row in rows)
    assert report["cpus"] >= 1
    assert len(report["load"]) == 3


def test_every_target_lies_in_the_frame(weights: dict[str, Path]):
    clip = read_clip(scaling.DEMO, str(scaling.DEMO.with_name("demo_box.json")), 3)
    frames, cpu = scaling.rate(clip, (str(weights["compact"]), "torch"), 16, 1, 0.01)  # others raise ValueError
    assert frames > 0
    assert cpu > 0


def test_what_cannot_be_read_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--video", "missing.mp4"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("scaling: error: no such file")
