"""How far a box can be believed: a calibrated score, and states with hysteresis.

The score comes from the raw response, before window and penalties: a tracker that stays put would otherwise always be
sure. It is the probability that the box overlaps the target by more than one half, fitted by logistic regression on
tracks (`learning.calibration`), so it means the same for every model. What the place looks like
(`tracker.appearance`) has a say in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tracker.decode import Decoded
from tracker.result import TrackState


@dataclass(frozen=True)
class ConfidenceConfig:
    """Calibration and thresholds.

    Attributes:
        weights: of peak, margin, contrast, and the intercept, in the logistic regression of the score.
        appearance_enough: likeness to a view of it, in [−1, 1], from which a place looks like the target.
        appearance_weight: nats that the score's log-odds lose for each 1 that is missing; 0: it is not looked at.
        certain: score from which a target that was not TRACKING is TRACKING again.
        doubtful: score below which a TRACKING target becomes UNCERTAIN.
        hopeless: score below which a frame counts towards LOST.
        patience: so many hopeless frames, less those that were not, make a target LOST.
        memory: share of the previous frames in the smoothed score, in [0, 1).
        passing: score that a LOST target needs in each of `looks` frames in a row to be TRACKING again: less than
            `certain` and longer, at its last place or wherever it is found (`tracker.redetection`).
        looks: that many.
    """

    weights: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    appearance_enough: float = 0.45
    appearance_weight: float = 0.0
    certain: float = 0.5
    doubtful: float = 0.4
    hopeless: float = 0.4
    patience: int = 10
    memory: float = 0.5
    passing: float = 0.4
    looks: int = 3


@dataclass
class Confidence:
    """The state machine of one target.

    Attributes:
        proven: since the target was LOST last, or taken for found again, its score was `certain` once. Until then what
            is followed may be something else.

    ::

        TRACKING ──score < doubtful──▶ UNCERTAIN ──hopeless for `patience` frames──▶ LOST
            ▲                              │                                          │
            └──────score ≥ certain─────────┴────score ≥ certain, or passing `looks` times──┘
    """

    config: ConfidenceConfig
    state: TrackState = TrackState.TRACKING
    score: float = 1.0
    hopeless: int = 0
    passed: int = 0
    proven: bool = True

    def judge(self, decoded: Decoded, familiar: bool = True, likeness: float | None = None) -> tuple[float, TrackState]:
        """Take in one frame's response; return the smoothed score in [0, 1] and the state.

        Args:
            decoded: what the response says.
            familiar: whether the place has the target's colours (`tracker.colour`); if not, it is not the target.
            likeness: of the place to the target's views (`tracker.appearance`), if it was looked at.
        """
        config = self.config
        raw = probability(decoded, config, likeness) if familiar else 0.0
        self.score = config.memory * self.score + (1 - config.memory) * raw
        self.hopeless = self.hopeless + 1 if raw < config.hopeless else max(self.hopeless - 1, 0)
        self.passed = self.passed + 1 if self.state is TrackState.LOST and raw >= config.passing else 0
        if self.passed >= config.looks:
            return self.trust(raw)
        if self.score >= config.certain:
            self.state, self.hopeless = TrackState.TRACKING, 0
        elif self.state is not TrackState.LOST:
            if self.hopeless >= config.patience:
                self.state = TrackState.LOST
            elif self.score < config.doubtful:
                self.state = TrackState.UNCERTAIN
        self.proven = self.state is not TrackState.LOST and (self.proven or self.score >= config.certain)
        return self.score, self.state

    def trust(self, score: float) -> tuple[float, TrackState]:
        """The target has passed often enough, here or elsewhere: it is TRACKING, with this score."""
        self.score, self.state, self.hopeless, self.passed = score, TrackState.TRACKING, 0, 0
        self.proven = False
        return self.score, self.state


def probability(decoded: Decoded, config: ConfidenceConfig, likeness: float | None = None) -> float:
    """Probability in [0, 1] that the decoded box overlaps the target by more than one half; 0 if not finite.

    Args:
        decoded: what the response says.
        config: the calibration.
        likeness: see `Confidence.judge`.
    """
    if not decoded.finite:
        return 0.0
    peak, margin, contrast, intercept = config.weights
    logit = peak * decoded.peak + margin * decoded.margin + contrast * decoded.contrast + intercept
    if likeness is not None:  # it only speaks against: look-alikes, and boxes that are off, look like the target, too
        logit -= config.appearance_weight * max(config.appearance_enough - likeness, 0.0)
    return 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))
