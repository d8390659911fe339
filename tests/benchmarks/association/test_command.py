from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.association import peers
from benchmarks.association.__main__ import main


@pytest.fixture
def stored(root: Path, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments after which a peer's results are there."""
    start = peers.worker
    monkeypatch.setattr(peers, "worker", lambda python: start(python, stand_in))
    where = ["--root", str(root), "--results", str(tmp_path / "r"), "--set", "pets"]
    assert main(["run", *where, "--peer", "sort", "--python", sys.executable]) == 0
    return where


def test_from_detections_to_a_report(stored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    capsys.readouterr()
    output = tmp_path / "docs"
    assert main(["report", *stored, "--output", str(output)]) == 0
    assert "SORT + gap filling" in capsys.readouterr().out
    assert sorted(path.name for path in output.iterdir()) == ["scores.csv", "scores.json", "scores.md", "scores.svg"]
    assert main(["report", *stored, "--output", str(output)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["report", *stored, "--output", str(output), "--overwrite", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--ours", "flow"], "NAME=DIR"),
        (["--ours", "flow=/nowhere"], "/nowhere"),
        (["--set", "mot99"], "mot99"),
    ],
)
def test_refusals_are_one_line(stored: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    try:
        code = main(["report", *stored, *more])
    except SystemExit as error:
        code = error.code
    assert code == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_missing_results_are_said(stored: list[str], root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", *stored[:-2]]) == 1
    assert "no results for" in capsys.readouterr().err
    assert main(["report", "--root", str(root), "--results", str(root / "none")]) == 2
