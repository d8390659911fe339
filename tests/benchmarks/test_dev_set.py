from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks import dev_set
from tracker.result import Box, TrackResult, TrackState


class Still:
    """Says that nothing moves."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> TrackResult:
        return TrackResult(self.box, 0.5, TrackState.TRACKING)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sequences of a target that stands still, then jumps away in the last of four frames."""
    for name in ("Ball", "Cup"):
        images = tmp_path / "otb" / name / "img"
        images.mkdir(parents=True)
        for index in range(4):
            cv2.imwrite(str(images / f"{index:04d}.png"), np.zeros((48, 64, 3), np.uint8))
        (images.parent / "groundtruth_rect.txt").write_text("3,4,10,10\n" * 3 + "40,4,10,10\n")
    return tmp_path / "otb"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Put trackers that say that nothing moves in place of the real ones; returns what was asked for."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def load(source: str, overrides: dict[str, Any], options: object) -> Still:
        asked.append((source, overrides))
        return Still()

    threads = torch.get_num_threads(), cv2.getNumThreads()
    monkeypatch.setattr(dev_set, "load_tracker", load)
    yield asked
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


def arguments(root: Path, tmp_path: Path, *more: str) -> list[str]:
    return ["--root", str(root), "--results", str(tmp_path / "results"), *more]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"tensors")
    path.with_suffix(".json").write_text("{}")
    return path


def test_prints_json_with_scores_and_speed(root: Path, tmp_path: Path, loaded: list, capsys: pytest.CaptureFixture):
    assert dev_set.main(arguments(root, tmp_path, "--trackers", "csrt", "still=kcf", "--json")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["tracker"] for each in printed["trackers"]] == ["csrt", "still"]
    for each in printed["trackers"]:
        assert each["auc"] == pytest.approx(3 / 4 * 20 / 21)
        assert each["precision_20"] == 0.75
        assert each["speed"]["fps"] > 0
        assert [sequence["name"] for sequence in each["sequences"]] == ["Ball", "Cup"]
    assert printed["machine"]["threads"] == 1
    assert [source for source, _ in loaded] == ["csrt", "kcf"]


def test_prints_tables(root: Path, tmp_path: Path, loaded: list, capsys: pytest.CaptureFixture):
    assert dev_set.main(arguments(root, tmp_path, "--trackers", "csrt", "--only", "Cup", "--sequences")) == 0
    out = capsys.readouterr().out
    assert "0.714 [0.714, 0.714]" in out
    assert "Cup" in out
    assert "Ball" not in out


def test_overrides_reach_the_tracker_and_keep_results_apart(
    root: Path, tmp_path: Path, loaded: list, weights: Path, capsys: pytest.CaptureFixture
):
    command = arguments(root, tmp_path, "--trackers", str(weights))
    assert dev_set.main([*command, "--set", "window=0.4", "--set", "name=text", "--set", "flag=true"]) == 0
    assert loaded == [(str(weights), {"window": 0.4, "name": "text", "flag": True})]
    assert dev_set.main([*command, "--set", "window=0.3"]) == 2
    assert "holds results of other settings (config = " in capsys.readouterr().err
    weights.write_bytes(b"other tensors")
    assert dev_set.main([*command, "--set", "window=0.4", "--set", "name=text", "--set", "flag=true"]) == 2
    assert "holds results of other settings (weights = " in capsys.readouterr().err


def test_max_frames_cuts_each_sequence(root: Path, tmp_path: Path, loaded: list, capsys: pytest.CaptureFixture):
    dev_set.main(arguments(root, tmp_path, "--trackers", "csrt", "--max-frames", "3", "--json"))
    tracker = json.loads(capsys.readouterr().out)["trackers"][0]
    assert tracker["frames"] == 6
    assert tracker["auc"] == pytest.approx(20 / 21)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trackers", "csrt", "csrt"], "two trackers are called csrt"),
        (["--trackers", "nosuch"], "no tracker 'nosuch'"),
        (["--trackers", "csrt", "--only", "Fan"], "no sequence Fan"),
    ],
)
def test_mistakes_end_with_one_line(
    root: Path, tmp_path: Path, loaded: list, more: list[str], message: str, capsys: pytest.CaptureFixture
):
    assert dev_set.main(arguments(root, tmp_path, *more)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
