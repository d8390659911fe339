"""The state machine, driven by responses of known probability."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.confidence import Confidence, ConfidenceConfig, probability
from tracker.decode import Decoded
from tracker.result import TrackState

TRACKING, UNCERTAIN, LOST = TrackState.TRACKING, TrackState.UNCERTAIN, TrackState.LOST
PROBABILITIES = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=80)


def response(share: float) -> Decoded:
    """One whose calibrated probability is `share` under the default weights."""
    return Decoded((0, 0), (10, 10), math.log(share / (1 - share)), 0.0, 0.0)


def run(shares, config: ConfidenceConfig | None = None) -> list[tuple[float, TrackState]]:
    confidence = Confidence(config or ConfidenceConfig())
    return [confidence.judge(response(share)) for share in shares]


def states(shares, config: ConfidenceConfig | None = None) -> list[TrackState]:
    return [state for _, state in run(shares, config)]


@given(st.tuples(*[st.floats(-20, 20)] * 3), st.tuples(*[st.floats(-20, 20)] * 4))
def test_the_score_is_a_logistic_regression(seen, weights):
    config = ConfidenceConfig(weights=weights)
    logit = sum(value * weight for value, weight in zip((*seen, 1.0), weights, strict=True))
    expected = 1 / (1 + math.exp(-max(-50, min(50, logit))))
    assert probability(Decoded((0, 0), (1, 1), *seen), config) == pytest.approx(expected)


@given(st.floats(-20, 20), st.floats(-1, 1), st.floats(0, 100), st.floats(-1, 1))
def test_what_looks_unlike_the_target_is_believed_less(peak, likeness, weight, enough):
    """Log-odds fall in a straight line below `enough`; nothing is gained above it."""
    config = ConfidenceConfig(appearance_weight=weight, appearance_enough=enough)
    seen = Decoded((0, 0), (1, 1), peak, 0, 0)
    logit = peak if likeness >= enough else peak + weight * (likeness - enough)
    assert probability(seen, config, likeness) == pytest.approx(1 / (1 + math.exp(-max(-50, min(50, logit)))))
    assert probability(seen, config, likeness) <= probability(seen, config) == probability(seen, config, None)


def test_a_target_that_looks_like_something_else_is_lost_however_sure_the_network_is():
    confidence = Confidence(ConfidenceConfig(appearance_weight=10.0))
    for _ in range(25):
        confidence.judge(response(0.8), likeness=-0.1)
    assert confidence.state is LOST
    for _ in range(3):
        confidence.judge(response(0.8), likeness=0.5)
    assert confidence.state is TRACKING


@pytest.mark.parametrize("peak", [1e30, -1e30, math.nan, math.inf, -math.inf])
def test_the_score_is_a_probability_whatever_the_response(peak):
    seen = probability(Decoded((0, 0), (1, 1), peak, 0, 0), ConfidenceConfig())
    assert seen == pytest.approx(1.0 if peak == 1e30 else 0.0, abs=1e-20)


def test_a_box_that_is_not_finite_is_no_evidence():
    assert probability(Decoded((math.nan, 0), (1, 1), 9.0, 0, 0), ConfidenceConfig()) == 0


def test_the_score_is_smoothed():
    scores = [score for score, _ in run([0.5, 0.1, 0.9], ConfidenceConfig(memory=0.8))]
    expected, score = [], 1.0
    for share in (0.5, 0.1, 0.9):
        score = 0.8 * score + 0.2 * share
        expected.append(score)
    assert scores == pytest.approx(expected)


def test_a_target_that_is_gone_is_lost_within_a_second_of_video():
    seen = states([0.95] * 50 + [0.01] * 25)
    assert seen[:50] == [TRACKING] * 50
    assert seen[-1] is LOST
    assert UNCERTAIN in seen[50:]
    changes = [a for a, b in zip(seen, [*seen[1:], None], strict=True) if a is not b]
    assert changes == [TRACKING, UNCERTAIN, LOST]


def test_a_target_that_is_back_is_tracked_again():
    seen = states([0.01] * 40 + [0.95] * 3)
    assert seen[39] is LOST
    assert seen[-1] is TRACKING


def test_a_short_doubt_is_not_a_loss():
    seen = states([0.95] * 10 + [0.01] * 5 + [0.95] * 10)
    assert LOST not in seen
    assert UNCERTAIN in seen
    assert seen[-5:] == [TRACKING] * 5


def test_between_the_thresholds_the_state_stays():
    config = ConfidenceConfig(certain=0.6, doubtful=0.3, hopeless=0.2, patience=5, memory=0.0)
    assert states([0.9, 0.45, 0.45], config) == [TRACKING] * 3
    assert states([0.9, 0.25, 0.45, 0.45], config) == [TRACKING, UNCERTAIN, UNCERTAIN, UNCERTAIN]
    assert states([0.1] * 5 + [0.45, 0.59, 0.61], config)[-4:] == [LOST, LOST, LOST, TRACKING]
    assert states([0.1] * 5 + [0.25] * 9, config)[4:] == [LOST] * 10  # doubt alone does not bring a lost target back


def test_a_lost_target_is_tracked_again_when_it_passes_several_times_in_a_row():
    config = ConfidenceConfig(certain=0.9, passing=0.6, looks=3)
    assert states([0.1] * 20 + [0.7] * 3, config)[-4:] == [LOST, LOST, LOST, TRACKING]
    assert states([0.1] * 20 + [0.7, 0.7, 0.5] * 5, config)[-15:] == [LOST] * 15
    assert run([0.1] * 20 + [0.7, 0.7, 0.65], config)[-1] == (pytest.approx(0.65), TRACKING)
    assert states([0.95] * 5 + [0.3] * 5 + [0.7] * 5, config)[-1] is UNCERTAIN  # whoever was not lost must be certain


def test_hopeless_frames_count_only_as_far_as_others_do_not_make_up_for_them():
    config = ConfidenceConfig(certain=0.6, doubtful=0.3, hopeless=0.2, patience=4, memory=0.0)
    assert LOST not in states([0.1, 0.25] * 20, config)
    assert states([0.1, 0.1, 0.25, 0.1, 0.1, 0.1], config)[-1] is LOST
    assert LOST not in states([0.1, 0.1, 0.25, 0.1, 0.1], config)
    assert LOST not in states([0.1, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1], config)  # certainty wipes the slate clean


def test_what_is_found_again_must_prove_itself():
    config = ConfidenceConfig(certain=0.9, passing=0.6, looks=3, memory=0.0)
    confidence = Confidence(config)
    assert confidence.proven  # it is the box that the user gave

    def after(*shares: float) -> bool:
        for share in shares:
            confidence.judge(response(share))
        return confidence.proven

    assert after(0.7, 0.3, 0.7)  # doubt alone changes nothing
    assert not after(*[0.1] * 12)
    assert confidence.state is LOST
    assert not after(0.7, 0.7, 0.7)
    assert confidence.state is TRACKING
    assert not after(0.89)
    assert after(0.91, 0.7)
    confidence.trust(0.95)  # another place
    assert not confidence.proven


@given(PROBABILITIES)
def test_states_and_scores_agree(shares):
    config = ConfidenceConfig()
    previous = TRACKING
    for score, state in run(shares, config):
        assert 0 <= score <= 1
        if score >= config.certain:
            assert state is TRACKING
        if score < config.doubtful:
            assert state is not TRACKING
        if previous is LOST:
            assert state is not UNCERTAIN  # lost stays lost until the target is certain again
        previous = state


@given(PROBABILITIES)
def test_two_targets_do_not_share_a_state(shares):
    first, second = Confidence(ConfidenceConfig()), Confidence(ConfidenceConfig())
    for share in shares:
        first.judge(response(share))
    assert (second.state, second.score, second.hopeless) == (TRACKING, 1.0, 0)
