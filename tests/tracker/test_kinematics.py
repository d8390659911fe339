"""The filter is held against closed forms: kinematics without noise, weighted least squares, the Riccati equation."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker import TrackResult, TrackState, kinematics
from tracker.kinematics import Motion, begin, follow, measurement_noise, process_noise

TRACKING, UNCERTAIN, LOST = TrackState.TRACKING, TrackState.UNCERTAIN, TrackState.LOST
PERIOD = 0.04
NOISE_OF_PLACE = float(kinematics.NOISE[0])


def box(x, y, w=40.0, h=30.0):
    return x - w / 2, y - h / 2, w, h


def track(path, count, score=0.9, period=PERIOD):
    """Follow a target whose box is ``path(t)``."""
    motion = begin(path(0.0), 1.0, 0.0)
    for index in range(1, count):
        motion = follow(motion, TRACKING, path(index * period), score, TRACKING, index * period)
    return motion


def test_a_target_that_stands_stands():
    motion = track(lambda t: box(100, 50), 200)
    assert motion.box == pytest.approx(box(100, 50))
    assert (*motion.velocity, *motion.acceleration, *motion.growth) == pytest.approx([0] * 6, abs=1e-9)
    assert motion.at(20).box == pytest.approx(box(100, 50), abs=1e-6)


def test_constant_acceleration_is_found_and_continued():
    """x(t) = x₀ + vt + at²/2 without noise: the estimates become v(t) and a, and the prediction the parabola."""

    def path(t):
        return box(50 + 30 * t + 4 * t * t, 200 - 20 * t, 40, 30)

    motion = track(path, 150)
    now = 149 * PERIOD
    assert motion.velocity == pytest.approx((30 + 8 * now, -20), rel=1e-3)
    assert motion.acceleration == pytest.approx((8, 0), rel=1e-2, abs=0.05)
    assert motion.at(now + 0.5).box == pytest.approx(path(now + 0.5), abs=0.1)
    assert motion.at(now - 0.1).box == pytest.approx(path(now - 0.1), abs=0.1)


def test_growth_of_the_sides_is_the_reciprocal_of_the_time_to_contact():
    """A target that approaches steadily has sides of S/(T − t); their logarithm grows by 1/(T − t)."""
    motion = track(lambda t: box(100, 100, 400 / (10 - t), 300 / (10 - t)), 100)
    assert motion.growth == pytest.approx([1 / (10 - 99 * PERIOD)] * 2, rel=0.06)  # it lags a little
    assert motion.box[2:] == pytest.approx((400 / (10 - 99 * PERIOD), 300 / (10 - 99 * PERIOD)), rel=1e-2)


def test_without_process_noise_it_is_weighted_least_squares(monkeypatch):
    """A parabola through noisy places by the normal equations, with the start's uncertainty as prior."""
    monkeypatch.setattr(kinematics, "JERK", np.zeros(4))
    rng = np.random.default_rng(0)
    times = np.arange(40) * PERIOD
    xs, scores = 100 + 20 * times + rng.normal(0, 1.0, 40), rng.uniform(0.3, 1, 40)
    motion = begin(box(xs[0], 50), scores[0], 0.0)
    prior = np.diag([0.0, *1 / motion.modelled[0, [1, 2], [1, 2]]])
    for t, x, score in zip(times[1:], xs[1:], scores[1:], strict=True):
        motion = follow(motion, TRACKING, box(x, 50), score, TRACKING, t)

    design = np.stack([np.ones(40), times, times**2 / 2], axis=1)  # of place, velocity, acceleration at time 0
    side = math.sqrt(40 * 30)
    weights = np.array([1 / measurement_noise(side, score)[0] for score in scores])
    information = design.T @ (weights[:, None] * design) + prior
    at_start = np.linalg.solve(information, design.T @ (weights * xs))
    end = np.array([[1, times[-1], times[-1] ** 2 / 2], [0, 1, times[-1]], [0, 0, 1]])
    assert motion.mean[0] == pytest.approx(end @ at_start, rel=1e-6)
    assert motion.modelled[0] == pytest.approx(end @ np.linalg.inv(information) @ end.T, rel=1e-6)


@pytest.mark.parametrize("axis", [0, 2])
def test_the_uncertainty_settles_where_the_riccati_equation_says(axis):
    linalg = pytest.importorskip("scipy.linalg")
    motion = track(lambda t: box(100, 50), 400, score=0.8)
    side, size = math.sqrt(40 * 30), 3 if axis == 0 else 2
    transition = np.array([[1, PERIOD, PERIOD**2 / 2], [0, 1, PERIOD], [0, 0, 1]])[:size, :size]
    seen = np.eye(1, size)
    noise = process_noise(PERIOD, side)[axis][:size, :size]
    variance = measurement_noise(side, 0.8)[axis]
    predicted = linalg.solve_discrete_are(transition.T, seen.T, noise, [[variance]])
    gain = predicted @ seen.T / (seen @ predicted @ seen.T + variance)
    settled = predicted - gain @ seen @ predicted
    assert motion.modelled[axis][:size, :size] == pytest.approx(settled, rel=1e-4)


