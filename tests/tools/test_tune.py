"""The tuning command: what it prints, what it refuses, and that it goes on where it stopped."""

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
SCRIPT = Path(__file__).parents[2] / "tools" / "tune.py"


@pytest.fixture
def arguments(tmp_path: Path, weights: dict[str, Path]) -> list[str]:
    """An untrained model of its own, two sequences of a bright square in noise, and a journal."""
    for suffix in (".safetensors", ".json"):
        (tmp_path / f"mine{suffix}").write_bytes(weights["compact"].with_suffix(suffix).read_bytes())
    for number, name in enumerate(("left", "right")):
        folder = tmp_path / "data" / name / "img"
        folder.mkdir(parents=True)
        for index in range(4):
            image = np.random.default_rng([number, index]).integers(0, 60, (60, 90, 3), dtype=np.uint8)
            image[20:36, 30:46] = 230
            cv2.imwrite(str(folder / f"{index:04d}.png"), image)
        (folder.parent / "groundtruth_rect.txt").write_text("31,21,16,16\n" * 4)
    options = ["--data", tmp_path / "data", "--sequences", "left", "right", "--storage", tmp_path / "tune.log"]
    return [str(tmp_path / "mine.safetensors"), *map(str, options), "--space", "window_influence", "scale_rate=0:1"]


def test_it_searches_prints_json_and_goes_on(
    command: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for trials in (2, 3):
        assert command.main([*arguments, "--trials", str(trials), "--json"]) == 0
        printed = capsys.readouterr()
        found[trials] = json.loads(printed.out)
        assert found[trials]["whole"] + found[trials]["stopped"] == trials
    assert found[2]["default"] == found[3]["default"]
    assert found[2]["best"][0] in found[3]["best"], "the first trials were kept"
    assert set(found[3]["config"]) == {"window_influence", "scale_rate"}
    assert found[3]["written"] is None


def test_nothing_is_written_that_is_not_better(
    command: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    card = Path(arguments[0]).with_suffix(".json")
    before = card.read_text()
    assert command.main([*arguments, "--trials", "1", "--write"]) == 0
    printed = capsys.readouterr()
    assert "nothing written" in printed.out
    assert "default" in printed.out
    assert card.read_text() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--sequences", "nowhere"], "nowhere"),
        (["--space", "speed"], "no such entry"),
        (["--sequences", "Basketball"], "not for tuning"),
    ],
)
def test_one_clear_line_says_what_is_wrong(
    command: ModuleType,
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    words: str,
) -> None:
    (tmp_path / "data" / "left").rename(tmp_path / "data" / "Basketball")
    assert command.main([*arguments, *changes]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_an_unknown_model_is_refused(
    command: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["no.safetensors", *arguments[1:]]) == 2
    assert "no such weights file" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["compact", "--trials", "0"], ["compact", "--jobs", "two"]])
def test_wrong_arguments_end_with_2(command: ModuleType, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(words)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_help_does_not_load_torch(run_without: Run) -> None:
    done = run_without(["--help"], {"torch", "optuna", "numpy"})
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
