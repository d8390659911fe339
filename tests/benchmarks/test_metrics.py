from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.metrics import (
    bootstrap_interval,
    frame_errors,
    mean_auc,
    mean_precision_20,
    precision_at_20,
    precision_curve,
    score_sequence,
    success_auc,
    success_curve,
)

RESULTS = Path(__file__).parents[3] / "shared" / "results"
needs_results = pytest.mark.skipif(not RESULTS.is_dir(), reason="needs the raw boxes in ../shared/results")


def boxes_of(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float64)


def noisy_boxes(seed: int, frames: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """A wandering target and a tracker that is off by anything from nothing to everything."""
    rng = np.random.default_rng(seed)
    truth = np.column_stack([rng.uniform(0, 300, (frames, 2)), rng.uniform(5, 90, (frames, 2))])
    drift = rng.normal(0, 1, (frames, 2)) * np.linspace(0, 40, frames)[:, None]
    predicted = np.column_stack([truth[:, :2] + drift, truth[:, 2:] * rng.uniform(0.7, 1.4, (frames, 2))])
    return predicted, truth


def slow_overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, written down separately from the code under test."""
    shared_w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    shared_h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = shared_w * shared_h if shared_w > 0 and shared_h > 0 else 0.0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def slow_scores(predicted: np.ndarray, truth: np.ndarray) -> tuple[list[float], list[float]]:
    """Success and precision curves by counting."""
    overlaps = [slow_overlap(p, t) for p, t in zip(predicted, truth, strict=True)]
    errors = [
        ((p[0] + p[2] / 2 - t[0] - t[2] / 2) ** 2 + (p[1] + p[3] / 2 - t[1] - t[3] / 2) ** 2) ** 0.5
        for p, t in zip(predicted, truth, strict=True)
    ]
    success = [sum(overlap > i / 20 for overlap in overlaps) / len(truth) for i in range(21)]
    precision = [sum(error <= pixels for error in errors) / len(truth) for pixels in range(51)]
    return success, precision


def test_a_perfect_tracker_scores_20_of_21_because_the_comparison_is_strict():
    truth = boxes_of((10, 20, 30, 40), (12, 22, 30, 40), (14, 24, 31, 41))
    score = score_sequence(truth, truth)
    assert score.auc == pytest.approx(20 / 21)
    assert score.success[-1] == 0
    assert (score.precision == 1).all()


@pytest.mark.parametrize("side", [12, 25, 50])
def test_a_shift_by_one_pixel_costs_what_geometry_says(side: int):
    truth = boxes_of((100, 100, side, side))
    overlaps, distances = frame_errors(np.add(truth, (1, 1, 0, 0)), truth)
    shared = (side - 1) ** 2
    assert overlaps[0] == pytest.approx(shared / (2 * side**2 - shared))
    assert distances[0] == pytest.approx(2**0.5)


def test_half_a_box_lies_on_a_threshold_and_does_not_pass_it():
    overlaps, _ = frame_errors(boxes_of((0, 0, 20, 10)), boxes_of((0, 0, 20, 20)))
    assert overlaps[0] == 0.5
    assert success_auc(overlaps) == pytest.approx(10 / 21)  # 0, 0.05 … 0.45


def test_an_error_of_exactly_20_pixels_is_precise():
    assert precision_at_20([20.0, np.nextafter(20.0, 21.0)]) == 0.5


def test_precision_counts_thresholds_from_0_to_50():
    curve = precision_curve([0.0, 50.0, 50.5])
    assert len(curve) == 51
    assert curve[0] == pytest.approx(1 / 3)
    assert curve[49] == pytest.approx(1 / 3)
    assert curve[50] == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_a_plain_recomputation(seed: int):
    predicted, truth = noisy_boxes(seed)
    score = score_sequence(predicted, truth)
    success, precision = slow_scores(predicted, truth)
    np.testing.assert_allclose(score.success, success, atol=1e-12)
    np.testing.assert_allclose(score.precision, precision, atol=1e-12)
    assert 0.2 < score.auc < 0.8  # the comparison is of something


@pytest.mark.parametrize("seed", [3, 4])
def test_scores_equal_those_of_the_got10k_package(seed: int):
    got10k = pytest.importorskip("got10k.utils.metrics")
    predicted, truth = noisy_boxes(seed)
    overlaps, distances = frame_errors(predicted, truth)
    their_overlaps = got10k.rect_iou(predicted.copy(), truth.copy())
    their_errors = got10k.center_error(predicted, truth)
    np.testing.assert_allclose(overlaps, their_overlaps, atol=1e-9)
    np.testing.assert_allclose(distances, their_errors, atol=1e-9)
    # the thresholds of ExperimentOTB._calc_curves, its nbins_iou = 21 and nbins_ce = 51
    their_success = (their_overlaps[:, None] > np.linspace(0, 1, 21)[None, :]).mean(0)
    their_precision = (their_errors[:, None] <= np.arange(0, 51)[None, :]).mean(0)
    np.testing.assert_allclose(success_curve(overlaps), their_success, atol=1e-12)
    np.testing.assert_allclose(precision_curve(distances), their_precision, atol=1e-12)


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1)))
def test_success_never_rises_and_auc_is_its_mean(overlaps: np.ndarray):
    curve = success_curve(overlaps)
    assert (np.diff(curve) <= 0).all()
    assert 0 <= success_auc(overlaps) <= 20 / 21 + 1e-12
    assert abs(success_auc(overlaps) - overlaps.mean()) <= 1 / 20  # a Riemann sum of the mean overlap


def test_a_prediction_without_area_repeats_the_one_before():
    truth = boxes_of((0, 0, 10, 10), (2, 0, 10, 10), (4, 0, 10, 10), (50, 0, 10, 10))
    empty = truth.copy()
    empty[1], empty[2] = (0, 0, 0, 0), (7, 7, 0, 5)
    repeated = truth.copy()
    repeated[1] = repeated[2] = truth[0]
    for ours, expected in zip(frame_errors(empty, truth), frame_errors(repeated, truth), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_ground_truth_without_area_is_a_miss_and_stays_in_the_denominator():
    truth = boxes_of((0, 0, 10, 10), (5, 5, 0, 10), (5, 5, 10, -1), (20, 0, 10, 10))
    predicted = np.abs(truth)
    predicted[:, 2:] = 10
    score = score_sequence(predicted, truth)
    assert score.frames == 4
    assert score.success[0] == 0.5
    assert score.precision[50] == 0.5


def test_absent_targets_are_left_out():
    truth = boxes_of((0, 0, 10, 10), (np.nan,) * 4, (5, 5, 10, 10))
    predicted = boxes_of((0, 0, 10, 10), (300, 300, 10, 10), (5, 5, 10, 10))
    score = score_sequence(predicted, truth)
    assert (score.frames, score.absent) == (2, 1)
    assert score.auc == pytest.approx(20 / 21)


def test_another_number_of_rows_is_refused():
    truth = boxes_of(*[(0, 0, 10, 10)] * 4)
    with pytest.raises(ValueError, match="3 predictions for 4 frames"):
        score_sequence(truth[:3], truth)
    with pytest.raises(ValueError, match="4 predictions for 3 frames"):
        score_sequence(truth, truth[:3])


def test_rows_are_fitted_on_request_and_the_score_says_so():
    truth = boxes_of(*[(0, 0, 10, 10)] * 4, (np.nan,) * 4)
    short = score_sequence(truth[:3], truth, on_mismatch="fit")
    assert (short.missing, short.surplus, short.frames, short.absent) == (2, 0, 4, 1)
    assert short.auc == pytest.approx(0.75 * 20 / 21)
    assert short.precision[50] == 0.75
    long = score_sequence(np.nan_to_num(truth), truth[:3], on_mismatch="fit")
    assert (long.missing, long.surplus, long.frames) == (0, 2, 3)
    assert long.auc == pytest.approx(20 / 21)


@pytest.mark.parametrize("bad", [(np.nan, 0, 1, 1), (0, np.inf, 1, 1), (0, 0, -1, 1)])
def test_invalid_predictions_are_refused_by_row(bad: tuple[float, float, float, float]):
    truth = boxes_of((0, 0, 10, 10), (0, 0, 10, 10))
    with pytest.raises(ValueError, match="prediction 1 must be finite"):
        frame_errors(boxes_of((0, 0, 10, 10), bad), truth)


def test_nothing_to_score_is_refused():
    with pytest.raises(ValueError, match="overlaps must be a row of at least one number"):
        success_curve([])
    with pytest.raises(ValueError, match="must both be"):
        frame_errors(np.zeros((3, 4)), np.zeros((2, 4)))


def test_inputs_are_not_changed():
    predicted, truth = noisy_boxes(5)
    predicted[7, 2] = 0
    copies = predicted.copy(), truth.copy()
    frame_errors(predicted, truth)
    np.testing.assert_array_equal(predicted, copies[0])
    np.testing.assert_array_equal(truth, copies[1])


def test_sequences_weigh_the_same_whatever_their_length():
    truth = boxes_of(*[(0, 0, 10, 10)] * 9)
    hit, miss = score_sequence(truth, truth), score_sequence(np.add(truth[:1], (99, 0, 0, 0)), truth[:1])
    assert mean_auc([hit, miss]) == pytest.approx(10 / 21)
    assert mean_precision_20([hit, miss]) == 0.5


def test_the_bootstrap_interval_agrees_with_the_normal_approximation():
    values = np.random.default_rng(0).uniform(0, 1, 400)
    low, high = bootstrap_interval(values)
    half_width = 1.96 * values.std() / 400**0.5
    assert low == pytest.approx(values.mean() - half_width, abs=0.002)
    assert high == pytest.approx(values.mean() + half_width, abs=0.002)
    assert bootstrap_interval(values) == (low, high)  # seeded
    assert bootstrap_interval([0.3, 0.3]) == pytest.approx((0.3, 0.3))
    narrow = bootstrap_interval(values, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval(values, confidence=95)


def published_tracks(tracker: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sequence → (raw boxes of a published tracker, ground truth) of OTB-100, both 1-based."""
    annotations = json.loads(gzip.decompress((RESULTS / "otb100_annotations.json.gz").read_bytes()))
    truths = {re.sub(r"[-_.]", "", name).lower(): np.array(each["gt_rect"]) for name, each in annotations.items()}
    tracks = {}
    with zipfile.ZipFile(RESULTS / f"{tracker}.zip") as archive:
        for name in archive.namelist():
            key = re.sub(r"[-_.]", "", Path(name).stem).lower()
            tracks[Path(name).stem] = np.loadtxt(io.BytesIO(archive.read(name)), delimiter=","), truths[key]
    return tracks


@needs_results
@pytest.mark.parametrize(
    ("tracker", "auc", "precision"),
    [("KCF", 0.477, 0.695), ("Staple", 0.581, 0.783), ("SRDCF", 0.598, 0.789), ("MDNet", 0.678, 0.909)],
)
def test_raw_boxes_give_the_published_numbers(tracker: str, auc: float, precision: float):
    tracks = published_tracks(tracker)
    scores = {name: score_sequence(*track, on_mismatch="fit") for name, track in tracks.items()}
    assert len(scores) == 100
    assert mean_auc(list(scores.values())) == pytest.approx(auc, abs=0.002)
    assert mean_precision_20(list(scores.values())) == pytest.approx(precision, abs=0.002)


@needs_results
def test_each_sequence_agrees_with_an_independent_evaluator():
    with open(RESULTS / "per_sequence_auc.csv", newline="") as file:
        expected = {row["sequence"]: row for row in csv.DictReader(file) if row["tracker"] == "KCF"}
    for name, (predicted, truth) in published_tracks("KCF").items():
        score = score_sequence(predicted, truth)
        valid = (truth[:, 2:] > 0).all(1).mean()  # that evaluator leaves out the one invalid row of Board and Twinnings
        assert score.auc == pytest.approx(valid * float(expected[name]["success_auc"]), abs=2e-4), name
        assert score.precision_20 == pytest.approx(valid * float(expected[name]["precision20"]), abs=2e-4), name
