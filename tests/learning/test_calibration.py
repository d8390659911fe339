"""Calibration: the fit finds what made the data, the measures are their definitions, and the runs are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.special import expit

from learning import calibration
from learning.calibration import Run, Seen, Video
from tracker import SiamTracker, TrackState
from tracker.confidence import ConfidenceConfig
from tracker.decode import Decoded
from tracker.network import ModelCard, SiameseNetwork, save_network

# ---------------------------------------------------------------- fit


def test_the_fit_finds_the_weights_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal((2, -1, 5), (1, 3, 0.5), (20000, 3))
    truth = np.array([1.5, 0.4, 0.0, -2.0])
    right = rng.random(20000) < expit(features @ truth[:3] + truth[3])
    found = calibration.fit(features, right, np.ones(20000))
    assert found == pytest.approx(truth, abs=0.15)


def test_no_feature_speaks_against_a_target() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 2))
    right = rng.random(500) < expit(features @ (2.0, -3.0))
    weights = calibration.fit(features, right, np.ones(500))
    assert weights[0] > 0.5
    assert weights[1] == 0


def test_an_examples_weight_is_a_count() -> None:
    rng = np.random.default_rng(1)
    features, right, counts = rng.normal(size=(60, 3)), rng.random(60) < 0.5, rng.integers(1, 4, 60)
    weighted = calibration.fit(features, right, counts.astype(float))
    repeated = calibration.fit(np.repeat(features, counts, 0), np.repeat(right, counts), np.ones(counts.sum()))
    assert weighted == pytest.approx(repeated, abs=1e-3)


def test_each_sequence_and_each_label_weigh_the_same() -> None:
    sequences = np.array(["a"] * 5 + ["b"] * 3)
    right = np.array([True, False, False, False, False, True, True, False])
    weights = calibration.balanced(sequences, right)
    for name in "ab":
        for label in (True, False):
            assert weights[(sequences == name) & (right == label)].sum() == pytest.approx(0.5)


# ---------------------------------------------------------------- quality


def test_auc_counts_pairs_by_weight() -> None:
    rng = np.random.default_rng(0)
    scores, right, weights = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.4, rng.random(40)
    won = total = 0.0
    for i in np.flatnonzero(right):
        for j in np.flatnonzero(~right):
            total += weights[i] * weights[j]
            won += weights[i] * weights[j] * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    assert calibration.roc_auc(scores, right, weights) == pytest.approx(won / total)


def test_calibration_error_is_the_mean_gap_of_ten_bins() -> None:
    rng = np.random.default_rng(0)
    scores, right, weights = rng.random(300), rng.random(300) < 0.5, rng.random(300)
    scores[0] = 1.0
    error = 0.0
    for low in range(10):
        chosen = (scores >= low / 10) & ((scores < (low + 1) / 10) | (low == 9))
        share = weights[chosen].sum() / weights.sum()
        gap = np.average(scores[chosen], weights=weights[chosen]) - np.average(right[chosen], weights=weights[chosen])
        error += share * abs(gap)
    assert calibration.calibration_error(scores, right, weights) == pytest.approx(error)


def test_quantile_is_the_smallest_value_that_covers_the_share() -> None:
    values, weights = np.array([5.0, 1.0, 3.0]), np.array([1.0, 2.0, 1.0])
    found = [calibration.quantile(values, weights, share) for share in (0.1, 0.5, 0.6, 0.75, 0.8, 1.0)]
    assert found == [1, 1, 3, 3, 5, 5]


@pytest.mark.parametrize("separation", [-1.0, 0.0, 1.0, 5.0])
def test_thresholds_are_in_order_whatever_the_scores(separation: float) -> None:
    rng = np.random.default_rng(0)
    right = rng.random(1000) < 0.5
    scores = expit(rng.normal(size=1000) + separation * np.where(right, 1, -1))
    levels = calibration.thresholds(scores, ~right, np.ones(1000))
    assert 0 < levels["hopeless"] <= levels["doubtful"] <= levels["certain"] < 1
    assert np.mean(scores[~right] > levels["certain"]) <= 0.02


def _seen(logit: float, likeness: float | None = None) -> Seen:
    return Decoded((0.0, 0.0), (1.0, 1.0), logit, 0.0, 0.0), likeness


def test_behaviour_counts_states() -> None:
    config = ConfidenceConfig(certain=0.7, doubtful=0.5, hopeless=0.3, patience=3, memory=0.0)
    seen = Run("a", [_seen(9.0)] * 8 + [_seen(-9.0)] * 2, np.array([True] * 10), False)
    gone = Run("a", [_seen(-9.0)] * 30, np.zeros(30, bool), True)
    fooled = Run("a", [_seen(-9.0)] * 20 + [_seen(9.0)] * 20, np.zeros(40, bool), True)
    found = calibration.behaviour([seen, gone, fooled], config)
    assert found == {
        "right tracking": 0.8,
        "right lost": 0.0,
        "absent tracking": round(20 / 70, 3),
        "absent lost soon": 1.0,
        "absent revived": 0.5,
    }


# ---------------------------------------------------------------- runs


def _video(name: str, seed: int, frames: int = 60, absent: slice = slice(0, 0)) -> Video:
    rng = np.random.default_rng(seed)
    boxes = np.array([(40.0 + t / 2, 30.0, 20.0, 16.0) for t in range(frames)])
    images = []
    for x, y, w, h in boxes.astype(int):
        image = rng.integers(0, 60, (90, 140, 3), dtype=np.uint8)
        image[y : y + h, x : x + w] = 230
        images.append(image)
    boxes[absent] = np.nan
    return Video(name, images, boxes)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network: nearly all that it says is wrong."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_network(SiameseNetwork(ModelCard("compact", "box", mean=114.0, scale=1 / 64)), path)
    return path


@pytest.fixture(scope="module")
def tracker(weights: Path) -> SiamTracker:
    return SiamTracker.from_pretrained(weights)


def test_stretches_without_the_target_never_count_as_right(tracker: SiamTracker) -> None:
    runs = list(calibration.collect(tracker, [_video("a", 0, 24), _video("b", 1, 24)]))
    absent = [run for run in runs if run.absent]
    assert len(absent) >= 6
    assert not any(run.right.any() for run in absent)
    assert all(len(run.seen) == len(run.right) <= calibration.STRETCH for run in absent)
    assert {run.sequence for run in runs} == {"a", "b"}


class FarAway:
    """Stands for a tracker: finds the target for some frames, then nothing."""

    def __init__(self, tracker: SiamTracker, good: int) -> None:
        self.tracker, self.good, self.starts = tracker, good, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.tracker, name)

    def init(self, frame: np.ndarray, box: np.ndarray) -> object:
        self.starts += 1
        self.age, self.box = 0, box
        return self.tracker.init(frame, box)

    def update(self, frame: np.ndarray) -> object:
        result = self.tracker.update(frame)
        self.age += 1
        good = np.flatnonzero((frame == 230).all(2).any(0))[0], 30.0, 20.0, 16.0
        return type(result)(good if self.age <= self.good else (0.0, 0.0, 5.0, 5.0), result.score, result.state)


def test_following_starts_again_after_twenty_misses(tracker: SiamTracker) -> None:
    stand_in = FarAway(tracker, good=5)
    runs = list(calibration.follow(stand_in, _video("a", 0, frames=60), 0))  # type: ignore[arg-type]
    lengths = [(len(run.seen), int(run.right.sum())) for run in runs]
    assert lengths == [(25, 5), (25, 5), (7, 5)]  # each start takes a frame itself: 3 + 57 = 60
    assert stand_in.starts == 3


def test_following_starts_again_where_the_target_comes_back(tracker: SiamTracker) -> None:
    stand_in = FarAway(tracker, good=100)
    runs = list(calibration.follow(stand_in, _video("a", 0, 60, slice(20, 30)), 0))  # type: ignore[arg-type]
    assert [(len(run.seen), int(run.right.sum())) for run in runs] == [(29, 19), (29, 29)]


def test_the_witness_never_gives_up_and_keeps_what_it_saw() -> None:
    witness = calibration.Witness(ConfidenceConfig())
    for seen in [_seen(-9.0, 0.1)] * 30 + [_seen(1.5), _seen(9.0, -1.0)]:
        decoded, likeness = seen
        assert witness.judge(decoded, likeness=likeness)[1] is TrackState.TRACKING
        assert witness.seen == seen


# ---------------------------------------------------------------- all of it


def _runs(separation: float = 2.0) -> list[Run]:
    rng = np.random.default_rng(0)
    runs = []
    for name in ("a", "b", "c"):
        for label, absent in ((True, False), (False, False), (False, True)):
            middle = separation if label else -separation
            features = rng.normal((middle, 0, 5 + middle), 1.0, (80, 3))
            seen: list[Seen] = [(Decoded((0.0, 0.0), (1.0, 1.0), *row), None) for row in features.tolist()]
            runs.append(Run(name, seen, np.full(80, label), absent))
    return runs


def test_a_calibration_tells_right_from_wrong_and_says_so() -> None:
    result = calibration.calibrate(_runs(), ConfidenceConfig())
    assert result.quality["auc"] > 0.98
    assert result.quality["ece"] < 0.05
    assert result.quality["absent lost soon"] == 1
    assert result.quality["right tracking"] > 0.95
    assert [(row["right"], row["drifted"], row["absent"]) for row in result.rows] == [(80, 80, 80)] * 3
    lines = calibration.table(result).splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["sequence", "a", "b", "c", "all"]
    assert calibration.calibrate(_runs(), ConfidenceConfig()) == result


def test_what_looks_unlike_speaks_against_a_target() -> None:
    """The response says nothing; only what is seen without the target looks unlike it."""
    rng = np.random.default_rng(0)

    def run(name: str, right: bool) -> Run:
        decoded = [Decoded((0.0, 0.0), (1.0, 1.0), *row) for row in rng.normal(size=(80, 3)).tolist()]
        seen: list[Seen] = [(one, 0.8 if right else -0.2) for one in decoded]
        return Run(name, seen, np.full(80, right), not right)

    runs = [run(name, right) for name in ("a", "b", "c") for right in (True, False)]
    blind, seeing = ConfidenceConfig(appearance_weight=0.0), ConfidenceConfig(appearance_weight=7.0)
    assert calibration.calibrate(runs, blind).quality["auc"] < 0.6
    found = calibration.calibrate(runs, seeing)
    assert found.quality["auc"] == 1
    assert found.quality["absent lost soon"] == 1
    assert found.quality["right lost"] == 0


def test_quality_is_measured_on_sequences_that_the_fit_has_not_seen() -> None:
    runs = _runs()
    liar = [Run("liar", run.seen, ~run.right, run.absent) for run in runs if run.sequence == "a" and not run.absent]
    row = calibration.calibrate([*runs, *liar], ConfidenceConfig()).rows[-1]
    assert row["sequence"] == "liar"
    assert row["auc"] < 0.05


@pytest.mark.parametrize("kind", ["one sequence", "never right", "always right"])
def test_runs_that_teach_nothing_are_refused(kind: str) -> None:
    runs = {
        "one sequence": [run for run in _runs() if run.sequence == "a"],
        "never right": [run for run in _runs() if not run.right.any()],
        "always right": [run for run in _runs() if run.right.all()],
    }[kind]
    with pytest.raises(ValueError, match="right and wrong frames of two sequences"):
        calibration.calibrate(runs, ConfidenceConfig())


def test_the_card_takes_the_result_and_keeps_the_rest(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights.read_bytes())
    card = json.loads(weights.with_suffix(".json").read_text())
    card["config"], card["training"] = {"window_influence": 0.4}, {"pairs": 7}
    path.with_suffix(".json").write_text(json.dumps(card))
    result = calibration.calibrate(_runs(), ConfidenceConfig())
    assert calibration.write(path, result, ["a", "b", "c"]) == path.with_suffix(".json")
    written = SiamTracker.from_pretrained(path)
    assert written.config.window_influence == 0.4
    assert written.config.weights == result.config["weights"]
    assert written.config.certain == result.config["certain"]
    training = written.model.card.training
    assert training["pairs"] == 7
    assert training["calibration"]["sequences"] == ["a", "b", "c"]
    assert training["calibration"]["auc"] == result.quality["auc"]


def test_the_command_says_what_is_wrong(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibration.main([str(weights), "--data", str(tmp_path), "--sequences", "none"]) == 2
    assert capsys.readouterr().err.startswith("calibration: none: expected 4 numbers a line in")
    assert calibration.main([str(tmp_path / "no.safetensors"), "--data", str(tmp_path)]) == 2
    assert "no such weights file" in capsys.readouterr().err


def test_the_command_runs_on_sequences(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        video = _video(name, seed, 12)
        (tmp_path / name / "img").mkdir(parents=True)
        for index, image in enumerate(video.frames):
            cv2.imwrite(str(tmp_path / name / "img" / f"{index:04d}.png"), image)
        (tmp_path / name / "groundtruth_rect.txt").write_text("\n".join(",".join(map(str, b + 1)) for b in video.boxes))
    before = weights.with_suffix(".json").read_text()
    code = calibration.main([str(weights), "--data", str(tmp_path), "--sequences", "a", "b"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert '"certain"' in captured.out
    assert weights.with_suffix(".json").read_text() == before, "nothing is written unless asked"
