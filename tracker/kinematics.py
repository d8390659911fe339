"""How a target moves: velocity, acceleration, and where it will be, each with its uncertainty.

A Kalman filter over the centre and the logarithms of the sides, each axis for itself (Bar-Shalom, Li & Kirubarajan
2001, *Estimation with Applications to Tracking and Navigation*, section 6.2): the centre keeps its acceleration but for
white jerk, the sides their rate of growth but for white acceleration. A measurement is the less worth the lower its
score. The filter only watches: what it says has no influence on the tracker's boxes.

Targets differ by far more than one such model holds: so the stated uncertainty of the centre is the model's times what
this target's own errors have been larger than it lately. That leaves the estimates as they are, for a factor common to
all noise cancels out of the filter's gain.

All of it is motion in the image, the camera's own included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.result import Box, TrackState

Array = NDArray[np.float64]
# in sides of the target (the geometric mean of width and height) for the centre, in powers of e for the sides
NOISE = np.array([0.02, 0.02, 0.03, 0.03])  # standard deviation of a box of score 1
DOUBT = np.array([0.3, 0.3, 0.3, 0.3])  # what is added to it at score 0
# root of the spectral density: sides / s^2.5, and for the sizes 1 / s^1.5; the first from tracks of 29 training videos
JERK = np.array([4.0, 4.0, 0.3, 0.3])
START = np.array([[2.0, 2.0], [2.0, 2.0], [0.3, 0.0], [0.3, 0.0]])  # of velocity and acceleration, standard deviations
GATE = 35.0  # squared Mahalanobis distance, 4 degrees of freedom: one in two million measurements is farther off
# The stated covariance of the centre: so much larger than the target's own errors call for, since errors that have no
# normal distribution are more often large; what 0.1 s ahead needs on training footage (`python -m benchmarks.motion
# --data ../shared/data/video --training`), where 0.2 and 0.4 s need less.
HEDGE = 2.0
MEMORY = 0.1  # share of the newest error in the mean
LEAST = 0.1  # of that mean: a target that stands still for long may move all the same
PAUSE = 10.0  # seconds without a frame after which motion begins anew
SIZES = (-14.0, 14.0)  # limits of the logarithms, so that a long prediction stays a number


@dataclass(frozen=True, eq=False)
class Motion:
    """The estimate of a target's motion at one time.

    Attributes:
        timestamp: seconds, on the clock of the frames.
        mean: (4, 3) place, velocity (1/s) and acceleration (1/s²) of the centre's x and y in pixels, and of the natural
            logarithms of width and height, whose acceleration is 0.
        modelled: (4, 3, 3) covariance of these three, for each of the four, which are independent of each other, if the
            target moves and is measured as the filter assumes.
        excess: mean of the squared errors of the centre's predictions lately, in units of those modelled.
    """

    timestamp: float
    mean: Array
    modelled: Array
    excess: float = 1.0

    @property
    def covariance(self) -> Array:
        """(4, 3, 3) of place, velocity and acceleration, for each of the four, which are independent of each other."""
        factor = HEDGE * self.excess
        return np.array([factor, factor, 1.0, 1.0])[:, None, None] * self.modelled

    @property
    def box(self) -> Box:
        """``(x, y, w, h)`` in pixels: smoothed, so not exactly the tracker's box of the same time."""
        x, y = self.centre
        w, h = (math.exp(min(max(float(side), SIZES[0]), SIZES[1])) for side in self.mean[2:, 0])
        return x - w / 2, y - h / 2, w, h

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) in pixels."""
        return float(self.mean[0, 0]), float(self.mean[1, 0])

    @property
    def velocity(self) -> tuple[float, float]:
        """Of the centre, pixels per second to the right and down."""
        return float(self.mean[0, 1]), float(self.mean[1, 1])

    @property
    def acceleration(self) -> tuple[float, float]:
        """Of the centre, pixels per second² to the right and down."""
        return float(self.mean[0, 2]), float(self.mean[1, 2])

    @property
    def growth(self) -> tuple[float, float]:
        """Of width and height, per second: 0.1 is 10 % a second, and the reciprocal the time to contact."""
        return float(self.mean[2, 1]), float(self.mean[3, 1])

    @property
    def deviation(self) -> tuple[float, float]:
        """Standard deviation of the centre's x and y in pixels."""
        covariance = self.covariance
        return math.sqrt(covariance[0, 0, 0]), math.sqrt(covariance[1, 0, 0])

    def at(self, timestamp: float) -> Motion:
        """The prediction for another time, later or earlier; its covariance grows with the distance.

        Args:
            timestamp: seconds, on the clock of the frames.

        Raises:
            ValueError: it is not finite.
        """
        if not math.isfinite(timestamp):
            raise ValueError(f"the time to predict for must be finite, got {timestamp}")
        step = timestamp - self.timestamp
        transition = np.array([[1.0, step, step * step / 2], [0.0, 1.0, step], [0.0, 0.0, 1.0]])
        modelled = transition @ self.modelled @ transition.T + process_noise(step, self._side())
        return Motion(timestamp, self.mean @ transition.T, modelled, self.excess)

    def corrected(self, box: Box, score: float) -> Motion:
        """The estimate after a measurement at the same time; begun anew if it is too far off to be of the same motion.

        Args:
            box: that was seen.
            score: in [0, 1].
        """
        innovation = _measured(box) - self.mean[:, 0]
        variance = self.modelled[:, 0, 0] + measurement_noise(self._side(), score)
        squares = innovation * innovation / variance
        newest = min(float(squares[:2].mean()), GATE)  # a jump is no measure of how far it went
        excess = max((1 - MEMORY) * self.excess + MEMORY * newest, LEAST)
        if float(squares.sum()) > GATE:
            return begin(box, score, self.timestamp, excess)
        gain = self.modelled[:, :, 0] / variance[:, None]
        mean = self.mean + gain * innovation[:, None]
        modelled = self.modelled - gain[:, :, None] * gain[:, None, :] * variance[:, None, None]
        return Motion(self.timestamp, mean, modelled, excess)

    def _side(self) -> float:
        w, h = self.box[2:]
        return math.sqrt(w * h)


