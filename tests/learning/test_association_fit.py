"""Nothing is learned from what is scored; calibration and its error against closed forms; the commands end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.association import main
from learning.association_calibration import expected_calibration_error, platt, reliability
from learning.association_costs import Trial, choose_costs, score_tracks
from learning.association_fit import Learner, check_folds, even_folds, split
from learning.association_footage import Footage, read_all
from learning.association_pairs import detection_examples, detector_failures, examples_of
from tracker.association.costs import Costs
from tracker.association.features import NAMES
from tracker.association.flow import FlowAssociator

pytest.importorskip("lightgbm")


def walkers(folder: Path, seed: int, frames: int = 60, people: int = 5, rate: int = 10) -> None:
    """A sequence of persons who cross each other's way, its detector missing some and inventing others."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, 500, (people, 2)), rng.uniform(-30, 30, (people, 2))
    truth, found = [], []
    for frame in range(frames):
        for k in range(people):
            x, y = start[k] + speed[k] * frame / rate
            truth.append(f"{frame + 1},{k + 1},{x + 1:.2f},{y + 1:.2f},40,100,1,1,1")
            if rng.random() < 0.85:
                dx, dy = rng.normal(0, 1.5, 2)
                found.append(f"{frame + 1},-1,{x + dx + 1:.2f},{y + dy + 1:.2f},40,100,{rng.uniform(0.6, 1):.3f}")
        if rng.random() < 0.4:
            x, y = rng.uniform(0, 600, 2)
            found.append(f"{frame + 1},-1,{x:.2f},{y:.2f},40,100,{rng.uniform(0.2, 0.8):.3f}")
    for name, lines in (("gt", truth), ("det", found)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = f"[Sequence]\nframeRate={rate}\nseqLength={frames}\n"
    (folder / "seqinfo.ini").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mot")
    for seed, name in enumerate(("Street-A", "Street-B", "MOT16-03", "MOT17-03-SDP")):
        walkers(root / name, seed)
    return root


@pytest.fixture(scope="module")
def footages(data: Path) -> list[Footage]:
    return read_all(data)


def test_no_fold_is_trained_on_video_that_it_scores(footages: list[Footage]) -> None:
    folds = Learner(footages).cross_fit([{"MOT-03"}, {"Street-A"}])
    by_name = {footage.name: footage.group for footage in footages}
    for fold in folds:
        assert not {by_name[name] for name in fold.trained_on} & fold.left_out
        assert {trial.footage.group for trial in fold.trials} == fold.left_out
        assert {by_name[part.sequence] for part in fold.judged} == fold.left_out
    assert folds[0].trained_on == ("Street-A", "Street-B")  # neither of the video's two versions
    assert folds[0].model.pair.value.tolist() != folds[1].model.pair.value.tolist()


def test_what_is_scored_changes_nothing_of_what_it_is_scored_with(footages: list[Footage]) -> None:
    """The trees of a fold stay the same, bit by bit, when its own video's ground truth is scrambled."""
    scrambled = list(footages)
    rows, _ = split(footages, {"Street-A"})
    rng = np.random.default_rng(1)
    for row in rows:
        old = footages[row]
        fields = {name: getattr(old, name) for name in old.__dataclass_fields__}
        scrambled[row] = Footage(**fields | {"identity": rng.permutation(old.identity)})
    kept = split(footages, {"Street-A"})[1]
    honest = _order_kept(footages, kept)
    assert Learner(honest).grow(range(len(kept))) == Learner(_order_kept(scrambled, kept)).grow(range(len(kept)))


def _order_kept(footages: list[Footage], kept: list[int]) -> list[Footage]:
    """Those that stay first, as the random choices are made in turn."""
    return [footages[row] for row in kept] + [footages[row] for row in range(len(footages)) if row not in kept]


def test_folds_that_share_a_video_are_refused(footages: list[Footage]) -> None:
    with pytest.raises(ValueError, match="two folds"):
        check_folds(footages, [{"MOT-03"}, {"MOT-03", "Street-A"}])
    with pytest.raises(ValueError, match="no such footage"):
        check_folds(footages, [{"MOT-03"}, {"Nowhere"}])
    with pytest.raises(ValueError, match="two videos"):
        check_folds(footages, [{"MOT-03"}])
    folds = even_folds(footages, 2)
    assert len(folds) == 2
    assert sorted(group for fold in folds for group in fold) == ["MOT-03", "Street-A", "Street-B"]


def test_examples_are_labelled_by_identity(footages: list[Footage]) -> None:
    found = examples_of(footages[0], np.random.default_rng(0))
    assert {part.kind for part in found} == {"alone", "past", "both"}
    gap = NAMES.index("gap_frames")
    for part in found:
        np.testing.assert_allclose(part.features[:, gap], part.gap)
        assert np.isnan(part.features[:, NAMES.index("future_seen")]).all() == (part.kind != "both")
        near = part.features[:, NAMES.index("speed")] < 1
        if len(part) and near.any() and not near.all():
            assert part.same[near].mean() > part.same[~near].mean()
    features, true = detection_examples(footages[0])
    n = len(footages[0].scene)
    assert features.shape == (3 * n, 4)
    assert np.isnan(features[:n, 1:]).all()
    assert true.reshape(3, n).all(0).tolist() == (footages[0].identity >= 0).tolist()


def test_detector_failures_are_stretches_of_single_identities(footages: list[Footage]) -> None:
    failed = detector_failures(footages[0], np.random.default_rng(3))
    assert 0.05 < failed[footages[0].identity >= 0].mean() < 0.9
    assert not failed[footages[0].identity < 0].any()


@given(st.integers(0, 99), st.floats(0.3, 3), st.floats(-2, 2))
@settings(deadline=None, max_examples=15)
def test_platts_scaling_finds_the_slope_and_intercept_that_made_the_labels(
    seed: int, slope: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, 40_000)
    same = rng.random(len(odds)) < 1 / (1 + np.exp(-(slope * odds + shift)))
    found = platt(odds, same, np.ones(len(odds)))
    np.testing.assert_allclose(found, (slope, shift), atol=0.1 + 0.05 * slope)


def test_calibration_error_of_known_cases() -> None:
    probability, same = np.repeat([0.25, 0.85], 100), np.r_[np.arange(100) < 25, np.arange(100) < 85]
    assert expected_calibration_error(probability, same) == pytest.approx(0)
    assert expected_calibration_error(probability, ~same) == pytest.approx((0.5 + 0.7) / 2)
    assert expected_calibration_error(np.ones(4), np.array([True, True, True, False])) == pytest.approx(0.25)
    mean, share, count = reliability(probability, same)
    assert count.tolist() == [0, 0, 100, 0, 0, 0, 0, 0, 100, 0]
    np.testing.assert_allclose((mean[2], share[8]), (0.25, 0.85))


def test_costs_are_at_least_as_good_as_those_before(footages: list[Footage]) -> None:
    fold = Learner(footages).cross_fit([{"MOT-03"}, {"Street-A"}, {"Street-B"}])[1]
    trial = Trial(fold.trials[0].footage, fold.model)
    chosen = choose_costs([trial])
    for online in (False, True):
        assert trial.quality(chosen, online) >= trial.quality(Costs(), online)
    tracks = FlowAssociator(fold.model, 10, **vars(chosen)).run({part.frame: part for part in trial.footage.frames})
    direct = score_tracks(trial.footage, tracks).scores()
    assert score_tracks(trial.footage, trial.flow_tracks(chosen)).scores() == direct  # what is tried is what is used


def test_the_commands_from_footage_to_tracks(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "loso"
    assert main(["loso", "--data", str(data), "--output", str(output), "--extra", "Street-B"]) == 0
    result = json.loads((output / "loso.json").read_text(encoding="utf-8"))
    assert sorted(result["sequences"]) == ["MOT16-03", "MOT17-03-SDP", "Street-A"]
    assert "Street-A" not in result["sequences"]["Street-A"]["trained_on"]
    assert result["sequences"]["Street-A"]["flow"]["IDF1"] > 0.7
    assert sorted(path.name for path in (output / "flow").iterdir()) == sorted(
        f"{name}.txt" for name in result["sequences"]
    )
    assert main(["loso", "--data", str(data), "--output", str(output)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    model = tmp_path / "mine.json"
    assert main(["train", "--data", str(data), "--output", str(model), "--folds", "2"]) == 0
    assert FlowAssociator.from_pretrained(model, frame_rate=10).costs.longest_gap > 0
    assert main(["train", "--data", str(data), "--output", str(tmp_path / "mine.bin")]) == 2
    assert main(["train", "--data", str(data), "--only", "Street-A", "--output", str(tmp_path / "one.json")]) == 2
    assert "two videos" in capsys.readouterr().err
