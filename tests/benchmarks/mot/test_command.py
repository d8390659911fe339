"""``python -m benchmarks.mot`` and the folders that it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.mot.__main__ import main

BOXES = "1,1,1,1,5,5,1,1\n2,1,1,1,5,5,1,1\n"


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Two sequences, one with ``seqinfo.ini``, and results of both."""
    for name in ("a", "b"):
        (tmp_path / "truth" / name / "gt").mkdir(parents=True)
        (tmp_path / "truth" / name / "gt" / "gt.txt").write_text(BOXES)
    (tmp_path / "truth" / "a" / "seqinfo.ini").write_text("[Sequence]\nseqLength=9\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.txt").write_text(BOXES)
    (tmp_path / "results" / "b.txt").write_text(BOXES.splitlines()[0])
    return ["--groundtruth", str(tmp_path / "truth"), "--results", str(tmp_path / "results")]


def test_a_table_with_every_sequence_and_all_together(folders: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(folders) == 0
    header, a, b, together = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["sequence", "HOTA", "DetA", "AssA", "LocA", "MOTA"]
    assert a.split()[:6] == ["a", *["100.00"] * 5]
    assert b.split()[5] == "50.00"
    assert together.startswith("2 sequences")
    assert together.split()[6] == "75.00"  # MOTA: 3 of 4 boxes


def test_markdown(folders: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*folders, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| --- | ---: |")
    assert len({text.count("|") for text in lines}) == 1
    assert lines[-1].startswith("| **2 sequences** | **")


def test_json_to_a_file_and_to_standard_output(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "scores.json"
    assert main([*folders, "--json", str(path)]) == 0
    capsys.readouterr()
    assert main([*folders, "--json", "-"]) == 0
    stored = json.loads(path.read_text())
    assert json.loads(capsys.readouterr().out) == stored
    assert stored["sequences"]["b"]["MOTA"] == 0.5
    assert stored["sequences"]["a"]["CLR_Frames"] == 9
    assert len(stored["combined"]["curves"]["HOTA"]) == len(stored["alphas"]) == 19
    assert main([*folders, "--json", str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*folders, "--json", str(path), "--overwrite"]) == 0


def test_results_below_data_and_flat_ground_truth(folders: list[str], tmp_path: Path):
    (tmp_path / "results" / "data").mkdir()
    (tmp_path / "flat").mkdir()
    for name in ("a", "b"):
        (tmp_path / "results" / f"{name}.txt").rename(tmp_path / "results" / "data" / f"{name}.txt")
        (tmp_path / "flat" / f"{name}.txt").write_text(BOXES)
    assert main(folders) == 0
    assert main(["--groundtruth", str(tmp_path / "flat"), *folders[2:]]) == 0


def test_missing_results_are_refused_or_left_out(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "results" / "b.txt").rename(tmp_path / "results" / "c.txt")
    assert main(folders) == 2
    assert "no b.txt; 1 of 2 sequences have no results; --partial" in capsys.readouterr().err
    assert main([*folders, "--partial"]) == 1
    printed = capsys.readouterr()
    assert "1 of 2 sequences" in printed.out
    assert "c.txt: no such sequence" in printed.err
    assert main([*folders, "--only", "a"]) == 0
    (tmp_path / "results" / "a.txt").unlink()
    assert main([*folders, "--partial"]) == 2


def test_what_is_wrong_is_said_in_one_line(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*folders, "--only", "z"]) == 2
    assert "no sequence z; there are a, b" in capsys.readouterr().err
    (tmp_path / "results" / "a.txt").write_text("10,1,1,1,5,5\n")
    assert main(folders) == 2
    error = capsys.readouterr().err
    assert error.startswith("mot: error: ")
    assert "a.txt: line 1: frame 10: the sequence has 9 frames" in error
    assert main(["--groundtruth", str(tmp_path / "nowhere"), *folders[2:]]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert main(["--groundtruth", str(tmp_path / "results"), *folders[2:], "--only", "a", "--rules", "mot17"]) == 2
    assert "a.txt: line 1 has no class" in capsys.readouterr().err


def test_repairs_are_said_beside_the_table(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "results" / "a.txt").write_text("1,1,1,1,0,5\n")
    (tmp_path / "results" / "b.txt").write_text("")
    assert main([*folders, "--classes", "1"]) == 0
    notes = capsys.readouterr().err
    assert "a.txt: 1 boxes without a positive width and height match nothing (first: line 1)" in notes
    assert "b.txt: no boxes" in notes
