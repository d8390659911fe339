from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.metrics import (
    GOT10K_RULES,
    TLP_RULES,
    Rules,
    Track,
    average,
    frame_errors,
    longest_subsequence,
    normalised_curve,
    precision_curve,
    score_sequence,
    score_tracks,
    speed,
    success_auc,
    success_curve,
)
from tracker.box import from_got10k, polygon_overlap

NAN = float("nan")
ABSENT = (NAN, NAN, NAN, NAN)
SQUARE = (0.0, 0.0, 10.0, 10.0)


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
    return min(shared / (a[2] * a[3] + b[2] * b[3] - shared), 1.0)


def slow_curves(predicted: np.ndarray, truth: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Success, precision and normalised precision by counting, with the official toolkits' rules, frame by frame."""
    success, precision, normalised = [0] * 21, [0] * 51, [0] * 51
    before = truth[0]
    for frame, t in enumerate(truth):
        p = truth[0] if frame == 0 else predicted[frame]
        p = before if p[2] <= 0 or p[3] <= 0 else p
        before = p
        if t[2] <= 0 or t[3] <= 0:
            continue
        dx = (p[0] + (p[2] - 1) / 2) - (t[0] + (t[2] - 1) / 2)
        dy = (p[1] + (p[3] - 1) / 2) - (t[1] + (t[3] - 1) / 2)
        for i in range(21):
            success[i] += slow_overlap(p, t) > i / 20
        for i in range(51):
            precision[i] += (dx**2 + dy**2) ** 0.5 <= i
            normalised[i] += ((dx / t[2]) ** 2 + (dy / t[3]) ** 2) ** 0.5 <= i / 100
    success_shares, precision_shares, normalised_shares = (
        [count / len(truth) for count in counts] for counts in (success, precision, normalised)
    )
    return success_shares, precision_shares, normalised_shares


def slow_longest(hits: list[bool], share: float) -> float:
    """LSM by trying every run."""
    count = len(hits)
    runs = [(stop - start, sum(hits[start:stop])) for start in range(count) for stop in range(start + 1, count + 1)]
    return max([length for length, hit in runs if hit >= share * length - 1e-9], default=0) / count


def test_a_perfect_tracker_scores_20_of_21_because_the_comparison_is_strict():
    truth = boxes_of((10, 20, 30, 40), (12, 22, 30, 40), (14, 24, 31, 41))
    score = score_sequence(truth, truth)
    assert score.auc == pytest.approx(20 / 21)
    assert score.success[-1] == 0
    assert (score.precision == 1).all()
    assert (score.normalised == 1).all()
    assert (score.precision_20, score.normalised_auc, score.normalised_20) == (1, 1, 1)
    assert (score.sr_50, score.sr_75, score.ao, score.frames) == (1, 1, 1, 3)
    np.testing.assert_array_equal(score.overlaps, [1, 1, 1])


@pytest.mark.parametrize("side", [12, 25, 50])
def test_a_shift_by_one_pixel_costs_what_geometry_says(side: int):
    truth = boxes_of((100, 100, side, side))
    overlaps, distances, normalised = frame_errors(np.add(truth, (1, 1, 0, 0)), truth)
    shared = (side - 1) ** 2
    assert overlaps[0] == pytest.approx(shared / (2 * side**2 - shared))
    assert distances[0] == pytest.approx(2**0.5)
    assert normalised[0] == pytest.approx(2**0.5 / side)


def test_a_shift_by_one_pixel_scores_what_its_overlap_says():
    truth = np.tile(boxes_of((100, 100, 25, 25)), (10, 1))
    score = score_sequence(truth + (1, 1, 0, 0), truth)
    passed = sum(i / 20 < 24**2 / (2 * 25**2 - 24**2) for i in range(21))  # 0.855: 0 to 0.85
    assert passed == 18
    assert score.auc == pytest.approx((20 + 9 * passed) / 21 / 10)  # the first frame is the one it was started in
    assert score.precision[:2].tolist() == [0.1, 0.1]
    assert score.precision[2] == 1
    assert score.normalised[5] == 0.1  # √2 / 25 = 0.057
    assert score.normalised[6] == 1


def test_half_a_box_lies_on_a_threshold_and_does_not_pass_it():
    overlaps = frame_errors(boxes_of((0, 0, 20, 10)), boxes_of((0, 0, 20, 20))).overlaps
    assert overlaps[0] == 0.5
    assert success_auc(overlaps) == pytest.approx(10 / 21)  # 0, 0.05 … 0.45


def test_an_error_on_a_threshold_passes_it():
    truth = np.tile(boxes_of((0, 0, 100, 100)), (3, 1))
    predicted = truth + np.array([0, 20, 20.001])[:, None] * (1, 0, 0, 0)
    score = score_sequence(predicted, truth)
    assert score.precision_20 == pytest.approx(2 / 3)
    assert score.normalised_20 == pytest.approx(2 / 3)


def test_normalised_errors_are_of_each_axis_apart():
    errors = frame_errors(boxes_of((3, 0, 10, 40), (0, 8, 10, 40)), boxes_of((0, 0, 10, 40), (0, 0, 10, 40)))
    np.testing.assert_allclose(errors.normalised, [0.3, 0.2])
    np.testing.assert_allclose(errors.distances, [3, 8])


def test_precision_counts_thresholds_from_0_to_50():
    curve = precision_curve([0.0, 50.0, 50.5])
    assert len(curve) == 51
    assert curve[0] == pytest.approx(1 / 3)
    assert curve[49] == pytest.approx(1 / 3)
    assert curve[50] == pytest.approx(2 / 3)
    assert len(normalised_curve([0.0])) == 51


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_a_plain_recomputation(seed: int):
    predicted, truth = noisy_boxes(seed)
    predicted[[5, 6, 50], 2], truth[[30, 31], 3] = 0, 0
    score = score_sequence(predicted, truth)
    for ours, slow in zip(
        (score.success, score.precision, score.normalised), slow_curves(predicted, truth), strict=True
    ):
        np.testing.assert_allclose(ours, slow, atol=1e-12)
    assert 0.2 < score.auc < 0.8  # the comparison is of something
    assert score.ao == pytest.approx(np.mean(score.overlaps))


@pytest.mark.parametrize("seed", [3, 4])
def test_scores_equal_those_of_the_got10k_package(seed: int):
    experiments = pytest.importorskip("got10k.experiments.otb")
    experiment = object.__new__(experiments.ExperimentOTB)  # its constructor would look for the dataset
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    predicted, truth = noisy_boxes(seed)
    predicted[0] = truth[0]  # as its `report` does
    overlaps, errors = experiment._calc_metrics(predicted, truth)
    success, precision = experiment._calc_curves(overlaps, errors)
    score = score_sequence(predicted, truth)
    np.testing.assert_allclose(score.overlaps, overlaps, atol=1e-9)
    np.testing.assert_allclose(score.success, success, atol=1e-12)
    np.testing.assert_allclose(score.precision, precision, atol=1e-12)
    np.testing.assert_allclose(frame_errors(predicted, truth).distances, errors, atol=1e-9)


@pytest.mark.parametrize("seed", [6, 7])
def test_got10k_is_scored_as_its_own_package_does(seed: int):
    metrics = pytest.importorskip("got10k.utils.metrics")
    experiments = pytest.importorskip("got10k.experiments.got10k")
    rng = np.random.default_rng(seed)
    size, ious, tracks = (320, 240), [], []
    for index in range(3):
        predicted, truth = noisy_boxes(seed + 10 * index, frames=40 + 30 * index)  # 1-based; some leave the image
        cover = rng.uniform(size=len(truth)) > 0.2
        theirs = metrics.rect_iou(predicted[1:].copy(), truth[1:].copy(), bound=size)
        ious.append(theirs[cover[1:]])
        seen = np.where(cover[:, None], from_got10k(truth), np.nan)
        tracks.append(Track(f"val{index}", from_got10k(predicted), seen, size=size))
    evaluation = object.__new__(experiments.ExperimentGOT10k)
    ao, sr, *_ = evaluation._evaluate(np.concatenate(ious), np.ones(1))
    scores = score_tracks(tracks, GOT10K_RULES)
    frames = np.array([score.frames for score in scores])
    assert frames.tolist() == [len(each) for each in ious]
    assert np.average([score.ao for score in scores], weights=frames) == pytest.approx(ao)
    assert np.average([score.sr_50 for score in scores], weights=frames) == pytest.approx(sr)
    assert np.isnan(scores[0].overlaps[0])  # the first frame is given
    assert scores[0].absent > 0


def test_boxes_are_clipped_only_where_the_size_is_known():
    with pytest.raises(ValueError, match="val1: the size of its images must be known"):
        score_tracks([Track("val1", boxes_of(SQUARE, SQUARE), boxes_of(SQUARE, SQUARE))], GOT10K_RULES)


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1)))
def test_success_never_rises_and_auc_is_its_mean(overlaps: np.ndarray):
    curve = success_curve(overlaps)
    assert (np.diff(curve) <= 0).all()
    assert 0 <= success_auc(overlaps) <= 20 / 21 + 1e-12
    assert abs(success_auc(overlaps) - overlaps.mean()) <= 1 / 20  # a Riemann sum of the mean overlap


