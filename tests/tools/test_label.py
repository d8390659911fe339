"""The labelling command: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

Run = Callable[[list[str], set[str]], subprocess.CompletedProcess[str]]
SCRIPT = Path(__file__).parents[2] / "tools" / "label.py"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames of noise, with a ground truth that does not move."""
    folder = tmp_path / "clip" / "img"
    folder.mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    for index in range(12):
        cv2.imwrite(str(folder / f"{index:04d}.png"), image)
    (folder.parent / "groundtruth_rect.txt").write_text("31,21,16,16\n" * 12)
    return folder


def test_a_given_box_becomes_a_sequence_once(
    command: ModuleType, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(video), "--output", str(tmp_path / "out"), "--tracker", "still", "--box", "30,20,16,16", "--json"]
    assert command.main([*arguments, "--motion", "0"]) == 0
    assert json.loads(capsys.readouterr().out) == {"candidates": 1, "kept": 1, "frames": 12, "dropped": {}}
    truth = tmp_path / "out" / "clip-img" / "000000_0" / "groundtruth_rect.txt"
    assert np.loadtxt(truth, delimiter=",").tolist() == [[30, 20, 16, 16]] * 12
    assert command.main([*arguments, "--motion", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"] == 0


def test_what_stands_still_is_dropped_and_said_so(
    command: ModuleType, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(video), "--output", str(tmp_path / "out"), "--tracker", "still", "--boxes", "2"]) == 0
    printed = capsys.readouterr()
    assert "kept 0 of 2 candidates" in printed.out
    assert "dropped 2: it stands still" in printed.out
    assert printed.err.count("from frame 0") == 2


def test_labels_are_checked_against_known_boxes(
    command: ModuleType, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(video.parents[1])
    assert command.main(["--check", root, "--tracker", "still", "--motion", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tracks"] == {"kept": 1}
    assert found["boxes"]["kept"] == {"boxes": 11, "overlap": 1.0, "right": 1.0}
    assert command.main(["--check", root, "--sequences", "clip", "--tracker", "still"]) == 0
    assert "tracks dropped, it stands still: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--tracker", "opencv:none"], "no tracker opencv:none"),
        (["--box", "300,300,5,5", "--tracker", "compact"], "outside"),
        (["--check", "nowhere"], "nowhere"),
    ],
)
def test_one_clear_line_says_what_is_wrong(
    command: ModuleType,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    words: str,
) -> None:
    assert command.main([str(video), "--output", str(tmp_path / "out"), *changes]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["clip.mp4"],
        ["clip.mp4", "--output", "out", "--box", "1,2,3"],
        ["clip.mp4", "--output", "out", "--box", "1,2,3,0"],
        ["a.mp4", "b.mp4", "--output", "out", "--box", "1,2,3,4"],
        ["clip.mp4", "--output", "out", "--length", "0"],
    ],
)
def test_wrong_arguments_end_with_2(
    command: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(arguments)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_does_not_load_torch(run_without: Run) -> None:
    done = run_without(["--help"], {"torch", "cv2", "numpy"})
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
