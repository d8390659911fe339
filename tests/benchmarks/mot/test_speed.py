"""The comparison with TrackEval, whose place a stand-in takes where it is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mot import RULES, evaluate, speed

GOLDEN = Path(__file__).parent / "golden" / "mot17"
ARGUMENTS = ["--groundtruth", str(GOLDEN / "groundtruth"), "--results", str(GOLDEN / "results"), "--runs", "1"]


def test_both_sides_come_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The stand-in gives TrackEval's stored numbers, and takes its time."""
    combined = json.loads((GOLDEN / "golden.json").read_text())["trackeval"]["combined"]

    def peer(*arguments: Any) -> dict[str, Any]:
        for _ in range(3):
            evaluate(GOLDEN / "groundtruth", GOLDEN / "results", RULES["mot17"])
        return combined

    monkeypatch.setattr(speed, "peer", peer)
    assert speed.main(ARGUMENTS) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["sequences"] == 3
    assert figures["largest_difference"] < 1e-6
    assert figures["lowest"] <= figures["ratio"] <= figures["highest"]
    monkeypatch.setattr(speed, "peer", lambda *arguments: combined | {"MOTA": combined["MOTA"] + 0.001})
    assert speed.main(ARGUMENTS) == 2
    assert "numbers differ by up to 0.001" in capsys.readouterr().err


def test_without_trackeval_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(__import__("sys").modules, "trackeval", None)
    assert speed.main(ARGUMENTS) == 2
    assert "TrackEval is missing" in capsys.readouterr().err