whole_boxes = st.tuples(*[st.integers(-50, 50)] * 2, *[st.integers(1, 60)] * 2)
whole_tracks = st.lists(st.tuples(whole_boxes, whole_boxes), min_size=1, max_size=30)


@given(whole_tracks, st.integers(-1000, 1000), st.integers(-1000, 1000), st.sampled_from([0.25, 0.5, 2, 8]))
def test_scores_do_not_depend_on_where_the_origin_is_nor_overlaps_on_the_scale(track, dx: int, dy: int, scale: float):
    predicted, truth = (np.array(boxes, np.float64) for boxes in zip(*track, strict=True))
    score = score_sequence(predicted, truth)
    moved = score_sequence(predicted + (dx, dy, 0, 0), truth + (dx, dy, 0, 0))
    scaled = score_sequence(predicted * scale, truth * scale)
    np.testing.assert_array_equal(moved.success, score.success)
    np.testing.assert_array_equal(moved.precision, score.precision)
    np.testing.assert_array_equal(scaled.success, score.success)
    np.testing.assert_array_equal(scaled.normalised, score.normalised)


@given(whole_tracks, st.randoms())
def test_scores_do_not_depend_on_the_order_of_frames_or_sequences(track, random):
    predicted, truth = (np.array(boxes, np.float64) for boxes in zip(*track, strict=True))
    order = [0, *random.sample(range(1, len(truth)), len(truth) - 1)]  # the first frame stays
    score, shuffled = score_sequence(predicted, truth), score_sequence(predicted[order], truth[order])
    np.testing.assert_array_equal(score.success, shuffled.success)
    np.testing.assert_array_equal(score.precision, shuffled.precision)
    assert (np.diff(score.precision) >= 0).all()
    assert (np.diff(score.normalised) >= 0).all()
    assert (np.diff(score.success) <= 0).all()
    assert 0 <= score.auc <= 20 / 21