def begin(box: Box, score: float, timestamp: float, excess: float = 1.0) -> Motion:
    """What is known of the motion of a target that has been seen once, with the `excess` of before if there is one."""
    side = math.sqrt(max(box[2] * box[3], 1e-12))
    mean = np.zeros((4, 3))
    mean[:, 0] = _measured(box)
    modelled = np.zeros((4, 3, 3))
    modelled[:, 0, 0] = measurement_noise(side, score)
    modelled[:, [1, 2], [1, 2]] = (START * _units(side)[:, None]) ** 2
    return Motion(timestamp, mean, modelled, excess)


def follow(
    motion: Motion | None, before: TrackState, box: Box, score: float, state: TrackState, timestamp: float | None
) -> Motion | None:
    """The motion after a frame.

    A LOST target is not seen, so its motion is only predicted; found again, it begins anew. So it does where the clock
    was set back, after a pause, and when the box jumps.

    Args:
        motion: after the frame before; None: unknown.
        before: the target's state after the frame before.
        box, score, state: what the tracker says of this frame.
        timestamp: of this frame in seconds; without one the motion is unknown.
    """
    if timestamp is None or not math.isfinite(timestamp):
        return None
    known = motion is not None and 0 <= timestamp - motion.timestamp <= PAUSE
    if state is TrackState.LOST:
        return motion.at(timestamp) if known and motion is not None else None
    excess = 1.0 if motion is None else motion.excess
    if not known or motion is None or before is TrackState.LOST:
        return begin(box, score, timestamp, excess)
    return motion.at(timestamp).corrected(box, score)


def measurement_noise(side: float, score: float) -> Array:
    """(4,) variances of a measured box: centre in pixels², logarithms of the sides."""
    deviation: Array = (NOISE + DOUBT * (1 - score)) * _units(side)
    return deviation * deviation


def process_noise(step: float, side: float) -> Array:
    """(4, 3, 3) covariance that `step` seconds of noise add: white jerk to the centre (Bar-Shalom et al., equation
    6.2.3-7), white acceleration to the sides (6.2.2-12).
    """
    t = abs(step)
    jerk = np.array(
        [[t**5 / 20, t**4 / 8, t**3 / 6], [t**4 / 8, t**3 / 3, t**2 / 2], [t**3 / 6, t**2 / 2, t]],
    )
    change = np.array([[t**3 / 3, t**2 / 2, 0.0], [t**2 / 2, t, 0.0], [0.0, 0.0, 0.0]])
    density = (JERK * _units(side)) ** 2
    return density[:, None, None] * np.stack([jerk, jerk, change, change])


def _units(side: float) -> Array:
    """(4,) what the constants are multiples of: the target's side in pixels, and 1 for the logarithms."""
    return np.array([side, side, 1.0, 1.0])


def _measured(box: Box) -> Array:
    x, y, w, h = box
    return np.array([x + w / 2, y + h / 2, math.log(max(w, 1e-6)), math.log(max(h, 1e-6))])