def test_process_noise_is_the_integral_of_its_definition():
    """∫ F(s) g q gᵀ F(s)ᵀ ds, the noise entering as jerk (centre) or acceleration (sides), by Simpson's rule."""
    step, side = 0.3, 50.0
    times = np.linspace(0, step, 201)
    simpson = np.r_[1, np.tile([4, 2], 99), 4, 1] * step / 600
    for axis in range(4):
        entries = np.stack([times**2 / 2, times, np.ones(201)] if axis < 2 else [times, np.ones(201), np.zeros(201)])
        density = (kinematics.JERK[axis] * (side if axis < 2 else 1)) ** 2
        assert process_noise(step, side)[axis] == pytest.approx(density * (entries * simpson) @ entries.T, rel=1e-9)


@given(
    st.lists(st.floats(-50, 50), min_size=12, max_size=12),
    st.floats(0, 2),
    st.floats(0, 2),
)
@settings(max_examples=50, deadline=None)
def test_two_predictions_are_one(numbers, first, second):
    """Prediction over s and then t is prediction over s + t: the model has no memory. The sides stand still here,
    for the noise is in units of theirs.
    """
    mean = np.array(numbers).reshape(4, 3)
    mean[2:] = [[3, 0, 0], [4, 0, 0]]
    motion = Motion(0.0, mean, begin(box(0, 0), 1.0, 0.0).modelled)
    once, twice = motion.at(first + second), motion.at(first).at(first + second)
    assert twice.mean == pytest.approx(once.mean, rel=1e-9, abs=1e-9)
    assert twice.covariance == pytest.approx(once.covariance, rel=1e-9, abs=1e-12)


def test_uncertainty_grows_with_the_distance_in_time_and_with_doubt():
    sure, unsure = (track(lambda t: box(100, 50), 50, score) for score in (1.0, 0.2))
    now = 49 * PERIOD
    spread = [sure.at(now + ahead).deviation[0] for ahead in (0, 0.1, 0.2, 0.4, 0.8)]
    assert spread == sorted(spread)
    assert sure.deviation[0] < unsure.deviation[0]
    for motion in (sure, unsure, sure.at(now + 1)):
        assert np.linalg.eigvalsh(motion.covariance).min() >= -1e-9


def test_modelled_uncertainty_is_true_of_a_target_that_moves_as_modelled():
    """Normalised squares of the innovations of two axes average 2."""
    rng = np.random.default_rng(1)
    side = 40.0
    truth = np.zeros((4, 3))
    truth[2:, 0] = math.log(side)
    motion, squares = None, []
    for index in range(3000):
        if index:
            transition = np.array([[1, PERIOD, PERIOD**2 / 2], [0, 1, PERIOD], [0, 0, 1]])
            noise = process_noise(PERIOD, side)
            noise[2:] = 0  # so that its units stay
            kicks = np.stack([rng.multivariate_normal(np.zeros(3), each, method="svd") for each in noise])
            truth = truth @ transition.T + kicks
        measured = truth[:, 0] + rng.normal(0, np.sqrt(measurement_noise(side, 0.9)))
        seen = box(*measured[:2], *np.exp(measured[2:]))
        if motion is not None:
            predicted = motion.at(index * PERIOD)
            variance = predicted.modelled[:2, 0, 0] + measurement_noise(side, 0.9)[:2]
            squares.append(((measured[:2] - predicted.mean[:2, 0]) ** 2 / variance).sum())
        motion = follow(motion, TRACKING, seen, 0.9, TRACKING, index * PERIOD)
    assert np.mean(squares[100:]) == pytest.approx(2.0, rel=0.1)
    assert 0.2 < motion.excess < 3


