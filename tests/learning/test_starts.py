"""Three starts: the same number as tuning's, of any footage, and errors that say what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.metrics import success_auc
from learning import starts
from learning.calibration import Video
from tracker import SiamTracker
from tracker.box import overlap
from tracker.model import Model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Two sequences of a benchmark: a bright square moves to the right, or down."""
    for name, (across, down) in {"Basketball": (2, 0), "Bolt": (0, 2)}.items():
        folder = tmp_path / "otb" / "deep" / name
        (folder / "img").mkdir(parents=True)
        boxes = []
        for index in range(6):
            x, y = 10 + across * index, 20 + down * index
            image = np.random.default_rng(index).integers(0, 60, (60, 90, 3), dtype=np.uint8)
            image[y : y + 16, x : x + 16] = 230
            cv2.imwrite(str(folder / "img" / f"{index:04d}.png"), image)
            boxes.append(f"{x + 1},{y + 1},16,16")
        (folder / "groundtruth_rect.txt").write_text("\n".join(boxes))
    return tmp_path / "otb"


def by_hand(tracker: SiamTracker, folder: Path) -> float:
    """Mean success AUC of runs that start in frames 0, 2 and 4 of six."""
    frames = [cv2.imread(str(path)) for path in sorted((folder / "img").iterdir())]
    truth = np.loadtxt(folder / "groundtruth_rect.txt", delimiter=",") - (1, 1, 0, 0)
    values = []
    for start in (0, 2, 4):
        tracker.init(frames[start], truth[start])
        boxes = [tracker.update(frame).box for frame in frames[start + 1 :]]
        values.append(success_auc(overlap(np.array(boxes), truth[start + 1 :])))
    return float(np.mean(values))


def test_each_model_has_the_mean_of_its_three_runs(
    footage: Path, weights: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(weights["compact"]), str(weights["alexnet"])]
    options = ["--data", str(footage), "--runtime", "torch-fp32"]
    assert starts.main([*files, *options, "--states", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["Basketball", "Bolt"]
    for name, values in found.items():
        trackers = (SiamTracker(Model(file, "torch-fp32", "cpu")) for file in files)
        assert values == pytest.approx([by_hand(tracker, footage / "deep" / name) for tracker in trackers])
    assert starts.main([*files, *options, "--states", "--sequences", "deep/Bolt"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| deep/Bolt", "| mean"]
    assert lines[2].split(" | ")[1:] == lines[3].split(" | ")[1:]


def test_without_states_it_is_tuning_s_tracker_that_never_gives_up(
    footage: Path, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def judge_of(model: Model, videos: list[Video], states: bool) -> Callable[[dict[str, float], str], float]:
        asked.append(states)
        return lambda config, name: 0.25

    monkeypatch.setattr(starts, "judge_of", judge_of)
    assert starts.measure([Model(weights["compact"])], footage, ["Basketball"]) == {"Basketball": [0.25]}
    assert asked == [False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compact", "--data", "{empty}"], "no sequence below"),
        (["compact", "--data", "{otb}", "--sequences", "deep/Nothing"], "deep/Nothing"),
        (["nobody", "--data", "{otb}"], "neither a model that ships with the package"),
        (["compact", "--data", "{otb}", "--runtime", "abacus"], "abacus"),
    ],
)
def test_what_cannot_be_measured_is_said(
    arguments: list[str], words: str, footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "otb": footage}
    assert starts.main([argument.format(**places) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("starts: ")
    assert words in said
    assert len(said.splitlines()) == 1