@given(st.lists(whole_tracks, min_size=1, max_size=5))
def test_sequences_scored_together_are_those_scored_alone(pairs):
    tracks = [
        Track(str(index), *(np.array(boxes, np.float64) for boxes in zip(*pair, strict=True)))
        for index, pair in enumerate(pairs)
    ]
    for track, score in zip(tracks, score_tracks(tracks), strict=True):
        alone = score_sequence(track.predicted, track.truth)
        for kind in ("success", "precision", "normalised", "overlaps"):
            np.testing.assert_array_equal(getattr(score, kind), getattr(alone, kind))
        np.testing.assert_array_equal(score.success, success_curve(alone.overlaps))
        assert score.ao == pytest.approx(alone.ao)


def test_no_sequences_have_no_scores():
    assert score_tracks([]) == []


def test_the_first_frame_is_given():
    truth = np.tile(boxes_of(SQUARE), (4, 1))
    away = truth + (100, 0, 0, 0)
    assert score_sequence(away, truth).sr_50 == 0.25
    assert score_sequence(away, truth, Rules(first_frame=False)).sr_50 == 0
    assert score_sequence(away, truth, Rules(first_frame=False)).frames == 3


def test_a_prediction_without_area_repeats_the_one_before():
    truth = boxes_of(SQUARE, (2, 0, 10, 10), (4, 0, 10, 10), (50, 0, 10, 10))
    empty = truth.copy()
    empty[1], empty[2], empty[3] = (0, 0, 0, 0), (7, 7, 0, 5), (7, 7, 5, -1)
    repeated = np.tile(truth[0], (4, 1))
    ours, expected = score_sequence(empty, truth), score_sequence(repeated, truth)
    np.testing.assert_array_equal(ours.overlaps, expected.overlaps)
    np.testing.assert_array_equal(ours.precision, expected.precision)


def test_no_area_in_the_first_frame_is_the_box_that_the_tracker_was_started_with():
    truth = np.tile(boxes_of(SQUARE), (3, 1))
    nothing = np.zeros((3, 4))
    tracks = [Track("a", truth + (90, 0, 0, 0), truth), Track("b", nothing, truth)]  # and not the last one of another
    assert score_tracks(tracks)[1].ao == 1