@pytest.mark.parametrize("wildness", [0.3, 1.0, 5.0])
def test_stated_uncertainty_follows_the_target(wildness):
    """Errors of `wildness` times the size expected are stated as such, with `HEDGE` in hand, and estimates stay."""
    rng = np.random.default_rng(2)
    errors = rng.normal(0, 1, (400, 2)) * 40 * NOISE_OF_PLACE * wildness
    side = 40.0
    motion, excesses = begin(box(100, 100, side, side), 1.0, 0.0), []
    for index, (across, down) in enumerate(errors, 1):
        motion = follow(motion, TRACKING, box(100 + across, 100 + down, side, side), 1.0, TRACKING, index * PERIOD)
        excesses.append(motion.excess)
    ratio = motion.covariance[:2] / motion.modelled[:2]
    assert ratio == pytest.approx(np.full((2, 3, 3), kinematics.HEDGE * motion.excess))
    assert np.array_equal(motion.covariance[2:], motion.modelled[2:])
    # prediction errors are less than the modelled ones, which expect the target to move as well
    assert np.mean(excesses[100:]) == pytest.approx(max(0.75 * wildness**2, kinematics.LEAST), rel=0.35)


def test_jumps_make_it_uncertain_and_a_new_beginning_remembers_that():
    motion = track(lambda t: box(100, 50), 60)
    before = motion.excess
    for index in range(61, 71):
        motion = follow(motion, TRACKING, box(100 + 200 * (index % 2), 50), 0.9, TRACKING, index * PERIOD)
        assert motion.velocity == (0, 0)
    assert before == kinematics.LEAST
    assert motion.excess == pytest.approx(kinematics.GATE * (1 - (1 - kinematics.MEMORY) ** 10), rel=0.02)
    found = follow(motion.at(3.0), LOST, box(0, 0), 0.9, TRACKING, 3.1)
    assert found.excess == motion.excess


def test_a_lost_target_is_only_predicted_and_begins_anew_when_found():
    motion = track(lambda t: box(100 + 50 * t, 50), 60)
    now = 59 * PERIOD
    gone = follow(motion, TRACKING, box(5, 5), 0.1, LOST, now + PERIOD)
    assert gone.centre == pytest.approx((100 + 50 * (now + PERIOD), 50), abs=0.5)  # and not where the guess is
    assert gone.deviation[0] > motion.deviation[0]
    found = follow(gone, LOST, box(400, 300), 0.9, TRACKING, now + 2 * PERIOD)
    assert found.centre == (400, 300)
    assert found.velocity == (0, 0)
    assert follow(None, LOST, box(5, 5), 0.1, LOST, 1.0) is None


def test_a_jump_begins_anew():
    motion = track(lambda t: box(100, 50), 60)
    jumped = follow(motion, TRACKING, box(300, 50), 0.9, TRACKING, 60 * PERIOD)
    assert jumped.centre == (300, 50)
    assert jumped.velocity == (0, 0)


@pytest.mark.parametrize("timestamp", [-5.0, 1e6])
def test_a_clock_that_was_set_begins_anew(timestamp):
    motion = track(lambda t: box(100 + 50 * t, 50), 60)
    after = follow(motion, TRACKING, box(200, 50), 0.9, TRACKING, timestamp)
    assert (after.timestamp, after.centre, after.velocity) == (timestamp, (200, 50), (0, 0))
    assert follow(motion, TRACKING, box(200, 50), 0.1, LOST, timestamp) is None


@pytest.mark.parametrize("timestamp", [None, math.nan, math.inf])
def test_without_a_time_there_is_no_motion(timestamp):
    assert follow(begin(box(1, 2), 1.0, 0.0), TRACKING, box(1, 2), 0.9, TRACKING, timestamp) is None


@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2, *[st.floats(1e-12, 1e6)] * 2, st.floats(0, 1), st.floats(-9, 99)))
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_seen_the_estimate_is_finite(seen):
    motion, before = None, TRACKING
    for x, y, w, h, score, timestamp in seen:
        state = LOST if score < 0.2 else TRACKING
        motion = follow(motion, before, (x, y, w, h), score, state, timestamp)
        before = state
        if motion is not None:
            later = motion.at(timestamp + 3600)
            assert np.isfinite(motion.covariance).all()
            assert all(map(math.isfinite, (*motion.box, *later.box, *later.deviation, *motion.velocity)))


def test_results_predict():
    motion = track(lambda t: box(100 + 50 * t, 50), 60)
    result = TrackResult(box(1, 2), 0.9, TRACKING, 0.01, 59 * PERIOD, motion)
    assert result.at(59 * PERIOD + 1).centre == pytest.approx(motion.at(59 * PERIOD + 1).centre)
    assert result == TrackResult(box(1, 2), 0.9, TRACKING, 0.01, 59 * PERIOD)  # arrays have no part in comparisons
    assert pickle.loads(pickle.dumps(result)).motion.velocity == motion.velocity
    with pytest.raises(ValueError, match="finite"):
        result.at(math.nan)
    with pytest.raises(ValueError, match=r"timestamp=\.\.\."):
        TrackResult(box(1, 2), 0.9, TRACKING).at(1.0)
