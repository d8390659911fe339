"""Predictions are compared with where the target was, and the 95 % ellipse with what really lies in it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import motion
from benchmarks.holdout import HOLDOUT
from benchmarks.motion import Predictions, frame_rate, hedge_for, predictions, shown_the_truth
from tracker.kinematics import HEDGE, Motion

FPS = 10.0


def boxes(count: int = 60) -> np.ndarray:
    """A target that moves at a constant speed."""
    return np.array([(20 + 3 * index, 40 - index, 40, 10) for index in range(count)], float)


def test_a_steady_target_is_predicted_by_its_motion() -> None:
    found = predictions(boxes(), FPS, shown_the_truth(boxes(), FPS, noise=0.0), 0.2)
    assert len(found.errors) == 58  # the last two frames have no frame 0.2 s later
    assert found.moves == pytest.approx(2 * np.hypot(3, 1) / 20)
    assert found.errors[-1] < 1e-3
    assert found.held == 1


def test_what_is_in_the_ellipse_is_counted_from_the_covariance() -> None:
    modelled = np.zeros((4, 3, 3))
    modelled[:2, 0, 0] = 4.0 / HEDGE  # a standard deviation of two pixels
    still = [Motion(index / FPS, np.zeros((4, 3)), modelled) for index in range(4)]
    truth = np.array([(x - 5, -5, 10, 10) for x in (0, 4.8, 5.0, 100)], float)
    # centres at 4.8, 5.0 and 100 after 0.0; the motion itself grows by its process noise, which is 0 for no time at all
    found = predictions(truth, FPS, still, 0.0)
    assert found.squares[:3] == pytest.approx([0, 4.8**2 / 4, 5.0**2 / 4])
    assert found.held == pytest.approx(2 / 4)


def test_frames_without_the_target_or_a_motion_are_left_out() -> None:
    truth = boxes()
    truth[20:25] = np.nan
    motions = shown_the_truth(truth, FPS, noise=0.02)
    assert [index for index, each in enumerate(motions) if each is None] == list(range(20, 25))
    assert motions[25].velocity == (0, 0)  # type: ignore[union-attr]  # it begins anew
    assert len(predictions(truth, FPS, motions, 0.1).errors) == 60 - 1 - 5 - 1
    assert len(predictions(truth, FPS, [None] * 60, 0.1).errors) == 0


def test_the_hedge_makes_95_of_100_true_and_sequences_count_alike() -> None:
    def of(squares: np.ndarray) -> Predictions:
        return Predictions(squares, squares, squares)

    squares = np.random.default_rng(0).chisquare(2, 20_000)
    assert hedge_for([of(squares)]) == pytest.approx(HEDGE, rel=0.05)
    assert hedge_for([of(3 * squares)]) == pytest.approx(3 * HEDGE, rel=0.05)
    short, long = of(np.full(10, 50.0)), of(np.full(1000, 1.0))
    assert hedge_for([short, long]) == pytest.approx(HEDGE * 50 / motion.LIMIT)  # half of all, not one in a hundred


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in (HOLDOUT[0], "UAV123_10fps/made"):
        folder = tmp_path / name
        (folder / "img").mkdir(parents=True)
        for index in range(30):
            cv2.imwrite(str(folder / "img" / f"{index + 1:04d}.png"), np.zeros((60, 200, 3), np.uint8))
        np.savetxt(folder / "groundtruth_rect.txt", boxes(30), delimiter=",")
        (folder / "sequence.json").write_text(json.dumps({"benchmark": folder.parent.name, "step": 2}))
    return tmp_path


def test_frame_rates_are_those_of_what_is_left_of_the_video(data: Path) -> None:
    assert frame_rate(data / HOLDOUT[0]) == 12.5
    assert frame_rate(data / "UAV123_10fps/made") == 5
    assert frame_rate(data) == 25


def test_the_command_line_judges_on_what_training_did_not_see(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert motion.training(data) == ["UAV123_10fps/made"]
    assert motion.main(["--data", str(data), "--training"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 sequences, 29 predictions of 0.1 s")
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["0.1", "0.2", "0.4"]
    assert motion.main(["--data", str(data), "--sequences", HOLDOUT[0], "--ahead", "0.2", "99"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| 99 | – | – | – | – | – |"
    assert motion.main(["--data", str(data), "--sequences", "missing"]) == 2
    assert "missing" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no sequence to train on"):
        motion.training(data / HOLDOUT[0])