def test_ground_truth_without_area_is_a_miss_and_stays_in_the_denominator():
    truth = boxes_of(SQUARE, (5, 5, 0, 10), (5, 5, 10, -1), (20, 0, 10, 10))
    predicted = np.abs(truth)
    predicted[:, 2:] = 10
    score = score_sequence(predicted, truth)
    assert score.frames == 4
    assert score.success[0] == 0.5
    assert score.precision[50] == 0.5
    assert score.normalised[50] == 0.5
    np.testing.assert_array_equal(score.overlaps, [1, 0, 0, 1])


def test_absent_targets_are_left_out():
    truth = boxes_of(SQUARE, ABSENT, (5, 5, 10, 10))
    score = score_sequence(boxes_of(SQUARE, (300, 300, 10, 10), (5, 5, 10, 10)), truth)
    assert (score.frames, score.absent) == (2, 1)
    assert score.auc == pytest.approx(20 / 21)
    np.testing.assert_array_equal(score.overlaps, [1, NAN, 1])


def test_tlp_asks_for_an_answer_where_the_target_is_absent():
    truth = boxes_of(SQUARE, ABSENT, ABSENT, SQUARE)
    predicted = np.tile(boxes_of(SQUARE), (4, 1))
    score = score_sequence(predicted, truth, TLP_RULES, lost=[False, True, False, True])
    np.testing.assert_array_equal(score.overlaps, [1, 1, 0, 1])  # saying LOST in the last frame does not cost its box
    assert (score.frames, score.absent, score.sr_50) == (4, 2, 0.75)
    assert score.precision[0] == score.precision[50] == 0.75
    assert score.normalised[0] == 0.75


def test_files_without_states_say_lost_by_a_box_without_area():
    truth = boxes_of(SQUARE, ABSENT, ABSENT, ABSENT)
    score = score_sequence(boxes_of(SQUARE, (0, 0, 0, 0), SQUARE), truth, TLP_RULES)
    np.testing.assert_array_equal(score.overlaps, [1, 1, 0, 0])  # no answer at all is none
    assert score.missing == 1


def test_frames_without_a_prediction_are_misses():
    truth = boxes_of(*[SQUARE] * 4, ABSENT)
    score = score_sequence(truth[:3], truth)
    assert (score.missing, score.surplus, score.frames, score.absent) == (2, 0, 4, 1)
    assert score.auc == pytest.approx(0.75 * 20 / 21)
    assert score.precision[50] == score.normalised[50] == 0.75
    nothing = score_sequence(np.empty((0, 4)), truth)
    assert (nothing.auc, nothing.missing) == (0, 5)


def test_predictions_without_a_frame_are_ignored():
    truth = boxes_of(*[SQUARE] * 3)
    score = score_sequence(np.tile(boxes_of(SQUARE), (5, 1)), truth)
    assert (score.missing, score.surplus, score.frames) == (0, 2, 3)
    assert score.auc == pytest.approx(20 / 21)


@pytest.mark.parametrize("bad", [(NAN, 0, 1, 1), (0, np.inf, 1, 1), (0, 0, 1, -np.inf)])
def test_predictions_that_are_not_finite_are_refused_by_row(bad: tuple[float, float, float, float]):
    truth = boxes_of(SQUARE, SQUARE)
    with pytest.raises(ValueError, match="Car1: prediction 1 must be finite"):
        score_sequence(boxes_of(SQUARE, bad), truth, name="Car1")


