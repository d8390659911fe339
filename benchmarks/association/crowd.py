"""Made-up crowds of any size and length: what association takes, with who is who.

People walk along gentle curves in an image of 1920×1080 and turn back at its borders; each stays for some seconds and
is then another one elsewhere. A detector misses some, jitters, and sees some who are not there. The number of people in
the image is the same throughout, so that cost can be held against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker.association import Detections

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 1920.0, 1080.0
RATE = 30.0  # frames per second
STAY = 300  # frames that one person stays
MISSED = 0.1  # share of boxes
FALSE = 0.05  # false alarms for each person
JITTER = 0.03  # of a box's height, in place and size


@dataclass(frozen=True)
class Crowd:
    """How large.

    Attributes:
        people: in each frame.
        frames: how many.
        seed: of everything that is drawn.
    """

    people: int
    frames: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.people < 1 or self.frames < 1:
            raise ValueError(f"a crowd needs people and frames, got {self.people} and {self.frames}")

    def __iter__(self) -> Iterator[tuple[Detections, NDArray[np.int64]]]:
        """Each frame's detections and whose each is, −1: nobody's."""
        random = np.random.default_rng([self.seed, self.people])
        phase = random.integers(0, STAY, self.people)
        for frame in range(self.frames):
            turn, age = np.divmod(frame + phase, STAY)
            who = turn * self.people + np.arange(self.people)
            boxes = self._boxes(who, age)
            noise = np.random.default_rng([self.seed, self.people, frame])
            boxes[:, :2] += boxes[:, 3:] * noise.normal(0, JITTER, (self.people, 2))
            boxes[:, 2:] *= np.exp(noise.normal(0, JITTER, (self.people, 2)))
            seen = noise.random(self.people) >= MISSED
            false = noise.binomial(self.people, FALSE)
            wrong = self._boxes(-1 - np.arange(false) - frame * self.people, np.zeros(false))
            score = np.concatenate([noise.beta(8, 1, np.count_nonzero(seen)), noise.beta(2, 2, false)])
            found = Detections(frame, np.concatenate([boxes[seen], wrong]), score)
            yield found, np.concatenate([who[seen], np.full(false, -1)])

    def _boxes(self, who: NDArray[np.int64], age: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
        """Where people are (N, 4), each by numbers that follow from who it is."""
        u = _uniform(who, self.seed, 6)
        feet_x = WIDTH * _reflected(u[0] + (u[1] - 0.5) * age / STAY + 0.02 * np.sin(age / 20 + 6 * u[2]))
        feet_y = HEIGHT * (0.35 + 0.65 * _reflected(u[3] + (u[4] - 0.5) * 0.5 * age / STAY))
        height = 0.3 * feet_y * (0.85 + 0.3 * u[5])  # the nearer, the larger
        width = 0.4 * height
        return np.column_stack([feet_x - width / 2, feet_y - height, width, height])


def _uniform(who: NDArray[np.int64], seed: int, columns: int) -> Floats:
    """Numbers in [0, 1) that depend on nothing but who and seed, (columns, N): splitmix64, Steele et al. 2014."""
    with np.errstate(over="ignore"):
        state = (who.astype(np.uint64) + np.uint64(1)) * np.uint64(columns) + np.uint64(seed) * np.uint64(2**32)
        state = (state + np.arange(columns, dtype=np.uint64)[:, None]) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


def _reflected(values: Floats) -> Floats:
    """Into [0, 1], as between two mirrors."""
    folded = np.mod(values, 2.0)
    return np.minimum(folded, 2.0 - folded)