def test_what_cannot_be_scored_is_refused():
    truth = boxes_of(SQUARE, SQUARE)
    with pytest.raises(ValueError, match="overlaps must be a row of at least one number"):
        success_curve([])
    with pytest.raises(ValueError, match="must both be"):
        frame_errors(np.zeros((3, 4)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"Car1: ground truth must be \(N, 4\), got \(2, 6\)"):
        score_sequence(truth, np.zeros((2, 6)), name="Car1")
    with pytest.raises(ValueError, match="Car1: no frame of it counts"):
        score_sequence(truth, boxes_of(ABSENT, ABSENT), name="Car1")
    with pytest.raises(ValueError, match="2 predictions, but states of shape"):
        score_sequence(truth, truth, lost=[True])
    with pytest.raises(ValueError, match="2 frames, but polygons of shape"):
        score_sequence(truth, truth, polygons=np.zeros((1, 8)))


def test_inputs_are_not_changed():
    predicted, truth = noisy_boxes(5)
    predicted[7, 2] = 0
    copies = predicted.copy(), truth.copy()
    score_sequence(predicted, truth, GOT10K_RULES, size=(100, 100))
    frame_errors(predicted, truth)
    np.testing.assert_array_equal(predicted, copies[0])
    np.testing.assert_array_equal(truth, copies[1])


def test_rotated_ground_truth_is_overlapped_as_a_polygon():
    diamond = np.array([5, 0, 10, 5, 5, 10, 0, 5], np.float64)
    truth = boxes_of(SQUARE, SQUARE, ABSENT, SQUARE)
    polygons = np.vstack([diamond, diamond, [NAN] * 8, diamond])
    score = score_sequence(boxes_of(SQUARE, (0, 0, 5, 5), SQUARE), truth, polygons=polygons)
    quarter = polygon_overlap([(0, 0), (5, 0), (5, 5), (0, 5)], diamond.reshape(4, 2))
    assert quarter == pytest.approx(12.5 / (25 + 50 - 12.5))
    np.testing.assert_allclose(score.overlaps, [0.5, quarter, NAN, 0])  # the box around half fills it; no last answer
    assert score.precision[0] == pytest.approx(1 / 3)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.sampled_from([0.1, 1 / 3, 0.5, 0.75, 0.9, 0.95, 1.0]))
def test_the_longest_subsequence_equals_that_of_trying_all(hits: list[bool], share: float):
    overlaps = np.where(hits, 0.51, 0.5)  # strict
    assert longest_subsequence(overlaps, share) == pytest.approx(slow_longest(hits, share))


def test_the_longest_subsequence_of_hand_made_sequences():
    assert longest_subsequence([1.0] * 10) == 1
    assert longest_subsequence([0.0] * 10) == 0
    assert longest_subsequence([1, 1, 1, 0, 1, 1], share=1) == 0.5
    nineteen = [1.0] * 19
    assert longest_subsequence([*nineteen, 0.0, 0.0]) == pytest.approx(20 / 21)  # exactly 95 % of 20
    assert longest_subsequence([*nineteen[:-1], 0.0, 0.0]) == pytest.approx(18 / 20)
    assert longest_subsequence([NAN, 1, NAN, 1, 0], share=1) == pytest.approx(2 / 3)
    long = np.tile([*nineteen, 0.0], 30_000)
    assert longest_subsequence(long) == 1  # 600,000 frames, and no rounding
    with pytest.raises(ValueError, match="share must lie in"):
        longest_subsequence([1.0], share=95)
    with pytest.raises(ValueError, match="no frame counts"):
        longest_subsequence([NAN])


def test_lsm_is_part_of_the_score_where_the_benchmark_has_it():
    truth = np.tile(boxes_of(SQUARE), (4, 1))
    predicted = truth + np.array([0, 0, 99, 0])[:, None] * (1, 0, 0, 0)
    assert score_sequence(predicted, truth, TLP_RULES).lsm == 0.5
    assert np.isnan(score_sequence(predicted, truth).lsm)


def test_variants_are_averaged_with_their_last_frames_aligned():
    truth = np.tile(boxes_of(SQUARE), (4, 1))
    whole = score_sequence(truth, truth, TLP_RULES)
    later = score_sequence(np.add(truth[2:], (5, 0, 0, 0)), truth[2:], TLP_RULES)  # started at frame 2
    mean = average([whole, later])
    np.testing.assert_allclose(mean.overlaps, [1, 1, 1, (1 + 1 / 3) / 2])
    np.testing.assert_allclose(mean.success, (whole.success + later.success) / 2)
    assert mean.auc == pytest.approx((whole.auc + later.auc) / 2)
    assert mean.ao == pytest.approx((1 + 2 / 3) / 2)
    assert mean.lsm == pytest.approx((1 + 0.5) / 2)
    assert mean.frames == 6
    with pytest.raises(ValueError, match="no scores"):
        average([])


def test_speed_is_frames_over_time_and_not_the_mean_of_rates():
    measured = speed([0.1] * 99 + [0.6])
    assert measured.fps == pytest.approx(100 / 10.5)
    assert measured.p50_ms == pytest.approx(100)
    assert measured.p95_ms == pytest.approx(100)
    assert measured.p99_ms == pytest.approx(np.percentile([100] * 99 + [600], 99))
    with pytest.raises(ValueError, match="no updates"):
        speed([])
